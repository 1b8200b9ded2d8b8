"""Layers around layers as cases of compare_torch.py: spectral_normalization, time_distributed normalizations; and
repeat_vector. By Keras's formulas."""
import torch

from peer_layers import case_of
from peer_steps import conv1d


def unit(x):
    return x / x.norm().clamp(min=1e-7)


def spectral(kernel, iterations):
    """What Keras assigns to the kernel and to the vector u before it uses them in training."""

    def before(p):
        w, u = p[f"l/{kernel}"], p["l/vector_u"]
        rows = w.reshape(-1, w.shape[-1])
        for _ in range(iterations):
            v = unit(u @ rows.t())
            u = unit(v @ rows)
        return {**p, f"l/{kernel}": w / (v @ rows @ u.t()), "l/vector_u": u}

    return before


def spectral_cases(make_case, rng):
    dense = ({"type": "dense", "units": 4}, (3, 5), {"l/kernel": (5, 4), "l/bias": (4,)},
             lambda p, x: x @ p["l/kernel"] + p["l/bias"])
    conv = ({"type": "conv1d", "filters": 4, "kernel_size": 3, "use_bias": False}, (6, 5), {"l/kernel": (3, 5, 4)},
            lambda p, x: conv1d(x, p["l/kernel"], None))
    for name, (layer, shape, params, forward), iterations in (("dense", dense, 1), ("dense_3", dense, 3), ("conv", conv, 2)):
        wrapped = {"type": "spectral_normalization", "layer": layer, "power_iterations": iterations}
        case = case_of(make_case, rng, f"spectral_{name}", wrapped, shape, {**params, "l/vector_u": (1, 4)}, forward)
        case.before = spectral("kernel", iterations)
        case.entries = ("gradients",)
        yield case


def norm(x, axes, epsilon=1e-3):
    mean = x.mean(axes, keepdim=True)
    return (x - mean) / torch.sqrt(((x - mean) ** 2).mean(axes, keepdim=True) + epsilon)


def cases(make_case, rng):
    yield from spectral_cases(make_case, rng)
    scaled = {"l/gamma": (4,), "l/beta": (4,)}
    for inner, axes, shape in (("batch_normalization", (0, 1), (5, 4)), ("batch_normalization", (0, 1, 2), (5, 3, 4)),
                               ("layer_normalization", (-1,), (5, 4))):
        name = f"distributed_{inner}_{len(shape)}"
        case = case_of(make_case, rng, name, {"type": "time_distributed", "layer": {"type": inner}}, shape, scaled,
                       lambda p, x, axes=axes: norm(x, axes) * p["l/gamma"] + p["l/beta"])
        case.entries = ("gradients",)
        yield case
    yield case_of(make_case, rng, "repeat_vector", {"type": "repeat_vector", "n": 3}, (4,), {},
                  lambda p, x: x[:, None, :].expand(-1, 3, -1))


def training():
    """(make, optimizers) as NETWORKS: spectral normalization over 20 steps."""
    import peer_cases
    import peer_optimizers

    def make(optimizer):
        case = next(spectral_cases(peer_cases.Case, peer_cases.rng))
        case.name = "spectral_steps"
        case.model["training"]["optimizer"] = optimizer
        return case

    every = peer_optimizers.optimizers()
    yield make, {key: every[key] for key in ("sgd", "adam")}
