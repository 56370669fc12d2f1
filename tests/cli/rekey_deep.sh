#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# rekey --depth deep: a family of volumes and snapshots sealed anew; killed, stopped and gone on
# with; at a rate; its status, with and without keys; refused, and damaged.
. "$(dirname "$0")/lib.sh"
make_store 256M
id1=$(make_key 2>err)
id2=$(make_key)
arn2=$("$COFFERKMS" describe-key --key-id "$id2" --query KeyMetadata.Arn --output text)
content() { "$COFFER" volume export "$1" - 2>err | sha256sum; }
status() { "$COFFER" rekey "$store:$1" --status --query "$2" 2>err; }
family=(v v@a v@b c c@x d)
look() {
    for name in "${family[@]}"; do content "$store:$name"; done
}
# The contents are what they were, and every tag is right.
all_well() {
    look >after
    cmp before after || die "contents changed"
    ok "$COFFER" check "$store"
}

random_bytes 12000000 >image
ok "$COFFER" volume create "$store:v" --size 16M --kms-key-id "$id1"
ok "$COFFER" volume import "$store:v" image
ok "$COFFER" snapshot create "$store:v@a"
random_bytes 3000000 | ok "$COFFER" volume write "$store:v" 4096
ok "$COFFER" snapshot create "$store:v@b"
random_bytes 500000 | ok "$COFFER" volume write "$store:v" 8000000
ok "$COFFER" snapshot restore "$store:v@a" "$store:c" --kms-key-id "$id2"
random_bytes 2000000 | ok "$COFFER" volume write "$store:c" 100000
ok "$COFFER" snapshot create "$store:c@x"
ok "$COFFER" snapshot restore "$store:c@x" "$store:d"
random_bytes 100000 | ok "$COFFER" volume write "$store:d" 0
ok "$COFFER" volume create "$store:plain" --size 4K --no-storage-encrypted
look >before

# ---- refused, with nothing changed -----------------------------------------------------------

prints none status v Status
prints null "$COFFER" rekey "$store:v" --status --output json --query PercentComplete
unchanged "$store" fails 2 'not encrypted' "$COFFER" rekey "$store:plain" --depth deep
unchanged "$store" fails 7 . "$COFFER" rekey "$store:nobody" --depth deep
unchanged "$store" fails 7 . "$COFFER" rekey "$store:nobody" --status
unchanged "$store" fails 2 'snapshot and has its volume' "$COFFER" rekey "$store:v@a" --depth deep
unchanged "$store" fails 2 'rate' "$COFFER" rekey "$store:v" --depth deep --rate fast
unchanged "$store" matches '^Depth: deep$' "$COFFER" rekey "$store:v" --depth deep --dry-run
# One member's key is enough to refuse.
ok "$COFFERKMS" disable-key --key-id "$id2"
fails 3 "$id2.*disabled" "$COFFER" rekey "$store:v" --depth deep
ok "$COFFERKMS" enable-key --key-id "$id2"
prints none status v Status

# ---- killed, over and over --------------------------------------------------------------------

last=0
for ((i = 0; i < 6; i++)); do
    "$COFFER" rekey "$store:v" --depth deep --rate 40M >out 2>err &
    pid=$!
    sleep "0.$((1 + i % 4))"
    kill -9 $pid 2>kill.err || true
    wait $pid 2>kill.err || true
    state=$(status v Status)
    now=$(status d PercentComplete)
    case $state in
    in-progress | complete) [ "$now" -ge "$last" ] || die "$now percent after $last" ;;
    none) [ "$last" = 0 ] || die "nothing is begun after $last percent" ;;
    *) die "status $state" ;;
    esac
    [ "$state" = none ] || last=$now
    [ "$state" != complete ] || last=0 # the next one begins anew
    all_well
done

# ---- stopped, at a rate, gone on with ---------------------------------------------------------

ok "$COFFER" rekey "$store:v" --depth deep
prints complete status v Status
prints 100 status c PercentComplete
prints 0 status d OldDataKeys
all_well
"$COFFER" rekey "$store:c" --depth deep --rate 1M --progress always >out 2>err &
pid=$!
for ((i = 0; i < 300; i++)); do
    ! grep -q '^rekey: ' err || break
    sleep 0.1
done
sleep 0.5
kill -TERM $pid
code=0
wait $pid || code=$?
[ "$code" != 0 ] || die "an interrupted run says that it is done"
grep -q 'of .* parts .* sealed anew' err || die "it does not say how far it came: $(cat err)"
grep -q 'goes on where it was' err || die "it does not say how to go on: $(cat err)"
prints in-progress status v Status
some=$(status v ExtentsDone)
[ "$some" -gt 0 ] || die "what was done before is lost"
# In use meanwhile: written, snapshot, and a copy taken within and out of the store.
printf 'meanwhile' | ok "$COFFER" volume write "$store:v" 0
ok "$COFFER" snapshot create "$store:v@m"
family+=(v@m)
look >before
ok "$COFFER" store create "$work/other" --size 128M
ok "$COFFER" snapshot copy "$store:v@m" "$work/other:v@m"
ok "$COFFER" snapshot restore "$work/other:v@m" "$work/other:w"
[ "$(content "$work/other:w")" = "$(content "$store:v@m")" ] || die "the copy differs"
ok "$COFFER" check "$work/other"
prints none "$COFFER" rekey "$work/other:w" --status --query Status
# It goes on under another master key, too.
ok "$COFFER" rekey "$store:v" --depth deep --kms-key-id "$id2" --output json
grep -q "\"KmsKeyId\": \"$arn2\"" out || die "the result does not name the new key"
prints complete status v Status
ok "$COFFERKMS" disable-key --key-id "$id1"
all_well
ok "$COFFERKMS" enable-key --key-id "$id1"
# A later copy from the same family: what it has there was sealed under other keys.
ok "$COFFER" snapshot create "$store:v@n"
ok "$COFFER" snapshot copy "$store:v@n" "$work/other:v@n"
[ "$(content "$work/other:v@n")" = "$(content "$store:v@n")" ] || die "the later copy differs"
[ "$(content "$work/other:w")" = "$(content "$store:v@m")" ] || die "the earlier copy changed"
ok "$COFFER" rekey "$work/other:w" --depth deep
[ "$(content "$work/other:w")" = "$(content "$store:v@m")" ] || die "the copy changed"
ok "$COFFER" check "$work/other"
ok "$COFFER" check "$store" "$work/other" --nonces

# ---- without keys -----------------------------------------------------------------------------

COFFER_KMS="file:$work/gone" prints complete status v Status
ok "$COFFER" volume delete "$store:d" --yes
ok "$COFFER" volume delete "$store:plain" --yes
finish
