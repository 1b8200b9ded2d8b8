"""conv_lstm1d to 3d as cases of compare_torch.py, beside Keras 3's formulas written with torch's convolutions (float64)."""
import torch
import torch.nn.functional as F

from peer_recurrent import ACTIVATIONS, case_of, under

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
STEPS, FILTERS = 4, 3
SPATIAL = {1: (7,), 2: (6, 5), 3: (4, 3, 5)}
CHANNELS = 2


def per_axis(value, rank):
    return tuple(value) if isinstance(value, list) else (value,) * rank


def convolved(x, kernel, strides, dilation, same):
    """x is [batch, spatial..., channels]; "same" pads as TensorFlow does: the odd element at the end."""
    rank = x.dim() - 2
    pads = []
    for axis in reversed(range(rank)):
        span = (kernel.shape[axis] - 1) * dilation[axis] + 1
        size = x.shape[axis + 1]
        total = max((-(-size // strides[axis]) - 1) * strides[axis] + span - size, 0) if same else 0
        pads += [total // 2, total - total // 2]
    y = F.pad(x.movedim(-1, 1), pads)
    y = CONV[rank](y, kernel.permute(rank + 1, rank, *range(rank)), stride=strides, dilation=dilation)
    return y.movedim(1, -1)


def run_layer(options, p, x, counts=None, initial=()):
    """x is [batch, steps, spatial..., channels]. All states h, and the last h and c."""
    rank = int(options["type"][-2])
    act = ACTIVATIONS[options.get("activation", "tanh")]
    rec = ACTIVATIONS[options.get("recurrent_activation", "sigmoid")]
    strides, dilation = (per_axis(options.get(k, 1), rank) for k in ("strides", "dilation_rate"))
    ones = (1,) * rank
    order = range(x.shape[1])
    states, h, c = [], *(initial or (None, None))
    for t in reversed(order) if options.get("go_backwards") else order:
        z = convolved(x[:, t], p["kernel"], strides, dilation, options.get("padding") == "same")
        if "bias" in p:
            z = z + p["bias"]
        if h is None:
            h = c = torch.zeros(*z.shape[:-1], z.shape[-1] // 4, dtype=z.dtype)
        before = h, c
        i, f, g, o = torch.split(z + convolved(h, p["recurrent_kernel"], ones, ones, True), h.shape[-1], -1)
        c = rec(f) * c + rec(i) * act(g)
        h = rec(o) * act(c)
        if counts is not None:
            keep = counts[:, t].reshape(-1, *(1,) * (h.dim() - 1))
            h, c = (torch.where(keep, new, old) for new, old in zip((h, c), before))
        states.append(h)
    return torch.stack(states, 1), h, c


def parameters_of(options, channels):
    rank, filters = int(options["type"][-2]), options["filters"]
    window = per_axis(options["kernel_size"], rank)
    shapes = {"kernel": (*window, channels, 4 * filters), "recurrent_kernel": (*window, filters, 4 * filters)}
    if options.get("use_bias", True):
        shapes["bias"] = (4 * filters,)
    return shapes


def single(make_case, rng, name, rank, **options):
    options = {"type": f"conv_lstm{rank}d", "name": "r", "filters": FILTERS, "kernel_size": 3, **options}
    first = options.get("data_format") == "channels_first"
    shape = (STEPS, CHANNELS, *SPATIAL[rank]) if first else (STEPS, *SPATIAL[rank], CHANNELS)
    params = {f"r/{k}": s for k, s in parameters_of(options, CHANNELS).items()}

    def forward(p, x):
        states, last, _ = run_layer(options, under(p, "r/"), x.movedim(2, -1) if first else x)
        result = states if options.get("return_sequences") else last
        return result.movedim(-1, -1 - rank) if first else result

    return case_of(make_case, rng, f"conv_lstm{rank}d_{name}", [options], forward, params, shape)


def stacked(make_case, rng):
    """The second starts from the states of the first, and goes backwards."""
    one = {"type": "conv_lstm2d", "name": "one", "filters": FILTERS, "kernel_size": [3, 2], "padding": "same",
           "return_sequences": True, "return_state": True}
    two = {"type": "conv_lstm2d", "name": "two", "filters": FILTERS, "kernel_size": 2, "padding": "same", "go_backwards": True,
           "inputs": ["one", "one.state_h", "one.state_c"]}
    params = {f"one/{k}": s for k, s in parameters_of(one, CHANNELS).items()}
    params |= {f"two/{k}": s for k, s in parameters_of(two, FILTERS).items()}

    def forward(p, x):
        states, h, c = run_layer(one, under(p, "one/"), x)
        return run_layer(two, under(p, "two/"), states, initial=(h, c))[1]

    return case_of(make_case, rng, "conv_lstm2d_stacked", [one, two], forward, params, (STEPS, *SPATIAL[2], CHANNELS))


def masked(make_case, rng):
    """Tokens as rows of pixels; token 0 does not count."""
    width = 5
    layer = {"type": "conv_lstm1d", "name": "r", "filters": FILTERS, "kernel_size": 3, "padding": "same"}
    layers = [{"type": "embedding", "name": "e", "input_dim": 6, "output_dim": width, "mask_zero": True},
              {"type": "time_distributed", "name": "d", "layer": {"type": "reshape", "target_shape": [width, 1]}}, layer]
    params = {"e/embeddings": (6, width)} | {f"r/{k}": s for k, s in parameters_of(layer, 1).items()}
    x = rng("conv_lstm1d_masked").integers(1, 6, (3, STEPS)).astype("i4")
    x[1, 2:] = x[2, 1] = 0

    def forward(p, x):
        return run_layer(layer, under(p, "r/"), p["e/embeddings"][x][..., None], x != 0)[1]

    return case_of(make_case, rng, "conv_lstm1d_masked", layers, forward, params, (STEPS,), x, "int32")


def cases(make_case, rng):
    every, same = {"return_sequences": True}, {"padding": "same"}
    yield single(make_case, rng, "last", 1)
    yield single(make_case, rng, "all", 1, **every, **same)
    yield single(make_case, rng, "back", 1, **every, go_backwards=True, strides=2)
    yield single(make_case, rng, "dilated", 1, **every, **same, dilation_rate=2, kernel_size=2)
    yield single(make_case, rng, "last", 2)
    yield single(make_case, rng, "all", 2, **every, kernel_size=[2, 3], strides=[2, 1], **same)
    yield single(make_case, rng, "no_bias", 2, **every, use_bias=False, activation="relu", recurrent_activation="hard_sigmoid")
    yield single(make_case, rng, "linear", 2, activation=None, recurrent_activation="hard_sigmoid", **same)
    yield single(make_case, rng, "first", 2, **every, data_format="channels_first", strides=2, **same)
    yield single(make_case, rng, "first_last", 2, data_format="channels_first")
    yield single(make_case, rng, "last", 3, kernel_size=[2, 1, 3])
    yield single(make_case, rng, "all", 3, **every, **same, kernel_size=2)
    yield stacked(make_case, rng)
    yield masked(make_case, rng)
