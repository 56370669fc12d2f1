#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The anchor: a store that was put back to an older state is refused, also under a forged epoch, and
# so are copies and other stores in its place; --accept-rollback goes on, and that is recorded.
. "$(dirname "$0")/lib.sh"
forge=$COFFER_BINARY_DIR/tests/cli/root_forge
[ -x "$forge" ] || die "there is no $forge"
mkdir medium
anchor=$work/medium/anchor
of() { "$COFFER" store describe "$store" --anchor "$anchor" --query "Anchor.$1" --output text; }
put() { # TEXT [OPTION]...: at the start of the volume
    local text=$1
    shift
    printf '%-512s' "$text" | "$COFFER" volume write "$store:v" 0 --anchor "$anchor" "$@"
}
holds() { # TEXT [OPTION]...
    local text=$1
    shift
    ok "$COFFER" volume read "$store:v" 0 512 --anchor "$anchor" "$@"
    [ "$(sed 's/ *$//' out)" = "$text" ] || die "the volume does not hold '$text'"
}

# ---- bound at creation, followed by every verb
ok "$COFFER" store create "$store" --size 64M --segment-size 1M --anchor "$anchor"
grep -q 'knows the store .* from now on' err || die "nothing was said of the binding"
[ "$(stat -c %a "$anchor")" = 600 ] || die "the anchor file is not private"
ok "$COFFER" volume create "$store:v" --size 1M --anchor "$anchor"
! grep -q 'from now on' err || die "a later use binds again"
ok put one
holds one
ok "$COFFER" volume list "$store" --anchor "$anchor"
ok "$COFFER" check "$store" --anchor "$anchor"
ok "$COFFER" store grow "$store" --size 70M --anchor "$anchor"
ok env COFFER_ANCHOR="$anchor" "$COFFER" store describe "$store"
[ "$(of RollbackAccepted)" = 0 ] || die "a rollback was counted that never was"
[ "$(of RollbackAcceptedTime)" = None ] || die "it has a time, too"
prints None "$COFFER" store describe "$store" --query Anchor --output text
cp "$store" older
cp "$anchor" anchor_older

# ---- put back
ok put two
cp "$store" newer
known=$(of Epoch)
cp older "$store"
unchanged "$anchor" unchanged "$store" fails 4 \
    "epoch [0-9]+, the anchor has seen $known: it was put back .*--accept-rollback" \
    "$COFFER" volume read "$store:v" 0 512 --anchor "$anchor"
unchanged "$store" fails 4 '"code":"ROLLBACK","class":"tamper","exit":4' \
    "$COFFER" store describe "$store" --anchor "$anchor" --output json
for verb in "volume list" check scrub dump "volume delete --yes" "store grow --size 80M"; do
    address=$store
    case $verb in volume\ delete*) address=$store:v ;; esac
    # shellcheck disable=SC2086
    unchanged "$store" fails 4 'put back' "$COFFER" $verb "$address" --anchor "$anchor"
done
unchanged "$store" fails 4 'put back' \
    env COFFER_ANCHOR="$anchor" "$COFFER" volume read "$store:v" 0 1
ok "$COFFER" volume read "$store:v" 0 1
ok env COFFER_ANCHOR="$anchor" "$COFFER" volume read "$store:v" 0 1 --anchor ''

# ---- an older state under a forged epoch: at, just above and far above what the anchor knows
for step in -1 0 1 2 3 4 5 1000; do
    cp older "$store"
    ok "$forge" "$store" $((known + step))
    prints $((known + step)) "$forge" "$store"
    unchanged "$store" fails 4 'the store is at epoch' \
        "$COFFER" volume read "$store:v" 0 512 --anchor "$anchor"
    ok "$COFFER" volume read "$store:v" 0 512 # sound but for what the anchor knows
done

# ---- accepted: to look records nothing; to write does, above the anchor's epoch, for good
cp older "$store"
unchanged "$anchor" unchanged "$store" holds one --accept-rollback
grep -q 'a rollback was accepted: the store is at epoch' err || die "looking says nothing"
ok put three --accept-rollback
[ "$(grep -c 'a rollback was accepted' err)" -eq 1 ] || die "it was not said once"
# Under new data keys: with the state that was given up it has no pair of key and nonce in common.
prints 0 "$COFFER" check --nonces older newer "$store" --query PairsUsedTwice
holds three
[ "$(of RollbackAccepted)" = 1 ] || die "the rollback was not counted"
[ "$(of RollbackKnownEpoch)" = "$known" ] || die "what the anchor knew was not recorded"
[ "$(of RollbackTakenEpoch)" -lt "$known" ] || die "what was taken was not recorded"
[ "$(of Epoch)" -gt "$known" ] || die "the epoch did not go on above the anchor's"
of RollbackAcceptedTime | grep -Eq '^20[0-9-]+T[0-9:]+Z$' || die "no time was recorded"
ok put four --accept-rollback
[ "$(of RollbackAccepted)" = 1 ] || die "a rollback was counted that was none"
cp "$store" right
cp newer "$store"
unchanged "$store" fails 4 'put back to an older state' "$COFFER" check "$store" --anchor "$anchor"
cp right "$store"
holds four

# ---- written without the anchor; a fork that goes on beside
ok "$COFFER" volume write "$store:v" 0 </dev/null
unchanged "$store" fails 4 'written without the anchor' "$COFFER" check "$store" --anchor "$anchor"
cp right "$store"
cp "$anchor" other
ok put five
mv "$anchor" aside && mv other "$anchor" && cp "$store" ours && cp right "$store"
ok put six
cp aside "$anchor"
unchanged "$store" fails 4 'went another way' "$COFFER" check "$store" --anchor "$anchor"
cp ours "$store"
holds five
cp anchor_older "$anchor" # the anchor itself went back: it is what has to be believed
unchanged "$store" fails 4 'written without the anchor' "$COFFER" check "$store" --anchor "$anchor"
cp aside "$anchor"

# ---- another store in its place, or beside it
mv "$store" kept
ok "$COFFER" store create stranger --size 64M --segment-size 1M
mv stranger "$store"
unchanged "$store" fails 4 'knows another store at this path' \
    "$COFFER" store describe "$store" --anchor "$anchor"
ok "$COFFER" store describe "$store" --anchor "$anchor" --accept-rollback
mv "$store" stranger
mv kept "$store"
ok "$COFFER" store create 'second %' --size 64M --segment-size 1M --anchor "$anchor"
[ "$(grep -c '"store":' "$anchor")" -eq 2 ] || die "the file does not hold two stores"
mv 'second %' moved
ok "$COFFER" store describe moved --anchor "$anchor"
ok "$COFFER" store grow moved --size 65M --anchor "$anchor"
ok "$COFFER" store create 'second %' --size 64M --segment-size 1M --anchor "$anchor"
rm 'second %'
ok "$COFFER" store create 'second %' --size 64M --segment-size 1M --anchor "$anchor"
ok put six
holds six

# ---- the file: damaged, open to others, too new, of another version, its medium gone or full
cp "$anchor" sound
for damage in 's/"epoch": [0-9]/"epoch": 9/' 's/"rollbacks_accepted": 1/"rollbacks_accepted": 0/' \
    's/"digest": "./"digest": "z/' '1d' '/"sum"/d' '1,100d' 's/"stores"/"storks"/'; do
    sed "$damage" sound >"$anchor"
    cmp -s "$anchor" sound && die "the damage '$damage' is none"
    unchanged "$store" fails 4 '"code":"ANCHOR_FILE","class":"tamper","exit":4' \
        "$COFFER" volume read "$store:v" 0 1 --anchor "$anchor" --output json
    unchanged "$store" fails 4 'it is damaged' \
        "$COFFER" volume read "$store:v" 0 1 --anchor "$anchor" --accept-rollback
    fails 4 'it is damaged' "$COFFER" store create new --size 64M --anchor "$anchor"
    [ ! -e new ] || die "a store was made under an anchor that can't be read"
done
cp sound "$anchor"
sed 's/"version": 1/"version": 2/' sound >"$anchor"
unchanged "$store" fails 9 'version' "$COFFER" check "$store" --anchor "$anchor"
cp sound "$anchor"
chmod 666 "$anchor"
unchanged "$store" fails 4 'others may write to it' "$COFFER" check "$store" --anchor "$anchor"
chmod 600 "$anchor"
unchanged "$store" fails 4 'not a regular file' "$COFFER" check "$store" --anchor /dev/null
unchanged "$store" fails 7 'anchor file .*: see that its medium is there' \
    "$COFFER" store grow "$store" --size 72M --anchor "$work/gone/anchor"
unchanged "$store" fails 7 'anchor file .*: see that its medium is there' \
    "$COFFER" check "$store" --anchor "$work/gone/anchor"
ok "$COFFER" check "$store" --anchor "$work/nothing"
grep -q 'does not know the store' err || die "a check that shows nothing does not say so"
[ ! -e nothing ] || die "a command that only reads made an anchor"
fails 2 'needs --anchor' "$COFFER" store describe "$store" --accept-rollback
holds six

# ---- two commands at once on two stores: neither loses the other's entry
for i in 1 2 3; do
    ok "$COFFER" store grow "$store" --size $((75 + i))M --anchor "$anchor" &
    "$COFFER" store grow moved --size $((66 + i))M --anchor "$anchor"
    wait $!
done
"$COFFER" check moved --anchor "$anchor" >out
holds six
finish
