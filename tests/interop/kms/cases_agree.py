# SPDX-License-Identifier: Apache-2.0
"""DeriveSharedSecret: key agreement with a pair that openssl holds the other half of."""
from language import (ARN, ID, ID2, case, check, count, do, hmac_key, key, let, let_now, policy,
                      same_set, sign_key, statement, text)

DENIED = "AccessDeniedException"
ECDH = {"KeyId": ID, "KeyAgreementAlgorithm": "ECDH"}
WITH_PEER = {**ECDH, "PublicKey": "${peer.Public}"}
SHARED = let_now("shared", private="${peer.Private}", public="${p.PublicKey}")
PEER = let("peer", "pair", spec="ECC_NIST_P256")
SIZES = {"ECC_NIST_P256": 32, "ECC_NIST_P384": 48, "ECC_NIST_P521": 66}
M = "KeyMetadata."


def agreement_key(save="k", spec="ECC_NIST_P256", **params):
    return key(save, KeySpec=spec, KeyUsage="KEY_AGREEMENT", **params)


MADE = [agreement_key(), PEER, do("GetPublicKey", {"KeyId": ID}, save="p")]

for spec, size in SIZES.items():
    case(f"a secret shared with openssl by {spec}",
         check("CreateKey", {"KeySpec": spec, "KeyUsage": "KEY_AGREEMENT"},
               {M + "KeySpec": spec, M + "KeyUsage": "KEY_AGREEMENT",
                M + "KeyAgreementAlgorithms": ["ECDH"]}, save="k"),
         check("GetPublicKey", {"KeyId": ID}, {
             "KeyUsage": "KEY_AGREEMENT", "KeyAgreementAlgorithms": ["ECDH"],
             "PublicKey": {"?bytes": [80, 200]}}, save="p"),
         let("peer", "pair", spec=spec),
         check("DeriveSharedSecret", WITH_PEER, {
             "SharedSecret": SHARED, "KeyId": ARN, "KeyAgreementAlgorithm": "ECDH",
             "KeyOrigin": "AWS_KMS"}, save="s"),
         check("DeriveSharedSecret", WITH_PEER, {"SharedSecret": {"?bytes": [size, size]}}))
case("two keys of the service agree", agreement_key(), agreement_key("k2"),
     do("GetPublicKey", {"KeyId": ID}, save="p"), do("GetPublicKey", {"KeyId": ID2}, save="q"),
     do("DeriveSharedSecret", {**ECDH, "PublicKey": "${q.PublicKey}"}, save="s"),
     check("DeriveSharedSecret", {**ECDH, "KeyId": ID2, "PublicKey": "${p.PublicKey}"},
           {"SharedSecret": "${s.SharedSecret}"}))

for what, public in (("nothing", text("")), ("a word", text("no key")),
                     ("a cut key", let_now("cut", value="${peer.Public}", to=-1)),
                     ("a key and a byte", let_now("grow", value="${peer.Public}", by=1)),
                     ("a point off the curve", let_now("flip", value="${peer.Public}", at=-1)),
                     ("8193 bytes", let_now("zeros", count=8193))):
    case(f"DeriveSharedSecret refuses {what}", agreement_key(), PEER,
         check("DeriveSharedSecret", {**ECDH, "PublicKey": public}, error="ValidationException"))
case("DeriveSharedSecret refuses a key of another curve, and of RSA", agreement_key(),
     let("peer", "pair", spec="ECC_NIST_P384"), sign_key("k2", "RSA_2048"),
     do("GetPublicKey", {"KeyId": ID2}, save="rsa"),
     check("DeriveSharedSecret", WITH_PEER, error="ValidationException"),
     check("DeriveSharedSecret", {**ECDH, "PublicKey": "${rsa.PublicKey}"},
           error="ValidationException"))
case("DeriveSharedSecret by an algorithm that is none", *MADE,
     check("DeriveSharedSecret", {**WITH_PEER, "KeyAgreementAlgorithm": "X25519"},
           error="ValidationException", message="'keyAgreementAlgorithm'"))

for what, made in (("encrypting", key()), ("signing", sign_key()), ("MAC", hmac_key())):
    case(f"key agreement with a key for {what}", made, PEER,
         check("DeriveSharedSecret", WITH_PEER, error="InvalidKeyUsageException"))
for op, params in (("Sign", {"Message": text("m"), "SigningAlgorithm": "ECDSA_SHA_256"}),
                   ("Encrypt", {"Plaintext": text("m")}),
                   ("Encrypt", {"Plaintext": text("m"),
                                "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}),
                   ("GenerateDataKey", {"KeySpec": "AES_256"}),
                   ("GenerateMac", {"Message": text("m"), "MacAlgorithm": "HMAC_SHA_256"})):
    case(f"{op} of {sorted(params)[-1]} with a key for agreement", agreement_key(),
         check(op, {"KeyId": ID, **params}, error="InvalidKeyUsageException"))
for spec, usage in (("SYMMETRIC_DEFAULT", "KEY_AGREEMENT"), ("RSA_2048", "KEY_AGREEMENT"),
                    ("HMAC_256", "KEY_AGREEMENT"), ("ECC_NIST_EDWARDS25519", "KEY_AGREEMENT"),
                    ("ECC_NIST_P256", None), ("ECC_NIST_P256", "ENCRYPT_DECRYPT")):
    case(f"no key of {spec} for {usage}",
         check("CreateKey", {"KeySpec": spec, **({"KeyUsage": usage} if usage else {})},
               error="ValidationException"))
case("a key for agreement neither rotates nor encrypts to", agreement_key(), key("k2"),
     do("Encrypt", {"KeyId": ID2, "Plaintext": text("m")}, save="b"),
     check("EnableKeyRotation", {"KeyId": ID}, error="UnsupportedOperationException"),
     check("ReEncrypt", {"CiphertextBlob": "${b.CiphertextBlob}", "DestinationKeyId": ID},
           error="InvalidKeyUsageException"))

# ---- who may ---------------------------------------------------------------------------------

case("key agreement by policy", agreement_key(Policy=policy(
    statement("Allow", "${alice}", "kms:DeriveSharedSecret"))), PEER,
     do("GetPublicKey", {"KeyId": ID}, save="p"),
     check("DeriveSharedSecret", WITH_PEER, {"SharedSecret": SHARED}, who="alice"),
     check("GetPublicKey", {"KeyId": ID}, error=DENIED, who="alice"),
     check("DeriveSharedSecret", WITH_PEER, error=DENIED, who="eve"))
case("key agreement by a grant", *MADE,
     check("DeriveSharedSecret", WITH_PEER, error=DENIED, who="alice"),
     check("CreateGrant", {"KeyId": ID, "GranteePrincipal": "${alice}",
                           "Operations": ["DeriveSharedSecret", "GetPublicKey"]}, save="g"),
     check("ListGrants", {"KeyId": ID}, {
         "Grants": count(1),
         "Grants.0.Operations": same_set("DeriveSharedSecret", "GetPublicKey")}),
     check("DeriveSharedSecret", WITH_PEER, {"SharedSecret": SHARED}, who="alice"),
     check("DeriveSharedSecret", {**WITH_PEER, "GrantTokens": ["${g.GrantToken}"]}, who="alice"),
     do("RevokeGrant", {"KeyId": ID, "GrantId": "${g.GrantId}"}),
     check("DeriveSharedSecret", WITH_PEER, error=DENIED, who="alice"))
for what, made in (("an encrypting key", key()), ("a signing key", sign_key())):
    case(f"no grant of DeriveSharedSecret for {what}", made,
         check("CreateGrant", {"KeyId": ID, "GranteePrincipal": "${alice}",
                               "Operations": ["DeriveSharedSecret"]}, error="ValidationException"))
case("no grant of Sign for a key for agreement", agreement_key(),
     check("CreateGrant", {"KeyId": ID, "GranteePrincipal": "${alice}", "Operations": ["Sign"]},
           error="ValidationException"))
case("a Recipient is refused by its name", *MADE,
     check("DeriveSharedSecret", {**WITH_PEER, "Recipient": {
         "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}}, error="UnsupportedOperationException"))

# ---- material from outside, and another region -----------------------------------------------

case("an imported pair agrees", agreement_key(Origin="EXTERNAL"), let("own", "pair",
                                                                      spec="ECC_NIST_P256"),
     do("GetParametersForImport", {"KeyId": ID, "WrappingAlgorithm": "RSA_AES_KEY_WRAP_SHA_256",
                                   "WrappingKeySpec": "RSA_2048"}, save="i"),
     let("w", "wrap", algorithm="RSA_AES_KEY_WRAP_SHA_256", public="${i.PublicKey}",
         material="${own.Private}"),
     do("ImportKeyMaterial", {"KeyId": ID, "ImportToken": "${i.ImportToken}",
                              "EncryptedKeyMaterial": "${w}",
                              "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}), PEER,
     check("DeriveSharedSecret", WITH_PEER, {
         "KeyOrigin": "EXTERNAL",
         "SharedSecret": let_now("shared", private="${own.Private}", public="${peer.Public}")}))
case("a replica agrees as its primary", agreement_key(MultiRegion=True), PEER,
     do("ReplicateKey", {"KeyId": ID, "ReplicaRegion": "${other_region}"}),
     do("DeriveSharedSecret", WITH_PEER, save="s"),
     check("DeriveSharedSecret", WITH_PEER, {"SharedSecret": "${s.SharedSecret}"}, region="other"))
