#!/usr/bin/env bash
# Holds tests/simt/include to the CUDA that is installed, if one is: every constant has the real value, every prototype
# the real types, every opaque struct the real size. Exit 77: no CUDA here.
#     tests/simt/headers.sh [folder of cuda_runtime.h]
set -euo pipefail
cd "$(dirname "$0")"
cuda=${1:-${CUDA_HOME:-/usr/local/cuda}/include}
[ -e "$cuda/cublasLt.h" ] || { echo "skipped: no CUDA headers in $cuda"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ours="include/cuda_runtime.h include/cublasLt.h"

{
    echo '#include <stdio.h>'
    echo '#include <cuda_runtime.h>'
    echo '#include <cublasLt.h>'
    echo 'int main(void) {'
    grep -ohE '\b(cuda|CUDA_|CUBLAS|CUBLASLT_)[A-Za-z0-9_]+ = ' $ours | sed 's/ = //' | sort -u |
        sed 's/.*/printf("& %lld\\n", (long long)&);/'
    grep -ohE '^#define cuda[A-Za-z]+ 0x[0-9]+' $ours | awk '{print "printf(\"" $2 " %d\\n\", " $2 ");"}'
    grep -ohE 'cublasLt[A-Za-z]+(Opaque|Algo)_t;' $ours | tr -d ';' | sort -u |
        sed 's/.*/printf("sizeof & %zu\\n", sizeof(&));/'
    echo 'printf("result %zu\n", sizeof(cublasLtMatmulHeuristicResult_t)); return 0; }'
} > "$work/values.c"
for which in real fake; do
    [ $which = real ] && from=$cuda || from=include
    gcc -w -I"$from" "$work/values.c" -o "$work/$which"
    "$work/$which" > "$work/$which.txt"
done
diff "$work/real.txt" "$work/fake.txt" > "$work/diff" || { echo "values: real <, fake >"; cat "$work/diff"; exit 1; }

# Prototypes declared again behind the real ones: C refuses other types.
{
    printf '#include <cuda_runtime.h>\n#include <cublasLt.h>\n'
    for header in $ours; do # unindented ones, up to their semicolons; C has no default arguments
        awk '/^(cudaError_t|cublasStatus_t|size_t|const char [*]) ?cu[A-Za-z]*[(]/ {on = 1}
             on {print} /;/ {on = 0}' "$header" |
            sed 's/ = nullptr//; s/ = 0//; s,/\*.*\*/,,'
    done
} > "$work/prototypes.c"
gcc -w -fsyntax-only -I"$cuda" "$work/prototypes.c"
echo "$(wc -l < "$work/real.txt") constants and sizes, $(grep -c ';' "$work/prototypes.c") prototypes agree with $cuda"
