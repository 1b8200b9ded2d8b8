"""Convolutions, pools, borders and resampling over one to three spatial axes as cases of compare_torch.py: by
torch.nn.functional, or by the definition in Keras's documentation where PyTorch has another."""
import math

import numpy as np
import torch
import torch.nn.functional as F

from peer_layers import case_of

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
MAX_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGE_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
ADAPTIVE = {("average", 1): F.adaptive_avg_pool1d, ("average", 2): F.adaptive_avg_pool2d, ("average", 3): F.adaptive_avg_pool3d,
            ("max", 1): F.adaptive_max_pool1d, ("max", 2): F.adaptive_max_pool2d, ("max", 3): F.adaptive_max_pool3d}


def channels_first(x):
    return x.movedim(-1, 1)


def channels_last(x):
    return x.movedim(1, -1)


def many(value, rank):
    return list(value) if isinstance(value, (tuple, list)) else [value] * rank


def around(sizes, spans, strides, padding):
    """Zeros before and behind each axis, the last axis first, as F.pad takes them."""
    pads = []
    for size, span, stride in reversed(list(zip(sizes, spans, strides))):
        if padding == "causal":
            pads += [span - 1, 0]
        else:
            total = max((math.ceil(size / stride) - 1) * stride + span - size, 0) if padding == "same" else 0
            pads += [total // 2, total - total // 2]
    return pads


def conv(x, kernel, bias, strides=1, padding="valid", dilation=1, groups=1):
    """Channels last; kernel [window..., in / groups, out]."""
    rank = x.dim() - 2
    strides, dilation = many(strides, rank), many(dilation, rank)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel.shape, dilation)]
    x = F.pad(channels_first(x), around(x.shape[1:-1], spans, strides, padding))
    weight = kernel.movedim(-1, 0).movedim(-1, 1)
    return channels_last(CONV[rank](x, weight, bias, strides, 0, dilation, groups))


def depthwise(x, kernel, bias, strides=1, padding="valid", dilation=1):
    """kernel [window..., channels, multiplier]; result channel c * multiplier + m."""
    channels = kernel.shape[-2]
    grouped = kernel.reshape(*kernel.shape[:-2], 1, -1)
    return conv(x, grouped, bias, strides, padding, dilation, channels)


def conv_transpose(x, kernel, bias, strides=1, padding="valid", output_padding=None, dilation=1):
    """kernel [window..., out, in]. All that the windows reach, of which Keras takes a part."""
    rank = x.dim() - 2
    strides, dilation = many(strides, rank), many(dilation, rank)
    weight = kernel.movedim(-1, 0).movedim(-1, 1)
    y = channels_last(CONV_TRANSPOSE[rank](channels_first(x), weight, None, strides, 0, 0, 1, dilation))
    for axis in range(rank):
        size, stride, span = x.shape[axis + 1], strides[axis], (kernel.shape[axis] - 1) * dilation[axis] + 1
        more = None if output_padding is None else many(output_padding, rank)[axis]
        # keras/src/backend/common/backend_utils.py, for jax: padding of the stretched input by left and right.
        if padding == "valid":
            left, right = span - 1, span - 1 + (max(span, stride) - span if more is None else more)
        else:
            both = stride + span - 2 if more is None else span + span % 2 - 2 + more
            left = min(both // 2 + both % 2, span - 1)
            right = both - left
        cut, end = span - 1 - left, y.shape[axis + 1] - (span - 1 - right)
        y = y.movedim(axis + 1, -1)
        y = F.pad(y, (0, max(end - y.shape[-1], 0)))[..., cut:end].movedim(-1, axis + 1)
    return y if bias is None else y + bias


def pool(x, kind, size, strides=None, padding="valid"):
    rank = x.dim() - 2
    size = many(size, rank)
    strides = size if strides is None else many(strides, rank)
    pads = around(x.shape[1:-1], size, strides, padding)
    x = channels_first(x)
    if kind == "max":
        return channels_last(MAX_POOL[rank](F.pad(x, pads, value=-math.inf), size, strides))
    share = AVERAGE_POOL[rank](F.pad(torch.ones_like(x), pads), size, strides)
    return channels_last(AVERAGE_POOL[rank](F.pad(x, pads), size, strides) / share)


# ---- resampling, by its definition: element j of n stands at (j + 1/2) / n ----------------------------------------------

def filters(name):
    def cubic(t):
        t = abs(t)
        return 1.5 * t**3 - 2.5 * t**2 + 1 if t < 1 else -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0

    def lanczos(radius):
        return lambda t: float(np.sinc(t) * np.sinc(t / radius)) if abs(t) < radius else 0.0

    return {"bilinear": lambda t: max(0.0, 1 - abs(t)), "bicubic": cubic, "lanczos3": lanczos(3), "lanczos5": lanczos(5)}[name]


def resample_axis(x, axis, extent, interpolation, antialias):
    n = x.shape[axis]
    if interpolation == "nearest":
        index = [min(n - 1, int(math.floor((i + 0.5) * n / extent + 1e-9))) for i in range(extent)]
        return x.index_select(axis, torch.tensor(index))
    f, width = filters(interpolation), max(n / extent, 1.0) if antialias else 1.0
    w = np.array([[f((j + 0.5 - (i + 0.5) * n / extent) / width) for j in range(n)] for i in range(extent)])
    w = torch.tensor(w / w.sum(1, keepdims=True), dtype=x.dtype)
    return torch.tensordot(x, w, dims=([axis], [1])).movedim(-1, axis)


def resample(x, extents, interpolation, antialias=False):
    for axis, extent in enumerate(extents, 1):
        x = resample_axis(x, axis, extent, interpolation, antialias)
    return x


CONV3D = [  # depth, height, width, in, out, kernel, strides, padding, dilation, groups
    (4, 5, 6, 2, 3, (2, 3, 2), (1, 1, 1), "valid", (1, 1, 1), 1), (4, 5, 5, 3, 4, (3, 3, 3), (1, 1, 1), "same", (1, 1, 1), 1),
    (5, 6, 7, 2, 4, (3, 2, 3), (2, 1, 2), "same", (1, 1, 1), 1), (5, 5, 6, 4, 4, (2, 2, 2), (1, 1, 1), "valid", (2, 1, 3), 2),
    (3, 4, 4, 4, 4, (3, 3, 3), (1, 2, 1), "same", (1, 1, 1), 4),
]

DEPTHWISE = [  # spatial, channels, multiplier, kernel, strides, padding, dilation
    ((7, 6), 3, 1, (3, 3), (1, 1), "valid", (1, 1)), ((7, 6), 3, 2, (3, 3), (1, 1), "same", (1, 1)),
    ((9, 8), 5, 1, (3, 3), (2, 2), "same", (1, 1)), ((9, 9), 2, 3, (5, 3), (2, 2), "valid", (1, 1)),
    ((9, 9), 4, 1, (3, 3), (1, 1), "same", (2, 2)), ((6, 7), 17, 1, (3, 3), (1, 1), "same", (1, 1)),
    ((5, 5), 33, 2, (2, 2), (1, 1), "valid", (1, 1)), ((8, 8), 1, 4, (3, 3), (1, 1), "same", (1, 1)),
    ((11,), 3, 2, (3,), (1,), "same", (1,)), ((11,), 4, 1, (4,), (2,), "valid", (1,)), ((13,), 5, 3, (3,), (1,), "same", (3,)),
]

SEPARABLE = [  # spatial, channels, multiplier, filters, kernel, strides, padding, dilation
    ((7, 6), 3, 1, 5, (3, 3), (1, 1), "valid", (1, 1)), ((8, 7), 3, 2, 4, (3, 3), (2, 2), "same", (1, 1)),
    ((9, 9), 2, 3, 5, (3, 3), (1, 1), "same", (2, 2)), ((10,), 3, 2, 5, (3,), (1,), "same", (1,)), ((11,), 4, 1, 3, (4,), (2,), "valid", (1,)),
]

TRANSPOSE = [  # spatial, in, out, kernel, strides, padding, output_padding, dilation
    ((5,), 3, 4, (3,), 1, "valid", None, 1), ((5,), 3, 4, (3,), 2, "same", None, 1), ((5,), 2, 4, (2,), 3, "valid", None, 1),
    ((6,), 2, 3, (4,), 3, "same", 1, 1), ((5,), 2, 3, (3,), 2, "valid", 1, 1), ((6,), 2, 3, (3,), 1, "same", None, 2),
    ((4, 5), 3, 4, (3, 3), (1, 1), "valid", None, 1), ((4, 5), 3, 4, (3, 3), (2, 2), "same", None, 1),
    ((4, 5), 3, 2, (2, 2), (2, 2), "valid", None, 1), ((4, 3), 2, 3, (4, 4), (2, 2), "same", None, 1),
    ((4, 3), 2, 3, (3, 4), (2, 3), "same", (1, 0), 1), ((4, 3), 5, 17, (5, 5), (2, 2), "valid", (1, 1), 1),
    ((3, 4), 2, 3, (1, 2), (2, 3), "same", None, 1), ((4, 4), 2, 3, (3, 3), (1, 1), "same", None, (2, 2)),
    ((3, 3, 4), 2, 3, (3, 2, 3), (1, 2, 2), "same", None, 1), ((2, 3, 3), 3, 2, (2, 2, 2), (2, 2, 2), "valid", None, 1),
    ((2, 3, 3), 2, 2, (3, 3, 3), (2, 2, 1), "same", (1, 1, 0), 1),
]

POOLS3D = [  # type, spatial, channels, pool, strides, padding
    ("max", (4, 5, 6), 3, (2, 2, 2), None, "valid"), ("max", (5, 5, 4), 2, (3, 2, 3), (2, 1, 2), "same"),
    ("average", (4, 5, 6), 3, (2, 2, 2), None, "valid"), ("average", (5, 5, 4), 2, (3, 2, 3), (2, 1, 2), "same"),
]

ADAPTIVE_POOLS = [  # type, spatial, output_size
    ("average", (7,), 3), ("max", (8,), 4), ("average", (7, 6), [3, 2]), ("max", (7, 5), [3, 4]), ("average", (4, 5, 3), [2, 3, 3]),
    ("max", (4, 5, 3), 2), ("average", (3, 4), [5, 4]),
]

BORDERS = [  # type, option, value, spatial, [before, behind] of each axis
    ("zero_padding1d", 2, (5,), [(2, 2)]), ("zero_padding1d", [1, 3], (5,), [(1, 3)]), ("zero_padding2d", 1, (3, 4), [(1, 1), (1, 1)]),
    ("zero_padding2d", [2, 1], (3, 4), [(2, 2), (1, 1)]), ("zero_padding2d", [[0, 1], [2, 3]], (3, 4), [(0, 1), (2, 3)]),
    ("zero_padding3d", 1, (2, 3, 2), [(1, 1)] * 3), ("zero_padding3d", [1, 0, 2], (2, 3, 2), [(1, 1), (0, 0), (2, 2)]),
    ("zero_padding3d", [[0, 1], [1, 0], [2, 1]], (2, 3, 2), [(0, 1), (1, 0), (2, 1)]),
    ("cropping1d", 1, (5,), [(1, 1)]), ("cropping1d", [0, 2], (5,), [(0, 2)]), ("cropping2d", [1, 2], (4, 6), [(1, 1), (2, 2)]),
    ("cropping2d", [[0, 1], [2, 1]], (4, 6), [(0, 1), (2, 1)]), ("cropping3d", 1, (3, 4, 3), [(1, 1)] * 3),
    ("cropping3d", [[0, 1], [1, 2], [2, 0]], (3, 4, 3), [(0, 1), (1, 2), (2, 0)]),
]

UP = [  # spatial, size, interpolation
    ((4,), 3, None), ((3, 4), 2, "nearest"), ((3, 4), [1, 3], "nearest"), ((3, 4), 2, "bilinear"), ((4, 3), [3, 2], "bilinear"),
    ((4, 5), [2, 3], "bicubic"), ((6, 5), 2, "lanczos3"), ((6, 7), 2, "lanczos5"), ((2, 3, 2), 2, None), ((2, 3, 2), [1, 2, 3], None),
]

RESIZE = [  # image, height, width, further options
    ((5, 7), 8, 9, {}), ((8, 9), 5, 4, {}), ((5, 7), 9, 4, {"interpolation": "nearest"}), ((9, 7), 4, 14, {"interpolation": "nearest"}),
    ((6, 7), 9, 5, {"interpolation": "bicubic"}), ((9, 8), 4, 3, {"antialias": True}), ((9, 8), 4, 5, {"interpolation": "bicubic", "antialias": True}),
    ((8, 9), 5, 12, {"interpolation": "lanczos3"}), ((6, 9), 4, 4, {"crop_to_aspect_ratio": True}), ((6, 9), 8, 5, {"pad_to_aspect_ratio": True, "fill_value": 0.5}),
]


def parameters(**shapes):
    return {f"l/{k}": v for k, v in shapes.items() if v is not None}


def conv_cases():
    for i, (*spatial, ci, co, kernel, strides, padding, dilation, groups) in enumerate(CONV3D):
        layer = {"type": "conv3d", "filters": co, "kernel_size": list(kernel), "strides": list(strides), "padding": padding,
                 "dilation_rate": list(dilation), "groups": groups}
        yield (f"conv3d_{i}", layer, (*spatial, ci), parameters(kernel=(*kernel, ci // groups, co), bias=(co,)),
               lambda p, x, s=(strides, padding, dilation, groups): conv(x, p["l/kernel"], p["l/bias"], *s))
    for i, (spatial, c, m, kernel, strides, padding, dilation) in enumerate(DEPTHWISE):
        layer = {"type": f"depthwise_conv{len(spatial)}d", "kernel_size": list(kernel), "strides": list(strides), "padding": padding,
                 "depth_multiplier": m, "dilation_rate": list(dilation), "activation": "tanh"}
        yield (f"depthwise_{i:02d}", layer, (*spatial, c), parameters(kernel=(*kernel, c, m), bias=(c * m,)),
               lambda p, x, s=(strides, padding, dilation): torch.tanh(depthwise(x, p["l/kernel"], p["l/bias"], *s)))
    for i, (spatial, c, m, co, kernel, strides, padding, dilation) in enumerate(SEPARABLE):
        layer = {"type": f"separable_conv{len(spatial)}d", "filters": co, "kernel_size": list(kernel), "strides": list(strides),
                 "padding": padding, "depth_multiplier": m, "dilation_rate": list(dilation)}
        params = parameters(depthwise_kernel=(*kernel, c, m), pointwise_kernel=(*[1] * len(spatial), c * m, co), bias=(co,))
        yield (f"separable_{i}", layer, (*spatial, c), params,
               lambda p, x, s=(strides, padding, dilation): conv(depthwise(x, p["l/depthwise_kernel"], None, *s), p["l/pointwise_kernel"], p["l/bias"]))
    for i, (spatial, ci, co, kernel, strides, padding, more, dilation) in enumerate(TRANSPOSE):
        layer = {"type": f"conv{len(spatial)}d_transpose", "filters": co, "kernel_size": list(kernel), "strides": strides, "padding": padding,
                 "output_padding": more, "dilation_rate": dilation, "use_bias": i % 2 == 0}
        params = parameters(kernel=(*kernel, co, ci), bias=(co,) if i % 2 == 0 else None)
        yield (f"transpose_{i:02d}", layer, (*spatial, ci), params,
               lambda p, x, s=(strides, padding, more, dilation): conv_transpose(x, p["l/kernel"], p.get("l/bias"), *s))


def adaptive_cases():
    for i, (kind, spatial, size) in enumerate(ADAPTIVE_POOLS):
        layer = {"type": f"adaptive_{kind}_pooling{len(spatial)}d", "output_size": size}
        yield (f"adaptive_{i}", layer, (*spatial, 3), {},
               lambda p, x, f=ADAPTIVE[kind, len(spatial)], size=size: channels_last(f(channels_first(x), size)))


def local(x, kernel, bias, size, strides):
    """Every window by itself; kernel [windows, window * channels, filters]."""
    ends = [range(0, n - k + 1, s) for n, k, s in zip(x.shape[1:-1], size, strides)]
    results = []
    for i, at in enumerate(np.ndindex(*[len(e) for e in ends])):
        window = x[(slice(None), *[slice(e[j], e[j] + k) for e, j, k in zip(ends, at, size)])]
        results.append(window.reshape(x.shape[0], -1) @ kernel[i])
    y = torch.stack(results, 1).reshape(x.shape[0], *[len(e) for e in ends], -1)
    return y if bias is None else y + bias


LOCAL = [  # spatial, in, out, kernel, strides, bias
    ((7,), 3, 4, (3,), (1,), True), ((8,), 2, 5, (3,), (2,), False), ((5, 4), 2, 3, (3, 2), (1, 1), True), ((6, 7), 2, 3, (2, 3), (2, 2), True),
]


def local_cases():
    for i, (spatial, ci, co, kernel, strides, biased) in enumerate(LOCAL):
        out = [(n - k) // s + 1 for n, k, s in zip(spatial, kernel, strides)]
        layer = {"type": f"locally_connected{len(spatial)}d", "filters": co, "kernel_size": list(kernel), "strides": list(strides),
                 "use_bias": biased, "activation": "tanh"}
        params = parameters(kernel=(math.prod(out), math.prod(kernel) * ci, co), bias=(*out, co) if biased else None)
        yield (f"local_{i}", layer, (*spatial, ci), params,
               lambda p, x, s=(kernel, strides): torch.tanh(local(x, p["l/kernel"], p.get("l/bias"), *s)))


def first(layer):
    return {**layer, "data_format": "channels_first"}


def first_cases():
    """channels_first of each family."""
    both = lambda f: lambda p, x: channels_first(f(p, channels_last(x)))
    kernel = lambda p: (p["l/kernel"], p["l/bias"])
    yield ("first_conv1d", first({"type": "conv1d", "filters": 4, "kernel_size": 3, "padding": "causal"}), (3, 7),
           parameters(kernel=(3, 3, 4), bias=(4,)), both(lambda p, x: conv(x, *kernel(p), 1, "causal")))
    yield ("first_conv2d", first({"type": "conv2d", "filters": 4, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "tanh"}), (3, 7, 6),
           parameters(kernel=(3, 3, 3, 4), bias=(4,)), both(lambda p, x: torch.tanh(conv(x, *kernel(p), 2, "same"))))
    yield ("first_conv3d", first({"type": "conv3d", "filters": 3, "kernel_size": 2}), (2, 3, 4, 3),
           parameters(kernel=(2, 2, 2, 2, 3), bias=(3,)), both(lambda p, x: conv(x, *kernel(p))))
    yield ("first_depthwise", first({"type": "depthwise_conv2d", "kernel_size": 3, "depth_multiplier": 2}), (3, 6, 5),
           parameters(kernel=(3, 3, 3, 2), bias=(6,)), both(lambda p, x: depthwise(x, *kernel(p))))
    yield ("first_transpose", first({"type": "conv2d_transpose", "filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"}), (3, 4, 5),
           parameters(kernel=(3, 3, 4, 3), bias=(4,)), both(lambda p, x: conv_transpose(x, *kernel(p), 2, "same")))
    yield "first_pool", first({"type": "max_pooling2d"}), (3, 6, 5), {}, both(lambda p, x: pool(x, "max", 2))
    yield "first_global", first({"type": "global_average_pooling2d"}), (3, 6, 5), {}, lambda p, x: x.mean((2, 3))
    yield ("first_global_keep", first({"type": "global_max_pooling1d", "keepdims": True}), (3, 6), {}, lambda p, x: x.amax(2, keepdim=True))
    yield "first_padding", first({"type": "zero_padding2d", "padding": [1, 2]}), (3, 2, 4), {}, lambda p, x: F.pad(x, (2, 2, 1, 1))
    yield "first_up", first({"type": "up_sampling2d"}), (3, 2, 4), {}, lambda p, x: x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    yield "first_flatten", first({"type": "flatten"}), (3, 2, 4), {}, lambda p, x: channels_last(x).reshape(x.shape[0], -1)


def shape_cases():
    for i, (kind, spatial, c, size, strides, padding) in enumerate(POOLS3D):
        layer = {"type": f"{kind}_pooling3d", "pool_size": list(size), "strides": strides and list(strides), "padding": padding}
        yield f"pool3d_{i}", layer, (*spatial, c), {}, lambda p, x, s=(kind, size, strides, padding): pool(x, *s)
    yield "pool3d_global_max", {"type": "global_max_pooling3d"}, (3, 4, 2, 3), {}, lambda p, x: x.amax((1, 2, 3))
    yield ("pool3d_global_average", {"type": "global_average_pooling3d", "keepdims": True}, (3, 4, 2, 3), {},
           lambda p, x: x.mean((1, 2, 3), keepdim=True))
    for i, (kind, value, spatial, sides) in enumerate(BORDERS):
        pads = [n for pair in reversed(sides) for n in pair]
        layer = {"type": kind, ("padding" if kind.startswith("zero") else "cropping"): value}
        sign = 1 if kind.startswith("zero") else -1
        yield f"borders_{i:02d}", layer, (*spatial, 2), {}, lambda p, x, n=[0, 0] + [sign * a for a in pads]: F.pad(x, n)
    for i, (spatial, size, interpolation) in enumerate(UP):
        layer = {"type": f"up_sampling{len(spatial)}d", "size": size, **({"interpolation": interpolation} if interpolation else {})}
        extents = [n * s for n, s in zip(spatial, many(size, len(spatial)))]
        yield f"up_sampling_{i}", layer, (*spatial, 3), {}, lambda p, x, e=extents, m=interpolation or "nearest": resample(x, e, m)
    for i, (image, height, width, more) in enumerate(RESIZE):
        def resized(p, x, to=(height, width), more=more, image=image):
            if more.get("crop_to_aspect_ratio"):
                side = min(image)  # 6 x 9 to a square: the middle 6 x 6
                x = x[:, :, (image[1] - side) // 2:(image[1] - side) // 2 + side]
            if more.get("pad_to_aspect_ratio"):
                wanted = int(image[1] * to[0] / to[1])  # 6 x 9 to 8 x 5: 14 x 9
                above = (wanted - image[0]) // 2
                x = F.pad(x, (0, 0, 0, 0, above, wanted - image[0] - above), value=more["fill_value"])
            return resample(x, to, more.get("interpolation", "bilinear"), more.get("antialias", False))
        yield f"resizing_{i}", {"type": "resizing", "height": height, "width": width, **more}, (*image, 2), {}, resized


def cases(make_case, rng):
    for make in (conv_cases, local_cases, first_cases, shape_cases, adaptive_cases):
        for name, layer, shape, params, forward in make():
            yield case_of(make_case, rng, name, layer, shape, params, forward)
