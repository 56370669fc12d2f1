# SPDX-License-Identifier: Apache-2.0
"""Grants: making, listing, tokens, constraints, retiring, revoking; DryRun of all that has it."""
from language import (ABSENT, ABSENT_KEY, ARN, ID, ID2, case, check, count, do, having, hmac_key,
                      key, lacking, let, let_now, like, near, other_than, pages, same_set, sealed,
                      sign_key, text)

HELLO = text("hello")
ENCRYPT = {"KeyId": ID, "Plaintext": HELLO}
BLOB = {"CiphertextBlob": "${b.CiphertextBlob}"}
DENIED = "AccessDeniedException"
GID = like("^[0-9a-f]{64}$")


def grant(**params):
    return {"KeyId": ID, "GranteePrincipal": "${alice}", "Operations": ["Encrypt"], **params}


case("CreateGrant answers with id and token", key(),
     check("CreateGrant", grant(Name="first", RetiringPrincipal="${bob}"),
           {"GrantId": GID, "GrantToken": like("^.{1,8192}$")}, save="g"),
     check("ListGrants", {"KeyId": ID}, {
         "Grants": having({"GrantId": "${g.GrantId}", "Name": "first", "KeyId": ARN,
                           "GranteePrincipal": "${alice}", "RetiringPrincipal": "${bob}",
                           "Operations": ["Encrypt"], "CreationDate": near(),
                           "IssuingAccount": like("${account}")}), "Truncated": False}))
case("a grant allows what it lists", key(), sealed(), do("CreateGrant", grant()),
     check("Encrypt", ENCRYPT, {"KeyId": ARN}, who="alice"),
     check("Decrypt", BLOB, error=DENIED, who="alice"))
OPERATIONS = (
    ("Decrypt", "Decrypt", BLOB), ("GenerateDataKey", "GenerateDataKey", {"KeyId": ID,
                                                                          "KeySpec": "AES_256"}),
    ("GenerateDataKeyWithoutPlaintext", "GenerateDataKeyWithoutPlaintext",
     {"KeyId": ID, "KeySpec": "AES_256"}), ("DescribeKey", "DescribeKey", {"KeyId": ID}),
    ("CreateGrant", "CreateGrant", {"KeyId": ID, "GranteePrincipal": "${bob}",
                                    "Operations": ["CreateGrant"]}))
for operation, op, params in OPERATIONS:
    case(f"a grant of {operation}", key(), sealed(), check(op, params, error=DENIED, who="alice"),
         do("CreateGrant", grant(Operations=[operation])), check(op, params, who="alice"))
case("a grant of both halves of ReEncrypt", key(), sealed(),
     do("CreateGrant", grant(Operations=["ReEncryptFrom"])),
     check("ReEncrypt", {**BLOB, "DestinationKeyId": ID}, error=DENIED, who="alice"),
     do("CreateGrant", grant(Operations=["ReEncryptTo"])),
     check("ReEncrypt", {**BLOB, "DestinationKeyId": ID}, {"KeyId": ARN}, who="alice"))
case("a grant of MAC and of signatures", hmac_key(), sign_key("k2"),
     do("CreateGrant", grant(Operations=["GenerateMac"])),
     do("CreateGrant", {**grant(Operations=["Sign", "GetPublicKey"]), "KeyId": ID2}),
     check("GenerateMac", {"KeyId": ID, "Message": HELLO, "MacAlgorithm": "HMAC_SHA_256"},
           {"KeyId": ARN}, who="alice"),
     check("Sign", {"KeyId": ID2, "Message": HELLO, "SigningAlgorithm": "ECDSA_SHA_256"},
           who="alice"), check("GetPublicKey", {"KeyId": ID2}, who="alice"))
case("a grant suffices for another account", key(), sealed(),
     do("CreateGrant", grant(GranteePrincipal="${carl}", Operations=["Decrypt"])),
     check("Decrypt", BLOB, {"Plaintext": HELLO}, who="carl"),
     check("Encrypt", {"KeyId": ARN, "Plaintext": HELLO}, error=DENIED, who="carl"))

# ---- names, listings, limits -----------------------------------------------------------------

case("a name makes it idempotent", key(), do("CreateGrant", grant(Name="n"), save="g"),
     check("CreateGrant", grant(Name="n"), {"GrantId": "${g.GrantId}", "GrantToken": like(".")}),
     check("ListGrants", {"KeyId": ID}, {"Grants": count(1)}),
     check("CreateGrant", grant(), {"GrantId": other_than("${g.GrantId}")}),
     check("ListGrants", {"KeyId": ID}, {"Grants": count(2)}))
case("one name over two keys gives two grants", key(), key("k2"),
     do("CreateGrant", grant(Name="n"), save="g"),
     check("CreateGrant", {**grant(Name="n"), "KeyId": ID2},
           {"GrantId": other_than("${g.GrantId}")}),
     check("ListGrants", {"KeyId": ID2}, {"Grants": count(1)}),
     check("ListGrants", {"KeyId": ID}, {"Grants": count(1)}))
case("ListGrants filters", key(), do("CreateGrant", grant(), save="g"),
     do("CreateGrant", grant(GranteePrincipal="${bob}"), save="g2"),
     check("ListGrants", {"KeyId": ID, "GranteePrincipal": "${bob}"},
           {"Grants": having({"GrantId": "${g2.GrantId}"})}),
     check("ListGrants", {"KeyId": ID, "GranteePrincipal": "${bob}"},
           {"Grants": lacking({"GrantId": "${g.GrantId}"})}),
     check("ListGrants", {"KeyId": ID, "GrantId": "${g.GrantId}"}, {"Grants": count(1)}))
case("ListGrants page by page", key(),
     *[do("CreateGrant", grant(Name=f"n{n}")) for n in range(7)],
     pages("ListGrants", {"KeyId": ID}, "Grants", 3, count=7))
case("ListRetirableGrants", key(), do("CreateGrant", grant(RetiringPrincipal="${bob}"), save="g"),
     check("ListRetirableGrants", {"RetiringPrincipal": "${bob}"},
           {"Grants": having({"GrantId": "${g.GrantId}", "KeyId": ARN})}, who="bob"),
     check("ListRetirableGrants", {"RetiringPrincipal": "${alice}"},
           {"Grants": lacking({"GrantId": "${g.GrantId}"})}))
for what, change, error in (
        ("no operation", {"Operations": []}, "ValidationException"),
        ("an unknown operation", {"Operations": ["Explode"]}, "ValidationException"),
        ("an operation that the key has not", {"Operations": ["GenerateMac"]},
         "ValidationException"),
        ("an operation that no grant has", {"Operations": ["ScheduleKeyDeletion"]},
         "ValidationException"),
        ("a key that is not there", {"KeyId": ABSENT_KEY}, "NotFoundException"),
        ("no grantee", {"GranteePrincipal": ""}, ["ValidationException", "InvalidArnException"]),
        ("a name of 257", {"Name": let_now("letters", count=257)}, "ValidationException"),
        ("eleven tokens", {"GrantTokens": ["x"] * 11}, "ValidationException"),
        ("a token that is none", {"GrantTokens": ["bogus"]}, "InvalidGrantTokenException"),
        ("nine pairs", {"Constraints": {"EncryptionContextSubset": {
            f"k{n}": "v" for n in range(9)}}}, ["ValidationException", "LimitExceededException"]),
        ("a value of 385", {"Constraints": {"EncryptionContextEquals": {
            "k": let_now("letters", count=385)}}}, ["ValidationException",
                                                    "LimitExceededException"])):
    case(f"CreateGrant refuses {what}", key(), check("CreateGrant", grant(**change), error=error))

# ---- tokens ----------------------------------------------------------------------------------

case("a grant token is taken", key(), do("CreateGrant", grant(), save="g"),
     check("Encrypt", {**ENCRYPT, "GrantTokens": ["${g.GrantToken}"]}, {"KeyId": ARN},
           who="alice"))
for op, params in (("Encrypt", ENCRYPT), ("Decrypt", BLOB), ("DescribeKey", {"KeyId": ID}),
                   ("GenerateDataKey", {"KeyId": ID, "KeySpec": "AES_256"})):
    case(f"{op} with tokens that are none", key(), sealed(),
         check(op, {**params, "GrantTokens": ["bogus"]}, error="InvalidGrantTokenException"),
         check(op, {**params, "GrantTokens": ["x"] * 11}, error="ValidationException"))

# ---- constraints -----------------------------------------------------------------------------

for kind, constraint, good, bad in (
        ("EncryptionContextEquals", {"a": "1"}, {"a": "1"}, {"a": "1", "b": "2"}),
        ("EncryptionContextEquals", {"a": "1", "b": "2"}, {"b": "2", "a": "1"}, {"a": "1"}),
        ("EncryptionContextSubset", {"a": "1"}, {"a": "1", "b": "2"}, {"b": "2"}),
        ("EncryptionContextSubset", {"a": "x"}, {"a": "x"}, {"a": "X"})):
    case(f"{kind} {constraint} takes {good} and refuses {bad}", key(),
         do("CreateGrant", grant(Constraints={kind: constraint}), save="g"),
         check("Encrypt", {**ENCRYPT, "EncryptionContext": good}, {"KeyId": ARN}, who="alice"),
         check("Encrypt", {**ENCRYPT, "EncryptionContext": bad}, error=DENIED, who="alice"),
         check("Encrypt", ENCRYPT, error=DENIED, who="alice"),
         check("ListGrants", {"KeyId": ID}, {"Grants": having({"Constraints": {
             kind: constraint}})}))
CHILD = {"KeyId": ID, "GranteePrincipal": "${carl}"}
case("a child of a grant is as strict or stricter", key(),
     do("CreateGrant", grant(Operations=["Encrypt", "CreateGrant"],
                             Constraints={"EncryptionContextSubset": {"a": "1"}})),
     check("CreateGrant", {**CHILD, "Operations": ["Encrypt"]}, error=DENIED, who="alice"),
     check("CreateGrant", {**CHILD, "Operations": ["Encrypt"],
                           "Constraints": {"EncryptionContextSubset": {"b": "1"}}},
           error=DENIED, who="alice"),
     check("CreateGrant", {**CHILD, "Operations": ["Decrypt"],
                           "Constraints": {"EncryptionContextSubset": {"a": "1"}}},
           error=DENIED, who="alice"),
     check("CreateGrant", {**CHILD, "Operations": ["Encrypt"],
                           "Constraints": {"EncryptionContextSubset": {"a": "1", "b": "2"}}},
           {"GrantId": GID}, who="alice"),
     check("CreateGrant", {**CHILD, "Operations": ["Encrypt"],
                           "Constraints": {"EncryptionContextEquals": {"a": "1", "b": "2"}}},
           {"GrantId": GID}, who="alice"))

# ---- the end of a grant ----------------------------------------------------------------------

MADE = do("CreateGrant", grant(Operations=["Encrypt", "RetireGrant"], RetiringPrincipal="${bob}"),
          save="g")
GONE = check("Encrypt", ENCRYPT, error=DENIED, who="alice")
BY_ID = {"KeyId": ARN, "GrantId": "${g.GrantId}"}
BY_TOKEN = {"GrantToken": "${g.GrantToken}"}
for what, who, params in (("by the retiring principal, by id", "bob", BY_ID),
                          ("by the grantee, by token", "alice", BY_TOKEN),
                          ("by the grantee, by id", "alice", BY_ID),
                          ("by the account, by token", "root", BY_TOKEN)):
    case(f"RetireGrant {what}", key(), MADE, check("Encrypt", ENCRYPT, who="alice"),
         check("RetireGrant", params, who=who), GONE,
         check("ListGrants", {"KeyId": ID}, {"Grants": count(0)}))
case("RetireGrant by a stranger", key(), MADE, check("RetireGrant", BY_ID, error=DENIED,
                                                     who="carl"))
case("RetireGrant by a grantee without that right", key(), do("CreateGrant", grant(), save="g"),
     check("RetireGrant", BY_TOKEN, error=DENIED, who="alice"))
case("RetireGrant of what is none", key(), MADE,
     check("RetireGrant", {"GrantToken": "bogus"}, error="InvalidGrantTokenException"),
     check("RetireGrant", {"KeyId": ARN, "GrantId": "f" * 64},
           error=["NotFoundException", "InvalidGrantIdException"]),
     check("RetireGrant", {}, error="ValidationException"))
case("RevokeGrant", key(), MADE, check("RevokeGrant", {"KeyId": ID, "GrantId": "${g.GrantId}"},
                                       error=DENIED, who="alice"),
     check("RevokeGrant", {"KeyId": ID, "GrantId": "${g.GrantId}"}), GONE,
     check("RevokeGrant", {"KeyId": ID, "GrantId": "${g.GrantId}"},
           error=["NotFoundException", "InvalidGrantIdException"]))
case("RevokeGrant of another key's grant", key(), key("k2"), MADE,
     check("RevokeGrant", {"KeyId": ID2, "GrantId": "${g.GrantId}"},
           error=["NotFoundException", "InvalidGrantIdException"]),
     check("RevokeGrant", {"KeyId": ID, "GrantId": "not a grant id!"},
           error=["InvalidGrantIdException", "ValidationException", "NotFoundException"]))
case("a revoked grant's token opens nothing", key(), MADE,
     do("RevokeGrant", {"KeyId": ID, "GrantId": "${g.GrantId}"}),
     check("Encrypt", {**ENCRYPT, "GrantTokens": ["${g.GrantToken}"]},
           error=[DENIED, "InvalidGrantTokenException"], who="alice"))

# ---- DryRun ----------------------------------------------------------------------------------

DRY = [("Encrypt", "sym", ENCRYPT), ("Decrypt", "sym", BLOB),
       ("ReEncrypt", "sym", {**BLOB, "DestinationKeyId": ID}),
       ("GenerateDataKey", "sym", {"KeyId": ID, "KeySpec": "AES_256"}),
       ("GenerateDataKeyWithoutPlaintext", "sym", {"KeyId": ID, "KeySpec": "AES_256"}),
       ("CreateGrant", "sym", grant()), ("RevokeGrant", "sym", {"KeyId": ID,
                                                                "GrantId": "${g.GrantId}"}),
       ("RetireGrant", "sym", BY_ID),
       ("GenerateMac", "mac", {"KeyId": ID, "Message": HELLO, "MacAlgorithm": "HMAC_SHA_256"}),
       ("VerifyMac", "mac", {"KeyId": ID, "Message": HELLO, "MacAlgorithm": "HMAC_SHA_256",
                             "Mac": "${t.Mac}"}),
       ("Sign", "sign", {"KeyId": ID, "Message": HELLO, "SigningAlgorithm": "ECDSA_SHA_256"}),
       ("Verify", "sign", {"KeyId": ID, "Message": HELLO, "SigningAlgorithm": "ECDSA_SHA_256",
                           "Signature": "${t.Signature}"}),
       ("DeriveSharedSecret", "agree", {"KeyId": ID, "KeyAgreementAlgorithm": "ECDH",
                                        "PublicKey": "${peer.Public}"})]
MAKE = {"sym": [key(), sealed(), MADE],
        "mac": [hmac_key(), do("GenerateMac", {"KeyId": ID, "Message": HELLO,
                                               "MacAlgorithm": "HMAC_SHA_256"}, save="t")],
        "agree": [key(KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT"),
                  let("peer", "pair", spec="ECC_NIST_P256")],
        "sign": [sign_key(), do("Sign", {"KeyId": ID, "Message": HELLO,
                                         "SigningAlgorithm": "ECDSA_SHA_256"}, save="t")]}
for op, kind, params in DRY:
    case(f"DryRun of {op}", *MAKE[kind],
         check(op, {**params, "DryRun": True}, error="DryRunOperationException"),
         check(op, {**params, "DryRun": False}))
    case(f"DryRun of {op} by who may not", *MAKE[kind],
         check(op, {**params, "DryRun": True}, error=DENIED, who="eve"))
    if "KeyId" in params:
        case(f"DryRun of {op} with a disabled key", *MAKE[kind], do("DisableKey", {"KeyId": ID}),
             check(op, {**params, "DryRun": True}, error="DryRunOperationException"
                   if op in ("RevokeGrant", "RetireGrant") else "DisabledException"))
case("DryRun changes nothing", key(), MADE,
     check("CreateGrant", grant(Name="dry", DryRun=True), error="DryRunOperationException"),
     check("RevokeGrant", {"KeyId": ID, "GrantId": "${g.GrantId}", "DryRun": True},
           error="DryRunOperationException"),
     check("ListGrants", {"KeyId": ID}, {"Grants": count(1)}),
     check("Encrypt", {**ENCRYPT, "EncryptionContext": {"a": "b"}},
           {"Plaintext": ABSENT}, who="alice"))
case("a grant to a set of operations keeps them all", key(),
     do("CreateGrant", grant(Operations=["Decrypt", "Encrypt", "GenerateDataKey"])),
     check("ListGrants", {"KeyId": ID}, {"Grants": count(1), "Grants.0.Operations": same_set(
         "Decrypt", "Encrypt", "GenerateDataKey")}))
