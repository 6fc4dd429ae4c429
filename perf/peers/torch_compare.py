#!/usr/bin/env python3
"""Measures PyTorch beside Kiln on one GPU, in turns, on the same problems.

    perf/peers/torch_compare.py --kiln build/portable/kiln --json out.json perf/suites/gpu.txt

A problem is Kiln's text (gemm, conv). Each way of PyTorch's is checked against a product in float64, then timed: `eager`
as written, `graph` the same replayed from a CUDA graph, `compile` by torch.compile(mode="max-autotune") and its graphs,
and for gemm both of PyTorch's libraries, cublas and cublaslt. For attention, which Kiln does not have yet, the ways are
the backends of scaled_dot_product_attention. Kiln measures itself (`kiln bench --json`) between two halves of PyTorch's
samples; the ratio is PyTorch's fastest way / Kiln's graph replay, above 1 Kiln is faster.

Times are microseconds by CUDA events, medians. Without a GPU `--device cpu` runs the same by the host's clock, to try the
script itself; such times say nothing. Exit status: 0 measured, 1 a result was wrong or nothing ran, 2 usage, 77 no
PyTorch or no GPU.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    print("torch_compare: no PyTorch here", file=sys.stderr)
    sys.exit(77)

TYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
ROUNDING = {torch.float32: 2e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


def parse(text):
    """'gemm:m=1,ep=bias+relu' -> ('gemm', {'m': 1, 'ep': ['bias', 'relu']})"""
    family, _, rest = text.partition(":")
    fields = {}
    for part in filter(None, rest.split(",")):
        name, _, value = part.partition("=")
        fields[name] = value.split("+") if name == "ep" else int(value) if value.isdigit() else value
    return family, fields


def activation(x, steps):
    for name, function in (("relu", F.relu), ("mish", F.mish), ("silu", F.silu), ("gelu", F.gelu)):
        if name in steps:
            return function(x)
    return x


class Case:
    """A problem with its tensors: `run()` computes it, `wrong(y)` is None or what is wrong with the result."""

    def __init__(self, text, device):
        self.text = text
        self.family, self.fields = parse(text)
        self.type = TYPES[self.fields.get("type", "f32")]
        self.device = device
        self.steps = self.fields.get("ep", [])
        unknown = set(self.steps) - {"bias", "relu", "mish", "silu", "gelu"}
        if unknown:
            raise ValueError(f"{text}: PyTorch's side does not know the epilogue {'+'.join(sorted(unknown))}")
        getattr(self, "make_" + self.family)(**{k: v for k, v in self.fields.items() if k not in ("ep", "type")})

    def tensor(self, *shape, scale=1.0):
        return (torch.randn(*shape, device=self.device) * scale).to(self.type)

    def make_gemm(self, m, n, k, compute="f32"):
        self.tf32 = compute == "tf32"
        self.flops = 2 * m * n * k
        self.depth = k
        a, w = self.tensor(m, k), self.tensor(n, k)
        bias = self.tensor(n) if "bias" in self.steps else None
        self.function = lambda a, w: activation(F.linear(a, w, bias), self.steps)
        self.inputs = (a, w)
        self.exact = lambda: activation(F.linear(a.double(), w.double(), None if bias is None else bias.double()), self.steps)

    def make_conv(self, n, h, w, ic, oc, kh, kw, ihalo=0, ohalo=0, compute="f32"):
        del ihalo, ohalo  # how Kiln lays its tensors out
        self.tf32 = compute == "tf32"
        self.flops = 2 * n * h * w * ic * oc * kh * kw
        self.depth = ic * kh * kw
        channels_last = torch.channels_last
        x = self.tensor(n, ic, h, w).to(memory_format=channels_last)
        weights = self.tensor(oc, ic, kh, kw).to(memory_format=channels_last)
        bias = self.tensor(oc) if "bias" in self.steps else None
        pad = (kh // 2, kw // 2)
        self.function = lambda x, weights: activation(F.conv2d(x, weights, bias, padding=pad), self.steps)
        self.inputs = (x, weights)
        self.exact = lambda: activation(
            F.conv2d(x.double(), weights.double(), None if bias is None else bias.double(), padding=pad), self.steps)

    def make_attention(self, n, heads, q, kv, d, causal=0):
        self.tf32 = False
        self.flops = 4 * n * heads * q * kv * d
        self.depth = kv
        qkv = self.tensor(n, heads, q, d), self.tensor(n, heads, kv, d), self.tensor(n, heads, kv, d)
        self.function = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=bool(causal))
        self.inputs = qkv
        self.exact = lambda: F.scaled_dot_product_attention(*(t.double() for t in qkv), is_causal=bool(causal))

    def run(self):
        return self.function(*self.inputs)

    def wrong(self, y):
        exact = self.exact()
        error = ((y.double() - exact).abs().max() / exact.abs().max().clamp_min(1e-30)).item()
        limit = (1e-3 if self.tf32 else ROUNDING[self.type]) * max(1.0, self.depth**0.5 / 8)
        return None if error <= limit else f"off by {error:.2g} of the largest value, allowed {limit:.2g}"


# ---- ways of computing a case ----


def graphed(run):
    """Captured into a CUDA graph, after the warm-up on a stream of its own that capture asks for."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = run()

    def replay():
        graph.replay()
        return y

    return replay


def with_library(run, library):
    def call():
        torch.backends.cuda.preferred_blas_library(library)
        return run()

    return call


def with_backend(run, backend):
    def call():
        with torch.nn.attention.sdpa_kernel(backend):
            return run()

    return call


def ways_of(case, use_compile):
    """Yields (name, function that makes it). Making may fail; that is reported, not fatal."""
    on_gpu = case.device == "cuda"
    yield "eager", lambda: case.run
    if on_gpu:
        yield "graph", lambda: graphed(case.run)
    if on_gpu and case.family == "gemm":
        for library in ("cublas", "cublaslt"):
            yield library, lambda library=library: graphed(with_library(case.run, library))
    if case.family == "attention":
        for backend in torch.nn.attention.SDPBackend.__members__.values():
            if backend.name in ("FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION", "MATH"):
                make = with_backend(case.run, backend)
                yield backend.name.lower(), lambda make=make: graphed(make) if on_gpu else make
    if use_compile:
        compiled = torch.compile(case.function, mode="max-autotune" if on_gpu else "default")
        yield "compile", lambda: lambda: compiled(*case.inputs)


# ---- time ----


def sample(run, times, device):
    """Microseconds of one run, from `times` of them."""
    if device == "cuda":
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(times):
            run()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) * 1e3 / times
    begin = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - begin) * 1e6 / times


def calibrate(run, device):
    run()
    return max(1, min(1000, int(2000 / max(1.0, sample(run, 3, device)))))


def measure_torch(ways, device, rounds):
    """Takes the ways in turns."""
    for _ in range(rounds):
        for way in ways:
            way["samples"].append(sample(way["run"], way["times"], device))


def measure_kiln(kiln, text, seconds):
    command = [kiln, "bench", text, "--seconds", str(seconds), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return {"reason": done.stderr.strip().splitlines()[-1:] or ["no reason given"]}
    rows = [row for row in json.loads(done.stdout)["results"] if row["reason"] is None]
    return min(rows, key=lambda row: row["graph_us"]) if rows else {"reason": ["no variant ran"]}


def measure(text, args):
    case = Case(text, args.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = case.tf32
    result = {"problem": text, "flops": case.flops, "ways": {}, "failed": {}}
    ways = []
    for name, make in ways_of(case, not args.no_compile):
        try:
            run = make()
            wrong = case.wrong(run())
            if wrong:
                result["failed"][name] = wrong
                continue
            ways.append({"name": name, "run": run, "times": calibrate(run, args.device), "samples": []})
        except Exception as error:  # a way that PyTorch refuses is one way less
            result["failed"][name] = str(error).splitlines()[0][:200]
    measure_torch(ways, args.device, args.rounds)
    if args.kiln and case.family != "attention":
        result["kiln"] = measure_kiln(args.kiln, text, args.seconds)
    measure_torch(ways, args.device, args.rounds)
    result["ways"] = {way["name"]: statistics.median(way["samples"]) for way in ways}
    best = min(result["ways"].values(), default=None)
    if best and result.get("kiln", {}).get("graph_us"):
        result["ratio"] = best / result["kiln"]["graph_us"]
    return result


def line(result):
    ways = sorted(result["ways"].items(), key=lambda item: item[1])
    kiln = result.get("kiln", {})
    best = f"{ways[0][0]} {ways[0][1]:.1f}" if ways else "-"
    mine = f"{kiln['graph_us']:.1f}" if "graph_us" in kiln else "-"
    ratio = f"{result['ratio']:.2f}" if "ratio" in result else "-"
    wrong = "; ".join(f"{name}: {why}" for name, why in result["failed"].items())
    return f"{result['problem']:<72} {mine:>10} {best:>26} {ratio:>6}  {wrong}"


def problems_of(names):
    for name in names:
        if ":" in name:
            yield name
            continue
        with open(name, encoding="utf-8") as file:
            yield from (text for text in map(str.strip, file) if text and not text.startswith("#"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", nargs="+", metavar="SUITE|PROBLEM")
    parser.add_argument("--kiln", help="the command to measure beside PyTorch")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--rounds", type=int, default=10, help="samples of each way before and after Kiln's (default 10)")
    parser.add_argument("--seconds", type=float, default=0.2, help="Kiln's time for each variant and mode (default 0.2)")
    parser.add_argument("--limit", type=float, default=240, help="start no problem after so many seconds (default 240)")
    parser.add_argument("--no-compile", action="store_true", help="leave out torch.compile, which takes seconds a shape")
    parser.add_argument("--json", metavar="FILE", help="write everything to FILE")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        print("torch_compare: PyTorch sees no GPU", file=sys.stderr)
        return 77
    begin = time.monotonic()
    torch.manual_seed(1)
    report = {"torch": torch.__version__, "cuda": torch.version.cuda, "results": [], "left_out": []}
    if args.device == "cuda":
        report["gpu"] = torch.cuda.get_device_name()
    print(f"{'microseconds, medians':<72} {'kiln':>10} {'PyTorch, fastest way':>26} {'ratio':>6}")
    for text in problems_of(args.problems):
        if time.monotonic() - begin > args.limit:
            report["left_out"].append(text)
            continue
        report["results"].append(measure(text, args))
        print(line(report["results"][-1]), flush=True)
    if report["left_out"]:
        print(f"left out for want of time: {len(report['left_out'])}")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
    wrong = [r for r in report["results"] if not r["ways"]]
    return 1 if wrong or not report["results"] else 0


if __name__ == "__main__":
    sys.exit(main())
