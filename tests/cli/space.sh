#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Space as it is shown: capacity, reserve, what volumes may grow to, the warning; a full store says
# NO_SPACE and goes on with all that needs no new room; freeing and growing make it work again.
. "$(dirname "$0")/lib.sh"
MIB=1048576
make_store 64M
of() { "$COFFER" store describe "$store" --query "$1" --output text; }
warned() { # COMMAND...: exits 0 and notes on standard error, once, that the store is nearly full
    ok "$@"
    [ "$(grep -c '% full, and warns from 85 %' err)" = 1 ] || die "no warning, or more: $*"
}
silent() {
    ok "$@"
    [ "$(grep -c '% full' err)" = 0 ] || die "a warning: $*"
}

# All segments but three of the root slots and sixteen in reserve.
prints $((45 * MIB)) "$COFFER" store describe "$store" --query CapacityBytes
prints $((16 * MIB)) "$COFFER" store describe "$store" --query ReserveBytes
prints 85 "$COFFER" store describe "$store" --query WarnPercent
prints FALSE "$COFFER" store describe "$store" --query SpaceWarning --output text
prints 1 "$COFFER" store describe "$store" --query Cleaner.Heads
prints 0 "$COFFER" store describe "$store" --query ProvisionedBytes

# Volumes may be larger than the store; sealed sizes are known to who asks for the keys.
ok "$COFFER" volume create "$store:plain" --size 60M --no-storage-encrypted
prints $((60 * MIB)) "$COFFER" store describe "$store" --query ProvisionedBytes
ok "$COFFER" volume create "$store:v" --size 80M
prints None "$COFFER" store describe "$store" --query ProvisionedBytes --output text
prints $((140 * MIB)) "$COFFER" store describe "$store" --provisioned --query ProvisionedBytes
ok env COFFER_KMS="file:$work/nothing" "$COFFER" store describe "$store" --provisioned --output json
grep -q '"ProvisionedBytes": null' out || die "a sealed size was known"
grep -q 'sealed' err || die "nobody said why"

# Below the threshold there is no warning, above it each verb that writes has one.
random_bytes 34M >data
silent "$COFFER" volume import "$store:v" data
silent "$COFFER" store describe "$store"
random_bytes 5M >extra
warned "$COFFER" volume import "$store:plain" extra
warned "$COFFER" store describe "$store"
head -c 4096 data >page
warned "$COFFER" volume write "$store:v" 0 <page
prints TRUE "$COFFER" store describe "$store" --query SpaceWarning --output text
ok "$COFFER" store describe "$store" --output json
grep -q '"note":"the store .* warns from 85 %' err || die "the note is no JSON"
silent "$COFFER" volume list "$store"

# Full: what needs room is refused, the rest goes on.
random_bytes 20M >large
fails 8 'NO_SPACE|no room|full' "$COFFER" volume import "$store:plain" large
ok "$COFFER" volume export "$store:v" copy
cmp data <(head -c $((34 * MIB)) copy) || die "a full store lost pages"
cp "$store" full
for _ in 1 2 3 4 5 6; do # each finds the cleaner elsewhere: see docs/decisions/0026, 6
    cp full "$store"
    ok "$COFFER" volume import "$store:v" data
done
ok "$COFFER" check "$store"
[ "$(of LiveBytes)" -le "$(of CapacityBytes)" ] || die "more lives than may"

# Freeing makes room again, and so does growing.
ok "$COFFER" volume delete "$store:plain" --yes
silent "$COFFER" store describe "$store"
ok "$COFFER" volume create "$store:w" --size 60M
random_bytes 2M >small
silent "$COFFER" volume import "$store:w" small
ok "$COFFER" store grow "$store" --size 128M
prints $((109 * MIB)) "$COFFER" store describe "$store" --query CapacityBytes
ok "$COFFER" volume import "$store:w" large
ok "$COFFER" check "$store"
finish
