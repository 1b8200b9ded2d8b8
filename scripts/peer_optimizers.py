"""Optimizers as cases of compare_torch.py: Keras 3's formulas on float64 tensors, and PyTorch's own classes. Each takes a
parameter, its gradient, what it remembers, the step from 1 and the learning rate, and gives the new parameter."""
import math

import torch


def sgd(p, g, s, t, lr, momentum=0.0, nesterov=False):
    if momentum == 0.0:
        return p - lr * g
    s["momentum"] = v = momentum * s.get("momentum", 0.0) - lr * g
    return p + (momentum * v - lr * g if nesterov else v)


def adagrad(p, g, s, t, lr, eps=1e-7):
    s["accumulator"] = a = s.get("accumulator", 0.1) + g * g
    return p - lr * g / torch.sqrt(a + eps)


def rmsprop(p, g, s, t, lr, rho=0.9, eps=1e-7, momentum=0.0, centered=False):
    s["velocity"] = v = rho * s.get("velocity", 0.0) + (1 - rho) * g * g
    if centered:
        s["average_gradient"] = a = rho * s.get("average_gradient", 0.0) + (1 - rho) * g
        v = v - a * a
    step = lr * g / torch.sqrt(v + eps)
    if momentum > 0:
        s["momentum"] = step = momentum * s.get("momentum", 0.0) + step
    return p - step


def adam(p, g, s, t, lr, b1=0.9, b2=0.999, eps=1e-7, weight_decay=0.0, amsgrad=False):
    p = p - lr * weight_decay * p
    m = s["momentum"] = b1 * s.get("momentum", 0.0) + (1 - b1) * g
    v = s["velocity"] = b2 * s.get("velocity", 0.0) + (1 - b2) * g * g
    if amsgrad:
        v = s["velocity_hat"] = torch.maximum(torch.as_tensor(s.get("velocity_hat", 0.0), dtype=v.dtype), v)
    return p - lr * math.sqrt(1 - b2**t) / (1 - b1**t) * m / (torch.sqrt(v) + eps)


def adamax(p, g, s, t, lr, b1=0.9, b2=0.999, eps=1e-7):
    m = s["momentum"] = b1 * s.get("momentum", 0.0) + (1 - b1) * g
    u = s["norm"] = torch.maximum(b2 * torch.as_tensor(s.get("norm", 0.0), dtype=g.dtype), g.abs())
    return p - lr / (1 - b1**t) * m / (u + eps)


def nadam(p, g, s, t, lr, b1=0.9, b2=0.999, eps=1e-7):
    m = s["momentum"] = b1 * s.get("momentum", 0.0) + (1 - b1) * g
    v = s["velocity"] = b2 * s.get("velocity", 0.0) + (1 - b2) * g * g
    product = math.prod(b1 * (1 - 0.5 * 0.96**n) for n in range(1, t + 1))
    now, ahead = (b1 * (1 - 0.5 * 0.96**n) for n in (t, t + 1))
    step = ahead * m / (1 - product * ahead) + (1 - now) * g / (1 - product)
    return p - lr * step / (torch.sqrt(v / (1 - b2**t)) + eps)


def lion(p, g, s, t, lr, b1=0.9, b2=0.99):
    m = s.get("momentum", torch.zeros_like(g))
    s["momentum"] = b2 * m + (1 - b2) * g
    return p - lr * torch.sign(b1 * m + (1 - b1) * g)


def adafactor(p, g, s, t, lr):
    rms = lambda x: torch.sqrt(torch.mean(x * x))
    kept = 1 - t**-0.8
    squares = g * g + 1e-30
    if g.dim() < 2:
        v = s["v"] = kept * s.get("v", 0.0) + (1 - kept) * squares
    else:
        r = s["r"] = kept * s.get("r", 0.0) + (1 - kept) * squares.mean(-1)
        c = s["c"] = kept * s.get("c", 0.0) + (1 - kept) * squares.mean(-2)
        v = (r / r.mean(-1, keepdim=True)).unsqueeze(-1) * c.unsqueeze(-2)
    u = g / torch.sqrt(v)
    rate = max(1e-3, rms(p)) * min(lr, 1 / math.sqrt(t))
    return p - rate * u / max(1.0, rms(u))


def ftrl(p, g, s, t, lr, power=-0.5, l1=0.0, l2=0.0, shrinkage=0.0, beta=0.0):
    old = s.get("accumulator", torch.full_like(g, 0.1))
    new = s["accumulator"] = old + g * g
    linear = s.get("linear", torch.zeros_like(g))
    linear = s["linear"] = linear + g + 2 * shrinkage * p - (new**-power - old**-power) / lr * p
    quadratic = new**-power / lr + 2 * (l2 + beta / (2 * lr))
    return (linear.clamp(-l1, l1) - linear) / quadratic


def lamb(p, g, s, t, lr, b1=0.9, b2=0.999, eps=1e-7):
    m = s["momentum"] = b1 * s.get("momentum", 0.0) + (1 - b1) * g
    v = s["velocity"] = b2 * s.get("velocity", 0.0) + (1 - b2) * g * g
    u = m / (1 - b1**t) / (torch.sqrt(v / (1 - b2**t)) + eps)
    trust = p.norm() / u.norm() if p.norm() > 0 and u.norm() > 0 else 1.0
    return p - trust * lr * u


def orthogonal(x, steps, a=3.4445, b=-4.7750, c=2.0315):
    """zeropower_via_newtonschulz5 of keras/src/optimizers/muon.py."""
    tall = x.shape[-2] > x.shape[-1]
    x = x.transpose(-1, -2) if tall else x
    x = x / (torch.sqrt((x * x).sum((-2, -1), keepdim=True)) + 1e-7)
    for _ in range(steps):
        square = x @ x.transpose(-1, -2)
        x = a * x + (b * square + c * square @ square) @ x
    return x.transpose(-1, -2) if tall else x


def muon(p, g, s, t, lr, momentum=0.95, steps=6, nesterov=True, weight_decay=0.1, matrices=True, eps=1e-7):
    if p.dim() not in (2, 3) or not matrices:
        p = p - lr * weight_decay * p
        return adam(p, g, s, t, 0.1 * lr, eps=eps)
    p = p - lr * weight_decay * p
    m = s["momentum"] = momentum * s.get("momentum", 0.0) + g
    return p - lr * orthogonal(g + momentum * m if nesterov else m, steps) * max(1, p.shape[0] / p.shape[1]) ** 0.5


def accumulated(p, g, s, t, lr, update, steps, **arguments):
    """gradient_accumulation_steps: the mean gradient of several steps, and updates count instead of steps."""
    s["sum"] = s.get("sum", 0.0) + g
    if t % steps:
        return p
    g, s["sum"] = s["sum"] / steps, 0.0
    return update(p, g, s.setdefault("own", {}), t // steps, lr, **arguments)


def averaged(p, g, s, t, lr, update, ema=0.99, overwrite=None, **arguments):
    """use_ema: the average starts as the parameter after its first step."""
    p = update(p, g, s.setdefault("own", {}), t, lr, **arguments)
    kept = ema if t > 1 else 0.0
    s["average"] = kept * s.get("average", 0.0) + (1 - kept) * p
    return s["average"].clone() if overwrite and t % overwrite == 0 else p


def undecayed(p, g, s, t, lr, update, decays, weight_decay, **arguments):
    """exclude_from_weight_decay, of kernels or biases."""
    return update(p - lr * weight_decay * p if decays(p) else p, g, s, t, lr, **arguments)


def faster(p, g, s, t, lr, update, multiplier, units, **arguments):
    """learning_rate_multiplier of the layer that has so many units."""
    return update(p, g, s, t, lr * (multiplier if p.shape[-1] == units else 1), **arguments)


def is_kernel(p):
    return p.dim() > 1


def of_torch(p, g, s, t, lr, make, **arguments):
    """One step of a torch.optim class on one parameter."""
    if "parameter" not in s:
        s["parameter"] = torch.nn.Parameter(p.clone())
        s["optimizer"] = make([s["parameter"]], lr=lr, **arguments)
    s["parameter"].grad = g
    s["optimizer"].step()
    return s["parameter"].detach().clone()


def as_torch(**options):
    """Options of gradc for the formula and the epsilon of PyTorch."""
    return {**options, "epsilon_as": "pytorch", "epsilon": options.get("epsilon", 1e-8)}


_RULES = {  # name -> (gradc optimizer, learning rate, update function, its further arguments)
    "sgd": ({"type": "sgd"}, 0.05, sgd, {}),
    "momentum": ({"type": "sgd", "momentum": 0.9}, 0.02, sgd, {"momentum": 0.9}),
    "nesterov": ({"type": "sgd", "momentum": 0.9, "nesterov": True}, 0.02, sgd, {"momentum": 0.9, "nesterov": True}),
    "adagrad": ({"type": "adagrad"}, 0.02, adagrad, {}),
    "rmsprop": ({"type": "rmsprop"}, 0.001, rmsprop, {}),
    "rmsprop_centered": ({"type": "rmsprop", "centered": True, "momentum": 0.5}, 0.0005, rmsprop,
                         {"momentum": 0.5, "centered": True}),
    "adam": ({"type": "adam"}, 0.002, adam, {}),
    "amsgrad": ({"type": "adam", "amsgrad": True}, 0.002, adam, {"amsgrad": True}),
    "adamw": ({"type": "adamw", "weight_decay": 0.01}, 0.002, adam, {"weight_decay": 0.01}),
    "adamax": ({"type": "adamax"}, 0.002, adamax, {}),
    "nadam": ({"type": "nadam"}, 0.002, nadam, {}),
    "lion": ({"type": "lion"}, 0.0005, lion, {}),
    "adafactor": ({"type": "adafactor"}, 0.005, adafactor, {}),
    "ftrl": ({"type": "ftrl"}, 0.05, ftrl, {}),
    "ftrl_regularized": ({"type": "ftrl", "l1_regularization_strength": 0.01, "l2_regularization_strength": 0.02,
                          "l2_shrinkage_regularization_strength": 0.005, "beta": 0.1, "learning_rate_power": -0.6}, 0.05, ftrl,
                         {"l1": 0.01, "l2": 0.02, "shrinkage": 0.005, "beta": 0.1, "power": -0.6}),
    "lamb": ({"type": "lamb"}, 0.002, lamb, {}),
    "muon": ({"type": "muon"}, 0.002, muon, {}),
    "muon_plain": ({"type": "muon", "nesterov": False, "ns_steps": 3, "momentum": 0.8, "weight_decay": 0}, 0.005, muon,
                   {"nesterov": False, "steps": 3, "momentum": 0.8, "weight_decay": 0}),
    "muon_excluded": ({"type": "muon", "exclude_layers": "kernel", "epsilon": 1e-5}, 0.01, muon, {"matrices": False, "eps": 1e-5}),
    "accumulated_sgd": ({"type": "sgd", "gradient_accumulation_steps": 2}, 0.05, accumulated, {"update": sgd, "steps": 2}),
    "accumulated_nesterov": ({"type": "nesterov", "gradient_accumulation_steps": 3}, 0.02, accumulated,
                             {"update": sgd, "steps": 3, "momentum": 0.9, "nesterov": True}),
    "accumulated_adam": ({"type": "adam", "gradient_accumulation_steps": 4}, 0.005, accumulated, {"update": adam, "steps": 4}),
    "averaged": ({"type": "sgd", "use_ema": True}, 0.05, averaged, {"update": sgd}),
    "averaged_often": ({"type": "momentum", "use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3}, 0.02, averaged,
                       {"update": sgd, "momentum": 0.9, "ema": 0.8, "overwrite": 3}),
    "averaged_always": ({"type": "adagrad", "use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 1}, 0.02, averaged,
                        {"update": adagrad, "ema": 0.5, "overwrite": 1}),
    "undecayed_bias": ({"type": "adamw", "weight_decay": 0.1, "exclude_from_weight_decay": "bias"}, 0.002, undecayed,
                       {"update": adam, "decays": is_kernel, "weight_decay": 0.1}),
    "undecayed_kernel": ({"type": "sgd", "weight_decay": 0.2, "exclude_from_weight_decay": "kernel"}, 0.05, undecayed,
                         {"update": sgd, "decays": lambda p: not is_kernel(p), "weight_decay": 0.2}),
    "undecayed_all": ({"type": "lion", "weight_decay": 0.3, "exclude_from_weight_decay": "bias kernel"}, 0.0005, undecayed,
                      {"update": lion, "decays": lambda p: False, "weight_decay": 0.3}),
    # PyTorch's own classes, with its defaults.
    "torch_sgd": ({"type": "sgd"}, 0.05, of_torch, {"make": torch.optim.SGD}),
    "torch_momentum": ({"type": "sgd", "momentum": 0.9}, 0.02, of_torch,
                       {"make": torch.optim.SGD, "momentum": 0.9}),
    "torch_nesterov": ({"type": "sgd", "momentum": 0.9, "nesterov": True}, 0.02, of_torch,
                       {"make": torch.optim.SGD, "momentum": 0.9, "nesterov": True}),
    "torch_adagrad": (as_torch(type="adagrad", initial_accumulator_value=0, epsilon=1e-10), 0.01, of_torch,
                      {"make": torch.optim.Adagrad}),
    "torch_rmsprop": (as_torch(type="rmsprop", rho=0.99), 0.001, of_torch, {"make": torch.optim.RMSprop}),
    "torch_rmsprop_centered": (as_torch(type="rmsprop", rho=0.99, centered=True, momentum=0.5), 0.0005, of_torch,
                               {"make": torch.optim.RMSprop, "centered": True, "momentum": 0.5}),
    "torch_adam": (as_torch(type="adam"), 0.001, of_torch, {"make": torch.optim.Adam}),
    "torch_amsgrad": (as_torch(type="adam", amsgrad=True), 0.001, of_torch,
                      {"make": torch.optim.Adam, "amsgrad": True}),
    "torch_adamw": (as_torch(type="adamw", weight_decay=0.01), 0.001, of_torch, {"make": torch.optim.AdamW}),
    "torch_adamax": (as_torch(type="adamax"), 0.002, of_torch, {"make": torch.optim.Adamax}),
    # The same formulas in both.
    "torch_adadelta": ({"type": "adadelta"}, 0.5, of_torch, {"make": torch.optim.Adadelta, "rho": 0.95, "eps": 1e-7}),
    # foreach: in PyTorch up to 1.13 the loop over single tensors multiplies the next product of momenta by mu twice.
    "torch_nadam": ({"type": "nadam"}, 0.002, of_torch,
                    {"make": torch.optim.NAdam, "momentum_decay": 1.0, "eps": 1e-7, "foreach": True}),
}


# multiplier, name, rule as above: the layer of 4 units is trained at another rate.
FASTER = [
    (3, "sgd", ({"type": "sgd"}, 0.02, faster, {"update": sgd, "multiplier": 3, "units": 4})),
    (0.25, "adam", ({"type": "adam"}, 0.004, faster, {"update": adam, "multiplier": 0.25, "units": 4})),
    (0, "nadam", ({"type": "nadam"}, 0.002, faster, {"update": nadam, "multiplier": 0, "units": 4})),
]


def bound(options, rate, update, arguments):
    """gradc optimizer, update function of parameter, gradient, state, step."""
    return {**options, "learning_rate": rate}, lambda p, g, s, t: update(p, g, s, t, rate, **arguments)


def optimizers(rate_factor=1.0):
    """The rules as `bound` gives them, by name."""
    return {name: bound(options, rate * rate_factor, update, arguments)
            for name, (options, rate, update, arguments) in _RULES.items()}
