#!/usr/bin/env python3
"""vitc beside PyTorch and timm on a GPU: the same model, batch and training step (forward, backward, AdamW, EMA) in one
run; and the forward and backward times of PyTorch's attention backends for given shapes.

PyTorch gets what favours it: images that lie on the device already normalised, bf16 autocast, channels-last, fused
AdamW, EMA by foreach, eager and torch.compile, no synchronisation within ten steps. vitc is run as `vitc bench step`,
which copies u8 images from the host in each step. Each round times vitc and each variant, one after the other, each in
a process of its own; medians over the rounds are compared, vitc with PyTorch's fastest variant.

  scripts/compare_timm.py --model deit_small_patch16_224 --batch-size 256 --json F
  scripts/compare_timm.py --no-step --attention 256,6,197,64 --attention 256,12,197,64
  scripts/compare_timm.py --device cpu       a tiny model, to try the script itself
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STEPS_A_SYNC = 10  # a synchronisation each step would cost PyTorch its run-ahead
MICRO = dict(base="deit_tiny_distilled_patch16_224", img_size=28, patch_size=7, embed_dim=96, depth=6, num_heads=4)


def fail(message):
    raise SystemExit(f"compare_timm: error: {message}")


def import_torch():
    try:
        import torch
    except ImportError as missing:
        fail(f"{sys.executable} has no PyTorch: {missing}")
    return torch


def check_device(torch, device):
    if device == "cuda" and not torch.cuda.is_available():
        fail(f"PyTorch {torch.__version__} finds no CUDA device; --device cpu tries the script on a tiny model")


# ---- one PyTorch measurement, in a process of its own ---------------------------------------------------------------


def timm_model(c):
    import timm
    overrides = dict(num_classes=c["classes"], in_chans=c["in_chans"], drop_path_rate=c["drop_path"])
    name = c["model"]
    if name == "deit_micro":  # not a name of timm's
        overrides.update({key: value for key, value in MICRO.items() if key != "base"})
        name = MICRO["base"]
    if c["img_size"]:
        overrides["img_size"] = c["img_size"]
    model = timm.create_model(name, pretrained=False, **overrides)
    if hasattr(model, "set_distilled_training"):
        model.set_distilled_training(True)
    return model.train()


def timm_step(torch, c, device):
    """The training step as a function, and its batch."""
    cuda = device == "cuda"
    model = timm_model(c).to(device)
    if cuda:
        model = model.to(memory_format=torch.channels_last)
    decayed = [p for name, p in model.named_parameters() if p.ndim > 1 and "pos_embed" not in name and
               "token" not in name]
    kept = {id(p) for p in decayed}
    groups = [{"params": decayed, "weight_decay": 0.05},
              {"params": [p for p in model.parameters() if id(p) not in kept], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-6, **({"fused": True} if cuda else {}))
    params = list(model.parameters())
    ema = [p.detach().clone() for p in params]
    run = torch.compile(model, mode=c["compile"]) if c["compile"] != "eager" else model
    shape = (c["batch"], c["in_chans"], *model.patch_embed.img_size)
    images = torch.randn(shape, device=device)
    if cuda:
        images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(c["classes"], (c["batch"],), device=device)

    def loss_of(outputs):
        outputs = outputs if isinstance(outputs, (tuple, list)) else [outputs]
        losses = [torch.nn.functional.cross_entropy(o.float(), labels, label_smoothing=0.1) for o in outputs]
        return sum(losses) / len(losses)

    def step():
        with torch.autocast(device, dtype=torch.bfloat16, enabled=c["precision"] == "bf16"):
            outputs = run(images)
        loss = loss_of(outputs)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            if hasattr(torch, "_foreach_lerp_"):
                torch._foreach_lerp_(ema, params, 1 - 0.99996)
            else:
                torch._foreach_mul_(ema, 0.99996)
                torch._foreach_add_(ema, params, alpha=1 - 0.99996)
        return loss

    return step


def worker(c):
    torch = import_torch()
    device = c["device"]
    cuda = device == "cuda"
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    if cuda and c["precision"] == "tf32":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True

    def wait():
        if cuda:
            torch.cuda.synchronize()

    step = timm_step(torch, c, device)
    begin = time.perf_counter()
    for _ in range(5 if cuda else 1):
        loss = step()
    wait()
    ready = time.perf_counter() - begin
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    times, group, end = [], STEPS_A_SYNC if cuda else 1, time.perf_counter() + c["seconds"]
    while len(times) < 3 or time.perf_counter() < end:
        begin = time.perf_counter()
        for _ in range(group):
            loss = step()
        wait()
        times.append((time.perf_counter() - begin) / group)
    if not torch.isfinite(loss):
        fail(f"PyTorch's loss is {loss.item()}")
    result = {"torch": torch.__version__, "step_ms": 1e3 * statistics.median(times),
              "fastest_step_ms": 1e3 * min(times), "steps": group * len(times), "warm_up_seconds": ready}
    if cuda:
        result.update(peak_bytes=torch.cuda.max_memory_allocated(), reserved_bytes=torch.cuda.max_memory_reserved(),
                      card=torch.cuda.get_device_name())
    else:
        with open("/proc/self/status", encoding="ascii") as status:
            result["peak_bytes"] = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    print(json.dumps(result))


# ---- attention ------------------------------------------------------------------------------------------------------


def attention_backends(torch):
    """name -> a context in which scaled_dot_product_attention takes that backend."""
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError:
        return {}
    names = {"flash": "FLASH_ATTENTION", "cudnn": "CUDNN_ATTENTION", "efficient": "EFFICIENT_ATTENTION"}
    return {name: (lambda b=getattr(SDPBackend, which): sdpa_kernel(b)) for name, which in names.items()
            if hasattr(SDPBackend, which)}


def plain_attention(q, k, v):
    return ((q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5).softmax(-1) @ v


def device_ms(torch, cuda, run, seconds):
    """Median milliseconds of run(), each timed by device events."""
    for _ in range(3):
        run()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        if not cuda:
            begin = time.perf_counter()
            run()
            times.append(1e3 * (time.perf_counter() - begin))
            continue
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(21)]
        torch.cuda._sleep(20_000_000)  # about 10 ms: the launches queue up behind it, and the host is not what is timed
        marks[0].record()
        for mark in marks[1:]:
            run()
            mark.record()
        torch.cuda.synchronize()
        times += [a.elapsed_time(b) for a, b in zip(marks, marks[1:])]
    return statistics.median(times)


def time_attention(torch, device, shape, seconds):
    """Rows of one shape: q, k and v are views of a packed [B, N, 3, H, D], as in a ViT."""
    batch, heads, tokens, dim = shape
    cuda = device == "cuda"
    dtype = torch.bfloat16 if cuda else torch.float32
    qkv = torch.randn(batch, tokens, 3, heads, dim, device=device, dtype=dtype)
    q, k, v = (qkv[:, :, i].transpose(1, 2).detach().requires_grad_() for i in range(3))
    dout = torch.randn(batch, tokens, heads, dim, device=device, dtype=dtype).transpose(1, 2)
    flops = 4.0 * batch * heads * tokens * tokens * dim
    backends = attention_backends(torch) if cuda else {}
    rows = []
    for name, context in {**backends, **({} if cuda else {"plain": None})}.items():
        row = {"shape": list(shape), "backend": name, "dtype": str(dtype).replace("torch.", "")}
        try:
            def forward():
                if context is None:
                    return plain_attention(q, k, v)
                with context():
                    return torch.nn.functional.scaled_dot_product_attention(q, k, v)

            with torch.no_grad():
                row["forward_ms"] = device_ms(torch, cuda, forward, seconds)
            out = forward()
            row["backward_ms"] = device_ms(
                torch, cuda, lambda: torch.autograd.grad(out, (q, k, v), dout, retain_graph=True), seconds)
            row["forward_tflops"] = flops / row["forward_ms"] / 1e9
            row["backward_tflops"] = 2.5 * flops / row["backward_ms"] / 1e9
        except RuntimeError as error:
            row["error"] = str(error).splitlines()[0]
        rows.append(row)
    return rows


def attention_table(rows):
    print(f"attention, {rows[0]['dtype']} (B,H,N,D): ms forward, ms backward (TFLOP/s; backward counts five products)")
    for row in rows:
        shape = ",".join(map(str, row["shape"]))
        if "error" in row:
            print(f"  {shape:20} {row['backend']:10} not measured: {row['error']}")
            continue
        print(f"  {shape:20} {row['backend']:10} {row['forward_ms']:9.4f} ({row['forward_tflops']:6.1f}) "
              f"{row['backward_ms']:9.4f} ({row['backward_tflops']:6.1f})", flush=True)


# ---- the comparison -------------------------------------------------------------------------------------------------


def run_json(command, limit):
    """The last line that a command prints, as JSON; or {"error": …}."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"took more than {limit:.0f} s"}
    except OSError as error:
        return {"error": f"{words[0]}: {error.strerror}"}
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        return json.loads(lines[-1])
    said = [line for line in done.stderr.strip().splitlines() if line] or ["no message"]
    return {"error": f"exit {done.returncode}: {said[-1][:300]}"}


def compare(model, args, precision):
    config = dict(model=model, batch=args.batch_size, classes=args.num_classes, in_chans=args.in_chans,
                  img_size=args.img_size, drop_path=args.drop_path, device=args.device, seconds=args.seconds,
                  precision=precision)
    vitc = [args.vitc, "bench", "step", "--json", "-", "--model", model, "--batch-size", args.batch_size,
            "--num-classes", args.num_classes, "--in-chans", args.in_chans, "--drop-path", args.drop_path, "--device",
            args.device, "--precision", precision, "--seconds", args.seconds, "--reprob", 0, "--mixup", 0,
            "--cutmix", 0]
    vitc += ["--img-size", args.img_size] if args.img_size else []
    runs = {"vitc": []}
    for _ in range(args.rounds):
        runs["vitc"].append(run_json(vitc, args.limit))
        for mode in args.compile:
            asked = json.dumps(dict(config, compile=mode))
            runs.setdefault(f"torch {mode}", []).append(
                run_json([sys.executable, "-W", "ignore", __file__, "--worker", asked], args.limit))
    result = {"model": model, "batch": args.batch_size, "precision": precision, "device": args.device, "variants": {}}
    print(f"{model}, batch {args.batch_size}, {precision}, {args.device}: medians of {args.rounds} rounds")
    for name, each in runs.items():
        good = [run for run in each if "error" not in run]
        if not good:
            result["variants"][name] = {"error": each[-1]["error"]}
            print(f"  {name:28} not measured: {each[-1]['error']}")
            continue
        ms = statistics.median(run["step_ms"] for run in good)
        peak = max(run["peak_bytes"] for run in good)
        result["variants"][name] = {"step_ms": ms, "images_per_second": 1e3 * args.batch_size / ms, "peak_bytes": peak,
                                    "rounds": each}
        print(f"  {name:28} {ms:9.2f} ms a step {1e3 * args.batch_size / ms:10.1f} images/s {peak / 2**20:8.0f} MiB",
              flush=True)
    measured = {name: v for name, v in result["variants"].items() if "error" not in v}
    theirs = {name: v["step_ms"] for name, v in measured.items() if name != "vitc"}
    if "vitc" in measured and theirs:
        best = min(theirs, key=theirs.get)
        result.update(best_torch=best, speedup=theirs[best] / measured["vitc"]["step_ms"])
        print(f"  vitc is {result['speedup']:.2f} times as fast as {best}", flush=True)
    return result


def shape_of(text):
    numbers = text.split(",")
    if len(numbers) != 4 or not all(number.isdigit() and int(number) > 0 for number in numbers):
        raise argparse.ArgumentTypeError(f"{text} is not B,H,N,D")
    return tuple(map(int, numbers))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vitc", default=os.path.join(ROOT, "build", "vitc"))
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--model", action="append", help="timm's names; deit_small_patch16_224 by default")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--num-classes", type=int, default=1000)
    parser.add_argument("--in-chans", type=int, default=3)
    parser.add_argument("--img-size", type=int, default=0)
    parser.add_argument("--drop-path", type=float, default=0.1)
    parser.add_argument("--precision", choices=["bf16", "tf32", "fp32"], help="bf16 on cuda, fp32 on cpu by default")
    parser.add_argument("--compile", default="eager,default", metavar="LIST",
                        help="PyTorch's variants: eager and modes of torch.compile [eager,default]")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds that one process may take")
    parser.add_argument("--attention", type=shape_of, action="append", metavar="B,H,N,D", default=[])
    parser.add_argument("--no-step", action="store_true", help="attention alone")
    parser.add_argument("--json", metavar="F", help="write every measurement to F")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    cpu = args.device == "cpu"
    args.model = args.model or (["deit_micro"] if cpu else ["deit_small_patch16_224"])
    args.batch_size = args.batch_size or (8 if cpu else 256)
    args.compile = ["eager"] if cpu else args.compile.split(",")
    if cpu:
        args.seconds = min(args.seconds, 1.0)
        args.attention = args.attention or [(1, 2, 17, 8)]
    return args


def main():
    args = parse()
    if args.worker:
        worker(json.loads(args.worker))
        return 0
    torch = import_torch()
    check_device(torch, args.device)
    result = {"torch": torch.__version__, "device": args.device, "steps": [], "attention": []}
    if args.device == "cuda":
        result.update(card=torch.cuda.get_device_name(), cuda=torch.version.cuda)
    precision = args.precision or ("bf16" if args.device == "cuda" else "fp32")
    if not args.no_step:
        try:
            import timm
        except ImportError as missing:
            fail(f"{sys.executable} has no timm: {missing}")
        result["timm"] = timm.__version__
        result["steps"] = [compare(model, args, precision) for model in args.model]
    for shape in args.attention:
        result["attention"] += time_attention(torch, args.device, shape, min(args.seconds, 1.0))
    if result["attention"]:
        attention_table(result["attention"])
    if args.json:
        with open(args.json, "w", encoding="ascii") as file:
            json.dump(result, file, indent=1)
    return 0 if all("speedup" in step for step in result["steps"]) else 1


if __name__ == "__main__":
    sys.exit(main())
