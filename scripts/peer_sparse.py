"""Tables of which a step moves only the rows that it looks up, beside torch.nn.Embedding(sparse=True) with the optimizers of
PyTorch that take its gradients. The slots of all rows are given, and not zero: a dense optimizer would move every row."""
import json
import os

import numpy as np
import torch

import safetensors_io as st

ROWS, WIDTH, BATCH, STEPS_OF_INPUT, CLASSES, STEPS = 40, 6, 3, 5, 4, 20
TABLE = "e/embeddings"


def rng(name):
    return np.random.default_rng(sum(ord(c) * (i + 1) for i, c in enumerate(name)))


class Case:
    def __init__(self, name, optimizer, make, slots):
        self.name, self.optimizer, self.make, self.slots = f"sparse_rows_{name}", optimizer, make, slots
        self.model = {
            "name": self.name, "inputs": [{"name": "x", "shape": [STEPS_OF_INPUT], "dtype": "int32"}],
            "layers": [{"type": "embedding", "name": "e", "input_dim": ROWS, "output_dim": WIDTH, "sparse": True},
                       {"type": "flatten"},
                       {"type": "dense", "name": "y", "units": CLASSES, "trainable": False}],
            "training": {"loss": "mse", "optimizer": optimizer, "batch_size": BATCH}}
        g = rng(self.name)
        self.tensors = {
            "input/x": g.integers(0, ROWS, (BATCH, STEPS_OF_INPUT)).astype("i4"),
            "target/y": g.standard_normal((BATCH, CLASSES)).astype("f4"),
            TABLE: g.standard_normal((ROWS, WIDTH)).astype("f4"),
            "y/kernel": (0.3 * g.standard_normal((STEPS_OF_INPUT * WIDTH, CLASSES))).astype("f4"),
            "y/bias": g.standard_normal((CLASSES,)).astype("f4")}
        self.tensors["input/x"][0, :3] = 7  # more than once
        for slot, own in slots.items():
            values = g.standard_normal((ROWS, WIDTH)) * 0.1
            self.tensors[f"optimizer/{TABLE}/{slot}"] = (np.abs(values) if own[1] else values).astype("f4")


def cases():
    yield Case("sgd", {"type": "sgd", "learning_rate": 0.1}, lambda p: torch.optim.SGD(p, lr=0.1), {})
    yield Case("adagrad", {"type": "adagrad", "learning_rate": 0.1, "initial_accumulator_value": 0, "epsilon": 1e-10,
                           "epsilon_as": "pytorch"},
               lambda p: torch.optim.Adagrad(p, lr=0.1), {"accumulator": ("sum", True)})
    yield Case("adam", {"type": "adam", "learning_rate": 0.01, "epsilon": 1e-8},
               lambda p: torch.optim.SparseAdam(p, lr=0.01), {"momentum": ("exp_avg", False), "velocity": ("exp_avg_sq", True)})


def reference(case):
    t = {k: torch.from_numpy(v.copy()) for k, v in case.tensors.items()}
    table = torch.nn.Embedding(ROWS, WIDTH, sparse=True, dtype=torch.float64)
    table.weight.data.copy_(t[TABLE])
    optimizer = case.make([table.weight])
    state = optimizer.state[table.weight]
    for slot, (own, _) in case.slots.items():
        state[own] = t[f"optimizer/{TABLE}/{slot}"].double()
    if case.slots:
        state["step"] = torch.tensor(0.0) if "accumulator" in case.slots else 0
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        y = table(t["input/x"].long()).flatten(1) @ t["y/kernel"].double() + t["y/bias"].double()
        loss = ((y - t["target/y"].double()) ** 2).mean()
        loss.backward()
        assert table.weight.grad.is_sparse
        optimizer.step()
        losses.append(loss.item())
    expected = {"loss": np.array(losses), TABLE: table.weight.detach().numpy()}
    for slot, (own, _) in case.slots.items():
        expected[f"optimizer/{TABLE}/{slot}"] = state[own].numpy()
    return expected


def store(directory, case, expected):
    base = os.path.join(directory, f"{case.name}.train_step")
    with open(base + ".json", "w") as file:
        json.dump(case.model, file, indent=1)
        file.write("\n")
    st.save(base + ".safetensors", {**case.tensors, **{f"expected/{k}": v.astype("f4") for k, v in expected.items()}})
