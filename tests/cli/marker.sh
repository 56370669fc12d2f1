#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A known plaintext is nowhere in the store, nor are names, sizes of encrypted volumes or keys in
# what can be read without keys. The plain volume shows that the search would find it.
. "$(dirname "$0")/lib.sh"
make_store 64M
marker="MARKER-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
for i in $(seq 4000); do printf '%s %d\n' "$marker" "$i"; done >text
name=quarterly-figures
ok "$COFFER" volume create "$store:$name" --size 12345344
ok "$COFFER" volume import "$store:$name" text
printf '%s' "$marker" | ok "$COFFER" volume write "$store:$name" 999
printf '%s' "$marker" | ok "$COFFER" volume write "$store:$name" 1000001
ok "$COFFER" volume export "$store:$name" copy
grep -aq "$marker" copy || die "the marker did not come out"
[ "$(grep -ac "$marker" "$store" || true)" -eq 0 ] || die "the store holds the marker"
[ "$(grep -ac "$name" "$store" || true)" -eq 0 ] || die "the store holds the volume's name"
ok "$COFFER" dump "$store"
! grep -q "$marker\|$name\|12345344" out || die "the dump holds what is sealed"
! grep -qF "$(cat root)" out || die "the dump holds the root key"
for file in "$store" keys "$COFFER_PINS"; do
    ! grep -aqF "$(cat root)" "$file" || die "$file holds the root key"
done

ok "$COFFER" volume import "$store:plain" text --create --no-storage-encrypted
[ "$(grep -ac "$marker" "$store" || true)" -gt 0 ] || die "the search finds nothing at all"
# What is deleted or overwritten does not come back as plaintext of the encrypted one either.
ok "$COFFER" volume delete "$store:plain" --yes
ok "$COFFER" check "$store"
finish
