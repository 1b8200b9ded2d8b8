#!/usr/bin/env python3
"""A generative adversarial network (Goodfellow et al. 2014) on a small distribution: points of the
plane around a line. Two models train each other: the discriminator by steps of its own, the generator
by the gradient that the discriminator's loss has with respect to its inputs.

    PYTHONPATH=tools/python GRADC_LIBRARY=build/lib/libgradc.so examples/host_python/gan.py [STEPS]
"""

import sys

import numpy as np

import gradc

BATCH, NOISE, STEPS = 64, 4, 2500
MEAN = np.array([1.0, -0.5])
SHAPE = np.array([[0.8, 0.0], [0.5, 0.25]])  # what makes the points of normal ones


def network(inputs, outputs, batch):
    hidden = {"units": 32, "activation": {"type": "leaky_relu", "negative_slope": 0.2}}
    return {"inputs": [{"name": "in", "shape": [inputs]}],
            "layers": [dict(hidden, type="dense"), dict(hidden, type="dense"),
                       {"type": "dense", "units": outputs, "name": "out"}],
            "training": {"loss": {"type": "binary_crossentropy", "from_logits": True} if outputs == 1 else "mse",
                         "optimizer": {"type": "adam", "learning_rate": 0.001, "beta_1": 0.5},
                         "batch_size": batch}}


def main():
    random = np.random.default_rng(2)
    generator = gradc.parse(network(NOISE, 2, BATCH), seed=1)
    discriminator = gradc.parse(network(2, 1, 2 * BATCH), seed=2)
    judge = discriminator.another(share_weights=True, batch_size=BATCH)  # the same weights, smaller batches
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else STEPS
    labels = np.repeat([1.0, 0.0], BATCH).astype(np.float32)[:, None]

    for step in range(steps):
        # The discriminator tells real points from made ones.
        real = (random.standard_normal((BATCH, 2)) @ SHAPE.T + MEAN).astype(np.float32)
        noise = random.standard_normal((BATCH, NOISE)).astype(np.float32)
        made = generator.forward(noise)
        loss = discriminator.step(np.concatenate([real, made]), labels)
        # The generator goes where the discriminator would call its points real.
        noise = random.standard_normal((BATCH, NOISE)).astype(np.float32)
        made = generator.forward(noise)
        deceived, slope = judge.gradients(made, labels[:BATCH], inputs=True, parameters=False)
        generator.backward(noise, slope)
        generator.apply_gradients()
        if step == steps // 2:  # smaller steps settle it
            generator.learning_rate = discriminator.learning_rate = 0.0003
        if step % 500 == 0:
            print(f"step {step:4d}  discriminator {loss:.3f}  generator {deceived:.3f}  mean {made.mean(axis=0).round(2)}")

    points = generator.predict(random.standard_normal((4000, NOISE)).astype(np.float32))
    spread, wanted = np.cov(points.T), SHAPE @ SHAPE.T
    print("mean", points.mean(axis=0).round(3), "of", MEAN)
    print("covariance", spread.round(3).tolist(), "of", wanted.round(3).tolist())
    close = np.abs(points.mean(axis=0) - MEAN).max() < 0.15 and np.abs(spread - wanted).max() < 0.25
    return 0 if close or steps < STEPS else 1  # fewer do not get there


if __name__ == "__main__":
    sys.exit(main())
