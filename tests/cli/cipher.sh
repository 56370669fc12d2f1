#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# COFFER_CIPHER_BACKEND: what one back end wrote the other reads, checks and writes over;
# `store describe` says which one it is, and a word that is none is refused before anything opens.
. "$(dirname "$0")/lib.sh"
make_store 64M
random_bytes 9000000 >image
random_bytes 9000000 >second

prints evp env COFFER_CIPHER_BACKEND=evp "$COFFER" store describe "$store" --query CipherBackend
ok env COFFER_CIPHER_BACKEND=ipsec-mb "$COFFER" store describe "$store" --query CipherBackend
other=$(cat out)
[[ $other == evp || $other == ipsec-mb ]] || die "there is no back end $other"
matches '^(evp|ipsec-mb)$' "$COFFER" store describe "$store" --query CipherBackend

by() { # BACKEND COMMAND...
    COFFER_CIPHER_BACKEND=$1 "$COFFER" "${@:2}"
}
matches '^(evp|ipsec-mb)$' by '' store describe "$store" --query CipherBackend
ok by evp volume import "$store:a" image --create
ok by ipsec-mb volume export "$store:a" copy
cmp -n 9000000 image copy || die "ipsec-mb reads something else"
ok by ipsec-mb check "$store"
ok by ipsec-mb volume import "$store:a" second
ok by evp volume export "$store:a" copy_second
cmp -n 9000000 second copy_second || die "evp reads something else"
ok by evp check "$store"

fails 2 'COFFER_CIPHER_BACKEND: aes is none of auto, evp, ipsec-mb' by aes store describe "$store"
fails 2 'COFFER_CIPHER_BACKEND' by EVP bench --file scratch --size 4M --runtime 1
echo "the other back end is $other"
finish
