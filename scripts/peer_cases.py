"""The cases of compare_torch.py: a gradc model, the same model as a PyTorch function, and its data.

Every PyTorch function is written from the published formulas (Keras 3's layers, losses and options) in float64, on
parameters in gradc's layout, so that the comparison also covers layouts.
"""
import math

import numpy as np
import torch
import torch.nn.functional as F

import peer_attention
import peer_conv_lstm
import peer_images
import peer_losses
import peer_own_losses
import peer_weights
import peer_norm
import peer_optimizers
import peer_penalties
import peer_recurrent
import peer_results
import peer_spatial
import peer_steps
import peer_tied
import peer_wrappers


class Case:
    """model: gradc JSON; forward(p, x) -> output; loss(output, y) -> scalar; params: name -> shape."""

    def __init__(self, name, model, forward, loss, x, y, params, target=None, training=True):
        self.name, self.model, self.forward, self.loss = name, model, forward, loss
        self.x, self.y, self.params, self.training = x, y, params, training  # x: of the one input, or by name
        self.target = target or model["layers"][-1]["name"]
        self.full_size = False  # not stored
        self.entries = ("gradients", "predict")  # what forward stands for
        self.before = None  # parameters -> those that are used, which training goes on from
        self.decides = False  # forward takes a list for its relu and max-pool decisions and their margins


def rng(name):
    return np.random.default_rng(abs(hash_name(name)))


def hash_name(name):
    h = 2166136261
    for c in name.encode():
        h = (h ^ c) * 16777619 % 2**32
    return h


# ---- activations ----------------------------------------------------------------------------------------------------

ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "elu": F.elu,
    "selu": F.selu,
    "celu": F.celu,
    "gelu": F.gelu,
    "silu": F.silu,
    "swish": F.silu,
    "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    "softsign": F.softsign,
    "sigmoid": torch.sigmoid,
    "log_sigmoid": F.logsigmoid,
    "hard_sigmoid": lambda x: F.relu6(x + 3) / 6,
    "hard_silu": lambda x: x * F.relu6(x + 3) / 6,
    "tanh": torch.tanh,
    "tanh_shrink": lambda x: x - torch.tanh(x),
    "hard_tanh": lambda x: torch.clamp(x, -1, 1),
    "soft_shrink": lambda x: F.softshrink(x, 0.5),
    "hard_shrink": lambda x: F.hardshrink(x, 0.5),
    "exponential": torch.exp,
    "mish": F.mish,
    "squareplus": lambda x: (x + torch.sqrt(x * x + 4)) / 2,
    "softmax": lambda x: torch.softmax(x, -1),
    "log_softmax": lambda x: torch.log_softmax(x, -1),
}


# ---- losses, on (output, target); each mean over the batch ---------------------------------------------------------

def clip(p):
    return torch.clamp(p, 1e-7, 1 - 1e-7)


def categorical(p, t):
    p = p / p.sum(-1, keepdim=True)
    return -(t * torch.log(clip(p))).sum(-1).mean()


def sparse(p, t):
    p = p / p.sum(-1, keepdim=True)
    return -torch.log(clip(p)).gather(-1, t[:, None]).mean()


def huber(p, t):
    e = (p - t).abs()
    return torch.where(e <= 1.0, 0.5 * e * e, e - 0.5).mean()


LOSSES = {  # name -> (gradc loss, function, last activation, target kind)
    "mse": ({"type": "mean_squared_error"}, lambda p, t: ((p - t) ** 2).mean(), "linear", "real"),
    "mae": ({"type": "mean_absolute_error"}, lambda p, t: (p - t).abs().mean(), "linear", "real"),
    "huber": ({"type": "huber"}, huber, "linear", "real"),
    "bce_logits": ({"type": "binary_crossentropy", "from_logits": True},
                   lambda z, t: F.binary_cross_entropy_with_logits(z, t), "linear", "binary"),
    "bce": ({"type": "binary_crossentropy"},
            lambda p, t: -(t * torch.log(clip(p)) + (1 - t) * torch.log(1 - clip(p))).mean(), "sigmoid", "binary"),
    "cce_logits": ({"type": "categorical_crossentropy", "from_logits": True},
                   lambda z, t: -(t * torch.log_softmax(z, -1)).sum(-1).mean(), "linear", "onehot"),
    "cce": ({"type": "categorical_crossentropy"}, categorical, "softmax", "onehot"),
    "scce_logits": ({"type": "sparse_categorical_crossentropy", "from_logits": True},
                    lambda z, t: F.cross_entropy(z, t), "linear", "sparse"),
    "scce": ({"type": "sparse_categorical_crossentropy"}, sparse, "softmax", "sparse"),
} | peer_losses.KERAS_LOSSES | peer_own_losses.LOSSES


def target_for(kind, generator, batch, units):
    if kind == "real":
        return generator.standard_normal((batch, units)).astype("f4")
    if kind == "count":
        return generator.poisson(2, (batch, units)).astype("f4")
    if kind == "sign":
        return generator.choice([-1, 1], (batch, units)).astype("f4")
    if kind == "distribution":
        return generator.dirichlet(np.full(units, 0.7), batch).astype("f4")
    if kind == "binary":
        return generator.integers(0, 2, (batch, units)).astype("f4")
    classes = generator.integers(0, units, batch)
    return np.eye(units, dtype="f4")[classes] if kind == "onehot" else classes.astype("i4")


def mlp(name, sizes, activation, loss_key, batch, optimizer=None):
    loss, loss_fn, last, kind = LOSSES[loss_key]
    layers, params = [], {}
    for i in range(len(sizes) - 1):
        act = activation if i + 2 < len(sizes) else last
        layers.append({"type": "dense", "name": f"d{i}", "units": sizes[i + 1], "activation": act})
        params[f"d{i}/kernel"] = (sizes[i], sizes[i + 1])
        params[f"d{i}/bias"] = (sizes[i + 1],)

    def forward(p, x):
        for i in range(len(sizes) - 1):
            act = activation if i + 2 < len(sizes) else last
            x = ACTIVATIONS[act](x @ p[f"d{i}/kernel"] + p[f"d{i}/bias"])
        return x

    g = rng(name)
    model = {"name": name, "inputs": [{"name": "x", "shape": [sizes[0]]}], "layers": layers,
             "training": {"loss": loss, "optimizer": optimizer or {"type": "sgd"}, "batch_size": batch}}
    x = g.standard_normal((batch, sizes[0])).astype("f4")
    return Case(name, model, forward, loss_fn, x, target_for(kind, g, batch, sizes[-1]), params)


def activation_case(act):
    c = mlp(f"activation_{act}", [6, 7, 5], act, "mse", 9)
    return c


def conv2d(x, kernel, bias=None, strides=(1, 1), padding="valid", dilation=(1, 1), groups=1):
    """Keras conv2d on channels-last data, kernel [kh, kw, in/groups, out]."""
    x = x.permute(0, 3, 1, 2)
    if padding == "same":
        pads = []
        for size, k, s, d in reversed(list(zip(x.shape[2:], kernel.shape[:2], strides, dilation))):
            total = max((math.ceil(size / s) - 1) * s + (k - 1) * d + 1 - size, 0)
            pads += [total // 2, total - total // 2]
        x = F.pad(x, pads)
    y = F.conv2d(x, kernel.permute(3, 2, 0, 1), bias, strides, 0, dilation, groups)
    return y.permute(0, 2, 3, 1)


CONVS = [  # height, width, in, out, kernel, strides, padding, dilation, groups
    (7, 7, 1, 4, (3, 3), (1, 1), "valid", (1, 1), 1), (8, 6, 3, 5, (3, 3), (1, 1), "same", (1, 1), 1),
    (9, 9, 2, 4, (3, 3), (2, 2), "valid", (1, 1), 1), (9, 8, 2, 4, (3, 3), (2, 2), "same", (1, 1), 1),
    (9, 9, 4, 6, (3, 3), (1, 1), "valid", (2, 2), 1), (10, 9, 3, 4, (3, 2), (1, 1), "same", (2, 1), 1),
    (6, 6, 4, 6, (3, 3), (1, 1), "same", (1, 1), 2), (6, 6, 4, 4, (3, 3), (1, 1), "valid", (1, 1), 4),
    (5, 5, 8, 17, (1, 1), (1, 1), "valid", (1, 1), 1), (8, 8, 3, 4, (1, 1), (2, 2), "same", (1, 1), 1),
    (11, 7, 2, 3, (5, 3), (3, 2), "same", (1, 1), 1), (8, 9, 16, 33, (4, 4), (2, 3), "valid", (1, 1), 1),
    (7, 7, 6, 6, (3, 3), (2, 2), "same", (1, 1), 3), (12, 12, 1, 2, (2, 5), (1, 2), "valid", (1, 1), 1),
]

POOLS = [  # type, height, width, channels, pool, strides, padding
    ("max", 8, 8, 3, (2, 2), None, "valid"), ("max", 9, 7, 2, (2, 2), None, "valid"),
    ("max", 9, 9, 3, (3, 3), (2, 2), "valid"), ("max", 9, 9, 2, (3, 3), (1, 1), "same"),
    ("max", 7, 8, 17, (2, 3), (2, 1), "same"), ("max", 6, 6, 1, (1, 2), (2, 2), "valid"),
    ("average", 8, 8, 3, (2, 2), None, "valid"), ("average", 9, 7, 2, (2, 2), None, "valid"),
    ("average", 9, 9, 3, (3, 3), (2, 2), "valid"), ("average", 9, 9, 2, (3, 3), (1, 1), "same"),
    ("average", 7, 8, 17, (2, 3), (2, 1), "same"), ("average", 6, 6, 1, (1, 2), (2, 2), "valid"),
    ("global_max", 5, 6, 4, None, None, None), ("global_average", 5, 6, 4, None, None, None),
]


def conv_case(index):
    h, w, ci, co, kernel, strides, padding, dilation, groups = CONVS[index]
    name = f"conv_{index:02d}"
    g = rng(name)
    layer = {"type": "conv2d", "name": "c", "filters": co, "kernel_size": list(kernel), "strides": list(strides),
             "padding": padding, "dilation_rate": list(dilation), "groups": groups, "activation": "tanh"}
    # A first convolution in front makes the gradient with respect to the input of the second one matter.
    layers = [{"type": "conv2d", "name": "first", "filters": ci, "kernel_size": 1}, layer,
              {"type": "flatten", "name": "out"}]
    params = {"first/kernel": (1, 1, ci, ci), "first/bias": (ci,),
              "c/kernel": (*kernel, ci // groups, co), "c/bias": (co,)}

    def forward(p, x):
        x = conv2d(x, p["first/kernel"], p["first/bias"])
        x = conv2d(x, p["c/kernel"], p["c/bias"], strides, padding, dilation, groups)
        return torch.tanh(x).reshape(x.shape[0], -1)

    x = g.standard_normal((3, h, w, ci)).astype("f4")
    with torch.no_grad():
        probe = forward({k: torch.zeros(s, dtype=torch.float64) for k, s in params.items()},
                        torch.zeros(x.shape, dtype=torch.float64))
    model = {"name": name, "inputs": [{"name": "x", "shape": [h, w, ci]}], "layers": layers,
             "training": {"loss": {"type": "mean_squared_error"}, "optimizer": {"type": "sgd"}, "batch_size": 3}}
    y = g.standard_normal(tuple(probe.shape)).astype("f4")
    return Case(name, model, forward, LOSSES["mse"][1], x, y, params)


def pool2d(x, kind, pool, strides, padding):
    x = x.permute(0, 3, 1, 2)
    if kind == "global_max":
        return x.amax((2, 3))
    if kind == "global_average":
        return x.mean((2, 3))
    strides = strides or pool
    ones = torch.ones_like(x)
    pads = []
    if padding == "same":
        for size, k, s in reversed(list(zip(x.shape[2:], pool, strides))):
            total = max((math.ceil(size / s) - 1) * s + k - size, 0)
            pads += [total // 2, total - total // 2]
    else:
        pads = [0, 0, 0, 0]
    if kind == "max":
        y = F.max_pool2d(F.pad(x, pads, value=-math.inf), pool, strides)
    else:
        y = F.avg_pool2d(F.pad(x, pads), pool, strides) / F.avg_pool2d(F.pad(ones, pads), pool, strides)
    return y.permute(0, 2, 3, 1)


def pool_case(index):
    kind, h, w, c, pool, strides, padding = POOLS[index]
    name = f"pool_{index:02d}"
    g = rng(name)
    layer = {"type": f"{kind}_pooling2d", "name": "pool"}
    if pool is not None:
        layer.update({"pool_size": list(pool), "padding": padding})
        if strides is not None:
            layer["strides"] = list(strides)
    layers = [{"type": "conv2d", "name": "first", "filters": c, "kernel_size": 1}, layer,
              {"type": "flatten", "name": "out"}]
    params = {"first/kernel": (1, 1, c, c), "first/bias": (c,)}

    def forward(p, x):
        x = conv2d(x, p["first/kernel"], p["first/bias"])
        return pool2d(x, kind, pool, strides, padding).reshape(x.shape[0], -1)

    x = g.standard_normal((4, h, w, c)).astype("f4")
    with torch.no_grad():
        probe = forward({k: torch.zeros(s, dtype=torch.float64) for k, s in params.items()},
                        torch.zeros(x.shape, dtype=torch.float64))
    model = {"name": name, "inputs": [{"name": "x", "shape": [h, w, c]}], "layers": layers,
             "training": {"loss": {"type": "mean_squared_error"}, "optimizer": {"type": "sgd"}, "batch_size": 4}}
    y = g.standard_normal(tuple(probe.shape)).astype("f4")
    return Case(name, model, forward, LOSSES["mse"][1], x, y, params)


def decision_margin(a):
    """How close a relu of `a`, followed by 2x2 max pooling, comes to another decision."""
    n, h, w, c = a.shape
    windows = F.relu(a)[:, :h // 2 * 2, :w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c)
    best = windows.permute(0, 1, 3, 5, 2, 4).reshape(-1, 4).sort(1).values
    ties = (best[:, 3] - best[:, 2])[best[:, 3] > 0]
    return min(a.abs().min().item(), ties.min().item())


def decisions(a):
    """What relu and max pooling of 2x2 take of a: the winners of the windows, and whether they are above 0."""
    values, winners = F.max_pool2d(a.permute(0, 3, 1, 2), 2, return_indices=True)
    return torch.where(values > 0, winners, -1)


def lenet(name, size, c1, c2, dense, batch, optimizer=None, smooth=False):
    """A LeNet of relu and max pooling; smooth: of tanh and average pooling, as in LeCun et al. (1998)."""
    g = rng(name)
    activation, pooling = ("tanh", "average") if smooth else ("relu", "max")
    act = torch.tanh if smooth else F.relu
    side = ((size - 2) // 2 - 2) // 2
    layers = [{"type": "conv2d", "name": "c1", "filters": c1, "kernel_size": 3, "activation": activation},
              {"type": f"{pooling}_pooling2d", "name": "p1", "pool_size": 2},
              {"type": "conv2d", "name": "c2", "filters": c2, "kernel_size": 3, "activation": activation},
              {"type": f"{pooling}_pooling2d", "name": "p2", "pool_size": 2}, {"type": "flatten", "name": "f"},
              {"type": "dense", "name": "d1", "units": dense, "activation": activation},
              {"type": "dense", "name": "d2", "units": 10}]
    params = {"c1/kernel": (3, 3, 1, c1), "c1/bias": (c1,), "c2/kernel": (3, 3, c1, c2), "c2/bias": (c2,),
              "d1/kernel": (side * side * c2, dense), "d1/bias": (dense,), "d2/kernel": (dense, 10), "d2/bias": (10,)}

    def forward(p, x, margins=None):
        for conv in ("c1", "c2"):
            x = conv2d(x, p[f"{conv}/kernel"], p[f"{conv}/bias"])
            if margins is not None and not smooth:
                margins.append((decision_margin(x.detach()), decisions(x.detach())))
            x = pool2d(act(x), pooling, (2, 2), None, "valid")
        x = x.reshape(x.shape[0], -1) @ p["d1/kernel"] + p["d1/bias"]
        if margins is not None and not smooth:
            margins.append((x.detach().abs().min().item(), x.detach() > 0))
        return act(x) @ p["d2/kernel"] + p["d2/bias"]

    model = {"name": name, "inputs": [{"name": "x", "shape": [size, size, 1]}], "layers": layers,
             "training": {"loss": LOSSES["scce_logits"][0], "optimizer": optimizer or {"type": "adam"},
                          "batch_size": batch}}
    x = g.random((batch, size, size, 1)).astype("f4")
    return Case(name, model, forward, LOSSES["scce_logits"][1], x, target_for("sparse", g, batch, 10), params)


NETWORKS = {
    "mlp_classifier": lambda opt: mlp("mlp_classifier", [40, 32, 24, 10], "relu", "scce", 16, opt),
    "mlp_regression": lambda opt: mlp("mlp_regression", [20, 20, 4], "tanh", "mse", 12, opt),
    "mlp_binary": lambda opt: mlp("mlp_binary", [10, 5, 1], "sigmoid", "bce_logits", 8, opt),
    "lenet_small": lambda opt: lenet("lenet_small", 14, 4, 6, 16, 6, opt),
}


def full_size_lenet(name, optimizer, smooth):
    case = lenet(name, 28, 32, 64, 128, 16, optimizer, smooth)
    case.full_size, case.decides = True, not smooth
    return case


def restricted():
    """Networks with constraints and with spectral normalization, and their optimizers."""
    yield from peer_penalties.constrained(mlp, peer_optimizers.optimizers())
    yield from ((with_rate(multiplier), {name: peer_optimizers.bound(*rule)}) for multiplier, name, rule in peer_optimizers.FASTER)
    yield from peer_wrappers.training()


def with_rate(multiplier):
    """A network whose last layer, of 4 units, has a learning rate of its own."""
    def make(optimizer):
        case = mlp(f"mlp_rate_{multiplier}", [20, 20, 4], "tanh", "mse", 12, optimizer)
        case.model["layers"][-1]["learning_rate_multiplier"] = multiplier
        return case
    return make


FULL_SIZE = {
    "lenet": lambda opt: full_size_lenet("lenet", opt, False),
    "lenet_tanh": lambda opt: full_size_lenet("lenet_tanh", opt, True),
}


def sequence_cases():
    yield from peer_recurrent.cases(Case, rng)
    yield from peer_conv_lstm.cases(Case, rng)
    yield from peer_attention.cases(Case, rng)
    yield from peer_losses.cases(Case, rng)
    yield from peer_weights.cases(Case, rng)
    yield from peer_tied.cases(Case, rng)
    yield from peer_results.cases(Case, rng)
    yield from peer_spatial.cases(Case, rng)
    yield from peer_norm.cases(Case, rng)
    yield from peer_images.cases(Case, rng)
    yield from peer_wrappers.cases(Case, rng)


def gradient_cases():
    """Every activation, loss, convolution, pooling, recurrent and attention setting, and the networks."""
    yield from (activation_case(act) for act in ACTIVATIONS)
    yield from peer_penalties.gradient_cases(Case, rng)
    yield from (mlp(f"loss_{key}", [6, 8, 5], "tanh", key, 11) for key in LOSSES)
    yield from (conv_case(i) for i in range(len(CONVS)))
    yield from (pool_case(i) for i in range(len(POOLS)))
    yield from peer_steps.cases(Case, rng)
    yield from sequence_cases()
    yield from (make(None) for make in NETWORKS.values())
