# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# lib.sh - what the tests of the command line share. Each test gets a directory of its own, which
# is removed afterwards, a home of its own, and a key store sealed by a root key file, so that no
# test waits for Argon2id. Nothing outside that directory is read or written.
set -euo pipefail

: "${COFFER:?names the program under test}"
: "${COFFERKMS:?names the program under test}"

work=$(mktemp -d "${TMPDIR:-/tmp}/coffer-cli.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

unset COFFER_STORE COFFER_ANCHOR COFFER_PASSPHRASE_FILE COFFER_CIPHER_BACKEND XDG_DATA_HOME
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_REGION AWS_DEFAULT_REGION
export HOME=$work/home
export COFFER_PINS=$work/pins.json
export COFFER_KMS=file:$work/keys
export COFFER_ROOT_KEY_FILE=$work/root
mkdir -p "$HOME"
(umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$work/root")

store=$work/store
checks=0

die() {
    echo "FAILED at line ${BASH_LINENO[${#BASH_LINENO[@]} - 2]}: $*" >&2
    [ ! -s "$work/out" ] || { echo "--- stdout" >&2; head -c 2000 "$work/out" >&2; }
    [ ! -s "$work/err" ] || { echo "--- stderr" >&2; head -c 2000 "$work/err" >&2; }
    exit 1
}

# ok COMMAND...: it must exit 0. Output is in $work/out and $work/err.
ok() {
    local status=0
    "$@" >"$work/out" 2>"$work/err" || status=$?
    checks=$((checks + 1))
    [ "$status" -eq 0 ] || die "exit $status instead of 0: $*"
}

# fails CODE REGEX COMMAND...: it must exit with CODE, print nothing on standard output and one line
# that matches REGEX on standard error (notes apart).
fails() {
    local code=$1 regex=$2 status=0
    shift 2
    "$@" >"$work/out" 2>"$work/err" || status=$?
    checks=$((checks + 1))
    [ "$status" -eq "$code" ] || die "exit $status instead of $code: $*"
    grep -Eq -- "$regex" "$work/err" || die "standard error does not match '$regex': $*"
    [ ! -s "$work/out" ] || die "a failed command printed a result: $*"
}

# prints TEXT COMMAND...: it must exit 0 and print exactly TEXT.
prints() {
    local text=$1
    shift
    ok "$@"
    [ "$(cat "$work/out")" = "$text" ] || die \
        "printed '$(head -c 300 "$work/out")' instead of '$text': $*"
}

# matches REGEX COMMAND...: it must exit 0, and a line of its output must match.
matches() {
    local regex=$1
    shift
    ok "$@"
    grep -Eq -- "$regex" "$work/out" || die "no line of the output matches '$regex': $*"
}

sum_of() {
    sha256sum <"$1"
}

# unchanged FILE COMMAND...: FILE must be the same before and after.
unchanged() {
    local file=$1 before
    before=$(sum_of "$file")
    shift
    "$@"
    [ "$before" = "$(sum_of "$file")" ] || die "$file was changed by: $*"
}

make_store() {
    ok "$COFFER" store create "$store" --size "${1:-128M}" --segment-size 1M
}

make_key() { # prints the key id
    "$COFFERKMS" create-key --query KeyMetadata.KeyId --output text
}

random_bytes() {
    head -c "$1" /dev/urandom
}

finish() {
    [ "$checks" -gt 0 ] || die "nothing was checked"
    echo "$checks checks passed"
}
