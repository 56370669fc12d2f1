#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Both programs with their keys in a service elsewhere: by loopback, by a unix socket, by TLS; what
# they say when it refuses, is not itself, or is gone.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/common_served.sh"

ok "$COFFERKMS" access-key create --user root --output json
cp out key.json
id=$(jq -r .AccessKey.AccessKeyId key.json)
secret=$(jq -r .AccessKey.SecretAccessKey key.json)
local_id=$(make_key)
ok "$COFFERKMS" describe-key --key-id "$local_id" --output json
cp out described

# ---- cofferkms over loopback ---------------------------------------------------------------------

serve --listen 127.0.0.1:0
export COFFER_KMS=http://$address
fails 2 'AWS_ACCESS_KEY_ID' "$COFFERKMS" list-keys
# shellcheck disable=SC2031 # what subshells set is theirs
export AWS_ACCESS_KEY_ID=$id AWS_SECRET_ACCESS_KEY=$secret
ok "$COFFERKMS" describe-key --key-id "$local_id" --output json
cmp -s out described || die "a key is described otherwise over HTTP: $(diff out described)"
matches "$local_id" "$COFFERKMS" list-keys
key=$(make_key)
printf 'a plaintext' >plain
ok "$COFFERKMS" encrypt --key-id "$key" --plaintext fileb://plain --encryption-context a=b \
    --query CiphertextBlob --output text
base64 -d <out >blob
ok "$COFFERKMS" decrypt --ciphertext-blob fileb://blob --encryption-context a=b --query Plaintext \
    --output text
[ "$(base64 -d <out)" = 'a plaintext' ] || die "something else was decrypted"
fails 3 InvalidCiphertextException "$COFFERKMS" decrypt --ciphertext-blob fileb://blob
fails 3 NotFoundException "$COFFERKMS" describe-key --key-id alias/none
ok "$COFFERKMS" disable-key --key-id "$key"
fails 3 DisabledException "$COFFERKMS" encrypt --key-id "$key" --plaintext fileb://plain
ok "$COFFERKMS" enable-key --key-id "$key"

# What only the file's own program can do says so; what is no service is refused.
fails 2 'file' "$COFFERKMS" serve --unix s2
fails 2 'must begin with https://' env COFFER_KMS=http://192.0.2.1 "$COFFERKMS" list-keys
fails 3 SignatureDoesNotMatch env AWS_SECRET_ACCESS_KEY=wrong "$COFFERKMS" list-keys
fails 3 InvalidClientTokenId env AWS_ACCESS_KEY_ID=AKIAAAAAAAAAAAAAAAAA "$COFFERKMS" list-keys
! grep -q "$secret" log || die "the secret is in the server's log"

# ---- volumes -------------------------------------------------------------------------------------

make_store 128M
random_bytes 1000000 >data
ok "$COFFER" volume create "$store:v" --size 4M --kms-key-id "$key"
ok "$COFFER" volume import "$store:v" data
ok "$COFFER" volume export "$store:v" back
cmp -s -n 1000000 data back || die "something else came back"
ok "$COFFERKMS" disable-key --key-id "$key"
fails 5 'inaccessible-encryption-credentials' "$COFFER" volume export "$store:v" back2
ok "$COFFERKMS" enable-key --key-id "$key"
ok "$COFFER" volume start "$store:v"
ok "$COFFER" volume export "$store:v" back1
cmp -s -n 1000000 data back1 || die "something else came back with the key"
[ ! -e back2 ] || die "an export without its key left a file"

# ---- a unix socket, TLS, and nothing at all ------------------------------------------------------

stop
fails 3 'cannot reach the key service' "$COFFERKMS" list-keys
fails 3 'cannot reach the key service' "$COFFER" volume export "$store:v" back2

serve --unix "$work/s"
COFFER_KMS=unix:$work/s matches "$key" "$COFFERKMS" list-keys
stop

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test \
    -addext subjectAltName=IP:127.0.0.1 -keyout tls.key -out tls.pem 2>/dev/null
chmod 600 tls.key
serve --listen 127.0.0.1:0 --tls-cert tls.pem --tls-key tls.key
export COFFER_KMS=https://$address
matches "$key" "$COFFERKMS" list-keys --kms-ca-file tls.pem
COFFER_KMS_CA_FILE=tls.pem matches "$key" "$COFFERKMS" list-keys
fails 3 'cannot reach the key service' "$COFFERKMS" list-keys
fails 2 'cannot read the CA certificates' "$COFFERKMS" list-keys --kms-ca-file none
COFFER_KMS_CA_FILE=tls.pem ok "$COFFER" volume export "$store:v" back3
cmp -s -n 1000000 data back3 || die "something else came back by TLS"
stop
finish
