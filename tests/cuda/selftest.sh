#!/usr/bin/env bash
# vitc selftest on the device. Exit 77 with vitc's reason where no CUDA device answers.
#     tests/cuda/selftest.sh VITC ARGUMENTS…
set -uo pipefail
vitc=$1
shift
"$vitc" selftest --device cuda "$@"
rc=$?
if [ $rc -eq 2 ]; then # its message says why
    echo "skipped: no CUDA device"
    exit 77
fi
exit $rc
