#!/usr/bin/python3
"""Results of evaluations by their definitions, as scikit-learn has them, in double: areas by comparing every pair, average
precision threshold by threshold, agreement by counting. Writes tests/results/NAME.json with what is given and what follows:

    scripts/peer_evaluation.py [FOLDER]
"""
import json
import os
import sys

import numpy as np

LEAST = float(np.finfo(np.float32).eps)


def roc_auc(score, truth):
    """The share of (positive, negative) pairs in the right order, ties half: None where there is no pair."""
    positive, negative = score[truth], score[~truth]
    if len(positive) == 0 or len(negative) == 0:
        return None
    return float((np.sign(positive[:, None] - negative[None, :]) + 1).mean() / 2)


def average_precision(score, truth):
    if not truth.any():
        return None
    total, before = 0.0, 0.0
    for threshold in sorted(set(score), reverse=True):
        taken = score >= threshold
        recall = (taken & truth).sum() / truth.sum()
        total += (recall - before) * (taken & truth).sum() / taken.sum()
        before = recall
    return float(total)


def ratio(a, b):
    return float(a / b) if b > 0 else 0.0


def report(guess, truth):
    found, guessed, present = (guess & truth).sum(), guess.sum(), truth.sum()
    return {"precision": ratio(found, guessed), "recall": ratio(found, present), "f1": ratio(2 * found, guessed + present)}


def mean_of(rows, weights):
    return {k: ratio(sum(r[k] * w for r, w in zip(rows, weights)), sum(weights)) for k in ("precision", "recall", "f1")}


def calibration(confidence, right):
    """Ten bins, each with its upper end."""
    edges = np.array([k / 10 for k in range(1, 10)])
    bins = np.searchsorted(edges, confidence, side="left")
    return sum(abs(right[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean() for b in range(10) if (bins == b).any())


def of_classes(p, score, truth, loss, brier, guess, confidence, right):
    n = len(truth)
    classes = score.shape[1]
    rows = []
    for c in range(classes):
        rows.append({**report(guess == c, truth == c), "support": int((truth == c).sum()), "guessed": int((guess == c).sum()),
                     "roc_auc": roc_auc(score[:, c], truth == c), "average_precision": average_precision(score[:, c], truth == c)})
    matrix = [[int(((truth == r) & (guess == c)).sum()) for c in range(classes)] for r in range(classes)]
    m = np.array(matrix, dtype=float)
    chance = float((m.sum(1) * m.sum(0)).sum() / n ** 2)
    accuracy = float((guess == truth).mean())
    # Matthews as the correlation of indicator matrices.
    t, g = np.eye(classes)[truth], np.eye(classes)[guess]
    t0, g0 = t - t.mean(0), g - g.mean(0)
    spread = (t0 * t0).sum() * (g0 * g0).sum()
    met = [r for c, r in enumerate(rows) if r["support"] + r["guessed"] > 0]
    areas = [r["roc_auc"] for r in rows if r["roc_auc"] is not None]
    return {"accuracy": accuracy, "confusion": matrix, "kappa": None if chance == 1 else (accuracy - chance) / (1 - chance),
            "matthews": float((t0 * g0).sum() / spread ** 0.5) if spread > 1e-12 else 0.0, "log_loss": float(loss.mean()),
            "brier": float(brier.mean()), "per_class": rows, "calibration": float(calibration(confidence, right)),
            "averages": {"macro": mean_of(met, [1] * len(met)), "weighted": mean_of(met, [r["support"] for r in met]),
                         "micro": {"precision": accuracy, "recall": accuracy, "f1": accuracy}},
            "macro_auc": float(np.mean(areas)) if areas else None}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def many(units, truth, logits):
    z = units - units.max(1, keepdims=True)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True) if logits else units
    at = np.arange(len(truth))
    loss = -np.log(p[at, truth]) if logits else -np.log(np.clip(p[at, truth], LEAST, 1 - LEAST))
    brier = ((p - np.eye(p.shape[1])[truth]) ** 2).sum(1)
    guess = units.argmax(1)
    return of_classes(p, p, truth, loss, brier, guess, p[at, guess], guess == truth)


def two(units, truth, logits):
    x = units[:, 0]
    p = sigmoid(x) if logits else x
    q = p if logits else np.clip(p, LEAST, 1 - LEAST)
    loss = -np.where(truth == 1, np.log(q), np.log(1 - q))
    guess = (x > (0 if logits else 0.5)).astype(int)
    return of_classes(p, np.stack([-x, x], 1), truth, loss, (p - truth) ** 2, guess, p, truth == 1)


def labels(units, truth, logits):
    there = truth == 1
    p = sigmoid(units) if logits else units
    q = p if logits else np.clip(p, LEAST, 1 - LEAST)
    guess = units > (0 if logits else 0.5)
    rows = []
    for c in range(units.shape[1]):
        rows.append({**report(guess[:, c], there[:, c]), "support": int(there[:, c].sum()), "guessed": int(guess[:, c].sum()),
                     "roc_auc": roc_auc(units[:, c], there[:, c]), "average_precision": average_precision(units[:, c], there[:, c])})
    areas = [r["roc_auc"] for r in rows if r["roc_auc"] is not None]
    return {"accuracy": float((guess == there).all(1).mean()), "log_loss": float(-np.where(there, np.log(q), np.log(1 - q)).mean()),
            "brier": float(((p - there) ** 2).mean()), "per_class": rows,
            "calibration": float(calibration(p.ravel(), there.ravel())),
            "averages": {"micro": report(guess.ravel(), there.ravel()), "macro": mean_of(rows, [1] * len(rows)),
                         "weighted": mean_of(rows, [r["support"] for r in rows])},
            "macro_auc": float(np.mean(areas)) if areas else None}


def values(predicted, truth):
    error, columns = predicted - truth, []
    for c in range(truth.shape[1]):
        spread = ((truth[:, c] - truth[:, c].mean()) ** 2).sum()
        squares = (error[:, c] ** 2).sum()
        # A constant column: 1 without an error, else 0 (scikit-learn's force_finite).
        r2 = 1 - squares / spread if spread > 0 else (1.0 if squares == 0 else 0.0)
        columns.append({"r2": float(r2), "mae": float(abs(error[:, c]).mean()), "rmse": float((error[:, c] ** 2).mean() ** 0.5),
                        "bias": float(error[:, c].mean())})
    return {"r2": float(np.mean([c["r2"] for c in columns])), "mae": float(abs(error).mean()),
            "rmse": float((error ** 2).mean() ** 0.5), "columns": columns}


def cases():
    g = np.random.default_rng(11)
    f32 = lambda x: x.astype(np.float32).astype(float)
    n = 60
    z = f32(g.standard_normal((n, 4)))
    t = g.integers(0, 4, n)
    yield "logits", "classes", True, z + np.eye(4)[t], t
    # Scores of few values: ties everywhere, in the largest too.
    p = g.integers(1, 4, (n, 3)).astype(float)
    yield "ties", "classes", False, f32(p / p.sum(1, keepdims=True)), g.integers(0, 3, n)
    # Class 2 is guessed and never there, class 3 neither; class 4 is there and never guessed.
    z = f32(g.standard_normal((n, 5)))
    z[:, 3] -= 20
    z[:, 4] -= 20
    yield "absent", "classes", True, z, np.array([0, 1, 4])[g.integers(0, 3, n)]
    z = f32(g.standard_normal((12, 3)))
    yield "one_class", "classes", True, z + np.array([9, 0, 0]), np.zeros(12, dtype=int)
    x = f32(g.standard_normal((n, 1)))
    t = (x[:, 0] + g.standard_normal(n) > 0.3).astype(int)
    yield "two_logits", "two classes", True, x, t
    yield "two_ties", "two classes", False, np.round(sigmoid(x), 1), t
    yield "two_certain", "two classes", False, np.where(x > 0, 1.0, 0.0), t
    yield "two_one_class", "two classes", False, f32(sigmoid(x)), np.ones(n, dtype=int)
    z = f32(g.standard_normal((n, 4)))
    t = (z + g.standard_normal((n, 4)) > 0.4).astype(int)
    t[:, 2] = 0
    yield "labels_logits", "labels", True, z, t
    yield "labels", "labels", False, np.round(sigmoid(z), 1), t
    y = g.standard_normal((n, 3)) * [1, 100, 1e-3] + [0, 1e6, 0]
    y[:, 2] = 0.25
    yield "values", "values", False, y + g.standard_normal((n, 3)) * [0.3, 10, 0], y
    yield "values_far", "values", False, y[:, :1] * 3 + 7, y[:, :1]


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "../tests/results")
    by = {"classes": many, "two classes": two, "labels": labels}
    for name, kind, logits, units, truth in cases():
        expected = values(units, truth) if kind == "values" else by[kind](units, truth, logits)
        case = {"kind": kind, "logits": logits, "units": units.tolist(), "truth": truth.tolist(), "expected": expected}
        with open(os.path.join(folder, name + ".json"), "w") as file:
            file.write(json.dumps(case) + "\n")
        print(f"{name}: {len(truth)} positions")


if __name__ == "__main__":
    main()
