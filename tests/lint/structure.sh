#!/usr/bin/env bash
# Holds the structure: includes run one way, the length of files and lines, what may stand where. Prints each breach;
# exit 1 if any.
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
    [ -d "csrc/$folder" ] || continue
    while IFS=: read -r file included; do
        case " $folder ${may[$folder]} vitc " in *" $included "*) continue ;; esac
        case " $allowed_extra " in *" $file:$included "*) continue ;; esac
        breach "$file includes $included/, which $folder/ does not see"
    done < <(grep -ro '^#include "[a-z]*/' "csrc/$folder" --include='*.[ch]' | sed 's/#include "\(.*\)\//\1/' | sort -u)
done

while read -r lines file; do
    [ "$lines" -le 400 ] || [ "$file" = total ] || breach "$file has $lines lines, more than 400"
done < <(find csrc include tools tests kernels -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' | xargs wc -l)

export LC_ALL=C.UTF-8 # columns are characters
while read -r found; do
    place=$(cut -d: -f1,2 <<< "$found")
    text=${found#"$place:"}
    breach "$place has ${#text} columns, more than 120"
done < <(find CMakeLists.txt cmake csrc include kernels scripts tests tools -name CMakeLists.txt -o -name '*.[ch]' \
    -o -name '*.cu' -o -name '*.cuh' -o -name '*.cpp' -o -name '*.def' -o -name '*.py' -o -name '*.sh' \
    -o -name '*.cmake' | xargs grep -nH '^.\{121\}' || true)

while read -r line; do
    breach "only tools/ may exit or print to stdout: $line"
done < <(grep -rnE '\b(exit|abort|printf|puts)\(' csrc --include='*.[ch]' |
    grep -vE 'snprintf|fprintf|_printf|vt_' || true)

while read -r line; do
    breach "the heap is reached through base/alloc.h: $line"
done < <(grep -rnE '\b(malloc|calloc|realloc|aligned_alloc|strdup)\(' csrc tools --include='*.[ch]' |
    grep -vE 'csrc/base/alloc\.|vt_' || true)

while read -r line; do
    breach "a store is written through vt_store_write: $line"
done < <(grep -rn -e '->write(' csrc tools --include='*.[ch]' |
    grep -vE 'csrc/(graph/device|train/selftest|train/bench_time)\.c:' || true) # the latter two write workspaces

[ "$breaches" -eq 0 ] && echo "structure: ok"
[ "$breaches" -eq 0 ]
