"""Losses of a few training steps on one batch, by gradc and by PyTorch with Keras's formulas of optimizers; stored as
NAME.losses.json and NAME.losses.safetensors for the tests."""
import json
import os
import subprocess

import numpy as np
import torch
import torch.nn.functional as F

import safetensors_io as st

STEPS, BOUND = 5, 2e-6


def gradc(command, *arguments):
    done = subprocess.run([command, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"gradc {' '.join(arguments)} exited {done.returncode}:\n{done.stderr}")
    return done.stdout


def run(command, model, tensors, directory, count=STEPS):
    paths = [os.path.join(directory, n) for n in ("model.json", "in.safetensors", "out.safetensors")]
    with open(paths[0], "w") as file:
        json.dump(model, file)
    st.save(paths[1], tensors)
    gradc(command, "run", paths[0], "--entry", "train_step", "--steps", str(count), "--in", paths[1], "--out", paths[2])
    return st.load(paths[2])


def shapes_of(command, model, batch, directory):
    """Of the model's parameters, by name."""
    tensors = run(command, model, batch, directory, 0)
    return {k: v.shape for k, v in tensors.items() if k != "loss" and not k.startswith("optimizer/")}


def step_of(optimizer, w, gradient, m, v, step):
    """One step of sgd, adam or adamw, in place."""
    rate = optimizer["learning_rate"]
    if optimizer["type"] == "sgd":
        w -= rate * gradient
        return
    one, two = optimizer.get("beta_1", 0.9), optimizer.get("beta_2", 0.999)
    w -= rate * optimizer.get("weight_decay", 0.004 if optimizer["type"] == "adamw" else 0.0) * w
    m += (gradient - m) * (1 - one)
    v += (gradient ** 2 - v) * (1 - two)
    w -= rate * (1 - two ** step) ** 0.5 / (1 - one ** step) * m / (v.sqrt() + 1e-7)


def trained(forward, weights, batch, optimizer, dtype=torch.float64):
    """PyTorch's losses, and the weights after the last step."""
    p = {name: torch.tensor(w, dtype=dtype, requires_grad=True) for name, w in weights.items()}  # copies, moved in place
    x, y = (torch.from_numpy(t).long() for t in batch.values())
    moments = {name: [torch.zeros_like(w), torch.zeros_like(w)] for name, w in p.items()}
    result = []
    for step in range(1, STEPS + 1):
        loss = F.cross_entropy(forward(p, x).flatten(0, 1), y.flatten(), ignore_index=-100)
        result.append(loss.item())
        gradients = torch.autograd.grad(loss, list(p.values()))
        with torch.no_grad():
            for (name, w), gradient in zip(p.items(), gradients):
                step_of(optimizer, w, gradient, *moments[name], step)
    return np.array(result), {name: w.detach().numpy() for name, w in p.items()}


def losses(forward, weights, batch, optimizer, dtype):
    return trained(forward, weights, batch, optimizer, dtype)[0]


def store(directory, name, model, tensors, expected):
    base = os.path.join(directory, f"{name}.losses")
    with open(base + ".json", "w") as file:
        json.dump(model, file, indent=1)
        file.write("\n")
    st.save(base + ".safetensors", tensors | {"expected/loss": expected})
