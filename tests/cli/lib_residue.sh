# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# lib_residue.sh - residue.py as the tests call it: what it must find nothing with, and what it must
# find, so that nothing means something.
residue=$(cd "$(dirname "$0")" && pwd)/residue.py
. "$(dirname "$0")/lib.sh"

# clean ARGUMENT...: nothing is found. Exits with 77 where no memory can be read.
clean() {
    local status=0
    python3 "$residue" "$@" >report 2>&1 || status=$?
    if [ "$status" -eq 77 ]; then
        echo "the memory of a process can't be read here"
        exit 77
    fi
    checks=$((checks + 1))
    [ "$status" -eq 0 ] || die "$(cat report)"
}

# planted REGEX ARGUMENT...: the negative control; a line that matches is found.
planted() {
    local regex=$1
    shift
    if python3 "$residue" "$@" >report 2>&1 || ! grep -Eq -- "$regex" report; then
        die "what was planted was not found: $(cat report)"
    fi
    checks=$((checks + 1))
}
