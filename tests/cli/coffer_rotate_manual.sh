#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# docs/examples/rotate-manual: contents under another key, from a snapshot that is there or a new
# one; the old key stays as long as anything needs it.
. "$(dirname "$0")/lib.sh"
rotate=$COFFER_SOURCE_DIR/docs/examples/rotate-manual
export COFFER COFFERKMS
is() { checks=$((checks + 1)); [ "$1" = "$2" ] || die "'$1' is not '$2'"; }
key() { "$COFFERKMS" create-key --query KeyMetadata.Arn --output text 2>/dev/null; }
sum() { "$COFFER" volume export "$1" - --progress never | sha256sum; }
field() { "$COFFER" volume describe "$1" --query "$2" --output text; }

old=$(key) second=$(key) third=$(key)
head -c 3M /dev/urandom >image
ok "$COFFER" store create "$store" --size 256M
ok "$COFFER" volume import "$store:disk" image --create --kms-key-id "$old"
before=$(sum "$store:disk")

ok "$rotate" "$store" disk disk-2 "$second"
is "$(sum "$store:disk-2")" "$before"
is "$(field "$store:disk-2" KmsKeyId)" "$second"
is "$("$COFFER" snapshot list "$store" --query "length(Snapshots[?VolumeName=='disk'])" \
    --output text)" 1
grep -q 'which 2 of the store need' err || die "not what needs the old key: $(cat err)"

# The snapshot that is there, not what was written after; the key stays while anything needs it.
ok "$COFFER" snapshot create "$store:disk@kept"
head -c 8192 /dev/urandom >other
ok "$COFFER" volume write "$store:disk" 0 <other
ok "$rotate" --from-snapshot kept "$store" disk disk-3 "$third"
is "$(sum "$store:disk-3")" "$before"
is "$("$COFFER" snapshot list "$store" --query "length(Snapshots[?VolumeName=='disk'])" \
    --output text)" 2
fails 2 'the key is needed: snapshot' "$rotate" --delete-old --from-snapshot kept "$store" disk \
    disk-4 "$third"
is "$("$COFFERKMS" describe-key --key-id "$old" --query KeyMetadata.KeyState --output text)" Enabled

# With nothing left that needs it, the old key goes, too.
alone=$(key) last=$(key)
ok "$COFFER" volume import "$store:alone" image --create --kms-key-id "$alone"
ok "$rotate" --delete-old "$store" alone alone-2 "$last"
is "$(sum "$store:alone-2")" "$before"
is "$("$COFFERKMS" describe-key --key-id "$alone" --query KeyMetadata.KeyState --output text)" \
    PendingDeletion
fails 1 'name another key' "$rotate" "$store" alone-2 alone-3 "$last"
fails 2 'usage:' "$rotate" "$store" alone-2
finish
