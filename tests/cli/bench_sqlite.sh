#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# bench/run-sqlite --quick: every load on every engine that is there gives a figure.
set -euo pipefail
binary_dir=${COFFER_BINARY_DIR:?}
if [[ ! -x $binary_dir/bin/bench_sqlite ]]; then
    echo "built without benchmarks"
    exit 77
fi
scratch=$(mktemp -d "$binary_dir/bench_sqlite.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
table=$("${COFFER_SOURCE_DIR:?}/bench/run-sqlite" --quick --no-build --build "$binary_dir" \
    --dir "$scratch")
for row in 'a row, a commit, wal' 'a row, a commit, delete' '1000 rows a commit, wal' \
    'point read, wal' 'scan, wal'; do
    grep -q "| $row | [1-9][0-9,]* | [1-9][0-9,]*; [0-9.]* |" <<< "$table" \
        || { echo "FAILED: no figures for '$row': $table"; exit 1; }
done
if "$binary_dir/bin/bench_sqlite" plain nothing wal "$scratch" 1 1 2> /dev/null; then
    echo "FAILED: a load that there is not"
    exit 1
fi
