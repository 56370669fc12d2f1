# SPDX-License-Identifier: Apache-2.0
"""The words that the list of cases is written in. A case is plain data: a name and a list of steps.

  do      a call that prepares; made by the raw client, whoever is tested, and has to succeed
  check   a call made by the client under test; the error, or success and each field of `expect`,
          is an assertion
  pages   a listing read to its end by the client under test
  raw     an HTTP request that no client would send; made by the raw client only
  let     a value worked out here: functions of values.py
  travel  the server's clock goes forward; the client's clock goes with it

"${name.path}" in a parameter or an expectation stands for a saved answer, or a name of the world.
A one-entry dictionary whose key begins with ? is a matcher (match.py). Nothing here runs anything.
"""

CASES = []
DAY = 86400


def case(name, *steps, needs=()):
    """needs: what the server must have ("token"); without it the case is listed as left out."""
    CASES.append({"name": name, "steps": list(steps), "needs": list(needs)})


def do(op, params=None, save=None, who="root", region=None):
    return {"kind": "do", "op": op, "params": params or {}, "save": save, "who": who,
            "region": region}


def check(op, params=None, expect=None, error=None, message=None, save=None, who="root",
          region=None):
    return {"kind": "check", "op": op, "params": params or {}, "expect": expect or {},
            "error": error, "message": message, "save": save, "who": who, "region": region}


def pages(op, params, field, limit, count=None, includes=(), who="root"):
    return {"kind": "pages", "op": op, "params": params, "field": field, "limit": limit,
            "count": count, "includes": list(includes), "who": who, "region": None}


def raw(what, status, error, **change):
    """change: how the request differs from a good one (clients.py, Raw.odd)."""
    return {"kind": "raw", "what": what, "status": status, "error": error, "change": change}


def let(save, function, **values):
    return {"kind": "let", "save": save, "function": function, "values": values}


def travel(days=0, seconds=0):
    return {"kind": "travel", "seconds": days * DAY + seconds}


# ---- values and matchers ---------------------------------------------------------------------

def text(string):
    """A blob of these characters."""
    return let_now("base64", text=string)


def let_now(function, **values):
    return {"?do": function, **values}


def zeros(count):
    return let_now("zeros", count=count)


def blob(least=1, most=6144):
    return {"?bytes": [least, most]}


def like(regex):
    return {"?re": regex}


def near(days=0, seconds=0):
    """A time that far from the server's now, give or take two minutes."""
    return {"?near": days * DAY + seconds}


def other_than(value):
    return {"?not": value}


ABSENT = {"?absent": True}
PRESENT = {"?present": True}


def having(*entries):
    """A list that holds, for each of these, an entry with these fields."""
    return {"?having": list(entries)}


def lacking(*entries):
    return {"?lacking": list(entries)}


def count(number):
    return {"?count": number}


def same_set(*values):
    return {"?set": list(values)}


# ---- things that many cases need -------------------------------------------------------------

UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
ABSENT_KEY = "00000000-0000-4000-8000-0000000000aa"
ID = "${k.KeyMetadata.KeyId}"
ARN = "${k.KeyMetadata.Arn}"
ID2 = "${k2.KeyMetadata.KeyId}"
ARN2 = "${k2.KeyMetadata.Arn}"
GENERAL = "refers to a customer master key that does not exist"


def key(save="k", **params):
    return do("CreateKey", params, save=save)


def hmac_key(save="k", **params):
    return key(save, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC", **params)


def sign_key(save="k", spec="ECC_NIST_P256"):
    return key(save, KeySpec=spec, KeyUsage="SIGN_VERIFY")


def sealed(save="b", key_id=ID, plain="hello", context=None):
    params = {"KeyId": key_id, "Plaintext": text(plain)}
    if context is not None:
        params["EncryptionContext"] = context
    return do("Encrypt", params, save=save)


def imported(save="m", key_id=ID, material=None, **params):
    """Steps that import 32 bytes: a fresh random material is kept under `save`."""
    return [
        do("GetParametersForImport", {"KeyId": key_id, "WrappingAlgorithm": "RSAES_OAEP_SHA_256",
                                      "WrappingKeySpec": "RSA_2048"}, save="p"),
        let(save, "random", count=32) if material is None else let(save, "same", value=material),
        let("w", "wrap", algorithm="RSAES_OAEP_SHA_256", public="${p.PublicKey}",
            material="${" + save + "}"),
        do("ImportKeyMaterial", {"KeyId": key_id, "ImportToken": "${p.ImportToken}",
                                 "EncryptedKeyMaterial": "${w}",
                                 "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE", **params}),
    ]


def statement(effect, principal, action, **more):
    who = principal if principal == "*" else {"AWS": principal}
    return {"Effect": effect, "Principal": who, "Action": action, "Resource": "*", **more}


ROOT_ALLOWED = statement("Allow", "arn:coffer:iam::${account}:root", "kms:*", Sid="root")


def policy(*statements, delegates=True):
    """A key policy; with delegates, the statement that lets the account's own policies decide."""
    return let_now("json", value={"Version": "2012-10-17",
                                  "Statement": ([ROOT_ALLOWED] if delegates else [])
                                  + list(statements)})


def keeper_only(*statements):
    """A key policy that keeps the root's rights to manage it, and nothing for other principals."""
    manage = ["kms:PutKeyPolicy", "kms:GetKeyPolicy", "kms:DescribeKey", "kms:CreateGrant",
              "kms:ScheduleKeyDeletion", "kms:Encrypt"]
    return policy(statement("Allow", "${root}", manage,
                            Condition={"ArnEquals": {"aws:PrincipalArn": "${root}"}}),
                  *statements, delegates=False)
