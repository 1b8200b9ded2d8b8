"""Attention and what transformers need beside it, as cases of compare_torch.py: gradc's layers beside PyTorch's
multi_head_attention_forward where that has the setting, else beside Keras 3's formulas written with torch (float64).
Recurrent layers of several inputs too."""
import math

import numpy as np
import torch
import torch.nn.functional as F

from peer_recurrent import masked_x, parameters_of, run_layer, under

T, S, B, D = 5, 7, 3, 6


# ---- formulas -------------------------------------------------------------------------------------------------------

def seen_keys(queries, keys, causal, counts):
    """bool[batch or 1, 1, queries, keys]: query i sees key j."""
    seen = torch.ones(1, 1, queries, keys, dtype=torch.bool)
    if causal:
        seen = torch.tril(seen)
    return seen if counts is None else seen & counts[:, None, None, :]


def weights_of(scores, seen):
    """Softmax over the keys seen; zeros where there are none."""
    return torch.softmax(scores.masked_fill(~seen, -1e30), -1) * seen


def rotate(x, wavelength, factor=1.0):
    """Turns features i and i + half of [.., steps, features]."""
    steps, half = x.shape[-2], x.shape[-1] // 2
    speed = wavelength ** -(torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(steps, dtype=torch.float64)[:, None] / factor * speed
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


def sines(steps, features, wavelength=10000.0):
    i = torch.arange(features)
    angle = torch.arange(steps, dtype=torch.float64)[:, None] * wavelength ** (-(i // 2 * 2).double() / features)
    return torch.where(i % 2 == 0, angle.sin(), angle.cos())


def heads_of(options):
    """Heads of the query and of the others, width of a key and of a value."""
    if options["type"] == "group_query_attention":
        return options["num_query_heads"], options["num_key_value_heads"], options["head_dim"], options["head_dim"]
    return options["num_heads"], options["num_heads"], options["key_dim"], options.get("value_dim", options["key_dim"])


def alibi(heads, queries, keys):
    """What a head's scores lose with the distance of a key, by the rule of Press et al. (2021)."""
    def of_power(n):
        start = 2 ** (-2 ** -(math.log2(n) - 3))
        return [start * start ** i for i in range(n)]

    power = 2 ** math.floor(math.log2(heads))
    slopes = of_power(power) + of_power(2 * power)[0::2][: heads - power]
    distance = (torch.arange(queries)[:, None] - torch.arange(keys)[None, :]).abs().double()
    return -torch.tensor(slopes, dtype=torch.float64)[:, None, None] * distance


def over_axes(options, p, x):
    """Attention of [batch, axes..., features] over "attention_axes": the other axes are batches."""
    axes = options["attention_axes"]
    axes = [a % x.dim() for a in ([axes] if isinstance(axes, int) else axes or range(1, x.dim() - 1))]
    free = [a for a in range(1, x.dim() - 1) if a not in axes]
    order = [0, *free, *axes, x.dim() - 1]
    moved = x.permute(order)
    flat = moved.reshape(-1, math.prod(x.shape[a] for a in axes), x.shape[-1])
    y = by_formula(options, p, flat, flat, flat)
    y = y.reshape(*moved.shape[:-1], y.shape[-1])
    return y.permute([order.index(a) for a in range(x.dim())])


def by_formula(options, p, query, value, key, counts=None):
    heads, kv_heads, width, _ = heads_of(options)

    def project(name, x):
        y = torch.einsum("btd,dhw->bhtw", x, p[f"{name}/kernel"])
        return y + p[f"{name}/bias"][:, None] if f"{name}/bias" in p else y

    q, k, v = project("query", query), project("key", key), project("value", value)
    if "rope_max_wavelength" in options:
        turn = options["rope_max_wavelength"], options.get("rope_scaling_factor", 1.0)
        q, k = rotate(q, *turn), rotate(k, *turn)
    k, v = (x.repeat_interleave(heads // kv_heads, 1) for x in (k, v))
    seen = seen_keys(q.shape[2], k.shape[2], options.get("use_causal_mask"), counts)
    scores = q @ k.transpose(-1, -2) / math.sqrt(width)
    if options.get("use_alibi"):
        scores = scores + alibi(heads, q.shape[2], k.shape[2])
    w = weights_of(scores, seen)
    y = torch.tensordot((w @ v).transpose(1, 2), p["attention_output/kernel"], 2)
    return y + p["attention_output/bias"] if "attention_output/bias" in p else y


def by_torch(options, p, query, value, key, counts=None):
    """PyTorch's own: heads times width is the features of query and result."""
    heads, _, width, _ = heads_of(options)
    flat = {n: p[f"{n}/kernel"].reshape(-1, heads * width).T for n in ("query", "key", "value")}
    zero = torch.zeros(heads, width, dtype=torch.float64)
    bias = torch.cat([p.get(f"{n}/bias", zero).reshape(-1) for n in flat])
    causal = torch.triu(torch.ones(query.shape[1], key.shape[1], dtype=torch.bool), 1)
    out = p["attention_output/kernel"]
    y, _ = F.multi_head_attention_forward(
        *(x.transpose(0, 1) for x in (query, key, value)), query.shape[-1], heads, None, bias, None, None, False, 0.0,
        out.reshape(-1, out.shape[-1]).T, p.get("attention_output/bias"), use_separate_proj_weight=True,
        key_padding_mask=None if counts is None else ~counts, need_weights=False,
        attn_mask=causal if options.get("use_causal_mask") else None, q_proj_weight=flat["query"],
        k_proj_weight=flat["key"], v_proj_weight=flat["value"])
    return y.transpose(0, 1)


def one_head(options, p, query, value, key, counts=None, query_counts=None):
    """attention and additive_attention."""
    if options["type"] == "additive_attention":
        scores = (torch.tanh(query[:, :, None] + key[:, None]) * p.get("scale", torch.ones(()))).sum(-1)
    elif options.get("score_mode") == "concat":
        terms = torch.tanh(p.get("scale", torch.ones(())) * (query[:, :, None] + key[:, None]))
        scores = p["concat_score_weight"] * terms.sum(-1)
    else:
        scores = query @ key.transpose(-1, -2) * p.get("scale", torch.ones(()))
    seen = seen_keys(query.shape[1], key.shape[1], options.get("use_causal_mask"), counts)[:, 0]
    y = weights_of(scores, seen) @ value
    return y if query_counts is None else y * query_counts[..., None]


# ---- shapes of parameters -------------------------------------------------------------------------------------------

def projections_of(options, query, value, key):
    """By the numbers of features of the inputs."""
    heads, kv_heads, width, value_width = heads_of(options)
    out = options.get("output_shape", query)
    out = (out,) if isinstance(out, int) else tuple(out)
    shapes = {"query": (query, heads, width), "key": (key, kv_heads, width), "value": (value, kv_heads, value_width),
              "attention_output": (heads, value_width, *out)}
    result = {}
    for name, shape in shapes.items():
        result[f"{name}/kernel"] = shape
        if options.get("use_bias", True):
            result[f"{name}/bias"] = out if name == "attention_output" else shape[1:]
    return result


def scales_of(options, features):
    result = {}
    if options.get("use_scale", options["type"] == "additive_attention"):
        result["scale"] = (features,) if options["type"] == "additive_attention" else ()
    if options.get("score_mode") == "concat":
        result["concat_score_weight"] = ()
    return result


# ---- cases ----------------------------------------------------------------------------------------------------------

def case_of(make_case, rng, name, layers, forward, params, x):
    """The model of these layers over the arrays x (one, or by name) with a mean squared error."""
    g = rng(name)
    arrays = x if isinstance(x, dict) else {"x": x}
    given = {k: torch.from_numpy(v).double() if v.dtype == np.float32 else torch.from_numpy(v).long()
             for k, v in arrays.items()}
    with torch.no_grad():
        zeros = {k: torch.zeros(s, dtype=torch.float64) for k, s in params.items()}
        shape = forward(zeros, given if isinstance(x, dict) else given["x"]).shape
    inputs = [{"name": k, "shape": list(v.shape[1:])} | ({"dtype": "int32"} if v.dtype == np.int32 else {})
              for k, v in arrays.items()]
    model = {"name": name, "inputs": inputs, "layers": layers,
             "training": {"loss": {"type": "mean_squared_error"}, "optimizer": {"type": "sgd"}, "batch_size": B}}
    y = g.standard_normal(tuple(shape)).astype("f4")
    return make_case(name, model, forward, lambda p, t: ((p - t) ** 2).mean(), x, y, params)


def drawn(rng, name, **shapes):
    g = rng(name + "/inputs")
    arrays = {k: g.standard_normal((B, *s)).astype("f4") for k, s in shapes.items()}
    return arrays["x"] if list(arrays) == ["x"] else arrays


def prefixed(prefix, shapes):
    return {f"{prefix}/{k}": s for k, s in shapes.items()}


def heads_case(make_case, rng, name, function, inputs=None, **options):
    """Self-attention, or over inputs query, value and key of these shapes."""
    options = {"name": "a", **options}
    if "type" not in options:
        options["type"] = "multi_head_attention"
    shapes = inputs or {"x": (T, D)}
    if inputs:
        options["inputs"] = list(inputs)
    features = [s[-1] for s in shapes.values()]
    features += features[-1:] * (3 - len(features))
    scores = options["type"] in ("attention", "additive_attention")
    held = scales_of(options, features[0]) if scores else projections_of(options, *features)

    def forward(p, x):
        parts = list(x.values()) if inputs else [x]
        parts += parts[-1:] * (3 - len(parts))
        return function(options, under(p, "a/"), *parts)

    return case_of(make_case, rng, name, [options], forward, prefixed("a", held), drawn(rng, name, **shapes))


def axes_case(make_case, rng, name, shape, **options):
    options = {"type": "multi_head_attention", "name": "a", "num_heads": 2, "key_dim": 3, **options}
    params = prefixed("a", projections_of(options, *[shape[-1]] * 3))
    return case_of(make_case, rng, name, [options], lambda p, x: over_axes(options, under(p, "a/"), x), params,
                   drawn(rng, name, x=shape))


def masked_case(make_case, rng, name, function, **options):
    """Behind a masking layer, before a gru: steps that do not count are not seen."""
    x = masked_x(rng, name)
    options = {"name": "a", **options}
    scores = options["type"] in ("attention", "additive_attention")
    held = scales_of(options, x.shape[-1]) if scores else projections_of(options, *[x.shape[-1]] * 3)

    def forward(p, x):
        counts = (x != 0).any(-1)
        more = (counts,) if scores else ()
        y = function(options, under(p, "a/"), x, x, x, counts, *more)
        return run_layer(last, under(p, "r/"), y, counts)

    last = {"type": "gru", "name": "r", "units": 3}
    params = prefixed("a", held) | prefixed("r", parameters_of(last, x.shape[-1]))
    return case_of(make_case, rng, name, [{"type": "masking", "name": "m"}, options, last], forward, params, x)


def masked_value(make_case, rng, function, **options):
    """Queries that all count, values of which some do not, of one example none; a gru sees no mask."""
    name = f"attention_masked_value_{options['type']}"
    x = drawn(rng, name, query=(4, 4), value=(T, 4))
    x["value"][1, 3:] = x["value"][2] = 0
    options = {"name": "a", "inputs": ["query", "m"], **options}
    scores = options["type"] in ("attention", "additive_attention")
    held = scales_of(options, 4) if scores else projections_of(options, 4, 4, 4)
    last = {"type": "gru", "name": "r", "units": 3}

    def forward(p, x):
        counts = (x["value"] != 0).any(-1)
        y = function(options, under(p, "a/"), x["query"], x["value"], x["value"], counts)
        return run_layer(last, under(p, "r/"), y)

    params = prefixed("a", held) | prefixed("r", parameters_of(last, 4))
    layers = [{"type": "masking", "name": "m", "inputs": "value"}, options, last]
    return case_of(make_case, rng, name, layers, forward, params, x)


def raw_op(make_case, rng, name, shape, seen, mask=None, factors=None, **attributes):
    """The op itself behind a projection of the query, with a mask that is added, and factors of the weights, those of
    dropout."""
    inputs = {"query": shape, "key": seen, "value": (*seen[:-1], 2)} | ({"mask": mask} if mask else {})
    x = drawn(rng, name, **inputs | ({"factors": factors} if factors else {}))
    if mask:
        x["mask"][0, ..., 1:] = -1e30
    if factors:
        x["factors"] = np.where(x["factors"] > -0.6, 1 / 0.75, 0).astype("f4")
        attributes["factors"] = True
    more = (["mask"] if mask else []) + (["factors"] if factors else [])
    layers = [{"type": "dense", "name": "d", "units": shape[-1], "inputs": "query"},
              {"type": "op.attention", "name": "a", "inputs": ["d", "key", "value"] + more, "attributes": attributes}]

    def forward(p, x):
        q = x["query"] @ p["d/kernel"] + p["d/bias"]
        k, v = (y.repeat_interleave(shape[0] // seen[0], 1) for y in (x["key"], x["value"]))
        scores = q @ k.transpose(-1, -2) * attributes.get("scale", 1.0)
        if mask:
            scores = scores + x["mask"]
        weights = weights_of(scores, seen_keys(shape[1], seen[1], attributes.get("causal"), None))
        return (weights * x["factors"] if factors else weights) @ v

    return case_of(make_case, rng, name, layers, forward, {"d/kernel": (shape[-1],) * 2, "d/bias": (shape[-1],)}, x)


# ---- normalisation and positions ------------------------------------------------------------------------------------

def rms(x, scale, axes, epsilon=1e-6):
    return x / torch.sqrt((x * x).mean(axes, keepdim=True) + epsilon) * scale


def rms_cases(make_case, rng):
    for name, shape, option, axes in (("last", (D,), {}, -1), ("steps", (T, D), {"epsilon": 0.1}, -1),
                                      ("two", (T, 2, 3), {"axis": [-2, -1]}, (-2, -1))):
        width = shape[-2:] if isinstance(axes, tuple) else shape[-1:]
        layers = [{"type": "dense", "name": "d", "units": shape[-1]}, {"type": "rms_normalization", "name": "n", **option}]
        params = {"d/kernel": (shape[-1],) * 2, "d/bias": shape[-1:], "n/scale": width}
        yield case_of(make_case, rng, f"rms_{name}", layers, lambda p, x, axes=axes, e=option.get("epsilon", 1e-6):
                      rms(x @ p["d/kernel"] + p["d/bias"], p["n/scale"], axes, e), params,
                      drawn(rng, f"rms_{name}", x=shape))


def position_cases(make_case, rng):
    def behind_dense(name, layer, shape, function, params=None):
        """dense, the layer, and their sum."""
        layers = [{"type": "dense", "name": "d", "units": shape[-1]}, {**layer, "name": "p"},
                  {"type": "add", "name": "s", "inputs": ["d", "p"]}]

        def forward(p, x):
            x = x @ p["d/kernel"] + p["d/bias"]
            return x + function(p, x)

        held = {"d/kernel": (shape[-1],) * 2, "d/bias": shape[-1:], **(params or {})}
        return case_of(make_case, rng, name, layers, forward, held, drawn(rng, name, x=shape))

    for length in (T, T + 3):
        yield behind_dense(f"position_embedding_{length}", {"type": "position_embedding", "sequence_length": length},
                           (T, D), lambda p, x: p["p/embeddings"][:T].expand_as(x), {"p/embeddings": (length, D)})
    yield behind_dense("position_sine", {"type": "sine_position_encoding", "max_wavelength": 100}, (T, D),
                       lambda p, x: sines(T, D, 100.0).expand_as(x))
    yield behind_dense("position_sine_odd", {"type": "sine_position_encoding"}, (T, 5),
                       lambda p, x: sines(T, 5).expand_as(x))
    yield behind_dense("position_rotary", {"type": "rotary_embedding", "scaling_factor": 2.0}, (T, D),
                       lambda p, x: rotate(x, 10000.0, 2.0))
    yield behind_dense("position_rotary_heads", {"type": "rotary_embedding", "max_wavelength": 100}, (T, 2, 4),
                       lambda p, x: rotate(x.transpose(1, 2), 100.0).transpose(1, 2))
    yield behind_dense("position_rotary_axes", {"type": "rotary_embedding", "sequence_axis": 2, "feature_axis": 1}, (4, D),
                       lambda p, x: rotate(x.transpose(1, 2), 10000.0).transpose(1, 2))


def transformer(make_case, rng, causal):
    """A block as they stand in models; tokens of 0 do not count, and a gru that sees the mask ends it."""
    name = "transformer_decoder" if causal else "transformer_encoder"
    attention = {"type": "multi_head_attention", "name": "a", "num_heads": 3, "key_dim": 4, "use_causal_mask": causal}
    if causal:
        attention |= {"type": "group_query_attention", "head_dim": 4, "num_query_heads": 4, "num_key_value_heads": 2}
        del attention["num_heads"], attention["key_dim"]
    end = {"type": "gru", "name": "r", "units": 4}
    layers = [{"type": "token_and_position_embedding", "name": "e", "vocabulary_size": 9, "sequence_length": 8,
               "embedding_dim": D, "mask_zero": True},
              {"type": "layer_normalization", "name": "n"}, attention, {"type": "add", "name": "s", "inputs": ["e", "a"]},
              {"type": "rms_normalization", "name": "m"}, {"type": "dense", "name": "f", "units": 8, "activation": "gelu"},
              {"type": "dense", "name": "g", "units": D}, {"type": "add", "name": "t", "inputs": ["s", "g"]}, end]
    params = {"e/token_embedding/embeddings": (9, D), "e/position_embedding/embeddings": (8, D), "n/gamma": (D,),
              "n/beta": (D,), "m/scale": (D,), "f/kernel": (D, 8), "f/bias": (8,), "g/kernel": (8, D), "g/bias": (D,)}
    params |= prefixed("a", projections_of(attention, D, D, D)) | prefixed("r", parameters_of(end, D))
    tokens = rng(name + "/tokens").integers(1, 9, (B, T)).astype("i4")
    tokens[1, 3:] = tokens[2, :2] = 0

    def forward(p, x):
        e = p["e/token_embedding/embeddings"][x] + p["e/position_embedding/embeddings"][:T]
        n = F.layer_norm(e, (D,), p["n/gamma"], p["n/beta"], 1e-3)
        s = e + by_formula(attention, under(p, "a/"), n, n, n, x != 0)
        f = F.gelu(rms(s, p["m/scale"], -1) @ p["f/kernel"] + p["f/bias"])
        return run_layer(end, under(p, "r/"), s + f @ p["g/kernel"] + p["g/bias"], x != 0)

    return case_of(make_case, rng, name, layers, forward, params, tokens)


def initial_states(make_case, rng, **options):
    """A recurrent layer that starts from the results of dense layers."""
    name = f"initial_{options['type']}" + ("_back" if options.get("go_backwards") else "")
    held, states = 4, ["h", "c"] if options["type"] == "lstm" else ["h"]
    options = {"name": "r", "units": held, "inputs": ["x", *states], **options}
    layers = [{"type": "dense", "name": s, "units": held, "activation": "tanh", "inputs": "z"} for s in states]
    params = prefixed("r", parameters_of(options, D))
    for s in states:
        params |= {f"{s}/kernel": (3, held), f"{s}/bias": (held,)}

    def forward(p, x):
        initial = [torch.tanh(x["z"] @ p[f"{s}/kernel"] + p[f"{s}/bias"]) for s in states]
        return run_layer(options, under(p, "r/"), x["x"], None, initial)

    x = drawn(rng, name, x=(T, D), z=(3,))
    return case_of(make_case, rng, name, layers + [options], forward, params, x)


def cases(make_case, rng):
    def heads(name, function=by_formula, **options):
        return heads_case(make_case, rng, f"attention_{name}", function, **options)

    own, causal, odd = {"num_heads": 2, "key_dim": 3}, {"use_causal_mask": True}, {"num_heads": 3, "key_dim": 5}
    cross = {"query": (T, D), "value": (S, 4)}
    three = {**cross, "key": (S, 3)}
    yield heads("heads", by_torch, **own)
    yield heads("heads_causal", by_torch, **own, **causal)
    yield heads("heads_no_bias", by_torch, **own, use_bias=False)
    yield heads("heads_cross", by_torch, **own, inputs=cross)
    yield heads("heads_three", by_torch, **own, inputs=three, **causal)
    yield heads("heads_longer", **own, inputs={"query": (S, D), "value": (4, D)}, **causal)
    yield heads("heads_odd", **odd, value_dim=2)
    yield heads("heads_one", num_heads=1, key_dim=1, inputs={"query": (1, 3), "value": (2, 1)})
    yield heads("heads_out", **odd, output_shape=4, use_bias=False, **causal)
    yield heads("heads_out_two", **own, output_shape=[2, 3])
    yield heads("heads_rope", num_heads=3, key_dim=4, rope_max_wavelength=100.0, **causal)
    group = {"type": "group_query_attention", "head_dim": 3}
    yield heads("group", **group, num_query_heads=4, num_key_value_heads=2)
    yield heads("group_causal", **group, num_query_heads=6, num_key_value_heads=3, **causal)
    yield heads("group_one", **group, num_query_heads=3, num_key_value_heads=1, use_bias=False, inputs=three)
    yield heads("group_all", by_torch, **group, num_query_heads=2, num_key_value_heads=2)
    yield heads("group_rope", type=group["type"], head_dim=4, num_query_heads=4, num_key_value_heads=2, **causal,
                rope_max_wavelength=1000.0, rope_scaling_factor=1.5)
    slopes = {"use_alibi": True}
    yield heads("alibi", **own, **slopes)
    yield heads("alibi_causal", num_heads=4, key_dim=2, **slopes, **causal)
    yield heads("alibi_six", num_heads=6, key_dim=2, **slopes, **causal)
    yield heads("alibi_cross", num_heads=3, key_dim=2, inputs=cross, **slopes)
    yield heads("alibi_group", **group, num_query_heads=4, num_key_value_heads=2, **slopes, **causal)
    yield masked_case(make_case, rng, "attention_alibi_masked", by_formula, type="multi_head_attention", num_heads=3, key_dim=2,
                      **slopes, **causal)
    yield masked_case(make_case, rng, "attention_alibi_masked_all", by_formula, type="multi_head_attention", num_heads=2,
                      key_dim=2, **slopes)
    yield heads("alibi_long", num_heads=2, key_dim=4, inputs={"query": (100, 4), "value": (100, 4)}, **slopes, **causal)
    yield heads("alibi_long_all", num_heads=3, key_dim=2, inputs={"query": (70, 4), "value": (133, 4)}, **slopes)
    yield axes_case(make_case, rng, "attention_axes_one", (3, 4, D), attention_axes=2)
    yield axes_case(make_case, rng, "attention_axes_first", (3, 4, D), attention_axes=[1], use_causal_mask=True)
    yield axes_case(make_case, rng, "attention_axes_two", (2, 3, 4, D), attention_axes=[-2, 2])
    yield axes_case(make_case, rng, "attention_axes_all", (2, 3, 4), attention_axes=None, use_alibi=True)
    same = {"query": (T, 4), "value": (S, 4)}
    for kind in ("attention", "additive_attention"):
        short = kind.replace("_attention", "")
        yield heads(f"{short}_self", one_head, type=kind, use_scale=True)
        yield heads(f"{short}_cross", one_head, type=kind, inputs=same, use_scale=True)
        yield heads(f"{short}_three", one_head, type=kind, inputs={**cross, "key": (S, D)}, use_scale=True, **causal)
        yield masked_case(make_case, rng, f"attention_{short}_masked", one_head, type=kind, use_scale=True, **causal)
        yield masked_value(make_case, rng, one_head, type=kind, use_scale=True)
    concat = {"type": "attention", "score_mode": "concat"}
    yield heads("concat", one_head, **concat, inputs=same)
    yield heads("concat_scale", one_head, **concat, use_scale=True, **causal)
    yield masked_case(make_case, rng, "attention_concat_masked", one_head, **concat)
    multi = {"type": "multi_head_attention", "num_heads": 2, "key_dim": 2}
    yield masked_case(make_case, rng, "attention_heads_masked", by_torch, **multi)
    yield masked_case(make_case, rng, "attention_heads_masked_causal", by_formula, **multi, **causal)
    yield masked_case(make_case, rng, "attention_group_masked", by_formula, **group, num_query_heads=4, num_key_value_heads=2)
    yield masked_value(make_case, rng, by_formula, **multi)
    yield raw_op(make_case, rng, "attention_op", (4, T, 3), (2, S, 3), scale=0.5)
    yield raw_op(make_case, rng, "attention_op_added", (3, T, 2), (3, S, 2), (3, T, S), causal=True)
    yield raw_op(make_case, rng, "attention_op_repeated", (4, T, 3), (1, S, 3), (1, 1, S), scale=0.7)
    # In tiles: more than a block of queries and of keys, and a rest.
    yield heads("long", by_torch, **own, inputs={"query": (131, D), "value": (131, D)}, **causal)
    yield heads("long_cross", **odd, value_dim=2, inputs={"query": (70, D), "value": (133, 4)})
    yield heads("long_group", **group, num_query_heads=4, num_key_value_heads=2, inputs={"query": (99, 4), "value": (129, 4)},
                **causal)
    yield raw_op(make_case, rng, "attention_long_op", (3, 65, 2), (3, 130, 2), (3, 1, 130), scale=0.5)
    yield raw_op(make_case, rng, "attention_op_dropped", (4, T, 3), (2, S, 3), (4, T, S), (4, T, S), scale=0.5)
    yield raw_op(make_case, rng, "attention_long_dropped", (2, 67, 2), (1, 131, 2), None, (2, 67, 131), causal=True)
    yield from rms_cases(make_case, rng)
    yield from position_cases(make_case, rng)
    yield transformer(make_case, rng, False)
    yield transformer(make_case, rng, True)
    for kind in ("simple_rnn", "lstm", "gru"):
        yield initial_states(make_case, rng, type=kind, return_sequences=True)
    yield initial_states(make_case, rng, type="lstm", go_backwards=True)
