#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The server is killed with -9 while three connections write: what was answered is there, with
# --write-back what was flushed, the store is whole, and it is served again at once. Then the power
# is cut: the store lies on a device that forgets what was not flushed (nbdkit's cache filter, by
# FUSE) and both are killed: what a flush or FUA promised is there. A plugin whose flush and FUA do
# nothing must be found out.
#
#   nbd_kill_test.sh [ROUNDS]
. "$(dirname "$0")/nbd_lib.sh"
rounds=${1:-2}
writer=$COFFER_SOURCE_DIR/tests/interop/nbd_writer.py
broken=$COFFER_BINARY_DIR/tests/interop/nbdkit-broken-plugin.so
python() { # Debian's, which has libnbd's module
    /usr/bin/python3 "$writer" "$@"
}
/usr/bin/python3 -c 'import nbd' || die "python3-libnbd is missing: .ci/packages names it"

make_volume() {
    rm -f "$store"
    make_store 256M
    ok "$COFFER" volume create "$store:v" --size 8M
}

# --- the server's death
# survives PROMISE [OPTION]...
survives() {
    local promise=$1
    shift
    make_volume # of zeros, which is what the writer takes it for
    serve "$store:v" "$@"
    ok python write "$(uri v)" state --seed "$round" --kill "$nbd_pid"
    wait "$nbd_pid" 2> /dev/null || true
    nbd_pid=
    whole
    serve "$store:v"
    ok python verify "$(uri v)" state --promise "$promise"
    ended
    whole
}

for ((round = 1; round <= rounds; round++)); do
    survives answered
    survives durable --write-back
done

# --- a loss of power: the store on a device whose cache is lost with it
if [ ! -w /dev/fuse ] || ! command -v nbdfuse > /dev/null; then
    echo "there is no FUSE here: no power is cut"
    finish
    exit
fi
device_pid=
fuse_pid=
nbd_also_clean() {
    for pid in $device_pid $fuse_pid; do
        kill -KILL "$pid" 2> /dev/null || true
        wait "$pid" 2> /dev/null || true
    done
    fusermount3 -u -z -q "$work/disk" 2> /dev/null || true
}
mkdir disk

plug_in() {
    rm -f device.sock
    nbdkit -f -U "$work/device.sock" --filter=cache file "$work/store" cache=writeback \
        cache-on-read=false > device.log 2>&1 &
    device_pid=$!
    until_true "the device is there" test -S device.sock
    nbdfuse disk --unix "$work/device.sock" > fuse.log 2>&1 &
    fuse_pid=$!
    until_true "the device is a file" test -e disk/nbd
}

pull_out() {
    fusermount3 -u -z -q "$work/disk" || true
    kill -KILL "$device_pid" "$fuse_pid" 2> /dev/null || true
    wait "$device_pid" "$fuse_pid" 2> /dev/null || true
    device_pid=
    fuse_pid=
}

# cut_power SEED: all of it is killed while the writer is at it.
cut_power() {
    plug_in
    serve disk/nbd:v --no-pin
    ok python write "$(uri v)" state --seed "$1" --kill "$device_pid" "$nbd_pid"
    cat out
    wait "$nbd_pid" 2> /dev/null || true
    nbd_pid=
    pull_out
}

for ((round = 1; round <= rounds; round++)); do
    make_volume
    cut_power "$round"
    whole
    serve "$store:v"
    ok python verify "$(uri v)" state --promise durable
    ended
done

# --- the control: nothing is lost by luck alone
caught=no
for seed in 1 2 3; do
    make_volume
    export NBD_FAULT=flush COFFER_NBDKIT_PLUGIN=$broken
    cut_power "$seed"
    unset NBD_FAULT COFFER_NBDKIT_PLUGIN
    serve "$store:v"
    if ! python verify "$(uri v)" state --promise durable > out; then
        caught=yes
    fi
    ended
    [ "$caught" = no ] || break
done
[ "$caught" = yes ] || die "a plugin that never flushes keeps all it promised, after three cuts"
cat out
finish
