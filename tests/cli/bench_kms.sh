#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# bench/run-kms works from end to end: every load by every way, the crowds, the table and the JSON.
# Speed is not looked at, so it passes on a loaded machine and under a sanitizer.
set -euo pipefail

for tool in python3 jq openssl; do
    command -v "$tool" >/dev/null || { echo "$tool is not here: skipped"; exit 77; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bench=$COFFER_SOURCE_DIR/bench/run-kms

"$bench" --quick --no-build --build "$COFFER_BINARY_DIR" --directory "$work" \
    --output "$work/result.json" >"$work/table"

jq -e '.runs | length == 18 and all(.done > 0 and .failed == 0 and .syncs_a_second > 0)' \
    "$work/result.json" >/dev/null || { echo "a load without answers"; exit 1; }
jq -e '.memory | map(.connections) == [0, 50, 100, 0, 50, 100] and all(.server_kib > 0)' \
    "$work/result.json" >/dev/null || { echo "no memory figures"; exit 1; }
jq -e '.commit != "" and .date != "" and (.machine | length > 0)' "$work/result.json" >/dev/null ||
    { echo "the result does not say where and of what it is"; exit 1; }
"$bench" --show "$work/result.json" | cmp - "$work/table" ||
    { echo "the table of the JSON is another one"; exit 1; }
[ "$(grep -c '^| Decrypt' "$work/table")" -eq 6 ] || { echo "the table has no such rows"; exit 1; }
