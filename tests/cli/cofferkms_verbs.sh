#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every verb of cofferkms, spelled as `aws kms`, end to end from the shell.
set -u
: "${COFFERKMS:?}"
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
unset COFFER_PASSPHRASE_FILE
export COFFER_KMS=file:$dir/keys COFFER_ROOT_KEY_FILE=$dir/root
failed=0
fail() { echo "FAIL line ${BASH_LINENO[0]}: $*"; failed=1; }
is() { [ "$1" = "$2" ] || fail "'$1' is not '$2'"; }
# exits CODE COMMAND...: the command ends with CODE and, on failure, says one line on stderr.
exits() {
    local want=$1 got; shift
    "$@" >out 2>err; got=$?
    [ "$got" = "$want" ] || fail "$* gave $got, not $want: $(cat err)"
    [ "$want" = 0 ] || [ "$(wc -l <err)" = 1 ] || fail "$*: not one line: $(cat err)"
}
k() { "$COFFERKMS" "$@"; }
text() { k "$@" --output text; }

head -c 32 /dev/urandom >root; chmod 600 root

# The store is made on first use, with a sentence; an empty account has no key.
is "$(text list-keys --query 'length(Keys)' 2>note)" 0
grep -q "made the key store $dir/keys" note || fail "no sentence about the new store"
is "$(stat -c %a keys)" 600
is "$(text list-keys --query 'length(Keys)' 2>&1)" 0

key=$(text create-key --description 'first' --query KeyMetadata.KeyId)
arn=$(text describe-key --key-id "$key" --query KeyMetadata.Arn)
is "$arn" "arn:coffer:kms:local-1:000000000000:key/$key"
exits 0 k create-alias --alias-name alias/one --target-key-id "$key"
for form in "$key" "$arn" alias/one arn:coffer:kms:local-1:000000000000:alias/one; do
    is "$(text describe-key --key-id "$form" --query KeyMetadata.Arn)" "$arn"
done
is "$(text describe-key --key-id "$key" --query KeyMetadata.KeyManager)" CUSTOMER
is "$(text list-aliases --query 'Aliases[0].TargetKeyId')" "$key"
is "$(text list-keys --query 'Keys[0].KeyArn')" "$arn"

# Encrypt and decrypt, each source of bytes.
printf 'attack at dawn' >plain
text encrypt --key-id alias/one --plaintext fileb://plain --encryption-context a=bc \
    --query CiphertextBlob | base64 -d >blob
text decrypt --ciphertext-blob fileb://blob --encryption-context a=bc --query Plaintext |
    base64 -d >back
cmp plain back || fail "decrypt gave something else"
text encrypt --key-id "$key" --plaintext - <plain --query CiphertextBlob >blob64
is "$(text decrypt --ciphertext-blob file://blob64 --query Plaintext | base64 -d)" 'attack at dawn'
is "$(text decrypt --ciphertext-blob "$(cat blob64)" --query Plaintext | base64 -d)" \
   'attack at dawn'
is "$(base64 -d <blob64 | text decrypt --ciphertext-blob - --query Plaintext | base64 -d)" \
   'attack at dawn'
base64 <plain >plain64
is "$(text encrypt --key-id "$key" --plaintext file://plain64 --query EncryptionAlgorithm)" \
   SYMMETRIC_DEFAULT

# Contexts: the pair that joins without lengths; order; JSON; doubled keys.
exits 3 k decrypt --ciphertext-blob fileb://blob --encryption-context ab=c
exits 3 k decrypt --ciphertext-blob fileb://blob
text encrypt --key-id "$key" --plaintext fileb://plain --encryption-context x=1,y=2 \
    --query CiphertextBlob | base64 -d >blob2
exits 0 k decrypt --ciphertext-blob fileb://blob2 --encryption-context '{"y":"2","x":"1"}'
exits 2 k decrypt --ciphertext-blob fileb://blob2 --encryption-context 'x=1,x=1'
exits 2 k decrypt --ciphertext-blob fileb://blob2 --encryption-context '{"x":"1","x":"1"}'
exits 2 k decrypt --ciphertext-blob fileb://blob2 --encryption-context '{"x":1}'
exits 2 k decrypt --ciphertext-blob fileb://blob2 --encryption-context 'nonsense'

# Re-encrypt.
other=$(text create-key --query KeyMetadata.KeyId)
text re-encrypt --ciphertext-blob fileb://blob --source-encryption-context a=bc \
    --destination-key-id "$other" --destination-encryption-context v=2 \
    --query CiphertextBlob | base64 -d >moved
is "$(text decrypt --ciphertext-blob fileb://moved --encryption-context v=2 --query KeyId)" \
   "arn:coffer:kms:local-1:000000000000:key/$other"
exits 3 k decrypt --ciphertext-blob fileb://moved --key-id "$key" --encryption-context v=2

# Data keys.
k generate-data-key --key-id alias/coffer/default --key-spec AES_256 --output json >data
field() { sed -n "s/.*\"$1\": \"\([^\"]*\)\".*/\1/p" data; }
is "$(field Plaintext | base64 -d | wc -c)" 32
field CiphertextBlob | base64 -d >wrapped
is "$(text decrypt --ciphertext-blob fileb://wrapped --query Plaintext)" "$(field Plaintext)"
exits 0 k generate-data-key-without-plaintext --key-id "$key" --number-of-bytes 64 --output json
grep -q Plaintext out && fail "a plaintext was shown"
exits 2 k generate-data-key --key-id "$key"
exits 2 k generate-data-key --key-id "$key" --key-spec AES_256 --number-of-bytes 3
exits 2 k generate-data-key --key-id "$key" --number-of-bytes 1025
exits 2 k generate-data-key --key-id "$key" --number-of-bytes 0

# The managed default key.
is "$(text describe-key --key-id alias/coffer/default --query KeyMetadata.KeyManager)" COFFER
default=$(text describe-key --key-id alias/coffer/default --query KeyMetadata.KeyId)
exits 3 k disable-key --key-id "$default"
exits 3 k create-alias --alias-name alias/coffer/mine --target-key-id "$key"

# States.
exits 0 k disable-key --key-id "$key"
is "$(text describe-key --key-id "$key" --query KeyMetadata.KeyState)" Disabled
exits 3 k encrypt --key-id "$key" --plaintext fileb://plain
exits 3 k decrypt --ciphertext-blob fileb://blob --encryption-context a=bc
exits 0 k enable-key --key-id "$arn"
exits 0 k decrypt --ciphertext-blob fileb://blob --encryption-context a=bc

# Pages.
is "$(text list-keys --limit 1 --query 'length(Keys)' 2>note)" 1
grep -q 'more follow' note || fail "no word about the next page"
marker=$(text list-keys --limit 2 --query NextMarker 2>/dev/null)
is "$(text list-keys --limit 2 --marker "$marker" --query 'length(Keys)')" 1
exits 2 k list-keys --limit 0
exits 2 k list-keys --marker nonsense

# A plaintext never stands on the command line; sizes are bounded.
exits 2 k encrypt --key-id "$key" --plaintext secret
grep -q 'never taken from the command line' err || fail "$(cat err)"
: >none; exits 2 k encrypt --key-id "$key" --plaintext fileb://none
head -c 4097 /dev/zero >big; exits 2 k encrypt --key-id "$key" --plaintext fileb://big
head -c 4096 /dev/zero >most; exits 0 k encrypt --key-id "$key" --plaintext fileb://most
exits 7 k encrypt --key-id "$key" --plaintext fileb://absent
exits 2 k encrypt --key-id "$key"
exits 2 k decrypt --ciphertext-blob '!!'
exits 3 k decrypt --ciphertext-blob fileb://most

# Unknown keys and taken names.
exits 3 k describe-key --key-id 00000000-0000-4000-8000-000000000000
exits 3 k describe-key --key-id alias/none
exits 5 k create-alias --alias-name alias/one --target-key-id "$other"
exits 2 k create-alias --alias-name one --target-key-id "$other"
exits 2 k enable-key --key-id alias/one

# No plaintext and no key in the store's files.
grep -qs 'attack at dawn' keys keys-wal && fail "a plaintext is in the store"
exit $failed
