#!/usr/bin/python3
"""Takes weights that PyTorch saved under its own names into gradc's networks, and compares the predictions.

    scripts/compare_torch_weights.py [--gradc build/tools/gradc]

Exits 0 if all differences are below 1e-5, 1 if not, 77 (skip) without PyTorch (python3-torch)."""
import json
import os
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


# Name, network of PyTorch, of gradc, and which layer is which module where the order does not say it.
CASES = [("image", image_net, IMAGE, None), ("other", other_net, OTHER, None), ("line", line_net, LINE, None),
         ("lstm", lambda: Recurrent(nn.LSTM), recurrent("lstm"), None), ("gru", lambda: Recurrent(nn.GRU), recurrent("gru"), None),
         ("rnn", lambda: Recurrent(nn.RNN), recurrent("simple_rnn"), None),
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
    return float(np.abs(np.asarray(ours).reshape(wanted.shape) - wanted).max())


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
