#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Keys that are unknown, disabled, or behind a wrong passphrase: exit 3, a sentence, and nothing
# changed.
. "$(dirname "$0")/lib.sh"
make_store 64M
id=$(make_key)
arn=$("$COFFERKMS" describe-key --key-id "$id" --query KeyMetadata.Arn --output text)
ok "$COFFER" volume create "$store:v" --size 4M --kms-key-id "$id"
printf secret | ok "$COFFER" volume write "$store:v" 0
ok "$COFFER" volume create "$store:plain" --size 4M --no-storage-encrypted
missing=${id%?????}00000

# Unknown keys, in each form.
for key in "$missing" "${arn%?????}00000" alias/nobody "${arn%key/*}alias/nobody"; do
    unchanged "$store" fails 3 'volume create' \
        "$COFFER" volume create "$store:w" --size 4K --kms-key-id "$key"
    unchanged "$store" fails 3 'volume create' \
        "$COFFER" volume create "$store:w" --size 4K --kms-key-id "$key" --dry-run
done
unchanged "$store" fails 3 '"class":"key","exit":3' \
    "$COFFER" volume create "$store:w" --size 4K --kms-key-id "$missing" --output json
fails 7 'volume describe' "$COFFER" volume describe "$store:w"

# A disabled key: what needs it is refused, the rest goes on, and enabling and starting mend it.
# That a volume's key is lost is noted in the store, once (key_loss.sh).
ok "$COFFERKMS" disable-key --key-id "$id"
fails 5 'disabled' "$COFFER" volume read "$store:v" 0 6
unchanged "$store" fails 5 'inaccessible' "$COFFER" volume export "$store:v" file
[ ! -e file ] || die "a refused export made a file"
unchanged "$store" fails 5 'inaccessible' "$COFFER" volume write "$store:v" 0 <root
unchanged "$store" fails 5 'inaccessible' "$COFFER" volume import "$store:v" root
# Of 256 names one has the hint of the lost volume's, whose name nobody can read: so it may be that.
new=w
"$COFFER" volume create "$store:w" --size 4K --kms-key-id "$id" >out 2>err && die "no failure"
! grep -q inaccessible err || new=x
unchanged "$store" fails 3 'disabled' \
    "$COFFER" volume create "$store:$new" --size 4K --kms-key-id "$id"
"$COFFER" volume create "$store:w" --size 4K --kms-key-id "$id" --dry-run >out 2>err &&
    die "no failure"
grep -q '^KeyState: Disabled$' out || die "the dry run does not show the key's state"
prints inaccessible-encryption-credentials-recoverable "$COFFER" volume describe "$store:v" \
    --query Status
prints KEY_DISABLED "$COFFER" volume describe "$store:v" --query Inaccessible
prints "$arn" "$COFFER" volume describe "$store:v" --query KmsKeyId
ok "$COFFER" volume read "$store:plain" 0 512
ok "$COFFERKMS" enable-key --key-id "$id"
ok "$COFFER" volume start "$store:v"
prints secret "$COFFER" volume read "$store:v" 0 6

# A missing key store; plain volumes need none.
gone=(env COFFER_KMS="file:$work/gone")
unchanged "$store" fails 3 'volume read' "${gone[@]}" "$COFFER" volume read "$store:v" 0 6
unchanged "$store" fails 3 '"exit":3' "${gone[@]}" "$COFFER" volume read "$store:v" 0 6 \
    --output json
unchanged "$store" fails 3 'volume create' "${gone[@]}" \
    "$COFFER" volume create "$store:w" --size 4K --kms-key-id "$id"
unchanged "$store" ok "${gone[@]}" "$COFFER" volume read "$store:plain" 0 512
unchanged "$store" ok "${gone[@]}" "$COFFER" volume list "$store"
grep -q 'sealed' err || die "the list does not say why names are sealed"
unchanged "$store" prints "$arn" "${gone[@]}" "$COFFER" volume describe "$store:v" --query KmsKeyId
unchanged "$store" ok "${gone[@]}" "$COFFER" check "$store"
grep -q 'no key store' err || die "check does not say that it was keyless"
unchanged "$store" fails 3 'check' "$COFFER" check "$store" --kms "file:$work/gone"
ok "$COFFER" check "$store" --keyless
[ ! -e gone ] || die "a refused command made a key store"
unchanged "$store" fails 2 'names no key service' env COFFER_KMS=ftp://host \
    "$COFFER" volume read "$store:v" 0 6
unchanged "$store" fails 3 'root key file' env COFFER_ROOT_KEY_FILE="$work/gone" \
    "$COFFER" check "$store"

# Another key store, which has not this key.
other=(env COFFER_KMS="file:$work/other" COFFER_ROOT_KEY_FILE="$work/root2")
(umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >root2)
ok "${other[@]}" "$COFFERKMS" create-key
unchanged "$store" fails 3 'volume read' "${other[@]}" "$COFFER" volume read "$store:v" 0 6

# A wrong root key, a wrong passphrase, none at all.
unchanged "$store" fails 3 'root key' env COFFER_ROOT_KEY_FILE="$work/root2" \
    "$COFFER" volume read "$store:v" 0 6
unchanged "$store" fails 3 . env -u COFFER_ROOT_KEY_FILE \
    "$COFFER" volume read "$store:v" 0 6 </dev/null
printf 'right\n' >right && printf 'wrong\n' >wrong && chmod 600 right wrong
pass=(env -u COFFER_ROOT_KEY_FILE COFFER_KMS="file:$work/passkeys"
    COFFER_PASSPHRASE_FILE="$work/right")
ok "${pass[@]}" "$COFFER" volume create "$store:p" --size 4K
ok "${pass[@]}" "$COFFER" volume read "$store:p" 0 6
bad=(env -u COFFER_ROOT_KEY_FILE COFFER_KMS="file:$work/passkeys"
    COFFER_PASSPHRASE_FILE="$work/wrong")
unchanged "$store" fails 3 'passphrase' "${bad[@]}" "$COFFER" volume read "$store:p" 0 6
unchanged passkeys fails 3 'passphrase' "${bad[@]}" "$COFFER" check "$store"
unchanged "$store" fails 3 . "${bad[@]}" "$COFFER" volume create "$store:q" --size 4K
ok env -u COFFER_ROOT_KEY_FILE COFFER_KMS="file:$work/passkeys" \
    "$COFFER" volume read "$store:p" 0 6 \
    --passphrase-command 'echo right'
exec 8<right
ok env -u COFFER_ROOT_KEY_FILE COFFER_KMS="file:$work/passkeys" \
    "$COFFER" volume read "$store:p" 0 6 \
    --passphrase-fd 8
exec 8<&-
finish
