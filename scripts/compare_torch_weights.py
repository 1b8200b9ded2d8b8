#!/usr/bin/python3
"""Takes weights that PyTorch saved under its own names into gradc's networks, compares the predictions, and gives the weights back.

    scripts/compare_torch_weights.py [--gradc build/tools/gradc]

Exits 0 if all differences are below 1e-5, 1 if not, 77 (skip) without PyTorch (python3-torch)."""
import json
import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
try:
    import numpy as np
    import torch
    from torch import nn
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)
from safetensors_io import load, save

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
BOUND = 1e-5


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.a_table = nn.Embedding(7, 4)
        self.rnn = kind(4, 5, num_layers=2, batch_first=True)
        self.score = nn.Linear(5, 3)

    def forward(self, x):
        return self.score(self.rnn(self.a_table(x))[0][:, -1])


class Bidirectional(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.rnn = kind(3, 4, batch_first=True, bidirectional=True)
        self.score = nn.Linear(8, 2)

    def forward(self, x):
        return self.score(self.rnn(x.transpose(1, 2))[0])


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.att = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        x = x.transpose(1, 2)
        return self.norm(self.att(x, x, x)[0])


class Memory(nn.Module):
    """Keys and values of other features than the query's: three tensors."""

    def __init__(self):
        super().__init__()
        self.a_key = nn.Linear(8, 5)
        self.heads = nn.MultiheadAttention(8, 4, kdim=5, vdim=5, bias=False, batch_first=True)

    def forward(self, x):
        x = x.transpose(1, 2)
        memory = self.a_key(x)
        return self.heads(x, memory, memory)[0]


def image_net():
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(4, 8, 3, groups=4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(8 * 2 * 3, 5))


def other_net():
    return nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.ConvTranspose2d(6, 2, 3, stride=2), nn.Flatten(), nn.Linear(2 * 9 * 13, 4),
                         nn.LayerNorm(4))


def line_net():
    return nn.Sequential(nn.Conv1d(3, 4, 3, dilation=2), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 6, 2))


def layers_of(*layers, shape, dtype=None):
    entry = {"name": "x", "shape": shape}
    if dtype:
        entry["dtype"] = dtype
    return {"inputs": [entry], "layers": list(layers)}


def dense(units):
    return {"type": "dense", "units": units}


IMAGE = layers_of({"type": "conv2d", "name": "first", "filters": 4, "kernel_size": 3, "padding": "same"},
                  {"type": "batch_normalization", "name": "norm", "epsilon": 1e-5}, {"type": "relu"}, {"type": "max_pooling2d"},
                  {"type": "conv2d", "name": "second", "filters": 8, "kernel_size": 3, "groups": 4, "activation": "relu"},
                  {"type": "flatten"}, {"type": "dropout", "rate": 0.2}, {**dense(5), "name": "score"}, shape=[8, 10, 3])
OTHER = layers_of({"type": "depthwise_conv2d", "kernel_size": 3, "depth_multiplier": 2},
                  {"type": "conv2d_transpose", "filters": 2, "kernel_size": 3, "strides": 2}, {"type": "flatten"}, dense(4),
                  {"type": "layer_normalization", "epsilon": 1e-5}, shape=[6, 8, 3])
LINE = layers_of({"type": "conv1d", "filters": 4, "kernel_size": 3, "dilation_rate": 2, "activation": "tanh"}, {"type": "flatten"},
                 dense(2), shape=[10, 3])


def recurrent(kind):
    return layers_of({"type": "embedding", "input_dim": 7, "output_dim": 4}, {"type": kind, "units": 5, "return_sequences": True},
                     {"type": kind, "units": 5}, dense(3), shape=[6], dtype="int32")


def bidirectional(kind):
    return layers_of({"type": "bidirectional", "layer": {"type": kind, "units": 4, "return_sequences": True}}, dense(2), shape=[5, 3])


HEADS = layers_of({"type": "multi_head_attention", "num_heads": 2, "key_dim": 4, "name": "a"},
                  {"type": "layer_normalization", "epsilon": 1e-5, "name": "b"}, shape=[6, 8])
MEMORY = layers_of({"type": "dense", "units": 5, "name": "a"},
                   {"type": "multi_head_attention", "num_heads": 4, "key_dim": 2, "use_bias": False, "inputs": ["x", "a", "a"], "name": "h"},
                   shape=[6, 8])

# Name, network of PyTorch, of gradc, and which layer is which module where the order does not say it.
CASES = [("image", image_net, IMAGE, None), ("other", other_net, OTHER, None), ("line", line_net, LINE, None),
         ("lstm", lambda: Recurrent(nn.LSTM), recurrent("lstm"), None), ("gru", lambda: Recurrent(nn.GRU), recurrent("gru"), None),
         ("rnn", lambda: Recurrent(nn.RNN), recurrent("simple_rnn"), None),
         ("both lstm", lambda: Bidirectional(nn.LSTM), bidirectional("lstm"), None),
         ("both gru", lambda: Bidirectional(nn.GRU), bidirectional("gru"), None),
         ("heads", Heads, HEADS, None), ("memory", Memory, MEMORY, None),
         ("map", image_net, IMAGE, {"first": "0", "norm": "1", "second": "4", "score": "8"})]


def check(gradc, folder, name, make, model, mapped):
    torch.manual_seed(1)
    net = make().eval()
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.5, 0.5)
            part.running_var.uniform_(0.5, 1.5)
    paths = {end: os.path.join(folder, f"{name}.{end}") for end in ("json", "torch.safetensors", "map.json", "x.npy", "y.safetensors")}
    json.dump(model, open(paths["json"], "w"))
    save(paths["torch.safetensors"], {key: value.numpy() for key, value in net.state_dict().items()})
    words = [gradc, "convert", paths["json"], "--weights", paths["torch.safetensors"], "-o", os.path.join(folder, "native.json")]
    if mapped:
        json.dump(mapped, open(paths["map.json"], "w"))
        words += ["--map", paths["map.json"]]
    subprocess.run(words, check=True, capture_output=True)
    shape = [3, *model["inputs"][0]["shape"]]
    if len(shape) == 2:
        x = np.arange(np.prod(shape)).reshape(shape).astype(np.int32) * 5 % 7
        given = torch.tensor(x.astype(np.int64))
    else:
        x = np.sin(1 + 0.37 * np.arange(np.prod(shape))).reshape(shape).astype(np.float32)
        given = torch.tensor(np.moveaxis(x, -1, 1).copy())
    np.save(paths["x.npy"], x)
    subprocess.run([gradc, "predict", os.path.join(folder, "native.json"), "--weights", os.path.join(folder, "native.safetensors"),
                    "--in", paths["x.npy"], "--out", paths["y.safetensors"]], check=True, capture_output=True)
    with torch.no_grad():
        wanted = net(given).numpy()
    (ours,) = load(paths["y.safetensors"]).values()
    largest = float(np.abs(np.asarray(ours).reshape(wanted.shape) - wanted).max())
    return max(largest, give_back(gradc, folder, net, given, wanted, paths, mapped))


def give_back(gradc, folder, net, given, wanted, paths, mapped):
    """The same weights under PyTorch's names again: all of them, and a network that has them predicts the same. With no map
    the names are those of gradc's layers, and the tensors in the same order."""
    out = os.path.join(folder, "back.safetensors")
    subprocess.run([gradc, "convert", os.path.join(folder, "native.json"), "--weights", os.path.join(folder, "native.safetensors"),
                    "-o", out] + (["--map", paths["map.json"]] if mapped else []), check=True, capture_output=True)
    back = {name: torch.tensor(np.asarray(value)) for name, value in load(out).items()}
    names = [name for name in net.state_dict() if not name.endswith("num_batches_tracked")]
    if len(back) != len(names):
        raise SystemExit(f"{len(back)} tensors came back, of {len(names)}")
    if not mapped:
        order = sorted(names, key=module_place(names))
        again = sorted(back, key=module_place(list(back)))
        back = {name: back[other] for name, other in zip(order, again)}
    with torch.no_grad():
        for value in net.state_dict().values():
            value.zero_()
        net.load_state_dict(back)
        return float(np.abs(net(given).numpy() - wanted).max())


def module_place(names):
    """Modules in the order in which the file has them, tensors of a module by their names' ends."""
    modules = []
    for name in names:
        module = name.rpartition(".")[0].removesuffix(".out_proj") + layer_number(name)
        if module not in modules:
            modules.append(module)
    return lambda name: (modules.index(name.rpartition(".")[0].removesuffix(".out_proj") + layer_number(name)),
                         re.sub(r"_l\d+", "", name.rpartition(".")[2]) + ("o" if ".out_proj." in name else ""))


def layer_number(name):
    found = re.search(r"_l(\d+)(_reverse)?$", name)
    return "/" + found.group(1) if found else ""


def main():
    gradc = os.path.join(ROOT, "build/tools/gradc")
    if "--gradc" in sys.argv:
        gradc = sys.argv[sys.argv.index("--gradc") + 1]
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, *case in CASES:
            try:
                largest = check(gradc, folder, name, *case)
                good = largest <= BOUND
                text = f"largest difference {largest:.2e}"
            except subprocess.CalledProcessError as error:
                good, text = False, error.stderr.decode()
            bad += not good
            print(f"{'ok    ' if good else 'FAILED'} {name}: {text}")
    sys.exit(1 if bad else 0)


main()
