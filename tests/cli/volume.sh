#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Stores and volumes: made, shown, listed, resized, deleted; the reference documents' fields.
. "$(dirname "$0")/lib.sh"

make_store 128M
matches '^Size: 128 MiB$' "$COFFER" store describe "$store"
prints 134217728 "$COFFER" store describe "$store" --query Size
prints 1048576 "$COFFER" store describe "$store" --query SegmentSize
prints 0 "$COFFER" store describe "$store" --query VolumeCount
prints 1.0 "$COFFER" store describe "$store" --query FormatVersion
prints 1 "$COFFER" store describe "$store" --query Version

# The managed default key is made on first use; a dry run makes nothing.
ok "$COFFER" volume create "$store:d" --size 8M --dry-run --output json
grep -q '"KeyState": "made on first use"' out || die "the dry run does not show the default key"
[ ! -e keys ] || die "a dry run made the key store"
unchanged "$store" ok "$COFFER" volume create "$store:d" --size 8M --dry-run
ok "$COFFER" volume create "$store:d" --size 8M
default=$("$COFFERKMS" describe-key --key-id alias/coffer/default --query KeyMetadata.Arn \
    --output text)
prints "$default" "$COFFER" volume describe "$store:d" --query KmsKeyId
ok "$COFFER" volume create "$store:e" --size 8M --dry-run --output json
grep -q '"Shareable": false' out || die "a managed key is shown as shareable"
grep -q "\"KmsKeyId\": \"$default\"" out || die "the dry run does not show the key's ARN"

# All four forms of a key's name give the same ARN.
id=$(make_key)
arn=$("$COFFERKMS" describe-key --key-id "$id" --query KeyMetadata.Arn --output text)
ok "$COFFERKMS" create-alias --alias-name alias/team --target-key-id "$id"
alias_arn=${arn%key/*}alias/team
ok "$COFFER" volume create "$store:x" --size 8M --kms-key-id alias/team --dry-run --output json
grep -q '"Shareable": true' out || die "a customer's key is not shown as shareable"
grep -q '"KeyState": "Enabled"' out || die "the key's state is not shown"
n=0
for form in "$id" "$arn" alias/team "$alias_arn"; do
    n=$((n + 1))
    ok "$COFFER" volume create "$store:k$n" --size 4M --kms-key-id "$form"
    prints "$arn" "$COFFER" volume describe "$store:k$n" --query KmsKeyId
done

# Encrypted by default; --storage-encrypted and --encrypted change nothing.
ok "$COFFER" volume create "$store:s" --size 4096 --storage-encrypted
ok "$COFFER" volume create "$store:t" --size 4K --encrypted
ok "$COFFER" volume create "$store:plain" --size 1M --no-storage-encrypted
for v in s t; do
    prints TRUE "$COFFER" volume describe "$store:$v" --query StorageEncrypted
    prints true "$COFFER" volume describe "$store:$v" --query StorageEncrypted --output json
    prints AES-256-GCM "$COFFER" volume describe "$store:$v" --query Cipher
    matches '^Encryption: Enabled$' "$COFFER" volume describe "$store:$v"
done
prints FALSE "$COFFER" volume describe "$store:plain" --query StorageEncrypted --output text
prints None "$COFFER" volume describe "$store:plain" --query KmsKeyId
prints None "$COFFER" volume describe "$store:plain" --query Cipher
matches '^Encryption: Not enabled$' "$COFFER" volume describe "$store:plain"
prints FALSE "$COFFER" volume describe "$store:s" --query IAMDatabaseAuthenticationEnabled
prints available "$COFFER" volume describe "$store:s" --query Status
prints 4096 "$COFFER" volume describe "$store:s" --query Size
matches '^vol-[0-9a-f]{24}$' "$COFFER" volume describe "$store:s" --query ResourceId
matches '^arn:coffer:coffer:local-1:000000000000:volume:s$' "$COFFER" volume describe "$store:s" \
    --query Arn
# The reference documents' own query.
prints TRUE "$COFFER" volume describe "$store:s" \
    --query "*[].{StorageEncrypted:StorageEncrypted}" --output text
prints "$(printf 's\tTRUE')" "$COFFER" volume describe "$store:s" --query '[Name,StorageEncrypted]'

# Lists.
prints 8 "$COFFER" volume list "$store" --query 'length(Volumes)'
prints 'd,k1,k2,k3,k4,plain,s,t' "$COFFER" volume list "$store" \
    --query "[].Name | join(',', sort(@))"
prints plain "$COFFER" volume list "$store" --query '[?!StorageEncrypted].Name'
COFFER_STORE=$store prints 8 "$COFFER" volume list --query 'length(Volumes)'
prints 8 "$COFFER" volume list --store "$store" --query 'length(Volumes)'
COFFER_STORE=$store prints s "$COFFER" volume describe s --query Name
matches '^Name +Status +Encryption +Size +ResourceId$' "$COFFER" volume list "$store"

# Without keys, what is sealed is not shown, and what is not sealed is.
rid=$("$COFFER" volume describe "$store:k1" --query ResourceId)
prints None "$COFFER" volume list "$store" --keyless --query "[?ResourceId=='$rid'].Name | [0]"
prints "$rid" "$COFFER" volume describe "$store:k1" --keyless --query ResourceId # by its pin
prints "$arn" "$COFFER" volume describe "$store:k1" --keyless --query KmsKeyId
prints locked "$COFFER" volume describe "$store:$rid" --keyless --query Status

# A volume keeps its key; the refusal names what does change it.
for option in "--kms-key-id $id" --no-storage-encrypted --storage-encrypted; do
    # shellcheck disable=SC2086
    unchanged "$store" fails 2 'snapshot copy.*rekey' "$COFFER" volume modify "$store:s" $option
done
fails 2 '"code":"InvalidParameterCombination"' \
    "$COFFER" volume modify "$store:s" --kms-key-id "$id" --output json
fails 2 'contradicts' \
    "$COFFER" volume create "$store:y" --size 4K --encrypted --no-storage-encrypted
fails 2 'no meaning' \
    "$COFFER" volume create "$store:y" --size 4K --kms-key-id "$id" --no-storage-encrypted

# Moving an alias does not move the volume.
id2=$(make_key)
prints "$arn" "$COFFER" volume describe "$store:k3" --query KmsKeyId

# Sizes.
ok "$COFFER" volume resize "$store:s" --size 1M
prints 1048576 "$COFFER" volume describe "$store:s" --query Size
unchanged "$store" fails 2 'give --yes' "$COFFER" volume resize "$store:s" --size 4K </dev/null
unchanged "$store" matches '^LosesData: true$' \
    "$COFFER" volume resize "$store:s" --size 4K --dry-run
ok "$COFFER" volume resize "$store:s" --size 4K --yes
prints 4096 "$COFFER" volume describe "$store:s" --query Size

# Deletion asks.
unchanged "$store" fails 2 'give --yes' "$COFFER" volume delete "$store:t" </dev/null
unchanged "$store" ok "$COFFER" volume delete "$store:t" --dry-run
ok "$COFFER" volume delete "$store:t" --yes
fails 7 '"?volume describe' "$COFFER" volume describe "$store:t"
prints 7 "$COFFER" volume list "$store" --query 'length(Volumes)'
ok "$COFFER" volume create "$store:t" --size 4K
[ -n "$id2" ] || die "no second key"

# The store grows and shrinks, where nothing is in the way.
unchanged "$store" matches '^NewSize: 512 MiB$' "$COFFER" store grow "$store" --size 512M --dry-run
ok "$COFFER" store grow "$store" --size 512M
prints 536870912 "$COFFER" store describe "$store" --query Size
fails 2 'store shrink' "$COFFER" store grow "$store" --size 64M
fails 2 'store grow' "$COFFER" store shrink "$store" --size 1G --yes
fails 2 'give --yes' "$COFFER" store shrink "$store" --size 128M </dev/null
ok "$COFFER" store shrink "$store" --size 128M --yes
prints 134217728 "$COFFER" store describe "$store" --query Size
ok "$COFFER" check "$store"
finish
