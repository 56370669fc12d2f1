#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The benchmarks of space work from end to end: the engine beside the cleaner's simulator, and the
# simulated hours; table, JSON and plot. Figures of tiny stores are not looked at.
set -euo pipefail

for tool in python3 jq; do
    command -v "$tool" >/dev/null || { echo "$tool is not here: skipped"; exit 77; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sim=$COFFER_SOURCE_DIR/bench/run-cleaner-sim
hours=$COFFER_SOURCE_DIR/bench/run-hours

"$sim" --engine --quick --build "$COFFER_BINARY_DIR" --output "$work/cleaner" >"$work/table"
jq -e '.runs | length == 6 and all(.engine.wa_cleaner >= 1 and .simulator.wa_cleaner >= 1)' \
    "$work/cleaner.json" >/dev/null || { echo "a row without figures"; exit 1; }
# Pages that are moved are counted, or all would be 1.
jq -e '[.runs[] | select(.load == "uniform" and .kind == "")] | all(.engine.wa_cleaner > 1.2)' \
    "$work/cleaner.json" >/dev/null || { echo "nothing was cleaned"; exit 1; }
grep -q 'within 10 %' "$work/table" || { echo "the table has no verdict"; exit 1; }
diff "$work/table" "$work/cleaner.txt" || { echo "table and file differ"; exit 1; }
"$sim" --show "$work/cleaner.json" | diff "$work/table" - || { echo "--show differs"; exit 1; }

# Scattered overwriting close to what may live at all, behind a first filling of long runs: where
# the cleaner goes round without gain, a write is refused.
for batch in 31 120; do
    "$COFFER_BINARY_DIR/bin/bench_amplify" --segments 512 --segment 1M --fill 89 --heads 1 \
        --pinned 0 --batch "$batch" --seed 2 --warm 60 --measure 30 >"$work/close" ||
        { echo "a store that is 89 % full stopped taking overwrites"; exit 1; }
    jq -e '.wa_cleaner < 16' "$work/close" >/dev/null ||
        { echo "it takes them, but moves too much:"; cat "$work/close"; exit 1; }
done

"$hours" --quick --build "$COFFER_BINARY_DIR" --output "$work/hours" >"$work/table" 2>"$work/err" ||
    { cat "$work/table" "$work/err"; exit 1; }
grep -q '12 of 12 hours.*passed' "$work/table" || { echo "the hours did not pass"; exit 1; }
if command -v gnuplot >/dev/null; then
    if ! [ -s "$work/cleaner.png" ] || ! [ -s "$work/hours.png" ]; then
        echo "no plots"
        exit 1
    fi
fi

status=0
"$sim" --engine --quick --only no-such-row --build "$COFFER_BINARY_DIR" 2>/dev/null || status=$?
[ "$status" -eq 1 ] || { echo "an unknown row gave $status"; exit 1; }
echo "the engine beside the simulator: 6 rows; 12 simulated hours"
