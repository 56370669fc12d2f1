#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# check --nonces: a store, copies of it that all go on, and older states that were put back and go
# on, audited together, share no pair of key and nonce; stores that a broken engine made do, and are
# found. Nothing is asked for and nothing is changed.
. "$(dirname "$0")/lib.sh"
forge=$COFFER_BINARY_DIR/tests/cli/nonces_forge

make_store 64M
ok "$COFFER" volume create "$store:v" --size 8M
random_bytes 6M >data
ok "$COFFER" volume import "$store:v" data

# go_on STORE: three sessions that write over the same pages.
go_on() {
    for i in 0 1 2; do
        random_bytes 700K | ok "$COFFER" volume write "$1:v" $((i * 65536)) --no-pin
    done
}

cp "$store" copy
cp "$store" second
cp "$store" old
go_on "$store"
go_on copy
go_on second
cp copy third # a copy of a copy
go_on third
go_on copy
for one in copy third; do # a snapshot and a clone of it, on two sides of one past
    ok "$COFFER" snapshot create "$one:v@s" --no-pin
    ok "$COFFER" snapshot restore "$one:v@s" "$one:clone" --no-pin
    random_bytes 500K | ok "$COFFER" volume write "$one:clone" 0 --no-pin
    random_bytes 500K | ok "$COFFER" volume write "$one:v" 0 --no-pin
done
cp "$store" newest
cp old "$store" # the older state is put back, and goes on
go_on "$store"
go_on "$store"
all=("$store" copy second third old newest)

# No key store and no root key are needed.
keyless() { env -u COFFER_KMS -u COFFER_ROOT_KEY_FILE HOME="$work/nobody" "$@"; }
for one in "${all[@]}"; do
    unchanged "$one" prints 0 keyless "$COFFER" check --nonces "$one" --query PairsUsedTwice
done
ok keyless "$COFFER" check --nonces "${all[@]}"
[ "$(tail -n 1 out)" = "0 pairs used twice" ] || die "the last line is '$(tail -n 1 out)'"
[ "$(grep -c 'batch headers' out)" -eq 6 ] || die "not every store has its line"
ok "$COFFER" check --nonces "${all[@]}" --output json
cp out whole.json
python3 - whole.json <<'P' || die "the numbers of the result do not fit"
import json, sys
r = json.load(open(sys.argv[1]))
stores = r["Stores"]
assert r["Version"] == 1 and r["PairsUsedTwice"] == 0 and r["Findings"] == [] and len(stores) == 6
assert not r["Truncated"] and r["UnreadableBytes"] == 0
kinds = ("Pages", "Lists", "Wraps", "Records")
assert all(s["Seals"] == sum(s[k] for k in kinds) for s in stores)
assert all(s["Wraps"] >= 3 and s["Records"] >= 2 and s["Pages"] >= 1536 for s in stores)
assert r["Seals"] == sum(s["Seals"] for s in stores)
# They share a past: each copy has the pages of the import. And they went on apart.
assert r["Copies"] == r["Seals"] - r["Pairs"] > 5 * 1536 and r["Pairs"] > 1536 + 9 * 175
assert len({s["Uuid"] for s in stores}) == 1
P

# An anchor that knows a newer state is not asked: older ones are what the audit is about.
cp newest anchored
ok "$COFFER" volume resize anchored:v --size 9M --anchor "$work/anchor" --no-pin
fails 4 'put back to an older state' "$COFFER" check old --keyless --anchor "$work/anchor"
prints 0 "$COFFER" check --nonces old anchored --anchor "$work/anchor" --query PairsUsedTwice

# A store beside itself is a copy, and sorting through a file finds the same.
prints 0 "$COFFER" check --nonces "$store" "$store" --query PairsUsedTwice
mkdir sort
TMPDIR=$work/sort ok "$COFFER" check --nonces "${all[@]}" --memory 64K --output json
cmp -s out whole.json || die "with little memory the result is another"
[ -z "$(ls sort)" ] || die "a temporary file was left behind"
TMPDIR=$work/none fails 7 'cannot sort .*none.*TMPDIR' \
    "$COFFER" check --nonces "$store" --memory 64K
COFFER_STORE=$store prints 0 "$COFFER" check --nonces --query PairsUsedTwice

# Plain volumes have no nonces.
ok "$COFFER" volume create "$store:plain" --size 4M --no-storage-encrypted
random_bytes 1M | ok "$COFFER" volume write "$store:plain" 0
plain=$("$COFFER" check --nonces "$store" --query 'Stores[0].PlainPages')
[ "$plain" -ge 256 ] || die "only $plain plain pages were counted"

# Controls: what a broken engine sealed is found, by either rule, in memory and through a file.
[ -x "$forge" ] || die "there is no $forge"
ok "$forge" subkey subkey
ok "$forge" random left right
prints 0 "$COFFER" check --nonces left --query PairsUsedTwice
prints 0 "$COFFER" check --nonces right --query PairsUsedTwice
for memory in 64M 64K; do
    for stores in subkey 'left right'; do
        status=0
        # shellcheck disable=SC2086
        "$COFFER" check --nonces $stores --memory $memory >out 2>err || status=$?
        [ "$status" -eq 4 ] || die "check --nonces $stores gave $status"
        grep -Eq '[1-9][0-9]* pairs of key and nonce were used twice' err || die "no error line"
        grep -Eq '^[1-9][0-9]* pairs used twice$' out || die "no last line"
        checks=$((checks + 1))
    done
    place='segment [0-9]+ offset [0-9]+ extent [0-9]+ slot [0-9]+'
    grep -Eq "^PAIR_USED_TWICE \(page\): left $place and right $place\$" out ||
        die "the finding does not name both places"
done
status=0
"$COFFER" check --nonces left "$store" right --output json >out 2>err || status=$?
[ "$status" -eq 4 ] || die "check --nonces gave $status"
grep -q '"code":"NONCE_REUSED"' err || die "no error object"
python3 - out <<'P' || die "the findings do not name the pages of both stores"
import json
r = json.load(open("out"))
pages = [f["Places"] for f in r["Findings"] if f["Places"][0]["Kind"] == "page"]
assert r["PairsUsedTwice"] == len(r["Findings"]) and len(pages) >= 40
assert all({p["Store"] for p in both} == {"left", "right"} for both in pages)
assert all(both[0]["Extent"] == both[1]["Extent"] and both[0]["Slot"] == both[1]["Slot"]
           for both in pages)
assert all(f["Finding"] == "PAIR_USED_TWICE" for f in r["Findings"])
P

# What can't be done.
fails 2 'one operand too many; only --nonces' "$COFFER" check "$store" copy
fails 2 'goes with --nonces' "$COFFER" check "$store" --memory 1M
fails 2 '64K or more' "$COFFER" check --nonces "$store" --memory 4K
fails 2 'takes no --nonces' "$COFFER" scrub "$store" --nonces
fails 7 'cannot open the store nobody' "$COFFER" check --nonces "$store" nobody
head -c 4M data >rubbish
fails 1 'cannot open the store rubbish' "$COFFER" check --nonces rubbish
finish
