#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Bad stores and bad requests: a clear error, its exit code, and nothing changed.
. "$(dirname "$0")/lib.sh"
make_store 64M
ok "$COFFER" volume create "$store:v" --size 4M
random_bytes 1M | ok "$COFFER" volume write "$store:v" 0

reading() { # FILE: every verb that reads
    local verb
    for verb in "store describe" "volume list" check scrub dump; do
        # shellcheck disable=SC2086
        unchanged "$1" fails "$2" "$3" "$COFFER" $verb "$1"
    done
    unchanged "$1" fails "$2" "$3" "$COFFER" volume describe "$1:v"
    unchanged "$1" fails "$2" "$3" "$COFFER" volume read "$1:v" 0 512
    unchanged "$1" fails "$2" "$3" "$COFFER" volume export "$1:v" out_file
    [ ! -e out_file ] || die "a refused export made a file"
}
writing() {
    unchanged "$1" fails "$2" "$3" "$COFFER" volume create "$1:w" --size 4K
    unchanged "$1" fails "$2" "$3" "$COFFER" volume delete "$1:v" --yes
    unchanged "$1" fails "$2" "$3" "$COFFER" volume resize "$1:v" --size 8M
    unchanged "$1" fails "$2" "$3" "$COFFER" volume import "$1:v" root
    unchanged "$1" fails "$2" "$3" "$COFFER" volume write "$1:v" 0 <root
    unchanged "$1" fails "$2" "$3" "$COFFER" store grow "$1" --size 1G
}

# Nothing there; not a store: text, zeros, noise, too small.
fails 7 'store describe: cannot open the store nowhere' "$COFFER" store describe nowhere
fails 7 '"code":"NOT_FOUND","class":"absent","exit":7' "$COFFER" volume list nowhere --output json
[ ! -e nowhere ] || die "opening made a file"
{ yes 'not a store' || true; } | head -c 8M >text
truncate -s 8M zeros
random_bytes 8M >noise
printf x >tiny
: >empty
for file in text zeros noise tiny empty; do
    reading $file 1 'not a Coffer store'
    writing $file 1 'not a Coffer store'
done

# Making a store over something.
unchanged text fails 5 'store create' "$COFFER" store create text --size 64M
unchanged "$store" fails 5 'store create' "$COFFER" store create "$store" --size 64M
fails '7' 'store create' "$COFFER" store create no/such/folder --size 64M
ok "$COFFER" store create dry --dry-run --size 64M
[ ! -e dry ] || die "a dry run made a store"

# Truncated: less than its roots say.
for length in 4096 65536 2M 10M; do
    cp "$store" cut
    truncate -s $length cut
    before=$(sum_of cut)
    status=0
    "$COFFER" volume list cut >out 2>err || status=$?
    checks=$((checks + 1))
    case $status in
    4) grep -Eq 'cut short|checksum' err || die "a truncated store gave another sentence" ;;
    1) grep -q 'not a Coffer store' err || die "a truncated store gave another sentence" ;;
    0) die "a store cut to $length was listed" ;;
    *) die "a store cut to $length gave exit $status" ;;
    esac
    [ "$before" = "$(sum_of cut)" ] || die "the truncated store was changed"
done

# A newer format: the version of every root slot is raised and its checksum made right.
cat >newer.c <<'C'
#define XXH_INLINE_ALL
#include <stdio.h>
#include <string.h>
#include <xxhash.h>
int main(int argc, char **argv)
{
    static unsigned char block[4096];
    int patched = 0;
    FILE *file = argc > 1 ? fopen(argv[1], "r+b") : NULL;
    for (long at = 0; file != NULL && at < 8 << 20; at += 4096) {
        if (fseek(file, at, SEEK_SET) != 0 || fread(block, sizeof block, 1, file) != 1) {
            break;
        }
        if (memcmp(block, "COFFROOT", 8) == 0) {
            block[16] = 2;
            XXH64_hash_t sum = XXH3_64bits(block, 4088);
            memcpy(block + 4088, &sum, 8);
            if (fseek(file, at, SEEK_SET) != 0 || fwrite(block, sizeof block, 1, file) != 1) {
                return 1;
            }
            patched++;
        }
    }
    return file == NULL || fclose(file) != 0 || patched == 0;
}
C
if "${CC:-cc}" -O1 newer.c -o newer 2>/dev/null; then
    cp "$store" new
    ./newer new || die "no root slot was found to patch"
    reading new 9 'format 2\.0'
    writing new 9 'format 2\.0'
fi

# Open elsewhere: one writer at a time.
mkfifo hold
"$COFFER" volume import "$store:v" hold >held_out 2>held_err &
holder=$!
exec 9>hold
for _ in $(seq 100); do
    "$COFFER" store describe "$store" >out 2>err || break
    sleep 0.05
done
fails 5 'open elsewhere' "$COFFER" volume write "$store:v" 0 <root
fails 5 'open elsewhere' "$COFFER" volume create "$store:w" --size 4K
fails 5 '"class":"busy","exit":5' "$COFFER" volume create "$store:w" --size 4K --output json
fails 5 . "$COFFER" store grow "$store" --size 1G
exec 9>&-
wait $holder || die "the one that had it open failed: $(cat held_err)"

# Names, sizes, ranges.
unchanged "$store" fails 5 'the name is taken' "$COFFER" volume create "$store:v" --size 4K
unchanged "$store" fails 5 'the name is taken' \
    "$COFFER" volume create "$store:v" --size 4K --no-storage-encrypted
unchanged "$store" fails 5 'the name is taken' \
    "$COFFER" volume create "$store:v" --size 4K --dry-run
unchanged "$store" fails 7 'volume describe' "$COFFER" volume describe "$store:nobody"
unchanged "$store" fails 7 'volume delete' "$COFFER" volume delete "$store:nobody" --yes
unchanged "$store" fails 7 'volume read' "$COFFER" volume read "$store:nobody" 0 1
unchanged "$store" fails 2 "can't be zero" "$COFFER" volume create "$store:w" --size 0
unchanged "$store" fails 2 'size is missing' "$COFFER" volume create "$store:w"
unchanged "$store" fails 2 'multiple of 4096; 5000 is not|multiple of 4096 bytes; 5000' \
    "$COFFER" volume create "$store:w" --size 5000
unchanged "$store" fails 2 'at most 64 PiB' "$COFFER" volume create "$store:w" --size 65P
unchanged "$store" fails 2 "can't be zero" "$COFFER" volume resize "$store:v" --size 0
unchanged "$store" fails 2 'do not lie in' "$COFFER" volume read "$store:v" 4M 1
unchanged "$store" fails 2 'size is missing' "$COFFER" store grow "$store"

# A file that may not be written. (Root may write to any.)
if [ "$(id -u)" -ne 0 ]; then
    chmod 400 "$store"
    ok "$COFFER" volume list "$store"
    writing "$store" '8' .
    chmod 000 "$store"
    fails 8 'Permission denied' "$COFFER" volume list "$store"
    fails 8 '"code":"ACCESS","class":"io","exit":8' "$COFFER" check "$store" --output json
    chmod 600 "$store"
else
    cp "$store" frozen
    if chattr +i frozen 2>/dev/null; then
        fails 8 . "$COFFER" volume create frozen:w --size 4K
        fails 8 . "$COFFER" store grow frozen --size 1G
        chattr -i frozen
    fi
fi

# A full store: what was there is still there, and there is room again after a deletion.
ok "$COFFER" store create full --size 64M --segment-size 1M
ok "$COFFER" volume create full:kept --size 4M
random_bytes 4M >kept
ok "$COFFER" volume import full:kept kept
random_bytes 128M >large
fails 8 'full|NO_SPACE' "$COFFER" volume import full:large large --create
fails 7 'volume describe' "$COFFER" volume describe full:large
ok "$COFFER" volume export full:kept kept_again
cmp kept kept_again || die "a full store lost what it held"
ok "$COFFER" volume create full:small --size 4M

# A full file system below the store.
if [ -w /dev/full ]; then
    fails 8 'No space left' "$COFFER" volume export "$store:v" /dev/full
    status=0
    "$COFFER" volume export "$store:v" - >/dev/full 2>err || status=$?
    [ "$status" -eq 8 ] || die "a full standard output gave $status"
    status=0
    "$COFFER" store describe "$store" >/dev/full 2>err || status=$?
    [ "$status" -eq 8 ] || die "a full standard output gave $status"
fi
ok "$COFFER" check "$store"
finish
