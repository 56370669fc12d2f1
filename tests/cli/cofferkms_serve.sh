#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# cofferkms serve, as a shell uses it: what it refuses to do, what it says, how it ends. The
# server itself is tested by tests/interop/kms_server.py.
. "$(dirname "$0")/lib.sh"

# Options, help and man page say the same.
ok "$COFFERKMS" serve --help
cp out help
man=$COFFER_SOURCE_DIR/docs/man/cofferkms-serve.1.scd
for option in listen unix tls-cert tls-key workers max-connections max-queue max-requests \
    max-memory request-timeout idle-timeout stop-timeout tick rate burst log; do
    grep -q -- "--$option " help || die "--help lacks --$option"
    grep -q -- "\*--$option\*" "$man" || die "the man page lacks --$option"
done

# What it does not serve.
fails 2 'nothing to listen on' "$COFFERKMS" serve
for place in 0.0.0.0:0 '[::]:0'; do
    fails 2 'no loopback address' "$COFFERKMS" serve --listen "$place"
done
for place in 8443 '' : :0 127.0.0.1: '[]:0' '[:0' ']:0' '[]' '[::1]' '[::1]:' '[::1]0' '[[::1]]:0' \
    '[127.0.0.1]:0' '[localhost]:0' ::1:0 ::1 127.0.0.1:65536 '[::1]:65536' 127.0.0.1:-1 \
    127.0.0.1:+1 '127.0.0.1: 1' 127.0.0.1:1x 127.0.0.1:http 127.0.0.1:99999999999999999999999; do
    fails 2 'give HOST:PORT, or .*up to 65535' "$COFFERKMS" serve --listen "$place"
done
fails 7 'is no address' "$COFFERKMS" serve --listen '[::z]:0'
fails 2 'give --tls-cert and --tls-key' "$COFFERKMS" serve --listen 127.0.0.1:0 --tls-cert x
fails 7 'No such file' "$COFFERKMS" serve --listen 127.0.0.1:0 --tls-cert x --tls-key y
fails 2 '--workers is 1 to 64' "$COFFERKMS" serve --unix s --workers 65
fails 2 '--idle-timeout is 1 to' "$COFFERKMS" serve --unix s --idle-timeout 0
fails 2 '--rate is 0 to 1000000' "$COFFERKMS" serve --unix s --rate 1000001
fails 7 'No such file' env COFFER_ROOT_KEY_FILE=none "$COFFERKMS" serve --unix s

# serve ARGUMENT...: start one and wait until it says that it is ready.
server=
serve() {
    "$COFFERKMS" serve "$@" >served 2>log &
    server=$!
    while ! grep -qs '^cofferkms: ready' log; do
        kill -0 "$server" 2>/dev/null || die "it does not start: $(cat log)"
        sleep 0.02
    done
    checks=$((checks + 1))
}
trap '[ -z "$server" ] || kill -9 "$server" 2>/dev/null; rm -rf "$work"' EXIT

# ended: the server must end by itself, with 0.
ended() {
    local status=0
    wait "$server" || status=$?
    server=
    [ "$status" -eq 0 ] || die "it ended with $status: $(cat log)"
    checks=$((checks + 1))
}

# ask METHOD PATH [HEADER...]: the status and body that the unix socket `s` gives.
ask() {
    python3 - "$@" <<'PYTHON'
import http.client
import socket
import sys

class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("s")

connection = Unix("kms")
headers = dict(header.split(": ", 1) for header in sys.argv[3:])
connection.request(sys.argv[1], sys.argv[2], b"{}" if sys.argv[1] == "POST" else None, headers)
answer = connection.getresponse()
print(answer.status, answer.read().decode())
PYTHON
}

serve --unix s --listen 127.0.0.1:0
grep -Eq '^cofferkms: listening on http://127.0.0.1:[1-9][0-9]*$' log || die "no port is printed"
[ "$(stat -c %a s)" = 600 ] || die "the socket has mode $(stat -c %a s)"
fails 5 'another server listens' "$COFFERKMS" serve --unix s
matches '^200 ok' ask GET /healthz
matches '^403 .*MissingAuthenticationToken' ask POST / 'X-Amz-Target: TrentService.ListKeys'
secret=wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY
matches '^40[03] ' ask POST "/?X-Amz-Signature=$secret" \
    "Authorization: AWS4-HMAC-SHA256 Credential=AKIDTEST/20260101/local-1/kms/aws4_request,\
 SignedHeaders=host, Signature=$secret" 'X-Amz-Target: TrentService.Decrypt'
grep -q 'operation=Decrypt status=40[03] .*access-key=AKIDTEST ' log || die "no access line"
grep -q "$secret" log && die "what was sent stands in the log"
[ "$(stat -c %a keys)" = 600 ] || die "the store has mode $(stat -c %a keys)"
# The embedded verbs work beside it, on the same store.
key=$(make_key)
ok "$COFFERKMS" describe-key --key-id "$key"

# kill -9, and once more on the same socket; then the graceful end.
kill -9 "$server"
wait "$server" 2>/dev/null || true
[ -S s ] || die "kill -9 is no control: the socket is gone"
serve --unix s --log service
matches '^200 ok' ask GET /healthz
grep -q healthz log && die "--log service prints requests"
kill -TERM "$server"
ended
[ ! -e s ] || die "the socket stays after a graceful end"
[ ! -s served ] || die "it printed on standard output"
grep -q '^cofferkms: stopped$' log || die "it does not say that it stopped"
ok "$COFFERKMS" describe-key --key-id "$key"
finish
