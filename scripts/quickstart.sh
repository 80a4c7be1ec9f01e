#!/usr/bin/env bash
# From a fresh clone to a trained Vision Transformer: installs what is missing, builds, trains deit_micro on
# Fashion-MNIST with the CPU, evaluates it, and draws what it predicts. Leaves everything in output/quickstart.
set -euo pipefail
export LC_ALL=C # decimal points
cd "$(dirname "$0")/.."

epochs=5
usage="usage: scripts/quickstart.sh [--epochs N]    ($epochs by default; more train longer and reach more)"
while [ $# -gt 0 ]; do
    case $1 in
        --epochs=*) epochs=${1#*=} ;;
        --epochs) shift && epochs=${1:-} ;;
        -h | --help) echo "$usage" && exit 0 ;;
        *) echo "quickstart: unknown argument $1; $usage" >&2 && exit 2 ;;
    esac
    [ $# -eq 0 ] || shift
done
if ! [[ $epochs =~ ^[1-9][0-9]{0,3}$ ]]; then
    echo "quickstart: --epochs takes a whole number from 1 to 9999; $usage" >&2
    exit 2
fi

data=/usr/share/datasets/fashion-mnist
run=output/quickstart

scripts/setup.sh

build() {
    local log=build/quickstart-build.log
    mkdir -p build
    echo "quickstart: building (log: $log)"
    # Without the CUDA backend, whose kernels take minutes to compile: this run is the CPU's.
    if ! { cmake -S . -B build -DVITC_CUDA=OFF &&
        cmake --build build --target vitc --parallel "$(nproc)"; } > "$log" 2>&1; then
        tail -n 40 "$log" >&2
        echo "quickstart: the build failed, see above and $log" >&2
        exit 1
    fi
}

train() {
    echo "quickstart: training deit_micro for $epochs epochs on Fashion-MNIST"
    build/vitc train --model deit_micro --data-path "$data" --output_dir "$run" --overwrite --device cpu --in-chans 1 \
        --epochs "$epochs" --batch-size 128 --lr 2e-3 --unscale-lr --scale 1 1 --ratio 1 1
    # Ctrl-C ends training in good order, with status 0.
    if [ "$(grep -c '"train_seconds"' "$run/log.txt")" -ne "$epochs" ]; then
        echo "quickstart: training ended before $epochs epochs" >&2
        exit 1
    fi
}

# A grid of test images, each with its predicted and true class.
draw() {
    build/vitc predict --checkpoint "$run/last.safetensors" --data-path "$data" --device cpu --count 40 \
        --grid "$run/predictions.png" > /dev/null
    echo "quickstart: predictions on test images are in $run/predictions.png"
}

build
train
evaluation=$(build/vitc eval --checkpoint "$run/last.safetensors" --data-path "$data" --device cpu)
echo "$evaluation"
draw

top1=$(sed -n 's/.*Acc@1 \([0-9.]*\).*/\1/p' <<< "$evaluation" | tail -n 1)
seconds=$(sed -n 's/.*"train_seconds": *\([0-9.eE+-]*\).*/\1/p' "$run/log.txt" | awk '{ s += $1 } END { print s + 0 }')
if [ -z "$top1" ]; then
    echo "quickstart: vitc eval printed no accuracy" >&2
    exit 1
fi
printf 'quickstart: top-1 %.2f %% after %d epochs in %.0f s\n' "$top1" "$epochs" "$seconds"
