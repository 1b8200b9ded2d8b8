#!/usr/bin/env python3
"""Recurrences built from raw ops, and what PyTorch's autograd (float64) makes of them: loss and gradients.

  compare_torch_loops.py --store tests/peer_loops

writes per case NAME.gir, a graph with a loss for `gradc opt --passes=differentiate` and the tests, and NAME.safetensors
with the inputs (by name) and PyTorch's results (expected/...). The normal tests replay them without PyTorch: the
interpreter on the differentiated graph, and compiled code. Exits 77 (skip) where PyTorch is not installed.
"""
import argparse
import os
import sys
import zlib

try:
    import numpy as np
    import torch
    from torch.nn.utils.stateless import functional_call
except ImportError as error:
    print(f"skipped: {error} (Debian: apt-get install python3-torch)")
    sys.exit(77)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors_io as st

T, B, I, H, O = 7, 3, 4, 5, 2

LOSS = """  %difference = sub %ys, %target : f32[{T}x{B}x{O}]
  %square = mul %difference, %difference : f32[{T}x{B}x{O}]
  %loss = reduce_sum %square {{axes=[0, 1, 2]}} : f32[]
  return loss=%loss
}}
"""

ELMAN = """graph @elman {{
  input %x : f32[{T}x{B}x{I}]
  input %target : f32[{T}x{B}x{O}]
  param %h0 : f32[{B}x{H}]
  param %w : f32[{I}x{H}]
  param %u : f32[{H}x{H}]
  param %b : f32[{H}]
  param %v : f32[{H}x{O}]
  %last, %ys = scan(%h=%h0, %x, %w, %u, %b, %v) {{steps={T}, carries=1, slices=1{reverse}}} : f32[{B}x{H}], f32[{T}x{B}x{O}] {{
    %0 = matmul %x, %w : f32[{B}x{H}]
    %1 = matmul %h, %u : f32[{B}x{H}]
    %2 = broadcast %b {{dims=[1]}} : f32[{B}x{H}]
    %3 = add %0, %1 : f32[{B}x{H}]
    %4 = add %3, %2 : f32[{B}x{H}]
    %next = tanh %4 : f32[{B}x{H}]
    %y = matmul %next, %v : f32[{B}x{O}]
    yield %next, %y
  }}
"""

GATES = """graph @lstm {{
  input %x : f32[{T}x{B}x{I}]
  input %target : f32[{T}x{B}x{O}]
  param %h0 : f32[{B}x{H}]
  param %c0 : f32[{B}x{H}]
  param %w : f32[{I}x{G}]
  param %u : f32[{H}x{G}]
  param %b : f32[{G}]
  param %v : f32[{H}x{O}]
  %last, %cell, %ys = scan(%h=%h0, %c=%c0, %x, %w, %u, %b, %v) {{steps={T}, carries=2, slices=1}} : f32[{B}x{H}], f32[{B}x{H}], f32[{T}x{B}x{O}] {{
    %0 = matmul %x, %w : f32[{B}x{G}]
    %1 = matmul %h, %u : f32[{B}x{G}]
    %2 = broadcast %b {{dims=[1]}} : f32[{B}x{G}]
    %3 = add %0, %1 : f32[{B}x{G}]
    %z = add %3, %2 : f32[{B}x{G}]
    %zi = slice %z {{start=[0, 0], limit=[{B}, {H}]}} : f32[{B}x{H}]
    %zf = slice %z {{start=[0, {H}], limit=[{B}, {H2}]}} : f32[{B}x{H}]
    %zg = slice %z {{start=[0, {H2}], limit=[{B}, {H3}]}} : f32[{B}x{H}]
    %zo = slice %z {{start=[0, {H3}], limit=[{B}, {G}]}} : f32[{B}x{H}]
    %i = sigmoid %zi : f32[{B}x{H}]
    %f = sigmoid %zf : f32[{B}x{H}]
    %g = tanh %zg : f32[{B}x{H}]
    %o = sigmoid %zo : f32[{B}x{H}]
    %kept = mul %f, %c : f32[{B}x{H}]
    %new = mul %i, %g : f32[{B}x{H}]
    %next_c = add %kept, %new : f32[{B}x{H}]
    %squashed = tanh %next_c : f32[{B}x{H}]
    %next_h = mul %o, %squashed : f32[{B}x{H}]
    %y = matmul %next_h, %v : f32[{B}x{O}]
    yield %next_h, %next_c, %y
  }}
"""


def elman(p, reverse=False):
    h, ys = p["h0"], [None] * T
    for t in reversed(range(T)) if reverse else range(T):
        h = torch.tanh(p["x"][t] @ p["w"] + h @ p["u"] + p["b"])
        ys[t] = h @ p["v"]
    return torch.stack(ys)


def lstm(p):
    """PyTorch's own LSTM cell: gates in the order input, forget, cell, output."""
    cell = torch.nn.LSTMCell(I, H, dtype=torch.float64)
    zero = torch.zeros_like(p["b"])
    values = {"weight_ih": p["w"].T, "weight_hh": p["u"].T, "bias_ih": p["b"], "bias_hh": zero}
    h, c, ys = p["h0"], p["c0"], []
    for t in range(T):
        h, c = functional_call(cell, values, (p["x"][t], (h, c)))
        ys.append(h @ p["v"])
    return torch.stack(ys)


SIZES = dict(T=T, B=B, I=I, H=H, O=O, H2=2 * H, H3=3 * H, G=4 * H)
ELMAN_SHAPES = {"x": (T, B, I), "target": (T, B, O), "h0": (B, H), "w": (I, H), "u": (H, H), "b": (H,), "v": (H, O)}
LSTM_SHAPES = ELMAN_SHAPES | {"c0": (B, H), "w": (I, 4 * H), "u": (H, 4 * H), "b": (4 * H,)}
CASES = {
    "elman": (ELMAN.format(reverse="", **SIZES), ELMAN_SHAPES, elman),
    "elman_reverse": (ELMAN.format(reverse=", reverse=true", **SIZES), ELMAN_SHAPES, lambda p: elman(p, True)),
    "lstm": (GATES.format(**SIZES), LSTM_SHAPES, lstm),
}


def store(folder, name):
    text, shapes, forward = CASES[name]
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    inputs = {key: (0.6 * generator.standard_normal(shape)).astype("f4") for key, shape in shapes.items()}
    values = {key: torch.tensor(value.astype("f8"), requires_grad=True) for key, value in inputs.items()}
    loss = ((forward(values) - values["target"]) ** 2).sum()
    loss.backward()
    tensors = dict(inputs) | {"expected/loss": np.array(loss.item())}
    for key, value in values.items():
        if key not in ("x", "target"):
            tensors["expected/gradient/" + key] = value.grad.numpy()
    with open(os.path.join(folder, name + ".gir"), "w", encoding="utf-8") as file:
        file.write(text + LOSS.format(**SIZES))
    st.save(os.path.join(folder, name + ".safetensors"), tensors)
    print(f"{name}: loss {loss.item():.6f}, {len(tensors)} tensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True, metavar="DIR")
    args = parser.parse_args()
    os.makedirs(args.store, exist_ok=True)
    for name in CASES:
        store(args.store, name)


if __name__ == "__main__":
    main()
