#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Pins: a volume that is not the one that was seen before is refused, and the ways back.
. "$(dirname "$0")/lib.sh"
make_store 64M
entries() { grep -c '"volume":' "$COFFER_PINS" || true; }

ok "$COFFER" volume create "$store:v" --size 4M
[ "$(stat -c %a "$COFFER_PINS")" = 600 ] || die "the pin file is not private"
[ "$(entries)" -eq 1 ] || die "volume create made no pin"
grep -q '"encrypted": true' "$COFFER_PINS" || die "the pin does not say encrypted"
ok "$COFFER" volume create "$store:u" --size 4M --no-pin
[ "$(entries)" -eq 1 ] || die "--no-pin made a pin"
ok "$COFFER" volume read "$store:u" 0 1
[ "$(entries)" -eq 2 ] || die "the first open made no pin"

# The same store on another machine: the first open trusts it, the default place is used.
ok env -u COFFER_PINS "$COFFER" volume read "$store:v" 0 1
[ -f "$HOME/.local/share/coffer/pins.json" ] || die "no pin file under HOME"
mkdir data
ok env -u COFFER_PINS XDG_DATA_HOME="$work/data" COFFER_KMS="$COFFER_KMS" \
    "$COFFER" volume read "$store:v" 0 1
[ -f data/coffer/pins.json ] || die "no pin file under XDG_DATA_HOME"
[ "$(stat -c %a data/coffer)" = 700 ] || die "its directory is open to others"

# Replaced by another volume of that name.
cp "$store" original
ok "$COFFER" volume delete "$store:v" --yes --no-pin
ok "$COFFER" volume create "$store:v" --size 4M --no-pin
unchanged "$store" fails 4 'its uuid was [0-9a-f-]+, and now it is' \
    "$COFFER" volume read "$store:v" 0 1
unchanged "$store" fails 4 '"code":"PIN","class":"tamper","exit":4' \
    "$COFFER" volume read "$store:v" 0 1 --output json
unchanged "$store" fails 4 'volume pin' "$COFFER" volume delete "$store:v" --yes
unchanged "$store" ok "$COFFER" volume read "$store:v" 0 1 --no-pin
unchanged "$store" fails 2 'give --yes' "$COFFER" volume pin "$store:v" </dev/null
unchanged "$COFFER_PINS" ok "$COFFER" volume pin "$store:v" --dry-run
ok "$COFFER" volume pin "$store:v" --yes
ok "$COFFER" volume read "$store:v" 0 1

# Another key under the same name and uuid can't be had without the engine; another key with a new
# volume is named first by its uuid. An unencrypted one in its place is named as that.
ok "$COFFER" volume delete "$store:v" --yes
[ "$(entries)" -eq 1 ] || die "volume delete kept the pin"
ok "$COFFER" volume create "$store:v" --size 4M
ok "$COFFER" volume delete "$store:v" --yes --no-pin
ok "$COFFER" volume create "$store:v" --size 4M --no-storage-encrypted --no-pin
printf 'planted' | fails 4 'it was encrypted, and now it is not encrypted' \
    "$COFFER" volume write "$store:v" 0
unchanged "$store" fails 4 'allow-plain' "$COFFER" volume read "$store:v" 0 1 --no-pin
ok "$COFFER" volume read "$store:v" 0 1 --no-pin --allow-plain

# A plain volume that nobody has seen is not opened by itself, and after --allow-plain it is known.
ok "$COFFER" volume create "$store:p" --size 4M --no-storage-encrypted --no-pin
unchanged "$store" fails 4 'allow-plain' "$COFFER" volume read "$store:p" 0 1
ok "$COFFER" volume read "$store:p" 0 1 --allow-plain
ok "$COFFER" volume read "$store:p" 0 1
ok "$COFFER" volume delete "$store:p" --yes --no-pin
ok "$COFFER" volume create "$store:p" --size 4M --no-pin
unchanged "$store" fails 4 'it was not encrypted, and now it is encrypted' \
    "$COFFER" volume read "$store:p" 0 1

# The whole store replaced: another uuid at the same path.
mv "$store" away
ok "$COFFER" store create other --size 64M --segment-size 1M
ok "$COFFER" volume create other:u --size 4M --no-pin
mv other "$store"
unchanged "$store" fails 4 'another store was pinned at this path' \
    "$COFFER" volume read "$store:u" 0 1
mv "$store" other
mv away "$store"
ok "$COFFER" volume read "$store:u" 0 1
# The user's own new store at that path is no alarm.
mv "$store" moved
ok "$COFFER" store create "$store" --size 64M --segment-size 1M
ok "$COFFER" volume create "$store:u" --size 4M --no-pin
ok "$COFFER" volume read "$store:u" 0 1
ok "$COFFER" volume read moved:u 0 1

# A pin file that proves nothing.
cp "$COFFER_PINS" good
chmod 620 "$COFFER_PINS"
fails 4 'others may write' "$COFFER" volume read moved:u 0 1
ok "$COFFER" volume read moved:u 0 1 --no-pin
chmod 600 "$COFFER_PINS"
for damage in 'not JSON' '{"version":1}' '[]' '{"version":1,"pins":[],"pins":[]}'; do
    printf '%s' "$damage" >"$COFFER_PINS"
    fails 4 'PIN_FILE|pin file' "$COFFER" volume read moved:u 0 1
    fails 4 'PIN_FILE|pin file' "$COFFER" volume create moved:new --size 4K
done
fails 7 'volume describe' "$COFFER" volume describe moved:new --no-pin
printf '{"version":2,"pins":[]}' >"$COFFER_PINS"
fails 9 'pin file' "$COFFER" volume read moved:u 0 1
rm "$COFFER_PINS"
mkdir "$COFFER_PINS"
fails 4 'not a regular file' "$COFFER" volume read moved:u 0 1
rmdir "$COFFER_PINS"
cp good "$COFFER_PINS"

# Many at once: no pin is lost.
ok "$COFFER" store create s1 --size 64M --segment-size 1M
for i in 2 3 4 5 6; do ok "$COFFER" store create s$i --size 64M --segment-size 1M; done
before=$(entries)
pids=
for i in 1 2 3 4 5 6; do
    "$COFFER" volume create s$i:many --size 4K --no-storage-encrypted &
    pids="$pids $!"
done
for pid in $pids; do wait "$pid" || die "one of six failed"; done
[ "$(entries)" -eq $((before + 6)) ] || die "pins were lost: $(entries) of $((before + 6))"
[ -z "$(find . -name 'pins.json.??????')" ] || die "a temporary file was left behind"
finish
