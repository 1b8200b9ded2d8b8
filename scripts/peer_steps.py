"""conv1d and pooling over steps as cases of compare_torch.py: gradc's layers beside torch.nn.functional's, channels last."""
import math

import torch
import torch.nn.functional as F

CONVS = [  # steps, in, out, kernel, stride, padding, dilation, groups
    (9, 1, 4, 3, 1, "valid", 1, 1), (9, 3, 5, 3, 1, "same", 1, 1), (10, 3, 5, 4, 1, "same", 1, 1), (11, 2, 4, 3, 2, "valid", 1, 1),
    (11, 2, 4, 3, 2, "same", 1, 1), (12, 4, 6, 3, 1, "valid", 2, 1), (13, 4, 6, 2, 1, "causal", 1, 1), (17, 4, 6, 2, 1, "causal", 8, 1),
    (12, 4, 6, 3, 2, "causal", 1, 1), (8, 4, 6, 3, 1, "same", 1, 2), (8, 4, 4, 5, 1, "causal", 1, 4), (7, 8, 17, 1, 1, "valid", 1, 1),
    (40, 16, 33, 5, 3, "same", 1, 1), (6, 6, 6, 3, 2, "same", 1, 3), (5, 3, 4, 3, 1, "causal", 4, 1),
]

POOLS = [  # type, steps, channels, pool, stride, padding
    ("max", 8, 3, 2, None, "valid"), ("max", 9, 17, 3, 2, "valid"), ("max", 9, 2, 3, 1, "same"), ("max", 7, 4, 3, 2, "same"),
    ("average", 8, 3, 2, None, "valid"), ("average", 9, 17, 3, 2, "valid"), ("average", 9, 2, 3, 1, "same"),
    ("average", 7, 4, 3, 2, "same"), ("global_max", 5, 4, None, None, None), ("global_average", 5, 4, None, None, None),
]


def around(steps, span, stride, padding):
    """Zeros before and behind."""
    if padding == "causal":
        return [span - 1, 0]
    total = max((math.ceil(steps / stride) - 1) * stride + span - steps, 0) if padding == "same" else 0
    return [total // 2, total - total // 2]


def conv1d(x, kernel, bias, stride=1, padding="valid", dilation=1, groups=1):
    """x: [batch, steps, channels], kernel: [size, in / groups, out]."""
    pads = around(x.shape[1], (kernel.shape[0] - 1) * dilation + 1, stride, padding)
    y = F.conv1d(F.pad(x.transpose(1, 2), pads), kernel.permute(2, 1, 0), bias, stride, 0, dilation, groups)
    return y.transpose(1, 2)


def pool1d(x, kind, pool, stride, padding):
    x = x.transpose(1, 2)
    if kind.startswith("global"):
        return x.amax(2) if kind == "global_max" else x.mean(2)
    stride = stride or pool
    pads = around(x.shape[2], pool, stride, padding)
    if kind == "max":
        y = F.max_pool1d(F.pad(x, pads, value=-math.inf), pool, stride)
    else:
        y = F.avg_pool1d(F.pad(x, pads), pool, stride) / F.avg_pool1d(F.pad(torch.ones_like(x), pads), pool, stride)
    return y.transpose(1, 2)


def case_of(make_case, rng, name, layer, shape, params, of_layer):
    # A first convolution makes the gradient with respect to the input of the second layer matter.
    steps, channels = shape
    layers = [{"type": "conv1d", "name": "first", "filters": channels, "kernel_size": 1}, layer, {"type": "flatten", "name": "out"}]
    params = {"first/kernel": (1, channels, channels), "first/bias": (channels,), **params}

    def forward(p, x):
        return of_layer(p, conv1d(x, p["first/kernel"], p["first/bias"])).reshape(x.shape[0], -1)

    g = rng(name)
    x = g.standard_normal((3, steps, channels)).astype("f4")
    zeros = {k: torch.zeros(s, dtype=torch.float64) for k, s in params.items()}
    with torch.no_grad():
        probe = forward(zeros, torch.zeros(x.shape, dtype=torch.float64))
    y = g.standard_normal(tuple(probe.shape)).astype("f4")
    model = {"name": name, "inputs": [{"name": "x", "shape": [steps, channels]}], "layers": layers,
             "training": {"loss": {"type": "mean_squared_error"}, "optimizer": {"type": "sgd"}, "batch_size": 3}}
    return make_case(name, model, forward, lambda out, y: ((out - y) ** 2).mean(), x, y, params)


def cases(make_case, rng):
    for i, (steps, ci, co, size, stride, padding, dilation, groups) in enumerate(CONVS):
        layer = {"type": "conv1d", "name": "c", "filters": co, "kernel_size": size, "strides": stride, "padding": padding,
                 "dilation_rate": dilation, "groups": groups, "activation": "tanh"}
        settings = (stride, padding, dilation, groups)
        yield case_of(make_case, rng, f"conv1d_{i:02d}", layer, (steps, ci), {"c/kernel": (size, ci // groups, co), "c/bias": (co,)},
                      lambda p, x, s=settings: torch.tanh(conv1d(x, p["c/kernel"], p["c/bias"], *s)))
    for i, (kind, steps, channels, pool, stride, padding) in enumerate(POOLS):
        layer = {"type": f"{kind}_pooling1d", "name": "pool"}
        if pool is not None:
            layer.update({"pool_size": pool, "padding": padding, **({"strides": stride} if stride else {})})
        settings = (kind, pool, stride, padding)
        yield case_of(make_case, rng, f"pool1d_{i:02d}", layer, (steps, channels), {}, lambda p, x, s=settings: pool1d(x, *s))
