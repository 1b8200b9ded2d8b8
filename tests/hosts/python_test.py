#!/usr/bin/env python3
"""The Python module, against numpy: tests/hosts/python_test.py LIBGRADC SOURCE. Exit code 77: there
is no numpy."""
import concurrent.futures
import os
import sys
import tempfile
import threading

try:
    import numpy as np
except ImportError:
    print("skipped: there is no numpy")
    sys.exit(77)

os.environ["GRADC_LIBRARY"] = sys.argv[1]
os.environ["GRADC_CACHE"] = "off"
sys.path.insert(0, os.path.join(sys.argv[2], "tools", "python"))
import gradc  # noqa: E402

DENSE = {
    "inputs": [{"name": "x", "shape": [3]}],
    "layers": [{"type": "dense", "name": "y", "units": 2}],
    "training": {"loss": "mse", "optimizer": {"type": "sgd", "learning_rate": 0.1}, "batch_size": 8,
                 "metrics": ["mae"]},
}
CLASSES = {
    "inputs": [{"name": "x", "shape": [2]}],
    "layers": [{"type": "dense", "units": 8, "activation": "tanh"},
               {"type": "dense", "name": "p", "units": 1, "activation": "sigmoid"}],
    "training": {"loss": "binary_crossentropy", "optimizer": {"type": "adam", "learning_rate": 0.05}, "batch_size": 16,
                 "metrics": ["binary_accuracy", "auc"]},
}


def expect_error(text, work):
    try:
        work()
    except gradc.Error as error:
        assert text in str(error), error
        return
    raise AssertionError(f"no error: {text}")


def steps_equal_numpy():
    """Twenty-one rows, that is a smaller last batch too, for three epochs in order."""
    random = np.random.default_rng(1)
    x = random.standard_normal((21, 3)).astype(np.float32)
    y = random.standard_normal((21, 2)).astype(np.float32)
    with gradc.parse(DENSE, seed=3) as model:
        assert model.batch_size == 8
        assert model.metrics_names == ["loss", "mae"]
        kernel = model["y/kernel"].astype(np.float64)
        bias = model["y/bias"].astype(np.float64)
        history = model.fit(x, y, epochs=3, shuffle=False, validation_data=(x, y), verbose=0)
        for epoch in range(3):
            total = 0.0
            for first in range(0, 21, 8):
                a, b = x[first:first + 8].astype(np.float64), y[first:first + 8]
                difference = a @ kernel + bias - b
                total += (difference ** 2).mean() * len(a)
                slope = 2 * difference / difference.size
                kernel -= 0.1 * a.T @ slope
                bias -= 0.1 * slope.sum(axis=0)
            assert abs(history["loss"][epoch] - total / 21) < 1e-6
        assert np.abs(model["y/kernel"] - kernel).max() < 1e-6
        assert np.abs(model.predict(x) - (x @ kernel + bias)).max() < 1e-5
        scores = model.evaluate(x, y)
        assert abs(scores["loss"] - ((x @ kernel + bias - y) ** 2).mean()) < 1e-6
        assert abs(scores["mae"] - np.abs(x @ kernel + bias - y).mean()) < 1e-6
        assert abs(scores["loss"] - history["val_loss"][-1]) < 1e-6
        # Memory, not a copy.
        model["y/kernel"] = np.zeros((3, 2))
        model["y/bias"][:] = [1, 2]
        assert (model.predict(x[:5]) == [1, 2]).all()


def metrics_are_of_all_rows():
    """The area under a curve is no mean of batches."""
    random = np.random.default_rng(2)
    x = random.standard_normal((333, 2)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] > 0).astype(np.float32)
    with gradc.parse(CLASSES, seed=1) as small, gradc.parse(CLASSES, batch_size=333, seed=1) as whole:
        small.fit(x, y, epochs=20, verbose=0)  # targets without their axis of 1
        for name in small.keys():
            whole[name] = small[name]
        one, other = small.evaluate(x, y), whole.evaluate(x, y[:, None])
        for name in one:
            assert abs(one[name] - other[name]) < 1e-5, (name, one, other)
        assert one["binary_accuracy"] > 0.8
        predicted = small.predict(x)[:, 0]
        assert abs(((predicted > 0.5) == y).mean() - one["binary_accuracy"]) < 1e-6


def weights_go_to_files():
    x = np.ones((4, 3), np.float32)
    with tempfile.TemporaryDirectory() as folder, gradc.parse(DENSE, seed=5) as model:
        path = os.path.join(folder, "w.safetensors")
        model.save(path)
        with gradc.parse(DENSE, seed=6) as other:
            assert not (other.predict(x) == model.predict(x)).all()
            other.load_weights(path)
            assert (other.predict(x) == model.predict(x)).all()
        np.savez(os.path.join(folder, "d.npz"), x_train=np.ones((20, 3), np.float32),
                 y_train=np.ones((20, 2), np.float32))
        losses = model.train(os.path.join(folder, "d.npz"), epochs=4, validation_split=0.0)
        assert len(losses) == 4 and losses[-1] < losses[0]


def mistakes_are_told():
    x, y = np.zeros((4, 3), np.float32), np.zeros((4, 2), np.float32)
    expect_error("expected", lambda: gradc.parse("{"))
    expect_error("no/such/file", lambda: gradc.load("no/such/file.json"))
    with gradc.parse(DENSE) as model:
        expect_error('the input "x" has the shape (4, 2)', lambda: model.step(y, y))
        expect_error("has 3 rows, others have 4", lambda: model.step(x, y[:3]))
        expect_error('there is no input "z"', lambda: model.predict({"z": x}))
        expect_error('the target "y" is missing', lambda: model.step(x, {}))
        expect_error("is of type", lambda: model.predict(np.array([["a", "b", "c"]])))
        expect_error("nan", lambda: model.predict(np.full((1, 3), np.nan)))
        expect_error("has the shape", lambda: model.__setitem__("y/bias", np.zeros(3)))
        try:
            model["none"]
            raise AssertionError("an unknown name is no KeyError")
        except KeyError:
            pass
        assert model.predict(np.zeros((0, 3))).shape == (0, 2)
        stopped = model.fit(x, y, epochs=9, verbose=0, callback=lambda epoch, logs: epoch < 2)
        assert len(stopped["loss"]) == 2
    expect_error("the model was closed", lambda: model.predict(x))


def gradients_are_pytorchs():
    """Of parameters and inputs, of the model's loss and of one made here; and that a step is both halves."""
    try:
        import torch
    except ImportError:
        print("skipped: gradients_are_pytorchs, there is no torch")
        return
    text = {"inputs": [{"name": "x", "shape": [5]}],
            "layers": [{"type": "dense", "units": 7, "activation": "tanh", "name": "a"}, {"type": "batch_norm", "name": "n"},
                       {"type": "dense", "units": 3, "name": "y"}],
            "training": {"loss": {"type": "categorical_crossentropy", "from_logits": True}, "batch_size": 16,
                         "optimizer": {"type": "adam", "epsilon_as": "pytorch", "epsilon": 1e-8, "learning_rate": 0.01}}}
    random = np.random.default_rng(3)
    x = random.standard_normal((16, 5)).astype(np.float32)
    y = np.eye(3, dtype=np.float32)[random.integers(0, 3, 16)]
    for rows in (16, 11):
        ours = gradc.parse(text, seed=1)
        net = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.BatchNorm1d(7, eps=1e-3), torch.nn.Linear(7, 3))
        with torch.no_grad():
            net[0].weight.copy_(torch.from_numpy(ours["a/kernel"].T.copy()))
            net[3].weight.copy_(torch.from_numpy(ours["y/kernel"].T.copy()))
            net[0].bias.zero_(), net[3].bias.zero_()
        pairs = [("a/kernel", net[0].weight), ("a/bias", net[0].bias), ("n/gamma", net[2].weight),
                 ("n/beta", net[2].bias), ("y/kernel", net[3].weight), ("y/bias", net[3].bias)]
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)

        def agree(what, dx, given, close=2e-6):
            for name, parameter in pairs:
                theirs = parameter.grad.numpy().T if parameter.grad.ndim == 2 else parameter.grad.numpy()
                assert np.abs(ours["gradient/" + name] - theirs).max() < close, (what, name)
            assert np.abs(dx - given.grad.numpy()).max() < close, what

        for step in range(4):
            given = torch.from_numpy(x[:rows]).clone().requires_grad_()
            optimizer.zero_grad()
            if step % 2 == 0:  # the model's loss
                expected = torch.nn.functional.cross_entropy(net(given), torch.from_numpy(y[:rows]))
                expected.backward()
                loss, dx = ours.gradients(x[:rows], y[:rows], inputs=True)
                assert abs(loss - expected.item()) < 1e-5
            else:  # one of our own: cubes of the outputs
                out = ours.forward(x[:rows])
                theirs = net(given)
                assert np.abs(out - theirs.detach().numpy()).max() < 1e-4
                (theirs ** 3).mean().backward()
                dx = ours.backward(x[:rows], 3 * out ** 2 / out.size, inputs=True)
            agree(step, dx, given, 2e-6 * 10 ** step)  # weights part by rounding
            optimizer.step()
            ours.apply_gradients()
            if step == 1:  # half way, another rate
                ours.learning_rate = 0.003
                optimizer.param_groups[0]["lr"] = 0.003
        assert abs(ours.learning_rate - 0.003) < 1e-12
        for name, parameter in pairs:
            if name in ("a/bias",):  # shifts that the normalisation takes away: their gradients are rounding
                continue
            theirs = parameter.detach().numpy().T if parameter.ndim == 2 else parameter.detach().numpy()
            assert np.abs(ours[name] - theirs).max() < 2e-3, name
        variance = net[2].running_var.numpy()
        assert variance.shape == ours["n/moving_variance"].shape


def numbers_and_shared_weights():
    x, y = np.ones((8, 3), np.float32), np.ones((8, 2), np.float32)
    model, other = gradc.parse(CLASSES, seed=1), gradc.parse(DENSE, seed=1)
    assert model.learning_rate == 0.05 and model.hyperparameters["beta_1"] == 0.9
    expect_error("beta_1 is 2", lambda: model.set_hyperparameter("beta_1", 2))
    expect_error('no number "momentum"', lambda: other.set_hyperparameter("momentum", 0.5))
    same = other.another(share_weights=True, batch_size=4)
    assert same.batch_size == 4 and same["y/kernel"].ctypes.data == other["y/kernel"].ctypes.data
    loss = other.gradients(x, y)
    assert np.abs(other["gradient/y/bias"]).max() > 0
    other["gradient/y/kernel"][...] = 0
    before = other["y/kernel"].copy()
    other.apply_gradients()
    assert (same["y/kernel"] == before).all() and (same["y/bias"] != 0).all()
    assert other.gradients(x, y) < loss
    other.close()
    assert same.predict(x).shape == (8, 2)


def training_is_heard_of():
    with tempfile.TemporaryDirectory() as folder:
        table = os.path.join(folder, "t.csv")
        with open(table, "w", encoding="ascii") as file:
            file.write("a,b,c,p,q\n")
            for row in range(40):
                file.write(",".join(f"{np.sin(row + 2 * column):.6f}" for column in range(5)) + "\n")
        data, heard, steps = table + ":target=p,q", [], []

        def hear(epoch, logs):
            heard.append((epoch, dict(logs)))
            return epoch < 2

        out = os.path.join(folder, "w.safetensors")
        model = gradc.parse(DENSE, seed=1, cpu="x86-64-v3", memory_budget=1 << 20)
        losses = model.train(data, epochs=5, validation_split=0.2, out=out, callback=hear,
                             on_step=lambda step, logs: steps.append((step, logs["loss"])))
        assert [epoch for epoch, _ in heard] == [1, 2] and len(losses) == 2
        assert [step for step, _ in steps] == [1, 2, 3, 4] * 2 and steps[-1][1] == losses[-1]
        assert set(heard[0][1]) == {"loss", "mae", "val_loss", "val_mae"} and os.path.exists(out)

        def fail(epoch, logs):
            raise KeyError("of the host's own")

        try:
            model.train(data, epochs=5, callback=fail)
        except KeyError:
            pass
        else:
            raise AssertionError("no exception of the callback")
    expect_error("no-such-cpu", lambda: gradc.parse(DENSE, cpu="no-such-cpu"))
    assert "kernel @" in model.dump("fused") and "return" in model.dump("graph", "predict")
    expect_error("it is one of graph", lambda: model.dump("fussed"))
    assert "kernel" in model.profile(0.05)


def arrays_train_as_files_do():
    """fit() over arrays, the weights of train() over the same arrays in a file: to the last bit, with dropout, a smaller last
    batch, rows held out, and the "data" section where it is asked for."""
    text = dict(DENSE, layers=[{"type": "dense", "units": 8, "activation": "tanh", "name": "h"}, {"type": "dropout", "rate": 0.3},
                               {"type": "dense", "name": "y", "units": 2}],
                data={"x": {"standardize": True, "scale": 0.1}})
    random = np.random.default_rng(7)
    x = random.integers(0, 255, (45, 3)).astype(np.uint8)
    y = random.standard_normal((45, 2))  # f64, as a file may have it
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "d.npz")
        np.savez(path, x_train=x, y_train=y)
        for split in (0.0, 0.2):
            files, arrays = gradc.parse(text, seed=4), gradc.parse(text, seed=4)
            losses = files.train(path, epochs=3, validation_split=split, batch_size=10)
            history = arrays.fit(x, y, epochs=3, validation_split=split, batch_size=10, as_in_files=True, verbose=0)
            assert history["loss"] == losses and len(losses) == 3
            assert ("val_loss" in history) == (split > 0) and "mae" in history
            for name in arrays.keys():
                assert (arrays[name] == files[name]).all(), name
            # More of both, from where they are.
            files.train(path, epochs=1, validation_split=split, go_on=True, seed=9)
            arrays.fit(x.astype(np.int16), y, epochs=1, validation_split=split, as_in_files=True, seed=9, verbose=0)
            for name in arrays.keys():
                assert (arrays[name] == files[name]).all(), name
    model = gradc.parse(text, seed=4)
    steps, epochs = [], []
    history = model.fit(x, y, epochs=3, verbose=0, on_step=lambda step, logs: steps.append(step),
                        callback=lambda epoch, logs: epochs.append(logs), validation_data=(x[:9], y[:9]))
    assert steps == [1, 2, 3, 4, 5, 6] * 3 and [logs["val_loss"] for logs in epochs] == history["val_loss"]
    expect_error("validation", lambda: model.fit(x, y, verbose=0, validation_data=(x[:9], np.full((9, 2), np.nan))))
    expect_error("holds the data", lambda: model.train(__file__, out=__file__))
    expect_error("leaves", lambda: model.fit(x, y, verbose=0, validation_split=0.999))


def threads_are_the_hosts():
    """gradc's own threads and the host's make the same bits."""
    x = np.random.default_rng(1).standard_normal((40, 3)).astype(np.float32)
    y = np.ones((40, 2), np.float32)
    names = set()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        def run(threads, work):
            def one(thread):
                names.add(threading.current_thread().name)
                work(thread)
            list(pool.map(one, range(threads)))

        ours, own = gradc.parse(DENSE, seed=1, threads=2, run=run), gradc.parse(DENSE, seed=1, threads=2)
        for model in (ours, own):
            model.fit(x, y, epochs=2, verbose=0)
        assert (ours["y/kernel"] == own["y/kernel"]).all() and len(names) == 2
        assert threading.current_thread().name not in names

        def fail(threads, work):
            list(pool.map(work, range(threads)))
            raise KeyError("of the host's own")

        try:
            gradc.parse(DENSE, threads=2, run=fail).predict(x)
        except KeyError:
            pass
        else:
            raise AssertionError("no exception of the host's threads")


def other_targets_are_looked_at():
    model = gradc.parse(DENSE, target="aarch64-linux-gnu")
    assert "aarch64" in model.dump("llvm") and ".text" in model.dump("asm", "predict")
    expect_error("does not run on this machine", lambda: model.predict(np.zeros((2, 3), np.float32)))


def the_page_runs():
    """What docs/python.md shows, on Debian's dataset-fashion-mnist where it is installed."""
    with open(os.path.join(sys.argv[2], "docs", "python.md"), encoding="utf-8") as page:
        code = page.read().split("```python\n")[1].split("```")[0]
    os.chdir(sys.argv[2])
    if not os.path.isdir("/usr/share/datasets/fashion-mnist"):
        print("only its second half: no dataset-fashion-mnist")
        code = "import gradc\n" + code[code.index("xor ="):]
    names = {}
    exec(compile(code, "docs/python.md", "exec"), names)  # noqa: S102
    assert (names["xor"].predict(names["x"])[:, 0].round() == names["y"]).all()
    if "model" in names:
        assert names["model"].evaluate_data("/usr/share/datasets/fashion-mnist")["accuracy"] > 0.8


assert gradc.version().startswith("0.1.")
for test in (steps_equal_numpy, metrics_are_of_all_rows, gradients_are_pytorchs, numbers_and_shared_weights,
             training_is_heard_of, arrays_train_as_files_do, threads_are_the_hosts, other_targets_are_looked_at, weights_go_to_files, mistakes_are_told, the_page_runs):
    test()
    print("ok", test.__name__)
