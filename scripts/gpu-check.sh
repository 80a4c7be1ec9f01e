#!/usr/bin/env bash
# Everything that only a GPU can tell, in one go, without the internet: builds for this card; each primitive of the
# kernels alone; the self-test in each precision; the tests labelled cuda; compute-sanitizer on the self-test;
# benchmarks; PyTorch and timm beside vitc.
#
# A step that fails, or outruns its time, is recorded and the rest goes on; exit 1 if any did. DIR gets summary.txt,
# results.json (each step, with the JSON it printed), log.txt and sm_ARCH.txt: what this card's primitives answered, for
# tests/cuda/golden.
set -euo pipefail
cd "$(dirname "$0")/.."

usage="usage: scripts/gpu-check.sh [--minutes 9] [--out DIR] [--only GROUP,…] [--prefix DIR] [--vitc FILE]
       scripts/gpu-check.sh --pack DIR
  --minutes N    for all of it; what does not fit is recorded as not run
  --out DIR      results; build/gpu-check by default
  --only LIST    of build, primitives, selftest, bench, compare, sanitizer, ctest: all by default, in this order
  --prefix DIR   where headers and libraries of zlib, libpng and libjpeg are, if this machine has none
  --pack DIR     fills such a DIR from this machine's packages, to be carried to another of its kind
  --vitc FILE    checks that program, builds nothing
PYTHON is the Python that has torch and timm; python3 by default."

die() {
    echo "gpu-check: $1" >&2
    exit 2
}

minutes=9 out=build/gpu-check only=build,primitives,selftest,bench,compare,sanitizer,ctest prefix="" vitc=""
python=${PYTHON:-python3}

# pack DIR: the headers and static libraries that CMake looks for.
pack() {
    local header library arch
    arch=$(cc -print-multiarch 2> /dev/null || gcc -dumpmachine)
    mkdir -p "$1/include" "$1/lib"
    for header in zlib zconf png pngconf pnglibconf jpeglib jmorecfg jerror jconfig; do
        cp -L "/usr/include/$header.h" "$1/include/" 2> /dev/null || cp -L "/usr/include/$arch/$header.h" "$1/include/"
    done
    for library in z png16 jpeg; do
        cp -L "/usr/lib/$arch/lib$library.a" "$1/lib/"
    done
    du -sh "$1"
}

while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) echo "$usage" && exit 0 ;;
        --minutes | --out | --only | --prefix | --pack | --vitc) [ $# -gt 1 ] || die "$1 wants a value" ;;&
        --minutes) minutes=$2 ;;
        --out) out=$2 ;;
        --only) only=$2 ;;
        --prefix) prefix=$(realpath "$2") || die "there is no $2" ;;
        --vitc)
            vitc=$(realpath "$2") || die "there is no $2"
            [ -x "$vitc" ] || die "$2 is no program"
            ;;
        --pack) pack "$2" && exit 0 ;;
        *) die "unknown argument $1
$usage" ;;
    esac
    shift 2
done
[[ $minutes =~ ^[0-9]+$ && $minutes -gt 0 ]] || die "--minutes takes a whole number above 0, not $minutes"
for group in ${only//,/ }; do
    case $group in
        build | primitives | selftest | bench | compare | sanitizer | ctest) ;;
        *) die "--only does not know $group" ;;
    esac
done
if [ -z "$vitc" ] && ! nvidia-smi --query-gpu=name --format=csv,noheader > /dev/null 2>&1; then
    die "no GPU answers nvidia-smi on this machine"
fi

mkdir -p "$out"
build=build/gpu
parts=$build/parts # what each step printed, its JSON, and one line a step in steps.tsv
rm -rf "$parts"
mkdir -p "$parts"
: > "$parts/steps.tsv"
deadline=$((SECONDS + 60 * minutes))
bad=0 well=true

# report NAME STATUS SECONDS NOTE
report() {
    printf '%s\t%s\t%s\t%s\n' "$@" >> "$parts/steps.tsv"
    printf '%-9s %-26s %5s s  %s\n' "$2" "$1" "$3" "$4" | tee -a "$parts/summary"
    case $2 in ok | skipped) ;; *) bad=$((bad + 1)) ;; esac
}

# run NAME SECONDS COMMAND…: within SECONDS and the deadline; its output goes to NAME.log. Sets `well`.
run() {
    local name=$1 limit=$2 left=$((deadline - SECONDS)) begin=$SECONDS rc=0 status=ok note=""
    shift 2
    well=false
    if [ "$left" -lt 5 ]; then
        report "$name" "NOT RUN" 0 "the time was used up"
        return 0
    fi
    [ "$limit" -lt "$left" ] || limit=$left
    timeout -k 5 "$limit" "$@" > "$parts/$name.log" 2>&1 < /dev/null || rc=$?
    if [ $rc -eq 124 ] || [ $rc -eq 137 ]; then
        status=FAILED note="stopped after $limit s"
    elif [ $rc -ne 0 ]; then
        status=FAILED note="exit $rc: $(grep -v '^[[:space:]]*$' "$parts/$name.log" | tail -n 1 | cut -c 1-160)"
    fi
    report "$name" "$status" $((SECONDS - begin)) "$note"
    [ "$status" != ok ] || well=true
}

wanted() {
    [[ ,$only, == *,$1,* ]]
}

# ---- the machine -----------------------------------------------------------------------------------------------------

environment() {
    date -u
    nvidia-smi || echo "nvidia-smi does not answer"
    nvcc --version || echo "there is no nvcc on PATH"
    cmake --version | head -n 1
    "$python" -c 'import torch; print("torch", torch.__version__, torch.version.cuda)' || true
    "$python" -c 'import timm; print("timm", timm.__version__)' || true
    git log -1 --format='commit %H %s' || true
}
environment > "$parts/environment.log" 2>&1 || true
card=$(nvidia-smi --query-gpu=name,compute_cap,driver_version,memory.total --format=csv,noheader 2> /dev/null || true)
echo "card: ${card:-none}" | tee "$parts/summary"

# ---- the build -------------------------------------------------------------------------------------------------------

configure() {
    local flags=(-DVITC_CUDA=ON -DBUILD_TESTING=ON -DCMAKE_BUILD_TYPE=Release)
    [ -z "$prefix" ] || flags+=("-DCMAKE_PREFIX_PATH=$prefix")
    cmake -S . -B "$build" "${flags[@]}" || return 1
    grep -q '^VITC_HAS_IMAGES:INTERNAL=ON' "$build/CMakeCache.txt" ||
        echo "gpu-check: built without PNG, JPEG and gzip (with them: --pack DIR on a machine that has zlib, libpng" \
            "and libjpeg, then --prefix DIR here)" | tee -a "$parts/summary"
}
export -f configure
export build prefix parts

# What the primitives answer, first of all: of what needs a GPU it is the least that could not be had without.
primitives() {
    local program
    program=$(dirname "$vitc")/vitc_primitives
    if [ -x "$program" ]; then
        run primitives-write 60 "$program" --write "$out"
        run primitives-check 60 "$program" --check tests/cuda/golden
    elif [ "$vitc" = "$build/vitc" ]; then
        report primitives FAILED 0 "there is no $program"
    else
        report primitives skipped 0 "there is no vitc_primitives beside $vitc"
    fi
}

jobs=$(nproc)
if [ -n "$vitc" ]; then
    if wanted primitives; then primitives; fi
else
    vitc=$build/vitc
    if wanted build; then
        run configure 60 bash -c configure
        configured=$well
        if $well; then run build-primitives 120 cmake --build "$build" --target vitc_primitives --parallel "$jobs"; fi
    fi
    if wanted primitives; then primitives; fi
    if wanted build; then
        if $configured; then run build 240 cmake --build "$build" --target vitc --parallel "$jobs"; fi
    fi
    if ! [ -x "$vitc" ]; then
        report vitc FAILED 0 "there is no $vitc: nothing further can be checked"
        only=none
    fi
fi

# ---- correctness and speed -------------------------------------------------------------------------------------------

if wanted selftest; then
    for precision in bf16 fp32 tf32; do
        # shellcheck disable=SC2016 # for the inner shell
        run "selftest-$precision" 60 bash -c '"$1" selftest --device cuda --precision "$2" --json > "$3"' - \
            "$vitc" "$precision" "$parts/selftest-$precision.json"
    done
    run selftest-linear-fused 60 env VT_GEMM_ACTIVATION=fused "$vitc" selftest linear --device cuda --precision bf16
    for kernels in stream mma plain; do
        run "selftest-attention-$kernels" 60 env VT_ATTENTION=$kernels "$vitc" selftest attention --device cuda \
            --precision bf16
    done
    run selftest-attention-b 60 env VT_ATTENTION_BACKWARD=b "$vitc" selftest attention --device cuda --precision bf16
fi

# bench NAME SECONDS ARGUMENTS…
bench() {
    local name=$1 seconds=$2
    shift 2
    run "$name" "$seconds" "$vitc" bench "$@" --device cuda --json "$parts/$name.json"
}
if wanted bench; then
    for size in tiny small base; do
        bench "bench-step-$size" 60 step --model "deit_${size}_patch16_224" --batch-size 256 --seconds 4 --ledger
    done
    for way in fused apart; do
        VT_GEMM_ACTIVATION=$way bench "bench-step-small-$way" 40 step --model deit_small_patch16_224 --batch-size 256 \
            --seconds 2 --ledger
    done
    bench bench-kernels 60 kernels --model deit_small_patch16_224 --batch-size 256 --no-reference
    if "$vitc" bench --help | grep -q -e '--bench.*attention'; then
        bench bench-attention 120 attention
        for kernel in a b; do
            VT_ATTENTION_BACKWARD=$kernel bench "bench-attention-$kernel" 30 attention --impl vitc --direction bwd \
                --shapes 256,3,197,64,256,6,197,64,256,12,197,64
        done
        for kernels in stream mma; do
            VT_ATTENTION=$kernels bench "bench-attention-$kernels" 30 attention --impl vitc --direction fwd,bwd \
                --shapes 256,6,197,64,64,16,577,64
        done
    else
        report bench-attention skipped 0 "this vitc has no bench attention"
    fi
fi

if wanted compare; then
    attention=()
    for shape in 256,3,197,64 256,6,197,64 256,12,197,64 256,6,50,64 64,16,577,64; do
        attention+=(--attention "$shape")
    done
    run compare-attention 60 "$python" scripts/compare_timm.py --no-step "${attention[@]}" \
        --json "$parts/compare-attention.json"
    for size in small tiny base; do
        run "compare-$size" 150 "$python" scripts/compare_timm.py --vitc "$vitc" --model "deit_${size}_patch16_224" \
            --batch-size 256 --seconds 4 --limit 100 --json "$parts/compare-$size.json"
    done
fi

if wanted sanitizer; then
    if command -v compute-sanitizer > /dev/null; then
        for tool in memcheck racecheck synccheck; do
            run "sanitizer-$tool" 90 compute-sanitizer --tool "$tool" --error-exitcode 9 \
                "$vitc" selftest --device cuda --precision bf16
        done
    else
        report sanitizer FAILED 0 "compute-sanitizer is not on PATH"
    fi
fi

if wanted ctest; then
    if [ "$vitc" = "$build/vitc" ]; then
        run build-tests 120 cmake --build "$build" --parallel "$jobs"
        if $well; then run ctest-cuda 90 ctest --test-dir "$build" -L cuda --no-tests=error --output-on-failure; fi
    else
        report ctest-cuda skipped 0 "nothing was built"
    fi
fi

# ---- results ---------------------------------------------------------------------------------------------------------

total=$(wc -l < "$parts/steps.tsv")
echo "$((total - bad)) of $total steps are well, $SECONDS s" | tee -a "$parts/summary"
for log in "$parts"/compare-*.log; do
    if [ -e "$log" ]; then cat "$log"; fi
done >> "$parts/summary"
for log in "$parts"/*.log; do
    echo "==== $(basename "$log" .log)"
    tail -c 1000000 "$log"
done > "$out/log.txt"
"$python" - "$parts" "$card" "$out/results.json" << 'PYTHON' | tee -a "$parts/summary" || bad=$((bad + 1))
import json, os, sys
parts, card, to = sys.argv[1:]
steps = []
with open(os.path.join(parts, "steps.tsv"), encoding="utf-8", errors="replace") as rows:
    for row in rows:
        name, status, seconds, note = row.rstrip("\n").split("\t", 3)
        step = {"name": name, "status": status, "seconds": int(seconds), "note": note}
        path = os.path.join(parts, name + ".json")
        if os.path.exists(path):
            try:
                with open(path, encoding="utf-8") as file:
                    step["result"] = json.load(file)
            except ValueError as error:
                step["note"] += f" ({name}.json: {error})"
        steps.append(step)
        result = step.get("result")
        if isinstance(result, dict) and "images_per_second" in result:
            print(f"{name}: {result['images_per_second']:.0f} images/s, {result['step_ms']:.3f} ms a step, "
                  f"{result['gflops'] / 1e3:.1f} TFLOP/s, {result['peak_bytes'] / 2**20:.0f} MiB")
with open(to, "w", encoding="utf-8") as file:
    json.dump({"card": card, "steps": steps}, file, indent=1)
PYTHON
cp "$parts/summary" "$out/summary.txt"
[ "$bad" -eq 0 ]
