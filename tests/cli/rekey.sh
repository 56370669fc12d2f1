#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# rekey: at each depth, with snapshots, interrupted, refused; and the recipe of docs/operations.md
# for changing a key by hand.
. "$(dirname "$0")/lib.sh"
make_store 64M
id1=$(make_key 2>err)
id2=$(make_key)
id3=$(make_key)
arn() { "$COFFERKMS" describe-key --key-id "$1" --query KeyMetadata.Arn --output text; }
arn1=$(arn "$id1")
arn2=$(arn "$id2")
arn3=$(arn "$id3")
content() { "$COFFER" volume export "$1" - | sha256sum; }
field() { "$COFFER" volume describe "$store:$1" --query "$2"; }
# all_under ARN: the volume and its snapshots have that key, and no pin objects.
all_under() {
    prints "$1" "$COFFER" volume describe "$store:v" --query KmsKeyId
    [ "$(content "$store:v")" = "$now" ] || die "the volume's content changed"
    for s in a b; do
        prints "$1" "$COFFER" snapshot describe "$store:v@$s" --query KmsKeyId
        [ "$(content "$store:v@$s")" = "$before" ] || die "the content of snapshot $s changed"
    done
}

random_bytes 2000000 >image
ok "$COFFER" volume create "$store:v" --size 4M --kms-key-id "$id1"
ok "$COFFER" volume import "$store:v" image
ok "$COFFER" snapshot create "$store:v@a"
ok "$COFFER" snapshot create "$store:v@b"
before=$(content "$store:v@a")
printf 'after' | ok "$COFFER" volume write "$store:v" 0
now=$(content "$store:v")
# Under a key that is never disabled: a sealed name that can't be read may be any (decision 0007).
ok "$COFFERKMS" create-key --output json
id_by=$(jq -r '.KeyMetadata.KeyId // .KeyId' out)
ok "$COFFER" volume create "$store:bystander" --size 4K --kms-key-id "$id_by"
arn_by=$("$COFFER" volume describe "$store:bystander" --query KmsKeyId)
ok "$COFFER" snapshot create "$store:bystander@a"
all_under "$arn1"

# ---- refused, with nothing changed -----------------------------------------------------------

missing=${id1%?????}00000
cp "$COFFER_PINS" pins.before
for key in "$missing" alias/nobody; do
    unchanged "$store" fails 3 'rekey' "$COFFER" rekey "$store:v" --kms-key-id "$key"
    unchanged "$store" fails 3 'rekey' "$COFFER" rekey "$store:v" --kms-key-id "$key" --dry-run
done
ok "$COFFERKMS" disable-key --key-id "$id2"
unchanged "$store" fails 3 "$id2.*disabled" "$COFFER" rekey "$store:v" --kms-key-id "$id2"
ok "$COFFERKMS" enable-key --key-id "$id2"
ok "$COFFERKMS" disable-key --key-id "$id1"
unchanged "$store" fails 3 "$id1.*disabled" "$COFFER" rekey "$store:v" --kms-key-id "$id2"
ok "$COFFERKMS" enable-key --key-id "$id1"
unchanged "$store" fails 7 'rekey' "$COFFER" rekey "$store:nobody" --kms-key-id "$id2"
ok "$COFFER" volume create "$store:plain" --size 4K --no-storage-encrypted
unchanged "$store" fails 2 'not encrypted.*snapshot restore' \
    "$COFFER" rekey "$store:plain" --kms-key-id "$id2"
unchanged "$store" fails 2 'status and --rate belong to --depth deep' \
    "$COFFER" rekey "$store:v" --depth master --status
unchanged "$store" fails 2 'status and --rate belong to --depth deep' \
    "$COFFER" rekey "$store:v" --rate 1M
unchanged "$store" fails 2 'sideways: there are master, volume, data and deep' \
    "$COFFER" rekey "$store:v" --kms-key-id "$id2" --depth sideways
unchanged "$store" matches "^NewKmsKeyId: $arn2\$" \
    "$COFFER" rekey "$store:v" --kms-key-id "$id2" --dry-run
grep -q '^Snapshots: 2$' out || die "the dry run does not count the snapshots"
unchanged "$store" fails 3 . env COFFER_KMS="file:$work/gone" \
    "$COFFER" rekey "$store:v" --kms-key-id "$id2"
ok "$COFFER" volume delete "$store:plain" --yes
cmp "$COFFER_PINS" pins.before || die "a refused command changed the pins"
all_under "$arn1"

# ---- master: another key wraps the same volume keys ------------------------------------------

generation=$(field v KeyBudget.Generation)
ok "$COFFER" rekey "$store:v" --kms-key-id "$id2" --output json
grep -q "\"PreviousKmsKeyId\": \"$arn1\"" out || die "the result does not name the old key"
grep -q "\"KmsKeyId\": \"$arn2\"" out || die "the result does not name the new key"
all_under "$arn2"
prints "$arn_by" "$COFFER" volume describe "$store:bystander" --query KmsKeyId
prints "$arn_by" "$COFFER" snapshot describe "$store:bystander@a" --query KmsKeyId
[ "$(field v KeyBudget.Generation)" = "$generation" ] || die "depth master made a new volume key"
! grep -q next_key_arn "$COFFER_PINS" || die "a pin is not settled"
# The old key opens nothing of it, the new one all.
ok "$COFFERKMS" disable-key --key-id "$id1"
all_under "$arn2"
ok "$COFFER" snapshot create "$store:v@c"
ok "$COFFER" snapshot restore "$store:v@a" "$store:clone"
[ "$(content "$store:clone")" = "$before" ] || die "a clone of it differs"
ok "$COFFER" snapshot delete "$store:v@c" --yes
ok "$COFFERKMS" enable-key --key-id "$id1"
ok "$COFFERKMS" disable-key --key-id "$id2"
unchanged "$store" fails 3 'disabled' "$COFFER" volume read "$store:v@a" 0 1
unchanged "$store" fails 3 'disabled' "$COFFER" volume read "$store:v@b" 0 1
fails 5 'disabled' "$COFFER" volume read "$store:v" 0 1
ok "$COFFERKMS" enable-key --key-id "$id2"
fails 5 'inaccessible' "$COFFER" rekey "$store:v" --kms-key-id "$id1"
ok "$COFFER" volume start "$store:v"

# ---- volume and data, and the present key anew -----------------------------------------------

ok "$COFFER" rekey "$store:v" --kms-key-id alias/coffer/default --depth volume
[ "$(field v KeyBudget.Generation)" -gt "$generation" ] || die "depth volume kept the volume key"
ok "$COFFER" rekey "$store:v" --kms-key-id "$arn3" --depth volume
all_under "$arn3"
generation=$(field v KeyBudget.Generation)
ok "$COFFER" rekey "$store:v" --depth data
all_under "$arn3"
[ "$(field v KeyBudget.Generation)" -gt "$generation" ] || die "depth data kept the volume key"
ok "$COFFER" rekey "$store:v"
all_under "$arn3"
printf 'later' | ok "$COFFER" volume write "$store:v" 4096
now=$(content "$store:v")
ok "$COFFER" rekey "$store:v" --kms-key-id "$id1" --depth data
all_under "$arn1"
ok "$COFFER" check "$store"

# ---- interrupted -----------------------------------------------------------------------------

# Killed at any moment: one key or the other opens all of it, and no pin takes it for tampering.
keys=("$id2" "$id1")
depths=(master volume data)
for ((i = 0; i < 24; i++)); do
    "$COFFER" rekey "$store:v" --kms-key-id "${keys[$((i % 2))]}" --depth "${depths[$((i % 3))]}" \
        >out 2>err &
    pid=$!
    sleep "0.0$((i * 4 / 10))$((i * 4 % 10))"
    kill -9 $pid 2>kill.err || true
    wait $pid 2>kill.err || true
    under=$(field v KmsKeyId)
    [ "$under" = "$arn1" ] || [ "$under" = "$arn2" ] || die "a third key: $under"
    all_under "$under"
done
! grep -q next_key_arn "$COFFER_PINS" || die "a pin is not settled"
ok "$COFFER" rekey "$store:v" --kms-key-id "$id1"
all_under "$arn1"
ok "$COFFER" check "$store"

# A pin takes the other key only when a rekey to it was begun.
ok "$COFFER" rekey "$store:v" --kms-key-id "$id2" --no-pin
unchanged "$store" fails 4 "its key was $arn1, and now it is $arn2" \
    "$COFFER" volume read "$store:v" 0 1
unchanged "$store" fails 4 "its key was $arn1, and now it is $arn2" \
    "$COFFER" volume read "$store:v@a" 0 1
unchanged "$store" fails 4 'volume pin' "$COFFER" rekey "$store:v" --kms-key-id "$id3"
sed -i "s#\"key_arn\": \"$arn1\"#&, \"next_key_arn\": \"$arn3\"#" "$COFFER_PINS"
unchanged "$store" fails 4 "its key was $arn1, and now it is $arn2" \
    "$COFFER" volume read "$store:v" 0 1
sed -i "s#\"next_key_arn\": \"$arn3\"#\"next_key_arn\": \"$arn2\"#" "$COFFER_PINS"
all_under "$arn2"
ok "$COFFER" volume read "$store:bystander" 0 1
ok "$COFFER" volume read "$store:bystander@a" 0 1
! grep -q next_key_arn "$COFFER_PINS" || die "a pin is not settled"

# ---- by hand: the recipe of docs/operations.md -----------------------------------------------

ok "$COFFERKMS" create-alias --alias-name alias/next --target-key-id "$id3"
name=$("$COFFER" snapshot create "$store:v" --query SnapshotName 2>err)
ok "$COFFER" snapshot wait "$store:v@$name" --timeout 60
ok "$COFFER" snapshot restore "$store:v@$name" "$store:v2" --kms-key-id alias/next
prints '' "$COFFER" snapshot diff "$store:v@$name" "$store:v" --output text
"$COFFER" volume export "$store:v@$name" - | sha256sum >sum1
"$COFFER" volume export "$store:v2" - | sha256sum >sum2
cmp sum1 sum2 || die "the volume under the new key differs"
ok "$COFFERKMS" disable-key --key-id "$id2"
[ "$(content "$store:v2")" = "$now" ] || die "it needs the old key"
prints "$arn3" "$COFFER" volume describe "$store:v2" --query KmsKeyId
ok "$COFFERKMS" enable-key --key-id "$id2"
# Of a deleted volume, one snapshot stands for all.
ok "$COFFER" volume delete "$store:v" --yes
ok "$COFFERKMS" disable-key --key-id "$id1"
unchanged "$store" fails 3 "$id1.*disabled" \
    "$COFFER" rekey "$store:v@a" --kms-key-id "$id1"
ok "$COFFERKMS" enable-key --key-id "$id1"
prints 3 "$COFFER" rekey "$store:v@a" --kms-key-id "$id1" --depth volume --query Snapshots
for s in a b "$name"; do
    prints "$arn1" "$COFFER" snapshot describe "$store:v@$s" --query KmsKeyId
done
[ "$(content "$store:v@b")" = "$before" ] || die "the content of snapshot b changed"
ok "$COFFER" rekey "$store:v@b" --kms-key-id "$id2"
for s in $("$COFFER" snapshot list "$store:v" --query '[].SnapshotName'); do
    ok "$COFFER" snapshot delete "$store:v@$s" --yes
done
ok "$COFFERKMS" disable-key --key-id "$id2"
[ "$(content "$store:v2")" = "$now" ] || die "it needs what was deleted"
ok "$COFFER" check "$store"
finish
