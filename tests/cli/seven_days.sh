#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The seven days of a volume whose key is lost, with its keys in a service elsewhere and one clock
# for service and programs: disable, stop, describe, enable, start, the same contents; past seven
# days nothing brings it back, and a snapshot does. An open volume stops by itself.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/common_served.sh"
lost=inaccessible-encryption-credentials
needs_clock

credentials root root.json 2>/dev/null
AWS_ACCESS_KEY_ID=$(jq -r .AccessKeyId root.json)
AWS_SECRET_ACCESS_KEY=$(jq -r .SecretAccessKey root.json)
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
serve --listen 127.0.0.1:0
export COFFER_KMS=http://$address
coffer=(clocked "$COFFER")
cofferkms=(clocked "$COFFERKMS")
status_is() {
    prints "$1" "${coffer[@]}" volume describe "$store:v" --query Status
}
contents() {
    "${coffer[@]}" volume export "$store:$1" - | cmp - data || die "the contents of $1 differ"
}

make_store 128M
id=$("${cofferkms[@]}" create-key --query KeyMetadata.KeyId --output text)
ok "${coffer[@]}" volume create "$store:v" --size 8M --kms-key-id "$id"
random_bytes 8M >data
ok "${coffer[@]}" volume import "$store:v" data
ok "${coffer[@]}" snapshot create "$store:v@s"

# What would stop, and when, before it does; then it does.
ok "${cofferkms[@]}" disable-key --key-id "$id" --check-store "$store" --dry-run --output json
[ "$(jq -r '.Uses[] | select(.Kind == "volume") | .NextStatus' out)" = $lost-recoverable ] ||
    die "the dry run does not say what becomes of the volume"
[ "$(jq -r '.Uses[] | select(.Kind == "snapshot") | .NextStatus' out)" = unusable ] ||
    die "the dry run does not say what becomes of the snapshot"
foretold=$(jq -r '.Uses[] | select(.Kind == "volume") | .RecoverableUntil' out)
[ "$(jq -r .KeyLostFrom out)" = null ] || die "a key that is disabled is not lost"
ok "${cofferkms[@]}" schedule-key-deletion --key-id "$id" --pending-window-in-days 9 \
    --check-store "$store" --dry-run --output json
gone=$(date -d "$(jq -r .KeyLostFrom out)" +%s)
[ $((gone - $(date +%s))) -gt $((9 * 86400 - 600)) ] || die "KeyLostFrom is too early"
status_is available

# Disable, stop, describe, enable, start.
ok "${cofferkms[@]}" disable-key --key-id "$id"
fails 5 "$lost" "${coffer[@]}" volume read "$store:v" 0 4096
status_is $lost-recoverable
until=$("${coffer[@]}" volume describe "$store:v" --query RecoverableUntil)
apart=$(($(date -d "$until" +%s) - $(date -d "$foretold" +%s)))
[ "${apart#-}" -lt 600 ] || die "it was foretold until $foretold, and is until $until"
fails 3 'disabled|Disabled' "${coffer[@]}" volume start "$store:v"
set_clock +6d
ok "${cofferkms[@]}" enable-key --key-id "$id"
status_is $lost-recoverable
fails 5 "$lost" "${coffer[@]}" volume read "$store:v" 0 4096
ok "${coffer[@]}" volume start "$store:v"
status_is available
contents v

# An open volume stops by itself: it is written to when the key goes, and time passes.
mkfifo pipe
"${coffer[@]}" volume write "$store:v" 0 <pipe >out 2>err &
writer=$!
exec 5>pipe
head -c 4M data >&5 # as much as it takes at a time
until ! "$COFFER" volume list "$store" --keyless >/dev/null 2>&1; do
    kill -0 "$writer" 2>/dev/null || die "the writer ended: $(cat err)"
    sleep 0.02
done
ok "${cofferkms[@]}" disable-key --key-id "$id" --check-store "$store" --dry-run --output json
[ "$(jq -r '.Uses[0].Status' out)" = open ] || die "the dry run does not say that it is open"
ok "${cofferkms[@]}" disable-key --key-id "$id"
set_clock +519300 # six days and a quarter of an hour
tail -c 4M data >&5 || true
exec 5>&-
status=0
wait "$writer" || status=$?
[ "$status" -eq 5 ] || die "the writer ended with $status: $(cat err)"
status_is $lost-recoverable

# Past seven days: for good, whatever becomes of the key. What is left is a snapshot.
set_clock +1123000 # thirteen days, less some minutes
ok "${cofferkms[@]}" enable-key --key-id "$id"
status_is $lost-recoverable
set_clock +1126000
status_is $lost
fails 5 "$lost" "${coffer[@]}" volume start "$store:v"
fails 5 "$lost" "${coffer[@]}" volume read "$store:v" 0 4096
ok "${coffer[@]}" snapshot restore "$store:v@s" "$store:w"
contents w
ok "${coffer[@]}" volume delete "$store:v" --yes
ok "${coffer[@]}" check "$store"
stop
finish
