#!/usr/bin/env bash
# Installs what vitc needs to build and to run its quick-start; --tests adds what its tests need. Debian 12 and its
# kin through apt; elsewhere it says what is missing. Silent where nothing is. Never installs CUDA.
set -euo pipefail

usage="usage: scripts/setup.sh [--tests]"
packages=(build-essential cmake pkg-config zlib1g-dev libpng-dev libjpeg-dev dataset-fashion-mnist)
for arg in "$@"; do
    case $arg in
        # PyTorch is the reference of the numerical checks and alone would come with the reference BLAS, a tenth as
        # fast; clang brings the fuzzer.
        --tests) packages+=(python3 python3-numpy python3-torch libopenblas0-pthread clang libclang-rt-dev) ;;
        -h | --help) echo "$usage" && exit 0 ;;
        *) echo "setup: unknown argument $arg; $usage" >&2 && exit 2 ;;
    esac
done

# What a system without apt must bring: commands, headers, and the quick-start's images.
check_by_hand() {
    local missing=() images=/usr/share/datasets/fashion-mnist tool header
    for tool in cc make cmake pkg-config; do
        command -v "$tool" > /dev/null || missing+=("$tool")
    done
    for header in zlib.h png.h jpeglib.h; do
        printf '#include <stdio.h>\n#include <%s>\n' "$header" | cc -E -x c - > /dev/null 2>&1 || missing+=("$header")
    done
    [ -d "$images" ] || missing+=("Fashion-MNIST's four .gz files in $images")
    if [ ${#missing[@]} -eq 0 ]; then
        return 0
    fi
    {
        echo "setup: there is no apt-get here, and these are missing:"
        printf '  %s\n' "${missing[@]}"
        echo "Debian's packages are: ${packages[*]}"
        echo "Fedora's: gcc make cmake pkgconf-pkg-config zlib-devel libpng-devel libjpeg-turbo-devel"
        echo "Arch's: base-devel cmake zlib libpng libjpeg-turbo"
    } >&2
    return 1
}

if ! command -v apt-get > /dev/null || ! command -v dpkg-query > /dev/null; then
    check_by_hand
    exit
fi

status=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2> /dev/null || true)
missing=()
for package in "${packages[@]}"; do
    grep -qx "installed $package" <<< "$status" || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo > /dev/null; then
        echo "setup: not root, and no sudo: have an administrator run: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi
echo "setup: installing with ${as_root[*]:+sudo }apt-get, which takes some minutes: ${missing[*]}"

log=$(mktemp "${TMPDIR:-/tmp}/vitc-setup.XXXXXX")
trap 'rm -f "$log"' EXIT
apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300 "$@" < /dev/null \
        >> "$log" 2>&1
}
# Package lists that are absent or out of date show as an install that fails.
if ! apt install --no-install-recommends "${missing[@]}"; then
    : > "$log"
    if ! { apt update && apt install --no-install-recommends "${missing[@]}"; }; then
        tail -n 30 "$log" >&2
        echo "setup: apt-get failed, see above; needed are: ${missing[*]}" >&2
        exit 1
    fi
fi
