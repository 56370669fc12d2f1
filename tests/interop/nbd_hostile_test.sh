#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Hostile NBD clients (nbd_hostile.py): the server keeps within its memory, and the store is whole.
# Then a volume loses its key while it is served: its clients get ESHUTDOWN, others are served on,
# and nothing that was answered is lost. A store that is full. TLS, by certificates made here.
. "$(dirname "$0")/nbd_lib.sh"
make_store 256M
id=$(make_key)
ok "$COFFER" volume create "$store:v" --size 16M --kms-key-id "$id"
ok "$COFFER" volume create "$store:w" --size 16M

# --- 8 connections of 4 requests of at most 64 MiB each; the sanitizers' shadow comes on top
memory_mib=$((300 + 8 * 4 * 64))
[ -z "${COFFER_SANITIZE:-}" ] || memory_mib=$((memory_mib * 3))
hostile=$COFFER_SOURCE_DIR/tests/interop/nbd_hostile.py
# nbdkit 1.32 ends itself where a client goes away while answers wait to be sent: the store must be
# whole then, too, and be served again.
nbdkit_gave_up() {
    server_says "raw_send_socket: Assertion .sock >= 0. failed"
}
attacks=0
for attack in $(python3 "$hostile" list); do
    serve "$store" --threads 4 --max-connections 8
    if python3 "$hostile" "$attack" "$nbd_socket" w "$nbd_pid" "$memory_mib" 8 16777216 \
        > out 2>&1; then
        [ "$(wc -l < served)" -lt 5000 ] || die "$attack: $(wc -l < served) lines in the log"
        ended
    elif nbdkit_gave_up; then
        echo "$attack: nbdkit ended itself"
        killed
    else
        die "$attack: $(tail -3 served)"
    fi
    whole
    attacks=$((attacks + 1))
done
[ "$attacks" -ge 7 ] || die "only $attacks attacks"

# --- a key is disabled while its volume is served
head -c 4096 /dev/urandom > small
serve "$store" --lease 1
ok nbdcopy small "$(uri w)"
head -c 1M /dev/urandom > data
ok nbdcopy data "$(uri v)"
ok "$COFFERKMS" disable-key --key-id "$id"
shut() {
    ! qemu-io -f raw -c 'write 2M 4k' "$(uri v)" > out 2>&1
}
until_true "the volume has stopped" shut
grep -Eqi 'shutdown|Cannot send after' out || die "clients are told something else"
! qemu-io -f raw -c 'read 0 4k' "$(uri v)" > out 2>&1 || die "it is still read"
server_says 'write of .*INACCESSIBLE_CREDENTIALS' || die "the log does not say why"
ok nbdcopy "$(uri w)" copy
cmp -n 4096 copy small || die "the other volume holds something else"
ended
fails 5 'inaccessible-encryption-credentials' "$COFFER" serve "$store:v" --unix a
ok "$COFFERKMS" enable-key --key-id "$id"
ok "$COFFER" volume start "$store:v"
serve "$store:v"
ok nbdcopy "$(uri v)" copy
cmp -n 1048576 copy data || die "what was answered before the key was lost is not there"
ended
whole

# --- a store that is full: ENOSPC, and what is there can be written over
ok "$COFFER" volume create "$store:large" --size 1G
serve "$store"
ok fio --name=fill --ioengine=nbd "--uri=$(uri large)" --rw=write --bs=256k --iodepth=4 --size=1G \
    --ignore_error=,ENOSPC --continue_on_error=write
server_says 'NO_SPACE' || die "it is not full"
ok qemu-io -f raw -c 'write -P 5 0 1M' -c 'read -P 5 0 1M' "$(uri large)"
! grep -q 'failed' out || die "pages of its own can't be written over"
ok qemu-io -f raw -d unmap -c 'discard 0 512M' -c flush "$(uri large)"
ended
whole

# --- TLS: by a name, by a client's certificate, and not without
mkdir tls client
cert() { # cert DIRECTORY NAME ARGUMENT...: signed by ca
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1/$2-key.pem" \
        -out request -subj "/CN=$2" 2> /dev/null
    openssl x509 -req -in request -CA tls/ca-cert.pem -CAkey ca-key.pem -CAcreateserial -days 2 \
        -extfile <(printf '%s\n' "${@:3}") -out "$1/$2-cert.pem" 2> /dev/null
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca-key.pem \
    -out tls/ca-cert.pem -subj /CN=test -days 2 -addext keyUsage=keyCertSign 2> /dev/null
cert tls server 'subjectAltName=DNS:localhost,IP:127.0.0.1' extendedKeyUsage=serverAuth
cert client client extendedKeyUsage=clientAuth
cp tls/ca-cert.pem client
chmod 600 tls/server-key.pem
tls_uri() {
    echo "nbds+unix://localhost/${1:-}?socket=$nbd_socket&tls-certificates=$work/${2:-client}"
}
mkdir stranger
cp client/ca-cert.pem stranger
serve "$store:w" --tls-certificates tls
ok nbdinfo --size "$(tls_uri w stranger)"
! nbdinfo --size "$(uri w)" > out 2> err || die "served without TLS"
ended
serve "$store:w" --tls-certificates "$work/tls" --tls-verify-peer
ok nbdcopy "$(tls_uri w)" copy
cmp -n 4096 copy small || die "something else by TLS"
! nbdinfo --size "$(tls_uri w stranger)" > out 2> err || die "a client without a certificate"
ended
whole
finish
