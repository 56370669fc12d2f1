#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# bench runs each workload, asks before it overwrites, and removes what it made.
. "$(dirname "$0")/lib.sh"
make_store 512M
ok "$COFFER" volume create "$store:v" --size 16M
for rw in randwrite writeflush write randread read; do
    matches '"IOPS": [1-9]' \
        "$COFFER" bench "$store:v" --rw $rw --runtime 1 --depth 8 --size 4M --bs 4K \
        --yes --output json
    grep -Eq '"P50": [1-9]' out || die "$rw: no latency"
    grep -Eq '"P99": [1-9]' out || die "$rw: no latency"
    ok "$COFFER" check "$store"
done
random_bytes 16M >data
ok "$COFFER" volume import "$store:v" data
unchanged "$store" fails 2 'give --yes' "$COFFER" bench "$store:v" --rw write </dev/null
unchanged "$store" ok "$COFFER" bench "$store:v" --rw randread --runtime 1
ok "$COFFER" volume export "$store:v" copy
cmp data copy || die "reading changed the volume"

for rw in randread writeflush; do
    matches '^IOPS: [1-9]' "$COFFER" bench --file scratch --rw $rw --runtime 1 --size 16M
    [ -z "$(find . -name 'scratch*')" ] || die "bench left $(find . -name 'scratch*')"
done
: >there
unchanged there fails 5 'scratch' "$COFFER" bench --file there --runtime 1
fails 2 'either a volume' "$COFFER" bench
fails 2 'either a volume' "$COFFER" bench "$store:v" --file x
fails 2 'multiple of 512' "$COFFER" bench "$store:v" --bs 100
fails 2 '1 to 1024' "$COFFER" bench "$store:v" --depth 0
fails 2 'not even one' "$COFFER" bench "$store:v" --size 4K --bs 1M
fails 2 "beyond the volume's end" "$COFFER" bench "$store:v" --size 1G
finish
