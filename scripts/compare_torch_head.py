#!/usr/bin/env python3
"""Losses of 5 training steps of language models whose head goes by in blocks of rows, beside PyTorch in double precision.

  compare_torch_head.py [--gradc build/tools/gradc]

The logits of 2,048 rows and 4,100 tokens are 32 MiB, from where on they are never stored as a whole (docs/fusion.md): with a head
of its own, tied to the embedding, and with five of six labels ignored; by SGD and by Adam (Keras's formula). Both sides get the same weights, tokens and
labels, and take every step on the same batch. Fails where a loss or a weight after the last step is further off than 1e-5 of it.
Exits 77 where PyTorch is missing.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

import safetensors_io as st

BATCH, TOKENS, VOCABULARY, WIDTH, STEPS, RATE = 16, 128, 4100, 16, 5, {"sgd": 2.0, "adam": 0.01}
TABLE, BOUND = "e/embeddings", 1e-5


def model_of(name, tied, optimizer, ignores):
    head = {"type": "dense", "name": "head", "units": VOCABULARY}
    return {"name": name, "inputs": [{"name": "x", "shape": [TOKENS], "dtype": "int32"}],
            "layers": [{"type": "embedding", "name": "e", "input_dim": VOCABULARY, "output_dim": WIDTH},
                       {"type": "dense", "name": "d", "units": WIDTH, "activation": "tanh"},
                       head | ({"tied_to": "e"} if tied else {})],
            "training": {"loss": {"type": "sparse_categorical_crossentropy", "from_logits": True} |
                                 ({"ignore_class": -100} if ignores else {}),
                         "optimizer": {"type": optimizer, "learning_rate": RATE[optimizer]}, "batch_size": BATCH}}


def tensors_of(tied, ignores):
    g = np.random.default_rng(8)
    weights = {TABLE: (VOCABULARY, WIDTH), "d/kernel": (WIDTH, WIDTH), "d/bias": (WIDTH,), "head/bias": (VOCABULARY,)}
    if not tied:
        weights["head/kernel"] = (WIDTH, VOCABULARY)
    labels = g.integers(0, VOCABULARY, (BATCH, TOKENS)).astype("i4")
    if ignores:
        labels[g.random((BATCH, TOKENS)) < 5 / 6] = -100
    data = {"input/x": g.integers(0, VOCABULARY, (BATCH, TOKENS)).astype("i4"), "target/head": labels}
    return data, {name: (g.standard_normal(shape) * 0.5).astype("f4") for name, shape in weights.items()}


def torch_steps(data, weights, tied, optimizer):
    """The losses, and the weights after the last step."""
    p = {name: torch.from_numpy(w).double().requires_grad_() for name, w in weights.items()}
    x, y = (torch.from_numpy(t).long() for t in data.values())
    moments = {name: [torch.zeros_like(w), torch.zeros_like(w)] for name, w in p.items()}
    losses = []
    for step in range(1, STEPS + 1):
        hidden = torch.tanh(p[TABLE][x] @ p["d/kernel"] + p["d/bias"])
        logits = hidden @ (p[TABLE].T if tied else p["head/kernel"]) + p["head/bias"]
        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=-100)
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, list(p.values()))
        with torch.no_grad():
            for (name, w), gradient in zip(p.items(), gradients):
                if optimizer == "sgd":
                    w -= RATE["sgd"] * gradient
                    continue
                m, v = moments[name]
                m += (gradient - m) * (1 - 0.9)
                v += (gradient ** 2 - v) * (1 - 0.999)
                w -= RATE["adam"] * (1 - 0.999 ** step) ** 0.5 / (1 - 0.9 ** step) * m / (v.sqrt() + 1e-7)
    return np.array(losses), {name: w.detach().numpy() for name, w in p.items()}


def gradc(options, *arguments):
    done = subprocess.run([options.gradc, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"gradc {' '.join(arguments)} exited {done.returncode}:\n{done.stderr}")
    return done.stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gradc", default="build/tools/gradc")
    options = parser.parse_args()
    worst = 0.0
    for tied in (False, True):
        for ignores in (False, True):
            for optimizer in ("sgd", "adam"):
                name = f"{'tied' if tied else 'own'}_{'ignored' if ignores else 'all'}_{optimizer}"
                data, weights = tensors_of(tied, ignores)
                with tempfile.TemporaryDirectory() as directory:
                    paths = [os.path.join(directory, n) for n in ("model.json", "in.safetensors", "out.safetensors")]
                    with open(paths[0], "w") as file:
                        json.dump(model_of(name, tied, optimizer, ignores), file)
                    if "= scan(" not in gradc(options, "inspect", paths[0], "--stage", "fused"):
                        raise RuntimeError(f"{name}: the head does not go by in blocks")
                    st.save(paths[1], data | weights)
                    gradc(options, "run", paths[0], "--entry", "train_step", "--steps", str(STEPS), "--in", paths[1], "--out", paths[2])
                    ours = st.load(paths[2])
                losses, wanted = torch_steps(data, weights, tied, optimizer)
                difference = float(np.abs(ours["loss"] / losses - 1).max())
                far = max(float(np.abs(ours[n] - w).max() / np.abs(w).max()) for n, w in wanted.items())
                worst = max(worst, difference, far)
                print(f"{name:18s} losses {' '.join(f'{x:.6f}' for x in losses)}  off {difference:.1e}, weights {far:.1e}")
    print(f"largest relative difference {worst:.1e}, bound {BOUND:.0e}")
    return 0 if worst < BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
