#!/usr/bin/env python3
"""Losses of 5 training steps of whole models, beside PyTorch in double and in single precision.

  compare_torch_models.py [--gradc build/tools/gradc] [--store DIR]

The models of benchmarks/models (char-gpt, char-gpt-big, GPT-2 124M, BERT-tiny, LSTM), with fewer and narrower layers and fewer
tokens, else as they are measured: attention long enough to go by in tiles, tied heads, five of six of BERT's labels ignored,
AdamW and Adam by Keras's formula. Both sides get the same weights and take every step on the same batch. Fails where a loss is
further off PyTorch's in double precision than 2e-6 of it. --store writes model, weights, batch and losses as files that the
normal tests replay without PyTorch. Exits 77 where PyTorch is missing.
"""
import argparse
import json
import os
import sys
import tempfile

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import peer_losses_of_steps as steps

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BATCH, VOCABULARY, WIDTH, HEADS, REPEAT = 2, 50, 16, 2, 2


def narrowed(layer, width):
    """A layer of the measured model with the sizes of this script."""
    layer = dict(layer)
    sizes = {"num_heads": HEADS, "key_dim": width // HEADS, "embedding_dim": width, "output_dim": width, "input_dim": VOCABULARY,
             "vocabulary_size": VOCABULARY, "repeat": REPEAT}
    for option, size in sizes.items():
        if option in layer:
            layer[option] = size
    if "units" in layer:
        head = layer["name"] in ("next", "token") if "name" in layer else False
        inner = layer["type"] == "dense" and "name" not in layer
        layer["units"] = VOCABULARY if head else 4 * width if inner else width
    return layer


def reduced(name, tokens):
    with open(os.path.join(ROOT, "benchmarks", "models", f"{name}.json")) as file:
        model = json.load(file)
    model["inputs"][0]["shape"] = [tokens]
    for block in model.get("blocks", {}).values():
        block["layers"] = [narrowed(layer, WIDTH) for layer in block["layers"]]
    model["layers"] = [narrowed(layer, WIDTH) for layer in model["layers"]]
    for layer in model["layers"]:
        if "sequence_length" in layer:
            layer["sequence_length"] = tokens
    model["training"]["batch_size"] = BATCH
    model["training"]["optimizer"]["learning_rate"] = 0.01  # 5 steps are to be seen
    return model


def norm(p, name, x, epsilon):
    return F.layer_norm(x, x.shape[-1:], p[f"{name}/gamma"], p.get(f"{name}/beta"), epsilon)


def dense(p, name, x):
    y = x @ p[f"{name}/kernel"]
    return y + p[f"{name}/bias"] if f"{name}/bias" in p else y


def attention(p, name, x, causal):
    def heads(part):
        y = torch.einsum("btd,dhk->bhtk", x, p[f"{name}/{part}/kernel"])
        return y + p[f"{name}/{part}/bias"][:, None] if f"{name}/{part}/bias" in p else y

    query, key, value = heads("query"), heads("key"), heads("value")
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    if causal:
        tokens = x.shape[1]
        scores = scores.masked_fill(torch.ones(tokens, tokens, dtype=torch.bool).triu(1), float("-inf"))
    y = torch.einsum("bhtk,hkd->btd", torch.softmax(scores, -1) @ value, p[f"{name}/attention_output/kernel"])
    bias = f"{name}/attention_output/bias"
    return y + p[bias] if bias in p else y


TABLE = "embedding/token_embedding/embeddings"


def embedded(p, x):
    return p[TABLE][x] + p["embedding/position_embedding/embeddings"][:x.shape[1]]


def gpt(p, x):
    y = embedded(p, x)
    for i in range(REPEAT):
        y = y + attention(p, f"decoder_{i}/attention", norm(p, f"decoder_{i}/layer_norm", y, 1e-5), True)
        inner = F.gelu(dense(p, f"decoder_{i}/dense", norm(p, f"decoder_{i}/layer_norm_1", y, 1e-5)))
        y = y + dense(p, f"decoder_{i}/out", inner)
    return norm(p, "layer_norm", y, 1e-5) @ p[TABLE].T


def bert(p, x):
    y = norm(p, "layer_norm", embedded(p, x), 1e-12)
    for i in range(REPEAT):
        y = norm(p, f"encoder_{i}/norm1", y + attention(p, f"encoder_{i}/attention", y, False), 1e-12)
        y = norm(p, f"encoder_{i}/layer_norm", y + dense(p, f"encoder_{i}/out", F.gelu(dense(p, f"encoder_{i}/dense", y))), 1e-12)
    y = norm(p, "layer_norm_1", F.gelu(dense(p, "transform", y)), 1e-12)
    return y @ p[TABLE].T + p["token/bias"]


def lstm(p, x):
    x = p["embedding/embeddings"][x] @ p["lstm/kernel"] + p["lstm/bias"]
    h = c = x.new_zeros(x.shape[0], x.shape[-1] // 4)
    outputs = []
    for step in x.unbind(1):
        i, f, g, o = (step + h @ p["lstm/recurrent_kernel"]).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        outputs.append(h)
    return dense(p, "next", torch.stack(outputs, 1))


MODELS = {  # name -> (tokens, forward, head)
    "char_gpt": (64, gpt, "next"), "char_gpt_big": (128, gpt, "next"), "gpt2_124m": (64, gpt, "next"),
    "bert_tiny": (128, bert, "token"), "lstm": (64, lstm, "next"),
}


def batch_of(name, tokens, head):
    g = np.random.default_rng(11)
    labels = g.integers(0, VOCABULARY, (BATCH, tokens)).astype("i4")
    if name.startswith("bert"):
        labels[g.random(labels.shape) < 5 / 6] = -100
    return {"input/" + ("tokens" if name.startswith("bert") else "text"): g.integers(0, VOCABULARY, (BATCH, tokens)).astype("i4"),
            f"target/{head}": labels}


def weights_of(shapes):
    g = np.random.default_rng(12)
    weights = {}
    for name in sorted(shapes):
        drawn = g.standard_normal(shapes[name])
        scale = 0.5 / shapes[name][0] ** 0.5 if len(shapes[name]) > 1 else 0.1
        weights[name] = (drawn * scale + name.endswith("gamma")).astype("f4")
    return weights


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gradc", default=os.path.join(ROOT, "build", "tools", "gradc"))
    parser.add_argument("--store")
    options = parser.parse_args()
    worst = 0.0
    with tempfile.TemporaryDirectory() as directory:
        for name, (tokens, forward, head) in MODELS.items():
            model, batch = reduced(name, tokens), batch_of(name, tokens, head)
            weights = weights_of(steps.shapes_of(options.gradc, model, batch, directory))
            ours = steps.run(options.gradc, model, batch | weights, directory)["loss"].astype("f8")
            wanted = {t: steps.losses(forward, weights, batch, model["training"]["optimizer"], t) for t in (torch.float64, torch.float32)}
            off = {t: float(np.abs(ours / losses - 1).max()) for t, losses in wanted.items()}
            worst = max(worst, off[torch.float64])
            print(f"{name:14s} losses {' '.join(f'{x:.6f}' for x in wanted[torch.float64])}  off {off[torch.float64]:.1e}, "
                  f"PyTorch's in float32 {off[torch.float32]:.1e}")
            if options.store:
                steps.store(options.store, f"whole_{name}", model, batch | weights, wanted[torch.float64])
    print(f"largest relative difference {worst:.1e}, bound {steps.BOUND:.0e}")
    return 0 if worst < steps.BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
