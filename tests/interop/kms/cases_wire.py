# SPDX-License-Identifier: Apache-2.0
"""The protocol below the clients: what no SDK would send (raw), and a row for each thing that other
services of this kind got wrong (kms.md 2.6), under its issue's name."""
from language import (ARN, GENERAL, ID, ID2, case, check, count, do, imported, key, let,
                      let_now, other_than, policy, raw, sealed, statement, text,
                      travel)

HELLO = text("hello")
BLOB = {"CiphertextBlob": "${b.CiphertextBlob}"}
SIGNATURE = ["SignatureDoesNotMatch", "InvalidSignatureException", "SignatureDoesNotMatchException"]
UNKNOWN = ["InvalidClientTokenId", "UnrecognizedClientException", "InvalidClientTokenIdException"]
ABSENT_SIGNATURE = ["MissingAuthenticationToken", "MissingAuthenticationTokenException"]
INCOMPLETE = ["IncompleteSignature", "IncompleteSignatureException"]

case("requests that no client sends",
     raw("an unknown operation", (400, 404), ["UnknownOperationException"],
         target="TrentService.Explode"),
     raw("another service's operation", (400, 404), ["UnknownOperationException"],
         target="DynamoDB_20120810.ListTables"),
     raw("no target", (400, 404), ["UnknownOperationException", "ValidationException",
                            "SerializationException"], target=None),
     raw("a body that is no JSON", 400, ["SerializationException"], body="{"),
     raw("a body that is a list", 400, ["SerializationException"], body="[]"),
     raw("a body in another encoding", 400, ["SerializationException"], encoding="latin-1",
         body='{"KeyId":"\u00ff"}'),
     raw("a name twice", 400, ["SerializationException"],
         body='{"KeyId":"a","KeyId":"b"}', target="TrentService.DescribeKey"),
     raw("a number where text is wanted", 400, ["SerializationException", "ValidationException"],
         body='{"KeyId":1}', target="TrentService.DescribeKey"),
     raw("text where a number is wanted", 400, ["SerializationException", "ValidationException"],
         body='{"Limit":"many"}'),
     raw("a blob that is no base64", 400, ["SerializationException", "ValidationException"],
         body='{"CiphertextBlob":"???"}', target="TrentService.Decrypt"),
     raw("another method", (400, 403, 404, 405), None, method="GET"),
     raw("another path", (400, 403, 404), None, path="/other"),
     raw("a body of 2 MiB", (0, 400, 413), None, body="{\"KeyId\":\"" + "a" * 2097152 + "\"}"))
case("signatures that are none",
     raw("none at all", (400, 403), ABSENT_SIGNATURE, headers={"Authorization": None}),
     raw("an unknown access key", (400, 403), UNKNOWN, access_key="AKIAAAAAAAAAAAAAAAAA"),
     raw("a wrong secret", (400, 403), SIGNATURE, secret="wrong"),
     raw("a body that was not signed", (400, 403), SIGNATURE, late_body="{ }"),
     raw("a target that was not signed", (400, 403), SIGNATURE,
         headers={"X-Amz-Target": "TrentService.ListAliases"}),
     raw("a signature that is cut", (400, 403), SIGNATURE + INCOMPLETE, cut_signature=True),
     raw("an Authorization without its parts", (400, 403), INCOMPLETE + SIGNATURE,
         headers={"Authorization": "AWS4-HMAC-SHA256 Credential=x"}),
     raw("another scheme", (400, 401, 403), INCOMPLETE + ABSENT_SIGNATURE + SIGNATURE,
         headers={"Authorization": "Basic eDp5"}),
     raw("20 minutes ago", (400, 403), SIGNATURE + ["RequestExpired"], skew=-1200),
     raw("20 minutes ahead", (400, 403), SIGNATURE + ["RequestExpired"], skew=1200),
     raw("another service in the scope", (400, 403), SIGNATURE + INCOMPLETE, service="s3"),
     raw("a token that is none", (400, 403), UNKNOWN + ["ExpiredTokenException"],
         token="bogus"))
case("answers are dated by the service's clock", raw("now", 200, None, wants_date=True),
     travel(days=40), raw("in forty days", 200, None, wants_date=True),
     raw("a refusal", 400, ["UnknownOperationException"], target="TrentService.Explode",
         wants_date=True), raw("an answer of the server's own", 404, None, path="/else",
                               wants_date=True))
case("requests at the edge of what is right", raw("as a client sends it", 200, None),
     raw("10 minutes ago", 200, None, skew=-600), raw("10 minutes ahead", 200, None, skew=600),
     raw("signed in the query", 200, None, presigned=True),
     raw("signed in the query and expired", (400, 403), SIGNATURE + ["RequestExpired",
                                                                     "ExpiredTokenException"],
         presigned=True, skew=-1200, expires=60),
     raw("an unknown member", 200, None, body='{"Colour":"red"}'),
     raw("an empty body", (200, 400), None, body=""),
     raw("a request id in each answer", 200, None, wants_header="x-amzn-RequestId"),
     raw("a request id in each error", (400, 404), ["UnknownOperationException"],
         target="TrentService.Explode", wants_header="x-amzn-RequestId"),
     raw("the type of the answer", 200, None, wants_header="Content-Type"),
     raw("the error's type in a header", (400, 404), ["UnknownOperationException"],
         target="TrentService.Explode", wants_header="x-amzn-ErrorType"))

# ---- what others got wrong -------------------------------------------------------------------

AB = {"a": "bc"}
case("2.6: contexts are bound with their lengths", key(), sealed(context=AB),
     check("Decrypt", {**BLOB, "EncryptionContext": {"ab": "c"}},
           error="InvalidCiphertextException"),
     check("Decrypt", {**BLOB, "EncryptionContext": {"a": "b", "c": ""}},
           error="InvalidCiphertextException"),
     check("Decrypt", {**BLOB, "EncryptionContext": AB}, {"Plaintext": HELLO}))
case("2.6: policies hold for each effect and action", key(), sealed(),
     do("PutKeyPolicy", {"KeyId": ID, "PolicyName": "default", "Policy": policy(
         statement("Allow", "${alice}", "kms:Decrypt"),
         statement("Deny", "${bob}", "kms:Encrypt"))}),
     check("Decrypt", BLOB, {"Plaintext": HELLO}, who="alice"),
     check("DescribeKey", {"KeyId": ID}, error="AccessDeniedException", who="alice"),
     check("Encrypt", {"KeyId": ID, "Plaintext": HELLO}, error="AccessDeniedException", who="bob"),
     check("Decrypt", BLOB, {"Plaintext": HELLO}, who="bob"))
case("2.6: states hold (fakecloud#1059)", key(), sealed(), do("DisableKey", {"KeyId": ID}),
     check("Encrypt", {"KeyId": ID, "Plaintext": HELLO}, error="DisabledException"),
     check("Decrypt", BLOB, error="DisabledException"))
case("2.6: DryRun never does it", key(),
     check("GenerateDataKey", {"KeyId": ID, "KeySpec": "AES_256", "DryRun": True},
           error="DryRunOperationException"))
case("2.6: rotation on demand changes the material (gopherstack#669)", key(),
     do("DescribeKey", {"KeyId": ID}, save="d"), do("RotateKeyOnDemand", {"KeyId": ID}),
     check("DescribeKey", {"KeyId": ID}, {"KeyMetadata.CurrentKeyMaterialId": other_than(
         "${d.KeyMetadata.CurrentKeyMaterialId}")}))
case("2.6: a grant's name is its key's (localstack#7910)", key(), key("k2"),
     do("CreateGrant", {"KeyId": ID, "GranteePrincipal": "${alice}", "Operations": ["Encrypt"],
                        "Name": "same"}, save="g"),
     check("CreateGrant", {"KeyId": ID2, "GranteePrincipal": "${alice}",
                           "Operations": ["Encrypt"], "Name": "same"},
           {"GrantId": other_than("${g.GrantId}")}),
     check("ListGrants", {"KeyId": ID2}, {"Grants": count(1)}))
case("2.6: data keys are bound to their context (localstack#8503, #8505)", key(),
     do("GenerateDataKeyWithoutPlaintext", {"KeyId": ID, "KeySpec": "AES_256",
                                            "EncryptionContext": AB}, save="b"),
     check("Decrypt", BLOB, error="InvalidCiphertextException"),
     check("Decrypt", {**BLOB, "EncryptionContext": AB}, {"KeyId": ARN}))
case("2.6: a corrupt blob is an answer, not a crash (localstack#12530)", key(), sealed(),
     let("bad", "cut", value="${b.CiphertextBlob}", to=20),
     check("Decrypt", {"CiphertextBlob": "${bad}"}, error="InvalidCiphertextException"),
     check("Decrypt", BLOB, {"Plaintext": HELLO}))
case("2.6: imports for each usage (localstack#10115)",
     key(Origin="EXTERNAL", KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC"), *imported("m"),
     check("DescribeKey", {"KeyId": ID}, {"KeyMetadata.KeyState": "Enabled"}))
case("2.6: a blob from outside is refused by name (localstack#11313)",
     check("Decrypt", {"CiphertextBlob": let_now("blank", value="", size=184)},
           error="InvalidCiphertextException"))
case("2.6: Decrypt heeds the context (floci#817)", key(), sealed(context=AB),
     check("Decrypt", BLOB, error="InvalidCiphertextException"))
case("2.6: Encrypt is not deterministic (floci#816)", key(), sealed(),
     check("Encrypt", {"KeyId": ID, "Plaintext": HELLO},
           {"CiphertextBlob": other_than("${b.CiphertextBlob}")}))
case("2.6: Decrypt heeds the key (floci#1844)", key(), key("k2"), sealed(),
     check("Decrypt", {**BLOB, "KeyId": ID2}, error="IncorrectKeyException"))
case("2.6: material is gone after deletion (gopherstack#669)", key(Origin="EXTERNAL"),
     *imported("m"), sealed(), do("DeleteImportedKeyMaterial", {"KeyId": ID}),
     check("Decrypt", BLOB, error="KMSInvalidStateException"))
case("2.6: ListGrants serves who only describes (floci#1050)", key(),
     check("ListGrants", {"KeyId": ID}, {"Grants": count(0), "Truncated": False}))
case("2.6: nobody locks himself out (aws-nuke#537)", key(),
     check("PutKeyPolicy", {"KeyId": ID, "PolicyName": "default", "Policy": policy(
         statement("Deny", "*", "kms:PutKeyPolicy"))}, error="MalformedPolicyDocumentException"))
case("2.6: ReEncrypt moves a bound blob (vault#31791)", key(), key("k2"), sealed(context=AB),
     check("ReEncrypt", {**BLOB, "SourceEncryptionContext": AB, "DestinationKeyId": ID2,
                         "DestinationEncryptionContext": {"new": "one"}}, save="r"),
     check("Decrypt", {"CiphertextBlob": "${r.CiphertextBlob}",
                       "EncryptionContext": {"new": "one"}}, {"Plaintext": HELLO}))
case("2.6: what does not exist and what is forbidden look the same", key(), sealed(),
     check("Decrypt", BLOB, error="AccessDeniedException", message=GENERAL, region="other"),
     check("ListAliases", {}, {"Aliases": {"?lacking": [{"TargetKeyId": ID}]}}, region="other"),
     check("DescribeKey", {"KeyId": ARN}, error="NotFoundException", region="other"))
