#!/usr/bin/env python3
"""Compares gradc with PyTorch, tensor by tensor, through `gradc run`.

  compare_torch.py [--gradc build/tools/gradc] [--full] [--store DIR] [--only PREFIX]

Gradients: every activation, loss, convolution, pooling, recurrent and attention setting of peer_cases.py, of the last
two the outputs too. Weights: three MLPs and a LeNet,
every optimizer by Keras's formula and by PyTorch's own class (torch_...), 20 steps on one batch. The reference is PyTorch
in float64 with autograd; gradc computes in float32. The difference of two tensors is max |a - b| / max |b|. Initial
values: every initializer on a dense and a convolution kernel, by the statistics of peer_initializers.py. Tables of which only
the rows that are looked up are trained: weights and slots after 20 steps (peer_sparse.py).

What float32 cannot tell is left out, and counted. Most optimizers divide a gradient by its own size: where a gradient is
no more than the rounding of its sum, the direction of the step hangs on that rounding (PyTorch's own float32 differs
from its float64 there by up to twice the learning rate, 3e-4 of the largest weight). So an element is left out from the
step on whose result moves by half a bound when the gradient moves by GRADIENT_NOISE times what PyTorch's float32
gradient of that tensor is off at most. No more than UNDECIDED of the elements may be
left out (in small networks UNDECIDED_AT_LEAST).

--full adds the full-size LeNet (28x28, 225,034 parameters), once of relu and max pooling and once of tanh and average
pooling, at a quarter of the learning rates. Among the millions of relu and max-pool decisions of the first there may be
one that hangs on less than float32 can tell: on less than DECISION_MARGIN, or PyTorch's own float32 takes it differently.
From that step on the two trainings are different ones, so weights are compared after the step before it, and the step is
printed.
--store writes model, inputs and PyTorch's results as files that the normal tests replay without PyTorch.
Exits 0 if all differences are in bounds, 1 if not, 77 (skip) where PyTorch is not installed.
"""
import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
except ImportError as error:
    print(f"skipped: {error} (Debian: apt-get install python3-torch)")
    sys.exit(77)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import peer_cases as cases
import peer_initializers as initializers
import peer_optimizers
import peer_own_losses
import peer_sparse
import safetensors_io as st

GRADIENT_BOUND, WEIGHT_BOUND, STEPS = 1e-5, 1e-5, 20
ZERO = 1e-11
GRADIENT_NOISE, UNDECIDED, UNDECIDED_AT_LEAST = 4.0, 0.03, 8
STATES = ("/mean", "/variance", "/vector_u")  # not trained
DECISION_MARGIN = 6e-8  # of values around 1: one float32 rounding


def initial_parameters(case):
    g = cases.rng(case.name + "/init")
    result = {}
    for name, shape in case.params.items():
        fan_in = max(int(np.prod(shape[:-1])), 1)
        scale = 0.3 if name.endswith("bias") else 1.0 / np.sqrt(fan_in)
        result[name] = (g.standard_normal(shape) * scale).astype("f4")
        if name.endswith("variance"):
            result[name] = np.abs(result[name]) + np.float32(0.5)
    return result


def run_gradc(gradc, case, entry, tensors, directory, steps=None):
    model_path = os.path.join(directory, "model.json")
    with open(model_path, "w") as file:
        json.dump(case.model, file)
    paths = [os.path.join(directory, n) for n in ("in.safetensors", "out.safetensors")]
    st.save(paths[0], tensors)
    command = [gradc, "run", model_path, "--entry", entry, "--in", paths[0], "--out", paths[1]]
    if steps is not None:
        command += ["--steps", str(steps)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} exited {done.returncode}:\n{done.stderr}")
    return st.load(paths[1])


def inputs_of(case, params, entry="gradients"):
    target = case.y if isinstance(case.y, dict) else {f"target/{case.target}": case.y}
    target = {} if entry == "predict" else target
    arrays = case.x if isinstance(case.x, dict) else {"x": case.x}
    return {**{f"input/{k}": v for k, v in arrays.items()}, **target, **params}


def as_double(array):
    if isinstance(array, dict):
        return {k: as_double(v) for k, v in array.items()}
    t = torch.from_numpy(np.array(array))
    return t.double() if t.is_floating_point() else t.long()


def before(case, p):
    return p if case.before is None else case.before(p)


def torch_gradients(case, params):
    p = before(case, {k: as_double(v) for k, v in params.items()})
    p = {k: v.requires_grad_() for k, v in p.items()}
    loss = case.loss(case.forward(p, as_double(case.x)), as_double(case.y))
    loss.backward()
    result = {f"gradient/{k}": v.grad.numpy() for k, v in p.items()
              if v.grad is not None and not k.endswith(STATES)}
    result["loss"] = loss.detach().numpy()
    return result


def torch_outputs(case, params):
    with torch.no_grad():
        return {f"output/{case.target}": case.forward({k: as_double(v) for k, v in params.items()}, as_double(case.x)).numpy()}


def as_single(tensor):
    return tensor.detach().float() if tensor.is_floating_point() else tensor


def gradient_noise(case, p, gradients):
    """By element: how far PyTorch's float32 gradients of that tensor are from the given ones at most; a gradient of
    exactly 0, behind a relu that is off, is no rounding. And the decisions of PyTorch's float32."""
    leaf = {k: as_single(v).requires_grad_() for k, v in p.items()}
    taken = []
    arguments = (taken,) if case.decides else ()
    case.loss(case.forward(leaf, as_single(as_double(case.x)), *arguments), as_single(as_double(case.y))).backward()
    return {k: GRADIENT_NOISE * (leaf[k].grad.double() - g).abs().max() * (g != 0) for k, g in gradients.items()}, [d for _, d in taken]


def stepped(p, gradients, states, step, update, noise, undecided):
    """The new parameters; elements whose step hangs on the noise are marked."""
    moved = {}
    for sign in (1, -1):
        for k, v in p.items():
            moved[sign, k] = update(v, gradients[k] + sign * noise[k], copy.deepcopy(states[k]), step)
    result = {k: update(v, gradients[k].clone(), states[k], step) for k, v in p.items()}
    for k, v in result.items():
        limit = 0.5 * WEIGHT_BOUND * v.abs().max()
        for sign in (1, -1):
            undecided[k] |= ((moved[sign, k] - v).abs() > limit).numpy()
    return result


def torch_training(case, params, update):
    """The weights and losses after each step, how close the closest decision in each step was (0 if PyTorch's float32
    takes one differently), and after each step which elements float32 could not tell so far."""
    p = {k: as_double(v) for k, v in params.items()}
    states = {k: {} for k in p}
    losses, history, margins, left_out = [], [], [], []
    undecided = {k: np.zeros(v.shape, bool) for k, v in p.items()}
    for step in range(1, STEPS + 1):
        p = before(case, p)
        leaf = {k: v.detach().requires_grad_() for k, v in p.items()}
        closest = []
        arguments = (closest,) if case.decides else ()
        loss = case.loss(case.forward(leaf, as_double(case.x), *arguments), as_double(case.y))
        loss.backward()
        losses.append(loss.item())
        gradients = {k: v.grad for k, v in leaf.items() if not k.endswith(STATES)}
        noise, single = gradient_noise(case, p, gradients)
        flipped = any(not torch.equal(d, s) for (_, d), s in zip(closest, single))
        margins.append(0.0 if flipped else min((m for m, _ in closest), default=float("inf")))
        trained = {k: leaf[k].detach() for k in gradients}
        p = {**p, **stepped(trained, gradients, states, step, update, noise, undecided)}
        averages = {f"optimizer/{k}/average": s["average"].numpy() for k, s in states.items() if "average" in s}
        history.append({**{k: v.numpy() for k, v in p.items()}, **averages, "loss": np.array(losses)})
        left_out.append({k: v.copy() for k, v in undecided.items()})
    return history, margins, left_out


def without(expected, left_out):
    """NaN stands for what is not compared."""
    return {k: np.where(left_out[k], np.nan, v) if k in left_out else v for k, v in expected.items()}


def worst(expected, actual):
    """The largest relative difference over all expected tensors, and its name. A tensor of zeros but for the rounding of
    float64 (the gradient of attention's key bias) is measured beside the largest of all."""
    result = (0.0, "")
    largest = max(float(np.nanmax(np.abs(v), initial=0.0)) for v in expected.values())
    for name, want in expected.items():
        if name not in actual:
            return (float("inf"), f"{name} is missing")
        got = actual[name].astype("f8")
        if got.shape != want.shape and got.size != want.size:
            return (float("inf"), f"{name} has shape {got.shape}, expected {want.shape}")
        told = ~np.isnan(want)
        if not told.any():
            continue
        scale = max(np.abs(want[told]).max(), 1e-12)
        if scale < ZERO * largest:
            scale = largest
        result = max(result, (float(np.abs(got.reshape(want.shape) - want)[told].max() / scale), name))
    return result


def store(directory, case, kind, params, expected):
    base = os.path.join(directory, f"{case.name}.{kind}")
    with open(base + ".json", "w") as file:
        json.dump(case.model, file, indent=1)
        file.write("\n")
    tensors = inputs_of(case, params, kind)
    tensors.update({f"expected/{k}": v.astype("f4") for k, v in expected.items()})
    st.save(base + ".safetensors", tensors)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gradc", default="build/tools/gradc")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--store")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    if options.store:
        os.makedirs(options.store, exist_ok=True)
        peer_own_losses.write_files(options.store)

    jobs = [(case, "gradients", None) for case in cases.gradient_cases() if "gradients" in case.entries]
    jobs += [(case, "predict", None) for case in cases.sequence_cases() if "predict" in case.entries]
    networks = [(make, peer_optimizers.optimizers()) for make in cases.NETWORKS.values()] + list(cases.restricted())
    if options.full:
        for make in cases.FULL_SIZE.values():
            jobs.append((make(None), "gradients", None))
            networks.append((make, peer_optimizers.optimizers(0.25)))
    for make, optimizers in networks:
        for key, (optimizer, update) in optimizers.items():
            case = make(optimizer)
            case.name += f"_{key}"
            jobs.append((case, "train_step", update))

    failures, largest = 0, {"gradients": (0.0, ""), "predict": (0.0, ""), "train_step": (0.0, ""), "init": (0.0, "")}
    with tempfile.TemporaryDirectory() as directory:
        peer_own_losses.write_files(directory)
        for case, entry, update in jobs:
            if not case.name.startswith(options.only):
                continue
            params = initial_parameters(case)
            steps, remark, too_many = None, "", False
            if entry == "predict":
                expected = torch_outputs(case, params)
            elif update is None:
                expected = torch_gradients(case, params)
            else:
                history, margins, left_out = torch_training(case, params, update)
                close = [i for i, m in enumerate(margins) if m < DECISION_MARGIN]
                steps = close[0] if close else STEPS
                last = max(steps, 1) - 1
                expected = without(history[last], left_out[last])
                all_elements = sum(v.size for v in left_out[last].values())
                missing = sum(int(v.sum()) for v in left_out[last].values())
                if close:
                    remark = f" after {steps} steps: step {steps + 1} hangs on {margins[steps]:.1e}"
                if missing:
                    remark += f" without {missing} of {all_elements}"
                too_many = missing > max(UNDECIDED * all_elements, UNDECIDED_AT_LEAST)
            if options.store and not case.full_size:
                store(options.store, case, entry, params, expected)
            bound = GRADIENT_BOUND if update is None else WEIGHT_BOUND
            try:
                actual = run_gradc(options.gradc, case, entry, inputs_of(case, params, entry), directory, steps)
                difference = worst(expected, actual)
            except RuntimeError as error:
                difference = (float("inf"), str(error))
            ok = difference[0] < bound and not too_many
            failures += not ok
            largest[entry] = max(largest[entry], (difference[0], f"{case.name}: {difference[1]}"))
            print(f"{'ok  ' if ok else 'FAIL'} {entry:10s} {case.name:32s} {difference[0]:.2e}  {difference[1]}{remark}")
        for case in initializers.cases():
            if not case.name.startswith(options.only):
                continue
            expected = initializers.reference(case)
            if options.store:
                initializers.store(options.store, case, expected)
            difference = initializers.compare(options.gradc, case, expected, directory)
            failures += difference[0] >= 1
            largest["init"] = max(largest["init"], (difference[0], f"{case.name}: {difference[1]}"))
            print(f"{'ok  ' if difference[0] < 1 else 'FAIL'} init       {case.name:32s} {difference[0]:.2f} of its bound  "
                  f"{difference[1]}")
        for case in peer_sparse.cases():
            if not case.name.startswith(options.only):
                continue
            expected = peer_sparse.reference(case)
            if options.store:
                peer_sparse.store(options.store, case, expected)
            try:
                difference = worst(expected, run_gradc(options.gradc, case, "train_step", case.tensors, directory, peer_sparse.STEPS))
            except RuntimeError as error:
                difference = (float("inf"), str(error))
            failures += difference[0] >= WEIGHT_BOUND
            largest["train_step"] = max(largest["train_step"], (difference[0], f"{case.name}: {difference[1]}"))
            print(f"{'ok  ' if difference[0] < WEIGHT_BOUND else 'FAIL'} train_step {case.name:32s} {difference[0]:.2e}  {difference[1]}")
    print(f"largest relative difference, gradients: {largest['gradients'][0]:.2e} ({largest['gradients'][1]})")
    print(f"largest relative difference, outputs: {largest['predict'][0]:.2e} ({largest['predict'][1]})")
    print(f"largest relative difference, weights after {STEPS} steps: {largest['train_step'][0]:.2e} "
          f"({largest['train_step'][1]})")
    print(f"initial values, largest share of a bound: {largest['init'][0]:.2f} ({largest['init'][1]})")
    print(f"{failures} outside the bounds")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
