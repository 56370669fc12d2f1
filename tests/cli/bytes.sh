#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# volume read and write at any offset and length, against a plain file that gets the same bytes.
. "$(dirname "$0")/lib.sh"
make_store 128M
size=10485760
random_bytes $size >model
ok "$COFFER" volume import "$store:v" model --create

write_both() { # offset length
    random_bytes "$2" >piece
    ok "$COFFER" volume write "$store:v" "$1" <piece
    dd if=piece of=model bs=64K seek="$1" oflag=seek_bytes conv=notrunc status=none
}
read_both() { # offset length
    ok "$COFFER" volume read "$store:v" "$1" "$2"
    tail -c +$(($1 + 1)) model | head -c "$2" >expected || true
    cmp out expected || die "read of $2 bytes at $1 differs"
}

for range in '0 1' '0 512' '1 510' '511 2' '512 512' '100 1000' '4095 2' '4096 4096' '4097 8190' \
    '1048575 2' '5 5000000' "$((size - 1)) 1" "$((size - 513)) 513" '3 4194304' '4194301 7'; do
    # shellcheck disable=SC2086
    write_both $range
    # shellcheck disable=SC2086
    read_both $range
done
read_both 0 $size
read_both $size 0
for _ in $(seq 12); do
    length=$((RANDOM * 7 + 1))
    offset=$(((RANDOM * 32768 + RANDOM) % (size - length)))
    write_both $offset $length
done
ok "$COFFER" volume export "$store:v" after
cmp model after || die "the volume differs from the model"
ok "$COFFER" volume write "$store:v" 5 </dev/null
ok "$COFFER" volume read "$store:v" 4K 1K
[ "$(stat -c %s out)" -eq 1024 ] || die "sizes are not taken as offset and length"

# Beyond the end: refused before a byte is moved.
unchanged "$store" fails 2 'do not lie in' "$COFFER" volume read "$store:v" $((size - 10)) 11
unchanged "$store" fails 2 'do not lie in' "$COFFER" volume read "$store:v" $((size + 1)) 0
unchanged "$store" fails 2 'do not lie in' "$COFFER" volume read "$store:v" 7E 1
printf 'twelve bytes' >twelve
fails 2 'do not lie in' "$COFFER" volume write "$store:v" $((size - 5)) <twelve
fails 2 'do not lie in' "$COFFER" volume write "$store:v" $((size - 5)) < <(cat twelve)
fails 2 'do not lie in' "$COFFER" volume write "$store:v" $((size + 512)) <twelve
fails 2 'OFFSET -5' "$COFFER" volume write "$store:v" -- -5 <twelve
fails 2 'LENGTH 10KB' "$COFFER" volume read "$store:v" 0 10KB
ok "$COFFER" volume export "$store:v" again
cmp model again || die "a refused command changed the volume"
finish
