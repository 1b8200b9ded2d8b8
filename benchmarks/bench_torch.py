#!/usr/bin/env python3
"""gradc's training step beside PyTorch's, in turn, in one run.

  bench_torch.py --peer DIR [--gradc build/tools/gradc] [--rounds 3] [--seconds 2] [--workloads a,b] [--threads 1,2]
                 [--variants eager,jit] [--aten default,avx512]

DIR holds run_torch.py and torch_bench.py (one process per measurement, one JSON line each: workload, threads, ms). Both
sides run a whole step: forward, loss, backward, optimizer, float32, data in memory. Each round runs PyTorch's variants
and then gradc for one workload and thread count; a figure is the median over rounds of the median over steps, and for
PyTorch the best variant counts; --variants and --aten leave out those that are known to be slower. The ratio is PyTorch's
time over gradc's. Exits 77 where the peer is missing.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

WORKLOADS = {  # name -> (model, batch, PyTorch variants)
    "mlp-small-b32": ("examples/fashion_mnist_mlp.json", 32, "eager"),
    "mlp-small-b64": ("examples/fashion_mnist_mlp.json", 64, "eager"),
    "mlp-wide": ("examples/mlp_wide.json", 256, "eager"),
    "lenet": ("examples/lenet.json", 64, "eager,cl"),
    "resnet20": ("benchmarks/models/resnet20.json", 64, "eager,cl,jitcl"),
    "lstm": ("benchmarks/models/lstm.json", 32, "eager"),
    "char-gpt": ("benchmarks/models/char_gpt.json", 12, "eager,jit"),
    "char-gpt-big": ("benchmarks/models/char_gpt_big.json", 16, "eager,jit"),
    "bert-tiny": ("benchmarks/models/bert_tiny.json", 32, "eager"),
    "gpt2-124m": ("benchmarks/models/gpt2_124m.json", 4, "eager"),
}
OPTIONS = {"bert-tiny": ["--ignored", "0.85"]}  # of gradc bench: as many rows without a label as PyTorch has


def torch_ms(options, workload, threads, variants):
    command = ["/usr/bin/python3", os.path.join(options.peer, "run_torch.py"), "--workloads", workload, "--threads",
               str(threads), "--variants", variants, "--rounds", "1", "--seconds", str(options.seconds), "--aten",
               options.aten, "--malloc", "tcmalloc_minimal.so.4"]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise RuntimeError(done.stderr[-500:])
    return {f"{line['variant']}/{line.get('aten', '')}": line["ms"] for line in lines}


def gradc_ms(options, workload, threads):
    model, batch, _ = WORKLOADS[workload]
    command = [options.gradc, "bench", model, *OPTIONS.get(workload, []), "--batch-size", str(batch), "--threads", str(threads), "--seconds",
               str(options.seconds), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-500:])
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", default="../shared/peers")
    parser.add_argument("--gradc", default="build/tools/gradc")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--variants", default="", help="of PyTorch; all that a workload has unless given")
    parser.add_argument("--aten", default="default,avx512")
    options = parser.parse_args()
    if not os.path.exists(os.path.join(options.peer, "run_torch.py")):
        print(f"skipped: no run_torch.py in {options.peer}")
        return 77

    print(f"{'workload':16s} thr  PyTorch ms  gradc ms  ratio  GFLOP/s  of peak  (PyTorch variant)")
    for workload in options.workloads.split(","):
        variants = options.variants or WORKLOADS[workload][2]
        for threads in options.threads.split(","):
            peer, ours = {}, []
            for _ in range(options.rounds):
                for variant, ms in torch_ms(options, workload, threads, variants).items():
                    peer.setdefault(variant, []).append(ms)
                ours.append(gradc_ms(options, workload, threads))
            best = min(peer, key=lambda v: statistics.median(peer[v]))
            torch_time = statistics.median(peer[best])
            gradc_time = statistics.median(o["step_ms_median"] for o in ours)
            last = ours[-1]
            print(f"{workload:16s} {threads:>3s}  {torch_time:10.3f}  {gradc_time:8.3f}  {torch_time / gradc_time:5.2f}"
                  f"  {last['gflops']:7.1f}  {last['peak_gflops_fraction']:6.1%}   ({best})", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
