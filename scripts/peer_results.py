"""Layers of several results, and named inputs, as cases of compare_torch.py: states handed on, both directions kept apart,
attention's weights, attention_mask."""
import numpy as np
import torch

from peer_attention import one_head, projections_of, weights_of
from peer_recurrent import B, H, I, T, by_formula, masked_x, parameters_of, run_layer, under

S = 4


def case_of(make_case, rng, name, layers, forward, params, x, outputs=None):
    g = rng(name + "/case")
    given = {k: torch.from_numpy(v).double() for k, v in x.items()}
    with torch.no_grad():
        shape = forward({k: torch.zeros(s, dtype=torch.float64) for k, s in params.items()}, given).shape
    model = {"name": name, "inputs": [{"name": k, "shape": list(v.shape[1:])} for k, v in x.items()], "layers": layers,
             "training": {"loss": {"type": "mse"}, "optimizer": {"type": "sgd"}, "batch_size": B}}
    y = g.standard_normal(tuple(shape)).astype("f4")
    target = None
    if outputs:
        model["outputs"] = target = outputs
    return make_case(name, model, forward, lambda p, t: ((p - t) ** 2).mean(), x, y, params, target)


def drawn(rng, name, **shapes):
    g = rng(name)
    return {k: g.standard_normal((B, *shape)).astype("f4") for k, shape in shapes.items()}


def last_states(kind, p, x, options, counts=None):
    """The last h, and the last c of an lstm: its output gate open and its activations left out."""
    h = by_formula(kind, p, x, options, counts)[:, -1]
    if kind != "lstm":
        return (h,)
    c = torch.zeros(x.shape[0], p["recurrent_kernel"].shape[0], dtype=torch.float64)
    before = torch.cat([torch.zeros_like(c)[:, None], by_formula(kind, p, x, options, counts)[:, :-1]], 1)
    for t in range(x.shape[1]):
        i, f, g, _ = torch.split(x[:, t] @ p["kernel"] + p["bias"] + before[:, t] @ p["recurrent_kernel"], c.shape[-1], -1)
        new = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        c = new if counts is None else torch.where(counts[:, t, None], new, c)
    return h, c


def translator(make_case, rng, kind, masked=False):
    """An encoder whose last states a decoder starts from."""
    name = f"states_{kind}" + ("_masked" if masked else "")
    encoder = {"type": kind, "name": "e", "units": H, "return_state": True, "inputs": "m" if masked else "source"}
    states = ["e.state_h", "e.state_c"] if kind == "lstm" else ["e.state_h"]
    decoder = {"type": kind, "name": "d", "units": H, "return_sequences": True, "inputs": ["goal", *states]}
    layers = ([{"type": "masking", "name": "m", "inputs": "source"}] if masked else []) + [encoder, decoder]
    x = drawn(rng, name, source=(T, I), goal=(S, 3))
    if masked:
        x["source"][0, 3:] = x["source"][1, :2] = 0
    params = {f"e/{k}": s for k, s in parameters_of(encoder, I).items()}
    params |= {f"d/{k}": s for k, s in parameters_of(decoder, 3).items()}

    def forward(p, x):
        counts = (x["source"] != 0).any(-1) if masked else None
        initial = last_states(kind, under(p, "e/"), x["source"], encoder, counts)
        return run_layer({"type": kind, "return_sequences": True}, under(p, "d/"), x["goal"], None, initial)

    return case_of(make_case, rng, name, layers, forward, params, x)


def directions(make_case, rng):
    """merge_mode null: two results; a bidirectional decoder starts from the states of both."""
    inner = {"type": "gru", "units": H, "return_sequences": True, "return_state": True}
    layers = [{"type": "bidirectional", "name": "b", "layer": inner, "merge_mode": None},
              {"type": "multiply", "name": "m", "inputs": ["b", "b.backward"]},
              {"type": "bidirectional", "name": "c", "layer": {"type": "gru", "units": H, "return_sequences": True},
               "inputs": ["m", "b.forward_state_h", "b.backward_state_h"], "merge_mode": "sum"}]
    params = {f"{n}/{d}_gru/{k}": s for n, f in (("b", I), ("c", H)) for d in ("forward", "backward")
              for k, s in parameters_of(inner, f).items()}
    plain = {"type": "gru", "return_sequences": True}

    def forward(p, x):
        a = run_layer(plain, under(p, "b/forward_gru/"), x["x"])
        b = run_layer({**plain, "go_backwards": True}, under(p, "b/backward_gru/"), x["x"])
        y = a * b.flip(1)
        there = run_layer(plain, under(p, "c/forward_gru/"), y, None, (a[:, -1],))
        back = run_layer({**plain, "go_backwards": True}, under(p, "c/backward_gru/"), y, None, (b[:, -1],))
        return there + back.flip(1)

    return case_of(make_case, rng, "results_directions", layers, forward, params, drawn(rng, "results_directions", x=(T, I)))


def scores(make_case, rng, layer):
    """The weights times other values."""
    name = f"results_scores_{layer['type']}"
    layer = {"name": "a", "inputs": ["query", "value"], "return_attention_scores": True, **layer}
    x = drawn(rng, name, query=(T, 4), value=(S, 4), other=(S, 3))
    last = {"type": "dot", "name": "y", "inputs": ["a.scores", "other"], "axes": [2, 1]}
    held = projections_of(layer, 4, 4, 4) if "num_heads" in layer else {}
    if "num_heads" in layer:  # heads come first
        last = {"type": "dense", "name": "y", "units": 3, "inputs": "a.scores"}
        del x["other"]
    params = {f"a/{k}": s for k, s in held.items()} | ({"y/kernel": (S, 3), "y/bias": (3,)} if held else {})
    if not held:
        params["a/scale"] = (4,) if layer["type"] == "additive_attention" else ()
    layers = [layer, last, {"type": "flatten", "name": "f"}, {"type": "flatten", "name": "g", "inputs": "a"},
              {"type": "concatenate", "name": "z", "inputs": ["f", "g"]}]

    def forward(p, x):
        q, v = x["query"], x["value"]
        if held:
            heads = {n: torch.einsum("btd,dhw->bhtw", s, p[f"a/{n}/kernel"]) + p[f"a/{n}/bias"][:, None]
                     for n, s in (("query", q), ("key", v), ("value", v))}
            seen = torch.ones(1, 1, T, S, dtype=torch.bool)
            w = weights_of(heads["query"] @ heads["key"].transpose(-1, -2) / layer["key_dim"] ** 0.5, seen)
            out = torch.tensordot((w @ heads["value"]).transpose(1, 2), p["a/attention_output/kernel"], 2)
            out = out + p["a/attention_output/bias"]
            y = w @ p["y/kernel"] + p["y/bias"]
        else:
            eye = torch.eye(S, dtype=torch.float64).expand(len(v), S, S)
            options = {k: o for k, o in layer.items() if k != "return_attention_scores"}
            w, out = one_head(options, under(p, "a/"), q, eye, v), one_head(options, under(p, "a/"), q, v, v)
            y = w @ x["other"]
        return torch.cat([y.flatten(1), out.flatten(1)], 1)

    return case_of(make_case, rng, name, layers, forward, params, x)


def masked(make_case, rng, name, mask_shape, grouped=False, padded=False):
    """Keys seen as a further input says."""
    layer = {"type": "multi_head_attention", "name": "a", "num_heads": 2, "key_dim": 3}
    if grouped:
        layer = {"type": "group_query_attention", "name": "a", "num_query_heads": 2, "num_key_value_heads": 1, "head_dim": 3}
    layer |= {"inputs": ["query", "m" if padded else "value"], "attention_mask": "seen"}
    x = drawn(rng, name, query=(T, 4), value=(S, 4), seen=mask_shape)
    x["seen"] = (x["seen"] > -0.3).astype("f4") * 2
    x["seen"][0, ..., 0] = 0
    if padded:
        x["value"][1, 2:] = 0
    held = projections_of(layer, 4, 4, 4)

    def forward(p, x):
        heads = {n: torch.einsum("btd,dhw->bhtw", s, p[f"a/{n}/kernel"]) + p[f"a/{n}/bias"][:, None]
                 for n, s in (("query", x["query"]), ("key", x["value"]), ("value", x["value"]))}
        seen = (x["seen"] != 0) if x["seen"].dim() == 4 else (x["seen"] != 0)[:, None]
        seen = seen.expand(-1, 2, T, S)
        if padded:
            seen = seen & (x["value"] != 0).any(-1)[:, None, None]
        w = weights_of(heads["query"] @ heads["key"].transpose(-1, -2) / 3 ** 0.5, seen)
        out = torch.tensordot((w @ heads["value"]).transpose(1, 2), p["a/attention_output/kernel"], 2)
        return out + p["a/attention_output/bias"]

    layers = ([{"type": "masking", "name": "m", "inputs": "value"}] if padded else []) + [layer]
    return case_of(make_case, rng, name, layers, forward, {f"a/{k}": s for k, s in held.items()}, x)


def cells(make_case, rng, name, kinds, **more):
    """Cells above one another, in one loop; the sum of the last states of the first cell beside the result."""
    layers = [{"type": f"{kind}_cell", "units": units} for kind, units in kinds]
    rnn = {"type": "rnn", "name": "r", "cell": layers if len(layers) > 1 else layers[0], "return_sequences": True,
           "return_state": True, **more}
    seen, prefixes = {}, []
    for kind, _ in kinds:
        n = seen[kind] = seen.get(kind, -1) + 1
        prefixes.append(f"r/{kind}_cell{'_' + str(n) if n else ''}/")
    params, features = {}, I
    for (kind, units), prefix in zip(kinds, prefixes):
        params |= {prefix + k: s for k, s in parameters_of({"type": kind, "units": units}, features).items()}
        features = units
    x = masked_x(rng, name)
    last = {"type": "concatenate", "name": "y", "inputs": ["f", "r.state_h"]}
    all_layers = [{"type": "masking", "name": "m"}, rnn, {"type": "gru", "name": "f", "units": 3, "inputs": "r"}, last]
    params |= {f"f/{k}": s for k, s in parameters_of({"type": "gru", "units": 3}, features).items()}
    back = more.get("go_backwards", False)

    def forward(p, x):
        x = x["x"]
        counts = (x != 0).any(-1)
        first = None
        x, c = (x.flip(1), counts.flip(1)) if back else (x, counts)
        for (kind, _), prefix in zip(kinds, prefixes):
            x = by_formula(kind, under(p, prefix), x, {}, c)
            first = x[:, -1] if first is None else first
        return torch.cat([by_formula("gru", under(p, "f/"), x, {}, c)[:, -1], first], 1)

    return case_of(make_case, rng, name, all_layers, forward, params, {"x": x})


def one_step(make_case, rng, kind):
    """A cell by itself: one step from given states."""
    states = ["h", "c"] if kind == "lstm" else ["h"]
    cell = {"type": f"{kind}_cell", "name": "s", "units": H, "inputs": ["x", *states]}
    last = {"type": "concatenate", "name": "y", "inputs": ["s", "s.state_c" if kind == "lstm" else "s"]}
    name = f"results_step_{kind}"
    x = drawn(rng, name, x=(I,), h=(H,), c=(H,)) if kind == "lstm" else drawn(rng, name, x=(I,), h=(H,))
    params = {f"s/{k}": s for k, s in parameters_of({"type": kind, "units": H}, I).items()}

    def forward(p, x):
        p = under(p, "s/")
        h = by_formula(kind, p, x["x"][:, None], {}, None, tuple(x[s] for s in states))[:, -1]
        if kind != "lstm":
            return torch.cat([h, h], 1)
        i, f, g, _ = torch.split(x["x"] @ p["kernel"] + p["bias"] + x["h"] @ p["recurrent_kernel"], H, -1)
        return torch.cat([h, torch.sigmoid(f) * x["c"] + torch.sigmoid(i) * torch.tanh(g)], 1)

    return case_of(make_case, rng, name, [cell, last], forward, params, x)


def cases(make_case, rng):
    for kind in ("simple_rnn", "lstm", "gru"):
        yield translator(make_case, rng, kind)
    yield translator(make_case, rng, "lstm", masked=True)
    yield directions(make_case, rng)
    yield scores(make_case, rng, {"type": "multi_head_attention", "num_heads": 2, "key_dim": 3})
    yield scores(make_case, rng, {"type": "attention", "use_scale": True})
    yield scores(make_case, rng, {"type": "additive_attention"})
    yield cells(make_case, rng, "rnn_one", [("lstm", H)])
    yield cells(make_case, rng, "rnn_two", [("lstm", H), ("lstm", 4)])
    yield cells(make_case, rng, "rnn_three", [("gru", 5), ("simple_rnn", H), ("lstm", 4)], go_backwards=True)
    for kind in ("simple_rnn", "lstm", "gru"):
        yield one_step(make_case, rng, kind)
    yield masked(make_case, rng, "attention_mask_pairs", (T, S))
    yield masked(make_case, rng, "attention_mask_keys", (1, S), grouped=True)
    yield masked(make_case, rng, "attention_mask_heads", (2, T, S), padded=True)
