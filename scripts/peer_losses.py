"""Losses over positions of which some do not count, as cases of compare_torch.py: masked steps and ignored classes (Keras 3's
keras/src/losses/loss.py; PyTorch's cross_entropy with ignore_index where that has the setting)."""
import numpy as np
import torch
import torch.nn.functional as F

from peer_recurrent import B, H, I, T, masked_x, parameters_of, run_layer, under

CLASSES = 5


def mean_of(values, counts):
    """The mean over what counts; 0 over nothing."""
    values = torch.where(counts, values, torch.zeros_like(values))
    return values.sum() / max(int(counts.sum()), 1)


def case_of(make_case, rng, name, layers, forward, loss, loss_options, params, x, y):
    inputs = [{"name": "x", "shape": list(x.shape[1:])} | ({"dtype": "int32"} if x.dtype == np.int32 else {})]
    model = {"name": name, "inputs": inputs, "layers": layers,
             "training": {"loss": loss_options, "optimizer": {"type": "sgd"}, "batch_size": B}}
    return make_case(name, model, forward, loss, x, y, params)


def on_steps(make_case, rng, name, loss_options, loss, y, activation=None, units=CLASSES):
    """A masking layer and a dense one on the steps that count."""
    x = masked_x(rng, name)
    layers = [{"type": "masking", "name": "m"}, {"type": "dense", "name": "d", "units": units, "activation": activation}]
    act = {None: lambda v: v, "sigmoid": torch.sigmoid, "softmax": lambda v: torch.softmax(v, -1)}[activation]
    counts = torch.from_numpy((x != 0).any(-1))
    return case_of(make_case, rng, name, layers, lambda p, v: act(v @ p["d/kernel"] + p["d/bias"]),
                   lambda p, t: loss(p, t, counts), loss_options, {"d/kernel": (I, units), "d/bias": (units,)}, x, y)


def labels_of(rng, name, ignored=None):
    y = rng(name + "/labels").integers(0, CLASSES, (B, T)).astype("i4")
    if ignored is not None:
        y[0, 1] = y[1, :2] = y[2, 4] = ignored
    return y


def tagger(make_case, rng, name, ignored, all_ignored=False):
    """Tokens of 0 do not count, nor do labels of the ignored class; the states see the mask too."""
    scce = {"type": "sparse_categorical_crossentropy", "from_logits": True, "ignore_class": ignored}
    gru = {"type": "gru", "name": "r", "units": H, "return_sequences": True}
    layers = [{"type": "embedding", "name": "e", "input_dim": 7, "output_dim": I, "mask_zero": True}, gru,
              {"type": "dense", "name": "d", "units": CLASSES}]
    params = {"e/embeddings": (7, I), "d/kernel": (H, CLASSES), "d/bias": (CLASSES,)}
    params |= {f"r/{k}": s for k, s in parameters_of(gru, I).items()}
    x = rng(name).integers(1, 7, (B, T)).astype("i4")
    x[0, :2] = x[1, 3:] = 0
    y = labels_of(rng, name, ignored)
    if all_ignored:
        y[:] = ignored
    counts = torch.from_numpy(x != 0)

    def forward(p, v):
        return run_layer(gru, under(p, "r/"), p["e/embeddings"][v], v != 0) @ p["d/kernel"] + p["d/bias"]

    def loss(p, t):
        counted = counts & (t != ignored)
        return mean_of(F.cross_entropy(p.flatten(0, 1), torch.where(counted, t, 0).flatten(), reduction="none")
                       .view(B, T), counted)

    return case_of(make_case, rng, name, layers, forward, loss, scce, params, x, y)


def unmasked(make_case, rng, name, ignored, reduction):
    """PyTorch's own ignore_index."""
    options = {"type": "sparse_categorical_crossentropy", "from_logits": True, "ignore_class": ignored,
               "reduction": "sum" if reduction == "sum" else "sum_over_batch_size"}
    x = rng(name).standard_normal((B, T, I)).astype("f4")
    layers = [{"type": "dense", "name": "d", "units": CLASSES}]
    return case_of(make_case, rng, name, layers, lambda p, v: v @ p["d/kernel"] + p["d/bias"],
                   lambda p, t: F.cross_entropy(p.flatten(0, 1), t.flatten(), ignore_index=ignored, reduction=reduction),
                   options, {"d/kernel": (I, CLASSES), "d/bias": (CLASSES,)}, x, labels_of(rng, name, ignored))


def cases(make_case, rng):
    real = rng("masked_loss/targets").standard_normal((B, T, CLASSES)).astype("f4")
    binary = (real > 0).astype("f4")
    yield on_steps(make_case, rng, "masked_loss_mse", {"type": "mse"}, lambda p, t, c: mean_of(((p - t) ** 2).mean(-1), c), real)
    yield on_steps(make_case, rng, "masked_loss_sum", {"type": "mae", "reduction": "sum"},
                   lambda p, t, c: ((p - t).abs().mean(-1) * c).sum(), real)
    yield on_steps(make_case, rng, "masked_loss_bce", {"type": "bce"},
                   lambda p, t, c: mean_of(F.binary_cross_entropy(p, t, reduction="none").mean(-1), c), binary, "sigmoid")
    yield on_steps(make_case, rng, "masked_loss_scce", {"type": "scce"},
                   lambda p, t, c: mean_of(-torch.log(p).gather(-1, t[..., None])[..., 0], c), labels_of(rng, "masked_loss_scce"),
                   "softmax")
    yield tagger(make_case, rng, "masked_loss_tagger", -100)
    yield tagger(make_case, rng, "masked_loss_tagger_class", 2)
    yield tagger(make_case, rng, "masked_loss_nothing", -1, all_ignored=True)
    for reduction in ("mean", "sum"):
        yield unmasked(make_case, rng, f"ignored_loss_{reduction}", -100, reduction)
    yield unmasked(make_case, rng, "ignored_loss_class", 3, "mean")
