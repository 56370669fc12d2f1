#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Snapshots: made, named, listed, shown, read, compared, restored, waited for, deleted; what the
# reference documents allow; and every refusal, with the store as it was.
. "$(dirname "$0")/lib.sh"
make_store 64M
id=$(make_key 2>err)
arn=$("$COFFERKMS" describe-key --key-id "$id" --query KeyMetadata.Arn --output text)
id2=$(make_key)
arn2=$("$COFFERKMS" describe-key --key-id "$id2" --query KeyMetadata.Arn --output text)
snap() { "$COFFER" snapshot "$@"; }
names() { snap list "$@" --query "[].SnapshotName | join(',', @)"; }
content() { "$COFFER" volume export "$1" - | sha256sum; }
write() { printf '%s' "$3" | ok "$COFFER" volume write "$1" "$2"; }

# ---- made: before is in it, after is not -----------------------------------------------------

random_bytes 3000000 >image
ok "$COFFER" volume create "$store:v" --size 8M --kms-key-id "$id"
ok "$COFFER" volume import "$store:v" image
write "$store:v" 0 first
at_a=$(content "$store:v")
ok snap create "$store:v@a"
grep -q 'Creating snapshot for v: a$' err || die "it does not say what it does"
[ ! -s out ] || die "a result without --output or --query"
write "$store:v" 0 second
write "$store:v" 5000000 far
at_b=$(content "$store:v")
ok snap create "$store:v@b" --output json
grep -q '"SnapshotName": "b"' out || die "the result does not name the snapshot"
[ ! -s err ] || die "json with a note"
write "$store:v" 0 third
[ "$(content "$store:v@a")" = "$at_a" ] || die "snapshot a changed"
[ "$(content "$store:v@b")" = "$at_b" ] || die "snapshot b changed"
prints first "$COFFER" volume read "$store:v@a" 0 5
prints second "$COFFER" volume read "$store:v@b" 0 6
prints third "$COFFER" volume read "$store:v" 0 5
ok "$COFFER" volume export "$store:v@a" copy
[ "$(sha256sum <copy)" = "$at_a" ] || die "the exported snapshot differs"
ok "$COFFER" volume export "$store:v@a" copy --force --output json
grep -q '"Name": "v@a"' out || die "export does not name the snapshot"

# Plaintext leaves on the record: what, where to, and who took it.
exports() { sqlite3 "$work/keys" "SELECT count(*) FROM audit WHERE event = 'ExportPlaintext' $1"; }
before=$(exports "")
ok "$COFFER" volume export "$store:v@a" copy --force
[ "$(exports "")" -eq $((before + 1)) ] || die "an export left no record, or more than one"
last=$(sqlite3 "$work/keys" "SELECT principal || key_arn || context FROM audit
    WHERE event = 'ExportPlaintext' ORDER BY seq DESC LIMIT 1")
for word in "arn:coffer:iam::000000000000:root" "$arn" '"Volume":"v@a"' '"Destination":"copy"' \
    "\"Uid\":\"$(id -u)\"" "\"Store\":\"$store\""; do
    case $last in *"$word"*) ;; *) die "the record lacks $word: $last" ;; esac
done
fails 5 'force replaces it' "$COFFER" volume export "$store:v@a" copy
[ "$(exports "")" -eq $((before + 1)) ] || die "a refused export is on the record"
odd=$(printf 'odd\377name')
ok "$COFFER" volume export "$store:v@a" "$odd"
[ "$(exports "AND context LIKE '%odd?name%'")" -eq 1 ] || die "a name that is not UTF-8"
fails 7 'nobody' "$COFFER" volume export "$store:v@nobody" nowhere
[ "$(exports "AND context LIKE '%nobody%'")" -eq 0 ] || die "what did not leave is on the record"
ok "$COFFER" volume read "$store:v" 0 5
[ "$(exports "AND context LIKE '%\"Volume\":\"v\"%'")" -ge 1 ] || die "volume read left no record"

# ---- fields ----------------------------------------------------------------------------------

prints a snap describe "$store:v@a" --query SnapshotName
prints v snap describe "$store:v@a" --query VolumeName
prints available snap describe "$store:v@a" --query Status
prints TRUE snap describe "$store:v@a" --query StorageEncrypted
prints "$arn" snap describe "$store:v@a" --query KmsKeyId
prints AES-256-GCM snap describe "$store:v@a" --query Cipher
prints 8388608 snap describe "$store:v@a" --query Size
matches '^snap-[0-9a-f]{24}$' snap describe "$store:v@a" --query ResourceId
matches '^arn:coffer:coffer:local-1:000000000000:snapshot:v@a$' snap describe "$store:v@a" \
    --query Arn
matches '^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z$' snap describe "$store:v@a" \
    --query SnapshotCreateTime
matches '^Encryption: Enabled$' snap describe "$store:v@a"
matches '^Name: v@a$' snap describe "$store:v@a"
prints TRUE snap describe "$store:v@a" --query "*[].{StorageEncrypted:StorageEncrypted}" \
    --output text
prints a "$COFFER" volume describe "$store:v@a" --query SnapshotName
[ "$(snap describe "$store:v@a" --query VolumeUuid)" = \
    "$("$COFFER" volume describe "$store:v" --query VolumeUuid)" ] || die "another volume's uuid"
[ "$(snap describe "$store:v@a" --query Uuid)" != \
    "$(snap describe "$store:v@b" --query Uuid)" ] || die "two snapshots of one uuid"

# One page was overwritten after a, one in b and after; the rest is shared.
mapped=$(snap describe "$store:v@a" --query MappedBytes)
alone=$(snap describe "$store:v@a" --query ExclusiveBytes)
shared=$(snap describe "$store:v@a" --query SharedBytes)
[ "$mapped" -eq 3002368 ] || die "$mapped bytes are mapped"
if [ "$alone" -lt 4096 ] || [ "$alone" -gt 65536 ]; then
    die "$alone bytes are a's alone"
fi
[ $((alone + shared)) -eq "$mapped" ] || die "$alone and $shared are not $mapped"

# ---- names -----------------------------------------------------------------------------------

stamp='[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{2}-[0-9]{2}-[0-9]{2}'
for _ in 1 2 3; do
    matches "^v-$stamp(-[0-9])?\$" snap create "$store:v" --query SnapshotName
    cat out >>dated
done
[ "$(sort -u dated | wc -l)" -eq 3 ] || die "two of one name: $(cat dated)"
date -u -d "$(head -1 dated | sed -E 's/^v-(.{10})-(..)-(..)-(..).*/\1 \2:\3:\4/')" >/dev/null ||
    die "no date in $(head -1 dated)"
# Names of this second and the next ones are taken, as those of two runs in one second are.
now=$(date -u +%s)
for s in 0 1 2 3 4 5 6 7; do
    name=v-$(date -u -d "@$((now + s))" +%Y-%m-%d-%H-%M-%S)
    ok snap list "$store:v" --query "[?SnapshotName=='$name'].SnapshotName"
    [ -s out ] || ok snap create "$store:v@$name"
done
matches "^v-$stamp-[2-5]\$" snap create "$store:v" --query SnapshotName
long=$(printf 'n%.0s' {1..63})
ok "$COFFER" volume create "$store:$long" --size 4K
matches "^n{43}-$stamp\$" snap create "$store:$long" --query SnapshotName
ok snap create "$store:$long@$long"
ok "$COFFER" volume read "$store:$long@$long" 0 1
ok snap describe "$store:$long@$long"
ok "$COFFER" volume delete "$store:$long" --yes
for n in $(snap list "$store:$long" --query '[].SnapshotName'); do
    ok snap delete "$store:$long@$n" --yes
done
for n in $(snap list "$store:v" --query '[].SnapshotName'); do
    case $n in v-*) ok snap delete "$store:v@$n" --yes ;; esac
done
prints a,b names "$store:v"

unchanged "$store" fails 2 'v@a: the name is taken' snap create "$store:v@a"
unchanged "$store" fails 2 '"code":"SnapshotAlreadyExists","class":"usage","exit":2' \
    snap create "$store:v@a" --output json
unchanged "$store" fails 7 'snapshot create' snap create "$store:nobody@a"
unchanged "$store" fails 7 'snapshot create' snap create "$store:nobody"
fails 7 'cannot open the store nowhere' snap create nowhere:v@a

# ---- a snapshot has its volume's key ---------------------------------------------------------

ok "$COFFER" volume create "$store:plain" --size 4M --no-storage-encrypted
write "$store:plain" 0 in-the-clear
for volume in v plain; do
    for option in "--kms-key-id $id2" --encrypted --storage-encrypted --no-storage-encrypted; do
        # shellcheck disable=SC2086
        unchanged "$store" fails 2 'snapshot copy.*snapshot restore --kms-key-id' \
            snap create "$store:$volume@s" $option
    done
done
fails 2 '"code":"InvalidParameterCombination"' snap create "$store:plain@s" --encrypted \
    --output json
ok snap create "$store:plain@p"
before=$(exports "")
ok "$COFFER" volume export "$store:plain@p" plain.out
[ "$(exports "")" -eq "$before" ] || die "what no key protects is on the record"
prints FALSE snap describe "$store:plain@p" --query StorageEncrypted
prints None snap describe "$store:plain@p" --query KmsKeyId
prints None snap describe "$store:plain@p" --query Cipher
matches '^Encryption: Not enabled$' snap describe "$store:plain@p"
prints in-the-clear "$COFFER" volume read "$store:plain@p" 0 12

# ---- a snapshot never changes ----------------------------------------------------------------

unchanged "$store" fails 2 'not a snapshot' "$COFFER" volume write "$store:v@a" 0 <image
unchanged "$store" fails 2 'not a snapshot' "$COFFER" volume import "$store:v@a" image
unchanged "$store" fails 2 'not a snapshot' "$COFFER" volume import "$store:v@new" image --create
unchanged "$store" fails 2 'not a snapshot' "$COFFER" volume resize "$store:v@a" --size 4M --yes
unchanged "$store" fails 2 'not a snapshot' "$COFFER" volume delete "$store:v@a" --yes
unchanged "$store" fails 2 'not a snapshot' "$COFFER" volume create "$store:v@c" --size 4M
unchanged "$store" fails 2 "has its volume's key" "$COFFER" rekey "$store:v@a" --kms-key-id "$id2"
unchanged "$store" fails 2 'do not lie in' "$COFFER" volume read "$store:v@a" 8M 1
unchanged "$store" fails 7 'v@nobody' "$COFFER" volume read "$store:v@nobody" 0 1
unchanged "$store" fails 7 'v@nobody' "$COFFER" volume export "$store:v@nobody" file
[ ! -e file ] || die "a refused export made a file"
unchanged "$store" fails 7 'snapshot list' snap describe "$store:v@nobody"
unchanged "$store" fails 7 'snapshot list' "$COFFER" volume describe "$store:nobody@a"

# ---- lists -----------------------------------------------------------------------------------

prints a,b,p names "$store"
prints a,b,p names "$store:"
prints p names "$store:plain"
prints '' names "$store:nobody"
prints a,b names v --store "$store"
COFFER_STORE=$store prints a,b,p names
COFFER_STORE=$store prints p names plain
COFFER_STORE=nowhere prints a,b,p names "$store"
ln "$store" with:colon
prints a,b,p names with:colon:
prints a,b names with:colon:v
prints a,b,p names ./with:colon:
rm with:colon
prints 3 snap list "$store" --query 'length(Snapshots)'
prints p snap list "$store" --query '[?!StorageEncrypted].SnapshotName'
matches '^Name +Status +Encryption +Size +Created +ResourceId$' snap list "$store"
matches '^v@a +available +Enabled +8 MiB ' snap list "$store"
prints '' snap list "$store:nobody"
fails 2 'not a snapshot' snap list "$store:v@a"
fails 2 'a store is missing' snap list
rid=$(snap describe "$store:v@a" --query ResourceId)
prints None snap list "$store" --keyless --query "[?ResourceId=='$rid'].SnapshotName | [0]"
prints locked snap list "$store" --keyless --query "[?ResourceId=='$rid'].Status | [0]"
prints "$rid" snap describe "$store:v@a" --keyless --query ResourceId # by its pin
prints "$arn" snap describe "$store:v@a" --keyless --query KmsKeyId
prints locked snap describe "$store:v@$rid" --keyless --query Status
prints a snap describe "$store:v@$rid" --query SnapshotName

# ---- diff ------------------------------------------------------------------------------------

page=$((5000000 / 4096 * 4096))
prints "$(printf '0\t4096\tdata\n%d\t4096\tdata' "$page")" \
    snap diff "$store:v@a" "$store:v@b" --output text
prints "$(printf '0\t4096\tdata\n%d\t4096\tzero' "$page")" \
    snap diff "$store:v@b" "$store:v@a" --output text
prints '' snap diff "$store:v@a" "$store:v@a" --output text
prints "$(printf '0\t4096\tdata')" snap diff "$store:v@b" "$store:v" --output text
matches '^ +Offset +Length +Kind$' snap diff "$store:v@a" "$store:v@b"
matches "^ +$page +4096 +data\$" snap diff "$store:v@a" "$store:v@b"
prints 8192 snap diff "$store:v@a" "$store:v@b" --query DataBytes
prints 4096 snap diff "$store:v@b" "$store:v@a" --query ZeroBytes
prints "$page" snap diff "$store:v@a" "$store:v@b" --query 'Ranges[1].Offset'
COFFER_STORE=$store prints 2 snap diff v@a v@b --query 'length(Ranges)'
# The ranges, put over the older contents, give the newer ones.
"$COFFER" volume export "$store:v@a" patched --force
"$COFFER" volume export "$store:v@b" newer
snap diff "$store:v@a" "$store:v@b" --output text >ranges
while read -r offset length kind; do
    from=newer
    [ "$kind" = data ] || from=/dev/zero
    dd if=$from of=patched bs=4096 skip=$((offset / 4096)) seek=$((offset / 4096)) \
        count=$((length / 4096)) conv=notrunc status=none
done <ranges
cmp patched newer || die "the diff does not lead from a to b"
unchanged "$store" fails 7 'v@nobody' snap diff "$store:v@a" "$store:v@nobody"
unchanged "$store" fails 7 'v@nobody' snap diff "$store:v@nobody" "$store:v@a"
ok "$COFFER" store create other --size 64M --segment-size 1M
unchanged "$store" fails 2 'two stores' snap diff "$store:v@a" other:v@b
ln -s store link
prints 2 snap diff "$store:v@a" link:v@b --query 'length(Ranges)'

# ---- restore ---------------------------------------------------------------------------------

unchanged "$store" matches "^KmsKeyId: $arn\$" snap restore "$store:v@a" "$store:r" --dry-run
unchanged "$store" ok snap restore "$store:v@a" "$store:r" --dry-run --output json
grep -q '"CopiesPages": false' out || die "the dry run says that pages are copied"
ok snap restore "$store:v@a" "$store:r"
[ ! -s out ] || die "a result without --output or --query"
[ "$(content "$store:r")" = "$at_a" ] || die "the restored volume differs"
prints TRUE "$COFFER" volume describe "$store:r" --query StorageEncrypted
prints "$arn" "$COFFER" volume describe "$store:r" --query KmsKeyId
[ "$("$COFFER" volume describe "$store:r" --query VolumeUuid)" != \
    "$("$COFFER" volume describe "$store:v" --query VolumeUuid)" ] || die "one uuid twice"
write "$store:r" 0 clone
prints clone "$COFFER" volume read "$store:r" 0 5
[ "$(content "$store:v@a")" = "$at_a" ] || die "writing to the clone changed the snapshot"
prints third "$COFFER" volume read "$store:v" 0 5
# A clone of a clone, under another key, and its result.
ok snap create "$store:r@c"
prints "$arn2" snap restore "$store:r@c" "$store:rr" --kms-key-id "$id2" --query KmsKeyId
prints clone "$COFFER" volume read "$store:rr" 0 5
ok snap restore link:v@b "$store:r2" --encrypted
[ "$(content "$store:r2")" = "$at_b" ] || die "the restored volume differs"

for n in v r plain; do
    unchanged "$store" fails 5 'the name is taken' snap restore "$store:v@a" "$store:$n"
done
unchanged "$store" fails 5 'the name is taken' snap restore "$store:v@a" "$store:v" --dry-run
unchanged other fails 2 'two stores.*snapshot copy' snap restore "$store:v@a" other:new
unchanged "$store" fails 2 'two stores.*snapshot copy' snap restore "$store:v@a" nowhere:new
unchanged "$store" fails 2 'not a snapshot' snap restore "$store:v@a" "$store:v@new"
unchanged "$store" fails 2 "name is missing" snap restore "$store:v" "$store:new"
unchanged "$store" fails 7 'v@nobody' snap restore "$store:v@nobody" "$store:new"
unchanged "$store" fails 3 'snapshot restore' snap restore "$store:v@a" "$store:new" \
    --kms-key-id alias/nobody
unchanged "$store" fails 2 "can't become an unencrypted" snap restore "$store:v@a" "$store:new" \
    --no-storage-encrypted
unchanged "$store" fails 2 'no meaning' snap restore "$store:v@a" "$store:new" \
    --no-storage-encrypted --kms-key-id "$id2"

# Plain stays plain, and becomes encrypted only with a key.
unchanged "$store" fails 2 'kms-key-id KEY' snap restore "$store:plain@p" "$store:new" --encrypted
ok snap restore "$store:plain@p" "$store:plain2"
prints FALSE "$COFFER" volume describe "$store:plain2" --query StorageEncrypted
prints in-the-clear "$COFFER" volume read "$store:plain2" 0 12
unchanged "$store" ok snap restore "$store:plain@p" "$store:sealed" --kms-key-id "$id2" --dry-run \
    --output json
grep -q '"CopiesPages": true' out || die "the dry run does not say that pages are copied"
ok snap restore "$store:plain@p" "$store:sealed" --kms-key-id "$id2"
prints TRUE "$COFFER" volume describe "$store:sealed" --query StorageEncrypted
prints "$arn2" "$COFFER" volume describe "$store:sealed" --query KmsKeyId
prints in-the-clear "$COFFER" volume read "$store:sealed" 0 12
write "$store:sealed" 100 and-on
# A store that runs full on the way has the new volume taken back.
ok "$COFFER" store create tight --size 64M --segment-size 1M
random_bytes 26000000 | ok "$COFFER" volume import tight:p - --create --size 40M \
    --no-storage-encrypted
ok snap create tight:p@s
random_bytes 14000000 | ok "$COFFER" volume import tight:fill - --create --size 16M
fails 8 'sealed' snap restore tight:p@s tight:sealed --kms-key-id "$id2"
prints fill,p "$COFFER" volume list tight --query "[].Name | join(',', sort(@))"
ok "$COFFER" check tight
ok "$COFFER" check "$store"

# ---- keys that are disabled ------------------------------------------------------------------

ok "$COFFERKMS" disable-key --key-id "$id2"
unchanged "$store" fails 3 "$id2.*disabled" snap restore "$store:v@a" "$store:new" \
    --kms-key-id "$id2"
ok "$COFFERKMS" enable-key --key-id "$id2"
ok "$COFFERKMS" disable-key --key-id "$id"
unchanged "$store" fails 3 "$id.*disabled" snap restore "$store:v@a" "$store:new"
unchanged "$store" fails 3 "$id.*disabled" snap restore "$store:v@a" "$store:new" \
    --kms-key-id "$id2"
unchanged "$store" fails 3 '"code":"KEY_DISABLED","class":"key","exit":3' \
    snap restore "$store:v@a" "$store:new" --output json
unchanged "$store" fails 3 'disabled' snap delete "$store:v@a" --yes
unchanged "$store" fails 3 'disabled' snap diff "$store:v@a" "$store:v@b"
unchanged "$store" fails 3 'disabled' "$COFFER" volume read "$store:v@a" 0 1
unchanged "$store" fails 3 'disabled' snap wait "$store:v@a" --timeout 5
unchanged "$store" prints inaccessible-encryption-credentials-recoverable \
    snap describe "$store:v@a" --query Status
prints KEY_DISABLED snap describe "$store:v@a" --query Inaccessible
prints "$arn" snap describe "$store:v@a" --query KmsKeyId
ok snap list "$store"
grep -q 'sealed' err || die "the list does not say why names are sealed"
prints in-the-clear "$COFFER" volume read "$store:plain@p" 0 12
fails 5 'disabled' snap create "$store:v@late"
ok "$COFFERKMS" enable-key --key-id "$id"
prints first "$COFFER" volume read "$store:v@a" 0 5
fails 5 'inaccessible' snap create "$store:v@late"
ok "$COFFER" volume start "$store:v"

# ---- wait ------------------------------------------------------------------------------------

unchanged "$store" ok snap wait "$store:v@a"
[ ! -s out ] || die "wait prints a result"
unchanged "$store" ok snap wait "$store:v@a" --timeout 0
unchanged "$store" fails 7 'v@nobody' snap wait "$store:v@nobody" --timeout 30
fails 7 'nowhere' snap wait nowhere:v@a --timeout 30
fails 2 'at most' snap wait "$store:v@a" --timeout 99999999999
# A store that is being written to is waited for.
mkfifo pipe
"$COFFER" volume import "$store:r2" - <pipe 2>err2 &
writer=$!
{ printf x; while [ ! -e go ]; do sleep 0.1; done; sleep 1; } >pipe &
for _ in {1..200}; do
    "$COFFER" store describe "$store" >out 2>err || break
    sleep 0.05
done
fails 1 'the time is up' snap wait "$store:v@a" --timeout 1
fails 1 '"code":"TIMEOUT"' snap wait "$store:v@a" --timeout 0 --output json
touch go
ok snap wait "$store:v@a" --timeout 60
wait "$writer" || die "the writer failed: $(cat err2)"

# ---- pins ------------------------------------------------------------------------------------

ok snap create "$store:v@pinned"
ok snap delete "$store:v@pinned" --yes --no-pin
ok snap create "$store:v@pinned" --no-pin
for verb in "volume read $store:v@pinned 0 1" "snapshot restore $store:v@pinned $store:new" \
    "snapshot diff $store:v@a $store:v@pinned" "snapshot delete $store:v@pinned --yes"; do
    # shellcheck disable=SC2086
    unchanged "$store" fails 4 'its uuid was [0-9a-f-]+, and now it is' "$COFFER" $verb
done
ok "$COFFER" volume read "$store:v@pinned" 0 1 --no-pin
ok "$COFFER" volume pin "$store:v@pinned" --yes
ok "$COFFER" volume read "$store:v@pinned" 0 1
ok snap delete "$store:v@pinned" --yes
! grep -q 'v@pinned' "$COFFER_PINS" || die "snapshot delete kept the pin"
ok snap delete "$store:plain@p" --yes --no-pin
ok snap create "$store:plain@new" --no-pin --allow-plain
unchanged "$store" fails 4 'allow-plain' "$COFFER" volume read "$store:plain@new" 0 1
unchanged "$store" fails 4 'allow-plain' snap restore "$store:plain@new" "$store:new"
ok snap delete "$store:plain@new" --yes
# What can't be pinned is not made.
cp "$COFFER_PINS" pins.good
chmod 622 "$COFFER_PINS"
unchanged "$store" fails 4 'pin file' snap create "$store:v@unpinned"
unchanged "$store" fails 4 'pin file' snap restore "$store:v@a" "$store:new"
chmod 600 "$COFFER_PINS"
cmp "$COFFER_PINS" pins.good || die "the pin file was changed"

# ---- deletion, in any order, and of the volume first -----------------------------------------

unchanged "$store" fails 2 'give --yes' snap delete "$store:v@a" </dev/null
unchanged "$store" matches '^ExclusiveBytes: ' snap delete "$store:v@a" --dry-run
unchanged "$store" fails 7 'v@nobody' snap delete "$store:v@nobody" --yes
ok "$COFFER" volume delete "$store:v" --yes
prints a,b names "$store:v"
[ "$(content "$store:v@a")" = "$at_a" ] || die "deleting the volume changed its snapshot"
ok "$COFFER" volume create "$store:v" --size 4K
unchanged "$store" fails 2 'the name is taken' snap create "$store:v@a"
ok snap create "$store:v@z"
prints a,b,z names "$store:v"
ok snap delete "$store:v@a" --yes
fails 7 'v@a' snap describe "$store:v@a"
[ "$(content "$store:v@b")" = "$at_b" ] || die "deleting a changed b"
prints clone "$COFFER" volume read "$store:rr" 0 5
ok snap restore "$store:v@b" "$store:last"
ok snap delete "$store:v@b" --yes
[ "$(content "$store:last")" = "$at_b" ] || die "deleting b changed its clone"
ok "$COFFER" check "$store"
prints c,z names "$store"
finish
