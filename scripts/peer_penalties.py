"""Penalties and constraints as cases of compare_torch.py: activity regularizers, activity_regularization and
orthogonal_regularizer in gradients, constraints in weights after 20 steps. By Keras's formulas."""
import torch

from peer_layers import BATCH, case_of


def penalised(make_case, rng, name, layer, shape, params, of_layer):
    """of_layer(p, x) -> result, penalty that is added to the loss."""
    held = []

    def forward(p, x):
        result, penalty = of_layer(p, x)
        held[:] = [penalty]
        return result

    case = case_of(make_case, rng, name, layer, shape, params, forward)
    loss = case.loss
    case.loss = lambda out, y: loss(out, y) + held[0]
    return case


def orthogonal(w, factor, mode):
    w = w if mode == "rows" else w.t()
    w = w / torch.sqrt((w * w).sum(1, keepdim=True))
    products = w @ w.t()
    n = w.shape[0]
    return factor * 0.5 * (products * (1 - torch.eye(n, dtype=w.dtype))).abs().sum() / (n * (n - 1) / 2)


def gradient_cases(make_case, rng):
    dense = {"l/kernel": (5, 4), "l/bias": (4,)}
    line = lambda p, x: x @ p["l/kernel"] + p["l/bias"]
    l1_l2 = lambda y: (0.02 * y.abs().sum() + 0.03 * (y * y).sum()) / BATCH

    def add(name, layer, shape, params, of_layer):
        return penalised(make_case, rng, f"penalty_{name}", layer, shape, params, of_layer)

    def of_result(f):
        return lambda p, x: (lambda y: (y, l1_l2(y)))(f(p, x))

    activity = {"activity_regularizer": {"type": "l1_l2", "l1": 0.02, "l2": 0.03}}
    yield add("dense", {"type": "dense", "units": 4, "activation": "tanh", **activity}, (5,), dense,
              of_result(lambda p, x: torch.tanh(line(p, x))))
    yield add("steps", {"type": "dense", "units": 4, **activity}, (3, 5), dense, of_result(line))
    yield add("distributed", {"type": "time_distributed", "layer": {"type": "dense", "units": 4, **activity}}, (3, 5), dense, of_result(line))
    yield add("layer", {"type": "activity_regularization", "l1": 0.02, "l2": 0.03}, (3, 5), {}, of_result(lambda p, x: x))
    for mode in ("rows", "columns"):
        layer = {"type": "dense", "units": 4, "kernel_regularizer": {"type": "orthogonal_regularizer", "factor": 0.3, "mode": mode}}
        yield add(mode, layer, (5,), dense, lambda p, x, m=mode: (line(p, x), orthogonal(p["l/kernel"], 0.3, m)))


# ---- constraints: on the kernel after every step ------------------------------------------------------------------------

def length(w):
    return torch.sqrt((w * w).sum(0, keepdim=True))


CONSTRAINTS = {  # gradc's, and the formula
    "max_norm": ({"type": "max_norm", "max_value": 0.9}, lambda w: w * (length(w).clamp(0, 0.9) / (1e-7 + length(w)))),
    "unit_norm": ("unit_norm", lambda w: w / (1e-7 + length(w))),
    "min_max_norm": ({"type": "min_max_norm", "min_value": 0.5, "max_value": 0.8, "rate": 0.3, "axis": -2},
                     lambda w: w * ((0.3 * length(w).clamp(0.5, 0.8) + 0.7 * length(w)) / (1e-7 + length(w)))),
    "non_neg": ("non_neg", lambda w: w.clamp(min=0)),
}


def constrained(mlp, optimizers):
    """(make, optimizers) as NETWORKS: matrices are constrained."""
    for name, (constraint, project) in CONSTRAINTS.items():
        def make(optimizer, name=name, constraint=constraint):
            case = mlp(f"constraint_{name}", [6, 8, 3], "tanh", "mse", 10, optimizer)
            for layer in case.model["layers"]:
                layer["kernel_constraint"] = constraint
            return case

        def after(update, project=project):
            def step(p, g, s, t):
                new = update(p, g, s, t)
                return project(new) if new.dim() == 2 else new
            return step

        yield make, {key: (options, after(update)) for key, (options, update) in optimizers.items() if key in ("sgd", "adam")}
