#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# bench/run --only snapshots works from end to end: every call, the copies, both tables, the JSON.
# Speed is not looked at, so it passes on a loaded machine and under a sanitizer.
set -euo pipefail

for tool in fio python3 jq; do
    command -v "$tool" >/dev/null || { echo "$tool is not here: skipped"; exit 77; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bench=$COFFER_SOURCE_DIR/bench/run
program=$COFFER_BINARY_DIR/bin/bench_snapshot
result=$work/result.json

holds() { # sentence, filter
    jq -e "$2" "$result" >/dev/null || { echo "not so: $1"; jq .snapshots "$result"; exit 1; }
}

"$bench" --quick --only snapshots --build "$COFFER_BINARY_DIR" --dir "$work" --output "$result" \
    >"$work/table"

holds 'every call was measured' '[.snapshots | .create, .delete, .rekey | .rows | length]
    == [8, 6, 4]'
holds 'every time is positive and in order' '[.snapshots | .create, .delete, .rekey | .rows[]] |
    all(.count == 3 and .own_p50_ns > 0 and .p50_ns <= .p99_ns and .p99_ns <= .max_ns)'
holds 'raw was measured before and after' '[.snapshots | .create, .delete, .rekey | .sync] |
    all(length == 2 and all(.p50_ns > 0))'
# No checkpoint came between the writes and the snapshot, or it would have had nothing to merge.
holds 'what was dirty was in the log' '[.snapshots.create.rows[] | select(.name == "snapshot")] |
    all(.log_bytes >= .dirty_bytes and (.dirty_bytes > 0 or .log_bytes == 0))'
holds 'pages changed where they should' '[.snapshots.delete.rows[]] |
    all((.percent == 0) == (.pages == 0))'
holds 'the key service was called by what needs it' '[.snapshots.rekey.rows[]] |
    all(.key_calls > 0 and .p50_ns > .own_p50_ns)'
holds 'a full copy sends all, an incremental one less' '[.snapshots.copy.rounds[].coffer] | all(
    .full.sent_bytes >= .full.size_bytes and
    .incremental.sent_bytes >= 4096 * .incremental.pages and
    .incremental.sent_bytes < .full.size_bytes / 2)'
holds 'all copies ran, but for what is not installed' '.snapshots.copy.contenders |
    (.raw, .coffer, .cp).rate > 0 and has("qemu-img")'
if command -v qemu-img >/dev/null; then
    holds 'qemu-img ran' '.snapshots.copy.contenders["qemu-img"].rate > 0'
fi

for word in 'snapshot, quiet' 'clone, 20 present' 'delete, 10 %' 'depth volume' 'copy of 64 MiB' \
    'incremental' 'fdatasync'; do
    grep -q -e "$word" "$work/table" || { echo "the table lacks '$word'"; exit 1; }
done
"$bench" --show "$result" --markdown >"$work/markdown"
grep -q '^| clone, 1 present | .* ms |' "$work/markdown" || { echo "no markdown row"; exit 1; }
# Without qemu-img the table says so and is printed all the same.
jq '.snapshots.copy.contenders["qemu-img"] = null' "$result" >"$work/without.json"
"$bench" --show "$work/without.json" >"$work/table"
grep -q 'qemu-img *not installed' "$work/table" ||
    { echo "a missing program is not told"; exit 1; }
[ -z "$(find "$work" -name 'coffer-bench-*')" ] || { echo "files were left behind"; exit 1; }

for words in '--what copy' '--what fly' '--what create --present 2,1' \
    '--what delete --changed 101' '--what create --size 5K'; do
    status=0
    # shellcheck disable=SC2086 # the words are meant to be split
    "$program" --file "$work/none" --keys "$work/keys" $words 2>"$work/error" || status=$?
    if [ "$status" -ne 2 ] || [ ! -s "$work/error" ]; then
        echo "'$words' gave $status"
        exit 1
    fi
done
[ ! -e "$work/none" ] || { echo "a refused run made a store"; exit 1; }
echo "bench/run --only snapshots: all calls and copies ran"
