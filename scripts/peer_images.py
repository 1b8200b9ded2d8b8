"""rescaling, normalization and the random layers of images as cases of compare_torch.py. Where lower and upper bound of a factor
are the same, nothing is left to chance, and training is compared with the definition in Keras."""
import math

import torch

from peer_layers import case_of
from peer_spatial import channels_first, channels_last, resample


def whole(at, n, mode):
    """Where a whole place outside of 0 .. n - 1 is taken from; None: nowhere."""
    if mode == "wrap":
        return at % n
    if mode == "reflect":
        return min(at % (2 * n), 2 * n - 1 - at % (2 * n))
    if mode == "nearest":
        return min(max(at, 0), n - 1)
    return at if 0 <= at < n else None


def element(x, y, z, mode, fill):
    y, z = whole(y, x.shape[1], mode), whole(z, x.shape[2], mode)
    return torch.full_like(x[:, 0, 0], fill) if y is None or z is None else x[:, y, z]


def sampled(x, place, mode, interpolation, fill):
    """x [batch, height, width, channels] at place(y, x) of every element of the result."""
    rows = []
    for i in range(x.shape[1]):
        row = []
        for j in range(x.shape[2]):
            y, z = place(i, j)
            if interpolation == "nearest":
                row.append(element(x, round(y), round(z), mode, fill))
                continue
            top, left = math.floor(y), math.floor(z)
            corner = lambda a, b: element(x, top + a, left + b, mode, fill)
            upper = corner(0, 0) * (1 - (z - left)) + corner(0, 1) * (z - left)
            lower = corner(1, 0) * (1 - (z - left)) + corner(1, 1) * (z - left)
            row.append(upper * (1 - (y - top)) + lower * (y - top))
        rows.append(torch.stack(row, 1))
    return torch.stack(rows, 1)


def rotation(h, w, turns):
    cy, cx, c, s = (h - 1) / 2, (w - 1) / 2, math.cos(2 * math.pi * turns), math.sin(2 * math.pi * turns)
    return lambda y, x: (s * (x - cx) + c * (y - cy) + cy, c * (x - cx) - s * (y - cy) + cx)


def zoom(h, w, high, wide):
    cy, cx = (h - 1) / 2, (w - 1) / 2
    return lambda y, x: ((y - cy) * (1 + high) + cy, (x - cx) * (1 + wide) + cx)


def shift(h, w, down, right):
    return lambda y, x: (y - down * h, x - right * w)


H, W = 5, 6
MOVED = [  # type, options, place, fill mode, interpolation, fill value
    ("random_rotation", {"factor": [0.1, 0.1]}, rotation(H, W, 0.1), "reflect", "bilinear", 0.0),
    ("random_rotation", {"factor": [-0.23, -0.23]}, rotation(H, W, -0.23), "constant", "bilinear", 0.5),
    ("random_rotation", {"factor": [0.07, 0.07]}, rotation(H, W, 0.07), "wrap", "nearest", 0.0),
    ("random_zoom", {"height_factor": [0.3, 0.3]}, zoom(H, W, 0.3, 0.3), "reflect", "bilinear", 0.0),
    ("random_zoom", {"height_factor": [-0.4, -0.4], "width_factor": [0.7, 0.7]}, zoom(H, W, -0.4, 0.7), "nearest", "bilinear", 0.0),
    ("random_translation", {"height_factor": [0.3, 0.3], "width_factor": [-0.45, -0.45]}, shift(H, W, 0.3, -0.45), "wrap", "bilinear", 0.0),
    ("random_translation", {"height_factor": [-0.7, -0.7], "width_factor": [0.9, 0.9]}, shift(H, W, -0.7, 0.9), "reflect", "bilinear", 0.0),
    ("random_translation", {"height_factor": 0, "width_factor": [0.3, 0.3]}, shift(H, W, 0, 0.3), "constant", "nearest", -1.0),
]


def changed():
    """What training makes of an image."""
    for i, (kind, options, place, mode, interpolation, fill) in enumerate(MOVED):
        layer = {"type": kind, **options, "fill_mode": mode, "interpolation": interpolation, "fill_value": fill}
        yield f"image_moved_{i}", layer, (H, W, 2), lambda x, s=(place, mode, interpolation, fill): sampled(x, *s)
    first = {"type": "random_zoom", "height_factor": [0.3, 0.3], "data_format": "channels_first"}
    yield ("image_moved_first", first, (2, H, W),
           lambda x: channels_first(sampled(channels_last(x), zoom(H, W, 0.3, 0.3), "reflect", "bilinear", 0.0)))

    yield "image_brightness", {"type": "random_brightness", "factor": [0.2, 0.2], "value_range": [-2, 2]}, (4, 4, 3), lambda x: (x + 0.8).clamp(-2, 2)


def cases(make_case, rng):
    for name, layer, shape, of_image in changed():
        case = case_of(make_case, rng, name, layer, shape, {}, lambda p, x, f=of_image: f(x))
        case.entries = ("gradients",)  # training only
        yield case
        same = case_of(make_case, rng, name, layer, shape, {}, lambda p, x: x)
        same.entries = ("predict",)
        yield same
    yield case_of(make_case, rng, "image_crop_middle", {"type": "random_crop", "height": 6, "width": 3}, (6, 5, 2), {},
                  lambda p, x: resample(x[:, :, 1:4], (6, 3), "bilinear"))
    yield case_of(make_case, rng, "image_crop_up", {"type": "random_crop", "height": 6, "width": 9}, (4, 6, 2), {},
                  lambda p, x: resample(x, (6, 9), "bilinear"))
    yield case_of(make_case, rng, "rescaling_0", {"type": "rescaling", "scale": 0.4, "offset": -1}, (3, 4), {}, lambda p, x: x * 0.4 - 1)
    scale = [0.1, -2, 3]
    yield case_of(make_case, rng, "rescaling_1", {"type": "rescaling", "scale": scale, "offset": [1, 2, 3]}, (4, 3), {},
                  lambda p, x: x * torch.tensor(scale, dtype=x.dtype) + torch.tensor([1.0, 2, 3], dtype=x.dtype))
    given = {"type": "normalization", "mean": [1, -0.5, 0.25], "variance": [4, 2, 0.5]}
    mean, deviation = torch.tensor([1, -0.5, 0.25]).double(), torch.tensor([4, 2, 0.5]).double().sqrt()
    yield case_of(make_case, rng, "normalization_given", given, (4, 3), {}, lambda p, x: (x - mean) / deviation)
    yield case_of(make_case, rng, "normalization_invert", {**given, "invert": True}, (4, 3), {}, lambda p, x: x * deviation + mean)
    yield case_of(make_case, rng, "normalization_held", {"type": "normalization", "axis": [1, 3]}, (4, 2, 3),
                  {"l/mean": (4, 3), "l/variance": (4, 3)},
                  lambda p, x: (x - p["l/mean"][:, None]) / torch.sqrt(p["l/variance"])[:, None])
    yield case_of(make_case, rng, "normalization_one", {"type": "normalization", "axis": None}, (4, 3), {"l/mean": (), "l/variance": ()},
                  lambda p, x: (x - p["l/mean"]) / torch.sqrt(p["l/variance"]))
