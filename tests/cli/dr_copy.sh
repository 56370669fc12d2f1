#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# tools/scripts/dr-copy: dated copies in another region's store, killed at many moments, two runs at
# once; and the drill: the source and its keys are gone, the copy is restored, checksums are equal.
. "$(dirname "$0")/lib.sh"
script=$COFFER_SOURCE_DIR/tools/scripts/dr-copy
mkdir region1 region2
store=$work/region1/store
there=$work/region2/store
unset COFFER_KMS
far=(env "COFFER_KMS=file:$work/region2/keys")
near=(env "COFFER_KMS=file:$work/region1/keys")
ok "$COFFER" store create "$store" --size 64M --segment-size 1M
ok "$COFFER" store create "$there" --size 64M --segment-size 1M
id=$("${far[@]}" "$COFFERKMS" create-key --region r2 --query KeyMetadata.KeyId 2>err)
key=$("${near[@]}" "$COFFERKMS" create-key --region r1 --query KeyMetadata.KeyId 2>err)
random_bytes 3000000 >image
ok "${near[@]}" "$COFFER" volume create "$store:v" --size 4M --kms-key-id "$key"
ok "${near[@]}" "$COFFER" volume import "$store:v" image
ok "${near[@]}" "$COFFER" snapshot create "$store:v@mine"
export VOLUME=v SRC_STORE=$store DEST_STORE=$there DEST_KMS_KEYID=$id KEEP=3
export SRC_KMS=file:$work/region1/keys DEST_KMS=file:$work/region2/keys SRC_REGION=r1 DEST_REGION=r2
write() { random_bytes 5000 | ok "${near[@]}" "$COFFER" volume write "$store:v" $((RANDOM * 64)); }
list() { # SIDE STORE STATUS
    local -n side=$1
    "${side[@]}" "$COFFER" snapshot list "$2:v" --output text \
        --query "[?Status=='$3'].SnapshotName" 2>list.err | tr '\t' '\n' | grep '^dr-20' || true
}
content() { # SIDE ADDRESS
    local -n by=$1
    "${by[@]}" "$COFFER" volume export "$2" - | sha256sum
}
same_contents() {
    local name
    for name in $(list far "$there" available); do
        if grep -qxF "$name" <<<"$(list near "$store" available)"; then
            [ "$(content far "$there:v@$name")" = "$(content near "$store:v@$name")" ] ||
                die "the copy $name differs"
        fi
    done
}

# ---- settings --------------------------------------------------------------------------------

for name in VOLUME SRC_STORE DEST_STORE DEST_KMS_KEYID; do
    unchanged "$store" fails 2 "$name is not set" env "$name=" "$script"
done
unchanged "$store" fails 2 'KEEP' env KEEP=0 "$script"
unchanged "$store" fails 2 'COPY_TAGS' env COPY_TAGS=maybe "$script"
unchanged "$store" fails 2 'PREFIX' env PREFIX=../x "$script"
fails 2 . env DEST_REGION=r9 "$script" # the destination's key store is of another region
fails 2 . env SRC_REGION=r9 "$script"
fails 3 . env DEST_KMS_KEYID=alias/nobody "$script"

# ---- two runs, and more than are kept --------------------------------------------------------

ok "${near[@]}" "$COFFER" tag set "$store:v" tier=gold
write
ok env COPY_TAGS=no "$script"
write
ok "$script"
tags_of() { "${far[@]}" "$COFFER" tag list "$there:v@$1" --query "[].Value" 2>tags.err; }
both=$(list far "$there" available)
[ -z "$(tags_of "$(head -n 1 <<<"$both")")" ] || die "COPY_TAGS=no copied tags"
[ "$(tags_of "$(tail -n 1 <<<"$both")")" = gold ] || die "no tags: $(cat tags.err)"
[ "$(list far "$there" available | wc -l)" -ge 2 ] || die "two runs did not make two copies"
same_contents
for _ in 1 2 3; do
    write
    ok "$script"
done
[ "$(list far "$there" available | wc -l)" -eq 3 ] || die "the destination is not pruned"
[ "$(list near "$store" available | wc -l)" -eq 3 ] || die "the source is not pruned"
[ "$(list far "$there" available)" = "$(list near "$store" available)" ] || die "they differ"
same_contents
ok "${near[@]}" "$COFFER" snapshot describe "$store:v@mine"
# At once: one waits for the other.
"$script" >one 2>&1 &
pid=$!
ok "$script"
wait $pid || die "the first of two runs at once failed: $(cat one)"
fails 5 'another run' env WAIT_SECONDS=0 flock "$there.v.dr-copy.lock" "$script"

# ---- killed ----------------------------------------------------------------------------------

killed=0
for ((i = 0; i < 24; i++)); do
    write
    setsid "$script" >out 2>err &
    pid=$!
    sleep "$((RANDOM % 2)).$((RANDOM % 10))$((RANDOM % 10))"
    kill -9 -- "-$pid" 2>kill.err && killed=$((killed + 1)) # with the command that it waits for
    wait $pid 2>kill.err || true
    if ((i % 8 == 7)); then
        ok "$script"
        [ "$(list far "$there" available)" = "$(list near "$store" available)" ] ||
            die "after a run that was killed, the next one left the sides different"
        [ "$(list far "$there" available | wc -l)" -eq 3 ] || die "not three copies"
        [ -z "$(list far "$there" failed)" ] || die "a copy is not whole"
        same_contents
    fi
done
[ "$killed" -ge 12 ] || die "only $killed of 24 runs were killed"
ok "${far[@]}" "$COFFER" check "$there"
ok "${near[@]}" "$COFFER" check "$store"
ok "$COFFER" check --nonces "$store" "$there"

# ---- the drill: the first region is gone -----------------------------------------------------

newest=$(list near "$store" available | tail -n 1)
was=$(content near "$store:v@$newest")
rm -rf region1
ok "${far[@]}" "$COFFER" snapshot restore "$there:v@$newest" "$there:v"
[ "$(content far "$there:v")" = "$was" ] || die "what was restored differs"
printf 'on' | ok "${far[@]}" "$COFFER" volume write "$there:v" 0
prints on "${far[@]}" "$COFFER" volume read "$there:v" 0 2
ok "${far[@]}" "$COFFER" scrub "$there"
fails 7 'cannot open the store' "$script"
finish
