# SPDX-License-Identifier: Apache-2.0
"""Material: rotation, import, expiry, deletion, multi-Region keys, custom key stores. Cases that
move the clock come last, each with keys of its own."""
from language import (ABSENT, ABSENT_KEY, ARN, DAY, GENERAL, ID, case, check, count, do, having,
                      hmac_key, imported, key, let, let_now, like, near, other_than, pages, sealed,
                      sign_key, text, travel)

HELLO = text("hello")
ENCRYPT = {"KeyId": ID, "Plaintext": HELLO}
BLOB = {"CiphertextBlob": "${b.CiphertextBlob}"}
M = "KeyMetadata."
HEX = like("^[0-9a-f]{64}$")
UNSUPPORTED = "UnsupportedOperationException"

# ---- rotation --------------------------------------------------------------------------------

case("automatic rotation is off, on, off", key(),
     check("GetKeyRotationStatus", {"KeyId": ID}, {"KeyRotationEnabled": False,
                                                   "NextRotationDate": ABSENT}),
     check("EnableKeyRotation", {"KeyId": ID}),
     check("GetKeyRotationStatus", {"KeyId": ID},
           {"KeyRotationEnabled": True, "KeyId": ARN, "RotationPeriodInDays": 365,
            "NextRotationDate": near(days=365)}),
     check("DisableKeyRotation", {"KeyId": ID}),
     check("GetKeyRotationStatus", {"KeyId": ID}, {"KeyRotationEnabled": False}))
for days in (90, 2560):
    case(f"rotation each {days} days", key(),
         check("EnableKeyRotation", {"KeyId": ID, "RotationPeriodInDays": days}),
         check("GetKeyRotationStatus", {"KeyId": ID}, {"RotationPeriodInDays": days,
                                                       "NextRotationDate": near(days=days)}))
for days in (0, 89, 2561):
    case(f"rotation each {days} days is refused", key(),
         check("EnableKeyRotation", {"KeyId": ID, "RotationPeriodInDays": days},
               error="ValidationException"))
for what, made in (("HMAC", hmac_key()), ("signing", sign_key()), ("imported",
                                                                   key(Origin="EXTERNAL"))):
    case(f"a key of kind {what} does not rotate by itself", made,
         check("EnableKeyRotation", {"KeyId": ID},
               error=[UNSUPPORTED] if what != "imported" else [UNSUPPORTED,
                                                               "KMSInvalidStateException"]))
for what, made in (("HMAC", hmac_key()), ("signing", sign_key())):
    case(f"a key of kind {what} is not rotated on demand", made,
         check("RotateKeyOnDemand", {"KeyId": ID}, error=UNSUPPORTED))
case("rotation on demand makes new material, and the old one still opens", key(), sealed(),
     do("DescribeKey", {"KeyId": ID}, save="d"),
     check("RotateKeyOnDemand", {"KeyId": ID}, {"KeyId": ARN}),
     check("DescribeKey", {"KeyId": ID}, {M + "CurrentKeyMaterialId": other_than(
         "${d.KeyMetadata.CurrentKeyMaterialId}")}, save="e"),
     check("Decrypt", BLOB, {"Plaintext": HELLO,
                             "KeyMaterialId": "${d.KeyMetadata.CurrentKeyMaterialId}"}),
     check("GenerateDataKey", {"KeyId": ID, "KeySpec": "AES_256"},
           {"KeyMaterialId": "${e.KeyMetadata.CurrentKeyMaterialId}"}),
     check("ListKeyRotations", {"KeyId": ID}, {"Rotations": having({
         "KeyId": ARN, "RotationDate": near(), "RotationType": "ON_DEMAND"})}),
     check("GetKeyRotationStatus", {"KeyId": ID}, {"KeyRotationEnabled": False}),
     check("ReEncrypt", {**BLOB, "DestinationKeyId": ID},
           {"SourceKeyMaterialId": "${d.KeyMetadata.CurrentKeyMaterialId}",
            "DestinationKeyMaterialId": "${e.KeyMetadata.CurrentKeyMaterialId}"}))
case("rotation on demand 25 times, not 26", key(), sealed(),
     *[do("RotateKeyOnDemand", {"KeyId": ID}) for _ in range(25)],
     check("RotateKeyOnDemand", {"KeyId": ID}, error="LimitExceededException"),
     pages("ListKeyRotations", {"KeyId": ID}, "Rotations", 10, count=25),
     check("Decrypt", BLOB, {"Plaintext": HELLO}))
case("rotation on demand leaves the schedule", key(),
     do("EnableKeyRotation", {"KeyId": ID, "RotationPeriodInDays": 100}),
     do("RotateKeyOnDemand", {"KeyId": ID}),
     check("GetKeyRotationStatus", {"KeyId": ID}, {"NextRotationDate": near(days=100)}))

# ---- import ----------------------------------------------------------------------------------

WRAPS = ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_1",
         "RSA_AES_KEY_WRAP_SHA_256")
for algorithm, spec, size in [(name, "RSA_2048", (290, 300)) for name in WRAPS] + [
        ("RSAES_OAEP_SHA_256", "RSA_3072", (418, 428)), ("RSAES_OAEP_SHA_256", "RSA_4096",
                                                         (546, 556))]:
    case(f"import by {algorithm} and {spec}", key(Origin="EXTERNAL"),
         check("GetParametersForImport", {"KeyId": ID, "WrappingAlgorithm": algorithm,
                                          "WrappingKeySpec": spec},
               {"KeyId": ARN, "PublicKey": {"?bytes": list(size)},
                "ImportToken": {"?bytes": [1, 6144]},
                "ParametersValidTo": near(days=1)}, save="p"),
         let("m", "random", count=32),
         let("w", "wrap", algorithm=algorithm, public="${p.PublicKey}", material="${m}"),
         check("ImportKeyMaterial", {"KeyId": ID, "ImportToken": "${p.ImportToken}",
                                     "EncryptedKeyMaterial": "${w}",
                                     "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"},
               {"KeyId": ARN}),
         check("DescribeKey", {"KeyId": ID}, {
             M + "KeyState": "Enabled", M + "Origin": "EXTERNAL", M + "Enabled": True,
             M + "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE", M + "ValidTo": ABSENT}),
         check("Encrypt", ENCRYPT, {"KeyId": ARN}, save="b"),
         check("Decrypt", BLOB, {"Plaintext": HELLO}))
case("a key without material",
     check("CreateKey", {"Origin": "EXTERNAL"}, {M + "KeyState": "PendingImport",
                                                 M + "Origin": "EXTERNAL", M + "Enabled": False}))
PARAMS = {"KeyId": ID, "WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
case("import is for keys of origin EXTERNAL", key(),
     check("GetParametersForImport", PARAMS, error=UNSUPPORTED),
     check("ImportKeyMaterial", {"KeyId": ID, "ImportToken": text("t"), "EncryptedKeyMaterial":
                                 text("m"), "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"},
           error=UNSUPPORTED),
     check("DeleteImportedKeyMaterial", {"KeyId": ID}, error=UNSUPPORTED))
for what, change in (("an unknown algorithm", {"WrappingAlgorithm": "ROT13"}),
                     ("an unknown wrapping key", {"WrappingKeySpec": "RSA_512"}),
                     ("no algorithm", {"WrappingAlgorithm": None})):
    case(f"GetParametersForImport refuses {what}", key(Origin="EXTERNAL"),
         check("GetParametersForImport", {k: v for k, v in {**PARAMS, **change}.items()
                                          if v is not None}, error="ValidationException"))
BASE = {"KeyId": ID, "ImportToken": "${p.ImportToken}", "EncryptedKeyMaterial": "${w}",
        "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
ASKED = [key(Origin="EXTERNAL"), do("GetParametersForImport", PARAMS, save="p"),
         let("m", "random", count=32),
         let("w", "wrap", algorithm="RSAES_OAEP_SHA_256", public="${p.PublicKey}",
             material="${m}")]
for what, change, error in (
        ("a token that is none", {"ImportToken": text("bogus")}, "InvalidImportTokenException"),
        ("an altered token", {"ImportToken": let_now("flip", value="${p.ImportToken}", at=20)},
         "InvalidImportTokenException"),
        ("material that does not open", {"EncryptedKeyMaterial": let_now(
            "flip", value="${w}", at=10)}, "InvalidCiphertextException"),
        ("material that is cut", {"EncryptedKeyMaterial": let_now("cut", value="${w}", to=100)},
         "InvalidCiphertextException"),
        ("expiry without a date", {"ExpirationModel": "KEY_MATERIAL_EXPIRES"},
         "ValidationException"),
        ("a date that has passed", {"ExpirationModel": "KEY_MATERIAL_EXPIRES",
                                    "ValidTo": {"?now": -DAY}}, "ValidationException"),
        ("a date beyond a year", {"ExpirationModel": "KEY_MATERIAL_EXPIRES",
                                  "ValidTo": {"?now": 366 * DAY}}, "ValidationException"),
        ("an unknown model", {"ExpirationModel": "PERHAPS"}, "ValidationException")):
    case(f"ImportKeyMaterial refuses {what}", *ASKED,
         check("ImportKeyMaterial", {**BASE, **change}, error=error),
         check("DescribeKey", {"KeyId": ID}, {M + "KeyState": "PendingImport"}))
case("a token is for its key", *ASKED, key("k2", Origin="EXTERNAL"),
     check("ImportKeyMaterial", {**BASE, "KeyId": "${k2.KeyMetadata.KeyId}"},
           error="InvalidImportTokenException"))
for size in (16, 31, 33, 64):
    case(f"material of {size} bytes", key(Origin="EXTERNAL"),
         do("GetParametersForImport", PARAMS, save="p"), let("m", "random", count=size),
         let("w", "wrap", algorithm="RSAES_OAEP_SHA_256", public="${p.PublicKey}",
             material="${m}"),
         check("ImportKeyMaterial", BASE, error=["InvalidCiphertextException",
                                                 "IncorrectKeyMaterialException",
                                                 "ValidationException"]))
DELETE = do("DeleteImportedKeyMaterial", {"KeyId": ID})
AGAIN = [do("GetParametersForImport", PARAMS, save="p")]
case("deleted material comes back, and only the same", *ASKED, do("ImportKeyMaterial", BASE),
     sealed(), check("DeleteImportedKeyMaterial", {"KeyId": ID}),
     check("Decrypt", BLOB, error="KMSInvalidStateException"), *AGAIN,
     let("other", "random", count=32),
     let("w", "wrap", algorithm="RSAES_OAEP_SHA_256", public="${p.PublicKey}",
         material="${other}"),
     check("ImportKeyMaterial", BASE, error="IncorrectKeyMaterialException"), *AGAIN,
     let("w", "wrap", algorithm="RSAES_OAEP_SHA_256", public="${p.PublicKey}", material="${m}"),
     check("ImportKeyMaterial", BASE),
     check("Decrypt", BLOB, {"Plaintext": HELLO}))
case("two imports of one material are two keys", *ASKED, do("ImportKeyMaterial", BASE), sealed(),
     key("k2", Origin="EXTERNAL"), *imported("m2", "${k2.KeyMetadata.KeyId}", material="${m}"),
     check("Decrypt", {**BLOB, "KeyId": "${k2.KeyMetadata.KeyId}"}, error="IncorrectKeyException"))
case("an imported HMAC key", hmac_key(Origin="EXTERNAL"), *imported("m"),
     check("GenerateMac", {"KeyId": ID, "Message": HELLO, "MacAlgorithm": "HMAC_SHA_256"},
           {"Mac": let_now("hmac", key="${m}", message="hello")}))

# ---- multi-Region keys -----------------------------------------------------------------------

OTHER = "arn:coffer:kms:${other_region}:${account}:key/" + ID
case("a multi-Region key opens in its replica's region", key(MultiRegion=True), sealed(),
     check("DescribeKey", {"KeyId": ID}, {
         M + "KeyId": like("^mrk-[0-9a-f]{32}$"), M + "MultiRegion": True,
         M + "MultiRegionConfiguration.MultiRegionKeyType": "PRIMARY",
         M + "MultiRegionConfiguration.PrimaryKey.Arn": ARN}),
     check("ReplicateKey", {"KeyId": ID, "ReplicaRegion": "${other_region}"},
           {"ReplicaKeyMetadata.Arn": OTHER, "ReplicaKeyMetadata.KeyId": ID,
            "ReplicaKeyMetadata.MultiRegionConfiguration.MultiRegionKeyType": "REPLICA"}),
     check("Decrypt", {**BLOB, "KeyId": ID}, {"Plaintext": HELLO, "KeyId": OTHER}, region="other"),
     check("ScheduleKeyDeletion", {"KeyId": ID, "PendingWindowInDays": 7},
           {"KeyState": "PendingReplicaDeletion"}))
case("the primary region moves", key(MultiRegion=True),
     do("ReplicateKey", {"KeyId": ID, "ReplicaRegion": "${other_region}"}),
     check("UpdatePrimaryRegion", {"KeyId": ID, "PrimaryRegion": "${other_region}"}),
     check("DescribeKey", {"KeyId": ID}, {
         M + "MultiRegionConfiguration.MultiRegionKeyType": "REPLICA"}))
FAMILY = M + "MultiRegionConfiguration."
HERE_KEY = {"Arn": ARN, "Region": "${region}"}
OTHER_KEY = {"Arn": OTHER, "Region": "${other_region}"}
case("a family tells who is in it", key(MultiRegion=True),
     check("DescribeKey", {"KeyId": ID}, {FAMILY + "PrimaryKey": HERE_KEY,
                                          FAMILY + "ReplicaKeys": []}),
     check("ReplicateKey", {"KeyId": ID, "ReplicaRegion": "${other_region}"}, {
         "ReplicaKeyMetadata.MultiRegionConfiguration.PrimaryKey": HERE_KEY,
         "ReplicaKeyMetadata.MultiRegionConfiguration.ReplicaKeys": [OTHER_KEY]}),
     check("ReplicateKey", {"KeyId": ID, "ReplicaRegion": "test-3"}),
     *[check("DescribeKey", {"KeyId": ID}, {
         FAMILY + "PrimaryKey": HERE_KEY,
         FAMILY + "ReplicaKeys": [OTHER_KEY, {"Arn": "arn:coffer:kms:test-3:${account}:key/" + ID,
                                              "Region": "test-3"}]}, region=region)
       for region in (None, "other")],
     check("UpdatePrimaryRegion", {"KeyId": ID, "PrimaryRegion": "${other_region}"}),
     *[check("DescribeKey", {"KeyId": ID}, {
         FAMILY + "MultiRegionKeyType": kind, FAMILY + "PrimaryKey": OTHER_KEY,
         FAMILY + "ReplicaKeys": having(HERE_KEY, {"Region": "test-3"})}, region=region)
       for region, kind in ((None, "REPLICA"), ("other", "PRIMARY"))])
case("a key of one region has no family", key(),
     check("DescribeKey", {"KeyId": ID}, {M + "MultiRegion": False,
                                          M + "MultiRegionConfiguration": ABSENT}))
case("what is not multi-Region stays", key(),
     check("ReplicateKey", {"KeyId": ID, "ReplicaRegion": "${other_region}"}, error=UNSUPPORTED),
     check("UpdatePrimaryRegion", {"KeyId": ID, "PrimaryRegion": "${other_region}"},
           error=UNSUPPORTED))

# ---- custom key stores -----------------------------------------------------------------------

CKS = {"CustomKeyStoreId": "cks-0123456789abcdef0"}
for op in ("ConnectCustomKeyStore", "DisconnectCustomKeyStore", "DeleteCustomKeyStore",
           "DescribeCustomKeyStores"):
    case(f"{op} of none", check(op, CKS, error="CustomKeyStoreNotFoundException"))
case("custom key stores are listed", check("DescribeCustomKeyStores", {},
                                           {"Truncated": {"?present": True}}))

# ---- the clock moves -------------------------------------------------------------------------

case("automatic rotation happens", key(), sealed(), do("DescribeKey", {"KeyId": ID}, save="d"),
     do("EnableKeyRotation", {"KeyId": ID, "RotationPeriodInDays": 90}), travel(days=91),
     check("Decrypt", BLOB, {"Plaintext": HELLO}),
     check("DescribeKey", {"KeyId": ID}, {M + "CurrentKeyMaterialId": other_than(
         "${d.KeyMetadata.CurrentKeyMaterialId}")}),
     check("ListKeyRotations", {"KeyId": ID}, {"Rotations": having({
         "RotationType": "AUTOMATIC", "KeyId": ARN})}),
     check("GetKeyRotationStatus", {"KeyId": ID}, {"NextRotationDate": near(days=89)}))
case("an import token holds a day", *ASKED, travel(days=1, seconds=60),
     check("ImportKeyMaterial", BASE, error="ExpiredImportTokenException"),
     check("DescribeKey", {"KeyId": ID}, {M + "KeyState": "PendingImport"}))
case("material expires", *ASKED,
     do("ImportKeyMaterial", {**BASE, "ExpirationModel": "KEY_MATERIAL_EXPIRES",
                              "ValidTo": {"?now": 10 * DAY}}), sealed(),
     check("DescribeKey", {"KeyId": ID}, {M + "ExpirationModel": "KEY_MATERIAL_EXPIRES",
                                          M + "ValidTo": near(days=10)}),
     travel(days=10, seconds=300), check("Decrypt", BLOB, error="KMSInvalidStateException"),
     check("DescribeKey", {"KeyId": ID}, {M + "KeyState": "PendingImport"}),
     do("GetParametersForImport", PARAMS, save="p"),
     let("w", "wrap", algorithm="RSAES_OAEP_SHA_256", public="${p.PublicKey}", material="${m}"),
     check("ImportKeyMaterial", BASE), check("Decrypt", BLOB, {"Plaintext": HELLO}))
case("a replica that was deleted is no longer named", key(MultiRegion=True),
     do("ReplicateKey", {"KeyId": ID, "ReplicaRegion": "${other_region}"}),
     do("ScheduleKeyDeletion", {"KeyId": ID, "PendingWindowInDays": 7}, region="other"),
     check("DescribeKey", {"KeyId": ID}, {FAMILY + "ReplicaKeys": [OTHER_KEY]}), travel(days=8),
     check("DescribeKey", {"KeyId": ID}, {FAMILY + "ReplicaKeys": [],
                                          FAMILY + "MultiRegionKeyType": "PRIMARY"}),
     check("DescribeKey", {"KeyId": ID}, error="NotFoundException", region="other"))
A = "alias/${unique}"
case("a scheduled deletion happens", key(), sealed(),
     do("CreateAlias", {"AliasName": A, "TargetKeyId": ID}),
     do("ScheduleKeyDeletion", {"KeyId": ID, "PendingWindowInDays": 7}),
     travel(days=6), check("DescribeKey", {"KeyId": ID}, {M + "KeyState": "PendingDeletion"}),
     travel(days=1, seconds=300),
     check("DescribeKey", {"KeyId": ID}, error="NotFoundException"),
     check("CancelKeyDeletion", {"KeyId": ID}, error="NotFoundException"),
     check("Decrypt", BLOB, error="AccessDeniedException", message=GENERAL),
     check("Decrypt", {**BLOB, "KeyId": ID}, error="NotFoundException"),
     check("DescribeKey", {"KeyId": A}, error="NotFoundException"),
     check("ListAliases", {}, {"Aliases": {"?lacking": [{"AliasName": A}]}}),
     check("ListKeys", {}, {"Keys": {"?lacking": [{"KeyId": ID}]}}))
case("a deletion that was cancelled does not happen", key(), sealed(),
     do("ScheduleKeyDeletion", {"KeyId": ID, "PendingWindowInDays": 7}), travel(days=6),
     check("CancelKeyDeletion", {"KeyId": ID}, {"KeyId": ARN}), do("EnableKey", {"KeyId": ID}),
     travel(days=30), check("Decrypt", BLOB, {"Plaintext": HELLO}),
     check("DescribeKey", {"KeyId": ID}, {M + "DeletionDate": ABSENT}))
case("a rotation whose date passes twice", key(),
     do("EnableKeyRotation", {"KeyId": ID, "RotationPeriodInDays": 90}), travel(days=91),
     do("DescribeKey", {"KeyId": ID}), travel(days=91), do("DescribeKey", {"KeyId": ID}),
     check("ListKeyRotations", {"KeyId": ID}, {"Rotations": count(2)}),
     check("DescribeKey", {"KeyId": ID}, {M + "CurrentKeyMaterialId": HEX}))
