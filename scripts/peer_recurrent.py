"""Recurrent layers as cases of compare_torch.py: gradc's layer beside torch.nn.RNNCell, LSTMCell and GRUCell (float64) where those have
the setting, else beside Keras 3's formulas written with torch."""
import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.utils.stateless import functional_call

T, B, I, H = 5, 3, 4, 6
GATES = {"simple_rnn": 1, "lstm": 4, "gru": 3}
ACTIVATIONS = {"tanh": torch.tanh, "relu": F.relu, "sigmoid": torch.sigmoid, "softsign": F.softsign,
               "hard_sigmoid": lambda x: F.relu6(x + 3) / 6, None: lambda x: x}


def split(z, gates):
    return torch.split(z, z.shape[-1] // gates, -1)


def reordered(matrix, gates):
    """Columns of gates z, r, h as PyTorch's r, z, n."""
    z, r, h = split(matrix, gates)
    return torch.cat([r, z, h], -1)


def by_torch(kind, p, x, initial=()):
    """All states by torch.nn's cell; x is [batch, steps, features]. From zeros, or the states given."""
    make = {"simple_rnn": torch.nn.RNNCell, "lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell}[kind]
    units = p["recurrent_kernel"].shape[0]
    cell = make(x.shape[-1], units, dtype=torch.float64)
    order = (lambda m: reordered(m, 3)) if kind == "gru" else (lambda m: m)
    width = p["kernel"].shape[1]
    bias = p.get("bias", torch.zeros(width, dtype=torch.float64))
    of_input, of_state = (bias[0], bias[1]) if bias.dim() == 2 else (bias, torch.zeros_like(bias))
    values = {"weight_ih": order(p["kernel"]).T, "weight_hh": order(p["recurrent_kernel"]).T,
              "bias_ih": order(of_input), "bias_hh": order(of_state)}
    h = torch.zeros(x.shape[0], units, dtype=torch.float64)
    first = tuple(initial) or (h, h)
    state, states = (first if kind == "lstm" else first[0]), []
    for t in range(x.shape[1]):
        state = functional_call(cell, values, (x[:, t], state))
        states.append(state[0] if kind == "lstm" else state)
    return torch.stack(states, 1)


def by_formula(kind, p, x, options, counts=None, initial=()):
    """All states; a step that does not count (`counts` is [batch, steps]) leaves them as they are."""
    act = ACTIVATIONS[options.get("activation", "tanh")]
    rec = ACTIVATIONS[options.get("recurrent_activation", "sigmoid")]
    u, units = p["recurrent_kernel"], p["recurrent_kernel"].shape[0]
    after = options.get("reset_after", True)
    bias = p.get("bias", torch.zeros(p["kernel"].shape[1], dtype=torch.float64))
    of_input, of_state = (bias[0], bias[1]) if bias.dim() == 2 else (bias, torch.zeros_like(bias))
    zeros = torch.zeros(x.shape[0], units, dtype=torch.float64)
    h, c = (tuple(initial) + (zeros, zeros))[:2]
    states = []
    for t in range(x.shape[1]):
        z = x[:, t] @ p["kernel"] + of_input
        before = h, c
        if kind == "simple_rnn":
            h = act(z + h @ u)
        elif kind == "lstm":
            i, f, g, o = split(z + h @ u, 4)
            c = rec(f) * c + rec(i) * act(g)
            h = rec(o) * act(c)
        else:
            xz, xr, xh = split(z, 3)
            hz, hr, hh = split(h @ u + of_state, 3)
            update, reset = rec(xz + hz), rec(xr + hr)
            inner = reset * hh if after else (reset * h) @ u[:, 2 * units:]
            h = update * h + (1 - update) * act(xh + inner)
        if counts is not None:
            h, c = (torch.where(counts[:, t, None], new, old) for new, old in zip((h, c), before))
        states.append(h)
    return torch.stack(states, 1)


def run_layer(options, p, x, counts=None, initial=()):
    kind = options["type"]
    backwards = options.get("go_backwards", False)
    usual = {"type", "name", "units", "inputs", "return_sequences", "go_backwards", "use_bias", "unroll"}
    if backwards:
        x, counts = x.flip(1), counts if counts is None else counts.flip(1)
    simple = set(options) <= usual and counts is None
    states = by_torch(kind, p, x, initial) if simple else by_formula(kind, p, x, options, counts, initial)
    return states if options.get("return_sequences") else states[:, -1]


def parameters_of(options, features):
    gates, units = GATES[options["type"]], options["units"]
    shapes = {"kernel": (features, gates * units), "recurrent_kernel": (units, gates * units)}
    if options.get("use_bias", True):
        two = options["type"] == "gru" and options.get("reset_after", True)
        shapes["bias"] = (2, gates * units) if two else (gates * units,)
    return shapes


def under(p, prefix):
    return {k[len(prefix):]: v for k, v in p.items() if k.startswith(prefix)}


def case_of(make_case, rng, name, layers, forward, params, x_shape=(T, I), x=None, dtype=None):
    """The model of these layers with a mean squared error; the target has the result's shape."""
    g = rng(name)
    x = g.standard_normal((B, *x_shape)).astype("f4") if x is None else x
    with torch.no_grad():
        given = torch.from_numpy(x)
        given = given.double() if given.is_floating_point() else given.long()
        shape = forward({k: torch.zeros(s, dtype=torch.float64) for k, s in params.items()}, given).shape
    entry = {"name": "x", "shape": list(x_shape)} | ({"dtype": dtype} if dtype else {})
    model = {"name": name, "inputs": [entry], "layers": layers,
             "training": {"loss": {"type": "mean_squared_error"}, "optimizer": {"type": "sgd"}, "batch_size": B}}
    y = g.standard_normal(tuple(shape)).astype("f4")
    return make_case(name, model, forward, lambda p, t: ((p - t) ** 2).mean(), x, y, params)


def single(make_case, rng, name, **options):
    options = {"type": name.split("-")[0], "name": "r", "units": H, **options}
    params = {f"r/{k}": s for k, s in parameters_of(options, I).items()}
    return case_of(make_case, rng, name.replace("-", "_"), [options], lambda p, x: run_layer(options, under(p, "r/"), x),
                   params)


def bidirectional(make_case, rng, name, mode, inner, backward=None):
    merge = {"concat": lambda a, b: torch.cat([a, b], -1), "sum": lambda a, b: a + b, "mul": lambda a, b: a * b,
             "ave": lambda a, b: (a + b) / 2}[mode]
    layer = {"type": "bidirectional", "name": "b", "layer": inner, "merge_mode": mode}
    other = backward or {**inner, "go_backwards": True}
    if backward:
        layer["backward_layer"] = backward
    there, back = f"b/forward_{inner['type']}/", f"b/backward_{other['type']}/"
    params = {there + k: s for k, s in parameters_of(inner, I).items()}
    params |= {back + k: s for k, s in parameters_of(other, I).items()}

    def forward(p, x):
        a, b = run_layer(inner, under(p, there), x), run_layer(other, under(p, back), x)
        return merge(a, b.flip(1) if inner.get("return_sequences") else b)

    return case_of(make_case, rng, name, [layer], forward, params)


def masked_x(rng, name):
    """Sequences of 5, 3 and 4 steps; the last has a gap."""
    x = rng(name).standard_normal((B, T, I)).astype("f4")
    x[1, 3:] = x[2, 1] = 0
    return x


def masked(make_case, rng, name, layers, run):
    """A masking layer, and recurrent ones behind it: (layer, its features) by name."""
    params = {f"{n}/{k}": s for n, (o, f) in layers.items() for k, s in parameters_of(o, f).items()}
    all_layers = [{"type": "masking", "name": "m"}] + [{**o, "name": n} for n, (o, _) in layers.items()]

    def forward(p, x):
        return run(p, x, (x != 0).any(-1))

    return case_of(make_case, rng, name, all_layers, forward, params, x=masked_x(rng, name))


def masked_bidirectional(make_case, rng, all_states):
    """Steps that do not count give zeros; behind them a layer that sees the mask, if there are any."""
    inner = {"type": "gru", "units": H, **({"return_sequences": True} if all_states else {})}
    other, last = {**inner, "go_backwards": True}, {"type": "lstm", "units": 4}
    name = "masked_bidirectional_all" if all_states else "masked_bidirectional"
    layers = [{"type": "masking", "name": "m", "mask_value": 0.0}, {"type": "bidirectional", "name": "b", "layer": inner}]
    params = {f"b/{d}_gru/{k}": s for d in ("forward", "backward") for k, s in parameters_of(inner, I).items()}
    if all_states:
        layers.append({**last, "name": "r"})
        params |= {f"r/{k}": s for k, s in parameters_of(last, 2 * H).items()}

    def forward(p, x):
        counts = (x != 0).any(-1)
        a = run_layer(inner, under(p, "b/forward_gru/"), x, counts)
        b = run_layer(other, under(p, "b/backward_gru/"), x, counts)
        if not all_states:
            return torch.cat([a, b], -1)
        return run_layer(last, under(p, "r/"), torch.cat([a, b.flip(1)], -1) * counts[..., None], counts)

    return case_of(make_case, rng, name, layers, forward, params, x=masked_x(rng, name))


def mask_zero(make_case, rng):
    layers = [{"type": "embedding", "name": "e", "input_dim": 7, "output_dim": I, "mask_zero": True},
              {"type": "time_distributed", "name": "d", "layer": {"type": "dense", "units": 3, "activation": "tanh"}},
              {"type": "dropout", "name": "none", "rate": 0.0}, {"type": "gru", "name": "r", "units": H}]
    params = {"e/embeddings": (7, I), "d/kernel": (I, 3), "d/bias": (3,)}
    params |= {f"r/{k}": s for k, s in parameters_of(layers[3], 3).items()}

    def forward(p, x):
        y = torch.tanh(p["e/embeddings"][x] @ p["d/kernel"] + p["d/bias"])
        return run_layer({"type": "gru", "units": H}, under(p, "r/"), y, x != 0)

    x = rng("masked_zero").integers(1, 7, (B, T)).astype("i4")
    x[0, :2] = x[1, 3:] = 0
    return case_of(make_case, rng, "masked_zero", layers, forward, params, (T,), x, "int32")


def mean_of_counted(make_case, rng, keepdims):
    """global_average_pooling1d over the steps that count."""
    name = "masked_mean_kept" if keepdims else "masked_mean"
    layers = [{"type": "masking", "name": "m"}, {"type": "dense", "name": "d", "units": 3, "activation": "tanh"},
              {"type": "global_average_pooling1d", "name": "p", "keepdims": keepdims}]

    def forward(p, x):
        counts = (x != 0).any(-1).double()[..., None]
        y = torch.tanh(x @ p["d/kernel"] + p["d/bias"])
        return (y * counts).sum(1, keepdim=keepdims) / counts.sum(1, keepdim=keepdims)

    return case_of(make_case, rng, name, layers, forward, {"d/kernel": (I, 3), "d/bias": (3,)}, x=masked_x(rng, name))


def stacked(make_case, rng):
    """Two layers, and a dense layer on every step."""
    first = {"type": "gru", "name": "one", "units": 5, "return_sequences": True}
    second = {"type": "lstm", "name": "two", "units": H, "return_sequences": True}
    dense = {"type": "time_distributed", "name": "d", "layer": {"type": "dense", "units": 3, "activation": "tanh"}}
    params = {f"one/{k}": s for k, s in parameters_of(first, I).items()}
    params |= {f"two/{k}": s for k, s in parameters_of(second, 5).items()}
    params |= {"d/kernel": (H, 3), "d/bias": (3,)}

    def forward(p, x):
        x = run_layer(second, under(p, "two/"), run_layer(first, under(p, "one/"), x))
        return torch.tanh(x @ p["d/kernel"] + p["d/bias"])

    return case_of(make_case, rng, "recurrent_stacked", [first, second, dense], forward, params)


def embedded(make_case, rng):
    layers = [{"type": "embedding", "name": "e", "input_dim": 7, "output_dim": I},
              {"type": "lstm", "name": "r", "units": H}, {"type": "dense", "name": "d", "units": 2}]
    params = {"e/embeddings": (7, I), "d/kernel": (H, 2), "d/bias": (2,)}
    params |= {f"r/{k}": s for k, s in parameters_of(layers[1], I).items()}

    def forward(p, x):
        h = run_layer({"type": "lstm", "units": H}, under(p, "r/"), p["e/embeddings"][x])
        return h @ p["d/kernel"] + p["d/bias"]

    x = rng("recurrent_embedded").integers(0, 7, (B, T)).astype("i4")
    return case_of(make_case, rng, "recurrent_embedded", layers, forward, params, (T,), x, "int32")


def cases(make_case, rng):
    every = {"return_sequences": True}
    back = {"go_backwards": True}
    for kind in GATES:
        yield single(make_case, rng, f"{kind}-last")
        yield single(make_case, rng, f"{kind}-all", **every)
        yield single(make_case, rng, f"{kind}-back", **back)
        yield single(make_case, rng, f"{kind}-all_back", **every, **back)
        yield single(make_case, rng, f"{kind}-no_bias", use_bias=False, **every)
        yield single(make_case, rng, f"{kind}-relu", activation="relu", **every)
        yield single(make_case, rng, f"{kind}-linear", activation=None)
    for kind in ("lstm", "gru"):
        yield single(make_case, rng, f"{kind}-hard", recurrent_activation="hard_sigmoid", activation="softsign", **every)
    yield single(make_case, rng, "gru-before", reset_after=False, **every)
    yield single(make_case, rng, "gru-before_no_bias", reset_after=False, use_bias=False, **back)
    lstm, gru = {"type": "lstm", "units": H}, {"type": "gru", "units": H}
    for mode in ("concat", "sum", "mul", "ave"):
        yield bidirectional(make_case, rng, f"bidirectional_{mode}", mode, {**lstm, **every})
    yield bidirectional(make_case, rng, "bidirectional_last", "concat", gru)
    yield bidirectional(make_case, rng, "bidirectional_own", "concat", {**lstm, **every},
                        {"type": "simple_rnn", "units": 4, **every, **back})
    for kind in GATES:
        yield masked(make_case, rng, f"masked_{kind}", {"r": ({"type": kind, "units": H}, I)},
                     lambda p, x, counts, kind=kind: run_layer({"type": kind, "units": H}, under(p, "r/"), x, counts))
    one, two = {"type": "lstm", "units": 5, **every}, {"type": "gru", "units": H, **back}
    yield masked(make_case, rng, "masked_stacked", {"one": (one, I), "two": (two, 5)},
                 lambda p, x, counts: run_layer(two, under(p, "two/"), run_layer(one, under(p, "one/"), x, counts), counts))
    yield masked_bidirectional(make_case, rng, False)
    yield masked_bidirectional(make_case, rng, True)
    yield mask_zero(make_case, rng)
    yield mean_of_counted(make_case, rng, False)
    yield mean_of_counted(make_case, rng, True)
    yield stacked(make_case, rng)
    yield embedded(make_case, rng)
