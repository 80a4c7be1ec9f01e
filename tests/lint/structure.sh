#!/usr/bin/env bash
# Holds the structure: includes run one way, the length of files, what may stand where. Prints each breach; exit 1 if any.
set -euo pipefail
cd "$(dirname "$0")/../.."
breaches=0
breach() {
    echo "$1"
    breaches=$((breaches + 1))
}

# folder: what its files may include, beside themselves and the public headers
declare -A may=(
    [base]="" [graph]="base" [ops]="base graph" [nn]="base graph ops" [models]="base graph ops nn"
    [cpu]="base graph ops" [data]="base" [dist]="base" [train]="base graph ops nn models data dist"
    [export]="base graph ops nn models"
)
# csrc/train/selftest.c and the benchmarks of kernels look below the executor.
allowed_extra="csrc/train/bench_kernels.c:cpu csrc/train/bench_step.c:cpu csrc/train/bench_sgemm.c:cpu"
for folder in "${!may[@]}"; do
    for file in csrc/"$folder"/*.[ch] csrc/"$folder"/*/*.[ch]; do
        [ -e "$file" ] || continue
        while read -r included; do
            case " $folder ${may[$folder]} vitc " in *" $included "*) continue ;; esac
            case " $allowed_extra " in *" $file:$included "*) continue ;; esac
            breach "$file includes $included/, which $folder/ does not see"
        done < <(sed -n 's/^#include "\([a-z]*\)\/.*/\1/p' "$file" | sort -u)
    done
done

while read -r file; do
    lines=$(wc -l < "$file")
    [ "$lines" -le 400 ] || breach "$file has $lines lines, more than 400"
done < <(find csrc include tools tests kernels -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh')

while read -r line; do
    breach "only tools/ may exit or print to stdout: $line"
done < <(grep -rnE '\b(exit|abort|printf|puts)\(' csrc --include='*.[ch]' | grep -vE 'snprintf|fprintf|_printf|vt_' || true)

while read -r line; do
    breach "the heap is reached through base/alloc.h: $line"
done < <(grep -rnE '\b(malloc|calloc|realloc|aligned_alloc|strdup)\(' csrc tools --include='*.[ch]' |
    grep -vE 'csrc/base/alloc\.|vt_' || true)

[ "$breaches" -eq 0 ] && echo "structure: ok"
[ "$breaches" -eq 0 ]
