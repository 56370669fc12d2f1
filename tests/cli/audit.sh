#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The audit trail: queried by key, caller, class, volume and time; a head that is kept shows a trail
# that was cut off; an altered record gives integrity's exit code; nothing secret in an export.
. "$(dirname "$0")/lib.sh"
make_store 64M
id=$(make_key)
ok "$COFFER" volume create "$store:v" --size 4M --kms-key-id "$id"
printf 'top secret' >plain
ok "$COFFERKMS" encrypt --key-id "$id" --plaintext fileb://plain
"$COFFERKMS" describe-key --key-id alias/nobody 2>err && die "no failure"

count() { "$COFFERKMS" audit query "$@" --query 'length(Events)' --output text; }
[ "$(count --key-id "$id" --event-name Encrypt)" = 1 ] || die "one Encrypt of the key"
[ "$(count --class creation)" -ge 1 ] || die "a key was made"
[ "$(count --class usage --limit 1)" = 1 ] || die "--limit shows so many"
[ "$(count --since 2000-01-01 --until 2001-01-01)" = 0 ] || die "nothing was done in 2000"
[ "$(count --since 2000-01-01)" = "$(count)" ] || die "all was done since 2000"
fails 2 'is no time' "$COFFERKMS" audit query --since yesterday
uuid=$("$COFFERKMS" audit query --class usage --output json --query \
    'Events[0].requestParameters.encryptionContext."coffer:volume"' | tr -d '"')
[ "$(count --volume "$uuid")" -ge 1 ] || die "the volume's key was used"
prints KEY_NOT_FOUND "$COFFERKMS" audit query --event-name DescribeKey \
    --query 'Events[-1].errorCode' --output text

# What uses the key: the volume, and whoever encrypted.
"$COFFERKMS" key-usage "$id" --output json >usage
jq -e '[.Users[].User] | sort == ["other", "volume"]' usage >/dev/null || die "two users"

# Export: a line an event, and the head; no plaintext.
"$COFFERKMS" audit export >trail || die "export"
jq -es '.[-1].head.Records == (length - 1)' trail >/dev/null || die "the head counts the lines"
! grep -q 'top secret\|dG9wIHNlY3JldA' trail || die "a plaintext in the trail"

# A head that is kept: the trail may grow, and not shrink.
ok "$COFFERKMS" audit verify --head-file head
ok "$COFFERKMS" encrypt --key-id "$id" --plaintext fileb://plain
ok "$COFFERKMS" audit verify --head-file head
keys=${COFFER_KMS#file:}
sqlite3 "$keys" "CREATE TABLE t AS SELECT sql FROM sqlite_schema WHERE name = 'audit_is_kept';
    DROP TRIGGER audit_is_kept; DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit);" \
    || die "cut"
trigger=$(sqlite3 "$keys" "SELECT sql FROM t; DROP TABLE t;")
sqlite3 "$keys" "$trigger"
ok "$COFFERKMS" audit verify
fails 4 'cut off' "$COFFERKMS" audit verify --head-file head
