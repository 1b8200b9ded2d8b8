"""Normalisation, einsum_dense and other layers without windows as cases of compare_torch.py, by their formulas in Keras."""
import torch

from peer_layers import case_of


def centered(x, axes):
    return x - x.mean(axes, keepdim=True)


def normalised(x, axes, epsilon):
    c = centered(x, axes)
    return c / torch.sqrt((c * c).mean(axes, keepdim=True) + epsilon)


def along(v, x, axes):
    """v of the extents of these axes of x."""
    shape = [n if i in axes else 1 for i, n in enumerate(x.shape)]
    return v.reshape(shape)


def layer_norm(axes, epsilon, scale=True, center=True, rms=False):
    def forward(p, x):
        if rms:
            c = centered(x, axes)
            y = x / torch.sqrt((c * c).mean(axes, keepdim=True) + epsilon)
        else:
            y = normalised(x, axes, epsilon)
        if scale or rms:
            y = y * along(p["l/gamma"], x, axes)
        return y + along(p["l/beta"], x, axes) if center and not rms else y
    return forward


LAYER_NORMS = [  # shape, axes, options
    ((6,), (1,), {}), ((4, 5), (2,), {"epsilon": 1e-5}), ((4, 5), (1,), {}), ((3, 4, 5), (1, 3), {}), ((3, 4, 5), (1, 2, 3), {"center": False}),
    ((3, 4, 5), (2,), {"scale": False}), ((4, 17), (2,), {"rms_scaling": True}), ((4, 3, 5), (1, 2), {"rms_scaling": True}),
]


def layer_cases():
    for i, (shape, axes, options) in enumerate(LAYER_NORMS):
        extents = tuple(shape[a - 1] for a in axes)
        rms, scale, center = options.get("rms_scaling", False), options.get("scale", True), options.get("center", True)
        params = {**({"l/gamma": extents} if scale or rms else {}), **({"l/beta": extents} if center and not rms else {})}
        layer = {"type": "layer_normalization", "axis": list(axes) if i % 2 else [a - len(shape) - 1 for a in axes], **options}
        yield f"norm_layer_{i}", layer, shape, params, layer_norm(axes, options.get("epsilon", 1e-3), scale, center, rms)
    for i, (shape, axes) in enumerate([((5,), (1,)), ((4, 6), (2,)), ((4, 6), (1,)), ((3, 4, 5), (1, 3))]):
        extents = tuple(shape[a - 1] for a in axes)
        yield (f"norm_rms_{i}", {"type": "rms_normalization", "axis": list(axes)}, shape, {"l/scale": extents},
               lambda p, x, axes=axes: x / torch.sqrt((x * x).mean(axes, keepdim=True) + 1e-6) * along(p["l/scale"], x, axes))
    for i, (shape, axes) in enumerate([((5,), (1,)), ((4, 6), (1,)), ((3, 4, 5), (1, 3))]):
        yield (f"norm_unit_{i}", {"type": "unit_normalization", "axis": list(axes)}, shape, {},
               lambda p, x, axes=axes: x / torch.sqrt((x * x).sum(axes, keepdim=True)))


GROUPS = [  # shape, axis, groups, options
    ((8,), 1, 2, {}), ((5, 6), 2, 3, {}), ((4, 3, 6), 3, 2, {"epsilon": 1e-5}), ((6, 3, 4), 1, 3, {}), ((3, 4, 4), 3, -1, {"scale": False}),
    ((3, 5, 4), 3, 1, {"center": False}),
]


def group_cases():
    for i, (shape, axis, groups, options) in enumerate(GROUPS):
        channels = shape[axis - 1]
        params = {k: (channels,) for k, option in (("l/gamma", "scale"), ("l/beta", "center")) if options.get(option, True)}

        def forward(p, x, axis=axis, groups=groups, channels=channels, epsilon=options.get("epsilon", 1e-3)):
            weight = p.get("l/gamma", torch.ones(channels, dtype=x.dtype))  # without one PyTorch 1.13 has no gradient
            bias = p.get("l/beta", torch.zeros(channels, dtype=x.dtype))
            y = torch.nn.functional.group_norm(x.movedim(axis, 1), channels if groups < 0 else groups, weight, bias, epsilon)
            return y.movedim(1, axis)

        yield f"norm_group_{i}", {"type": "group_normalization", "groups": groups, "axis": axis, **options}, shape, params, forward


BATCH_NORMS = [  # shape, axis, options
    ((5,), 1, {}), ((3, 4, 5), 3, {"epsilon": 1e-5}), ((5, 4, 3), 1, {}), ((4, 6), 2, {"scale": False}), ((4, 6), [-1], {"center": False}),
]


def batch_norm(axis, options, training):
    def forward(p, x):
        others = [i for i in range(x.dim()) if i != axis]
        mean, variance = along(p["l/moving_mean"], x, [axis]), along(p["l/moving_variance"], x, [axis])
        if training:
            mean, variance = x.mean(others, keepdim=True), x.var(others, unbiased=False, keepdim=True)
        y = (x - mean) / torch.sqrt(variance + options.get("epsilon", 1e-3))
        if options.get("scale", True):
            y = y * along(p["l/gamma"], x, [axis])
        return y + along(p["l/beta"], x, [axis]) if options.get("center", True) else y
    return forward


EINSUMS = [  # shape, equation, output_shape, kernel, bias_axes, bias
    ((5,), "ab,bc->ac", 4, (5, 4), "c", (4,)), ((3, 5), "abc,cd->abd", [-1, 4], (5, 4), "d", (4,)), ((3, 5), "...x,xy->...y", 4, (5, 4), "y", (4,)),
    ((3, 5), "abc,cde->abde", [3, 2, 4], (5, 2, 4), "de", (2, 4)), ((3, 2, 4), "abde,dec->abc", [3, 5], (2, 4, 5), "c", (5,)),
    ((3, 5), "abc,bcd->abd", [3, 4], (3, 5, 4), "bd", (3, 4)), ((3, 5), "ab...,bc->ac...", 4, (3, 4), "c", (4, 1)),
    ((3, 4), "abc,bd->adc", [5, 4], (3, 5), "d", (5, 1)), ((4, 3), "abc,dc->acdb", [3, 2, -1], (2, 3), "cb", (3, 1, 4)),
    ((6, 3), "abc,cb->abc", [6, 3], (3, 6), None, None),
]


def einsum_cases():
    for i, (shape, equation, output, kernel, axes, bias) in enumerate(EINSUMS):
        layer = {"type": "einsum_dense", "equation": equation, "output_shape": output, "bias_axes": axes, "activation": "tanh"}
        params = {"l/kernel": kernel, **({"l/bias": bias} if bias else {})}

        def forward(p, x, equation=equation):
            y = torch.einsum(equation, x, p["l/kernel"])
            return torch.tanh(y + p["l/bias"] if "l/bias" in p else y)

        yield f"einsum_{i}", layer, shape, params, forward


def masked_batch_norm(make_case, rng):
    """Steps that a mask leaves out weigh nothing in mean and variance."""
    name, steps, width = "norm_batch_masked", 5, 4
    model = {"name": name, "inputs": [{"name": "x", "shape": [steps], "dtype": "int32"}],
             "layers": [{"type": "embedding", "name": "e", "input_dim": 7, "output_dim": width, "mask_zero": True},
                        {"type": "batch_normalization", "name": "b"}, {"type": "lstm", "name": "l", "units": 3}],
             "training": {"loss": {"type": "mean_squared_error"}, "optimizer": {"type": "sgd"}, "batch_size": 3}}
    from peer_recurrent import by_formula, parameters_of, under
    params = {"e/embeddings": (7, width), "b/gamma": (width,), "b/beta": (width,),
              **{f"l/{k}": s for k, s in parameters_of({"type": "lstm", "units": 3}, width).items()}}

    def forward(p, x):
        counts = x != 0
        e = p["e/embeddings"][x]
        chosen = e[counts]
        c = e - chosen.mean(0)
        e = c / torch.sqrt(((chosen - chosen.mean(0)) ** 2).mean(0) + 1e-3) * p["b/gamma"] + p["b/beta"]
        return by_formula("lstm", under(p, "l/"), e, {}, counts)[:, -1]

    x = [[3, 1, 0, 0, 0], [2, 5, 6, 1, 4], [6, 0, 2, 2, 0]]
    g = rng(name)
    case = make_case(name, model, forward, lambda out, t: ((out - t) ** 2).mean(), torch.tensor(x).int().numpy(),
                     g.standard_normal((3, 3)).astype("f4"), params, "l")
    case.entries = ("gradients",)
    return case


def cases(make_case, rng):
    for make in (layer_cases, group_cases, einsum_cases):
        for name, layer, shape, params, forward in make():
            yield case_of(make_case, rng, name, layer, shape, params, forward)
    for i, (shape, axis, options) in enumerate(BATCH_NORMS):
        at = len(shape) if axis == [-1] else axis
        channels = (shape[at - 1],)
        params = {k: channels for k, option in (("l/gamma", "scale"), ("l/beta", "center")) if options.get(option, True)}
        params |= {"l/moving_mean": channels, "l/moving_variance": channels}
        layer = {"type": "batch_normalization", "axis": axis, **options}
        for entry in ("gradients", "predict"):
            case = case_of(make_case, rng, f"norm_batch_{i}", layer, shape, params, batch_norm(at, options, entry == "gradients"))
            case.entries = (entry,)
            yield case
    yield masked_batch_norm(make_case, rng)
