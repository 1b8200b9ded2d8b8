"""Every initializer on a dense and a convolution kernel: gradc's initial values against PyTorch's by their statistics.

Random numbers differ, so samples are compared: mean, standard deviation, kurtosis, 19 quantiles, the least and the
largest value. PyTorch draws REFERENCE numbers with torch.nn.init from the distribution that Keras 3 documents (fans as
Keras computes them: the last two axes times the receptive field). A bound is what two samples of these sizes differ by
at BOUND_SIGMA standard errors, from the reference's own moments and density; extremes may lie anywhere in the outermost
1e-3 of the reference. Orthogonal kernels must have orthonormal rows or columns; the rest must be exact.
"""
import json
import os
import subprocess

import numpy as np
import torch

import safetensors_io as st

SHAPES = {"dense": (784, 128), "conv": (3, 3, 32, 64)}
REFERENCE, BOUND_SIGMA, SEED = 4_000_000, 5.0, 7
LEVELS = np.arange(1, 20) / 20
# A normal distribution cut at two standard deviations has this one (Keras's variance_scaling divides by it).
TRUNCATED = 0.87962566103423978


class InitCase:
    def __init__(self, key, shape_key, options, draw, kind="random"):
        self.name = f"init_{key}_{shape_key}"
        self.shape, self.options, self.draw, self.kind = SHAPES[shape_key], options, draw, kind
        layer = ({"type": "dense", "units": self.shape[-1]} if shape_key == "dense" else
                 {"type": "conv2d", "filters": self.shape[-1], "kernel_size": list(self.shape[:2])})
        layer.update(name="layer", use_bias=False, kernel_initializer=options)
        inputs = [784] if shape_key == "dense" else [3, 3, 32]
        layers = [layer] if shape_key == "dense" else [layer, {"type": "flatten", "name": "out"}]
        self.model = {"name": self.name, "inputs": [{"name": "x", "shape": inputs}], "layers": layers,
                      "training": {"loss": "mse", "optimizer": "sgd", "batch_size": 1}}
        self.inputs = inputs
        self.target = layers[-1]["name"]
        self.outputs = [128] if shape_key == "dense" else [64]


def fans(shape):
    field = int(np.prod(shape[:-2]))
    return field * shape[-2], field * shape[-1]


def normal(mean, std):
    return lambda t: torch.nn.init.normal_(t, mean, std)


def uniform(low, high):
    return lambda t: torch.nn.init.uniform_(t, low, high)


def truncated(mean, std):
    return lambda t: torch.nn.init.trunc_normal_(t, mean, std, mean - 2 * std, mean + 2 * std)


def scaled(scale, fan, distribution):
    variance = scale / fan
    if distribution == "uniform":
        return uniform(-(3 * variance) ** 0.5, (3 * variance) ** 0.5)
    if distribution == "untruncated_normal":
        return normal(0.0, variance ** 0.5)
    return truncated(0.0, variance ** 0.5 / TRUNCATED)


def cases():
    for key, shape in SHAPES.items():
        fan_in, fan_out = fans(shape)
        average = (fan_in + fan_out) / 2
        yield InitCase("zeros", key, "zeros", 0.0, "constant")
        yield InitCase("ones", key, "ones", 1.0, "constant")
        yield InitCase("constant", key, {"type": "constant", "value": -0.375}, -0.375, "constant")
        if key == "dense":
            yield InitCase("identity", key, {"type": "identity", "gain": 1.5}, 1.5, "identity")
        yield InitCase("orthogonal", key, {"type": "orthogonal", "gain": 2.0}, 2.0, "orthogonal")
        yield InitCase("random_normal", key, {"type": "random_normal", "mean": 0.1, "stddev": 0.2}, normal(0.1, 0.2))
        yield InitCase("random_uniform", key, {"type": "random_uniform", "minval": -0.3, "maxval": 0.1},
                       uniform(-0.3, 0.1))
        yield InitCase("truncated_normal", key, {"type": "truncated_normal", "mean": -0.1, "stddev": 0.3},
                       truncated(-0.1, 0.3))
        for name, scale, fan, distribution in (
                ("glorot_uniform", 1, average, "uniform"), ("glorot_normal", 1, average, "truncated_normal"),
                ("he_uniform", 2, fan_in, "uniform"), ("he_normal", 2, fan_in, "truncated_normal"),
                ("lecun_uniform", 1, fan_in, "uniform"), ("lecun_normal", 1, fan_in, "truncated_normal")):
            yield InitCase(name, key, name, scaled(scale, fan, distribution))
        for mode, fan in (("fan_in", fan_in), ("fan_out", fan_out), ("fan_avg", average)):
            for distribution in ("uniform", "truncated_normal", "untruncated_normal"):
                yield InitCase(f"variance_scaling_{mode}_{distribution}", key,
                               {"type": "variance_scaling", "scale": 1.7, "mode": mode, "distribution": distribution},
                               scaled(1.7, fan, distribution))


def statistics(x):
    """name -> (value, standard error of it for a sample of one element)."""
    mean, std = x.mean(), x.std()
    z = (x - mean) / std
    moment = {k: (z ** k).mean() for k in (3, 4, 6, 8)}
    # Of the kurtosis: the delta method, with the estimated standard deviation taken into account.
    kurtosis_variance = moment[8] - 4 * moment[4] * moment[6] + 4 * moment[4] ** 3 - moment[4] ** 2
    kurtosis_variance += 16 * moment[3] ** 2 * (1 + moment[4])
    result = {"mean": (mean, std), "std": (std, std * ((moment[4] - 1) / 4) ** 0.5),
              "kurtosis": (moment[4], max(kurtosis_variance, 0.0) ** 0.5)}
    ordered = np.sort(x)
    at = lambda level: ordered[min(int(level * len(x)), len(x) - 1)]
    for level in LEVELS:
        density = 0.02 / (at(level + 0.01) - at(level - 0.01))
        result[f"quantile_{round(level * 100):02d}"] = (at(level), (level * (1 - level)) ** 0.5 / density)
    # The outermost values of a sample: from the reference's own extreme (with room for a longer tail) to its 1e-3.
    tails = {"min": (ordered[0], at(0.001)), "max": (ordered[-1], at(0.999))}
    return result, tails


def reference(case):
    """Tensors that say what is expected: {"kind": ..., ...}; bounds are for a sample of the case's size."""
    if case.kind != "random":
        return {case.kind: np.array([case.draw], "f8")}
    torch.manual_seed(SEED)
    x = case.draw(torch.empty(REFERENCE, dtype=torch.float64)).numpy()
    values, tails = statistics(x)
    count = int(np.prod(case.shape))
    factor = BOUND_SIGMA * (1 / count + 1 / REFERENCE) ** 0.5
    result = {name: np.array([value, factor * error]) for name, (value, error) in values.items()}
    for name, (extreme, inner) in tails.items():
        middle = (extreme + inner) / 2
        result[name] = np.array([middle, abs(extreme - inner) / 2 * (1 + 1e-6) + abs(extreme) * 1e-6])
        # Unbounded tails: a sample may go a little further out than the reference did.
        if values["kurtosis"][0] > 2.9:
            result[name][1] += abs(extreme - inner)
    return result


def share_of_bounds(case, expected, w):
    """The largest difference in units of its bound, and of what."""
    w = w.astype("f8")
    if case.kind == "constant":
        return (0.0 if np.all(w == np.float32(case.draw)) else float("inf"), "values")
    if case.kind == "identity":
        want = np.float32(case.draw) * np.eye(*w.shape)
        return (0.0 if np.all(w == want) else float("inf"), "values")
    if case.kind == "orthogonal":
        q = w.reshape(-1, w.shape[-1]) / case.draw
        gram = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
        return (float(np.abs(gram - np.eye(len(gram))).max() / 1e-6), "Q^T Q")
    actual, _ = statistics(w.ravel())
    actual = {name: value for name, (value, _) in actual.items()}
    actual.update(min=w.min(), max=w.max())
    return max((float(abs(actual[name] - value) / bound), name) for name, (value, bound) in expected.items())


def fed(case):
    """What `gradc run` wants to be given; no step is run on it."""
    return {"input/x": np.zeros([1] + case.inputs, "f4"), f"target/{case.target}": np.zeros([1] + case.outputs, "f4")}


def files(case, directory):
    paths = [os.path.join(directory, n) for n in ("model.json", "in.safetensors", "out.safetensors")]
    with open(paths[0], "w") as file:
        json.dump(case.model, file)
    st.save(paths[1], fed(case))
    return paths


def compare(gradc, case, expected, directory):
    model, given, out = files(case, directory)
    command = [gradc, "run", model, "--entry", "train_step", "--steps", "0", "--in", given, "--out", out]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return (float("inf"), done.stderr.strip())
    return share_of_bounds(case, expected, st.load(out)["layer/kernel"])


def store(directory, case, expected):
    base = os.path.join(directory, f"{case.name}.init")
    with open(base + ".json", "w") as file:
        json.dump(case.model, file, indent=1)
        file.write("\n")
    st.save(base + ".safetensors", {**fed(case), **{f"expected/{k}": v for k, v in expected.items()}})
