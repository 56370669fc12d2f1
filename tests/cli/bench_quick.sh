#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# bench/run works from end to end: every row and part but `snapshots` (bench_snapshots.sh), the
# tables, the JSON, the plots; what is not installed is left out with a sentence. Speed is not
# looked at, so it passes on a loaded machine and under a sanitizer.
set -euo pipefail

for tool in fio python3 jq; do
    command -v "$tool" >/dev/null || { echo "$tool is not here: skipped"; exit 77; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bench=$COFFER_SOURCE_DIR/bench/run
result=$work/result.json

holds() { # sentence, filter
    jq -e "$2" "$result" >/dev/null || { jq . "$result" | tail -60; echo "not so: $1"; exit 1; }
}

"$bench" --quick --only disk,ram,nbd,memory,recovery,steady,scaling,sqlite \
    --build "$COFFER_BINARY_DIR" --dir "$work" --output "$result" >"$work/table" 2>"$work/told" ||
    { cat "$work/told"; exit 1; }

holds 'the disk has all its rows' '.groups.disk.rows | length >= 12'
holds 'memory and NBD have theirs, or a why' '.groups.ram, .groups.nbd |
    (.rows // [] | length >= 2) or (.absent | type == "string" and length > 10)'
holds 'both ciphers ran' '.groups.disk.rows[0].contenders |
    (.["coffer-evp"].rounds | all(.bench_volume.cipher_backend == "evp")) and
    (.coffer.rounds | all(.bench_volume.cipher_backend | IN("evp", "ipsec-mb")))'
holds 'every rate is there, of raw, Coffer and a plain volume' '[.groups.disk.rows[] |
    select(.name | IN("seq-write", "rand-read", "mix", "sync-write")) | .contenders |
    .raw.rate, .coffer.rate, .plain.rate] | length == 12 and all(. > 0)'
holds 'each peer ran, or it is told why not' '.groups.disk | .contenders + .absent |
    has("qemu-luks") and has("nbdkit-luks") and has("gocryptfs")'
holds 'percentiles rise' '[.groups.disk.rows[].contenders[] | select(.p50_us != null)] |
    length > 12 and all(.p50_us <= .p99_us and .p99_us <= .p999_us and .p50_us > 0)'
holds 'memory was measured' '.memory | length == 2 and
    all(.memory_bytes_max > 0 and .read_iops > 0)'
# What was written before the kill must have been replayed by the next open, not checkpointed.
holds 'a log was replayed' '.recovery | length == 3 and
    all(.[].rounds[]; .log_bytes >= .written_bytes)'
holds 'a steady state was reached' '.steady |
    (.writes | length > 0 and all(.coffer.iops > 0 and .raw.iops > 0)) and
    (.reads | all(.cleaning.p99_us > 0 and .roomy.cleaned_segments == 0))'
holds 'the curves have their points' '.scaling.curves |
    ([.depth.series[] | length] | length == 4 and all(. == 2)) and (.size.series | length >= 2)'
holds 'every goal is judged, or it is told why not' '.goals | length >= 20 and
    all(.meets != null or .why != "")'

for word in 'sequential write' 'random read' 'write + flush' 'memory' 'kill -9' 'steady state' \
    'requests in flight' '==== goals' 'of raw'; do
    grep -q -e "$word" "$work/table" || { echo "the table lacks '$word'"; exit 1; }
done
if command -v gnuplot >/dev/null; then
    [ "$(file -b --mime-type "$work"/*.png | sort -u)" = image/png ] || { echo "no plots"; exit 1; }
else
    grep -q 'no plots: apt-get install' "$work/told" || { echo "no word of gnuplot"; exit 1; }
fi
[ -z "$(find "$work" -name 'coffer-bench-*')" ] || { echo "files were left behind"; exit 1; }

# The check of a result finds what is missing, and nothing else.
"$bench" --check "$result" >/dev/null
refuses() { # words of the sentence, filter
    jq "$2" "$result" >"$work/broken.json"
    if "$bench" --check "$work/broken.json" >"$work/said"; then
        echo "passed for whole: $2"
        exit 1
    fi
    grep -q -e "$1" "$work/said" || { echo "said of $2:"; cat "$work/said"; exit 1; }
}
refuses 'the row mix is missing' 'del(.groups.disk.rows[] | select(.name == "mix"))'
refuses 'p999_us is missing' 'del(.groups.disk.rows[0].contenders.coffer.p999_us)'
refuses 'has no rate' '.groups.disk.rows[0].contenders.coffer.rate = 0'
refuses 'has no coffer' 'del(.groups.disk.rows[0].contenders.coffer)'
refuses 'recovery: neither' 'del(.recovery)'
refuses 'absent without a why' '.groups.disk.absent.other = ""'
refuses 'the goal steady is missing' 'del(.goals[] | select(.name == "steady"))'
refuses 'rate is a str' '.groups.disk.rows[0].contenders.coffer.rate = "fast"'

status=0
"$bench" --quick --only no-such-row --build "$COFFER_BINARY_DIR" --dir "$work" 2>/dev/null ||
    status=$?
[ "$status" -eq 1 ] || { echo "an unknown row gave $status"; exit 1; }
status=0
"$bench" --quick --only ram-read --build "$COFFER_BINARY_DIR" --dir "$work" --ram-dir "$work/none" \
    --json --output "$work/none.json" >/dev/null || status=$?
jq -e '.groups.ram.absent | test("is not there")' "$work/none.json" >/dev/null ||
    { echo "no word of a tmpfs that is not there ($status)"; exit 1; }
# An older result is shown as well.
"$bench" --show "$COFFER_SOURCE_DIR/bench/results/2026-11-22-544c8aca5a.json" >"$work/old"
grep -q '1 MiB sequential write, depth 8 .* 0\.' "$work/old" || { echo "no older result"; exit 1; }
echo "bench/run: $(jq '[.groups[].rows // [] | length] | add' "$result") rows and all parts ran"
