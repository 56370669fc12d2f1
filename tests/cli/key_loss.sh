#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A volume whose key is lost: what the verbs say and return, start and stop, seven days of a clock
# that the test moves (faketime), restoring and deleting after that, and who needs a key.
. "$(dirname "$0")/lib.sh"
lost=inaccessible-encryption-credentials
if ! command -v faketime >/dev/null || ! faketime -f '+1d' "$COFFER" --version >/dev/null 2>&1; then
    echo "faketime can't move the clock of these programs"
    exit 77
fi
later() { # later OFFSET COMMAND...: it is run with its clock moved
    local offset=$1
    shift
    faketime -f "$offset" "$@"
}
status_is() {
    prints "$1" "${@:2}" "$COFFER" volume describe "$store:v" --query Status
}

make_store 64M
id=$(make_key)
arn=$("$COFFERKMS" describe-key --key-id "$id" --query KeyMetadata.Arn --output text)
ok "$COFFER" volume create "$store:v" --size 4M --kms-key-id "$id"
head -c 4M /dev/urandom >data
ok "$COFFER" volume import "$store:v" data
ok "$COFFER" snapshot create "$store:v@s"
[ "$("$COFFER" volume describe "$store:v" --query GrantId | wc -c)" -eq 65 ] || die "no grant"
contents() {
    "$COFFER" volume export "$store:v" - | cmp - data || die "the contents differ"
}

# Disable, stop, describe, enable, start: F45 to F48.
ok "$COFFERKMS" disable-key --key-id "$id"
status_is $lost-recoverable
fails 5 "$lost" "$COFFER" volume read "$store:v" 0 4096
status_is $lost-recoverable
prints KEY_DISABLED "$COFFER" volume describe "$store:v" --query Inaccessible
until=$("$COFFER" volume describe "$store:v" --query RecoverableUntil)
[ "$(date -d "$until" +%s)" -gt "$(date -d '+6 days 23 hours' +%s)" ] || die "until $until"
unchanged "$store" fails 5 "$lost" "$COFFER" volume write "$store:v" 0 <root
unchanged "$store" fails 5 "$lost" "$COFFER" snapshot create "$store:v@t"
unchanged "$store" fails 5 "$lost" "$COFFER" volume export "$store:v" file
fails 3 'disabled' "$COFFER" volume start "$store:v"
ok "$COFFER" volume list "$store"
grep -q $lost-recoverable out || die "the list does not say so"
ok "$COFFER" volume stop "$store:v"
ok "$COFFERKMS" enable-key --key-id "$id"
status_is $lost-recoverable
unchanged "$store" fails 5 "$lost" "$COFFER" volume read "$store:v" 0 4096
ok "$COFFER" tag set "$store:v" while=lost
unchanged "$store" ok "$COFFER" volume start "$store:v" --dry-run
status_is $lost-recoverable
ok "$COFFER" volume start "$store:v"
unchanged "$store" ok "$COFFER" volume start "$store:v"
status_is available
contents

# Stopped by hand: nothing presses, and nothing opens it but a start.
ok "$COFFER" volume stop "$store:v"
unchanged "$store" ok "$COFFER" volume stop "$store:v"
status_is stopped
unchanged "$store" fails 5 'stopped' "$COFFER" volume read "$store:v" 0 4096
status_is stopped later +90d
ok later +90d "$COFFER" volume start "$store:v"
contents

# The seventh day: recoverable a minute before its end, and gone for good a minute after.
ok "$COFFERKMS" disable-key --key-id "$id"
fails 5 "$lost" "$COFFER" volume read "$store:v" 0 4096
ok "$COFFERKMS" enable-key --key-id "$id"
status_is $lost-recoverable later '+10079m'
cp "$store" kept
ok later '+10079m' "$COFFER" volume start "$store:v"
contents
cp kept "$store"
status_is $lost later '+10081m'
fails 5 "$lost" later '+10081m' "$COFFER" volume start "$store:v"
status_is $lost # the clock is put back
fails 5 "$lost" "$COFFER" volume start "$store:v"
fails 5 "$lost" "$COFFER" volume read "$store:v" 0 4096

# What is left then: a snapshot, and deleting; without the key, too.
ok "$COFFER" snapshot restore "$store:v@s" "$store:w"
"$COFFER" volume export "$store:w" - | cmp - data || die "the restored contents differ"
volume=$("$COFFER" volume describe "$store:v" --query ResourceId)
restored=$("$COFFER" volume describe "$store:w" --query ResourceId)
ok "$COFFERKMS" disable-key --key-id "$id"
fails 3 'disabled' "$COFFER" snapshot restore "$store:v@s" "$store:x"
ok "$COFFER" volume delete "$store:$volume" --yes
fails 7 'volume describe' "$COFFER" volume describe "$store:$volume" --keyless
ok "$COFFER" volume delete "$store:w" --yes
fails 7 'volume describe' "$COFFER" volume describe "$store:$restored" --keyless
ok "$COFFERKMS" enable-key --key-id "$id"
ok "$COFFER" check "$store"

# Who needs a key, before it is taken away: F124.
ok "$COFFER" volume create "$store:other" --size 4M
ok "$COFFER" volume create "$store:v" --size 4M --kms-key-id "$id"
prints "snapshot volume" bash -c "'$COFFER' key-usage '$store' '$id' --output json |
    jq -r '[.KeyUsage[].Kind] | sort | join(\" \")'"
prints "[]" bash -c "'$COFFER' key-usage '$store' '${arn%?????}00000' --output json |
    jq -c .KeyUsage"
ok "$COFFER" key-usage "$store" "$arn" --keyless
fails 2 'keyless' "$COFFER" key-usage "$store" "$id" --keyless
fails 2 'vol-[0-9a-f]{24} of .*snap-' \
    "$COFFERKMS" disable-key --key-id "$id" --check-store "$store"
prints 2 bash -c "'$COFFERKMS' disable-key --key-id '$id' --check-store '$store' --dry-run \
    --output json | jq '.Uses | length'"
prints Enabled "$COFFERKMS" describe-key --key-id "$id" --query KeyMetadata.KeyState
fails 7 'gone' "$COFFERKMS" disable-key --key-id "$id" --check-store "$work/gone"
ok "$COFFERKMS" disable-key --key-id "$id" --check-store "$store" --force
prints Disabled "$COFFERKMS" describe-key --key-id "$id" --query KeyMetadata.KeyState
finish
