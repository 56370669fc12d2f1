#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# After a server has encrypted, decrypted, drawn data keys, taken material from outside and given a
# session, no plaintext, data key, material, secret or token of an access key, and nothing that
# opened the store (root key file, passphrase, PIN, a TPM's auth value) stands in its memory, its
# log, its store or a copy of it, or its audit trail. Controls: what does stand in its memory, and
# planted copies.
. "$(dirname "$0")/lib_residue.sh"
. "$(dirname "$0")/common_tpm.sh"
server=
tpm=
trap 'kill -9 $server $tpm 2>/dev/null || true; rm -rf "$work"' EXIT

serve() {
    "$COFFERKMS" serve --unix s 2>>log &
    server=$!
    while [ ! -S s ]; do
        kill -0 "$server" 2>/dev/null || die "it does not start: $(cat log)"
        sleep 0.02
    done
}
stop() {
    kill "$server"
    wait "$server" || die "it ended with $?: $(cat log)"
    server=
}

member() { # FILE NAME: a text of the JSON in FILE
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]], end="")' "$@"
}
remote() { AWS_ACCESS_KEY_ID=$id AWS_SECRET_ACCESS_KEY=$secret AWS_SESSION_TOKEN=$token \
    "$COFFERKMS" "$@" --kms "unix:$work/s"; }

key=$(make_key)
printf '%s' "$key" >key-id
"$COFFERKMS" access-key create --user root --output-file made --output json >/dev/null
id=$(member made AccessKeyId) secret=$(member made SecretAccessKey) token=
printf '%s' "$secret" >access-secret
external=$("$COFFERKMS" create-key --origin EXTERNAL --query KeyMetadata.KeyId --output text)
random_bytes 32 >plain
random_bytes 32 >material
python3 -c 'print(bytes.fromhex(open("root").read()).hex(), end="")' | cmp -s - root ||
    die "the root key file is not what this test takes it for"
python3 -c 'open("root-bytes", "wb").write(bytes.fromhex(open("root").read()))'
secrets=(plaintext=plain "data key=data-key" material=material "access key secret=access-secret"
    "session secret=session-secret" "session token=session-token" "root key file=root-bytes")

serve
ok remote token get --output-file session --output json
id=$(member session AccessKeyId) secret=$(member session SecretAccessKey)
token=$(member session SessionToken)
printf '%s' "$secret" >session-secret
printf '%s' "$token" >session-token
for ((i = 0; i < 5; i++)); do
    remote encrypt --key-id "$key" --plaintext fileb://plain --query CiphertextBlob \
        --output text >blob
    prints "$(base64 <plain)" remote decrypt --ciphertext-blob file://blob --query Plaintext \
        --output text
    ok remote generate-data-key --key-id "$key" --key-spec AES_256 --query Plaintext --output text
done
base64 -d <out >data-key
remote get-parameters-for-import --key-id "$external" --wrapping-algorithm RSAES_OAEP_SHA_256 \
    --wrapping-key-spec RSA_2048 --output json >parameters
member parameters PublicKey | base64 -d >public
member parameters ImportToken | base64 -d >import-token
openssl pkeyutl -encrypt -pubin -inkey public -keyform DER -in material -out wrapped \
    -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 2>err ||
    die "openssl does not wrap: $(cat err)"
ok remote import-key-material --key-id "$external" --import-token fileb://import-token \
    --encrypted-key-material fileb://wrapped --expiration-model KEY_MATERIAL_DOES_NOT_EXPIRE
remote encrypt --key-id "$external" --plaintext fileb://plain --query CiphertextBlob \
    --output text >blob
ok remote decrypt --ciphertext-blob file://blob
ok "$COFFERKMS" store backup --to copy
"$COFFERKMS" audit export >trail
clean --memory "$server" --control key-id --file log --file keys --file keys-wal --file copy \
    --file trail "${secrets[@]}"
base64 <material >planted
planted 'material as base64 stands in planted' --file log --file planted "${secrets[@]}"
stop
PLANTED=$(base64 <plain) serve
planted 'plaintext as base64 stands in memory' --memory "$server" "${secrets[@]}"
stop

# What opens the store: the passphrase, the PIN of a token, and the auth value of a TPM.
random_bytes 24 | base64 >passphrase
tr -d '\n' <passphrase >phrase
chmod 600 passphrase
unset COFFER_ROOT_KEY_FILE
export COFFER_KMS=file:$work/phrased COFFER_PASSPHRASE_FILE=$work/passphrase
make_key | tr -d '\n' >key-id
serve
ok "$COFFERKMS" describe-key --key-id "$(cat key-id)"
clean --memory "$server" --file log --file phrased passphrase=phrase
stop
unset COFFER_PASSPHRASE_FILE

for place in "${SOFTHSM2_MODULE:-}" /usr/lib{,64}/{softhsm,pkcs11}/libsofthsm2.so; do
    [ ! -r "$place" ] || module=${module:-$place}
done
if [ -n "${module:-}" ] && command -v softhsm2-util >/dev/null; then
    mkdir tokens
    printf 'directories.tokendir = %s/tokens\nlog.level = ERROR\n' "$work" >softhsm.conf
    export SOFTHSM2_CONF=$work/softhsm.conf
    random_bytes 18 | base64 >pin
    tr -d '\n' <pin >pin-text
    chmod 600 pin
    softhsm2-util --init-token --free --label box --pin "$(cat pin)" --so-pin 43214321 >/dev/null
    export COFFER_KMS=file:$work/boxed
    export COFFER_ROOT_KEY_FILE="pkcs11:token=box;object=root?module-path=$module"
    COFFER_ROOT_KEY_FILE+="&pin-source=file:$work/pin"
    make_key >key-id
    serve
    clean --memory "$server" --file log --file boxed PIN=pin-text
    stop
else
    echo "without the PIN of a token: SoftHSM (softhsm2) is not installed"
fi

if command -v swtpm >/dev/null; then
    random_bytes 21 | base64 >auth
    tr -d '\n' <auth >auth-text
    chmod 600 auth
    start_tpm
    export COFFER_KMS=file:$work/chipped
    export COFFER_ROOT_KEY_FILE="tpm2:$work/sealed?auth-source=file:$work/auth"
    COFFER_ROOT_KEY_FILE+="&tcti=swtpm:host=127.0.0.1,port=$port"
    printf '%s' "$COFFER_ROOT_KEY_FILE" >uri
    make_key >key-id
    serve
    clean --memory "$server" --control uri --file log --file chipped --file sealed \
        "auth value=auth-text"
    stop
    PLANTED=$(cat auth) serve
    planted 'auth value stands in memory' --memory "$server" "auth value=auth-text"
    stop
else
    echo "without the auth value of a TPM: swtpm is not installed"
fi
finish
