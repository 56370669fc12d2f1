#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A client that waits for its answer: the secret of its access key stands in nothing that a core
# dump would have of it, and when it is brought down, no core is written at all. Controls: a secret
# in the environment, which a core would have, and a process that does dump its core.
. "$(dirname "$0")/lib_residue.sh"
client=
trap '[ -z "$client" ] || kill -9 "$client" 2>/dev/null; rm -rf "$work"' EXIT
ulimit -c unlimited 2>/dev/null || true

# A service that takes a request and says nothing.
cat >mute.py <<'PYTHON'
import socket, sys
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind("s")
    listener.listen(1)
    taken, _ = listener.accept()
    data = b""
    while b"}" not in data:
        data += taken.recv(65536)
    open("asked", "w").close()
    taken.recv(1)
PYTHON
# A command, brought down by SIGABRT when the file `end` is there: "core" when it dumped one.
cat >abort.py <<'PYTHON'
import os, subprocess, sys, time
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
open("pid", "w").write(str(child.pid))
while not os.path.exists("end"):
    time.sleep(0.01)
os.kill(child.pid, 6)
_, status = os.waitpid(child.pid, 0)
print("core" if os.WCOREDUMP(status) else "none", end="")
PYTHON

# begin MARK COMMAND...: run it until the file MARK is there; its number is in $client.
begin() {
    local mark=$1
    shift
    rm -f pid end
    python3 abort.py "$@" >ended &
    waiter=$!
    until [ -e pid ] && [ -s pid ] && [ -e "$mark" ]; do
        kill -0 "$waiter" 2>/dev/null || die "it ended: $(cat ended)"
        sleep 0.02
    done
    client=$(cat pid)
}
end() {
    touch end
    wait "$waiter" || true
    client=
}

touch now
begin now sleep 1000
end
dumps=$(cat ended)
[ "$dumps" = core ] || echo "this machine writes no core dumps: that none is written shows nothing"

random_bytes 30 | base64 >secret-line
tr -d '\n' <secret-line >secret
export AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE
printf '%s' "$AWS_ACCESS_KEY_ID" >access-key-id
AWS_SECRET_ACCESS_KEY=$(cat secret)
for plant in "" "$AWS_SECRET_ACCESS_KEY"; do
    rm -f s asked
    python3 mute.py &
    mute=$!
    while [ ! -S s ]; do
        kill -0 "$mute" 2>/dev/null || die "the mute service does not start"
        sleep 0.02
    done
    begin asked env PLANTED="$plant" "$COFFERKMS" decrypt --kms "unix:$work/s" \
        --ciphertext-blob QUJD
    if [ -z "$plant" ]; then
        clean --core "$client" --control access-key-id "access key secret=secret"
    else
        planted 'access key secret stands in a core dump' --core "$client" \
            "access key secret=secret"
    fi
    end
    checks=$((checks + 1))
    [ "$(cat ended)" = none ] || die "a client's core was written"
    kill "$mute" 2>/dev/null || true
    wait "$mute" 2>/dev/null || true
done
unset AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID
finish
