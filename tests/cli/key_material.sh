#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A volume on a key of imported material: the material expires or is deleted, beside the closed
# volume and under the lease of the open one, and the volume stops as with any key that is lost.
# Other material is refused; the same, imported again, and a start bring the contents back. The
# control: a volume on a key of another origin, in the same store, to which none of it happens.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/common_served.sh"
lost=inaccessible-encryption-credentials
forbids='PendingImport|a state that forbids'
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
    prints available "${coffer[@]}" volume describe "$store:other" --query Status
}
state_is() {
    prints "$1" "${cofferkms[@]}" describe-key --key-id "$id" --query KeyMetadata.KeyState \
        --output text
}
contents() {
    "${coffer[@]}" volume export "$store:$1" - | cmp - data || die "the contents of $1 differ"
}

# wrap MATERIAL: for the next import, as `wrapped` and `token`.
wrap() {
    "${cofferkms[@]}" get-parameters-for-import --key-id "$id" --wrapping-key-spec RSA_2048 \
        --wrapping-algorithm RSAES_OAEP_SHA_256 --output json >parameters
    jq -r .PublicKey parameters | base64 -d >public
    jq -r .ImportToken parameters | base64 -d >token
    openssl pkeyutl -encrypt -pubin -inkey public -keyform DER -in "$1" -out wrapped \
        -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 2>err ||
        die "openssl does not wrap: $(cat err)"
}
import() { # ARGUMENT...: what wrap has left
    "${cofferkms[@]}" import-key-material --key-id "$id" --import-token fileb://token \
        --encrypted-key-material fileb://wrapped "$@"
}
bring() { # UNTIL: the same material, to expire then; "never"
    wrap material
    if [ "$1" = never ]; then
        ok import --expiration-model KEY_MATERIAL_DOES_NOT_EXPIRE
    else
        ok import --expiration-model KEY_MATERIAL_EXPIRES --valid-to "$1"
    fi
    state_is Enabled
}

# is_lost: the key has no material, and the closed volume is stopped by that, for now.
is_lost() {
    state_is PendingImport
    status_is $lost-recoverable
    prints KEY_STATE "${coffer[@]}" volume describe "$store:v" --query Inaccessible
    fails 5 "$lost" "${coffer[@]}" volume read "$store:v" 0 4096
    fails 3 "$forbids" "${coffer[@]}" volume start "$store:v"
    fails 3 "$forbids" "${coffer[@]}" snapshot restore "$store:v@s" "$store:w"
}
# comes_back UNTIL: the same material is there again, and it takes a start, no more and no less.
comes_back() {
    bring "$1"
    status_is $lost-recoverable
    fails 5 "$lost" "${coffer[@]}" volume read "$store:v" 0 4096
    ok "${coffer[@]}" volume start "$store:v"
    status_is available
}

begin=$(date +%s)
id=$("${cofferkms[@]}" create-key --origin EXTERNAL --query KeyMetadata.KeyId --output text)
random_bytes 32 >material
random_bytes 32 >foreign
make_store 128M
ok "${coffer[@]}" volume create "$store:other" --size 4M --kms-key-id \
    "$("${cofferkms[@]}" create-key --query KeyMetadata.KeyId --output text)"
unchanged "$store" fails 3 "$forbids" "${coffer[@]}" volume create "$store:v" \
    --size 12M --kms-key-id "$id"
bring $((begin + 3600))
ok "${coffer[@]}" volume create "$store:v" --size 12M --kms-key-id "$id"
random_bytes 12M >data
ok "${coffer[@]}" volume import "$store:v" data
ok "${coffer[@]}" snapshot create "$store:v@s"

# It expires beside a closed volume, on the minute; no other material takes its place.
set_clock +3540
status_is available
contents v
set_clock +3660
is_lost
wrap foreign
fails 3 'IncorrectKeyMaterial' import --expiration-model KEY_MATERIAL_DOES_NOT_EXPIRE
is_lost
comes_back $((begin + 7200))
contents v

# It expires under the lease of an open volume, of 300 seconds: what is written before the key is
# asked for again, after half of it, is taken; then the volume stops, and the lease has not ended.
set_clock +7140
random_bytes 12M >new
mkfifo pipe
"${coffer[@]}" volume write "$store:v" 0 <pipe >out 2>err &
writer=$!
exec 5>pipe
head -c 4M new >&5 # as much as it takes at a time
until ! "$COFFER" volume list "$store" --keyless >/dev/null 2>&1; do
    kill -0 "$writer" 2>/dev/null || die "the writer ended: $(cat err)"
    sleep 0.02
done
set_clock +7230
state_is PendingImport
dd if=new bs=1M skip=4 count=5 status=none >&5 # the pipe holds less: 4M more are written
set_clock +7375
tail -c 3M new >&5 || true
exec 5>&-
status=0
wait "$writer" || status=$?
[ "$status" -eq 5 ] || die "the writer ended with $status: $(cat err)"
grep -q $lost err || die "it does not say why: $(cat err)"
is_lost
comes_back never

# What the writer was done with is there, and behind it what was there before.
ok "${coffer[@]}" volume export "$store:v" back
taken=$({ cmp back new || true; } | sed 's/.* byte \([0-9]*\),.*/\1/')
taken=$((taken / 4096 * 4096))
((taken >= 8 << 20 && taken < 12 << 20)) || die "$taken bytes of the new contents are there"
cmp --ignore-initial="$taken" back data || die "what was refused was written"

# It is deleted beside a closed volume, and imported again; the snapshot, of the same key, opens.
ok "${coffer[@]}" volume import "$store:v" data
ok "${cofferkms[@]}" delete-imported-key-material --key-id "$id"
is_lost
comes_back never
contents v
ok "${coffer[@]}" snapshot restore "$store:v@s" "$store:w"
contents w
ok "${coffer[@]}" check "$store"
stop
finish
