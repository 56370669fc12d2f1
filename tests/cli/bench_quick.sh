#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# bench/run works from end to end: every row, memory, recovery, steady state, the table and the
# JSON. Speed is not looked at, so it passes on a loaded machine and under a sanitizer.
set -euo pipefail

for tool in fio python3 jq; do
    command -v "$tool" >/dev/null || { echo "$tool is not here: skipped"; exit 77; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bench=$COFFER_SOURCE_DIR/bench/run

"$bench" --quick --plain --build "$COFFER_BINARY_DIR" --dir "$work" --output "$work/result.json" \
    >"$work/table"

rows=$(jq '.rows | length' "$work/result.json")
[ "$rows" -ge 9 ] || { echo "only $rows rows"; exit 1; }
jq -e '[.rows[].contenders | .raw.rate, .coffer.rate, .plain.rate] | all(. > 0)' \
    "$work/result.json" >/dev/null || { echo "a row without a rate"; exit 1; }
jq -e '.memory | length == 2 and all(.memory_bytes_max > 0 and .read_iops > 0)' \
    "$work/result.json" >/dev/null || { echo "no memory figures"; exit 1; }
# What was written before the kill must have been replayed by the next open, not checkpointed.
jq -e '.recovery | length == 3 and all(.[].rounds[]; .log_bytes >= .written_bytes)' \
    "$work/result.json" >/dev/null || { echo "no log was replayed"; exit 1; }
jq -e '.steady | (.writes | length > 0 and all(.coffer.iops > 0 and .raw.iops > 0)) and
    (.reads | all(.cleaning.p99_us > 0 and .roomy.cleaned_segments == 0))' \
    "$work/result.json" >/dev/null || { echo "no steady state"; exit 1; }
for word in 'sequential write' 'random read' 'write + flush' 'memory' 'kill -9' 'steady state'; do
    grep -q -e "$word" "$work/table" || { echo "the table lacks '$word'"; exit 1; }
done
[ -z "$(find "$work" -name 'coffer-bench-*')" ] || { echo "files were left behind"; exit 1; }

status=0
"$bench" --quick --only no-such-row --build "$COFFER_BINARY_DIR" --dir "$work" 2>/dev/null ||
    status=$?
[ "$status" -eq 1 ] || { echo "an unknown row gave $status"; exit 1; }
echo "bench/run: $rows rows, memory, recovery and steady state ran"
