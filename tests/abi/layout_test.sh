#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# layout_test.sh PROGRAM: sizes and offsets of the public structs, and the errors with their frozen
# numbers, equal layout.txt. On a change that is meant: PROGRAM > tests/abi/layout.txt.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

if [[ $(uname -m) != x86_64 ]]; then
    echo "layout.txt is of x86_64"
    exit 77
fi
if ! diff -u "$here/layout.txt" <("$1"); then
    echo "FAILED: the layout differs from tests/abi/layout.txt (- committed, + built)"
    exit 1
fi
# The control: another size of the first struct must be noticed.
if diff -q "$here/layout.txt" <("$1" | sed '1s/[0-9]*$/1/') > /dev/null; then
    echo "FAILED: a planted difference was not noticed"
    exit 1
fi
echo "layout_test: $(wc -l < "$here/layout.txt") lines, 1 control, 0 differences"
