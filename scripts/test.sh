#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test through ctest.
#   tier 1: the unit tests, the same under AddressSanitizer and UndefinedBehaviorSanitizer, and a build without fast
#           bodies; CUDA kernels run in the simulator
#   tier 2: what has threads under ThreadSanitizer, a short run of every fuzzer, the comparison with PyTorch; CUDA
#           kernels are compiled where nvcc is found
# A failing part does not stop the others; the exit status is 1 if any failed.
set -euo pipefail
cd "$(dirname "$0")/.."

usage="usage: scripts/test.sh [--tier 1|2]    (both by default)"
tiers="1 2"
while [ $# -gt 0 ]; do
    case $1 in
        --tier=*) tiers=${1#*=} ;;
        --tier) shift && tiers=${1:-} ;;
        -h | --help) echo "$usage" && exit 0 ;;
        *) echo "test: unknown argument $1; $usage" >&2 && exit 2 ;;
    esac
    [ $# -eq 0 ] || shift
done
case $tiers in
    1 | 2 | "1 2") ;;
    *) echo "test: --tier takes 1 or 2; $usage" >&2 && exit 2 ;;
esac

budgets=([1]=720 [2]=1080) # seconds on 2 cores; 30 minutes together
jobs=$(nproc 2> /dev/null || getconf _NPROCESSORS_ONLN)
failed=()
tests_run=0 tests_failed=0 tests_skipped=0

# Assertions stay on in sanitized builds, and some optimisation, for time's sake.
checked=(-DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG="-O1 -g")
export ASAN_OPTIONS="detect_stack_use_after_return=1:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1:${TSAN_OPTIONS:-}"

# ThreadSanitizer cannot place its shadow where the kernel randomises addresses by more bits than it expects.
fixed_addresses=()
if setarch "$(uname -m)" -R true 2> /dev/null; then
    fixed_addresses=(setarch "$(uname -m)" -R)
fi

# build FOLDER TARGET [CMAKE FLAGS]: configures and builds; the log is shown only where that fails.
build() {
    local folder=$1 target=$2 log=$1/test-build.log
    shift 2
    mkdir -p "$folder"
    if cmake -S . -B "$folder" -DBUILD_TESTING=ON -DVITC_WERROR=ON -DVITC_CUDA=OFF "$@" > "$log" 2>&1 &&
        cmake --build "$folder" --target "$target" --parallel "$jobs" >> "$log" 2>&1; then
        return 0
    fi
    tail -n 60 "$log"
    return 1
}

# part NAME FOLDER TARGET "CTEST ARGUMENTS" [CMAKE FLAGS]
part() {
    local name=$1 folder=$2 target=$3 select=$4 begin=$SECONDS verdict=ok
    shift 4
    echo
    echo "== $name ($folder)"
    # shellcheck disable=SC2086 # the selection is several words
    if ! build "$folder" "$target" "$@"; then
        verdict="FAILED to build"
    elif ! "${fixed_addresses[@]}" ctest --test-dir "$folder" --output-on-failure --no-tests=error --parallel "$jobs" \
        $select | tee "$folder/test-run.log"; then
        verdict=FAILED
    fi
    if [ "$verdict" != "FAILED to build" ]; then
        count "$folder/test-run.log"
        awk '/ Testing: / { name = $3 } /^skipped/ { print name ": " $0 }' "$folder/Testing/Temporary/LastTest.log"
    fi
    [ "$verdict" = ok ] || failed+=("$name")
    echo "== $name: $verdict, $((SECONDS - begin)) s"
}

# count LOG: adds up ctest's summary line and its skipped tests.
count() {
    local lost=0 total=0 line='.*tests passed, \([0-9]*\) tests failed out of \([0-9]*\).*'
    read -r lost total < <(sed -n "s/$line/\1 \2/p" "$1") || true
    tests_run=$((tests_run + total))
    tests_failed=$((tests_failed + lost))
    tests_skipped=$((tests_skipped + $(grep -c '[*][*][*]Skipped' "$1" || true)))
}

tier_1() {
    part "unit tests" build all "-E ^(parity|fuzz)/"
    part "unit tests, address and undefined sanitizers" build/asan all "-E ^(parity|fuzz)/" \
        "${checked[@]}" -DVITC_SANITIZE=address,undefined
    part "without the fast bodies, as on an unknown processor" build/reference all "-R ^(ops|graph|train)/" \
        -DVITC_FAST_CPU=OFF -DVITC_SIMT=OFF
}

tier_2() {
    part "thread sanitizer" build/tsan all "-R pool|loader|exec|train" "${checked[@]}" -DVITC_SANITIZE=thread
    part "fuzzing" build/fuzz vitc_fuzz "-R ^fuzz/" "${checked[@]}" -DCMAKE_C_COMPILER=clang \
        -DVITC_SANITIZE=fuzzer-no-link,address,undefined -DVITC_FAST_CPU=OFF # parsers: no op runs
    part "parity with PyTorch" build all "-R ^parity/"
    cuda_part
}

# The CUDA backend as it is built for a card: warnings are errors, and no kernel may spill.
cuda_part() {
    local begin=$SECONDS verdict=ok log=build/cuda/test-build.log
    echo
    if ! command -v nvcc > /dev/null; then
        echo "== CUDA kernels: skipped: nvcc is missing"
        return 0
    fi
    echo "== CUDA kernels for sm_80 and sm_90a, compiled (build/cuda)"
    mkdir -p build/cuda
    if ! cmake -S . -B build/cuda -DBUILD_TESTING=OFF -DVITC_WERROR=ON -DVITC_CUDA=ON \
        "-DVITC_CUDA_ARCHITECTURES=80;90a" > "$log" 2>&1 ||
        ! cmake --build build/cuda --parallel "$jobs" >> "$log" 2>&1; then
        tail -n 60 "$log"
        verdict="FAILED to build"
    elif ! scripts/kernel-resources.sh > build/cuda/resources.log 2>&1; then
        tail -n 60 build/cuda/resources.log
        verdict=FAILED
    fi
    [ "$verdict" = ok ] || failed+=("CUDA kernels")
    echo "== CUDA kernels: $verdict, $((SECONDS - begin)) s"
}

scripts/setup.sh --tests
command -v nvcc > /dev/null || echo "test: nvcc is missing: the CUDA kernels run in the simulator alone"

summary=()
for tier in $tiers; do
    begin=$SECONDS
    "tier_$tier"
    spent=$((SECONDS - begin))
    over=""
    ((spent <= budgets[tier])) || over=", OVER ITS BUDGET"
    summary+=("tier $tier: $spent s of ${budgets[tier]} s$over")
done

echo
printf '%s\n' "${summary[@]}"
if [ ${#failed[@]} -gt 0 ]; then
    printf 'FAILED: %s\n' "${failed[@]}"
fi
echo "$((tests_run - tests_failed - tests_skipped)) passed, $tests_failed failed, $tests_skipped skipped"
[ ${#failed[@]} -eq 0 ]
