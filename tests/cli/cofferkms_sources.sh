#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Where the key store lies and what opens it: options, environment, prompt, and what is refused.
set -u
: "${COFFERKMS:?}"
dir=$(mktemp -d) || exit 1
trap 'chmod -R u+rwx "$dir" 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir" || exit 1
unset COFFER_PASSPHRASE_FILE COFFER_ROOT_KEY_FILE COFFER_KMS
export HOME=$dir/home XDG_DATA_HOME=$dir/data
failed=0
fail() { echo "FAIL line ${BASH_LINENO[0]}: $*"; failed=1; }
exits() {
    local want=$1 got; shift
    # No controlling terminal: a prompt would wait for ever.
    setsid -w "$@" >out 2>err </dev/null; got=$?
    [ "$got" = "$want" ] || fail "$* gave $got, not $want: $(cat err)"
    [ "$want" = 0 ] || [ "$(wc -l <err)" = 1 ] || fail "$*: not one line: $(cat err)"
}
says() { grep -q -- "$1" err || fail "stderr lacks '$1': $(cat err)"; }
kms=$COFFERKMS

# No source and no terminal: exit 3, nothing made.
exits 3 "$kms" list-keys; says '--passphrase-file'
[ -e data ] && fail "a directory was made"

# The default place, made on first use.
printf 'correct horse\n' >pass
exits 0 "$kms" create-key --passphrase-file pass --output json
says "$dir/data/coffer/keys"; says 'Argon2id, 64 MiB'
[ "$(stat -c %a data/coffer)" = 700 ] || fail "the directory is open to others"
[ "$(stat -c %a data/coffer/keys)" = 600 ] || fail "the store is open to others"

# Each way to give the passphrase.
exits 0 env COFFER_PASSPHRASE_FILE=pass "$kms" list-keys --output json
grep -q KeyArn out || fail "the key is gone"
# shellcheck disable=SC2016 # the inner shell expands it
exits 0 bash -c '"$1" list-keys --passphrase-fd 7 7<pass' - "$kms"
exits 0 "$kms" list-keys --passphrase-command 'cat pass'
exits 0 "$kms" list-keys --passphrase-command 'cat pass; echo second line'
printf 'correct horse\r\nmore\n' >pass2; exits 0 "$kms" list-keys --passphrase-file pass2
printf 'correct horse' >pass3; exits 0 "$kms" list-keys --passphrase-file pass3

# Wrong or missing ones.
printf 'wrong horse\n' >bad
exits 3 "$kms" list-keys --passphrase-file bad; says 'does not open'
: >empty; exits 3 "$kms" list-keys --passphrase-file empty; says 'empty'
exits 7 "$kms" list-keys --passphrase-file absent
exits 3 "$kms" list-keys --passphrase-command 'exit 3'; says 'status 3'
exits 2 "$kms" list-keys --passphrase-file pass --passphrase-command 'cat pass'; says 'exclude'
exits 2 env COFFER_PASSPHRASE_FILE=pass COFFER_ROOT_KEY_FILE=x "$kms" list-keys
head -c 2000 /dev/zero | tr '\0' x >long; exits 3 "$kms" list-keys --passphrase-file long
exits 8 "$kms" list-keys --passphrase-fd 99

# An option wins over the environment.
exits 0 env COFFER_PASSPHRASE_FILE=bad "$kms" list-keys --passphrase-file pass

# The root key file.
printf '%064d\n' 7 >root; chmod 600 root
exits 0 "$kms" create-key --kms "file:$dir/byfile" --root-key-file root
exits 0 env COFFER_ROOT_KEY_FILE=root "$kms" list-keys --kms "file:$dir/byfile"
exits 3 "$kms" list-keys --kms "file:$dir/byfile" --passphrase-file pass; says 'root key file'
exits 3 "$kms" list-keys --root-key-file root; says 'passphrase'
chmod 640 root; exits 8 "$kms" list-keys --kms "file:$dir/byfile" --root-key-file root
says 'chmod 600'
chmod 600 root; printf 'short' >root
exits 2 "$kms" list-keys --kms "file:$dir/byfile" --root-key-file root

# The store itself: missing, foreign, newer, of another account.
exits 7 "$kms" decrypt --ciphertext-blob AAAA --kms "file:$dir/none" --passphrase-file pass
[ -e none ] && fail "decrypt made a store"
exits 7 "$kms" list-keys --kms "file:$dir/no/such/place" --passphrase-file pass
head -c 9000 /dev/urandom >noise
exits 1 "$kms" list-keys --kms file:noise --passphrase-file pass; says 'not a'
exits 2 "$kms" list-keys --kms nonsense --passphrase-file pass
exits 2 "$kms" list-keys --kms https://localhost --passphrase-file pass
exits 2 "$kms" list-keys --account 123456789012 --passphrase-file pass; says '000000000000'
exits 2 "$kms" list-keys --region other-1 --passphrase-file pass; says 'local-1'
exits 2 "$kms" list-keys --account 12 --passphrase-file pass
exits 0 "$kms" create-key --kms "file:$dir/other" --account 123456789012 --region eu-9 \
    --passphrase-file pass --query KeyMetadata.Arn
grep -q 'arn:coffer:kms:eu-9:123456789012:key/' out || fail "$(cat out)"

# A prompt on a terminal, twice for a new store; echo stays off.
if command -v python3 >/dev/null; then
    python3 - "$kms" "$dir/prompted" <<'PY' || fail "the prompt"
import os, pty, sys, time, select
def run(args, answers):
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(args[0], args)
    shown = b""
    for answer in answers:
        mark = len(shown)
        end = time.time() + 20
        while not shown[mark:].rstrip(b" ").endswith(b":") and time.time() < end:
            if select.select([fd], [], [], 0.2)[0]:
                shown += os.read(fd, 4096)
        time.sleep(0.2)
        os.write(fd, answer + b"\n")
        time.sleep(0.2)
    try:
        while True:
            more = os.read(fd, 4096)
            if not more:
                break
            shown += more
    except OSError:
        pass
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown
kms, path = sys.argv[1:]
line = [kms, "list-keys", "--output", "json", "--kms", "file:" + path]
code, shown = run(line, [b"hunter2", b"hunter3"])
assert code == 3 and b"differ" in shown and not os.path.exists(path), (code, shown)
code, shown = run(line, [b"hunter2", b"hunter2"])
assert code == 0 and b"hunter" not in shown and os.path.exists(path), (code, shown)
code, shown = run(line, [b"hunter2"])
assert code == 0 and b"hunter" not in shown, (code, shown)
code, shown = run(line, [b"hunter1"])
assert code == 3, (code, shown)
PY
fi

# Errors as JSON objects; usage; help and version.
exits 3 "$kms" list-keys --passphrase-file bad --output json
python3 - <<'PY' || fail "$(cat err)"
import json
e = json.load(open("err"))
assert (e["code"], e["class"], e["exit"]) == ("PASSPHRASE", "key", 3), e
PY
exits 2 "$kms" no-such-verb
exits 2 "$kms" list-keys --no-such-option
exits 2 "$kms" describe-key --passphrase-file pass; says 'key-id'
exits 0 "$kms" --help; grep -q re-encrypt out || fail "help lacks a verb"
exits 0 "$kms" encrypt --help; grep -q -- --plaintext out || fail "help lacks an option"
exits 0 "$kms" --version
exit $failed
