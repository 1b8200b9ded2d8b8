#!/usr/bin/python3
"""Writes the small .h5 and .keras files of this folder as Keras does (needs python3-h5py)."""
import io
import json
import os
import zipfile

import h5py
import numpy as np

here = os.path.dirname(os.path.abspath(__file__))


def ramp(*shape):
    return (np.arange(np.prod(shape), dtype=np.float32).reshape(shape) - 3) / 8


LAYERS = [
    {"class_name": "LSTM", "config": {"name": "memory", "units": 2, "batch_input_shape": [None, 5, 3],
                                      "recurrent_activation": "sigmoid"}},
    {"class_name": "BatchNormalization", "config": {"name": "norm", "axis": [1]}},
    {"class_name": "Dense", "config": {"name": "score", "units": 1, "activation": "sigmoid"}},
]
WEIGHTS = [
    ("memory", [("memory/lstm_cell/kernel:0", ramp(3, 8)), ("memory/lstm_cell/recurrent_kernel:0", ramp(2, 8)),
                ("memory/lstm_cell/bias:0", ramp(8))]),
    ("norm", [("norm/gamma:0", ramp(2)), ("norm/beta:0", ramp(2) + 1), ("norm/moving_mean:0", ramp(2) + 2),
              ("norm/moving_variance:0", ramp(2) + 3)]),
    ("score", [("score/kernel:0", ramp(2, 1)), ("score/bias:0", ramp(1))]),
]
CONFIG = {"class_name": "Sequential", "config": {"name": "small", "layers": LAYERS}}
TRAINING = {"loss": "binary_crossentropy", "metrics": ["accuracy"], "loss_weights": None,
            "optimizer_config": {"class_name": "Adam", "config": {"learning_rate": 0.01, "decay": 0.0}}}


def put_array(group, name, value, layout):
    if layout == 0:
        group.create_dataset(name, data=value)
    elif layout == 1:
        space = h5py.h5s.create_simple(value.shape)
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_layout(h5py.h5d.COMPACT)
        links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
        links.set_create_intermediate_group(True)
        h5py.h5d.create(group.id, name.encode(), h5py.h5t.IEEE_F32LE, space, made, links).write(
            h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(value))
    else:
        packing = [{}, {"compression": "gzip"}, {"compression": "gzip", "shuffle": True}][layout - 2]
        group.create_dataset(name, data=value, chunks=tuple(min(extent, 3) for extent in value.shape), **packing)


def put_layers(group, split, packed=False):
    names = [layer.encode() for layer, _ in WEIGHTS]
    if split:  # as attributes above 64,512 bytes are
        group.attrs["layer_names0"] = names[:2]
        group.attrs["layer_names1"] = names[2:]
    else:
        group.attrs["layer_names"] = names
    for layer, weights in WEIGHTS:
        inner = group.create_group(layer)
        inner.attrs["weight_names"] = [name.encode() for name, _ in weights]
        for k, (name, value) in enumerate(weights):
            put_array(inner, name, value, (k + 1) % 5 if packed else 0)


with h5py.File(os.path.join(here, "whole.h5"), "w") as f:
    f.attrs["model_config"] = json.dumps(CONFIG)
    f.attrs["training_config"] = json.dumps(TRAINING)
    f.attrs["keras_version"] = "2.4.0"
    f.attrs["backend"] = "tensorflow"
    put_layers(f.create_group("model_weights"), split=False)
with h5py.File(os.path.join(here, "weights.h5"), "w") as f:
    put_layers(f, split=True)
with h5py.File(os.path.join(here, "packed.h5"), "w") as f:
    put_layers(f, split=False, packed=True)
with h5py.File(os.path.join(here, "links.h5"), "w") as f:
    put_layers(f, split=False)
    del f["score/score/kernel:0"]
    f["score/score/kernel:0"] = h5py.ExternalLink("/etc/passwd", "/")
with h5py.File(os.path.join(here, "bomb.h5"), "w") as f:
    put_layers(f, split=False)
    del f["score/score/kernel:0"]
    f.create_dataset("score/score/kernel:0", shape=(1 << 40,), dtype="f4", chunks=(1 << 20,), compression="gzip")


# The same model with the state of its optimizer after 5 steps: the k-th parameter's is 10 k + slot.
TRAINED = [value for layer, weights in WEIGHTS for name, value in weights if "moving" not in name]


def state_of(slot, k):
    return np.full_like(TRAINED[k], 10 * k + slot)


with h5py.File(os.path.join(here, "state.h5"), "w") as f:
    f.attrs["model_config"] = json.dumps(CONFIG)
    f.attrs["training_config"] = json.dumps(TRAINING)
    f.attrs["keras_version"] = "2.4.0"
    f.attrs["backend"] = "tensorflow"
    put_layers(f.create_group("model_weights"), split=False)
    state = f.create_group("optimizer_weights")
    variables = [("Adam/iter:0", np.int64(5))]
    variables += [(f"Adam/{name}/{'mv'[slot]}:0", state_of(slot, k)) for slot in range(2) for k, name in enumerate("abcdefg")]
    state.attrs["weight_names"] = [name.encode() for name, _ in variables]
    for name, value in variables:
        state.create_dataset(name, data=value)


# Keras 1: the gates apart, in the order i, c, f, o, and names that say nothing.
with h5py.File(os.path.join(here, "keras1.h5"), "w") as f:
    names = ["memory", "norm", "score"]
    f.attrs["layer_names"] = [name.encode() for name in names]
    for layer, weights in WEIGHTS:
        inner = f.create_group(layer)
        arrays = [value for _, value in weights]
        if layer == "memory":
            gates = [[np.split(array, 4, axis=-1)[gate] for array in arrays] for gate in (0, 2, 1, 3)]
            arrays = [array for gate in gates for array in gate]
        inner.attrs["weight_names"] = [f"{layer}_param_{i}".encode() for i in range(len(arrays))]
        for i, array in enumerate(arrays):
            inner.create_dataset(f"{layer}_param_{i}", data=array)


def keras_file(name, folder, config, separator="/", state=(), more=None):
    image = io.BytesIO()
    with h5py.File(image, "w") as f:
        for path, (_, weights) in zip([["lstm", "cell"], ["batch_normalization"], ["dense"]], WEIGHTS):
            for i, (_, value) in enumerate(weights):
                f.create_dataset(separator.join([folder, *path]) + f"/vars/{i}", data=value)
        for i, value in enumerate(state):
            f.create_dataset(f"optimizer/vars/{i}", data=value)
        if more:
            more(f)
    with zipfile.ZipFile(os.path.join(here, name), "w") as z:
        for member, content in [("metadata.json", json.dumps({"keras_version": "2.15.0"})),
                                ("config.json", json.dumps(config)), ("model.weights.h5", image.getvalue())]:
            z.writestr(zipfile.ZipInfo(member, (2024, 1, 1, 0, 0, 0)), content)


KERAS2 = dict(CONFIG, module="keras", registered_name=None, compile_config={
    "optimizer": {"module": "keras.optimizers", "class_name": "Adam", "registered_name": None,
                  "config": {"name": "Adam", "learning_rate": 0.01, "jit_compile": False}},
    "loss": {"module": "keras.losses", "class_name": "BinaryCrossentropy", "registered_name": None,
             "config": {"reduction": "auto", "name": "binary_crossentropy", "from_logits": False,
                        "label_smoothing": 0.0, "axis": -1}}})
keras_file("keras2.keras", "_layer_checkpoint_dependencies", KERAS2)
keras_file("windows.keras", "layers", KERAS2, "\\")
keras3 = json.loads(json.dumps(CONFIG))
keras3["config"]["layers"].insert(0, {"class_name": "InputLayer", "module": "keras.layers",
                                      "config": {"batch_shape": [None, 5, 3], "name": "steps"}})
for layer in keras3["config"]["layers"]:
    layer["config"].pop("batch_input_shape", None)
    layer["config"]["dtype"] = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}}
keras_file("keras3.keras", "layers", keras3)
keras3["compile_config"] = KERAS2["compile_config"]
keras_file("state.keras", "layers", keras3, state=[np.int64(5), np.float32(0.01)] +
           [state_of(slot, k) for k in range(len(TRAINED)) for slot in range(2)])


# Hard links: a group that lies in itself, and much data of little under many names.
def put_cycle(f):
    cell = f["layers/lstm/cell"]
    for name in ("layer", "cell", "forward_layer", "backward_layer"):
        cell[name] = cell


def put_again(f):
    zeros = f.create_dataset("zeros", shape=(6 << 20,), dtype="f4", chunks=(1 << 20,), compression="gzip")
    zeros[...] = 0
    for i in range(20):
        f[f"optimizer/vars/{i}"] = zeros


keras_file("cycle.keras", "layers", keras3, more=put_cycle)
keras_file("again.keras", "layers", keras3, more=put_again)


# Every form of HDF5 that h5py writes and gradc reads; new.h5 has more kinds of indices of blocks.
def count_up(dtype, *shape):
    return (np.arange(np.prod(shape, dtype=int)) - (3 if np.dtype(dtype).kind != "u" else 0)).reshape(shape).astype(dtype)


def put_types(group):
    for letter in "iu":
        for bits in (8, 16, 32, 64):
            for order, name in (("<", "little"), (">", "big")):
                dtype = f"{order}{letter}{bits // 8}"
                group.create_dataset(f"{letter}{bits}_{name}", data=count_up(dtype, 3, 5))
    for bits in (16, 32, 64):
        for order, name in (("<", "little"), (">", "big")):
            group.create_dataset(f"f{bits}_{name}", data=ramp(3, 5).astype(f"{order}f{bits // 8}"))
    brain = h5py.h5t.IEEE_F32LE.copy()
    brain.set_fields(15, 7, 8, 0, 7)
    brain.set_size(2)
    brain.set_ebias(127)
    raw = h5py.h5d.create(group.id, b"bf16", brain, h5py.h5s.create_simple((3, 5)))
    raw.write(h5py.h5s.ALL, h5py.h5s.ALL, ramp(3, 5))
    group.create_dataset("large_u64", data=np.array([1 << 63], "u8"))
    group.create_dataset("compound", data=np.zeros(2, [("a", "f4"), ("b", "i4")]))
    group.create_dataset("truth", data=np.array([True, False]))
    group.create_dataset("text", data="no number")
    group["named_type"] = np.dtype("f4")
    group.create_dataset("of_named_type", data=ramp(4), dtype=group["named_type"])


def put_shapes(group):
    group.create_dataset("scalar", data=np.float32(2.5))
    group.create_dataset("empty", data=ramp(0, 3))
    group.create_dataset("null", data=h5py.Empty("f4"))
    group.create_dataset("nothing_stored", shape=(4, 3), dtype="f4", fillvalue=1.5)
    group.create_dataset("nothing_stored_big", shape=(4, 3), dtype=">i2", fillvalue=-7)
    put_array(group, "compact", ramp(2, 3), 1)


def put_blocks(group, new):
    packings = {"plain": {}, "gzip": {"compression": "gzip"}, "shuffle": {"shuffle": True},
                "all": {"compression": "gzip", "shuffle": True, "fletcher32": True}, "sum": {"fletcher32": True}}
    limits = {"fixed": None, "open": (None, 9), "open_second": (9, None), "open_both": (None, None)}
    for name, packing in packings.items():
        for limit, maxshape in limits.items() if new else [("fixed", None)]:
            if limit == "open_both" and name not in ("plain", "all"):
                continue
            group.create_dataset(f"{name}_{limit}", data=ramp(5, 7), chunks=(2, 3), maxshape=maxshape, **packing)
        if new:
            group.create_dataset(f"{name}_single", data=ramp(5, 7), chunks=(5, 7), **packing)
    group.create_dataset("odd_sum", data=count_up("i1", 7), chunks=(3,), fletcher32=True)
    group.create_dataset("cube", data=ramp(3, 4, 5), chunks=(2, 3, 2), maxshape=(6, 8, 5), compression="gzip")
    # More blocks than a page of a fixed array or a node of a tree has, and than an extensible array has at its begin.
    group.create_dataset("many", data=count_up("i1", 1100 if new else 150), chunks=(1,))
    group.create_dataset("many_open", data=count_up("i1", 300 if new else 150), chunks=(1,), maxshape=(None,))
    for name, count, maxshape in (("holes", 300000, (None,)), ("holes_fixed", 3000, None)):
        holes = group.create_dataset(name, shape=(count,), dtype="i1", chunks=(2,), fillvalue=9, maxshape=maxshape)
        holes[count - 10:count - 7] = [1, 2, 3]
    turn = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    turn.set_chunk((2, 3))
    turn.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    h5py.h5d.create(group.id, b"in_turn", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((5, 7)), turn).write(
        h5py.h5s.ALL, h5py.h5s.ALL, ramp(5, 7))
    skips = group.create_dataset("skips", shape=(4,), dtype="f4", chunks=(2,), compression="gzip")
    skips[...] = ramp(4)
    skips.id.write_direct_chunk((2,), ramp(4)[2:].tobytes(), filter_mask=1)


def put_attributes(group, count):
    texts = group.create_group(f"attributes{count}")
    for i in range(count):
        texts.attrs[f"text{i}"] = f"value {i}"
    texts.attrs["list"] = ["one", "two", "", "four"]
    texts.attrs["fixed"] = np.array([b"a", b"bcd"], "S3")
    texts.attrs["none"] = np.array([], "S1")
    texts.attrs["empty"] = h5py.Empty("S1")
    texts.attrs["number"] = 5
    for padding, name in ((h5py.h5t.STR_NULLTERM, b"term"), (h5py.h5t.STR_NULLPAD, b"pad"), (h5py.h5t.STR_SPACEPAD, b"space")):
        text = h5py.h5t.C_S1.copy()
        text.set_size(4)
        text.set_strpad(padding)
        made = h5py.h5a.create(texts.id, name, text, h5py.h5s.create(h5py.h5s.SCALAR))
        made.write(np.array(b"ab", "S4"), text)


def put_forms(f, new):
    put_types(f.create_group("types"))
    put_shapes(f.create_group("shapes"))
    put_blocks(f.create_group("blocks"), new)
    for count in (1, 12):
        put_attributes(f, count)
    f["shared_text"] = h5py.string_dtype()
    text = h5py.h5a.create(f.id, b"of_named_type", f["shared_text"].id, h5py.h5s.create(h5py.h5s.SCALAR))
    text.write(np.array("shared", object))
    for order in (False, True):
        for count in (3, 12, 300) if order else (3, 40):
            group = f.create_group(f"links{count}" + ("_ordered" if order else ""), track_order=order)
            for i in range(count):
                group.create_group(f"g{i}") if i % 100 == 1 else group.__setitem__(f"g{i}", f["shapes/scalar"])
    f["deep/er/and/deeper/scalar"] = f["shapes/scalar"]
    f["soft"] = h5py.SoftLink("/shapes/scalar")
    f["outside"] = h5py.ExternalLink("/etc/passwd", "/")


for name, libver in (("old.h5", "earliest"), ("new.h5", "latest")):
    with h5py.File(os.path.join(here, name), "w", libver=libver) as f:
        put_forms(f, libver == "latest")
        if libver == "latest":
            f.create_group("huge").attrs["text"] = np.array(b"x" * 70000)
