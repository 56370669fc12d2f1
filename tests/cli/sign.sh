#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The signer on the command line: the published cases, letter by letter, and what it refuses.
. "$(dirname "$0")/lib.sh"
vectors=$COFFER_SOURCE_DIR/tests/vectors/sigv4/v4
unset AWS_REGION AWS_DEFAULT_REGION AWS_SESSION_TOKEN AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY

printf 'POST / HTTP/1.1\r\nHost: kms\r\nX-Amz-Target: TrentService.ListKeys\r\n\r\n{}' >request
fails 2 'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY' "$COFFER" sign request --region r1
export AWS_ACCESS_KEY_ID=AKIDEXAMPLE
export AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY
fails 2 'give --region' "$COFFER" sign request

# What context.json says of a case, and the case signed so.
signs() { # PROGRAM VERB CASE CARRIER OPTION...
    local program=$1 verb=$2 case=$3 carrier=$4 token
    shift 4
    token=$(sed -n 's/.*"token": "\(.*\)".*/\1/p' "$case/context.json")
    ! grep -q '"normalize": false' "$case/context.json" || set -- "$@" --path-as-is
    ! grep -q '"sign_body": true' "$case/context.json" || set -- "$@" --sign-body
    ok env AWS_SESSION_TOKEN="$token" AWS_REGION=us-east-1 "$program" "$verb" \
        "$case/request.txt" --service service --time 20150830T123600Z "$@"
    cmp -s out "$case/$carrier-signed-request.txt" || die "$case, by $carrier"
}
cases=0
for case in "$vectors"/*; do
    # The token behind the signature is for services that ask for it; the tool has no such option.
    ! grep -q '"omit_session_token": true' "$case/context.json" || continue
    signs "$COFFER" sign "$case" header
    signs "$COFFER" sign "$case" query --expires-in 3600
    cases=$((cases + 1))
done
[ "$cases" = 37 ] || die "$cases cases instead of 37"
signs "$COFFERKMS" sign-request "$vectors/post-vanilla" header

# As an object; lines that end in CRLF; standard input; the secret nowhere.
ok "$COFFER" sign - --region r1 --output json <request
[ "$(sed -n 's/.*"Version": //p' out)" = 1, ] || die "no version"
! grep -q "$AWS_SECRET_ACCESS_KEY" out err || die "the secret was printed"
prints / "$COFFER" sign request --region r1 --query Target --output text
ok "$COFFER" sign request --region r1 --query StringToSign --output text --time 20261122T000000Z
grep -q '20261122/r1/kms/aws4_request' out || die "not for kms"

fails 2 'Host' "$COFFER" sign <(printf 'POST / HTTP/1.1\n\n') --region r1
fails 2 'X-Amz-Date|x-amz-date' "$COFFER" sign --region r1 \
    <(printf 'POST / HTTP/1.1\nHost:h\nX-Amz-Date:1\n\n')
fails 2 'METHOD TARGET' "$COFFER" sign <(printf 'POST\n\n') --region r1
fails 2 'no header' "$COFFER" sign <(printf 'POST / HTTP/1.1\nHost\n\n') --region r1
fails 2 '1 to 604800' "$COFFER" sign request --region r1 --expires-in 604801
fails 2 '1 to 604800' "$COFFER" sign request --region r1 --expires-in 0
fails 2 'YYYYMMDD' "$COFFER" sign request --region r1 --time yesterday
fails 2 'region' "$COFFER" sign request --region 'r 1'
fails 7 'cannot open' "$COFFER" sign nothing --region r1
finish
