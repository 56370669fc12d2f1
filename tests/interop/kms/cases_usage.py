# SPDX-License-Identifier: Apache-2.0
"""GetKeyLastUsage: what counts as a use of a key, and whose."""
from language import (ABSENT, ABSENT_KEY, ARN, ARN2, ID, ID2, case, check, do, hmac_key, key, let,
                      like, near, policy, sealed, sign_key, statement, text, travel)

HELLO = text("hello")
BLOB = "${b.CiphertextBlob}"
USED = "KeyLastUsage."
UUID = like("^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
NEVER = {"KeyLastUsage": {}, "KeyCreationDate": near(), "TrackingStartDate": near()}


def last(op, key_id=ID, arn=ARN, **more):
    return check("GetKeyLastUsage", {"KeyId": key_id}, {
        "KeyId": arn, USED + "Operation": op, USED + "Timestamp": near(),
        USED + "KmsRequestId": UUID, USED + "CloudTrailEventId": like("^[0-9]+$"),
        "KeyCreationDate": near(), "TrackingStartDate": near()}, **more)


case("a key that was never used", key(),
     do("CreateAlias", {"AliasName": "alias/${unique}", "TargetKeyId": ID}),
     do("DescribeKey", {"KeyId": ID}), do("TagResource", {"KeyId": ID, "Tags": [
         {"TagKey": "a", "TagValue": "b"}]}), do("RotateKeyOnDemand", {"KeyId": ID}),
     check("GetKeyLastUsage", {"KeyId": ID}, {"KeyId": ARN, **NEVER}),
     check("GetKeyLastUsage", {"KeyId": ARN}, {"KeyId": ARN, USED + "Operation": ABSENT}))

DATA_KEY = {"KeyId": ID, "KeySpec": "AES_256"}
PAIR = {"KeyId": ID, "KeyPairSpec": "ECC_NIST_P256"}
MAC = {"KeyId": ID, "Message": HELLO, "MacAlgorithm": "HMAC_SHA_256"}
SIGN = {"KeyId": ID, "Message": HELLO, "SigningAlgorithm": "ECDSA_SHA_256"}
SEALED = [key(), sealed()]
for op, made, params in (
        ("Encrypt", [key()], {"KeyId": ID, "Plaintext": HELLO}),
        ("Decrypt", SEALED, {"CiphertextBlob": BLOB}),
        ("ReEncrypt", SEALED, {"CiphertextBlob": BLOB, "DestinationKeyId": ID}),
        ("GenerateDataKey", [key()], DATA_KEY),
        ("GenerateDataKeyWithoutPlaintext", [key()], DATA_KEY),
        ("GenerateDataKeyPair", [key()], PAIR),
        ("GenerateDataKeyPairWithoutPlaintext", [key()], PAIR),
        ("GenerateMac", [hmac_key()], MAC),
        ("VerifyMac", [hmac_key(), do("GenerateMac", MAC, save="t")], {**MAC, "Mac": "${t.Mac}"}),
        ("Sign", [sign_key()], SIGN),
        ("Verify", [sign_key(), do("Sign", SIGN, save="t")],
         {**SIGN, "Signature": "${t.Signature}"}),
        ("DeriveSharedSecret", [key(KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT"),
                                let("peer", "pair", spec="ECC_NIST_P256")],
         {"KeyId": ID, "KeyAgreementAlgorithm": "ECDH", "PublicKey": "${peer.Public}"})):
    case(f"the last use was {op}", *made, do(op, params), last(op))

case("both keys of a ReEncrypt were used", *SEALED, key("k2"),
     do("ReEncrypt", {"CiphertextBlob": BLOB, "DestinationKeyId": ID2}), last("ReEncrypt"),
     last("ReEncrypt", ID2, ARN2), do("Encrypt", {"KeyId": ID, "Plaintext": HELLO}),
     last("Encrypt"), last("ReEncrypt", ID2, ARN2))
case("what failed is no use", *SEALED,
     check("Encrypt", {"KeyId": ID, "Plaintext": HELLO, "DryRun": True},
           error="DryRunOperationException"),
     check("Decrypt", {"CiphertextBlob": BLOB, "EncryptionContext": {"a": "b"}},
           error="InvalidCiphertextException"),
     check("Decrypt", {"CiphertextBlob": BLOB}, error="AccessDeniedException", who="eve"),
     do("DisableKey", {"KeyId": ID}),
     check("GenerateDataKey", DATA_KEY, error="DisabledException"), last("Encrypt"))
case("reading the public half is no use", sign_key(), do("GetPublicKey", {"KeyId": ID}),
     check("GetKeyLastUsage", {"KeyId": ID}, NEVER))
case("a primary and its replica have uses of their own", key(MultiRegion=True),
     do("ReplicateKey", {"KeyId": ID, "ReplicaRegion": "${other_region}"}),
     do("Encrypt", {"KeyId": ID, "Plaintext": HELLO}, region="other"),
     check("GetKeyLastUsage", {"KeyId": ID}, NEVER),
     check("GetKeyLastUsage", {"KeyId": ID}, {USED + "Operation": "Encrypt"}, region="other"))
case("the last use by another account counts", key(Policy=policy(
    statement("Allow", "${carol}", "kms:Encrypt"))),
     do("Encrypt", {"KeyId": ARN, "Plaintext": HELLO}, who="carol"), last("Encrypt"),
     check("GetKeyLastUsage", {"KeyId": ARN}, error="AccessDeniedException", who="carol"))
case("GetKeyLastUsage takes no alias", key(),
     do("CreateAlias", {"AliasName": "alias/${unique}", "TargetKeyId": ID}),
     check("GetKeyLastUsage", {"KeyId": "alias/${unique}"},
           error=["ValidationException", "NotFoundException", "InvalidArnException"]),
     check("GetKeyLastUsage", {"KeyId": ABSENT_KEY}, error="NotFoundException"))
case("GetKeyLastUsage by policy", key(Policy=policy(
    statement("Allow", "${alice}", "kms:GetKeyLastUsage"))),
     check("GetKeyLastUsage", {"KeyId": ID}, {"KeyId": ARN}, who="alice"),
     check("DescribeKey", {"KeyId": ID}, error="AccessDeniedException", who="alice"))
case("the last use keeps its time", *SEALED, travel(days=40),
     do("DescribeKey", {"KeyId": ID}),
     check("GetKeyLastUsage", {"KeyId": ID}, {
         USED + "Operation": "Encrypt", USED + "Timestamp": near(days=-40),
         "KeyCreationDate": near(days=-40), "TrackingStartDate": near(days=-40)}))
