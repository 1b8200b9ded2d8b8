"""Losses over positions of which some do not count, as cases of compare_torch.py: masked steps and ignored classes (Keras 3's
keras/src/losses/loss.py; PyTorch's cross_entropy with ignore_index where that has the setting)."""
import numpy as np
import torch
import torch.nn.functional as F

from peer_recurrent import B, H, I, T, masked_x, parameters_of, run_layer, under

CLASSES = 5
EPSILON = 1e-7


# ---- Keras 3's formulas (keras/src/losses/losses.py, keras/src/backend/torch/nn.py) -----------------------------------
def signs(t):
    """convert_binary_labels_to_hinge."""
    return torch.where(t == 0, -torch.ones_like(t), t)


def categorical_hinge(p, t):
    return torch.relu(((1 - t) * p).amax(-1) - (t * p).sum(-1) + 1).mean()


def kl_divergence(p, t):
    p, t = p.clamp(EPSILON, 1), t.clamp(EPSILON, 1)
    return (t * torch.log(t / p)).sum(-1).mean()


def cosine(p, t):
    return -(F.normalize(p, dim=-1) * F.normalize(t, dim=-1)).sum(-1).mean()


def smooth(t, smoothing, classes):
    return t * (1 - smoothing) + smoothing / classes


def binary_focal(gamma, alpha=None, smoothing=0.0, logits=False):
    def loss(p, t):
        t = smooth(t, smoothing, 2)
        p = torch.sigmoid(p) if logits else p
        p = p.clamp(EPSILON, 1 - EPSILON)
        value = -(t * torch.log(p) + (1 - t) * torch.log(1 - p)) * (1 - (t * p + (1 - t) * (1 - p))) ** gamma
        return value.mean() if alpha is None else (value * (t * alpha + (1 - t) * (1 - alpha))).mean()
    return loss


def categorical_focal(gamma, alpha, smoothing=0.0, logits=False):
    def loss(p, t):
        t = smooth(t, smoothing, t.shape[-1])
        p = torch.softmax(p, -1) if logits else p
        p = (p / p.sum(-1, keepdim=True)).clamp(EPSILON, 1 - EPSILON)
        return (alpha * (1 - p) ** gamma * -t * torch.log(p)).sum(-1).mean()
    return loss


def log_error(p, t):
    return ((torch.log1p(p.clamp(min=EPSILON)) - torch.log1p(t.clamp(min=EPSILON))) ** 2).mean()


def focal(kind, **options):
    return {"type": f"{kind}_focal_crossentropy", **options}


# ---- of examples or batches as a whole ----------------------------------------------------------------------------------
def overlap(alpha=None, beta=None, axis=None, reduce=torch.mean):
    """dice; tversky where alpha and beta are given."""
    def loss(p, t):
        total = lambda v: v.sum() if axis is None else v.sum(axis)
        inside = total(t * p)
        if alpha is None:
            return reduce(1 - 2 * inside / (total(t) + total(p) + EPSILON))
        return reduce(1 - inside / (inside + alpha * total((1 - p) * t) + beta * total(p * (1 - t)) + EPSILON))
    return loss


def contrastive(margin):
    return lambda p, t: (t * p ** 2 + (1 - t) * torch.relu(margin - p) ** 2).mean()


def distances(p, metric):
    if metric == "angular":
        p = F.normalize(p, dim=-1)
        return 1 - p @ p.T
    squares = ((p[:, None] - p[None]) ** 2).sum(-1)
    return squares if metric == "squared_l2" else torch.sqrt(squares + torch.eye(len(p), dtype=p.dtype))


def semi_hard(margin, metric="l2"):
    """Pair by pair, as the definition says."""
    def loss(p, t):
        d, terms = distances(p, metric), []
        for a in range(len(p)):
            others = d[a][t != t[a]]
            for b in range(len(p)):
                if b == a or t[b] != t[a]:
                    continue
                beyond = others[others > d[a, b]]
                terms.append(torch.relu(margin + d[a, b] - (beyond.min() if len(beyond) else others.max())))
        return torch.stack(terms).mean()
    return loss


def hard(margin, metric="l2", soft=False):
    def loss(p, t):
        d, terms = distances(p, metric), []
        for a in range(len(p)):
            same = (t == t[a]) & (torch.arange(len(p)) != a)
            if same.any():
                excess = d[a][same].max() - d[a][t != t[a]].min()
                terms.append(F.softplus(excess) if soft else torch.relu(excess + margin))
        return torch.stack(terms).mean()
    return loss


# name -> (gradc loss, function, last activation, target kind), as peer_cases.LOSSES
KERAS_LOSSES = {
    "dice": ({"type": "dice"}, overlap(), "sigmoid", "binary"),
    "dice_examples": ({"type": "dice", "axis": [-1]}, overlap(axis=1), "softmax", "distribution"),
    "dice_sum": ({"type": "dice", "axis": [0], "reduction": "sum"}, overlap(axis=0, reduce=torch.sum), "sigmoid", "binary"),
    "tversky": ({"type": "tversky"}, overlap(0.5, 0.5), "sigmoid", "binary"),
    "tversky_missed": ({"type": "tversky", "alpha": 0.8, "beta": 0.3}, overlap(0.8, 0.3), "softmax", "onehot"),
    "tversky_classes": ({"type": "tversky", "alpha": 0.2, "beta": 0.9, "axis": [0]}, overlap(0.2, 0.9, 0), "sigmoid", "binary"),
    "contrastive": ({"type": "contrastive"}, contrastive(1), "softplus", "binary"),
    "contrastive_near": ({"type": "contrastive", "margin": 0.4}, contrastive(0.4), "sigmoid", "binary"),
    "contrastive_far": ({"type": "contrastive", "margin": 2.5}, contrastive(2.5), "exponential", "binary"),
    "triplet_semi_hard": ({"type": "triplet_semi_hard"}, semi_hard(1), "linear", "sparse"),
    "triplet_semi_hard_squared": ({"type": "triplet_semi_hard", "margin": 0.3, "distance": "squared_l2"},
                                  semi_hard(0.3, "squared_l2"), "tanh", "sparse"),
    "triplet_semi_hard_angular": ({"type": "triplet_semi_hard", "margin": 0.2, "distance": "angular"},
                                  semi_hard(0.2, "angular"), "linear", "sparse"),
    "triplet_hard": ({"type": "triplet_hard", "margin": 0.7}, hard(0.7), "linear", "sparse"),
    "triplet_hard_soft": ({"type": "triplet_hard", "soft": True, "distance": "squared_l2"}, hard(0, "squared_l2", True), "tanh",
                          "sparse"),
    "triplet_hard_angular": ({"type": "triplet_hard", "distance": "angular"}, hard(1, "angular"), "linear", "sparse"),
    "mape": ({"type": "mape"}, lambda p, t: 100 * ((t - p) / t.abs().clamp(min=EPSILON)).abs().mean(), "linear", "real"),
    "msle": ({"type": "msle"}, log_error, "softplus", "count"),
    "msle_below": ({"type": "mean_squared_logarithmic_error"}, log_error, "linear", "count"),
    "log_cosh": ({"type": "log_cosh"}, lambda p, t: torch.log(torch.cosh(p - t)).mean(), "linear", "real"),
    "log_cosh_sum": ({"type": "log_cosh", "reduction": "sum"}, lambda p, t: torch.log(torch.cosh(p - t)).mean(-1).sum(),
                     "linear", "count"),
    "poisson": ({"type": "poisson"}, lambda p, t: (p - t * torch.log(p + EPSILON)).mean(), "softplus", "count"),
    "poisson_exponential": ({"type": "poisson"}, lambda p, t: (p - t * torch.log(p + EPSILON)).mean(), "exponential", "count"),
    "cosine": ({"type": "cosine_similarity"}, cosine, "linear", "real"),
    "cosine_rows": ({"type": "cosine_similarity"}, cosine, "softmax", "onehot"),
    "hinge": ({"type": "hinge"}, lambda p, t: torch.relu(1 - signs(t) * p).mean(), "tanh", "binary"),
    "hinge_signs": ({"type": "hinge"}, lambda p, t: torch.relu(1 - t * p).mean(), "linear", "sign"),
    "squared_hinge": ({"type": "squared_hinge"}, lambda p, t: (torch.relu(1 - signs(t) * p) ** 2).mean(), "tanh", "binary"),
    "squared_hinge_signs": ({"type": "squared_hinge"}, lambda p, t: (torch.relu(1 - t * p) ** 2).mean(), "linear", "sign"),
    "categorical_hinge": ({"type": "categorical_hinge"}, categorical_hinge, "linear", "onehot"),
    "categorical_hinge_rows": ({"type": "categorical_hinge"}, categorical_hinge, "softmax", "distribution"),
    "kld": ({"type": "kl_divergence"}, kl_divergence, "softmax", "distribution"),
    "kld_one": ({"type": "kld"}, kl_divergence, "softmax", "onehot"),
    "binary_focal": (focal("binary"), binary_focal(2), "sigmoid", "binary"),
    "binary_focal_balanced": (focal("binary", apply_class_balancing=True, gamma=1.5, alpha=0.3), binary_focal(1.5, 0.3),
                              "sigmoid", "binary"),
    "binary_focal_logits": (focal("binary", from_logits=True, gamma=0.7, label_smoothing=0.1),
                            binary_focal(0.7, None, 0.1, True), "linear", "binary"),
    "categorical_focal": (focal("categorical"), categorical_focal(2, 0.25), "softmax", "onehot"),
    "categorical_focal_logits": (focal("categorical", from_logits=True, gamma=0.5, alpha=0.8),
                                 categorical_focal(0.5, 0.8, 0.0, True), "linear", "onehot"),
    "categorical_focal_smoothed": (focal("categorical", gamma=1.2, label_smoothing=0.2), categorical_focal(1.2, 0.25, 0.2),
                                   "softmax", "distribution"),
}


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


def ctc(make_case, rng, name, labels, options={}, masked=False, reduce=torch.mean):
    """Of labels by example; PyTorch's own loss, whose mean divides by numbers of labels, as a sum."""
    steps, classes = 9, 6
    x = rng(name).standard_normal((len(labels), steps, I)).astype("f4")
    lengths = [steps] * len(labels)
    if masked:
        lengths = [steps - n % 4 for n in range(len(labels))]
        for row, length in zip(x, lengths):
            row[length:] = 0
    y = np.zeros((len(labels), options.get("max_labels", steps)), "i4")
    for row, own in zip(y, labels):
        row[:len(own)] = own
    layers = [{"type": "dense", "name": "d", "units": classes}]
    if masked:
        layers.insert(0, {"type": "masking", "name": "m"})

    def loss(p, t):
        counts = torch.tensor([len(own) for own in labels])
        values = F.ctc_loss(torch.log_softmax(p, -1).transpose(0, 1), t, torch.tensor(lengths), counts, reduction="none",
                            zero_infinity=options.get("zero_infinity", False))
        return reduce(values)

    model = {"name": name, "inputs": [{"name": "x", "shape": [steps, I]}], "layers": layers,
             "training": {"loss": {"type": "ctc", **options}, "optimizer": {"type": "sgd"}, "batch_size": len(labels)}}
    case = make_case(name, model, lambda p, v: v @ p["d/kernel"] + p["d/bias"], loss, x, y,
                     {"d/kernel": (I, classes), "d/bias": (classes,)})
    case.entries = ("gradients",)
    return case


def cases(make_case, rng):
    yield ctc(make_case, rng, "loss_ctc", [[1, 2, 3], [4], [], [5, 5, 1, 1]])
    yield ctc(make_case, rng, "loss_ctc_sum", [[2, 2, 2, 2, 2], [1, 3, 1, 3, 1], [5, 4]],
              {"max_labels": 5, "reduction": "sum"}, reduce=torch.sum)
    yield ctc(make_case, rng, "loss_ctc_zero_infinity", [[3, 3, 3, 3, 3, 3], [1, 2], [4, 4]],
              {"max_labels": 7, "zero_infinity": True})
    yield ctc(make_case, rng, "loss_ctc_masked", [[1, 2], [3, 3], [4, 1, 5], [2]], {"max_labels": 3}, masked=True)
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
