# SPDX-License-Identifier: Apache-2.0
"""Each state of a key against each operation: what it lets through and what it refuses, by name.

A row is (name, kind of key, operation, parameters, what each state answers): a letter a state, in
the order of STATES. o: goes through; d: DisabledException; s: KMSInvalidStateException;
u: UnsupportedOperationException or KMSInvalidStateException; -: not possible in that state.
"""
from language import (ARN, ID, ID2, case, check, do, hmac_key, imported, key, let, policy, sealed,
                      sign_key, text)

STATES = ("Enabled", "Disabled", "PendingDeletion", "PendingImport", "Unavailable")
ERRORS = {"o": None, "d": ["DisabledException"], "s": ["KMSInvalidStateException"],
          "u": ["UnsupportedOperationException", "KMSInvalidStateException"]}
HELLO = text("hello")
BLOB = "${b.CiphertextBlob}"
PRINCIPAL = "${alice}"
MAC = {"KeyId": ID, "Message": HELLO, "MacAlgorithm": "HMAC_SHA_256"}
SIGN = {"KeyId": ID, "Message": HELLO, "SigningAlgorithm": "ECDSA_SHA_256"}
AGREE = {"KeyId": ID, "KeyAgreementAlgorithm": "ECDH", "PublicKey": "${peer.Public}"}
IMPORT = {"KeyId": ID, "ImportToken": "${p.ImportToken}", "EncryptedKeyMaterial": "${w}",
          "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}

ROWS = [
    ("Encrypt", "sym", "Encrypt", {"KeyId": ID, "Plaintext": HELLO}, "odsss"),
    ("Decrypt", "sym", "Decrypt", {"CiphertextBlob": BLOB}, "odsss"),
    ("ReEncrypt from", "sym", "ReEncrypt", {"CiphertextBlob": BLOB, "DestinationKeyId": ID2},
     "odsss"),
    ("ReEncrypt to", "sym", "ReEncrypt", {"CiphertextBlob": "${b2.CiphertextBlob}",
                                          "DestinationKeyId": ID}, "odsss"),
    ("GenerateDataKey", "sym", "GenerateDataKey", {"KeyId": ID, "KeySpec": "AES_256"}, "odsss"),
    ("GenerateDataKeyWithoutPlaintext", "sym", "GenerateDataKeyWithoutPlaintext",
     {"KeyId": ID, "KeySpec": "AES_256"}, "odsss"),
    ("GenerateMac", "mac", "GenerateMac", MAC, "ods--"),
    ("VerifyMac", "mac", "VerifyMac", {**MAC, "Mac": "${t.Mac}"}, "ods--"),
    ("Sign", "sign", "Sign", SIGN, "ods--"),
    ("Verify", "sign", "Verify", {**SIGN, "Signature": "${t.Signature}"}, "ods--"),
    ("GetPublicKey", "sign", "GetPublicKey", {"KeyId": ID}, "ods--"),
    ("DeriveSharedSecret", "agree", "DeriveSharedSecret", AGREE, "ods--"),
    ("CreateGrant", "sym", "CreateGrant", {"KeyId": ID, "GranteePrincipal": PRINCIPAL,
                                           "Operations": ["Decrypt"]}, "odsss"),
    ("DescribeKey", "sym", "DescribeKey", {"KeyId": ID}, "ooooo"),
    ("GetKeyLastUsage", "sym", "GetKeyLastUsage", {"KeyId": ID}, "ooooo"),
    ("GetKeyPolicy", "sym", "GetKeyPolicy", {"KeyId": ID, "PolicyName": "default"}, "ooooo"),
    ("PutKeyPolicy", "sym", "PutKeyPolicy", {"KeyId": ID, "PolicyName": "default",
                                             "Policy": policy()}, "ooooo"),
    ("ListKeyPolicies", "sym", "ListKeyPolicies", {"KeyId": ID}, "ooooo"),
    ("DeleteAlias", "sym", "DeleteAlias", {"AliasName": "alias/of-${unique}"}, "ooooo"),
    ("ListGrants", "sym", "ListGrants", {"KeyId": ID}, "ooooo"),
    ("RevokeGrant", "sym", "RevokeGrant", {"KeyId": ID, "GrantId": "${g.GrantId}"}, "ooo-o"),
    ("RetireGrant", "sym", "RetireGrant", {"KeyId": ARN, "GrantId": "${g.GrantId}"}, "ooo-o"),
    ("ListResourceTags", "sym", "ListResourceTags", {"KeyId": ID}, "ooooo"),
    ("ListAliases", "sym", "ListAliases", {"KeyId": ID}, "ooooo"),
    ("ListKeyRotations", "sym", "ListKeyRotations", {"KeyId": ID}, "ooo--"),
    ("EnableKey", "sym", "EnableKey", {"KeyId": ID}, "oosso"),
    ("DisableKey", "sym", "DisableKey", {"KeyId": ID}, "oosso"),
    ("EnableKeyRotation", "sym", "EnableKeyRotation", {"KeyId": ID}, "odsuu"),
    ("RotateKeyOnDemand", "sym", "RotateKeyOnDemand", {"KeyId": ID}, "odsuu"),
    ("CreateAlias", "sym", "CreateAlias", {"AliasName": "alias/new-${unique}",
                                           "TargetKeyId": ID}, "oosoo"),
    ("UpdateAlias", "sym", "UpdateAlias", {"AliasName": "alias/to-${unique}",
                                           "TargetKeyId": ID}, "oosoo"),
    ("TagResource", "sym", "TagResource", {"KeyId": ID, "Tags": [
        {"TagKey": "a", "TagValue": "b"}]}, "oosoo"),
    ("UntagResource", "sym", "UntagResource", {"KeyId": ID, "TagKeys": ["old"]}, "oosoo"),
    ("UpdateKeyDescription", "sym", "UpdateKeyDescription", {"KeyId": ID, "Description": "new"},
     "oosoo"),
    ("GetParametersForImport", "ext", "GetParametersForImport",
     {"KeyId": ID, "WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"},
     "ooso-"),
    ("ImportKeyMaterial", "ext", "ImportKeyMaterial", IMPORT, "ooso-"),
    ("DeleteImportedKeyMaterial", "ext", "DeleteImportedKeyMaterial", {"KeyId": ID}, "oooo-"),
    ("ScheduleKeyDeletion", "sym", "ScheduleKeyDeletion", {"KeyId": ID, "PendingWindowInDays": 7},
     "oosoo"),
    ("CancelKeyDeletion", "sym", "CancelKeyDeletion", {"KeyId": ID}, "ssoss"),
]

TAGGED = {"Tags": [{"TagKey": "old", "TagValue": "v"}]}


def make(kind, state):
    """A key of that kind, while it is still good."""
    if kind == "mac":
        return [hmac_key(), do("GenerateMac", MAC, save="t")]
    if kind == "sign":
        return [sign_key(), do("Sign", SIGN, save="t")]
    if kind == "agree":
        return [key(KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT"),
                let("peer", "pair", spec="ECC_NIST_P256")]
    if kind == "ext" or state == "PendingImport":
        made = [key(Origin="EXTERNAL", **TAGGED)] + imported("m")
    elif state == "Unavailable":
        made = [do("CreateKey", {"Origin": "PKCS11", "CustomKeyStoreId": "${store}",
                                 **TAGGED}, save="k")]
    else:
        made = [key(**TAGGED)]
    return made + [sealed()]


def around(kind):
    """What the rows of encrypting keys need beside the key itself."""
    if kind != "sym":
        return []
    return [key("k2"), sealed("b2", ID2),
            do("CreateAlias", {"AliasName": "alias/of-${unique}", "TargetKeyId": ID}),
            do("CreateAlias", {"AliasName": "alias/to-${unique}", "TargetKeyId": ID2}),
            do("CreateGrant", {"KeyId": ID, "GranteePrincipal": PRINCIPAL,
                               "Operations": ["Decrypt", "RetireGrant"]}, save="g")]


def enter(kind, state):
    """Steps from Enabled into the state."""
    steps = []
    if kind == "ext":
        steps += [do("GetParametersForImport", {"KeyId": ID, "WrappingKeySpec": "RSA_2048",
                                                "WrappingAlgorithm": "RSAES_OAEP_SHA_256"},
                     save="p"),
                  let("w", "wrap", algorithm="RSAES_OAEP_SHA_256", public="${p.PublicKey}",
                      material="${m}")]
    steps += {"Enabled": [], "Disabled": [do("DisableKey", {"KeyId": ID})],
              "PendingDeletion": [do("ScheduleKeyDeletion", {"KeyId": ID,
                                                             "PendingWindowInDays": 7})],
              "PendingImport": [do("DeleteImportedKeyMaterial", {"KeyId": ID})],
              "Unavailable": [do("DisconnectCustomKeyStore", {"CustomKeyStoreId": "${store}"})],
              }[state]
    return steps


def leave(state):
    return ([do("ConnectCustomKeyStore", {"CustomKeyStoreId": "${store}"})]
            if state == "Unavailable" else [])


# What the key's state is after a call that went through, where it isn't what it was before.
AFTER = {("EnableKey", "Disabled"): "Enabled", ("DisableKey", "Enabled"): "Disabled",
         ("CancelKeyDeletion", "PendingDeletion"): "Disabled",
         ("DeleteImportedKeyMaterial", "Enabled"): "PendingImport",
         ("DeleteImportedKeyMaterial", "Disabled"): "PendingImport",
         ("ImportKeyMaterial", "PendingImport"): "Enabled",
         **{("ScheduleKeyDeletion", state): "PendingDeletion" for state in STATES}}

for name, kind, op, params, letters in ROWS:
    for state, letter in zip(STATES, letters):
        if letter == "-":
            continue
        after = AFTER.get((op, state), state) if letter == "o" else state
        case(f"{name} in state {state}", *make(kind, state), *around(kind), *enter(kind, state),
             check(op, params, error=ERRORS[letter]),
             check("DescribeKey", {"KeyId": ID}, {"KeyMetadata.KeyState": after,
                                                  "KeyMetadata.Enabled": after == "Enabled"}),
             *leave(state), needs=("token",) if state == "Unavailable" else ())

case("a key that was disabled works again", key(), sealed(), do("DisableKey", {"KeyId": ID}),
     check("EnableKey", {"KeyId": ID}),
     check("Decrypt", {"CiphertextBlob": BLOB}, {"Plaintext": HELLO}))
case("a key whose deletion was cancelled is disabled, then works", key(), sealed(),
     do("ScheduleKeyDeletion", {"KeyId": ID, "PendingWindowInDays": 7}),
     check("CancelKeyDeletion", {"KeyId": ID}, {"KeyId": ARN}),
     check("Decrypt", {"CiphertextBlob": BLOB}, error="DisabledException"),
     check("EnableKey", {"KeyId": ID}),
     check("Decrypt", {"CiphertextBlob": BLOB}, {"Plaintext": HELLO}))
