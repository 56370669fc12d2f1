#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# snapshot copy within a key service and across two, resumed after kill -9 and SIGINT, incremental,
# there and back; recipients; every refusal, with both stores as they were. The source never
# changes.
. "$(dirname "$0")/lib.sh"
copy() { "$COFFER" snapshot copy "$@"; }
content() { "$COFFER" volume export "$1" - | sha256sum; }
arn_of() { "$COFFERKMS" describe-key --key-id "$1" --query KeyMetadata.Arn --output text; }
audit() { sqlite3 "$work/keys" "SELECT coalesce(max(seq), 0) FROM audit"; }
# both_same COMMAND...: neither store changes.
both_same() { unchanged "$store" unchanged "$there" "$@"; }
there=$work/there
make_store 64M
ok "$COFFER" store create "$there" --size 64M --segment-size 1M
id1=$(make_key 2>err)
id2=$(make_key)
arn1=$(arn_of "$id1")
arn2=$(arn_of "$id2")
other=(env "COFFER_KMS=file:$work/keys2" "COFFER_SOURCE_KMS=file:$work/keys")
here2=(env "COFFER_KMS=file:$work/keys2")
id3=$("${here2[@]}" "$COFFERKMS" create-key --region far-2 --query KeyMetadata.KeyId 2>err)
arn3=$("${here2[@]}" "$COFFERKMS" describe-key --key-id "$id3" --query KeyMetadata.Arn)

random_bytes 12000000 >image
ok "$COFFER" volume create "$store:v" --size 16M --kms-key-id "$id1"
ok "$COFFER" volume import "$store:v" image
ok "$COFFER" snapshot create "$store:v@a"
at_a=$(content "$store:v@a")
random_bytes 100000 | ok "$COFFER" volume write "$store:v" 4096
ok "$COFFER" snapshot create "$store:v@b"
at_b=$(content "$store:v@b")
ok "$COFFER" volume create "$store:plain" --size 64K --no-storage-encrypted
printf 'plain' | ok "$COFFER" volume write "$store:plain" 0
ok "$COFFER" snapshot create "$store:plain@p"
ok "$COFFER" volume create "$store:m" --size 64K
ok "$COFFER" snapshot create "$store:m@s"
source_sum=$(sum_of "$store")
source_is_same() { [ "$(sum_of "$store")" = "$source_sum" ] || die "the source changed"; }
snap_id() { "$COFFER" snapshot describe "$1" --query ResourceId; }
id_a=$(snap_id "$store:v@a")

# ---- refused, with nothing changed -----------------------------------------------------------

both_same fails 7 'no snapshot' copy "$store:v@nobody" "$there:v@a"
both_same fails 7 'cannot open the store' copy "$store:v@a" "$work/nowhere:v@a"
both_same fails 7 'cannot open the store' copy "$work/nowhere:v@a" "$there:v@a"
both_same fails 2 "snapshot's name is missing" copy "$store:v" "$there:v@a"
both_same fails 2 "snapshot's name is missing" copy "$store:v@a" "$there:v"
both_same fails 3 'nobody' copy "$store:v@a" "$there:v@a" --kms-key-id alias/nobody
both_same fails 3 . copy "$store:v@a" "$there:v@a" --kms-key-id "${id1%?????}00000"
both_same fails 3 . env "COFFER_KMS=file:$work/gone" "$COFFER" snapshot copy "$store:v@a" \
    "$there:v@a"
both_same fails 3 . copy "$store:v@a" "$there:v@a" --source-kms "file:$work/gone" \
    --kms-key-id "$id2" --no-pin
both_same fails 2 'needs AWS_ACCESS_KEY_ID' copy "$store:v@a" "$there:v@a" \
    --source-kms "https://localhost" --kms-key-id "$id2"
for how in --allow-plain --no-pin; do # the first has no meaning here: its pin is looked at
    ok "$COFFERKMS" disable-key --key-id "$id1"
    both_same fails 3 "$id1.*disabled" copy "$store:v@a" "$there:v@a" --kms-key-id "$id2" "$how"
    ok "$COFFERKMS" enable-key --key-id "$id1"
    ok "$COFFERKMS" disable-key --key-id "$id2"
    both_same fails 3 "$id2.*disabled" copy "$store:v@a" "$there:v@a" --kms-key-id "$id2" "$how"
    ok "$COFFERKMS" enable-key --key-id "$id2"
done
both_same fails 2 'not encrypted.*restore --kms-key-id' copy "$store:plain@p" "$there:plain@p" \
    --kms-key-id "$id2"
both_same fails 2 'not encrypted' copy "$store:plain@p" "$there:plain@p" --reencrypt
both_same fails 4 'allow-plain' copy "$store:plain@p" "$there:plain@p" --no-pin
both_same fails 2 'one key service' copy "$store:v@a" "$store:v@c" \
    --source-kms "file:$work/keys2"
# Another region's copy names its key, also when there is a default one.
"${here2[@]}" "$COFFER" store create "$work/spare" --size 64M --segment-size 1M >out
ok "${here2[@]}" "$COFFER" volume create "$work/spare:x" --size 4K
matches 'alias/coffer/default' "${here2[@]}" "$COFFERKMS" list-aliases
for line in "$store:v@a" "$store:v@$id_a"; do
    both_same fails 2 'another region.*far-2.*--kms-key-id' \
        "${other[@]}" "$COFFER" snapshot copy "$line" "$there:v@a"
done
both_same fails 2 'another region.*--kms-key-id' "${here2[@]}" "$COFFER" snapshot copy \
    "$store:v@a" "$there:v@a"
both_same fails 2 'name is taken' copy "$store:v@a" "$store:v@b"
source_is_same

# ---- within a key service: without a key -----------------------------------------------------

since=$(audit)
ok copy "$store:v@a" "$there:v@a" --kms-key-id "$id2" --output json --progress json
grep -q "\"KmsKeyId\": \"$arn2\"" out || die "the result does not name the key"
grep -q '"percent":100' err || die "no progress that ends at 100"
sent_a=$(jq .Bytes out)
[ "$sent_a" -ge 12000000 ] || die "only $sent_a bytes were sent"
said=$(sqlite3 keys "SELECT DISTINCT event FROM audit WHERE seq > $since ORDER BY event")
[ "$said" = "$(printf 'CreateGrant\nDescribeKey\nReEncrypt')" ] ||
    die "a keyless copy asked for: $said"
source_is_same
both_same fails 2 'name is taken' copy "$store:v@a" "$there:v@a" --kms-key-id "$id2"
both_same fails 2 '"code": ?"SnapshotAlreadyExists"' copy "$store:v@a" "$there:v@a" \
    --kms-key-id "$id2" --output json
ok "$COFFERKMS" disable-key --key-id "$id1"
[ "$(content "$there:v@a")" = "$at_a" ] || die "the copy differs"
prints "$arn2" "$COFFER" snapshot describe "$there:v@a" --query KmsKeyId
prints available "$COFFER" snapshot describe "$there:v@a" --query Status
ok "$COFFER" snapshot wait "$there:v@a" --timeout 5
ok "$COFFER" check "$there"
ok "$COFFER" snapshot restore "$there:v@a" "$there:v"
[ "$(content "$there:v")" = "$at_a" ] || die "the volume restored from the copy differs"
ok "$COFFERKMS" enable-key --key-id "$id1"
# Its pin was made: by uuid, and under its key.
grep -q "$arn2" "$COFFER_PINS" || die "the copy was not pinned"

# The second one sends what the first has not.
ok copy "$store:v@b" "$there:v@b" --kms-key-id "$id2" --output json
[ "$(jq .Bytes out)" -lt $((sent_a / 10)) ] || die "the second copy sent $(jq .Bytes out) bytes"
[ "$(content "$there:v@b")" = "$at_b" ] || die "the second copy differs"
# By id, under the same key, and without a pin.
ok copy "$store:v@$id_a" "$there:byid@a" --no-pin
[ "$(content "$there:byid@a")" = "$at_a" ] || die "the copy by id differs"
ok copy "$store:plain@p" "$there:plain@p"
prints plain "$COFFER" volume read "$there:plain@p" 0 5
ok "$COFFER" check "$there"
ok "$COFFER" check --nonces "$store" "$there"
source_is_same

# ---- sealed anew, and within one store -------------------------------------------------------

ok copy "$store:v@a" "$there:anew@a" --kms-key-id "$id2" --reencrypt --progress json
grep -q '"percent":100' err || die "no progress of --reencrypt"
ok copy "$store:v@$id_a" "$there:anew2@a" --reencrypt
ok "$COFFERKMS" disable-key --key-id "$id1"
[ "$(content "$there:anew@a")" = "$at_a" ] || die "the copy that was sealed anew differs"
ok "$COFFERKMS" enable-key --key-id "$id1"
source_is_same
ok copy "$store:v@a" "$store:within@a" --kms-key-id "$id2"
ok copy "$store:v@$id_a" "$store:within2@a"
prints "$arn2" "$COFFER" snapshot describe "$store:within@a" --query KmsKeyId
prints "$arn1" "$COFFER" snapshot describe "$store:within2@a" --query KmsKeyId
[ "$(content "$store:within@a")" = "$at_a" ] || die "the copy within the store differs"
ok "$COFFER" check "$store"
source_sum=$(sum_of "$store")

# ---- two key services ------------------------------------------------------------------------

far=$work/far
ok "$COFFER" store create "$far" --size 64M --segment-size 1M
"${here2[@]}" "$COFFERKMS" disable-key --key-id "$id3"
unchanged "$store" unchanged "$far" fails 3 "$id3.*disabled" \
    "${other[@]}" "$COFFER" snapshot copy "$store:v@b" "$far:v@b" --kms-key-id "$id3"
"${here2[@]}" "$COFFERKMS" enable-key --key-id "$id3"
ok "${other[@]}" "$COFFER" snapshot copy "$store:v@b" "$far:v@b" --kms-key-id "$id3"
ok "$COFFERKMS" disable-key --key-id "$id1"
[ "$("${here2[@]}" "$COFFER" volume export "$far:v@b" - | sha256sum)" = "$at_b" ] ||
    die "the copy in the other region differs"
prints "$arn3" "${here2[@]}" "$COFFER" snapshot describe "$far:v@b" --query KmsKeyId
ok "$COFFERKMS" enable-key --key-id "$id1"
# Each with a secret of its own.
(umask 077 && head -c 32 /dev/urandom >root4)
sealed4=(--kms "file:$work/keys4" --root-key-file root4)
id4=$("$COFFERKMS" create-key "${sealed4[@]}" --region far-4 --query KeyMetadata.KeyId 2>err)
ok copy "$store:v@a" "$far:w@a" "${sealed4[@]}" --kms-key-id "$id4" \
    --source-kms "file:$work/keys" --source-root-key-file root
ok "$COFFER" volume read "$far:w@a" 0 16 "${sealed4[@]}"
unchanged "$far" fails 3 . copy "$store:v@a" "$far:w@b" "${sealed4[@]}" --kms-key-id "$id4" \
    --source-kms "file:$work/keys" --no-pin
ok env COFFER_SOURCE_ROOT_KEY_FILE=root "$COFFER" snapshot copy "$store:v@a" "$far:w@c" \
    "${sealed4[@]}" --kms-key-id "$id4" --source-kms "file:$work/keys" --no-pin
unchanged "$far" fails 2 'give one' copy "$store:v@a" "$far:w@d" "${sealed4[@]}" \
    --kms-key-id "$id4" --source-kms "file:$work/keys" --source-root-key-file root \
    --source-passphrase-file root --no-pin
source_is_same

# ---- there and back --------------------------------------------------------------------------

random_bytes 50000 | ok "$COFFER" volume write "$there:v" 8192
ok "$COFFER" snapshot create "$there:v@back"
at_back=$(content "$there:v@back")
ok copy "$there:v@back" "$store:v@back" --kms-key-id "$id1" --output json
[ "$(jq .Bytes out)" -lt $((sent_a / 10)) ] || die "the way back sent $(jq .Bytes out) bytes"
[ "$(content "$store:v@back")" = "$at_back" ] || die "what came back differs"
ok "$COFFER" snapshot restore "$store:v@back" "$store:v3"
[ "$(content "$store:v3")" = "$at_back" ] || die "the volume of what came back differs"
ok "$COFFER" check "$store"
ok "$COFFER" check --nonces "$store" "$there" "$far"

# ---- interrupted -----------------------------------------------------------------------------

random_bytes 100000000 >image
ok "$COFFER" store create "$work/big" --size 256M --segment-size 1M
ok "$COFFER" volume import "$work/big:w" image --create --kms-key-id "$id1"
ok "$COFFER" snapshot create "$work/big:w@s"
at_s=$(content "$work/big:w@s")
source_sum=$(sum_of "$work/big")
goal=$work/goal
ok "$COFFER" store create "$goal" --size 512M --segment-size 1M
# strike SIGNAL MIB FILE COMMAND...: run it, and send it the signal when FILE has grown by so much.
# Its exit code; 128 and more: the signal ended it.
strike() {
    python3 - "$@" <<'PY'
import os, signal, subprocess, sys
goal = os.stat(sys.argv[3]).st_blocks + int(sys.argv[2]) * 2048
with open("out", "wb") as out, open("err", "wb") as err:
    # A shell may have told its children to ignore SIGINT.
    process = subprocess.Popen(sys.argv[4:], stdout=out, stderr=err,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    while process.poll() is None and os.stat(sys.argv[3]).st_blocks < goal:
        pass
    process.send_signal(getattr(signal, sys.argv[1]))
    code = process.wait()
sys.exit(code if code >= 0 else 128 - code)
PY
}
state_of() { "$COFFER" snapshot list "$goal" --query "[?VolumeName=='$1'].Status" 2>state.err; }
# Killed anywhere; what is there then is nothing, a beginning, or the whole copy.
begun=0
kills=0
for mib in 0 0 1 2 5 10 20 40 60 80 90 95; do
    status=0
    strike SIGKILL "$mib" "$goal" "$COFFER" snapshot copy "$work/big:w@s" "$goal:w@s" \
        --kms-key-id "$id2" || status=$?
    [ "$status" -ne 137 ] || kills=$((kills + 1))
    ok "$COFFER" check "$goal"
    case $(state_of w) in
    '') ;;
    available)
        [ "$(content "$goal:w@s")" = "$at_s" ] || die "a copy that is whole differs"
        ok "$COFFER" snapshot delete "$goal:w@s" --yes
        ;;
    failed)
        begun=$((begun + 1))
        prints failed "$COFFER" snapshot describe "$goal:w@s" --query Status
        matches 'run it again and it goes on' "$COFFER" snapshot describe "$goal:w@s" \
            --query StatusReason
        unchanged "$goal" fails 5 . "$COFFER" volume read "$goal:w@s" 0 1
        unchanged "$goal" fails 1 'stopped before it was whole' timeout 20 "$COFFER" snapshot \
            wait "$goal:w@s" --timeout 600
        ;;
    *) die "after kill -9: $(state_of w)" ;;
    esac
done
[ "$kills" -ge 5 ] || die "only $kills of the copies were killed"
[ "$begun" -ge 1 ] || die "no kill met a copy on its way"
ok copy "$work/big:w@s" "$goal:w@s" --kms-key-id "$id2"
[ "$(content "$goal:w@s")" = "$at_s" ] || die "the copy that was killed differs"
ok "$COFFER" check "$goal"
ok "$COFFER" snapshot delete "$goal:w@s" --yes

ok "$COFFER" store create "$work/goal2" --size 256M --segment-size 1M
goal=$work/goal2
# SIGINT: it stops, and goes on with what it has; under another key it begins anew.
# interrupt: a copy whose beginning is there, unless the device is faster than the signal.
interrupt() {
    local mib status
    for mib in 10 5 20 2 1 40; do
        status=0
        strike SIGINT "$mib" "$goal" "$COFFER" snapshot copy "$work/big:w@s" "$goal:i@s" \
            --kms-key-id "$id2" || status=$?
        ok_in_between "$status"
        [ "$status" -ne 130 ] || return 0
        ok "$COFFER" snapshot delete "$goal:i@s" --yes
    done
    die "no interrupt met a copy on its way"
}
ok_in_between() {
    [ "$1" -eq 0 ] || [ "$1" -eq 130 ] || die "SIGINT: exit $1"
    [ "$1" -eq 0 ] || grep -q 'the same command goes on where it was' err || die "$(cat err)"
}
interrupt
ok "$COFFER" check "$goal"
[ "$(state_of i)" = failed ] || die "a copy that was interrupted is $(state_of i)"
ok copy "$work/big:w@s" "$goal:i@s" --kms-key-id "$id2"
grep -q 'going on where it was' err || die "it does not say that it goes on"
[ "$(content "$goal:i@s")" = "$at_s" ] || die "the copy that was stopped differs"
ok "$COFFER" snapshot delete "$goal:i@s" --yes
ok "$COFFER" store create "$work/goal3" --size 256M --segment-size 1M
goal=$work/goal3
interrupt
unchanged "$goal" ok "$COFFER" snapshot delete "$goal:i@s" --dry-run
ok "$COFFER" snapshot delete "$goal:i@s" --yes
[ -z "$(state_of i)" ] || die "the beginning of a copy was not deleted"
ok "$COFFER" check "$goal"
ok "$COFFER" store create "$work/goal4" --size 256M --segment-size 1M
goal=$work/goal4
interrupt
ok copy "$work/big:w@s" "$goal:i@s"
! grep -q 'going on where it was' err || die "it goes on under another key"
prints "$arn1" "$COFFER" snapshot describe "$goal:i@s" --query KmsKeyId
[ "$(content "$goal:i@s")" = "$at_s" ] || die "the copy that began anew differs"
ok "$COFFER" check "$goal"
[ "$(sum_of "$work/big")" = "$source_sum" ] || die "an interrupted copy changed the source"

# ---- full, damaged ---------------------------------------------------------------------------

ok "$COFFER" store create "$work/small" --size 64M --segment-size 1M
unchanged "$work/big" fails 8 'room' copy "$work/big:w@s" "$work/small:w@s" --kms-key-id "$id2"
prints '' "$COFFER" snapshot list "$work/small" --query '[].SnapshotName' --output text
ok "$COFFER" check "$work/small"
cp --sparse=always "$work/big" damaged
python3 - <<'PY'
import os
with open("damaged", "r+b") as f:
    size = os.fstat(f.fileno()).st_size
    for at in range(size // 4, size // 2, 1 << 20):
        f.seek(at + 70000)
        block = f.read(1)
        f.seek(at + 70000)
        f.write(bytes([block[0] ^ 1]))
PY
ok "$COFFER" store create "$work/after" --size 256M --segment-size 1M
unchanged damaged fails 4 'cannot copy' copy damaged:w@s "$work/after:w@s" --kms-key-id "$id2"
prints '' "$COFFER" snapshot list "$work/after" --query '[].SnapshotName' --output text
ok "$COFFER" check "$work/after"

# ---- recipients ------------------------------------------------------------------------------

share() { "$COFFER" snapshot add-recipient "$@"; }
unchanged "$store" fails 2 'kms-key-id is missing' share "$store:v@a"
unchanged "$store" fails 2 'managed default key.*snapshot copy.*rekey' share "$store:m@s" \
    --kms-key-id "$id2"
unchanged "$store" fails 2 'not encrypted' share "$store:plain@p" --kms-key-id "$id2"
unchanged "$store" fails 5 'already' share "$store:v@a" --kms-key-id "$id1"
unchanged "$store" fails 3 'nobody' share "$store:v@a" --kms-key-id alias/nobody
unchanged "$store" fails 7 'no snapshot' share "$store:v@nobody" --kms-key-id "$id2"
unchanged "$store" fails 7 'no recipient' "$COFFER" snapshot remove-recipient "$store:v@a" \
    --kms-key-id "$id2"
unchanged "$store" fails 2 "own key" "$COFFER" snapshot remove-recipient "$store:v@a" \
    --kms-key-id "$id1"
prints "$arn1" "$COFFER" snapshot describe "$store:v@a" --query "join(',', Recipients)"
prints "$arn1,$arn2" share "$store:v@a" --kms-key-id "$id2" --query "join(',', Recipients)"
matches "^Recipients: $arn1, $arn2\$" "$COFFER" snapshot describe "$store:v@a"
ok "$COFFERKMS" disable-key --key-id "$id1"
[ "$(content "$store:v@a")" = "$at_a" ] || die "the recipient's key does not open the snapshot"
unchanged "$store" fails 3 'disabled' "$COFFER" volume read "$store:v@b" 0 1
fails 5 'inaccessible-encryption-credentials' "$COFFER" volume read "$store:v" 0 1
ok "$COFFERKMS" enable-key --key-id "$id1"
ok "$COFFER" volume start "$store:v"
ok "$COFFER" snapshot remove-recipient "$store:v@a" --kms-key-id "$arn2"
prints "$arn1" "$COFFER" snapshot describe "$store:v@a" --query "join(',', Recipients)"
ok "$COFFERKMS" disable-key --key-id "$id1"
unchanged "$store" fails 3 'disabled' "$COFFER" volume read "$store:v@a" 0 1
ok "$COFFERKMS" enable-key --key-id "$id1"
ok "$COFFER" check "$store"

# ---- a plain snapshot restored under a key ----------------------------------------------------

ok "$COFFER" store create "$work/goal5" --size 256M --segment-size 1M
goal=$work/goal5
ok "$COFFER" volume create "$goal:p" --size 64M --no-storage-encrypted
head -c 60000000 image | ok "$COFFER" volume import "$goal:p" -
ok "$COFFER" snapshot create "$goal:p@s"
stopped=
for mib in 10 5 20 2 1; do
    status=0
    strike SIGINT "$mib" "$goal" "$COFFER" snapshot restore "$goal:p@s" "$goal:q" \
        --kms-key-id "$id1" || status=$?
    [ "$status" -ne 130 ] || { stopped=1 && break; }
    [ "$status" -eq 0 ] || die "SIGINT: exit $status"
    ok "$COFFER" volume delete "$goal:q" --yes
done
[ -n "$stopped" ] || die "no interrupt met a restore on its way"
fails 7 . "$COFFER" volume describe "$goal:q"
ok "$COFFER" check "$goal"
ok "$COFFER" snapshot restore "$goal:p@s" "$goal:q2" --kms-key-id "$id1" --progress json
grep -q '"progress":"restore".*"percent":100' err || die "no progress of a restore"
[ "$(content "$goal:q2")" = "$(content "$goal:p@s")" ] || die "the restored volume differs"

# Killed while every page is sealed anew: the next command that writes takes away what lies about,
# and its key is not needed for that.
ok "$COFFER" store create "$work/goal6" --size 256M --segment-size 1M
goal=$work/goal6
room_of() { "$COFFER" store describe "$goal" --query "$1"; }
entries=$(room_of VolumeCount)
most=$(($(room_of LiveBytes) + 1048576))
id5=$(make_key)
left=0
for mib in 5 40 80; do
    status=0
    strike SIGKILL "$mib" "$goal" "$COFFER" snapshot copy "$work/big:w@s" "$goal:z@s" \
        --kms-key-id "$id5" --reencrypt || status=$?
    [ "$status" -eq 0 ] || [ "$status" -eq 137 ] || die "SIGKILL: exit $status"
    [ "$(room_of VolumeCount)" -eq "$entries" ] || left=$((left + 1))
    prints '' "$COFFER" volume list "$goal" --query '[].VolumeName' --output text
    [ -z "$(state_of z)" ] || ok "$COFFER" snapshot delete "$goal:z@s" --yes
    ok "$COFFERKMS" disable-key --key-id "$id5"
    ok "$COFFER" volume create "$goal:t" --size 4K --kms-key-id "$id1"
    ok "$COFFER" volume delete "$goal:t" --yes
    prints "$entries" room_of VolumeCount
    [ "$(room_of LiveBytes)" -le "$most" ] || die "a copy that was killed holds its room"
    ok "$COFFER" check "$goal"
    ok "$COFFERKMS" enable-key --key-id "$id5"
done
[ "$left" -ge 1 ] || die "no kill met a copy that is sealed anew on its way"
ok copy "$work/big:w@s" "$goal:z@s" --kms-key-id "$id5" --reencrypt
[ "$(content "$goal:z@s")" = "$at_s" ] || die "the copy that was sealed anew after kills differs"
finish
