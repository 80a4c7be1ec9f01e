#!/usr/bin/python3
"""vitc beside PyTorch: the same model, batch and training step (forward, backward, AdamW) on the CPU, in one run.

Each round times PyTorch eager with 1 and with 2 threads and `vitc bench step`, one after the other, each in a process
of its own; the medians over the rounds are compared, vitc with PyTorch's better thread count. Peak memory is the
largest resident set. Other PyTorch versions: run this file with their Python.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CONFIGS = {"deit_tiny_distilled_patch16_224": dict(batch=8, classes=1000), "deit_micro": dict(batch=128, classes=10)}


def blas_of_process():
    """The BLAS that is loaded, by its file; "" where it is part of PyTorch's own library, as in the wheels."""
    with open("/proc/self/maps", encoding="ascii") as maps:
        files = {line.split()[-1] for line in maps if "blas" in line.split()[-1]}
    return " ".join(sorted(files))


def torch_worker(model_name, batch, classes, in_chans, threads, seconds):
    """Prints a JSON object with the median step; runs in a process of its own."""
    sys.path.insert(0, os.path.join(ROOT, "tests", "parity"))
    import reference
    import torch
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    config = reference.config(model_name, num_classes=classes, in_chans=in_chans)
    model = reference.VisionTransformer(config)
    reference.randomise(model, torch.Generator().manual_seed(0))
    for module in model.modules():
        if isinstance(module, reference.Attention):
            module.fused = hasattr(torch.nn.functional, "scaled_dot_product_attention")
    optimizer = reference.adamw(model, 1e-3, 0.05)
    images = torch.randn(batch, in_chans, *config.img_size)
    targets = torch.softmax(torch.randn(batch, classes), 1)

    def step():
        optimizer.zero_grad(set_to_none=True)
        reference.loss_of(model(images), targets).backward()
        optimizer.step()

    for _ in range(2):
        step()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    with open("/proc/self/status", encoding="ascii") as status:
        peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    print(json.dumps({"version": torch.__version__, "blas": blas_of_process(),
                      "step_ms": 1e3 * statistics.median(times), "peak_bytes": peak}))


def run_json(command):
    """The last line of a command's output as JSON, and the command's peak resident set."""
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True) as process:
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"compare_torch: exit {process.returncode} from: {' '.join(map(str, command))}")
    return json.loads(text), usage.ru_maxrss * 1024


def compare(model, args):
    batch, classes = CONFIGS[model]["batch"], CONFIGS[model]["classes"]
    runs = {f"torch-{threads}": [] for threads in args.threads}
    runs["vitc"] = []
    for _ in range(args.rounds):
        for threads in args.threads:
            result, _ = run_json([sys.executable, "-W", "ignore", __file__, "--worker", model, batch, classes,
                                  args.in_chans, threads, args.seconds])
            if "/blas/libblas.so" in result["blas"]:
                raise SystemExit(f"compare_torch: {result['blas']}: PyTorch uses the reference BLAS, a tenth as fast "
                                 "as others: apt-get install libopenblas0-pthread")
            runs[f"torch-{threads}"].append(result)
        result, peak = run_json([args.vitc, "bench", "step", "--json", "-", "--model", model, "--batch-size", batch,
                                 "--num-classes", classes, "--in-chans", args.in_chans, "--device", "cpu",
                                 "--reprob", 0, "--mixup", 0, "--cutmix", 0])
        runs["vitc"].append(dict(result, peak_bytes=peak))
    medians = {name: statistics.median(run["step_ms"] for run in results) for name, results in runs.items()}
    peaks = {name: max(run["peak_bytes"] for run in results) for name, results in runs.items()}
    best = min((name for name in runs if name != "vitc"), key=medians.get)
    print(f"\n{model}, batch {batch}, {args.in_chans} channels, PyTorch {runs[best][0]['version']}: medians of "
          f"{args.rounds} rounds")
    for name in runs:
        each = " ".join(f"{run['step_ms']:.0f}" for run in runs[name])
        print(f"  {name:8} {medians[name]:9.1f} ms a step {1e3 * batch / medians[name]:9.1f} images/s "
              f"{peaks[name] / 2**20:7.0f} MiB   (ms: {each})")
    ratio = medians[best] / medians["vitc"]
    memory = peaks["vitc"] / min(peak for name, peak in peaks.items() if name != "vitc")
    own = {key: statistics.median(run[key] for run in runs["vitc"]) for key in ("gflops", "sgemm_gflops")}
    print(f"  vitc is {ratio:.2f} times as fast as {best}, with {memory:.2f} times its memory; {own['gflops']:.0f} of "
          f"{own['sgemm_gflops']:.0f} GFLOP/s ({100 * own['gflops'] / own['sgemm_gflops']:.0f} % of sgemm)", flush=True)
    return {"model": model, "batch": batch, "in_chans": args.in_chans, "step_ms": medians, "peak_bytes": peaks,
            "torch": runs[best][0]["version"], "best_torch": best, "speedup": ratio, "memory_ratio": memory, **own,
            "rounds": runs}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vitc", default=os.path.join(ROOT, "build", "vitc"))
    parser.add_argument("--model", action="append", choices=list(CONFIGS), help="both by default")
    parser.add_argument("--in-chans", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each of PyTorch's measurements")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="PyTorch's thread counts")
    parser.add_argument("--json", metavar="F", help="write every measurement to F")
    parser.add_argument("--worker", nargs=6, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        model, *numbers, seconds = args.worker
        torch_worker(model, *map(int, numbers), float(seconds))
        return
    results = [compare(model, args) for model in args.model or CONFIGS]
    if args.json:
        with open(args.json, "w", encoding="ascii") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
