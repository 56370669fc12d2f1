#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# coffer serve: what it refuses and with which exit code, what it exports, how it begins and ends,
# and what others can do with the store meanwhile.
. "$(dirname "$0")/nbd_lib.sh"

# --- lines that are refused before anything is opened
make_store 64M
fails 2 'nothing to listen on' "$COFFER" serve "$store"
fails 2 'listens at one place' "$COFFER" serve "$store" --unix a --listen 127.0.0.1:1
fails 2 'no loopback address.*--tls-certificates' "$COFFER" serve "$store" --listen 0.0.0.0:10809
fails 2 'no loopback address' "$COFFER" serve "$store" --listen '[::]:10809'
fails 2 'no loopback address' "$COFFER" serve "$store" --listen example.org:10809
for address in :1 127.0.0.1 127.0.0.1:0 127.0.0.1:65536 127.0.0.1:http ::1:5 '[]:5' :; do
    fails 2 'give HOST:PORT' "$COFFER" serve "$store" --listen "$address"
done
fails 2 'has 1 to 107 bytes' "$COFFER" serve "$store" --unix "$(printf '/%.0s' {1..108})"
fails 2 '--threads is 1 to' "$COFFER" serve "$store" --unix a --threads 0
fails 2 '--max-connections is 1 to' "$COFFER" serve "$store" --unix a --max-connections 0
fails 2 'needs --tls-certificates' "$COFFER" serve "$store" --unix a --tls-verify-peer
fails 7 'server-cert.pem' "$COFFER" serve "$store" --unix a --tls-certificates "$work"
echo > server-cert.pem; echo > ca-cert.pem; echo > server-key.pem; chmod 644 server-key.pem
fails 8 'others may read' "$COFFER" serve "$store" --unix a --tls-certificates "$work"
touch file
fails 5 'is no socket' "$COFFER" serve "$store" --unix file
fails 1 'no nbdkit in PATH' env "PATH=$work/none" "$COFFER" serve "$store" --unix a
! COFFER_NBDKIT_PLUGIN=$work/none.so "$COFFER" serve "$store" --unix a 2> err ||
    die "without a plugin"
grep -q 'none.so' err || die "the plugin that is missing is not named"

# --- threads: 16, and in memory one a processor, from 2 on
mkdir fake
printf '#!/bin/sh\necho "$*"\n' > fake/nbdkit
chmod +x fake/nbdkit
few=$(getconf _NPROCESSORS_ONLN)
[ "$few" -ge 2 ] || few=2
for directory in "$work" /dev/shm; do
    [ -w "$directory" ] || continue
    file=$(mktemp -p "$directory")
    wanted=16
    case $(stat -f -c %T "$directory") in tmpfs | ramfs) wanted=$((few < 16 ? few : 16)) ;; esac
    matches " --threads=$wanted " env "PATH=$work/fake:$PATH" "$COFFER" serve "$file" --unix a
    matches ' --threads=7 ' env "PATH=$work/fake:$PATH" "$COFFER" serve "$file" --unix a --threads 7
    rm "$file"
done

# --- what is wrong with the store or its keys: the codes of every other verb, and no socket
fails 7 'cannot open the store' "$COFFER" serve nowhere --unix a
fails 7 'cannot open .*store:v' "$COFFER" serve "$store:v" --unix a
id=$(make_key)
ok "$COFFER" volume create "$store:v" --size 4M --kms-key-id "$id"
ok "$COFFER" volume create "$store:w" --size 8M
ok "$COFFER" volume create "$store:plain" --size 1M --no-storage-encrypted
fails 3 'root key' env COFFER_ROOT_KEY_FILE=file "$COFFER" serve "$store:v" --unix a
fails 4 'not encrypted' "$COFFER" serve "$store:plain" --unix a --no-pin
fails 3 '"exit":3' env COFFER_ROOT_KEY_FILE=file "$COFFER" serve "$store:v" --unix a --output json
ok "$COFFERKMS" disable-key --key-id "$id"
fails 5 'inaccessible-encryption-credentials' "$COFFER" serve "$store:v" --unix a
ok "$COFFERKMS" enable-key --key-id "$id"
fails 5 'inaccessible-encryption-credentials' "$COFFER" serve "$store:v" --unix a
ok "$COFFER" volume start "$store:v"
[ ! -e a ] || die "a server that could not serve left a socket"

# --- one volume: it is the default, and there is no other
ok "$COFFER" volume write "$store:v" 0 < root
ok "$COFFER" snapshot create "$store:v@s"
serve "$store:v"
grep -q "serving $store at nbd+unix:///v?socket=$nbd_socket\$" served || die "it serves elsewhere"
[ -z "$(find "$nbd_socket" -perm /022)" ] || die "others may connect: $(stat -c %A "$nbd_socket")"
matches '^4194304$' nbdinfo --size "$(uri)"
matches '^4194304$' nbdinfo --size "$(uri v)"
for name in w v@s nothing v:v ../v "$(printf 'n%.0s' {1..200})"; do
    if nbdinfo --size "$(uri "$name")" > out 2> err; then
        die "export $name of a server of v"
    fi
done
matches 'description: encrypted' nbdinfo "$(uri)"
fails 5 'open elsewhere' "$COFFER" volume resize "$store:v" --size 8M --yes
fails 5 'open elsewhere' "$COFFER" volume delete "$store:v" --yes
fails 5 'open elsewhere' "$COFFER" volume stop "$store:v"
fails 5 'open elsewhere' "$COFFER" snapshot create "$store:v@t"
fails 5 'another server listens there' "$COFFER" serve "$store:v" --unix "$nbd_socket"
fails 5 'open elsewhere' "$COFFER" serve "$store:v" --unix b
[ ! -e b ] || die "a server of a store that is in use left a socket"
matches '^4194304$' nbdinfo --size "$(uri)"
ended
whole

# --- all of them: by name, the snapshot for reading only; the default is only the one there is
serve "$store"
ok nbdinfo --list "$(uri)"
[ "$(grep -o '^export="[^"]*"' out | sort | tr -d '\n')" = \
    'export="plain"export="v"export="v@s"export="w"' ] || die "other exports"
for name in v w plain; do
    ok nbdinfo --can write "$(uri "$name")"
    ok nbdinfo --can multi-conn "$(uri "$name")"
done
! nbdinfo --can write "$(uri v@s)" || die "a snapshot can be written"
matches 'description: not encrypted' nbdinfo "$(uri plain)"
! nbdinfo --size "$(uri)" > out 2> err || die "a default of four exports"
ok nbdcopy "$(uri v@s)" copy
cmp -n 64 copy root || die "the snapshot holds something else"
# What was opened stays open for the next client, and goes with the server.
matches '^8388608$' nbdinfo --size "$(uri w)"
ended
ok "$COFFER" volume resize "$store:w" --size 12M --yes
serve "$store"
matches '^12582912$' nbdinfo --size "$(uri w)"
killed
serve "$store" # the socket that a killed server left
ended

# --- for reading only: other readers may come, writers not
unchanged "$store" serve "$store" --read-only
! nbdinfo --can write "$(uri v)" || die "can be written"
ok "$COFFER" volume read "$store:v" 0 64
cmp -n 64 out root || die "another reader reads something else"
fails 5 'open elsewhere' "$COFFER" volume write "$store:v" 0 < root
ok nbdcopy "$(uri v)" copy
cmp -n 64 copy root || die "the volume holds something else"
ended

# --- a loopback port, and the process id
port=
for try in {1..20}; do
    port=$((20000 + RANDOM % 20000))
    rm -f served
    "$COFFER" serve "$store:v" --listen "127.0.0.1:$port" --pid-file "$work/pid" > served 2>&1 &
    nbd_pid=$!
    while kill -0 "$nbd_pid" 2> /dev/null && ! server_says '^coffer: serving'; do sleep 0.05; done
    if server_says '^coffer: serving'; then break; fi
    wait "$nbd_pid" || true
    [ "$try" -lt 20 ] || die "no free port: $(cat served)"
done
[ "$(cat pid)" = "$nbd_pid" ] || die "another process id"
matches '^4194304$' nbdinfo --size "nbd://127.0.0.1:$port"

# --- no secret in the line, nor in the environment of the process; every opening is on record
tr '\0' '\n' < "/proc/$nbd_pid/cmdline" > line
! grep -qF "$(cat root)" line || die "the root key is in the line"
grep -q '^kms=' line && die "the environment went into the line"
ended
ok "$COFFERKMS" audit query --key-id "$id" --output json
grep -q '"Destination": *"nbd' out || die "no record of what was served"
whole

# --- plain nbdkit: relative paths, in the background too
mkdir run
(cd "$work" && nbdkit --unix "$work/run/plain.sock" --pidfile "$work/run/pid" "$nbd_plugin" \
    store=store volume=w > served 2>&1) || die "nbdkit in the background: $(cat served)"
until_true "nbdkit listens" test -s "$work/run/pid"
nbd_pid=$(cat "$work/run/pid")
ok nbdinfo --size "nbd+unix:///?socket=$work/run/plain.sock"
grep -q 12582912 out || die "plain nbdkit serves something else"
kill -TERM "$nbd_pid"
gone() { ! kill -0 "$background" 2> /dev/null; }
background=$nbd_pid
nbd_pid=
until_true "nbdkit closes the store" gone
fails 1 'no parameter' nbdkit -f -U - "$nbd_plugin" store=x no-such=1
fails 1 'store= is missing' nbdkit -f -U - "$nbd_plugin"
fails 1 'cannot open the store nowhere' nbdkit -U a "$nbd_plugin" nowhere
matches 'max_thread_model=parallel' nbdkit "$nbd_plugin" --dump-plugin
whole
finish
