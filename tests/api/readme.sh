#!/usr/bin/env bash
# The README's C program, compiled against an installed vitc by pkg-config and by find_package, and run.
# usage: readme.sh BUILD_FOLDER
set -euo pipefail
build=$1
here=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" > "$work/install.log" || { cat "$work/install.log" && exit 1; }
awk '/^```c$/ { inside = 1; next } /^```$/ { inside = 0 } inside' "$here/README.md" > "$work/example.c"
[ "$(wc -l < "$work/example.c")" -gt 20 ] || { echo "README.md has no C program" && exit 1; }

export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name vitc.pc)")
cd "$work"
if command -v pkg-config > /dev/null; then
    # shellcheck disable=SC2046 # the flags are several words
    cc -std=c11 -Wall -Wextra -Werror example.c $(pkg-config --cflags --libs vitc) ${LINK_FLAGS:-} -o example
    ./example
else
    echo "pkg-config is missing: tried with find_package alone"
fi

mkdir package && cp example.c package
cat > package/CMakeLists.txt << 'END'
cmake_minimum_required(VERSION 3.22)
project(example C)
find_package(vitc REQUIRED)
add_executable(example example.c)
target_link_libraries(example PRIVATE vitc::vitc)
END
cmake -S package -B package/build -DCMAKE_PREFIX_PATH="$work/prefix" \
    -DCMAKE_EXE_LINKER_FLAGS="${LINK_FLAGS:-}" > cmake.log 2>&1 &&
    cmake --build package/build >> cmake.log 2>&1 || { cat cmake.log && exit 1; }
package/build/example | grep "of 16 right"
"$work/prefix/bin/vitc" models | grep -qx deit_micro
