#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hold the service's table of operations against the model of AWS KMS that botocore carries.

    kms_model.py PROGRAM    PROGRAM prints the table (kms_model.c)

Every member that the model has for an operation of ours is in our table, with the same type,
bounds, pattern and enum; every one that it requires, we require. Ours may know more, since models
grow. What differs on purpose stands in DIFFERS, and in docs/kms.md. Without botocore: skipped
(77)."""
import copy
import gzip
import json
import os
import subprocess
import sys

OURS = {"CofferReEncryptBatch", "CofferExportPlaintext"}
MUST = """CreateKey DescribeKey ListKeys EnableKey DisableKey ScheduleKeyDeletion CancelKeyDeletion
Encrypt Decrypt ReEncrypt GenerateDataKey GenerateDataKeyWithoutPlaintext GenerateRandom CreateGrant
ListGrants ListRetirableGrants RetireGrant RevokeGrant PutKeyPolicy GetKeyPolicy ListKeyPolicies
CreateAlias UpdateAlias DeleteAlias ListAliases EnableKeyRotation DisableKeyRotation
GetKeyRotationStatus RotateKeyOnDemand ListKeyRotations TagResource UntagResource ListResourceTags
UpdateKeyDescription""".split()
# (operation or *, member): the keys of a shape that differ.
DIFFERS = {
    ("ListAliases", "Limit"): {"max"}, ("ListGrants", "Limit"): {"max"},
    ("ScheduleKeyDeletion", "PendingWindowInDays"): {"min", "max"},
    ("ListRetirableGrants", "Limit"): {"max"}, ("ListResourceTags", "Limit"): {"max"},
    ("*", "ReplicaRegion"): {"pattern"}, ("*", "PrimaryRegion"): {"pattern"},
    ("*", "CustomKeyStoreType"): {"enum"},
    ("CreateKey", "XksKeyId"): {"min", "max", "pattern"},
}
# Members that ours leaves alone: they belong to stores that this service has not.
LEFT_ALONE = ("Xks", "CloudHsm", "TrustAnchor")
# Ours requires what only newer models make optional.
STRICTER = {("Decrypt", "CiphertextBlob"), ("ReEncrypt", "CiphertextBlob")}
# And what only older models require.
LOOSER = {("GetKeyPolicy", "PolicyName"), ("PutKeyPolicy", "PolicyName")}


def model():
    try:
        import botocore
    except ImportError:
        return None
    place = os.path.join(os.path.dirname(botocore.__file__), "data/kms/2014-11-01/service-2.json")
    if os.path.exists(place):
        with open(place, encoding="utf-8") as file:
            return json.load(file)
    with gzip.open(place + ".gz") as file:
        return json.load(file)


def compare_shape(where, shapes, name, mine, skip):
    """Complaints about one shape; skip: keys that may differ."""
    theirs = shapes[name]
    kind = {"long": "integer"}.get(theirs["type"], theirs["type"])
    if kind != mine["type"]:
        return [f"{where}: {mine['type']}, not {kind}"]
    found = []
    for key in ("min", "max"):
        if key in theirs and theirs[key] != mine[key] and key not in skip:
            found.append(f"{where}: {key} is {mine[key]}, not {theirs[key]}")
    if theirs.get("pattern") != mine.get("pattern") and "pattern" not in skip:
        found.append(f"{where}: pattern is {mine.get('pattern')}, not {theirs.get('pattern')}")
    if "enum" in theirs and "enum" not in skip:
        lacks = set(theirs["enum"]) - set(mine.get("enum", ()))
        found += [f"{where}: the enum lacks {sorted(lacks)}"] if lacks else []
    if kind == "list":
        found += compare_shape(where + "[]", shapes, theirs["member"]["shape"], mine["member"],
                               skip)
    if kind == "structure":
        found += compare_members(where, "", shapes, theirs, mine["members"])
    return found


def compare_members(where, operation, shapes, theirs, mine):
    found = []
    for name, member in theirs["members"].items():
        place = f"{where}.{name}"
        if name not in mine:
            found += [] if name.startswith(LEFT_ALONE) else [f"{place}: not in our table"]
            continue
        if (name in theirs.get("required", ())) > mine[name]["required"] and (
                operation, name) not in LOOSER:
            found.append(f"{place}: not required by us")
        if (name in theirs.get("required", ())) < mine[name]["required"] and (
                operation, name) not in STRICTER:
            found.append(f"{place}: required by us only")
        skip = DIFFERS.get((operation, name), DIFFERS.get(("*", name), set()))
        found += compare_shape(place, shapes, member["shape"], mine[name], skip)
    return found


def compare(published, table):
    shapes, found = published["shapes"], []
    for name in MUST:
        found += [] if name in table else [f"{name}: not in our table"]
    for name, members in table.items():
        operation = published["operations"].get(name)
        if operation is not None and "input" in operation:
            found += compare_members(name, name, shapes, shapes[operation["input"]["shape"]],
                                     members)
    return found


def controls(published, table):
    """What must be noticed: an operation, a member and a bound that went away."""
    for what in (lambda t: t.pop("Encrypt"), lambda t: t["Encrypt"].pop("Plaintext"),
                 lambda t: t["Encrypt"]["Plaintext"].update(max=4097),
                 lambda t: t["GenerateDataKey"]["KeySpec"]["enum"].pop(),
                 lambda t: t["CreateAlias"]["AliasName"].update(required=False)):
        bad = copy.deepcopy(table)
        what(bad)
        if len(compare(published, bad)) <= len(compare(published, table)):
            return ["a control was not noticed"]
    return []


def main():
    published = model()
    if published is None:
        print("skipped: python3-boto3 is not installed")
        return 77
    table = json.loads(subprocess.run([sys.argv[1]], capture_output=True, check=True).stdout)
    found = compare(published, table) or controls(published, table)
    for line in found:
        print(line)
    print(f"{len(table)} operations, {len(published['operations'])} in the model, "
          f"{len(found)} differences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
