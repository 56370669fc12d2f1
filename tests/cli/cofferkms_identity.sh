#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Accounts, users, roles, access keys, policies and tokens from the shell.
. "$(dirname "$0")/lib.sh"
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
k() { "$COFFERKMS" "$@"; }
allow() { # ACTION
    printf '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"%s",%s}]}' "$1" \
        '"Resource":"*"'
}
trust() { # ARN
    printf '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"%s"},%s}]}' \
        "$1" '"Action":"sts:AssumeRole"'
}
root=arn:coffer:iam::000000000000

# Users and their keys.
prints "$root:user/alice" "$COFFERKMS" user create alice --query User.Arn --output text
fails 5 'is there' "$COFFERKMS" user create alice
fails 2 'root is the account' "$COFFERKMS" user create root
prints "$root:user/alice" "$COFFERKMS" user describe alice --query User.Arn --output text
k user create bob >/dev/null
fails 7 'no principal' "$COFFERKMS" user describe carol
ok "$COFFERKMS" user list --limit 1 --query 'Users[].UserName' --output text
[ "$(cat out)" = alice ] || die "the first page"
grep -q 'more follow: --marker alice' err || die "nothing says that more follow"
prints bob "$COFFERKMS" user list --marker alice --query 'Users[].UserName' --output text

fails 2 '--user is missing' "$COFFERKMS" access-key create
ok "$COFFERKMS" access-key create --user alice --output json
secret=$(sed -n 's/.*"SecretAccessKey": "\(.*\)".*/\1/p' out)
id=$(sed -n 's/.*"AccessKeyId": "\(.*\)".*/\1/p' out)
[ ${#secret} = 40 ] || die "a secret of ${#secret} characters"
ok "$COFFERKMS" access-key create --user alice --output-file alice.json --output json
[ "$(stat -c %a alice.json)" = 600 ] || die "alice.json can be read by others"
! grep -q Secret out || die "the secret was shown although it went to a file"
other=$(sed -n 's/.*"SecretAccessKey":"\([^"]*\)".*/\1/p' alice.json)
[ ${#other} = 40 ] || die "no secret in alice.json"
grep -q '"Version":1,"AccessKeyId":"AKIA' alice.json || die "no credential_process form"
fails 5 'exists|cannot make' "$COFFERKMS" access-key create --user bob --output-file alice.json
fails 8 'access keys' "$COFFERKMS" access-key create --user alice --output-file third.json
[ ! -e third.json ] || die "a failed verb left a file"
prints 2 "$COFFERKMS" access-key list --user alice --query 'length(AccessKeyMetadata)' --output text
ok "$COFFERKMS" access-key list --user alice --output json
! grep -q "$secret" out || die "the secret was listed"
ok "$COFFERKMS" access-key update --user alice --access-key-id "$id" --status Inactive
prints Inactive "$COFFERKMS" access-key list --user alice --output text \
    --query "AccessKeyMetadata[?AccessKeyId=='$id'].Status | [0]"
ok "$COFFERKMS" access-key delete --user alice --access-key-id "$id"
fails 7 'no access key' "$COFFERKMS" access-key delete --user alice --access-key-id "$id"
for file in keys*; do
    ! grep -qaF -e "$secret" -e "$other" "$file" || die "a secret stands in $file"
done

# Policies.
fails 2 'malformed' "$COFFERKMS" policy put admin --document '{}'
allow 'iam:*' >admin.policy
prints "$root:policy/admin" "$COFFERKMS" policy put admin --document file://admin.policy \
    --query Policy.Arn --output text
fails 3 'not authorized' "$COFFERKMS" user list --as user/alice
fails 2 'give --user or --role' "$COFFERKMS" policy attach admin
ok "$COFFERKMS" policy attach admin --user alice
ok "$COFFERKMS" user list --as user/alice
prints admin "$COFFERKMS" policy list --user alice --query 'AttachedPolicies[].PolicyName' \
    --output text
prints "$(cat admin.policy)" "$COFFERKMS" policy get admin --query Policy.PolicyDocument \
    --output text
prints "allowed implicitDeny" bash -c "'$COFFERKMS' policy simulate alice --action iam:GetUser \
    --action kms:Decrypt --query 'EvaluationResults[].EvalDecision' --output text | tr '\t' ' '"
fails 5 'attached' "$COFFERKMS" policy delete admin
k policy put narrow --document "$(allow 'sts:*')" >/dev/null
ok "$COFFERKMS" policy bound narrow --user alice
fails 3 'not authorized' "$COFFERKMS" user list --as user/alice
ok "$COFFERKMS" policy unbound --user alice
ok "$COFFERKMS" policy detach admin --user alice
fails 3 'not authorized' "$COFFERKMS" user list --as user/alice
ok "$COFFERKMS" policy delete admin

# Tokens.
fails 2 '900 to 129600' "$COFFERKMS" token get --duration-seconds 60
ok "$COFFERKMS" token get --duration-seconds 900 --output-file session.json
grep -q '"AccessKeyId":"ASIA.*"SessionToken":"' session.json || die "no session in session.json"
ok "$COFFERKMS" role create backup --trust "$(trust "$root:user/bob")"
fails 3 'not authorized' "$COFFERKMS" token assume-role backup --session-name s --as user/alice
ok "$COFFERKMS" token assume-role backup --session-name s --as user/bob --output-file role.json
ok "$COFFERKMS" role trust backup --trust "$(trust "$root:user/alice")"
fails 3 'not authorized' "$COFFERKMS" token assume-role backup --session-name s --as user/bob
prints "$root:user/bob" "$COFFERKMS" token whoami --as user/bob --query Arn --output text
ok "$COFFERKMS" role delete backup

# Accounts.
ok "$COFFERKMS" account create 111111111111
fails 5 'is there' "$COFFERKMS" account create 111111111111
prints "000000000000 111111111111" bash -c \
    "'$COFFERKMS' account list --query 'Accounts[].Id' --output text | tr '\t' ' '"
prints arn:coffer:iam::111111111111:user/alice "$COFFERKMS" user create alice --as 111111111111 \
    --query User.Arn --output text
fails 3 'only the root' "$COFFERKMS" account create 222222222222 --as 111111111111
ok "$COFFERKMS" user delete alice
ok "$COFFERKMS" user describe alice --as 111111111111

# Each of these verbs, and each of its options, stands in the page.
page=$COFFER_SOURCE_DIR/docs/man/cofferkms-identity.1.scd
mine="Verbs[?Page=='cofferkms-identity']"
count=$("$COFFERKMS" help --query "length($mine)" --output text)
[ "$count" -ge 27 ] || die "the table has only $count verbs on identities"
for ((i = 0; i < count; i++)); do
    read -r noun verb <<<"$("$COFFERKMS" help --query "$mine | [$i].[Noun, Verb]" --output text)"
    grep -q -- "\*cofferkms $noun $verb\*" "$page" || die "$noun $verb does not stand in $page"
    for option in $("$COFFERKMS" help --query "$mine | [$i].Options" --output text); do
        grep -q -- "\*--$option\*" "$page" || die "--$option of $noun $verb does not stand in $page"
    done
    checks=$((checks + 1))
done
finish
