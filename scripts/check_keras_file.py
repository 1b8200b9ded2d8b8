#!/usr/bin/python3
"""Checks .keras archives that `gradc convert` wrote against Keras 3's own rules, by code that shares nothing with the writer.

    scripts/check_keras_file.py [--gradc build/tools/gradc] [MODEL...]

MODEL: files with weights that gradc reads; default: those of tests/exchange. Each is written as .keras and as native files. The
archive must be stored, its layers in the order in which Keras keeps them (by depth, then as a search from the outputs meets
them), and every variable of a layer at `layers/<snake_case class>[_n]/...` with the shape that Keras gives it and the bits of
the native file. Where it is of Keras 3, every object of Keras's own has constructor arguments that it has (scripts/keras_arguments.json:
Keras 3.8's and RMSNormalization, those of all layers left out), in some of examples/networks too. Exits 0 if all hold, 1 if not, 77 (skip) without h5py (python3-h5py)."""
import io
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import zipfile

try:
    import h5py
    import numpy as np
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")


ARGUMENTS = {name: set(text.split()) for name, text in json.load(open(os.path.join(ROOT, "scripts/keras_arguments.json"))).items()}
OF_ALL_LAYERS = {"name", "dtype", "trainable", "autocast", "activity_regularizer"}


def unknown_arguments(value):
    """Of every object of Keras's own inside a config: what its constructor does not take."""
    if isinstance(value, dict):
        module, kind, config = (value.get(key) for key in ("module", "class_name", "config"))
        if isinstance(module, str) and module.startswith("keras.") and isinstance(config, dict) and kind not in (
                "Functional", "Sequential", "Model", "DTypePolicy"):
            family = module.split(".")[1]
            known = ARGUMENTS.get(f"{family}.{kind}")
            if known is None:
                yield f"Keras has no {family}.{kind}"
            else:
                for name in config:
                    if name not in known and not (family == "layers" and name in OF_ALL_LAYERS):
                        yield f"{kind} has no argument {name}"
        for part in value.values():
            yield from unknown_arguments(part)
    elif isinstance(value, list):
        for part in value:
            yield from unknown_arguments(part)


def check_arguments(archive):
    model, version = (json.loads(archive.read(name)) for name in ("config.json", "metadata.json"))
    problems = sorted(set(unknown_arguments(model))) if version["keras_version"].startswith("3.") else []
    assert not problems, "; ".join(problems)


def read_safetensors(path):
    data = open(path, "rb").read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    kinds = {"F32": "<f4", "I32": "<i4", "I64": "<i8"}
    return {name: np.frombuffer(data[8 + length:][slice(*entry["data_offsets"])], kinds[entry["dtype"]]).reshape(entry["shape"])
            for name, entry in header.items() if name != "__metadata__"}


def snake(name):
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def tensors(value):
    """[layer, call] of every tensor in a call's arguments, of either form."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            yield tuple(value["config"]["keras_history"][:2])
        else:
            for part in value.values():
                yield from tensors(part)
    elif isinstance(value, list):
        if len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int):
            yield (value[0], value[1])
            if len(value) > 3:
                yield from tensors(value[3])
        else:
            for part in value:
                yield from tensors(part)


def keras_order(config):
    calls = {(layer["name"], i): list(tensors(node)) for layer in config["layers"] for i, node in enumerate(layer["inbound_nodes"])}
    calls.update({(layer["name"], 0): [] for layer in config["layers"] if not layer["inbound_nodes"]})
    met, finished = {}, []

    def visit(call):
        if call in finished:
            return
        met.setdefault(call[0], len(met))
        for parent in calls[call]:
            visit(parent)
        finished.append(call)

    for name, node, _ in config["output_layers"]:
        visit((name, node))
    depth, layer_depth = {}, {}
    for call in reversed(finished):
        depth[call] = layer_depth[call[0]] = max(depth.get(call, 0), layer_depth.get(call[0], 0))
        for parent in calls[call]:
            depth[parent] = max(depth.get(parent, 0), depth[call] + 1)
    return sorted(met, key=lambda name: (-layer_depth[name], met[name]))


def objects(layer):
    """The objects inside of a layer that have variables, with the prefix of their names in a native file."""
    kind, config = layer["class_name"], layer["config"]
    if kind in ("LSTM", "GRU", "SimpleRNN"):
        return [("cell", "")]
    if kind == "Bidirectional":
        inner = config["layer"]["config"]["name"]
        return [("forward_layer/cell", f"forward_{inner}/"), ("backward_layer/cell", f"backward_{inner}/")]
    if kind == "TimeDistributed":
        return [("layer", "")]
    if kind == "MultiHeadAttention":
        return [(f"{part}_dense", f"{name}/") for part, name in
                (("query", "query"), ("key", "key"), ("value", "value"), ("output", "attention_output"))]
    return [("", "")]


ORDER = ["embeddings", "depthwise_kernel", "pointwise_kernel", "kernel", "recurrent_kernel", "gamma", "beta", "alpha", "bias",
         "moving_mean", "moving_variance"]


def check(path, native):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        check_arguments(archive)
        assert archive.namelist() == ["metadata.json", "config.json", "model.weights.h5"], archive.namelist()
        metadata, model = json.loads(archive.read("metadata.json")), json.loads(archive.read("config.json"))
        file = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
    config = model["config"]
    names = [layer["name"] for layer in config["layers"]]
    assert names == keras_order(config), (names, keras_order(config))
    weights = read_safetensors(native)
    counts, seen = {}, 0
    for layer in config["layers"]:
        kind = snake(layer["class_name"])
        number = counts[kind] = counts.get(kind, -1) + 1
        place = f"layers/{kind}" + (f"_{number}" if number else "")
        if layer["class_name"] == "InputLayer":
            continue
        for inner, prefix in objects(layer):
            variables = file.get("/".join(filter(None, [place, inner, "vars"])), {})
            start = f"{layer['name']}/{prefix}"
            wanted = sorted((n for n in weights if n.startswith(start) and "/" not in n[len(start):]),
                            key=lambda n: ORDER.index(n[len(start):]))
            assert len(variables) == len(wanted), (place, list(variables), wanted)
            for i, name in enumerate(wanted):
                value = variables[str(i)][()]
                assert value.shape == weights[name].shape and value.tobytes() == weights[name].tobytes(), (place, i, name)
                seen += 1
    state = [n for n in weights if n.startswith("optimizer/")]
    assert seen + len(state) == len(weights), (seen, len(state), len(weights))
    if state and "optimizer" in file:
        variables = file["optimizer/vars"]
        assert variables["0"].dtype == np.int64 and variables["0"][()] == weights["optimizer/iteration"], variables["0"][()]
    assert "compile_config" in model
    return f"Keras {metadata['keras_version']}, {seen} variables, {len(state)} of the optimizer"


def main():
    gradc, models = os.path.join(ROOT, "build/tools/gradc"), []
    words = sys.argv[1:]
    while words:
        word = words.pop(0)
        if word == "--gradc":
            gradc = words.pop(0)
        else:
            models.append(word)
    if not models:
        models = [os.path.join(ROOT, "tests/exchange", name) for name in ("whole.h5", "keras2.keras", "state.h5", "state.keras", "tfjs")]
        networks = ("resnet20", "unet", "efficientnet_b0", "mobilenet_v3_small")
        models += [os.path.join(ROOT, "examples/networks", name + ".json") for name in networks]
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for model in models:
            out = os.path.join(folder, "m.keras")
            described = model.endswith(".json") and "examples" in model  # without weights
            try:
                for target in (out,) if described else (out, os.path.join(folder, "m.json")):
                    subprocess.run([gradc, "convert", model, "-o", target, "--no-warn", "assumed"], check=True, capture_output=True)
                if described:
                    with zipfile.ZipFile(out) as archive:
                        check_arguments(archive)
                    print(f"ok     {os.path.basename(model)}: Keras has all arguments")
                    continue
                print(f"ok     {os.path.basename(model)}: {check(out, os.path.join(folder, 'm.safetensors'))}")
            except subprocess.CalledProcessError as error:
                bad += 1
                print(f"FAILED {os.path.basename(model)}: {error.stderr.decode()}")
            except AssertionError as error:
                bad += 1
                print(f"FAILED {os.path.basename(model)}: {error}")
    sys.exit(1 if bad else 0)


main()
