#!/usr/bin/env python3
"""Compile time by depth: models of N equal convolutions, so that work grows with N and different kernels do not.

  depth.py [--gradc build/tools/gradc] [--depths 17,65,257,1025] [--rounds 3]
  depth.py --write N FILE.json        only the model of N convolutions

A model is an image of 16x16x3, one convolution to 8 channels, N - 1 equal ones of 8 to 8 (3x3, relu), a global average
and a dense layer of ten classes, batch 4, SGD with momentum. Each figure is the median over rounds of `gradc bench
--json`'s compile_ms, in milliseconds, for the training step alone: in total and by stage. "unplanned" is what the process
holds while it trains beside what `gradc plan` tells, in MB.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile


def model(depth):
    conv = {"type": "conv2d", "filters": 8, "kernel_size": 3, "padding": "same", "activation": "relu"}
    return {
        "format": "gradc/1",
        "name": f"depth_{depth}",
        "inputs": [{"name": "image", "shape": [16, 16, 3]}],
        "blocks": {"equal": {"layers": [conv]}},
        "layers": [dict(conv, name="first"), {"type": "block", "block": "equal", "repeat": depth - 1, "name": "body"},
                   {"type": "global_average_pooling2d"}, {"type": "dense", "units": 10, "name": "class"}],
        "training": {
            "loss": {"type": "sparse_categorical_crossentropy", "from_logits": True},
            "optimizer": {"type": "sgd", "learning_rate": 0.001, "momentum": 0.9},
            "batch_size": 4,
            "epochs": 1,
        },
    }


def measure(gradc, path):
    done = subprocess.run([gradc, "bench", path, "--steps", "1", "--seconds", "0.01", "--json"], capture_output=True,
                          text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-500:])
    result = json.loads(done.stdout)
    times = result["compile_ms"]
    return dict(times["stages"], total=times["total"],
                unplanned=(result["resident_bytes"] - result["planned_bytes"]) / 1e6)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gradc", default="build/tools/gradc")
    parser.add_argument("--depths", default="17,65,257,1025")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", nargs=2, metavar=("N", "FILE"))
    options = parser.parse_args()
    if options.write:
        with open(options.write[1], "w") as file:
            json.dump(model(int(options.write[0])), file, indent=1)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        for depth in [int(d) for d in options.depths.split(",")]:
            path = os.path.join(folder, f"{depth}.json")
            with open(path, "w") as file:
                json.dump(model(depth), file)
            rounds = [measure(options.gradc, path) for _ in range(options.rounds)]
            medians = {key: round(statistics.median(r[key] for r in rounds), 1) for key in rounds[0]}
            print(f"{depth:5d}  " + "  ".join(f"{key} {value}" for key, value in medians.items()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
