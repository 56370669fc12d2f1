# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# nbd_lib.sh - what the tests of the NBD server share: those of the command line's, and a server
# that is ended with the test. It listens on a unix socket in the test's own directory.
. "$(dirname "${BASH_SOURCE[0]}")/../cli/lib.sh"

nbd_plugin=$(dirname "$COFFER")/nbdkit-coffer-plugin.so
if [ ! -e "$nbd_plugin" ]; then
    echo "the nbdkit plugin was not built: there was no nbdkit-plugin-dev"
    exit 77
fi
# An instrumented plugin needs the runtime in nbdkit, which is not instrumented itself.
case ${COFFER_SANITIZE:-} in
    address*) nbd_runtime=libasan.so ;;
    thread*) nbd_runtime=libtsan.so ;;
    *) nbd_runtime= ;;
esac
if [ -n "$nbd_runtime" ]; then
    mkdir "$work/bin"
    cat > "$work/bin/nbdkit" << WRAPPER
#!/bin/sh
ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 LD_PRELOAD=$("$CC" -print-file-name=$nbd_runtime) \
    exec $(command -v nbdkit) "\$@"
WRAPPER
    chmod +x "$work/bin/nbdkit"
    export PATH=$work/bin:$PATH
fi

nbd_socket=$work/nbd.sock
nbd_pid=

nbd_also_clean() { :; } # a test's own

nbd_cleanup() {
    nbd_also_clean
    if [ -n "$nbd_pid" ]; then
        kill -KILL "$nbd_pid" 2> /dev/null || true
        wait "$nbd_pid" 2> /dev/null || true
    fi
    rm -rf "$work"
}
trap nbd_cleanup EXIT

# until_true WHAT COMMAND...: within a minute it must succeed, while the server lives.
until_true() {
    local what=$1 tries
    shift
    for ((tries = 0; tries < 1200; tries++)); do
        if "$@"; then
            return 0
        fi
        if [ -n "$nbd_pid" ] && ! kill -0 "$nbd_pid" 2> /dev/null; then
            die "the server ended: $(cat "$work/served")"
        fi
        sleep 0.05
    done
    die "$what: not within a minute"
}

server_says() {
    grep -Eqs -- "$1" "$work/served"
}

# serve ARGUMENT...: `coffer serve` in the background; returns when it says that it serves.
serve() {
    rm -f "$work/served"
    "$COFFER" serve "$@" --unix "$nbd_socket" > "$work/served" 2>&1 &
    nbd_pid=$!
    until_true "the server serves" server_says '^coffer: serving '
    checks=$((checks + 1))
}

# ended: the server is told to stop, and must stop with 0.
ended() {
    local status=0
    kill -TERM "$nbd_pid" 2> /dev/null || true
    wait "$nbd_pid" || status=$?
    nbd_pid=
    [ "$status" -eq 0 ] || die "the server ended with $status: $(cat "$work/served")"
    checks=$((checks + 1))
}

# killed: as by a loss of power of its host, but for what the kernel has.
killed() {
    kill -KILL "$nbd_pid" 2> /dev/null || true
    wait "$nbd_pid" 2> /dev/null || true
    nbd_pid=
}

uri() { # uri [EXPORT]
    echo "nbd+unix:///${1:-}?socket=$nbd_socket"
}

# A sound store: structure, and every tag.
whole() {
    ok "$COFFER" check "$store"
    grep -q 'Findings: *0' "$work/out" || die "check found something"
}
