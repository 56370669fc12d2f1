#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# After a server has encrypted, decrypted and drawn data keys, no plaintext, data key, access key
# secret or root key file's bytes stand in its memory, its log or a file of the store, raw or as
# base64. The control: the key's id does stand in its memory.
. "$(dirname "$0")/lib.sh"

key=$(make_key)
"$COFFERKMS" access-key create --user root --output json >made
made() { python3 -c "import json; print(json.load(open('made'))['AccessKey']['$1'])"; }
AWS_ACCESS_KEY_ID=$(made AccessKeyId)
AWS_SECRET_ACCESS_KEY=$(made SecretAccessKey)
rm made

"$COFFERKMS" serve --unix s 2>log &
server=$!
trap 'kill -9 "$server" 2>/dev/null; rm -rf "$work"' EXIT
for ((i = 0; i < 200; i++)); do
    [ -S s ] && break
    sleep 0.05
done
# For the clients alone: the server would have it in its environment.
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
remote=(--kms "unix:$work/s")

random_bytes 32 >plain
for ((i = 0; i < 5; i++)); do
    "$COFFERKMS" encrypt "${remote[@]}" --key-id "$key" --plaintext fileb://plain \
        --query CiphertextBlob --output text >blob
    prints "$(base64 <plain)" "$COFFERKMS" decrypt "${remote[@]}" --ciphertext-blob file://blob \
        --query Plaintext --output text
    ok "$COFFERKMS" generate-data-key "${remote[@]}" --key-id "$key" --key-spec AES_256 \
        --query Plaintext --output text
done
base64 -d <out >data-key
printf '%s' "$AWS_SECRET_ACCESS_KEY" >access-secret
python3 -c 'print(bytes.fromhex(open("root").read()).hex(), end="")' | cmp -s - root ||
    die "the root key file is not what this test takes it for"

status=0
python3 - "$server" "$key" >report <<'PYTHON' || status=$?
import base64
import sys

server, key = sys.argv[1:]
secrets = {name: open(name, "rb").read() for name in ("plain", "data-key", "access-secret")}
secrets["root key"] = bytes.fromhex(open("root").read())
needles = {}
for name, secret in secrets.items():
    needles[name] = secret
    needles[name + " as base64"] = base64.b64encode(secret)[:40]
control = key.encode()
found = {}

def search(where, content):
    for name, needle in needles.items():
        if needle in content:
            found.setdefault(name, set()).add(where)
    return content.count(control)

controls = 0
try:
    memory = open(f"/proc/{server}/mem", "rb", 0)
except PermissionError:
    sys.exit(77)
for line in open(f"/proc/{server}/maps"):
    span, rights = line.split()[:2]
    if "w" not in rights:
        continue
    first, last = (int(number, 16) for number in span.split("-"))
    try:
        memory.seek(first)
        controls += search("memory", memory.read(last - first))
    except OSError:
        continue
for name in ("log", "keys", "keys-wal"):
    search(name, open(name, "rb").read())
if controls == 0:
    sys.exit("the control was not found")
for name, where in found.items():
    print(name, "stands in", ", ".join(sorted(where)))
sys.exit(1 if found else 0)
PYTHON
if [ "$status" -eq 77 ]; then
    echo "the memory of a server can't be read here"
    exit 77
fi
[ "$status" -eq 0 ] || die "$(cat report)"
checks=$((checks + 1))
finish
