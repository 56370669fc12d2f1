# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# common_served.sh - for tests with a key service of their own, and with a clock: after lib.sh.
#
# serve ARGUMENT... starts one over the test's key store; $address is where it listens, by TCP.
# clocked COMMAND... runs it by the clock of $work/clock, an offset such as +6d that may be changed
# while it runs (faketime); needs_clock skips the test where that can't be.

server=
in_front=()
trap '[ -z "$server" ] || kill -9 "$server" 2>/dev/null; rm -rf "$work"' EXIT

serve() {
    : >"$work/log" # what the last one said is not this one's word
    "${in_front[@]}" "$COFFERKMS" serve --kms "file:$work/keys" "$@" >"$work/served" \
        2>"$work/log" &
    server=$!
    until grep -qs '^cofferkms: ready' "$work/log"; do
        kill -0 "$server" 2>/dev/null || die "it does not start: $(cat "$work/log")"
        sleep 0.02
    done
    address=$(sed -n 's/.*\(127\.0\.0\.1:[0-9]*\).*/\1/p' "$work/log" | head -n 1)
}

stop() {
    kill "$server"
    wait "$server" || die "the server ended badly: $(cat "$work/log")"
    server=
}

needs_clock() {
    if ! command -v faketime >/dev/null ||
        ! faketime -f '+1d' "$COFFER" --version >/dev/null 2>&1; then
        echo "faketime can't move the clock of these programs"
        exit 77
    fi
    # shellcheck disable=SC2016
    preload=$(faketime -f '+0' sh -c 'echo "$LD_PRELOAD"')
    printf '+0\n' >"$work/clock"
    in_front=(env "LD_PRELOAD=$preload" "FAKETIME_TIMESTAMP_FILE=$work/clock" FAKETIME_NO_CACHE=1)
}

clocked() {
    "${in_front[@]}" "$@"
}

# The file is replaced whole: nobody reads half an offset.
set_clock() {
    printf '%s\n' "$1" >"$work/clock.new"
    mv "$work/clock.new" "$work/clock"
}

# credentials NAME FILE: an access key of that user, for the environment.
credentials() {
    "$COFFERKMS" access-key create --user "$1" --kms "file:$work/keys" --output-file "$2" >/dev/null
}

# as FILE COMMAND...: sign by what stands in FILE.
as() (
    AWS_ACCESS_KEY_ID=$(jq -r .AccessKeyId "$1")
    AWS_SECRET_ACCESS_KEY=$(jq -r .SecretAccessKey "$1")
    export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
    shift
    "$@"
)
