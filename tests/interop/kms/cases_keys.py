# SPDX-License-Identifier: Apache-2.0
"""Keys, aliases, tags, descriptions, listings, deletion: everything that manages."""
from language import (ABSENT, ABSENT_KEY, ARN, ID, ID2, PRESENT, UUID, case, check, count, do,
                      hmac_key, having, key, lacking, let_now, like, near, pages, same_set,
                      sign_key)

M = "KeyMetadata."
case("CreateKey answers with the whole of the metadata",
     check("CreateKey", {"Description": "for tests"}, {
         M + "AWSAccountId": "${account}", M + "KeyId": like(f"^{UUID}$"),
         M + "Arn": like("^arn:coffer:kms:${region}:${account}:key/" + UUID + "$"),
         M + "CreationDate": near(), M + "Enabled": True, M + "Description": "for tests",
         M + "KeyUsage": "ENCRYPT_DECRYPT", M + "KeyState": "Enabled", M + "Origin": "AWS_KMS",
         M + "KeyManager": "CUSTOMER", M + "KeySpec": "SYMMETRIC_DEFAULT",
         M + "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
         M + "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"], M + "MultiRegion": False,
         M + "CurrentKeyMaterialId": like("^[0-9a-f]{64}$"), M + "DeletionDate": ABSENT,
         M + "ValidTo": ABSENT, M + "ExpirationModel": ABSENT}, save="k"),
     check("DescribeKey", {"KeyId": ID}, {M + name: "${k.KeyMetadata." + name + "}" for name in (
         "Arn", "KeyId", "CreationDate", "Description", "KeyState", "Origin",
         "CurrentKeyMaterialId")}))
for spec, usage, field, algorithms in (
        ("HMAC_224", "GENERATE_VERIFY_MAC", "MacAlgorithms", ["HMAC_SHA_224"]),
        ("HMAC_256", "GENERATE_VERIFY_MAC", "MacAlgorithms", ["HMAC_SHA_256"]),
        ("HMAC_384", "GENERATE_VERIFY_MAC", "MacAlgorithms", ["HMAC_SHA_384"]),
        ("HMAC_512", "GENERATE_VERIFY_MAC", "MacAlgorithms", ["HMAC_SHA_512"]),
        ("ECC_NIST_P256", "SIGN_VERIFY", "SigningAlgorithms", ["ECDSA_SHA_256"]),
        ("ECC_NIST_P384", "SIGN_VERIFY", "SigningAlgorithms", ["ECDSA_SHA_384"]),
        ("ECC_NIST_P521", "SIGN_VERIFY", "SigningAlgorithms", ["ECDSA_SHA_512"]),
        ("RSA_2048", "ENCRYPT_DECRYPT", "EncryptionAlgorithms",
         ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"])):
    case(f"CreateKey {spec} for {usage}",
         check("CreateKey", {"KeySpec": spec, "KeyUsage": usage},
               {M + "KeySpec": spec, M + "KeyUsage": usage, M + field: same_set(*algorithms),
                M + "Origin": "AWS_KMS"}))
for what, params, error in (
        ("an unknown spec", {"KeySpec": "AES_512"}, "ValidationException"),
        ("an unknown usage", {"KeyUsage": "BREAKFAST"}, "ValidationException"),
        ("an unknown origin", {"Origin": "ATTIC"}, "ValidationException"),
        ("a usage that the spec has not", {"KeyUsage": "SIGN_VERIFY"}, "ValidationException"),
        ("an HMAC key without usage", {"KeySpec": "HMAC_256"}, "ValidationException"),
        ("a description of 8193", {"Description": let_now("letters", count=8193)},
         "ValidationException"),
        ("a policy that is no JSON", {"Policy": "{"}, "MalformedPolicyDocumentException"),
        ("a policy of nothing", {"Policy": "{}"}, "MalformedPolicyDocumentException"),
        ("a tag of aws:", {"Tags": [{"TagKey": "aws:x", "TagValue": ""}]}, "TagException"),
        ("a tag twice", {"Tags": [{"TagKey": "x", "TagValue": "1"},
                                  {"TagKey": "x", "TagValue": "2"}]}, "TagException"),
        ("a custom key store that is not there", {"Origin": "PKCS11",
                                                  "CustomKeyStoreId": "cks-0123456789abcdef0"},
         "CustomKeyStoreNotFoundException")):
    case(f"CreateKey refuses {what}", check("CreateKey", params, error=error))
case("CreateKey takes a description of 8192, and tags",
     check("CreateKey", {"Description": let_now("letters", count=8192),
                         "Tags": [{"TagKey": "t", "TagValue": "v"}]},
           {M + "Description": let_now("letters", count=8192)}, save="k"),
     check("ListResourceTags", {"KeyId": ID}, {"Tags": [{"TagKey": "t", "TagValue": "v"}],
                                               "Truncated": False}))
case("UpdateKeyDescription", key(), check("UpdateKeyDescription", {"KeyId": ID,
                                                                   "Description": "other"}),
     check("DescribeKey", {"KeyId": ID}, {M + "Description": "other"}),
     check("UpdateKeyDescription", {"KeyId": ID, "Description": let_now("letters", count=8193)},
           error="ValidationException"),
     check("UpdateKeyDescription", {"KeyId": ABSENT_KEY, "Description": ""},
           error="NotFoundException"))
BY_ID_ONLY = [(op, {}) for op in ("EnableKey", "DisableKey", "ScheduleKeyDeletion",
                                  "EnableKeyRotation", "GetKeyRotationStatus", "ListResourceTags",
                                  "ListKeyPolicies", "ListGrants")]
for op, more in BY_ID_ONLY:
    case(f"{op} takes no alias", key(),
         do("CreateAlias", {"AliasName": "alias/${unique}", "TargetKeyId": ID}),
         check(op, {"KeyId": "alias/${unique}", **more},
               error=["NotFoundException", "InvalidArnException", "ValidationException"]))
    case(f"{op} of a key that is not there", check(op, {"KeyId": ABSENT_KEY, **more},
                                                   error="NotFoundException"))
    case(f"{op} without a key", check(op, more, error="ValidationException", message="keyId"))

# ---- aliases ---------------------------------------------------------------------------------

A = "alias/${unique}"
case("an alias from beginning to end", key(), key("k2"),
     check("CreateAlias", {"AliasName": A, "TargetKeyId": ID}),
     check("ListAliases", {"KeyId": ID}, {
         "Aliases": having({"AliasName": A, "TargetKeyId": ID, "CreationDate": near(),
                            "LastUpdatedDate": near(),
                            "AliasArn": "arn:coffer:kms:${region}:${account}:" + A}),
         "Truncated": False}),
     check("UpdateAlias", {"AliasName": A, "TargetKeyId": ID2}),
     check("DescribeKey", {"KeyId": A}, {M + "KeyId": ID2}),
     check("DeleteAlias", {"AliasName": A}),
     check("DescribeKey", {"KeyId": A}, error="NotFoundException"),
     check("DescribeKey", {"KeyId": ID2}, {M + "KeyState": "Enabled"}))
NAME = ["InvalidAliasNameException", "ValidationException"]
for what, name, error in (
        ("no prefix", "name", NAME), ("a blank", "alias/a b", NAME), ("a colon", "alias/a:b", NAME),
        ("nothing after the prefix", "alias/", NAME), ("an umlaut", "alias/\u00e4", NAME),
        ("257 bytes", let_now("letters", count=251, prefix="alias/"), NAME),
        ("the prefix of AWS", "alias/aws/x", NAME + ["NotAuthorizedException",
                                                     "AccessDeniedException"]),
        ("the reserved prefix", "alias/coffer/x", NAME + ["NotAuthorizedException",
                                                          "AccessDeniedException"])):
    case(f"CreateAlias refuses {what}", key(),
         check("CreateAlias", {"AliasName": name, "TargetKeyId": ID}, error=error))
case("an alias of 256 bytes", key(),
     check("CreateAlias", {"AliasName": let_now("letters", count=238, prefix=A),
                           "TargetKeyId": ID}))
case("an alias is taken", key(), key("k2"), do("CreateAlias", {"AliasName": A, "TargetKeyId": ID}),
     check("CreateAlias", {"AliasName": A, "TargetKeyId": ID2}, error="AlreadyExistsException"),
     check("CreateAlias", {"AliasName": A, "TargetKeyId": ID}, error="AlreadyExistsException"))
case("aliases of what is not there", key(),
     check("CreateAlias", {"AliasName": A, "TargetKeyId": ABSENT_KEY}, error="NotFoundException"),
     check("UpdateAlias", {"AliasName": A, "TargetKeyId": ID}, error="NotFoundException"),
     check("DeleteAlias", {"AliasName": A}, error="NotFoundException"))
case("an alias does not move to a key of another usage", key(), hmac_key("k2"),
     do("CreateAlias", {"AliasName": A, "TargetKeyId": ID}),
     check("UpdateAlias", {"AliasName": A, "TargetKeyId": ID2}, error="ValidationException"))
case("an alias of an alias", key(), do("CreateAlias", {"AliasName": A, "TargetKeyId": ID}),
     check("CreateAlias", {"AliasName": A + "-2", "TargetKeyId": A},
           error=["ValidationException", "NotFoundException", "InvalidArnException"]))
case("50 aliases, not 51", key(),
     *[do("CreateAlias", {"AliasName": f"{A}-{n}", "TargetKeyId": ID}) for n in range(50)],
     pages("ListAliases", {"KeyId": ID}, "Aliases", 20, count=50),
     check("CreateAlias", {"AliasName": A, "TargetKeyId": ID}, error="LimitExceededException"))
case("an alias belongs to its region", key(),
     do("CreateAlias", {"AliasName": A, "TargetKeyId": ID}),
     check("DescribeKey", {"KeyId": A}, error="NotFoundException", region="other"))

# ---- tags ------------------------------------------------------------------------------------


def tags(first, last):
    return [{"TagKey": f"k{n}", "TagValue": f"v{n}"} for n in range(first, last)]


case("tags from beginning to end", key(), check("TagResource", {"KeyId": ID, "Tags": tags(0, 3)}),
     check("ListResourceTags", {"KeyId": ID}, {"Tags": count(3)}),
     check("TagResource", {"KeyId": ID, "Tags": [{"TagKey": "k1", "TagValue": "new"}]}),
     check("UntagResource", {"KeyId": ID, "TagKeys": ["k0", "never-there"]}),
     check("ListResourceTags", {"KeyId": ARN}, {
         "Tags": having({"TagKey": "k1", "TagValue": "new"}, {"TagKey": "k2", "TagValue": "v2"}),
         "Truncated": False}),
     check("ListResourceTags", {"KeyId": ID}, {"Tags": lacking({"TagKey": "k0"})}))
case("50 tags, not 51", key(), do("TagResource", {"KeyId": ID, "Tags": tags(0, 50)}),
     pages("ListResourceTags", {"KeyId": ID}, "Tags", 20, count=50),
     check("TagResource", {"KeyId": ID, "Tags": tags(50, 51)},
           error=["LimitExceededException", "TagException"]))
for what, tag, error in (("aws:", {"TagKey": "aws:x", "TagValue": ""}, ["TagException"]),
                         ("128", {"TagKey": let_now("letters", count=128), "TagValue": ""}, None),
                         ("256", {"TagKey": "t", "TagValue": let_now("letters", count=256)}, None),
                         ("129", {"TagKey": let_now("letters", count=129), "TagValue": ""},
                          ["ValidationException", "TagException"]),
                         ("257", {"TagKey": "t", "TagValue": let_now("letters", count=257)},
                          ["ValidationException", "TagException"]),
                         ("nothing", {"TagKey": "", "TagValue": "v"},
                          ["ValidationException", "TagException"])):
    case(f"a tag of {what}", key(), check("TagResource", {"KeyId": ID, "Tags": [tag]},
                                          error=error))

# ---- listings --------------------------------------------------------------------------------

case("ListKeys page by page", key(), key("k2"),
     pages("ListKeys", {}, "Keys", 7, includes=[{"KeyId": ID, "KeyArn": ARN}, {"KeyId": ID2}]))
case("ListAliases page by page", key(), do("CreateAlias", {"AliasName": A, "TargetKeyId": ID}),
     pages("ListAliases", {}, "Aliases", 5, includes=[{"AliasName": A}]))
case("GenerateDataKey keys of another region are not listed", key(),
     check("ListKeys", {}, {"Keys": lacking({"KeyId": ID})}, region="other"))
for op, most, more in (("ListKeys", 1000, {}), ("ListAliases", 100, {}),
                       ("ListGrants", 100, {"KeyId": ID}), ("ListResourceTags", 50, {"KeyId": ID}),
                       ("ListKeyPolicies", 1000, {"KeyId": ID}),
                       ("ListRetirableGrants", 100, {"RetiringPrincipal": "${alice}"})):
    case(f"{op}: limits and markers", key(), check(op, {"Limit": most, **more},
                                                   {"Truncated": PRESENT}),
         check(op, {"Limit": 0, **more}, error="ValidationException", message="'limit'"),
         check(op, {"Limit": 1001, **more}, error="ValidationException", message="'limit'"),
         check(op, {"Marker": "bogus", **more}, error="InvalidMarkerException"))

# ---- deletion --------------------------------------------------------------------------------

for days in (7, 30):
    case(f"ScheduleKeyDeletion in {days} days", key(),
         check("ScheduleKeyDeletion", {"KeyId": ID, "PendingWindowInDays": days},
               {"KeyId": ARN, "DeletionDate": near(days=days), "KeyState": "PendingDeletion",
                "PendingWindowInDays": days}),
         check("DescribeKey", {"KeyId": ID}, {M + "DeletionDate": near(days=days),
                                              M + "Enabled": False}))
case("ScheduleKeyDeletion without a window takes 30 days", key(),
     check("ScheduleKeyDeletion", {"KeyId": ID}, {"DeletionDate": near(days=30),
                                                  "PendingWindowInDays": 30}))
for days in (0, 6, 31):
    case(f"ScheduleKeyDeletion refuses {days} days", key(),
         check("ScheduleKeyDeletion", {"KeyId": ID, "PendingWindowInDays": days},
               error="ValidationException"),
         check("DescribeKey", {"KeyId": ID}, {M + "KeyState": "Enabled"}))

# ---- MAC and signatures ----------------------------------------------------------------------

for bits in (224, 256, 384, 512):
    mac = {"KeyId": ID, "Message": let_now("base64", text="m"), "MacAlgorithm": f"HMAC_SHA_{bits}"}
    case(f"HMAC_SHA_{bits}", do("CreateKey", {"KeySpec": f"HMAC_{bits}",
                                              "KeyUsage": "GENERATE_VERIFY_MAC"}, save="k"),
         check("GenerateMac", mac, {"Mac": {"?bytes": [bits // 8, bits // 8]}, "KeyId": ARN,
                                    "MacAlgorithm": f"HMAC_SHA_{bits}"}, save="t"),
         check("VerifyMac", {**mac, "Mac": "${t.Mac}"}, {"MacValid": True, "KeyId": ARN}),
         check("VerifyMac", {**mac, "Mac": let_now("flip", value="${t.Mac}", at=0)},
               error="KMSInvalidMacException"),
         check("GenerateMac", {**mac, "Message": let_now("zeros", count=4097)},
               error="ValidationException"))
case("a MAC algorithm of another key", hmac_key(),
     check("GenerateMac", {"KeyId": ID, "Message": let_now("base64", text="m"),
                           "MacAlgorithm": "HMAC_SHA_512"}, error="InvalidKeyUsageException"))
for spec, algorithm in (("ECC_NIST_P256", "ECDSA_SHA_256"), ("ECC_NIST_P384", "ECDSA_SHA_384"),
                        ("ECC_NIST_P521", "ECDSA_SHA_512"), ("RSA_2048", "RSASSA_PSS_SHA_256"),
                        ("RSA_2048", "RSASSA_PKCS1_V1_5_SHA_512")):
    sign = {"KeyId": ID, "Message": let_now("base64", text="m"), "SigningAlgorithm": algorithm}
    case(f"{algorithm} with {spec}", sign_key(spec=spec),
         check("Sign", sign, {"Signature": {"?bytes": [64, 256]}, "KeyId": ARN,
                              "SigningAlgorithm": algorithm}, save="t"),
         check("Verify", {**sign, "Signature": "${t.Signature}"}, {"SignatureValid": True}),
         check("Verify", {**sign, "Signature": "${t.Signature}",
                          "Message": let_now("base64", text="n")},
               error="KMSInvalidSignatureException"),
         check("GetPublicKey", {"KeyId": ID}, {"KeyId": ARN, "KeySpec": spec,
                                               "KeyUsage": "SIGN_VERIFY",
                                               "PublicKey": {"?bytes": [80, 600]}}, save="p"),
         check("Sign", {**sign, "SigningAlgorithm": "RSASSA_PSS_SHA_384"
                        if spec.startswith("ECC") else "ECDSA_SHA_256"},
               error="InvalidKeyUsageException"))
    case(f"openssl verifies {algorithm} of {spec}", sign_key(spec=spec),
         do("GetPublicKey", {"KeyId": ID}, save="p"), do("Sign", sign, save="t"),
         check("Verify", {**sign, "Signature": "${t.Signature}"},
               {"SignatureValid": let_now("verifies", public="${p.PublicKey}", message="m",
                                          signature="${t.Signature}", algorithm=algorithm)}))
case("GetPublicKey of a key that has none", key(),
     check("GetPublicKey", {"KeyId": ID}, error="UnsupportedOperationException"))
