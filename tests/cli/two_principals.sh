#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Who makes a volume, and the engine, which has no right but its grant: over a key store in a file
# and over one that is served. What becomes of the maker is nothing to the volume; without its grant
# it stops, and comes back by another; copies have their own; all are retired at the end.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/common_served.sh"
lost=inaccessible-encryption-credentials
root=arn:coffer:iam::000000000000
needs_clock
own=(env COFFER_ROOT_KEY_FILE="$work/root")
keys() { "${own[@]}" "$COFFERKMS" "$@" --kms "file:$work/keys"; } # as the account's root

key() { keys create-key --query KeyMetadata.Arn --output text; }
grants() { # KEY: how many
    keys list-grants --key-id "$1" --query 'length(Grants)' --output text
}
allow() { # ACTIONS CONDITION
    printf '{"Effect":"Allow","Action":[%s],"Resource":"*"%s}' "$1" "$2"
}
policy() {
    printf '{"Version":"2012-10-17","Statement":[%s]}' "$(IFS=, && echo "$*")"
}
engine_only='"Condition":{"Bool":{"kms:GrantIsForAWSResource":"true"}}'
maker=$(policy "$(allow '"kms:DescribeKey","kms:GenerateDataKeyWithoutPlaintext"' '')" \
    "$(allow '"kms:CreateGrant"' ",$engine_only")")
admin=$(policy "$(allow '"kms:*"' '')")

of_key() { # EFFECT PRINCIPAL
    printf '{"Effect":"%s","Principal":{"AWS":"%s"},"Action":"kms:*","Resource":"*"}' "$@"
}
all_of_root=$(of_key Allow "$root:root")
nothing_for_alice=$(of_key Deny "$root:user/alice")

key=$(key 2>err)
other=$(key)
for user in alice bob; do
    keys user create $user >out
done
keys policy put maker --document "$maker" >out
keys policy put admin --document "$admin" >out
keys policy attach admin --user bob
random_bytes 300000 >data
head -c $((4 << 20)) /dev/zero >want
dd if=data of=want conv=notrunc status=none

# by WHO COMMAND...: as that user, with the engine beside. `by` says how, below.

open_and_stop() { # a volume that is written to while its grant goes
    local writer status=0
    rm -f pipe
    mkfifo pipe
    by alice "$COFFER" volume write "$store:v" 0 <pipe >out 2>err &
    writer=$!
    exec 5>pipe
    cat want >&5
    until ! "$COFFER" volume list "$store" --keyless >/dev/null 2>&1; do
        kill -0 "$writer" 2>/dev/null || die "the writer ended: $(cat err)"
        sleep 0.02
    done
    keys revoke-grant --key-id "$key" --grant-id "$1"
    set_clock +360
    printf 'x' >&5 || true
    exec 5>&-
    wait "$writer" || status=$?
    [ "$status" -eq 5 ] || die "the writer ended with $status: $(cat err)"
    set_clock +0
}

scenario() {
    make_store 128M
    there=$work/there
    ok "$COFFER" store create "$there" --size 64M --segment-size 1M
    keys put-key-policy --key-id "$key" --policy "$(policy "$all_of_root")"
    local describe=(by alice "$COFFER" volume describe "$store:v" --query)

    # Without the right nothing is made; with it, the engine has the grant.
    unchanged "$store" fails 3 'not authorized' by alice "$COFFER" volume create "$store:v" \
        --size 8M --kms-key-id "$key"
    [ "$(grants "$key")" = 0 ] || die "a refused creation left a grant"
    keys policy attach maker --user alice
    fails 3 'not authorized' by alice "$COFFER" volume create "$store:v" --size 8M \
        --kms-key-id "$other" --engine-as "$root:user/mallory"
    [ "$(grants "$other")" = 0 ] || die "a refused grant was made"
    ok by alice "$COFFER" volume create "$store:v" --size 8M --kms-key-id "$key"
    keys list-grants --key-id "$key" --output json >grants.json
    [ "$(jq -r '.Grants[0].GranteePrincipal' grants.json)" = "$root:role/coffer-engine" ] ||
        die "the grant is for somebody else"
    ok by alice "$COFFER" volume import "$store:v" data

    # The maker's rights go, the key's policy changes, and at last she goes; it makes no difference.
    keys policy detach maker --user alice
    ok by alice "$COFFER" snapshot create "$store:v@s"
    keys put-key-policy --key-id "$key" --policy "$(policy "$all_of_root" "$nothing_for_alice")"
    ok by alice "$COFFER" volume read "$store:v" 0 300000
    cmp -s out data || die "other contents"
    prints available "${describe[@]}" Status
    unchanged "$store" fails 3 'not authorized' by alice "$COFFER" volume create "$store:w" \
        --size 8M --kms-key-id "$key"
    unchanged "$store" fails 3 'not authorized' by alice "$COFFER" snapshot restore "$store:v@s" \
        "$store:w"
    fails 3 'not authorized' by alice "$COFFER" snapshot copy "$store:v@s" "$there:v@s" \
        --kms-key-id "$other"
    # The control: without an engine of its own the volume hangs on who calls.
    fails 3 'not authorized' alone alice "$COFFER" volume read "$store:v" 0 4096
    keys user delete alice
    keys user create alice >out
    renew alice
    printf 'more' | ok by alice "$COFFER" volume write "$store:v" 0
    ok by alice "$COFFER" volume stop "$store:v"
    fails 3 'kms:Decrypt|not authorized' by alice "$COFFER" volume start "$store:v"
    ok by bob "$COFFER" volume start "$store:v"
    [ "$(grants "$key")" = 1 ] || die "a start made a grant that is not needed"

    # The grant goes: within the lease it stops; who may grant starts it again.
    open_and_stop "$("${describe[@]}" GrantId)"
    ok "$COFFER" volume list "$store" --keyless
    grep -q $lost-recoverable out || die "it is not known to have lost its key"
    fails 3 . by alice "$COFFER" volume start "$store:v"
    ok by bob "$COFFER" volume start "$store:v"
    prints available "${describe[@]}" Status
    ok by alice "$COFFER" volume read "$store:v" 4096 4096
    ok by alice "$COFFER" snapshot list "$store" --query 'Snapshots[].SnapshotName' --output text
    [ "$(grants "$key")" = 1 ] || die "a start made $(grants "$key") grants"

    # Copies and restores have their own, retired with them.
    ok by bob "$COFFER" snapshot copy "$store:v@s" "$there:v@s" --kms-key-id "$other"
    ok by bob "$COFFER" snapshot restore "$store:v@s" "$store:w"
    ok by bob "$COFFER" rekey "$store:w" --kms-key-id "$other"
    [ "$(grants "$key") $(grants "$other")" = '1 2' ] ||
        die "$(grants "$key") and $(grants "$other") grants"
    ok by alice "$COFFER" volume read "$store:w" 0 300000
    cmp -s out data || die "the restored contents differ"
    ok by alice "$COFFER" snapshot delete "$there:v@s" --yes
    ok by alice "$COFFER" volume delete "$store:w" --yes
    [ "$(grants "$other")" = 0 ] || die "a deletion left a grant"

    # What a crash left is shown, and what is another store's is not.
    local uuid
    uuid=$("$COFFER" store describe "$store" --query Uuid)
    [ ${#uuid} -eq 36 ] || die "no uuid of the store: '$uuid'"
    for whose in "$uuid" 00000000-0000-4000-8000-000000000000; do
        keys create-grant --key-id "$key" --grantee-principal "$root:role/coffer-engine" \
            --operations Decrypt --name "coffer:$whose:00112233-4455-6677-8899-aabbccddeeff:0123" \
            --query GrantId --output text >"left.$whose"
    done
    ok by bob "$COFFER" key-usage "$store" "$key" --output json
    [ "$(jq -r '.KeyUsage[] | select(.Kind == "grant") | .GrantId' out)" = \
        "$(cat "left.$uuid")" ] || die "the grant that was left over is not shown"
    grep -q 'vol-00112233445566778899aabb' out || die "nor for which volume it was"
    ok by alice "$COFFER" key-usage "$store" "$key"
    grep -q 'does not show' err || die "nothing says that grants could not be listed"
    for whose in "$uuid" 00000000-0000-4000-8000-000000000000; do
        keys retire-grant --key-id "$key" --grant-id "$(cat "left.$whose")"
    done

    # An export names who takes it.
    ok by bob "$COFFER" volume export "$store:v" back --force
    [ "$(sqlite3 "$work/keys" "SELECT principal FROM audit WHERE event = 'ExportPlaintext'
        ORDER BY seq DESC LIMIT 1")" = "$root:user/bob" ] || die "the export is somebody else's"
    ok by alice "$COFFER" snapshot delete "$store:v@s" --yes
    ok by alice "$COFFER" volume delete "$store:v" --yes
    [ "$(grants "$key")" = 0 ] || die "the last deletion left a grant"
    ok "$COFFER" check "$store" --keyless
    rm -f "$store" "$there"
    rm -f "$COFFER_PINS"
}

# ---- a key store in a file -----------------------------------------------------------------------

by() {
    local who=$1
    shift
    COFFER_AS=user/$who COFFER_ENGINE_AS=role/coffer-engine clocked "$@"
}
# shellcheck disable=SC2317 # scenario calls it
alone() {
    local who=$1
    shift
    COFFER_AS=user/$who clocked "$@"
}
renew() { :; }
scenario

# A key of another account: that it is not shared any more is nothing to a volume that is there.
theirs=arn:coffer:iam::111111111111
abroad() {
    COFFER_AS=$theirs:user/carl COFFER_ENGINE_AS=$theirs:role/coffer-engine "$@"
}
keys account create 111111111111 >out
keys user create carl --as 111111111111 >out
keys policy put admin --document "$admin" --as 111111111111 >out
keys policy attach admin --user carl --as 111111111111
make_store 64M
unchanged "$store" fails 3 'not authorized' abroad "$COFFER" volume create "$store:v" --size 8M \
    --kms-key-id "$key"
keys put-key-policy --key-id "$key" \
    --policy "$(policy "$all_of_root" "$(of_key Allow "$theirs:root")")"
ok abroad "$COFFER" volume create "$store:v" --size 8M --kms-key-id "$key"
keys put-key-policy --key-id "$key" --policy "$(policy "$all_of_root")"
ok abroad "$COFFER" volume read "$store:v" 0 4096
ok abroad "$COFFER" snapshot create "$store:v@s"
fails 3 'not authorized' abroad "$COFFER" volume create "$store:w" --size 8M --kms-key-id "$key"
ok abroad "$COFFER" snapshot delete "$store:v@s" --yes
ok abroad "$COFFER" volume delete "$store:v" --yes
[ "$(grants "$key")" = 0 ] || die "a grant to another account was left"
rm -f "$store" "$COFFER_PINS"

# ---- a service -----------------------------------------------------------------------------------

renew() {
    rm -f "$1.json"
    credentials "$1" "$1.json"
}
renew alice
renew bob
keys user create host >out
renew host
trust='{"Effect":"Allow","Principal":{"AWS":"'$root:user/host'"},"Action":"sts:AssumeRole"}'
keys role create coffer-engine --trust "$(policy "$trust")" >out
keys policy put assume --document "$(policy "$(allow '"sts:AssumeRole"' '')")" >out
keys policy attach assume --user host
serve --listen 127.0.0.1:0
become() {
    rm -f engine.new
    as host.json clocked "$COFFERKMS" token assume-role coffer-engine --session-name h \
        --duration-seconds 900 --output-file engine.new >out
    mv engine.new engine.json
}
by() {
    local who=$1
    shift
    COFFER_ENGINE_CREDENTIALS=$work/engine.json as "$who.json" clocked "$@"
}
alone() {
    local who=$1
    shift
    as "$who.json" clocked "$@"
}
export COFFER_KMS=http://$address
unset COFFER_ROOT_KEY_FILE
become
credentials() {
    keys access-key create --user "$1" --output-file "$2" >/dev/null
}
scenario

# A session that is over is read anew from its file.
make_store 64M
ok by bob "$COFFER" volume create "$store:v" --size 8M --kms-key-id "$key"
set_clock +1000
fails 3 'ExpiredToken' by bob "$COFFER" volume read "$store:v" 0 4096
become
ok by bob "$COFFER" volume read "$store:v" 0 4096
chmod 644 engine.json
fails 2 'mode 0600' by bob "$COFFER" volume read "$store:v" 0 4096
rm engine.json
fails 2 'engine.json' by bob "$COFFER" volume read "$store:v" 0 4096
fails 2 'engine-credentials' as bob.json "$COFFER" volume read "$store:v" 0 4096 \
    --engine-as role/coffer-engine
fails 2 'who signs' as bob.json "$COFFER" volume read "$store:v" 0 4096 --as user/bob
stop
finish
