#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What other programs write by NBD is what they and we read: fio with checksums, QEMU's tools,
# nbdcopy, libnbd's shell. Faults that are planted between plugin and engine are found by them.
. "$(dirname "$0")/nbd_lib.sh"
for tool in fio qemu-io qemu-img nbdcopy nbdinfo nbdsh; do
    command -v "$tool" > /dev/null || die "$tool is missing: .ci/packages names its package"
done

make_store 512M
ok "$COFFER" volume create "$store:disk" --size 96M
ok "$COFFER" volume create "$store:other" --size 24M
serve "$store"

# fio_verify EXPORT: writes of mixed sizes from three connections, each with a checksum and a
# number; while they go on, and at the end, all of it is read back.
fio_verify() {
    local job=(--ioengine=nbd "--uri=$(uri "$1")" --rw=randwrite --bsrange=512-128k --blockalign=512
        --iodepth=16 --size=20M --offset_increment=24M --numjobs=3 --verify=crc32c --verify_fatal=1
        --verify_backlog=64 --randseed=20261122 --group_reporting)
    fio --name=mixed "${job[@]}" --do_verify=1
}
ok fio_verify disk
grep -q 'err= 0' out || die "fio found something else"
ok fio --name=seq --ioengine=nbd "--uri=$(uri disk)" --rw=write --bs=1M --iodepth=4 --size=64M \
    --verify=crc32c --do_verify=1 --verify_fatal=1
ok fio --name=fua --ioengine=nbd "--uri=$(uri disk)" --rw=randrw --bs=4k --iodepth=8 --size=4M \
    --fsync=16 --verify=crc32c --verify_fatal=1

# --- qemu-io: patterns, parts of pages, holes, FUA, and what is out of range
qio() {
    local commands=() command
    for command in "$@"; do commands+=(-c "$command"); done
    ok qemu-io -f raw -d unmap "${commands[@]}" "$(uri disk)"
    ! grep -Eq 'failed|error|differ' out err || die "qemu-io: $*"
}
qio 'write -P 0xa1 0 96M' 'read -P 0xa1 0 96M' flush
qio 'write -P 0xb2 512 512' 'read -P 0xa1 0 512' 'read -P 0xb2 512 512' 'read -P 0xa1 1k 4k'
qio 'write -f -P 0xc3 12345344 70144' 'read -P 0xc3 12345344 70144'
qio 'write -z -u 1M 1M' 'read -P 0 1M 1M' 'write -z 3M 1M' 'read -P 0 3M 1M'
qio 'write -z -u 5120 1024' 'read -P 0 5120 1024' 'read -P 0xa1 4096 1024' 'read -P 0xa1 6144 2k'
qio 'discard 8M 16M' 'read -P 0 8M 4345344' 'read -P 0xa1 24M 1M' flush
qio 'aio_write -P 1 32M 64k' 'aio_write -P 2 33M 64k' 'aio_write -P 3 34M 64k' aio_flush \
    'read -P 1 32M 64k' 'read -P 2 33M 64k' 'read -P 3 34M 64k'

# --- nbdcopy, in and out; qemu-img convert, compare and map
head -c 5M /dev/urandom > image
truncate -s 11M image
head -c 2M /dev/urandom >> image
truncate -s 24M image
ok nbdcopy --connections=4 image "$(uri other)" --destination-is-zero
ok nbdcopy --connections=4 --request-size=65536 "$(uri other)" copy
cmp image copy || die "nbdcopy gave back something else"
ok qemu-img compare -f raw -F raw image "$(uri other)"
matches '"start": 0, "length": 5242880, .*"data": true' \
    qemu-img map --output json -f raw "$(uri other)"
grep -q '"start": 5242880, "length": 6291456, .*"zero": true, "data": false' out || die "no hole"
ok nbdinfo --map --totals "$(uri other)"
grep -Eq '7340032 +29\.2% +0 data' out || die "other totals: $(cat out)"
ok qemu-img convert -f raw -O raw -n -W -m 8 image "$(uri disk)"
ok qemu-img convert -f raw -O qcow2 "$(uri disk)" copy.qcow2
ok qemu-img compare -f raw -F qcow2 "$(uri disk)" copy.qcow2
ok nbdcopy "$(uri disk)" copy
cmp -n 25165824 image copy || die "qemu-img convert wrote something else"

# --- libnbd's shell: each flag, fast zeros, what is refused and how, many requests at once
# Debian's Python, whose module it is, and not one that comes first in PATH.
ok env "PATH=/usr/bin:$PATH" nbdsh --base-allocation -u "$(uri disk)" -c - \
    < "$COFFER_SOURCE_DIR/tests/interop/nbd_shell.py"
ended
ok "$COFFER" volume read "$store:disk" 0 24M
whole

# --- the same against a plugin that forgets one write in a hundred, or trims a page too many
export COFFER_NBDKIT_PLUGIN=$COFFER_BINARY_DIR/tests/interop/nbdkit-broken-plugin.so
NBD_FAULT=lose serve "$store"
if fio_verify disk > out 2>&1; then
    die "fio does not notice that writes are lost"
fi
grep -q 'verify: bad' out || die "fio failed for another reason"
ended
NBD_FAULT=trim serve "$store"
qemu-io -f raw -c 'write -P 7 0 2M' -c 'discard 1M 4k' -c 'read -P 7 0 1M' "$(uri disk)" \
    > out 2>&1 || true
grep -q 'Pattern verification failed' out || die "qemu-io does not notice a wrong trim"
ended
finish
