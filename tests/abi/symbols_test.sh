#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# symbols_test.sh LIBCOFFER LIBCOFFERKMS LIBCOFFERSQLITE: what the shared libraries export equals
# symbols.txt, and equals what the installed headers declare. A change of the list is a change of
# the interface:
# `symbols_test.sh --print LIBCOFFER LIBCOFFERKMS LIBCOFFERSQLITE` writes the new one.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)

exported() {
    local library
    for library in "$@"; do
        nm -D --defined-only "$library" | awk '$2 != "A" { sub("@@", " ", $3); print $3 }'
    done | sort
}

if [[ ${1:-} == --print ]]; then
    shift
    exported "$@"
    exit 0
fi

bad=0
if ! diff -u "$here/symbols.txt" <(exported "$@"); then
    echo "FAILED: exported names differ from tests/abi/symbols.txt (- committed, + built)"
    bad=1
fi
declared() {
    sed -E 's,/\*.*\*/,,' "$top"/engine/include/coffer/*.h "$top"/kms/include/coffer/*.h \
        "$top"/tools/sqlite/include/coffer/*.h \
        | awk '/\/\*/ { comment = 1 } !comment { print } /\*\// { comment = 0 }' \
        | grep -v '^#' | grep -oE '(^|[ *])coffer_[a-z0-9_]+\(' | tr -d ' *(' | sort -u
}
if ! diff -u <(declared) <(exported "$@" | cut -d' ' -f1); then
    echo "FAILED: declared in the headers (-) against exported (+)"
    bad=1
fi

# The control: a library with one more name must differ.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
echo 'int coffer_planted(void); int coffer_planted(void) { return 0; }' > "$scratch/planted.c"
"${CC:-cc}" -shared -fPIC "$scratch/planted.c" -o "$scratch/planted.so"
if diff -q "$here/symbols.txt" <(exported "$@" "$scratch/planted.so") > /dev/null; then
    echo "FAILED: a planted name was not noticed"
    bad=1
fi
echo "symbols_test: $(wc -l < "$here/symbols.txt") names, 1 control, $bad differences"
exit "$bad"
