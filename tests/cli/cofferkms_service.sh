#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The verbs of cofferkms beyond keys and encryption: grants, policies, rotation, tags, deletion, dry
# runs, batches; options as `aws kms` spells them; errors by the names of the service.
. "$(dirname "$0")/lib.sh"
unset COFFER_PASSPHRASE_FILE
export COFFER_KMS=file:$PWD/keys COFFER_ROOT_KEY_FILE=$PWD/root
head -c 32 /dev/urandom >root && chmod 600 root
k=$COFFERKMS
text() { "$k" "$@" --output text 2>/dev/null; }
is() { checks=$((checks + 1)); [ "$1" = "$2" ] || die "'$1' is not '$2'"; }
user=arn:coffer:iam::000000000000:user/alice

key=$(text create-key --description one --tags TagKey=a,TagValue=b TagKey=c,TagValue= \
    --query KeyMetadata.KeyId)
is "${#key}" 36
is "$(text list-resource-tags --key-id "$key" --query 'length(Tags)')" 2
ok "$k" tag-resource --key-id "$key" --tags '[{"TagKey":"d","TagValue":"e=f,g"}]'
is "$(text list-resource-tags --key-id "$key" --query "Tags[?TagKey=='d'].TagValue | [0]")" e=f,g
ok "$k" untag-resource --key-id "$key" --tag-keys a c
is "$(text list-resource-tags --key-id "$key" --query 'Tags[].TagKey | [0]')" d
fails 2 TagException "$k" tag-resource --key-id "$key" --tags TagKey=aws:x,TagValue=y
fails 2 'is not k=v' "$k" tag-resource --key-id "$key" --tags nonsense

ok "$k" update-key-description --key-id "$key" --description two
is "$(text describe-key --key-id "$key" --query KeyMetadata.Description)" two

# Aliases move and go.
other=$(text create-key --query KeyMetadata.KeyId)
ok "$k" create-alias --alias-name alias/n --target-key-id "$key"
ok "$k" update-alias --alias-name alias/n --target-key-id "$other"
is "$(text describe-key --key-id alias/n --query KeyMetadata.KeyId)" "$other"
ok "$k" delete-alias --alias-name alias/n
fails 3 NotFoundException "$k" describe-key --key-id alias/n

# Grants: words until the next option, nested maps, tokens.
ok "$k" create-grant --key-id "$key" --grantee-principal "$user" --operations Encrypt Decrypt \
    --constraints 'EncryptionContextSubset={a=b,c=d}' --name n --output json
grant=$("$k" list-grants --key-id "$key" --query 'Grants[0].GrantId' --output text)
is "$(text list-grants --key-id "$key" --query 'Grants[0].Constraints.EncryptionContextSubset.c')" d
is "$(text list-grants --key-id "$key" --query 'length(Grants[0].Operations)')" 2
ok "$k" revoke-grant --key-id "$key" --grant-id "$grant" --no-dry-run
is "$(text list-grants --key-id "$key" --query 'length(Grants)')" 0
token=$(text create-grant --key-id "$key" --grantee-principal "$user" --operations Decrypt \
    --retiring-principal "$user" --query GrantToken)
is "$(text list-retirable-grants --retiring-principal "$user" --query 'length(Grants)')" 1
ok "$k" retire-grant --grant-token "$token"
fails 3 InvalidGrantTokenException "$k" describe-key --key-id "$key" --grant-tokens x
fails 2 ValidationException "$k" create-grant --key-id "$key" --grantee-principal "$user" \
    --operations Explode
fails 2 'give NAME=\{k=v' "$k" create-grant --key-id "$key" --grantee-principal "$user" \
    --operations Decrypt --constraints a=b

# Dry runs.
printf hello >plain
fails 5 DryRunOperationException "$k" encrypt --key-id "$key" --plaintext fileb://plain --dry-run

# Policies, from a file as well.
is "$(text list-key-policies --key-id "$key" --query 'PolicyNames[0]')" default
text get-key-policy --key-id "$key" --query Policy >policy
ok "$k" put-key-policy --key-id "$key" --policy file://policy
fails 2 MalformedPolicyDocumentException "$k" put-key-policy --key-id "$key" --policy '{'
fails 7 'cannot read --policy' "$k" put-key-policy --key-id "$key" --policy file://absent

# Rotation.
ok "$k" enable-key-rotation --key-id "$key" --rotation-period-in-days 90
is "$(text get-key-rotation-status --key-id "$key" --query RotationPeriodInDays)" 90
ok "$k" disable-key-rotation --key-id "$key"
ok "$k" rotate-key-on-demand --key-id "$key"
is "$(text list-key-rotations --key-id "$key" --query 'Rotations[0].RotationType')" ON_DEMAND
matches '20[0-9-]*T[0-9:.]*\+00:00' "$k" list-key-rotations --key-id "$key" --query \
    'Rotations[0].RotationDate' --output text

# Random bytes, and many ciphertexts at once.
is "$(text generate-random --number-of-bytes 3 --query Plaintext | base64 -d | wc -c)" 3
blob=$(text encrypt --key-id "$key" --plaintext fileb://plain --query CiphertextBlob)
printf '[{"CiphertextBlob":"%s"},{"CiphertextBlob":"QUJD"}]' "$blob" >entries
ok "$k" coffer-re-encrypt-batch --destination-key-id "$other" --entries file://entries \
    --output json
grep -q InvalidCiphertextException out || die "the second entry has no error: $(cat out)"
moved=$("$k" coffer-re-encrypt-batch --destination-key-id "$other" --entries file://entries \
    --query 'Results[0].CiphertextBlob' --output text)
is "$(text decrypt --ciphertext-blob "$moved" --query Plaintext | base64 -d)" hello

# A key rotates from the beginning; one that can't is there, and the line says so.
key=$(text create-key --enable-rotation --rotation-period-in-days 100 --query KeyMetadata.KeyId)
is "$(text get-key-rotation-status --key-id "$key" --query RotationPeriodInDays)" 100
key=$(text create-key --enable-rotation --query KeyMetadata.KeyId)
is "$(text get-key-rotation-status --key-id "$key" --query RotationPeriodInDays)" 365
fails 2 'goes with --enable-rotation' "$k" create-key --rotation-period-in-days 100
if "$k" create-key --key-spec HMAC_256 --key-usage GENERATE_VERIFY_MAC --enable-rotation 2>err; then
    die "an HMAC key rotates"
fi
grep -q 'was made all the same, and does not rotate' err || die "no word of the key: $(cat err)"
key=$("$k" create-key --output text --query KeyMetadata.KeyId)

# Two pairs share a secret, and one of them may be openssl's.
pair=$(text create-key --key-spec ECC_NIST_P256 --key-usage KEY_AGREEMENT \
    --query KeyMetadata.KeyId)
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out peer 2>/dev/null
openssl pkey -in peer -pubout -outform DER -out peer.der
text get-public-key --key-id "$pair" --query PublicKey | base64 -d >ours.der
openssl pkeyutl -derive -inkey peer -peerform DER -peerkey ours.der -out want
text derive-shared-secret --key-id "$pair" --key-agreement-algorithm ECDH \
    --public-key fileb://peer.der --query SharedSecret | base64 -d >got
cmp -s want got || die "another secret than openssl's"
fails 2 ValidationException "$k" derive-shared-secret --key-id "$pair" \
    --key-agreement-algorithm ECDH --public-key fileb://plain

# A key in two regions, and which of them is the primary.
mrk=$(text create-key --multi-region --query KeyMetadata.KeyId)
ok "$k" replicate-key --key-id "$mrk" --replica-region far-1 --description there
family=KeyMetadata.MultiRegionConfiguration
is "$(text describe-key --key-id "$mrk" --query "$family.ReplicaKeys[0].Region")" far-1
ok "$k" update-primary-region --key-id "$mrk" --primary-region far-1
is "$(text describe-key --key-id "$mrk" --query "$family.PrimaryKey.Region")" far-1
is "$(text describe-key --key-id "$mrk" --query "$family.MultiRegionKeyType")" REPLICA

# Deletion waits, and can be called off.
fails 2 ValidationException "$k" schedule-key-deletion --key-id "$key" --pending-window-in-days 6
is "$(text schedule-key-deletion --key-id "$key" --pending-window-in-days 7 --query KeyState)" \
    PendingDeletion
fails 3 KMSInvalidStateException "$k" encrypt --key-id "$key" --plaintext fileb://plain
ok "$k" cancel-key-deletion --key-id "$key"
is "$(text describe-key --key-id "$key" --query KeyMetadata.KeyState)" Disabled

# Errors have the service's names.
fails 3 '"code":"NotFoundException"' "$k" describe-key --key-id alias/none --output json
finish
