#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# File systems on a served volume, through FUSE and a loop device as docs/operations.md says: ext4,
# XFS and btrfs. The server is killed with -9 while files are written; after that the file system's
# own checker is content, and every file that was synced is there.
. "$(dirname "$0")/nbd_lib.sh"

for tool in nbdfuse losetup fusermount3; do
    command -v "$tool" > /dev/null || { echo "there is no $tool"; exit 77; }
done
if [ ! -w /dev/fuse ] || [ "$(id -u)" != 0 ] || ! losetup --find > /dev/null 2>&1; then
    echo "FUSE, a loop device and root are needed"
    exit 77
fi
mkdir disk mounted
loop=
fuse_pid=

nbd_also_clean() {
    umount -l "$work/mounted" 2> /dev/null || true
    [ -z "$loop" ] || losetup -d "$loop" 2> /dev/null || true
    fusermount3 -u -z -q "$work/disk" 2> /dev/null || true
    [ -z "$fuse_pid" ] || kill -KILL "$fuse_pid" 2> /dev/null || true
}

attach() {
    nbdfuse disk --unix "$nbd_socket" > fuse.log 2>&1 &
    fuse_pid=$!
    until_true "the volume is a file" test -e disk/nbd
    # Others on this machine may take the free one first.
    until_true "a loop device" take_loop
}

take_loop() {
    loop=$(losetup --find --show disk/nbd 2> /dev/null)
}

detach() {
    losetup -d "$loop"
    loop=
    fusermount3 -u -z disk
    wait "$fuse_pid" 2> /dev/null || true
    fuse_pid=
}

# Files of many sizes, each synced and then listed with its sum; until the disk is gone.
write_files() {
    local number
    for ((number = 0; number < 100000; number++)); do
        head -c $((RANDOM * 7 + 1)) /dev/urandom > "mounted/f$number" || return 0
        sync "mounted/f$number" mounted || return 0
        sha256sum "mounted/f$number" >> synced || return 0
        rm -f "mounted/f$((number - 40))"
        sed -i "/mounted\/f$((number - 40))\$/d" synced
    done
} 2> /dev/null

written() {
    [ "$(wc -l < synced)" -ge 30 ]
}

sound() { # sound KIND: what its own checker says
    case $1 in
        ext4)
            e2fsck -fy "$loop" > out 2> err || [ $? -eq 1 ] || die "e2fsck" # 1: its journal's work
            ok e2fsck -fn "$loop"
            ;;
        xfs)
            ok mount "$loop" mounted # which replays its log
            ok umount mounted
            ok xfs_repair -n "$loop"
            ;;
        btrfs) ok btrfs check "$loop" ;;
    esac
}

make_store 1G
for kind in ext4 xfs btrfs; do
    if ! command -v "mkfs.$kind" > /dev/null || ! grep -qw "$kind" /proc/filesystems; then
        echo "$kind: not here"
        continue
    fi
    ok "$COFFER" volume create "$store:$kind" --size 320M
    serve "$store:$kind"
    attach
    ok "mkfs.$kind" -q "$loop"
    ok mount "$loop" mounted
    : > synced
    write_files &
    writer=$!
    until_true "files are written to $kind" written
    killed
    wait "$writer" || true
    umount mounted 2> /dev/null || umount -l mounted
    detach
    cp synced promised
    serve "$store:$kind"
    attach
    sound "$kind"
    ok mount "$loop" mounted
    ok sha256sum --quiet -c promised
    ok umount mounted
    detach
    ended
    whole
    ok "$COFFER" volume delete "$store:$kind" --yes
done
finish
