#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# check, scrub and dump: a whole store has no findings; damage is found, named and told by exit 4.
. "$(dirname "$0")/lib.sh"
make_store 64M
ok "$COFFER" volume create "$store:v" --size 16M
random_bytes 8M >data
ok "$COFFER" volume import "$store:v" data
ok "$COFFER" volume create "$store:plain" --size 4M --no-storage-encrypted
random_bytes 1M | ok "$COFFER" volume write "$store:plain" 0

for verb in check scrub; do
    unchanged "$store" prints 0 "$COFFER" $verb "$store" --query Summary.Findings
    unchanged "$store" prints 2 "$COFFER" $verb "$store" --query Summary.VolumesOpened
    prints TRUE "$COFFER" $verb "$store" --query Summary.Keyed
    unchanged "$store" prints 0 "$COFFER" $verb "$store" --keyless --query Summary.Findings
    prints FALSE "$COFFER" $verb "$store" --keyless --query Summary.Keyed
    prints 0 "$COFFER" $verb "$store" --keyless --query Summary.TagsChecked
done
tags=$("$COFFER" scrub "$store" --query Summary.TagsChecked)
[ "$tags" -ge 2048 ] || die "scrub checked only $tags tags of 2048 pages"
begin=$(date +%s)
ok "$COFFER" scrub "$store" --rate 4M --progress json
[ $(($(date +%s) - begin)) -ge 1 ] || die "--rate 4M did not slow a scrub of 9 MiB"
grep -q '"progress":"scrub"' err || die "scrub shows no progress"

ok "$COFFER" dump "$store"
head -c 1 out | grep -q '{' || die "the dump is no JSON object"
ok "$COFFER" dump "$store" --output json
ok "$COFFER" dump "$store" --query 'keys(@)'

# One byte of a data page, changed on the disk: found with and without keys, and named.
cp "$store" damaged
"$COFFER" volume read "$store:plain" 40960 64 >needle
offset=$(python3 - "$store" needle <<'P'
import sys
haystack = open(sys.argv[1], "rb").read()
print(haystack.find(open(sys.argv[2], "rb").read()))
P
)
[ "$offset" -gt 0 ] || die "the plain page was not found on the disk"
printf '\xff\x00\xff' | dd of=damaged bs=1 seek=$((offset + 7)) conv=notrunc status=none
for keys in --keyless ''; do
    before=$(sum_of damaged)
    status=0
    # shellcheck disable=SC2086
    "$COFFER" scrub damaged $keys --output json >out 2>err || status=$?
    [ "$status" -eq 4 ] || die "scrub $keys of a damaged store gave $status"
    grep -q '"Error": "CORRUPT"' out || die "the finding is not CORRUPT"
    grep -q '"Segment": [0-9]' out || die "the finding names no segment"
    grep -q '"code":"FINDINGS"' err || die "no error object"
    [ "$before" = "$(sum_of damaged)" ] || die "scrub changed the store"
    checks=$((checks + 1))
done
status=0
"$COFFER" scrub damaged >out 2>err || status=$?
[ "$status" -eq 4 ] || die "scrub of a damaged store gave $status"
grep -Eq '^CORRUPT .*volume plain page 10 ' out || die "the finding does not name volume and page"
status=0
"$COFFER" volume read damaged:plain 40960 64 --no-pin --allow-plain >out 2>err || status=$?
[ "$status" -eq 4 ] || die "reading the damaged page gave $status"
grep -q 'page 10' err || die "the error does not name the page"
ok "$COFFER" volume read damaged:plain 0 40960 --no-pin --allow-plain
finish
