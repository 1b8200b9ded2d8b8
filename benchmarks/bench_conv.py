#!/usr/bin/env python3
"""Depthwise and transposed convolutions beside PyTorch's: forward, gradient of the input, gradient of the kernel.

  bench_conv.py [--gradc build/tools/gradc] [--python /usr/bin/python3] [--rounds 2] [--seconds 0.15] [--threads 1,2]
                [--cases a,b] [--parts forward,input,kernel] [--cpu x86-64-v3] [--least]

float32, data in memory. Each round runs PyTorch's variants (contiguous and channels_last, with oneDNN and without, each
with and without AVX-512 in ATen) and then gradc; a figure is the median over rounds of the median over calls (--least:
the least of both), and of PyTorch the best variant counts. PyTorch 1.13 gives no transposed convolution to oneDNN; as
what it is, the gradient of an ordinary convolution ("mirrored"), it does, and that has a column of its own. A ratio is
PyTorch's time over gradc's. --cases takes parts of names. Exits 77 where there is no PyTorch.
"""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile

CASES = {  # name -> kind, batch, spatial extents, channels in, out, window, stride, padding, output padding
    "dw 112x112x32 3x3": ("depthwise", 8, [112, 112], 32, 32, 3, 1, 1, 0),
    "dw 112x112x64 3x3 s2": ("depthwise", 8, [112, 112], 64, 64, 3, 2, 1, 0),
    "dw 56x56x128 3x3": ("depthwise", 8, [56, 56], 128, 128, 3, 1, 1, 0),
    "dw 56x56x128 3x3 s2": ("depthwise", 8, [56, 56], 128, 128, 3, 2, 1, 0),
    "dw 28x28x256 3x3": ("depthwise", 8, [28, 28], 256, 256, 3, 1, 1, 0),
    "dw 14x14x512 3x3": ("depthwise", 8, [14, 14], 512, 512, 3, 1, 1, 0),
    "dw 7x7x1024 3x3": ("depthwise", 8, [7, 7], 1024, 1024, 3, 1, 1, 0),
    "dw 28x28x96 5x5": ("depthwise", 8, [28, 28], 96, 96, 5, 1, 2, 0),
    "dw1d 1024x64 3": ("depthwise", 16, [1024], 64, 64, 3, 1, 1, 0),
    "dw3d 16x16x16x32 3": ("depthwise", 4, [16, 16, 16], 32, 32, 3, 1, 1, 0),
    "t 1x1x100-512 4x4": ("transposed", 64, [1, 1], 100, 512, 4, 1, 0, 0),
    "t 4x4x512-256 4x4 s2": ("transposed", 16, [4, 4], 512, 256, 4, 2, 1, 0),
    "t 8x8x256-128 4x4 s2": ("transposed", 16, [8, 8], 256, 128, 4, 2, 1, 0),
    "t 16x16x128-64 4x4 s2": ("transposed", 16, [16, 16], 128, 64, 4, 2, 1, 0),
    "t 32x32x64-3 4x4 s2": ("transposed", 16, [32, 32], 64, 3, 4, 2, 1, 0),
    "t 28x28x256-128 2x2 s2": ("transposed", 4, [28, 28], 256, 128, 2, 2, 0, 0),
    "t 56x56x128-64 2x2 s2": ("transposed", 4, [56, 56], 128, 64, 2, 2, 0, 0),
    "t 28x28x64-32 3x3 s2": ("transposed", 16, [28, 28], 64, 32, 3, 2, 1, 1),
    "t1d 256x64-32 4 s2": ("transposed", 32, [256], 64, 32, 4, 2, 1, 0),
    "t3d 8x8x8x64-32 2 s2": ("transposed", 4, [8, 8, 8], 64, 32, 2, 2, 0, 0),
}
PARTS = ("forward", "input", "kernel")


def out_extents(case):
    kind, _, extents, _, _, window, stride, pad, more = case
    if kind == "depthwise":
        return [(e + 2 * pad - window) // stride + 1 for e in extents]
    return [(e - 1) * stride - 2 * pad + window + more for e in extents]


def graph(case, part):
    """The op as a graph of gradc: channels last, the kernel [window, in per group, out]."""
    kind, batch, extents, ins, outs, window, stride, pad, more = case
    rank = len(extents)
    depthwise = kind == "depthwise"
    tensor = lambda shape: "f32[" + "x".join(map(str, shape)) + "]"
    small, large = [batch, *extents, ins], [batch, *out_extents(case), outs]
    # A transposed convolution is the gradient of one from its output to its input.
    image, result = (small, large) if depthwise else (large, small)
    filters = [window] * rank + ([1, outs] if depthwise else [outs, ins])
    attrs = [f"strides={[stride] * rank}", f"pad_low={[pad] * rank}"]
    high = [(small_extent - 1) * stride + window - large_extent - pad
            for small_extent, large_extent in zip(result[1:-1], image[1:-1])]
    attrs += [f"pad_high={high}", f"dilation={[1] * rank}"]
    if depthwise:
        attrs.append(f"groups={outs}")
    op = {"forward": "conv", "input": "conv_input_grad", "kernel": "conv_filter_grad"}[part]
    if not depthwise:
        op = {"forward": "conv_input_grad", "input": "conv", "kernel": "conv_filter_grad"}[part]
    if op == "conv":
        operands, shape = [("x", image), ("w", filters)], result
    elif op == "conv_input_grad":
        operands, shape = [("dy", result), ("w", filters)], image
    else:
        operands, shape = [("x", image), ("dy", result)], filters
    if op != "conv":
        attrs.append(f"shape={shape}")
    inputs = "".join(f"  input %{name} : {tensor(s)} {{name=input/{name}}}\n" for name, s in operands)
    names = ", ".join(f"%{name}" for name, _ in operands)
    return (f"graph @f {{\n{inputs}forward:\n  %y = {op} {names} {{{', '.join(attrs)}}} : {tensor(shape)}\n"
            f"  return y=%y\n}}\n")


def gradc_ms(options, case, part, threads):
    with tempfile.NamedTemporaryFile("w", suffix=".gir") as file:
        file.write(graph(case, part))
        file.flush()
        command = [options.gradc, "bench", file.name, "--threads", str(threads), "--seconds", str(options.seconds),
                   "--json"] + (["--cpu", options.cpu] if options.cpu else [])
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr[-500:])
    return json.loads(done.stdout)["step_ms_min" if options.least else "step_ms_median"]


def torch_ms(options, name, parts, threads):
    """variant -> part -> ms, of one process for each of ATen's sets of kernels."""
    found = {}
    for aten in ("default", "avx512"):
        env = dict(os.environ)
        if options.malloc:  # glibc gives large arrays back to the system after each call
            env["LD_PRELOAD"] = options.malloc
        if aten != "default":
            env["ATEN_CPU_CAPABILITY"] = aten
        command = [options.python, os.path.abspath(__file__), "--worker", name, "--parts", ",".join(parts), "--threads",
                   str(threads), "--seconds", str(options.seconds / 2)] + (["--least"] if options.least else [])
        done = subprocess.run(command, capture_output=True, text=True, env=env)
        if done.returncode != 0:
            raise RuntimeError(done.stderr[-500:])
        for variant, times in json.loads(done.stdout).items():
            found[f"{variant}/{aten}"] = times
    return found


def work(options):
    import time
    import torch

    torch.set_num_threads(int(options.threads))
    case = CASES[options.worker]
    kind, batch, extents, ins, outs, window, stride, pad, more = case
    rank = len(extents)
    transposed = kind == "transposed"
    groups = 1 if transposed else outs
    layouts = {"contiguous": torch.contiguous_format}
    if rank > 1:
        layouts["channels_last"] = torch.channels_last if rank == 2 else torch.channels_last_3d
    filters = [ins, outs] if transposed else [outs, 1]
    common = dict(stride=[stride] * rank, padding=[pad] * rank, dilation=[1] * rank, transposed=transposed,
                  output_padding=[more] * rank, groups=groups)
    times = {}
    for layout, memory in layouts.items():
        make = lambda *shape: torch.randn(*shape).contiguous(memory_format=memory)
        x, w, dy = make(batch, ins, *extents), make(*filters, *[window] * rank), make(batch, outs, *out_extents(case))

        def backward(mask):
            return torch.ops.aten.convolution_backward(dy, x, w, None, *common.values(), mask)

        calls = {"forward": lambda: torch.ops.aten.convolution(x, w, None, *common.values()),
                 "input": lambda: backward([True, False, False]), "kernel": lambda: backward([False, True, False])}
        plain = dict(common, transposed=False, output_padding=[0] * rank)

        def mirrored(mask):  # of the convolution from dy's place to x's
            return torch.ops.aten.convolution_backward(x, dy, w, None, *plain.values(), mask)

        as_gradient = {"forward": lambda: mirrored([True, False, False]),
                       "input": lambda: torch.ops.aten.convolution(dy, w, None, *plain.values()),
                       "kernel": lambda: mirrored([False, True, False])}
        ways = [(" oneDNN", True, calls), (" native", False, calls)]
        if transposed:
            ways.insert(0, (" oneDNN mirrored", True, as_gradient))
        for way, onednn, calls in ways:
            with torch.backends.mkldnn.flags(enabled=onednn), torch.no_grad():
                for part in options.parts.split(","):
                    best = min((found[part] for found in times.values() if part in found), default=math.inf)
                    seconds = []
                    end = time.perf_counter() + options.seconds
                    while len(seconds) < 4 or time.perf_counter() < end:
                        begin = time.perf_counter()
                        calls[part]()
                        seconds.append(time.perf_counter() - begin)
                        if seconds[0] * 1e3 > 10 * best:  # never the best one
                            break
                    time_of = min if options.least else statistics.median
                    times.setdefault(layout + way, {})[part] = time_of(seconds[1:] or seconds) * 1e3
    print(json.dumps(times))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gradc", default="build/tools/gradc")
    parser.add_argument("--python", default="/usr/bin/python3")
    parser.add_argument("--malloc", default="libtcmalloc_minimal.so.4", help="PyTorch's heap, preloaded; empty: glibc's")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.15)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--cases", default="")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--cpu", default="")
    parser.add_argument("--least", action="store_true",
                        help="count the fastest call of all rounds, not medians: for a machine that does other work too")
    parser.add_argument("--no-peer", action="store_true", help="gradc alone")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work(options)
    if not options.no_peer and subprocess.run([options.python, "-c", "import torch"], capture_output=True).returncode != 0:
        print(f"skipped: {options.python} has no PyTorch")
        return 77
    parts = options.parts.split(",")
    ratios = []
    print(f"{'case':24s} {'part':8s} thr  PyTorch ms  gradc ms  ratio  mirrored ms  ratio  (PyTorch variant)")
    for name, case in CASES.items():
        if options.cases and not any(part in name for part in options.cases.split(",")):
            continue
        for threads in options.threads.split(","):
            peer, ours = {}, {}
            for _ in range(options.rounds):
                for variant, times in ({} if options.no_peer else torch_ms(options, name, parts, threads)).items():
                    for part, ms in times.items():
                        peer.setdefault(part, {}).setdefault(variant, []).append(ms)
                for part in parts:
                    ours.setdefault(part, []).append(gradc_ms(options, case, part, threads))
            for part in parts:
                time_of = min if options.least else statistics.median
                own = time_of(ours[part])
                theirs = {variant: time_of(ms) for variant, ms in peer.get(part, {"-": [math.nan]}).items()}
                mirrored = min((ms for variant, ms in theirs.items() if " mirrored" in variant), default=math.nan)
                best = min((variant for variant in theirs if " mirrored" not in variant), key=theirs.get)
                ratios.append(theirs[best] / own)
                beside = "" if math.isnan(mirrored) else f"{mirrored:11.3f}  {mirrored / own:5.2f}"
                print(f"{name:24s} {part:8s} {threads:>3s}  {theirs[best]:10.3f}  {own:8.3f}  {ratios[-1]:5.2f}  {beside:18s}"
                      f"  ({best})", flush=True)
    if ratios and not options.no_peer:
        print(f"{sum(r >= 1 for r in ratios)} of {len(ratios)} at least as fast; least ratio {min(ratios):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
