"""What examples and classes weigh in the loss, as cases of compare_torch.py: Keras 3's sum_over_batch_size is the sum of the
weighted values over the number of positions that count, whatever their weights are (keras/src/losses/loss.py,
reduce_weighted_values). The data of a case are {name of the tensor: array}."""
import numpy as np
import torch
import torch.nn.functional as F

from peer_losses import CLASSES, on_steps
from peer_recurrent import B, T, masked_x

ROWS, WIDTH = 9, 4
BY_CLASS = np.array([0.25, 1.0, 3.0, 1.0, 0.5], "f4")
GIVEN = {"0": 0.25, "2": 3, "4": 0.5}  # the others weigh 1
SCCE = {"type": "sparse_categorical_crossentropy", "from_logits": True}


def weights_of(rng, name, shape):
    return rng(name + "/weights").uniform(0, 2, shape).astype("f4")


def dense(make_case, rng, name, loss, options, units, targets, activation=None, batch=ROWS):
    """A dense layer on rows; loss(outputs, tensors by name)."""
    training = {"loss": loss, "optimizer": {"type": "sgd"}, "batch_size": batch} | options
    model = {"name": name, "inputs": [{"name": "x", "shape": [WIDTH]}],
             "layers": [{"type": "dense", "name": "d", "units": units, "activation": activation}], "training": training}
    act = {None: lambda v: v, "sigmoid": torch.sigmoid, "softmax": lambda v: torch.softmax(v, -1)}[activation]
    tensors, function = targets
    return make_case(name, model, lambda p, v: act(v @ p["d/kernel"] + p["d/bias"]), function,
                     rng(name).standard_normal((batch, WIDTH)).astype("f4"), tensors,
                     {"d/kernel": (WIDTH, units), "d/bias": (units,)})


def labels(rng, name, shape=(ROWS,)):
    return rng(name + "/labels").integers(0, CLASSES, shape).astype("i4")


def entropies(p, t):
    return F.cross_entropy(p, t, reduction="none")


def cases(make_case, rng):
    class_weights = torch.from_numpy(BY_CLASS).double()

    def weighted_classes(p, y):  # PyTorch's own weights, with its sum over Keras's divisor
        return F.cross_entropy(p, y["target/d"], weight=class_weights, reduction="sum") / len(p)

    y = labels(rng, "class_weight_sparse")
    yield dense(make_case, rng, "class_weight_sparse", SCCE, {"class_weight": GIVEN}, CLASSES, ({"target/d": y}, weighted_classes))
    yield dense(make_case, rng, "class_weight_sum", SCCE | {"reduction": "sum"}, {"class_weight": GIVEN}, CLASSES,
                ({"target/d": y}, lambda p, t: weighted_classes(p, t) * len(p)))
    yield dense(make_case, rng, "class_weight_state", SCCE, {"class_weight": "balanced"}, CLASSES,
                ({"target/d": y, "optimizer/class_weight/d": BY_CLASS}, weighted_classes))
    one_hot = np.eye(CLASSES, dtype="f4")[y]
    yield dense(make_case, rng, "class_weight_rows", {"type": "cce"}, {"class_weight": GIVEN}, CLASSES,
                ({"target/d": one_hot}, lambda p, t: -(class_weights[t["target/d"].argmax(-1)] *
                                                       (t["target/d"] * torch.log(p)).sum(-1)).mean()), activation="softmax")
    binary = rng("class_weight_binary/labels").integers(0, 2, (ROWS, 1)).astype("f4")
    yield dense(make_case, rng, "class_weight_binary", {"type": "bce"}, {"class_weight": {"0": 0.4, "1": 2.5}}, 1,
                ({"target/d": binary}, lambda p, t: F.binary_cross_entropy(
                    p, t["target/d"], weight=torch.where(t["target/d"] > 0.5, 2.5, 0.4))), activation="sigmoid")

    w = weights_of(rng, "sample_weight_mse", (ROWS,))
    real = rng("sample_weight_mse/targets").standard_normal((ROWS, 3)).astype("f4")
    yield dense(make_case, rng, "sample_weight_mse", {"type": "mse"}, {"sample_weight": True}, 3,
                ({"target/d": real, "target/sample_weight": w},
                 lambda p, t: (((p - t["target/d"]) ** 2).mean(-1) * t["target/sample_weight"]).mean()))
    yield dense(make_case, rng, "sample_weight_sum", {"type": "mae", "reduction": "sum"}, {"sample_weight": True}, 3,
                ({"target/d": real, "target/sample_weight": w},
                 lambda p, t: ((p - t["target/d"]).abs().mean(-1) * t["target/sample_weight"]).sum()))
    yield dense(make_case, rng, "sample_weight_binary", {"type": "bce", "from_logits": True}, {"sample_weight": True}, 1,
                ({"target/d": binary, "target/sample_weight": w},
                 lambda p, t: F.binary_cross_entropy_with_logits(p, t["target/d"], weight=t["target/sample_weight"][:, None])))
    yield dense(make_case, rng, "sample_and_class_weight", SCCE, {"sample_weight": True, "class_weight": GIVEN}, CLASSES,
                ({"target/d": y, "target/sample_weight": w},
                 lambda p, t: (entropies(p, t["target/d"]) * class_weights[t["target/d"]] * t["target/sample_weight"]).mean()))

    # A head of many classes, which is computed in blocks of rows.
    many, rows = 600, 512
    ids = rng("weighted_head/labels").integers(0, many, (rows,)).astype("i4")
    ids[::7] = -100
    head = weights_of(rng, "weighted_head", (rows,))

    def head_loss(p, t):
        counted = t["target/d"] != -100
        values = F.cross_entropy(p, t["target/d"], ignore_index=-100, reduction="none") * t["target/sample_weight"]
        return (torch.where(t["target/d"] == 3, 5.0, 1.0) * values).sum() / counted.sum()

    yield dense(make_case, rng, "weighted_head", SCCE | {"ignore_class": -100}, {"sample_weight": True, "class_weight": {"3": 5}},
                many, ({"target/d": ids, "target/sample_weight": head}, head_loss), batch=rows)

    # Steps that are masked, of examples that weigh differently.
    name = "weighted_steps"
    steps = labels(rng, name, (B, T))
    weights = weights_of(rng, name, (B,))
    case = on_steps(make_case, rng, name, SCCE, None, steps)
    counts = torch.from_numpy((masked_x(rng, name) != 0).any(-1))

    def steps_loss(p, t):
        values = entropies(p.flatten(0, 1), t["target/d"].flatten()).view(B, T) * class_weights[t["target/d"]]
        return (values * t["target/sample_weight"][:, None] * counts).sum() / counts.sum()

    case.model["training"] |= {"sample_weight": True, "class_weight": GIVEN}
    case.y = {"target/d": steps, "target/sample_weight": weights}
    case.loss = steps_loss
    yield case
