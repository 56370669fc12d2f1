# SPDX-License-Identifier: Apache-2.0
"""Who may: key policies, identity policies, denial, conditions, other accounts, lockout.

The principals of the world: root (of the account); alice, a user with no policy of her own; bob, a
user whose own policy allows kms:*; dave, bob's like with a Deny on kms:Decrypt; carol, a user of
another account whose own policy allows kms:*; carl, a user of that account with none; eve, a user
of the account who never gets any right.
"""
from language import (ABSENT_KEY, ARN, ID, case, check, count, do, key, keeper_only, let_now, like,
                      policy, sealed, statement, text)

HELLO = text("hello")
ENCRYPT = {"KeyId": ID, "Plaintext": HELLO}
BLOB = {"CiphertextBlob": "${b.CiphertextBlob}"}
DENIED = "AccessDeniedException"
FOREIGN = {"KeyId": ARN, "Plaintext": HELLO}


def put(document):
    return do("PutKeyPolicy", {"KeyId": ID, "PolicyName": "default", "Policy": document})


# ---- the document ----------------------------------------------------------------------------

case("the default policy lets the account's own policies decide", key(),
     check("GetKeyPolicy", {"KeyId": ID, "PolicyName": "default"},
           {"Policy": like(r'(?s)"Effect"\s*:\s*"Allow".*:root.*kms:\*'), "PolicyName": "default"}),
     check("GetKeyPolicy", {"KeyId": ID}, {"Policy": like("kms:\\*")}),
     check("ListKeyPolicies", {"KeyId": ID}, {"PolicyNames": ["default"], "Truncated": False}))
case("a policy is stored as it was put", key(), put(policy(statement("Allow", "${alice}",
                                                                     "kms:Encrypt"))),
     check("GetKeyPolicy", {"KeyId": ID, "PolicyName": "default"},
           {"Policy": policy(statement("Allow", "${alice}", "kms:Encrypt"))}))
case("another name than default", key(),
     check("GetKeyPolicy", {"KeyId": ID, "PolicyName": "other"},
           error=["NotFoundException", "ValidationException"]),
     check("PutKeyPolicy", {"KeyId": ID, "PolicyName": "other", "Policy": policy()},
           error=["NotFoundException", "ValidationException"]))
for what, document in (
        ("nothing", "{}"), ("no JSON", "{"), ("a list", "[]"),
        ("no statement", '{"Version":"2012-10-17","Statement":[]}'),
        ("an unknown effect", policy({**statement("Allow", "*", "kms:*"), "Effect": "Maybe"})),
        ("an unknown condition operator",
         policy(statement("Allow", "*", "kms:*", Condition={"StringGuess": {"a": "b"}}))),
        ("no principal", policy({"Effect": "Allow", "Action": "kms:*", "Resource": "*"})),
        ("no action", policy({"Effect": "Allow", "Principal": "*", "Resource": "*"})),
        ("an unknown element", policy({**statement("Allow", "*", "kms:*"), "Colour": "red"}))):
    case(f"PutKeyPolicy refuses {what}", key(),
         check("PutKeyPolicy", {"KeyId": ID, "PolicyName": "default", "Policy": document},
               error="MalformedPolicyDocumentException"))
case("a policy of more than 32 KiB", key(),
     check("PutKeyPolicy", {"KeyId": ID, "PolicyName": "default", "Policy": policy(
         *[statement("Allow", "${alice}", "kms:Encrypt", Sid="s%04d" % n) for n in range(400)])},
         error=["LimitExceededException", "ValidationException",
                "MalformedPolicyDocumentException"]))

# ---- lockout ---------------------------------------------------------------------------------

LOCKED = policy(statement("Allow", "${alice}", "kms:Encrypt"), delegates=False)
case("a policy that locks its author out", key(),
     check("PutKeyPolicy", {"KeyId": ID, "PolicyName": "default", "Policy": LOCKED},
           error="MalformedPolicyDocumentException"),
     check("GetKeyPolicy", {"KeyId": ID, "PolicyName": "default"}, {"Policy": like("kms:\\*")}),
     check("CreateKey", {"Policy": LOCKED}, error="MalformedPolicyDocumentException"),
     check("CreateKey", {"Policy": LOCKED, "BypassPolicyLockoutSafetyCheck": True},
           {"KeyMetadata.KeyState": "Enabled"}))
case("nobody has an implicit right, not even the root", key(),
     do("PutKeyPolicy", {"KeyId": ID, "PolicyName": "default", "Policy": LOCKED,
                         "BypassPolicyLockoutSafetyCheck": True}),
     check("DescribeKey", {"KeyId": ID}, error=DENIED),
     check("Encrypt", ENCRYPT, error=DENIED), check("Encrypt", ENCRYPT, error=DENIED, who="bob"),
     check("Encrypt", ENCRYPT, {"KeyId": ARN}, who="alice"))

# ---- identity and key policy -----------------------------------------------------------------

case("nothing is allowed by default", key(), sealed(),
     check("Encrypt", ENCRYPT, error=DENIED, who="alice",
           message="is not authorized to perform:? kms:Encrypt"),
     check("Decrypt", BLOB, error=DENIED, who="alice"),
     check("DescribeKey", {"KeyId": ID}, error=DENIED, who="alice"),
     check("ListKeys", {}, error=DENIED, who="alice"),
     check("CreateKey", {}, error=DENIED, who="alice"),
     check("GenerateRandom", {"NumberOfBytes": 8}, error=DENIED, who="alice"))
case("an identity policy allows where the key policy delegates", key(), sealed(),
     check("Encrypt", ENCRYPT, {"KeyId": ARN}, who="bob"),
     check("Decrypt", BLOB, {"Plaintext": HELLO}, who="bob"),
     check("ListKeys", {}, {"Truncated": {"?present": True}}, who="bob"))
case("an identity Deny wins", key(), sealed(), check("Encrypt", ENCRYPT, {"KeyId": ARN},
                                                     who="dave"),
     check("Decrypt", BLOB, error=DENIED, who="dave"), put(policy(statement(
         "Allow", "${dave}", "kms:*"))), check("Decrypt", BLOB, error=DENIED, who="dave"))
case("without delegation an identity Allow has no effect", key(), put(keeper_only()),
     check("Encrypt", ENCRYPT, error=DENIED, who="bob"),
     check("Encrypt", ENCRYPT, {"KeyId": ARN}))
case("a key policy allows by itself, and only what it says", key(), sealed(),
     put(policy(statement("Allow", "${alice}", "kms:Encrypt"))),
     check("Encrypt", ENCRYPT, {"KeyId": ARN}, who="alice"),
     check("Decrypt", BLOB, error=DENIED, who="alice"),
     check("GenerateDataKey", {"KeyId": ID, "KeySpec": "AES_256"}, error=DENIED, who="alice"))
case("principals of partition aws are the same", key(),
     put(policy(statement("Allow", "arn:aws:iam::${account}:user/alice", "kms:Encrypt"))),
     check("Encrypt", ENCRYPT, {"KeyId": ARN}, who="alice"))
case("a Deny of the key policy wins", key(), sealed(),
     put(policy(statement("Deny", "${bob}", "kms:Decrypt"))),
     check("Encrypt", ENCRYPT, {"KeyId": ARN}, who="bob"),
     check("Decrypt", BLOB, error=DENIED, who="bob"))
case("a Deny to everybody stops the root", key(), sealed(),
     put(policy(statement("Deny", "*", "kms:Decrypt"))), check("Decrypt", BLOB, error=DENIED),
     check("Decrypt", BLOB, error=DENIED, who="bob"))
case("wildcards in actions", key(), put(policy(statement("Allow", "${alice}", "kms:Gen*Key"))),
     check("GenerateDataKey", {"KeyId": ID, "KeySpec": "AES_256"}, {"KeyId": ARN}, who="alice"),
     check("GenerateDataKeyWithoutPlaintext", {"KeyId": ID, "KeySpec": "AES_256"}, error=DENIED,
           who="alice"), check("Encrypt", ENCRYPT, error=DENIED, who="alice"))
case("actions in any case, and a question mark", key(),
     put(policy(statement("Allow", "${alice}", ["KMS:encryp?"]))),
     check("Encrypt", ENCRYPT, {"KeyId": ARN}, who="alice"))
case("NotAction and NotPrincipal", key(), sealed(), put(policy(
    {"Effect": "Allow", "Principal": {"AWS": "${alice}"}, "NotAction": "kms:Decrypt",
     "Resource": "*"})), check("Encrypt", ENCRYPT, {"KeyId": ARN}, who="alice"),
     check("Decrypt", BLOB, error=DENIED, who="alice"))
case("everybody of the key's account", key(), put(policy(statement(
    "Allow", "*", "kms:Encrypt",
    Condition={"StringEquals": {"kms:CallerAccount": "${account}"}}))),
     check("Encrypt", ENCRYPT, {"KeyId": ARN}, who="alice"),
     check("Encrypt", FOREIGN, error=DENIED, who="carol"))

# ---- conditions ------------------------------------------------------------------------------


def under(condition, action="kms:*"):
    return policy(statement("Allow", "${alice}", action, Condition=condition))


CONDITIONS = (
    ("kms:EncryptionContext:", {"StringEquals": {"kms:EncryptionContext:app": "x"}},
     {"EncryptionContext": {"app": "x"}}, {"EncryptionContext": {"app": "y"}}),
    ("kms:EncryptionContext: with like", {"StringLike": {"kms:EncryptionContext:app": "x*"}},
     {"EncryptionContext": {"app": "xyz"}}, {"EncryptionContext": {"app": "yx"}}),
    ("kms:EncryptionContext: and none given", {"StringEquals": {"kms:EncryptionContext:app": "x"}},
     {"EncryptionContext": {"app": "x", "more": "y"}}, {}),
    ("kms:EncryptionContextKeys", {"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": "a"}},
     {"EncryptionContext": {"a": "1", "b": "2"}}, {"EncryptionContext": {"b": "2"}}),
    ("kms:EncryptionContextKeys, all of them",
     {"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a", "b"]}},
     {"EncryptionContext": {"a": "1", "b": "2"}}, {"EncryptionContext": {"a": "1", "c": "2"}}),
    ("kms:CallerAccount", {"StringEquals": {"kms:CallerAccount": "${account}"}}, {}, None),
    ("kms:CallerAccount of others", {"StringEquals": {"kms:CallerAccount": "${other_account}"}},
     None, {}),
    ("kms:KeySpec", {"StringEquals": {"kms:KeySpec": "SYMMETRIC_DEFAULT"}}, {}, None),
    ("kms:KeySpec of others", {"StringEquals": {"kms:KeySpec": "RSA_2048"}}, None, {}),
    ("kms:KeyUsage", {"StringEquals": {"kms:KeyUsage": "ENCRYPT_DECRYPT"}}, {}, None),
    ("kms:KeyOrigin", {"StringEquals": {"kms:KeyOrigin": "AWS_KMS"}}, {}, None),
    ("kms:KeyOrigin of others", {"StringEquals": {"kms:KeyOrigin": "EXTERNAL"}}, None, {}),
    ("aws:SourceIp", {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, {}, None),
    ("aws:SourceIp elsewhere", {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}, None, {}),
    ("aws:CurrentTime", {"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, {}, None),
    ("aws:CurrentTime that has passed",
     {"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, None, {}),
    ("kms:ViaService", {"StringEquals": {"kms:ViaService": "coffer.${region}"}}, None, {}),
    ("aws:PrincipalArn", {"ArnLike": {"aws:PrincipalArn": "arn:coffer:iam::*:user/al*"}}, {}, None),
    ("Null", {"Null": {"kms:EncryptionContext:app": "true"}}, {},
     {"EncryptionContext": {"app": "x"}}),
)
for what, condition, good, bad in CONDITIONS:
    steps = [key(), put(under(condition))]
    if good is not None:
        steps.append(check("Encrypt", {**ENCRYPT, **good}, {"KeyId": ARN}, who="alice"))
    if bad is not None:
        steps.append(check("Encrypt", {**ENCRYPT, **bad}, error=DENIED, who="alice"))
    case(f"condition {what}", *steps)
case("condition kms:ScheduleKeyDeletionPendingWindowInDays", key(), put(under(
    {"NumericGreaterThanEquals": {"kms:ScheduleKeyDeletionPendingWindowInDays": "20"}})),
     check("ScheduleKeyDeletion", {"KeyId": ID, "PendingWindowInDays": 19}, error=DENIED,
           who="alice"),
     check("ScheduleKeyDeletion", {"KeyId": ID, "PendingWindowInDays": 20},
           {"KeyState": "PendingDeletion"}, who="alice"))
case("condition kms:RotationPeriodInDays", key(), put(under(
    {"NumericLessThanEquals": {"kms:RotationPeriodInDays": "100"}}, "kms:EnableKeyRotation")),
     check("EnableKeyRotation", {"KeyId": ID, "RotationPeriodInDays": 200}, error=DENIED,
           who="alice"),
     check("EnableKeyRotation", {"KeyId": ID, "RotationPeriodInDays": 90}, who="alice"))
case("condition kms:GrantOperations", key(), put(under(
    {"ForAllValues:StringEquals": {"kms:GrantOperations": ["Encrypt"]}}, "kms:CreateGrant")),
     check("CreateGrant", {"KeyId": ID, "GranteePrincipal": "${bob}", "Operations": ["Decrypt"]},
           error=DENIED, who="alice"),
     check("CreateGrant", {"KeyId": ID, "GranteePrincipal": "${bob}", "Operations": ["Encrypt"]},
           {"GrantId": like("^[0-9a-f]{64}$")}, who="alice"))
case("condition kms:ReEncryptOnSameKey", key(), key("k2"), sealed(), put(under(
    {"Bool": {"kms:ReEncryptOnSameKey": "true"}}, "kms:ReEncrypt*")),
     do("PutKeyPolicy", {"KeyId": "${k2.KeyMetadata.KeyId}", "PolicyName": "default",
                         "Policy": policy(statement("Allow", "${alice}", "kms:ReEncrypt*"))}),
     check("ReEncrypt", {**BLOB, "DestinationKeyId": ID}, {"KeyId": ARN}, who="alice"),
     check("ReEncrypt", {**BLOB, "DestinationKeyId": "${k2.KeyMetadata.KeyId}"}, error=DENIED,
           who="alice"))
case("ReEncrypt needs both rights", key(), key("k2"), sealed(),
     put(policy(statement("Allow", "${alice}", "kms:ReEncryptFrom"))),
     check("ReEncrypt", {**BLOB, "DestinationKeyId": "${k2.KeyMetadata.KeyId}"}, error=DENIED,
           who="alice"))
case("condition kms:BypassPolicyLockoutSafetyCheck", key(), put(policy(statement(
    "Deny", "${bob}", "kms:PutKeyPolicy",
    Condition={"Bool": {"kms:BypassPolicyLockoutSafetyCheck": "true"}}))),
     check("PutKeyPolicy", {"KeyId": ID, "PolicyName": "default", "Policy": policy(),
                            "BypassPolicyLockoutSafetyCheck": True}, error=DENIED, who="bob"),
     check("PutKeyPolicy", {"KeyId": ID, "PolicyName": "default", "Policy": policy()}, who="bob"))

# ---- other accounts --------------------------------------------------------------------------

case("another account: neither side alone suffices", key(),
     check("Encrypt", FOREIGN, error=DENIED, who="carol"),
     put(policy(statement("Allow", "arn:coffer:iam::${other_account}:root",
                          ["kms:Encrypt", "kms:Decrypt", "kms:DescribeKey"]))),
     check("Encrypt", FOREIGN, {"KeyId": ARN}, who="carol"),
     check("Encrypt", FOREIGN, error=DENIED, who="carl"),
     check("DescribeKey", {"KeyId": ARN}, {"KeyMetadata.AWSAccountId": "${account}"}, who="carol"),
     check("GenerateDataKey", {"KeyId": ARN, "KeySpec": "AES_256"}, error=DENIED, who="carol"))
case("another account: its user by name still needs her own policy", key(),
     put(policy(statement("Allow", ["${carol}", "${carl}"], "kms:Encrypt"))),
     check("Encrypt", FOREIGN, {"KeyId": ARN}, who="carol"),
     check("Encrypt", FOREIGN, error=DENIED, who="carl"))
case("another account does not see keys by their id", key(),
     put(policy(statement("Allow", "arn:coffer:iam::${other_account}:root", "kms:*"))),
     check("Encrypt", ENCRYPT, error="NotFoundException", who="carol"),
     check("DescribeKey", {"KeyId": ABSENT_KEY}, error="NotFoundException", who="carol"),
     check("ListKeys", {}, {"Keys": {"?lacking": [{"KeyId": ID}]}}, who="carol"))
case("another account: a blob opens for whom the policy names", key(), sealed(),
     put(policy(statement("Allow", "arn:coffer:iam::${other_account}:root", "kms:Decrypt"))),
     check("Decrypt", BLOB, {"Plaintext": HELLO, "KeyId": ARN}, who="carol"),
     check("Decrypt", BLOB, error=DENIED, who="carl"))
case("each account lists its own", key(), check("ListAliases", {"KeyId": ID},
                                                {"Aliases": count(0)}),
     check("ListGrants", {"KeyId": ID}, error=[DENIED, "NotFoundException"], who="carol"))
case("a policy given at creation holds",
     check("CreateKey", {"Policy": policy(statement("Allow", "${alice}", "kms:Encrypt")),
                         "Description": let_now("letters", count=10)},
           {"KeyMetadata.Enabled": True}, save="k3"),
     check("Encrypt", {"KeyId": "${k3.KeyMetadata.KeyId}", "Plaintext": HELLO},
           {"KeyId": "${k3.KeyMetadata.Arn}"}, who="alice"))
