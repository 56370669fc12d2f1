#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# tools/scripts/rotate-key: a rotation by hand, killed at many moments, and what it refuses.
. "$(dirname "$0")/lib.sh"
script=$COFFER_SOURCE_DIR/tools/scripts/rotate-key
make_store 64M
id=$(make_key 2>err)
content() { "$COFFER" volume export "$1" - | sha256sum; }
field() { "$COFFER" volume describe "$store:v" --query "$1" --output text; }
state_of() { "$COFFERKMS" describe-key --key-id "$1" --query KeyMetadata.KeyState --output text; }
random_bytes 1000000 >image
ok "$COFFER" volume create "$store:v" --size 2M --kms-key-id "$id"
ok "$COFFER" volume import "$store:v" image
ok "$COFFER" snapshot create "$store:v@a"
printf 'after' | ok "$COFFER" volume write "$store:v" 0
before=$(content "$store:v@a")
now=$(content "$store:v")
export STORE=$store VOLUME=v STATE_DIR=$work/state

unchanged "$store" fails 2 'STORE is not set' env STORE= "$script"
unchanged "$store" fails 2 'VOLUME is not set' env VOLUME= "$script"
unchanged "$store" fails 7 . env VOLUME=nobody "$script"
ok "$COFFER" volume create "$store:m" --size 4K
unchanged "$store" fails 2 'managed key' env VOLUME=m "$script"
ok "$COFFER" volume create "$store:plain" --size 4K --no-storage-encrypted
unchanged "$store" fails 2 'not encrypted' env VOLUME=plain "$script"

# whole OLD: the volume and its snapshot are under another key than OLD, which is disabled.
whole() {
    local arn
    arn=$(field KmsKeyId)
    [ "${arn##*/}" != "$1" ] || die "the key is still $1"
    [ "$(state_of "$1")" = Disabled ] || die "the old key is not disabled"
    [ "$(state_of "$arn")" = Enabled ] || die "the new key is not enabled"
    prints "$arn" "$COFFER" snapshot describe "$store:v@a" --query KmsKeyId
    [ "$(content "$store:v@a")" = "$before" ] || die "the snapshot's content changed"
    [ "$(content "$store:v")" = "$now" ] || die "the volume's content changed"
}

ok "$script"
whole "$id"
begun() { find "$STATE_DIR" -name '*.v' | grep -q .; }
! begun || die "the finished rotation left its state"

# Killed, and run again until it is done: one rotation, and one key for it.
killed=0
for ((i = 0; i < 20; i++)); do
    old=$(field KmsKeyId)
    keys=$("$COFFERKMS" list-keys --query 'length(Keys)')
    for delay in "0.$((RANDOM % 4))$((RANDOM % 10))" "0.$((RANDOM % 6))$((RANDOM % 10))"; do
        setsid "$script" >out 2>err &
        pid=$!
        sleep "$delay"
        kill -9 -- "-$pid" 2>kill.err && killed=$((killed + 1))
        wait $pid 2>kill.err && break # it was quicker
        # Killed between its last step and its end: one more run would begin the next rotation.
        ! begun && [ "$(field KmsKeyId)" != "$old" ] && break
    done
    arn=$(field KmsKeyId)
    if [ "$arn" = "$old" ] || begun; then
        ok "$script"
    fi
    whole "${old##*/}"
    [ "$("$COFFERKMS" list-keys --query 'length(Keys)')" -eq $((keys + 1)) ] ||
        die "a rotation that was killed made more than one key"
done
[ "$killed" -ge 20 ] || die "only $killed runs were killed"
ok "$COFFER" check "$store"

# ---- refused: others need the old key --------------------------------------------------------

id=$(field KmsKeyId)
id=${id##*/}
ok "$COFFER" volume create "$store:other" --size 4K --kms-key-id "$id"
fails 4 'under the old key, which stays enabled: other' "$script"
[ "$(state_of "$id")" = Enabled ] || die "a key that is needed was disabled"
fails 4 'stays enabled: other' "$script"
ok "$COFFER" volume delete "$store:other" --yes
ok "$script"
whole "$id"
id=$(field KmsKeyId)
finish
