"""One layer, its input and its parameters as a case of compare_torch.py."""
import torch

BATCH = 2


def case_of(make_case, rng, name, layer, shape, params, of_layer):
    """layer: without its name, "l". A dense layer before it makes the gradient with respect to its input matter."""
    width = shape[-1]
    layers = [{"type": "dense", "name": "first", "units": width}, {**layer, "name": "l"}]
    params = {"first/kernel": (width, width), "first/bias": (width,), **params}

    def forward(p, x):
        return of_layer(p, x @ p["first/kernel"] + p["first/bias"])

    g = rng(name)
    x = g.standard_normal((BATCH, *shape)).astype("f4")
    with torch.no_grad():
        probe = forward({k: torch.ones(s, dtype=torch.float64) for k, s in params.items()}, torch.from_numpy(x).double())
    y = g.standard_normal(tuple(probe.shape)).astype("f4")
    model = {"name": name, "inputs": [{"name": "x", "shape": list(shape)}], "layers": layers,
             "training": {"loss": {"type": "mean_squared_error"}, "optimizer": {"type": "sgd"}, "batch_size": BATCH}}
    return make_case(name, model, forward, lambda out, t: ((out - t) ** 2).mean(), x, y, params, "l")
