#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Key stores that open by a PKCS#11 token (SoftHSM) and by a TPM (swtpm), from the command line.
set -u
: "${COFFERKMS:?}"
. "$(dirname "$0")/common_tpm.sh"
dir=$(mktemp -d) || exit 1
tpm=
# shellcheck disable=SC2317 # called by the trap
finish() { [ -z "$tpm" ] || kill "$tpm" 2>/dev/null; rm -rf "$dir"; }
trap finish EXIT
cd "$dir" || exit 1
unset COFFER_PASSPHRASE_FILE COFFER_ROOT_KEY_FILE COFFER_KMS TSS2_LOG
export HOME=$dir/home XDG_DATA_HOME=$dir/data
failed=0
tried=0
fail() { echo "FAIL line ${BASH_LINENO[0]}: $*"; failed=1; }
exits() {
    local want=$1 got; shift
    setsid -w "$@" >out 2>err </dev/null; got=$?
    [ "$got" = "$want" ] || fail "$* gave $got, not $want: $(cat err)"
    [ "$want" = 0 ] || [ "$(wc -l <err)" = 1 ] || fail "$*: not one line: $(cat err)"
}
kms=$COFFERKMS

# Make a store by root, encrypt, and decrypt with another process; "$@" takes the hardware away.
round() {
    local store=$1 root=$2; shift 2
    exits 0 "$kms" create-key --kms "file:$store" --root-key-file "$root" --output text \
        --query KeyMetadata.KeyId
    grep -q -- "$3" err || fail "stderr lacks '$3': $(cat err)"
    local key; key=$(cat out)
    exits 0 env COFFER_ROOT_KEY_FILE="$root" "$kms" describe-key --kms "file:$store" --key-id "$key"
    "$1"
    exits 3 "$kms" describe-key --kms "file:$store" --root-key-file "$root" --key-id "$key"
    "$2"
    exits 0 "$kms" describe-key --kms "file:$store" --root-key-file "$root" --key-id "$key"
    head -c 32 /dev/zero >other && chmod 600 other
    exits 3 "$kms" describe-key --kms "file:$store" --root-key-file other --key-id "$key"
}

module=${SOFTHSM2_MODULE:-}
for place in /usr/lib/softhsm /usr/lib64/softhsm /usr/lib/pkcs11; do
    [ -n "$module" ] || [ ! -r "$place/libsofthsm2.so" ] || module=$place/libsofthsm2.so
done
# shellcheck disable=SC2317 # called by name
token_away() { mv tokens away && mkdir tokens; }
# shellcheck disable=SC2317 # called by name
token_back() { rmdir tokens && mv away tokens; }
if [ -n "$module" ] && command -v softhsm2-util >/dev/null; then
    tried=1
    mkdir tokens
    printf 'directories.tokendir = %s/tokens\nlog.level = ERROR\n' "$dir" >softhsm.conf
    export SOFTHSM2_CONF=$dir/softhsm.conf
    softhsm2-util --init-token --free --label box --pin 1234 --so-pin 4321 >/dev/null ||
        fail "no token"
    (umask 077; echo 1234 >pin)
    round token "pkcs11:token=box;object=root?module-path=$module&pin-source=file:$dir/pin" \
        token_away token_back 'PKCS#11 token'
    exits 7 "$kms" list-keys --kms file:token --root-key-file \
        "pkcs11:token=box;object=none?module-path=$module&pin-source=file:$dir/none"
else
    echo "skipped: SoftHSM (softhsm2) is not installed"
fi

# shellcheck disable=SC2317 # called by name
auth_away() { mv auth auth.kept; (umask 077; echo wrong >auth); }
# shellcheck disable=SC2317 # called by name
auth_back() { mv auth.kept auth; }
if command -v swtpm >/dev/null; then
    tried=1
    (umask 077; echo open-sesame >auth)
    start_tpm || fail "no TPM"
    uri="tpm2:$dir/sealed?auth-source=file:$dir/auth&tcti=swtpm:host=127.0.0.1,port=$port"
    round tpm "$uri" auth_away auth_back TPM
    grep -q 'open-sesame' tpm sealed out err && fail "the auth value stands somewhere"
    kill "$tpm"; tpm=
    exits 3 "$kms" list-keys --kms file:tpm --root-key-file "$uri"
else
    echo "skipped: swtpm is not installed"
fi

[ "$tried" = 1 ] || exit 77
exit "$failed"
