# SPDX-License-Identifier: Apache-2.0
"""Encrypt, Decrypt, ReEncrypt, data keys, random bytes: results, limits, contexts, blobs."""
from language import (ABSENT, ABSENT_KEY, ARN, ARN2, GENERAL, ID, ID2, blob, case, check, do,
                      hmac_key, key, let, let_now, like, other_than, sealed, sign_key, text, zeros)

HELLO = text("hello")
BAD = ["InvalidCiphertextException"]


def encrypt(**params):
    return {"KeyId": ID, "Plaintext": HELLO, **params}


case("encrypt answers with blob, ARN and algorithm", key(),
     check("Encrypt", encrypt(), {"CiphertextBlob": blob(1, 6144), "KeyId": ARN,
                                  "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}, save="b"),
     check("Decrypt", {"CiphertextBlob": "${b.CiphertextBlob}"},
           {"Plaintext": HELLO, "KeyId": ARN, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}))
case("encrypt is not deterministic", key(), sealed(),
     check("Encrypt", encrypt(), {"CiphertextBlob": other_than("${b.CiphertextBlob}")}))

for form, given in (("id", ID), ("ARN", ARN), ("alias", "alias/${unique}"),
                    ("alias ARN", "arn:coffer:kms:${region}:${account}:alias/${unique}"),
                    ("ARN of partition aws", "arn:aws:kms:${region}:${account}:key/" + ID)):
    case(f"a key is named by its {form}", key(),
         do("CreateAlias", {"AliasName": "alias/${unique}", "TargetKeyId": ID}),
         check("Encrypt", encrypt(KeyId=given), {"KeyId": ARN}, save="b"),
         check("Decrypt", {"CiphertextBlob": "${b.CiphertextBlob}", "KeyId": given},
               {"Plaintext": HELLO}),
         check("GenerateDataKeyWithoutPlaintext", {"KeyId": given, "KeySpec": "AES_256"},
               {"KeyId": ARN}),
         check("DescribeKey", {"KeyId": given}, {"KeyMetadata.Arn": ARN}))

for size in (1, 4095, 4096):
    case(f"encrypt takes {size} bytes", key(),
         check("Encrypt", encrypt(Plaintext=zeros(size)), {"CiphertextBlob": blob(size, 6144)},
               save="b"),
         check("Decrypt", {"CiphertextBlob": "${b.CiphertextBlob}"}, {"Plaintext": zeros(size)}))
for size in (0, 4097):
    case(f"encrypt refuses {size} bytes", key(),
         check("Encrypt", encrypt(Plaintext=zeros(size)), error="ValidationException",
               message="1 validation error detected.*'plaintext' failed to satisfy constraint"))
case("encrypt needs a key", check("Encrypt", {"Plaintext": HELLO}, error="ValidationException",
                                  message="'keyId' failed to satisfy constraint"))
case("encrypt needs a plaintext", key(),
     check("Encrypt", {"KeyId": ID}, error="ValidationException", message="'plaintext'"))

UNKNOWN = (("id", ABSENT_KEY), ("alias", "alias/there-is-none"), ("word", "nonsense"),
           ("ARN", "arn:coffer:kms:${region}:${account}:key/" + ABSENT_KEY),
           ("ARN of another region", "arn:coffer:kms:${other_region}:${account}:key/" + ABSENT_KEY))
for form, given in UNKNOWN:
    for op, more in (("Encrypt", {"Plaintext": HELLO}), ("DescribeKey", {}),
                     ("GenerateDataKey", {"KeySpec": "AES_256"})):
        case(f"{op} of an unknown {form}", check(op, {"KeyId": given, **more},
                                                 error="NotFoundException"))
for op in ("DescribeKey", "EnableKey", "ScheduleKeyDeletion"):
    case(f"{op} of a malformed ARN",
         check(op, {"KeyId": "arn:coffer:sns:${region}:${account}:key/" + ABSENT_KEY},
               error=["InvalidArnException", "NotFoundException"]))

# ---- contexts --------------------------------------------------------------------------------

CONTEXTS = (("absent", None, {}, True), ("the same", {"a": "b"}, {"a": "b"}, True),
            ("in another order", {"a": "b", "c": "d"}, {"c": "d", "a": "b"}, True),
            ("UTF-8", {"k\u00e9": "\u6f22"}, {"k\u00e9": "\u6f22"}, True),
            ("an empty value", {"a": ""}, {"a": ""}, True),
            ("missing", {"a": "b"}, None, False), ("too much", None, {"a": "b"}, False),
            ("another value", {"a": "b"}, {"a": "c"}, False),
            ("another key", {"a": "b"}, {"c": "b"}, False),
            ("another case", {"a": "b"}, {"a": "B"}, False),
            ("another case of the key", {"a": "b"}, {"A": "b"}, False),
            ("a part", {"a": "b", "c": "d"}, {"a": "b"}, False),
            ("a bc for ab c", {"a": "bc"}, {"ab": "c"}, False),
            ("ab c for a bc", {"ab": "c"}, {"a": "bc"}, False),
            ("values swapped", {"a": "c", "b": "d"}, {"a": "d", "b": "c"}, False))
for what, first, second, opens in CONTEXTS:
    given = {"CiphertextBlob": "${b.CiphertextBlob}"}
    if second is not None:
        given["EncryptionContext"] = second
    case(f"context: {what}", key(), sealed(context=first),
         check("Decrypt", given, {"Plaintext": HELLO} if opens else None,
               None if opens else BAD))
    made = {"KeyId": ID, "KeySpec": "AES_256"}
    if first is not None:
        made["EncryptionContext"] = first
    case(f"context of a data key: {what}", key(), do("GenerateDataKey", made, save="b"),
         check("Decrypt", given, {"Plaintext": "${b.Plaintext}"} if opens else None,
               None if opens else BAD))
for first, second in (({"a": "bc"}, {"ab": "c"}), ({"ab": "c"}, {"a": "bc"})):
    case(f"context of ReEncrypt: {second} for {first}", key(), sealed(context=first),
         check("ReEncrypt", {"CiphertextBlob": "${b.CiphertextBlob}", "DestinationKeyId": ID,
                             "SourceEncryptionContext": second}, error=BAD),
         check("ReEncrypt", {"CiphertextBlob": "${b.CiphertextBlob}", "DestinationKeyId": ID,
                             "SourceEncryptionContext": first}, {"KeyId": ARN}))
case("a context that is too large", key(),
     check("Encrypt", encrypt(EncryptionContext={"a": let_now("letters", count=9000)}),
           error="ValidationException"))

# ---- blobs that are none ---------------------------------------------------------------------

for what, function, more in (
        ("the first byte flipped", "flip", {"at": 0}),
        ("its algorithm flipped", "flip", {"at": 5}),
        ("the length of its ARN flipped", "flip", {"at": 6}),
        ("its material's id flipped", "flip", {"at": 8}),
        ("its salt flipped", "flip", {"at": 40}),
        ("its commitment flipped", "flip", {"at": 72}),
        ("its nonce flipped", "flip", {"at": 104}),
        ("the length of its plaintext flipped", "flip", {"at": 116}),
        ("the last byte flipped", "flip", {"at": -1}),
        ("a byte in the middle flipped", "flip", {"at": 60}),
        ("a byte of the format flipped", "flip", {"at": 4}),
        ("cut to one byte", "cut", {"to": 1}), ("cut by one byte", "cut", {"to": -1}),
        ("cut in the middle", "cut", {"to": 100}), ("a byte longer", "grow", {"by": 1}),
        ("made of zeros", "blank", {"size": 200}), ("of another maker", "blank", {"size": 6144})):
    for op, more_params in (("Decrypt", {}), ("ReEncrypt", {"DestinationKeyId": ID})):
        case(f"{op} of a blob {what}", key(), sealed(),
             let("bad", function, value="${b.CiphertextBlob}", **more),
             check(op, {"CiphertextBlob": "${bad}", **more_params}, error=BAD))
case("Decrypt of a blob of 6145 bytes",
     check("Decrypt", {"CiphertextBlob": zeros(6145)},
           error=["InvalidCiphertextException", "ValidationException"]))
case("Decrypt of the largest blob, which is none", key(), sealed(),
     let("bad", "grow", value="${b.CiphertextBlob}", by=5500),
     check("Decrypt", {"CiphertextBlob": "${bad}"}, error=BAD))
case("Decrypt of nothing", check("Decrypt", {"CiphertextBlob": zeros(0)},
                                 error=["InvalidCiphertextException", "ValidationException"]))
case("Decrypt names another key", key(), key("k2"), sealed(),
     check("Decrypt", {"CiphertextBlob": "${b.CiphertextBlob}", "KeyId": ID2},
           error="IncorrectKeyException"),
     check("ReEncrypt", {"CiphertextBlob": "${b.CiphertextBlob}", "SourceKeyId": ID2,
                         "DestinationKeyId": ID2}, error="IncorrectKeyException"))
case("Decrypt names a key that is not there", key(), sealed(),
     check("Decrypt", {"CiphertextBlob": "${b.CiphertextBlob}", "KeyId": ABSENT_KEY},
           error="NotFoundException"))
case("a blob does not open in another region", key(), sealed(),
     check("Decrypt", {"CiphertextBlob": "${b.CiphertextBlob}"}, error="AccessDeniedException",
           message=GENERAL, region="other"))
case("a blob of another account's key", key(), sealed(),
     check("Decrypt", {"CiphertextBlob": "${b.CiphertextBlob}"}, error="AccessDeniedException",
           who="carol"))

# ---- ReEncrypt -------------------------------------------------------------------------------

case("ReEncrypt under another key", key(), key("k2"), sealed(),
     check("ReEncrypt", {"CiphertextBlob": "${b.CiphertextBlob}", "DestinationKeyId": ID2},
           {"SourceKeyId": ARN, "KeyId": ARN2, "CiphertextBlob": blob(),
            "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
            "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
            "SourceKeyMaterialId": like("^[0-9a-f]{64}$"),
            "DestinationKeyMaterialId": like("^[0-9a-f]{64}$")}, save="r"),
     check("Decrypt", {"CiphertextBlob": "${r.CiphertextBlob}"}, {"Plaintext": HELLO,
                                                                  "KeyId": ARN2}))
case("ReEncrypt changes the context", key(), sealed(context={"a": "1"}),
     check("ReEncrypt", {"CiphertextBlob": "${b.CiphertextBlob}", "DestinationKeyId": ID,
                         "SourceEncryptionContext": {"a": "1"},
                         "DestinationEncryptionContext": {"b": "2"}}, {"KeyId": ARN}, save="r"),
     check("Decrypt", {"CiphertextBlob": "${r.CiphertextBlob}", "EncryptionContext": {"b": "2"}},
           {"Plaintext": HELLO}),
     check("Decrypt", {"CiphertextBlob": "${r.CiphertextBlob}", "EncryptionContext": {"a": "1"}},
           error=BAD))
case("ReEncrypt checks the source's context", key(), sealed(context={"a": "1"}),
     check("ReEncrypt", {"CiphertextBlob": "${b.CiphertextBlob}", "DestinationKeyId": ID},
           error=BAD))
case("ReEncrypt to a key that is not there", key(), sealed(),
     check("ReEncrypt", {"CiphertextBlob": "${b.CiphertextBlob}", "DestinationKeyId": ABSENT_KEY},
           error="NotFoundException"))

# ---- data keys and random bytes --------------------------------------------------------------

for spec, size in (("AES_128", 16), ("AES_256", 32)):
    case(f"GenerateDataKey {spec}", key(),
         check("GenerateDataKey", {"KeyId": ID, "KeySpec": spec},
               {"Plaintext": blob(size, size), "CiphertextBlob": blob(), "KeyId": ARN,
                "KeyMaterialId": like("^[0-9a-f]{64}$")}, save="d"),
         check("Decrypt", {"CiphertextBlob": "${d.CiphertextBlob}"},
               {"Plaintext": "${d.Plaintext}"}))
    case(f"GenerateDataKeyWithoutPlaintext {spec}", key(),
         check("GenerateDataKeyWithoutPlaintext", {"KeyId": ID, "KeySpec": spec},
               {"CiphertextBlob": blob(), "KeyId": ARN, "Plaintext": ABSENT}, save="d"),
         check("Decrypt", {"CiphertextBlob": "${d.CiphertextBlob}"},
               {"Plaintext": blob(size, size)}))
for size in (1, 64, 1024):
    case(f"{size} bytes of data key and of randomness", key(),
         check("GenerateDataKey", {"KeyId": ID, "NumberOfBytes": size},
               {"Plaintext": blob(size, size)}),
         check("GenerateRandom", {"NumberOfBytes": size}, {"Plaintext": blob(size, size)}))
for op in ("GenerateDataKey", "GenerateDataKeyWithoutPlaintext"):
    for what, more in (("neither size", {}), ("both sizes", {"KeySpec": "AES_256",
                                                             "NumberOfBytes": 32}),
                       ("no bytes", {"NumberOfBytes": 0}), ("1025 bytes", {"NumberOfBytes": 1025}),
                       ("an unknown spec", {"KeySpec": "AES_512"})):
        case(f"{op} refuses {what}", key(),
             check(op, {"KeyId": ID, **more}, error="ValidationException"))
for what, more in (("no size", {}), ("0", {"NumberOfBytes": 0}), ("1025", {"NumberOfBytes": 1025}),
                   ("-1", {"NumberOfBytes": -1})):
    case(f"GenerateRandom refuses {what}", check("GenerateRandom", more,
                                                 error="ValidationException"))
case("random bytes are", do("GenerateRandom", {"NumberOfBytes": 32}, save="r"),
     check("GenerateRandom", {"NumberOfBytes": 32}, {"Plaintext": other_than("${r.Plaintext}")}))

# ---- usage -----------------------------------------------------------------------------------

WRONG = (("Encrypt", encrypt()), ("GenerateDataKey", {"KeyId": ID, "KeySpec": "AES_256"}),
         ("GenerateDataKeyWithoutPlaintext", {"KeyId": ID, "KeySpec": "AES_256"}))
for op, params in WRONG:
    case(f"{op} with an HMAC key", hmac_key(), check(op, params,
                                                     error="InvalidKeyUsageException"))
    case(f"{op} with a signing key", sign_key(), check(op, params,
                                                       error="InvalidKeyUsageException"))
case("Sign and MAC with an encrypting key", key(),
     check("Sign", {"KeyId": ID, "Message": HELLO, "SigningAlgorithm": "ECDSA_SHA_256"},
           error="InvalidKeyUsageException"),
     check("GenerateMac", {"KeyId": ID, "Message": HELLO, "MacAlgorithm": "HMAC_SHA_256"},
           error="InvalidKeyUsageException"))
case("an algorithm that the key has not", key(), sealed(),
     check("Encrypt", encrypt(EncryptionAlgorithm="RSAES_OAEP_SHA_256"),
           error="InvalidKeyUsageException"),
     check("Decrypt", {"CiphertextBlob": "${b.CiphertextBlob}", "KeyId": ID,
                       "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"},
           error="InvalidKeyUsageException"),
     check("Encrypt", encrypt(EncryptionAlgorithm="ROT13"), error="ValidationException"))

case("Decrypt tells which material opened", key(), sealed(),
     do("DescribeKey", {"KeyId": ID}, save="d"),
     check("Decrypt", {"CiphertextBlob": "${b.CiphertextBlob}"},
           {"KeyMaterialId": "${d.KeyMetadata.CurrentKeyMaterialId}"}))
