#!/usr/bin/env bash
# What the compiler gives each kernel: registers, shared memory, spills, stack, for each kernels/*.cu and architecture.
# With --issue instead: what each issues for the bytes that it moves (kernel_issue.py).
# Exit 1 where anything is spilled or kept in local memory, ptxas serialises wgmma, or a file does not compile.
set -euo pipefail
cd "$(dirname "$0")/.."

usage="usage: scripts/kernel-resources.sh [--build DIR] [--issue] [--files \"kernels/A.cu …\"] [ARCH…]"
usage+="    (sm_80, sm_90a)"
build=build archs=() files=() issue=
for file in kernels/*.cu; do
    [ "$file" = kernels/attention_cudnn.cu ] || files+=("$file") # has no kernels of ours, wants cuDNN's headers
done
while [ $# -gt 0 ]; do
    case $1 in
        --build | --files)
            [ $# -gt 1 ] || { echo "kernel-resources: $1 wants a value; $usage" >&2 && exit 2; }
            if [ "$1" = --build ]; then build=$2; else read -ra files <<< "$2"; fi
            shift
            ;;
        --issue) issue=yes ;;
        -h | --help) echo "$usage" && exit 0 ;;
        sm_*) archs+=("$1") ;;
        *) echo "kernel-resources: unknown argument $1; $usage" >&2 && exit 2 ;;
    esac
    shift
done
[ ${#archs[@]} -gt 0 ] || archs=(sm_80 sm_90a)

if ! [ -e "${files[0]}" ]; then
    echo "kernel-resources: there is no ${files[0]}" >&2
    exit 2
fi
nvcc=$(command -v nvcc || true)
[ -n "$nvcc" ] || { [ -x /usr/local/cuda/bin/nvcc ] && nvcc=/usr/local/cuda/bin/nvcc; } || true
if [ -z "$nvcc" ]; then
    echo "kernel-resources: skipped, nvcc is not installed"
    exit 0
fi

nvdisasm=$(command -v nvdisasm || true)
[ -n "$nvdisasm" ] || nvdisasm=$(dirname "$nvcc")/nvdisasm
if [ -n "$issue" ] && ! [ -x "$nvdisasm" ]; then
    echo "kernel-resources: --issue wants nvdisasm, which is neither on PATH nor beside $nvcc" >&2
    exit 2
fi

# One log a file and architecture, named by the hash of all that it depends on.
cache=$build/kernel-resources
mkdir -p "$cache"
common=$({ "$nvcc" --version && cat scripts/kernel-resources.sh kernels/*.cuh csrc/*/*.h csrc/*/*.def; } | sha256sum)

# compile FILE ARCH LOG: the log is kept where it compiles; LOG.failed holds the errors where it does not.
compile() {
    local file=$1 arch=$2 log=$3
    if [ -e "$log" ] && { [ -z "$issue" ] || [ -e "$log.cubin" ]; }; then return 0; fi
    if "$nvcc" -std=c++17 -O3 -Icsrc -Iinclude -Ikernels -arch="$arch" -cubin -o "$log.cubin" -Xptxas -v \
        --Werror all-warnings "$file" > "$log.part" 2>&1; then
        mv "$log.part" "$log"
    else
        mv "$log.part" "$log.failed"
    fi
    [ -n "$issue" ] || rm -f "$log.cubin"
}
export -f compile
export nvcc issue

jobs=()
for file in "${files[@]}"; do
    for arch in "${archs[@]}"; do
        hash=$({ echo "$common $arch" && cat "$file"; } | sha256sum)
        jobs+=("$file" "$arch" "$cache/$(basename "$file" .cu)-$arch-${hash:0:16}.log")
    done
done
rm -f "$cache"/*.failed
printf '%s\0' "${jobs[@]}" | xargs -0 -n 3 -P "$(nproc)" bash -c 'compile "$@"' compile

# One line a kernel: file, architecture, name, registers, static shared memory, stack, spill stores, spill loads.
rows() {
    local log=$3
    [ -e "$log" ] || return 0
    c++filt < "$log" | awk -v file="$(basename "$1")" -v arch="$2" '
        function short(name) {       # "void f<bf16, 8>(float const*)" -> "f<bf16, 8>"
            sub(/^void /, "", name)
            if (match(name, /\(/)) name = substr(name, 1, RSTART - 1)
            gsub(/\(anonymous namespace\)::/, "", name)
            return name
        }
        /Compiling entry function/ {
            name = $0
            sub(/^[^\x27]*\x27/, "", name)
            sub(/\x27 for \x27.*/, "", name)
            entry = short(name)
            stack = store = load = 0
        }
        /bytes stack frame/ && entry != "" { stack = $1; store = $5; load = $9 }
        /Used [0-9]+ registers/ && entry != "" {
            registers = smem = 0
            for (i = 1; i < NF; i++) {
                if ($i == "Used") registers = $(i + 1)
                if ($(i + 1) == "bytes" && $(i + 2) ~ /^smem/) smem = $i
            }
            printf "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\n", file, arch, entry, registers, smem, stack, store, load
            entry = ""
        }'
}

bad=0 table="" cubins=()
for ((i = 0; i < ${#jobs[@]}; i += 3)); do
    table+=$(rows "${jobs[@]:i:3}")$'\n'
    log=${jobs[i + 2]}
    if [ ! -e "$log" ]; then
        echo "kernel-resources: ${jobs[i]} does not compile for ${jobs[i + 1]}:" >&2
        head -n 20 "$log.failed" >&2
        bad=$((bad + 1))
    elif grep 'wgmma.*serialized' "$log" >&2; then
        echo "kernel-resources: ${jobs[i]}, ${jobs[i + 1]}: wgmma is serialised" >&2
        bad=$((bad + 1))
    fi
    if [ -e "$log.cubin" ]; then cubins+=("$log.cubin"); fi
done

if [ -n "$issue" ]; then
    [ ${#cubins[@]} -eq 0 ] || python3 scripts/kernel_issue.py --nvdisasm "$nvdisasm" "${cubins[@]}"
    [ "$bad" -eq 0 ]
    exit
fi
printf '%-22s %-7s %-58s %9s %6s %6s %13s\n' file arch kernel registers smem stack "spills st/ld"
sort -u <<< "$table" | awk -F'\t' '
    NF { printf "%-22s %-7s %-58s %9d %6d %6d %13s\n", $1, $2, $3, $4, $5, $6, $7 "/" $8; kernels++
         if ($6 + $7 + $8 > 0) spilled++ }
    END { printf "%d kernels, %d with spills or a stack frame; shared memory: static alone\n", kernels, spilled
          exit spilled > 0 }' || bad=$((bad + 1))
[ "$bad" -eq 0 ]
