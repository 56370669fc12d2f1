#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Import and export: bytes go in and come out, holes stay holes, and what fails leaves nothing.
. "$(dirname "$0")/lib.sh"
make_store 256M

# A file with data, holes and zeros, of a size that is no multiple of anything.
truncate -s 20000001 image
random_bytes 3000000 | dd of=image bs=4096 seek=10 conv=notrunc status=none
random_bytes 5000 | dd of=image bs=1 seek=15000123 conv=notrunc status=none
dd if=/dev/zero of=image bs=4096 count=50 seek=3000 conv=notrunc status=none
printf 'the end' | dd of=image bs=1 seek=19999994 conv=notrunc status=none

ok "$COFFER" volume import "$store:a" image --create
prints 20000768 "$COFFER" volume describe "$store:a" --query Size
ok "$COFFER" volume export "$store:a" copy
cmp -n 20000001 image copy || die "what came out is not what went in"
[ "$(stat -c %s copy)" -eq 20000768 ] || die "the copy has the wrong size"
[ "$(stat -c %a copy)" = 600 ] || die "the copy is readable by others"
[ "$(stat -c %b copy)" -lt 9000 ] || die "the copy is not sparse: $(stat -c %b copy) blocks"
ok "$COFFER" volume export "$store:a" -
cmp out copy || die "standard output differs from the file"
"$COFFER" volume export "$store:a" - | cat >piped
cmp piped copy || die "a pipe differs from the file"

# Through pipes, and plain; the data a new volume holds is what was not zero.
"$COFFER" volume import "$store:b" - --create --size 32M --no-storage-encrypted <image
ok "$COFFER" volume export "$store:b" copy_b
cmp -n 20000001 image copy_b || die "the plain volume differs"
# shellcheck disable=SC2002 # a pipe is what is tested
cat image | "$COFFER" volume import "$store:c" - --create --size 20480000
ok "$COFFER" volume export "$store:c" copy_c
cmp -n 20000001 image copy_c || die "what came through a pipe differs"
mapped=$("$COFFER" volume describe "$store:a" --query MappedBytes)
[ "$mapped" -lt 4000000 ] || die "holes were written: $mapped bytes are mapped"
fails 2 'size is missing' "$COFFER" volume import "$store:z" - --create < <(cat image)

# Over old content: holes and zeros discard it, and what lies behind the end stays.
random_bytes 24M >noise
ok "$COFFER" volume create "$store:o" --size 24M
ok "$COFFER" volume import "$store:o" noise
ok "$COFFER" volume import "$store:o" image
ok "$COFFER" volume export "$store:o" over
cmp -n 20000001 image over || die "old content shines through"
cmp -i 20000768 noise over || die "what lay behind the end was lost"

# Refusals change nothing.
ok "$COFFER" volume create "$store:small" --size 1M
unchanged "$store" fails 2 'is larger than' "$COFFER" volume import "$store:small" image
unchanged "$store" fails 7 'cannot open nowhere' "$COFFER" volume import "$store:small" nowhere
unchanged "$store" fails 2 'is a directory' "$COFFER" volume import "$store:small" .
unchanged "$store" fails 2 'with --create only' \
    "$COFFER" volume import "$store:small" image --size 4M
unchanged "$store" fails 7 'volume import' "$COFFER" volume import "$store:nobody" image
fails 5 'the name is taken' "$COFFER" volume import "$store:small" image --create
prints 1048576 "$COFFER" volume describe "$store:small" --query Size
cp copy kept
unchanged kept fails 5 'force replaces it' "$COFFER" volume export "$store:small" kept
ok "$COFFER" volume export "$store:small" kept --force
[ "$(stat -c %s kept)" -eq 1048576 ] || die "--force did not replace the file"
fails 7 'No such file' "$COFFER" volume export "$store:small" no/such/folder

# A file that can't be finished does not appear, and nothing is left beside it.
limited() { (ulimit -f 1000 && "$@"); }
fails 8 'File too large' limited "$COFFER" volume export "$store:a" limited_file
# shellcheck disable=SC2016 # expanded by the inner shell
fails 1 'Broken pipe' bash -c '"$1" volume export "$2" - | true; exit "${PIPESTATUS[0]}"' - \
    "$COFFER" "$store:a"
[ -z "$(find . -name '*limited_file*')" ] || die "a failed export left a file"

# A pipe that turns out too long, with --create: the volume is gone again.
fails 2 'is larger than' \
    "$COFFER" volume import "$store:long" - --create --size 1M < <(random_bytes 3M)
fails 7 'volume describe' "$COFFER" volume describe "$store:long"

# Interrupted: exit 130, no volume, no file.
mkfifo slow
env --default-signal=INT "$COFFER" volume import "$store:slow" slow --create --size 8M 2>err >out &
pid=$!
exec 9>slow
random_bytes 100000 >&9
for _ in $(seq 100); do
    [ "$(grep -c '"slow"' pins.json || true)" -eq 0 ] || break
    sleep 0.1
done
kill -INT "$pid"
status=0
wait "$pid" || status=$?
exec 9>&-
checks=$((checks + 1))
[ "$status" -eq 130 ] || die "an interrupted import gave $status"
grep -q interrupted err || die "an interrupted import does not say so"
fails 7 'volume describe' "$COFFER" volume describe "$store:slow"
! grep -q '"slow"' pins.json || die "the pin of a volume that is gone was kept"
"$COFFER" volume export "$store:a" - --progress json 2>/dev/null | head -c 10 >/dev/null || true
[ -z "$(find . -maxdepth 1 -name '.*.??????' -type f)" ] || die "a temporary file was left behind"

# Progress is for terminals, unless asked for.
ok "$COFFER" volume export "$store:a" p1
[ ! -s err ] || die "progress was shown without a terminal"
ok "$COFFER" volume export "$store:a" p2 --progress json
grep -q '^{"progress":"export","done":20000768,"total":20000768,"bytes_per_second":' err ||
    die "no progress object"
ok "$COFFER" volume import "$store:a" image --output json
grep -q '"Bytes": 20000001' out || die "the import does not report its bytes"
ok "$COFFER" check "$store"
finish
