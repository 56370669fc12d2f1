#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Tags: set, listed, removed, shown; at their limits; with snapshots, copies and other keys; sealed
# on the medium; read from the format alone where they are not sealed.
. "$(dirname "$0")/lib.sh"
make_store 64M
there=$work/there
ok "$COFFER" store create "$there" --size 64M --segment-size 1M
id=$(make_key 2>err)
id2=$(make_key)
tag() { "$COFFER" tag "$@"; }
tags_are() { # TAGS ADDRESS: as KEY=VALUE, joined by blanks
    local shown
    ok tag list "$2" --output json
    shown=$(jq -r '[.TagList[] | "\(.Key)=\(.Value)"] | join(" ")' out)
    [ "$shown" = "$1" ] || die "the tags of $2 are '$shown' and not '$1'"
}

# ---- set, listed, removed --------------------------------------------------------------------

ok "$COFFER" volume create "$store:v" --size 4M --kms-key-id "$id" --tag Name=disk --tag "b c=ü=€"
ok "$COFFER" volume create "$store:plain" --size 4M --no-storage-encrypted
tags_are "Name=disk b c=ü=€" "$store:v"
tags_are "" "$store:plain"
ok tag set "$store:v" Name=other owner=
[ ! -s out ] || die "a result without --output or --query"
tags_are "Name=other b c=ü=€ owner=" "$store:v"
prints "Name,b c,owner" tag list "$store:v" --query "[].Key | join(',', @)"
prints other tag list "$store:v" --query "TagList[?Key=='Name'].Value | [0]"
matches '^Name +other$' tag list "$store:v"
ok tag remove "$store:v" owner nobody --output json
[ "$(jq -c .TagList out)" = '[{"Key":"Name","Value":"other"},{"Key":"b c","Value":"ü=€"}]' ] ||
    die "what is left: $(cat out)"
ok "$COFFER" volume describe "$store:v" --output json
[ "$(jq -c .TagList out)" = '[{"Key":"Name","Value":"other"},{"Key":"b c","Value":"ü=€"}]' ] ||
    die "describe: $(jq -c .TagList out)"
matches '^ +b c: ü=€$' "$COFFER" volume describe "$store:v"
prints "[]" "$COFFER" volume describe "$store:plain" --query TagList --output json
ok "$COFFER" volume list "$store" --output json
[ "$(jq '[.Volumes[] | has("TagList")] | any' out)" = false ] || die "tags in a list of volumes"

# ---- refused, with nothing changed -----------------------------------------------------------

unchanged "$store" fails 2 'KEY=VALUE' tag set "$store:v" word
unchanged "$store" fails 2 'KEY=VALUE' tag set "$store:v" =value
unchanged "$store" fails 2 'aws:' tag set "$store:v" aws:x=1
unchanged "$store" fails 2 'aws:' tag set "$store:v" a=1 AWS:x=1
unchanged "$store" fails 2 'is none' tag set "$store:v" "$(printf 'a\nb=1')"
unchanged "$store" fails 2 'is none' tag set "$store:v" "$(printf 'a\377=1')"
unchanged "$store" fails 2 'characters' tag set "$store:v" "$(printf 'k%.0s' {1..600})=1"
unchanged "$store" fails 2 'is none' tag set "$store:v" "$(printf 'k%.0s' {1..129})=1"
unchanged "$store" fails 2 'is none' tag set "$store:v" "k=$(printf 'v%.0s' {1..257})"
unchanged "$store" fails 2 'operand is missing' tag set "$store:v"
unchanged "$store" fails 2 'KEY is missing' tag remove "$store:v"
unchanged "$store" fails 2 'takes no KEY' tag remove "$store:v" Name --all
unchanged "$store" fails 7 'nobody' tag set "$store:nobody" a=1
unchanged "$store" fails 7 'v@nobody' tag list "$store:v@nobody"
unchanged "$store" fails 2 'aws:' "$COFFER" volume create "$store:w" --size 4M --tag aws:x=1
unchanged "$store" fails 2 'KEY=VALUE' "$COFFER" snapshot create "$store:v@s" --tag x
mapfile -t fifty < <(printf 'k%02d=1\n' {1..50})
unchanged "$store" fails 8 'limit' tag set "$store:v" "${fifty[@]}"
unchanged "$store" fails 8 'at most 50' tag set "$store:plain" "${fifty[@]}" more=1
ok tag set "$store:plain" "${fifty[@]}"
ok tag set "$store:plain" k07=2
unchanged "$store" fails 8 'limit' tag set "$store:plain" 51st=1
prints 2 tag list "$store:plain" --query "[?Key=='k07'].Value | [0]"
ok tag remove "$store:plain" --all
tags_are "" "$store:plain"
ok "$COFFERKMS" disable-key --key-id "$id"
unchanged "$store" fails 3 'disabled' tag set "$store:v" a=1
unchanged "$store" fails 3 'disabled' tag list "$store:v"
ok "$COFFER" volume describe "$store:v" --output json
[ "$(jq .TagList out)" = null ] || die "tags are shown without their key"
ok "$COFFERKMS" enable-key --key-id "$id"

# ---- snapshots, volumes of them, other keys --------------------------------------------------

random_bytes 100000 | ok "$COFFER" volume write "$store:v" 0
ok "$COFFER" snapshot create "$store:v@bare"
ok "$COFFER" snapshot create "$store:v@own" --tag own=1
ok "$COFFER" snapshot create "$store:v@all" --copy-tags --tag Name=snap --output json
[ "$(jq -c .TagList out)" = '[{"Key":"Name","Value":"snap"},{"Key":"b c","Value":"ü=€"}]' ] ||
    die "create prints $(jq -c .TagList out)"
tags_are "" "$store:v@bare"
tags_are "own=1" "$store:v@own"
tags_are "Name=snap b c=ü=€" "$store:v@all"
ok tag set "$store:v@bare" later=1
ok "$COFFER" snapshot describe "$store:v@bare" --output json
[ "$(jq -c .TagList out)" = '[{"Key":"later","Value":"1"}]' ] || die "snapshot describe"
ok "$COFFER" snapshot restore "$store:v@all" "$store:w" --tag from=all
ok "$COFFER" snapshot restore "$store:v@all" "$store:x"
tags_are "from=all" "$store:w"
tags_are "" "$store:x"
for depth in master volume; do
    ok "$COFFER" rekey "$store:v" --kms-key-id "$id2" --depth $depth
    tags_are "Name=other b c=ü=€" "$store:v"
    tags_are "Name=snap b c=ü=€" "$store:v@all"
    tags_are "later=1" "$store:v@bare"
done
ok "$COFFER" check "$store"

# ---- copies ----------------------------------------------------------------------------------

copy() { "$COFFER" snapshot copy "$store:v@all" "$@"; }
ok copy "$there:v@without"
tags_are "" "$there:v@without"
ok copy "$there:v@with" --copy-tags --kms-key-id "$id"
tags_are "Name=snap b c=ü=€" "$there:v@with"
ok copy "$there:v@anew" --copy-tags --reencrypt
tags_are "Name=snap b c=ü=€" "$there:v@anew"
ok copy "$store:v@here" --copy-tags
tags_are "Name=snap b c=ü=€" "$store:v@here"
ok copy "$store:v@here2"
tags_are "" "$store:v@here2"
mkdir far
farkms=(env "COFFER_KMS=file:$work/far/keys" "COFFER_SOURCE_KMS=$COFFER_KMS")
farid=$("${farkms[@]}" "$COFFERKMS" create-key --query KeyMetadata.KeyId --output text 2>err)
ok "${farkms[@]}" "$COFFER" snapshot copy "$store:v@all" "$there:v@far" --kms-key-id "$farid" \
    --copy-tags
prints snap "${farkms[@]}" "$COFFER" tag list "$there:v@far" --query "[?Key=='Name'].Value | [0]"
ok tag set "$there:v@without" now=sealed-here
tags_are "now=sealed-here" "$there:v@without"
ok "$COFFER" check "$there"
ok "$COFFER" check --nonces "$store" "$there"

# ---- what the medium has ---------------------------------------------------------------------

marker=marker-$(random_bytes 8 | od -An -tx1 | tr -d ' \n')
ok tag set "$store:v" "$marker-key=$marker-value"
if grep -q "$marker" "$store"; then die "a tag of an encrypted volume lies open"; fi
ok tag set "$store:plain" "$marker=1" "ä=€ 1"
grep -q "$marker" "$store" || die "the search finds nothing, wherever it lies"
ok "$COFFER" snapshot create "$store:plain@p" --copy-tags --tag second=
ok python3 -B "$COFFER_SOURCE_DIR/tests/interop/read_image.py" "$COFFER_SOURCE_DIR" --tags "$store"
[ "$(jq -c '.["plain@p"]' out)" = "{\"$marker\":\"1\",\"second\":\"\",\"ä\":\"€ 1\"}" ] ||
    die "the reader that knows the format alone sees $(cat out)"
[ "$(jq -c '.plain | length' out)" = 2 ] || die "of the volume it sees $(cat out)"
ok "$COFFER" dump "$store"
[ "$(jq '[.volumes[] | select(.tag_blocks > 0)] | length' out)" -ge 5 ] ||
    die "the dump has no tags"
finish
