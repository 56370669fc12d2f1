#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# store shrink with data in the part that goes: it moves there and then, the file is cut; what does
# not fit is refused with the size that would; killed or interrupted, nothing is lost and the same
# command goes on; a log that only its key can settle is named.
. "$(dirname "$0")/lib.sh"

mib=1048576
size_of() { stat -c %s "$1"; }
content() { "$COFFER" volume export "$1" - 2>content.err | sha256sum; }

# A store of 128 segments whose volume lies above the 64th: what was below is deleted.
make_high() {
    rm -f "$store"
    make_store 128M
    random_bytes $((66 * mib)) >filler
    ok "$COFFER" volume import "$store:filler" filler --create --no-storage-encrypted
    ok "$COFFER" volume import "$store:v" model --create
    ok "$COFFER" volume delete "$store:filler" --yes
}

random_bytes $((20 * mib)) >model
want=$(sha256sum <model)

# ---- what lies in the way moves --------------------------------------------------------------

make_high
unchanged "$store" matches '^NewSize: 64 MiB$' \
    "$COFFER" store shrink "$store" --size 64M --dry-run
[ "$(size_of "$store")" -eq $((128 * mib)) ] || die "a dry run cut the file"
ok "$COFFER" store shrink "$store" --size 64M --yes --progress json
[ ! -s out ] || die "shrinking prints something"
grep -q '"progress":"shrink"' err || die "no progress was shown"
[ "$(tail -n 1 err | python3 -c 'import json, sys; print(json.load(sys.stdin)["percent"])')" \
    = 100 ] || die "the last line of progress does not say 100 %: $(tail -n 1 err)"
[ "$(size_of "$store")" -eq $((64 * mib)) ] || die "the file was not cut"
[ "$(content "$store:v")" = "$want" ] || die "the volume is another"
ok "$COFFER" check "$store"
prints $((64 * mib)) "$COFFER" store describe "$store" --query Size
ok "$COFFER" store shrink "$store" --size 64M --yes # again: nothing to do
ok "$COFFER" store grow "$store" --size 100M
[ "$(content "$store:v")" = "$want" ] || die "the volume is another in a larger store"
ok "$COFFER" check "$store"

# ---- what does not fit -----------------------------------------------------------------------

head -c $((55 * mib)) filler >less
ok "$COFFER" volume import "$store:w" less --create
fails 8 'needs [0-9]+ MiB at least' "$COFFER" store shrink "$store" --size 80M --yes
prints $((100 * mib)) "$COFFER" store describe "$store" --query Size
fails 2 'at least 64 segments' "$COFFER" store shrink "$store" --size 63M --yes
[ "$(content "$store:v")" = "$want" ] || die "a refused shrink changed the volume"
ok "$COFFER" check "$store"

# ---- killed, interrupted ---------------------------------------------------------------------

make_high
killed=0
for delay in 0.002 0.01 0.02 0.03 0.05 0.08 0.12; do
    status=0
    timeout -s KILL "$delay" "$COFFER" store shrink "$store" --size 64M --yes >out 2>err ||
        status=$?
    [ "$status" -ne 137 ] || killed=$((killed + 1))
    case $("$COFFER" store describe "$store" --query Size) in
    $((128 * mib))) ;;
    $((64 * mib))) break ;;
    *) die "a killed shrink left another size" ;;
    esac
    ok "$COFFER" check "$store"
done
[ "$killed" -gt 0 ] || die "none was killed"
ok "$COFFER" store shrink "$store" --size 64M --yes
[ "$(size_of "$store")" -eq $((64 * mib)) ] || die "the file was not cut after kills"
[ "$(content "$store:v")" = "$want" ] || die "a killed shrink lost something"
ok "$COFFER" check "$store"

# interrupt SECONDS COMMAND...: run it, and send it SIGINT after so long. Its exit code.
interrupt() {
    python3 - "$@" <<'PY'
import signal, subprocess, sys
with open("out", "wb") as out, open("err", "wb") as err:
    # A shell may have told its children to ignore SIGINT.
    process = subprocess.Popen(sys.argv[2:], stdout=out, stderr=err,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    try:
        code = process.wait(float(sys.argv[1]))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        code = process.wait()
sys.exit(code if code >= 0 else 128 - code)
PY
}
make_high
interrupted=0
for hundredths in $(seq 2 60); do
    status=0
    interrupt "$(printf '0.%02d' "$hundredths")" \
        "$COFFER" store shrink "$store" --size 64M --yes || status=$?
    [ "$status" -ne 0 ] || break
    [ "$status" -eq 130 ] || die "an interrupted shrink exits with $status"
    ! grep -q 'the same command goes on' err || interrupted=$((interrupted + 1))
done
[ "$interrupted" -gt 0 ] || die "none was interrupted"
ok "$COFFER" store shrink "$store" --size 64M --yes
[ "$(content "$store:v")" = "$want" ] || die "an interrupted shrink lost something"
ok "$COFFER" check "$store"

# ---- a log that needs its key ----------------------------------------------------------------

make_store_with_log() {
    rm -f "$store"
    make_store 128M
    ok "$COFFER" volume create "$store:v" --size 20M
    ok "$COFFER" volume import "$store:filler" filler --create --no-storage-encrypted
    mkfifo pipe
    "$COFFER" volume write "$store:v" 0 <pipe >writer.out 2>&1 &
    writer=$!
    exec 7>pipe
    before=$(stat -c %b "$store")
    cat model >&7
    while [ "$(stat -c %b "$store")" -lt $((before + 20480)) ]; do # 10 MiB are there
        sleep 0.05
    done
    kill -KILL "$writer"
    wait "$writer" || true
    exec 7>&-
    rm pipe
    ok "$COFFER" volume delete "$store:filler" --yes
}
make_store_with_log
id=$("$COFFER" volume describe "$store:v" --query ResourceId)
fails 5 "$id" "$COFFER" store shrink "$store" --size 64M --yes
prints $((128 * mib)) "$COFFER" store describe "$store" --query Size
ok "$COFFER" volume write "$store:v" 0 </dev/null # as it says
ok "$COFFER" store shrink "$store" --size 64M --yes
ok "$COFFER" check "$store"
finish
