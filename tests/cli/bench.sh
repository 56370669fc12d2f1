#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# bench runs each workload, asks before it overwrites, and removes what it made.
. "$(dirname "$0")/lib.sh"
make_store 512M
ok "$COFFER" volume create "$store:v" --size 16M
for rw in randwrite writeflush write randread randrw read; do
    matches '"IOPS": [1-9]' \
        "$COFFER" bench "$store:v" --rw $rw --runtime 1 --depth 8 --size 4M --bs 4K \
        --yes --output json
    grep -Eq '"P50": [1-9]' out || die "$rw: no latency"
    grep -Eq '"P999": [1-9]' out || die "$rw: no latency"
    grep -Eq '"CipherBackend": "(evp|ipsec-mb)"' out || die "$rw: not told what seals"
    ok "$COFFER" check "$store"
done
ok "$COFFER" volume create "$store:plain" --size 4M --no-storage-encrypted
matches '^Cipher code: none' \
    "$COFFER" bench "$store:plain" --rw write --runtime 1 --yes --allow-plain
grep -Eq '^Latency p99.9: [1-9]' out || die "no p99.9"
# What others wrote has no stamps, and a block may be less than a page.
random_bytes 16M >data
ok "$COFFER" volume import "$store:v" data
unchanged "$store" fails 2 'give --yes' "$COFFER" bench "$store:v" --rw write </dev/null
unchanged "$store" ok "$COFFER" bench "$store:v" --rw randread --runtime 1
unchanged "$store" ok "$COFFER" bench "$store:v" --rw randread --bs 1536 --runtime 1
ok "$COFFER" volume export "$store:v" copy
cmp data copy || die "reading changed the volume"

for rw in randrw writeflush; do
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
