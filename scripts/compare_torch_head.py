#!/usr/bin/env python3
"""Losses of 5 training steps of language models whose head goes by in blocks of rows, beside PyTorch in double precision.

  compare_torch_head.py [--gradc build/tools/gradc] [--store DIR]

The logits of 2,048 rows and 4,100 tokens are 32 MiB, from where on they are never stored as a whole (docs/fusion.md): with a head
of its own, tied to the embedding, and with five of six labels ignored; by SGD and by Adam (Keras's formula). Both sides get the same weights, tokens and
labels, and take every step on the same batch. Fails where a loss or a weight after the last step is further off than 1e-5 of it.
--store writes model, weights, batch and losses as files that the normal tests replay without PyTorch. Exits 77 where PyTorch is
missing.
"""
import argparse
import os
import sys
import tempfile

try:
    import numpy as np
    import torch
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import peer_losses_of_steps as steps

BATCH, TOKENS, VOCABULARY, WIDTH, RATE = 16, 128, 4100, 4, {"sgd": 2.0, "adam": 0.01}
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


def forward_of(tied):
    def forward(p, x):
        hidden = torch.tanh(p[TABLE][x] @ p["d/kernel"] + p["d/bias"])
        return hidden @ (p[TABLE].T if tied else p["head/kernel"]) + p["head/bias"]

    return forward


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gradc", default="build/tools/gradc")
    parser.add_argument("--store")
    options = parser.parse_args()
    worst = 0.0
    for tied in (False, True):
        for ignores in (False, True):
            for optimizer in ("sgd", "adam"):
                name = f"{'tied' if tied else 'own'}_{'ignored' if ignores else 'all'}_{optimizer}"
                data, weights = tensors_of(tied, ignores)
                model = model_of(name, tied, optimizer, ignores)
                with tempfile.TemporaryDirectory() as directory:
                    ours = steps.run(options.gradc, model, data | weights, directory)
                    shown = steps.gradc(options.gradc, "inspect", os.path.join(directory, "model.json"), "--stage", "fused")
                    if "= scan(" not in shown:
                        raise RuntimeError(f"{name}: the head does not go by in blocks")
                losses, wanted = steps.trained(forward_of(tied), weights, data, model["training"]["optimizer"])
                if options.store:
                    steps.store(options.store, f"head_{name}", model, data | weights, losses)
                difference = float(np.abs(ours["loss"] / losses - 1).max())
                far = max(float(np.abs(ours[n] - w).max() / np.abs(w).max()) for n, w in wanted.items())
                worst = max(worst, difference, far)
                print(f"{name:18s} losses {' '.join(f'{x:.6f}' for x in losses)}  off {difference:.1e}, weights {far:.1e}")
    print(f"largest relative difference {worst:.1e}, bound {BOUND:.0e}")
    return 0 if worst < BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
