#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What was encrypted under each of a key's materials opens, over the wire: a thousand rotations by
the service's clock and on demand, and material from outside in turn.

usage: rotations.py --server PROGRAM [--rotations N] [--control]

  --server PROGRAM  kms_conform_server: cofferkms, but for its clock (clock.c)
  --rotations N     of which 25 are on demand [1000]
  --control         the negative control: one material is lost from the file, which has to be
                    noticed; exit 0 when it was

A rotation is 90 days at least, and the clock of a store ends in the year 2262, so that the service
begins in 1990."""
import argparse
import os
import sqlite3
import sys
import time

import clients
import values
import world as world_of

DAY = 86400
PERIOD = 90
ON_DEMAND = 25
YEARS_BACK = 36


def require(good, what):
    if not good:
        raise SystemExit(f"FAIL {what}")


class Service:
    """The world, asked by its root; what is not refused is given, what is has to be."""

    def __init__(self, world):
        self.world, self.raw = world, clients.Raw(world)

    def ask(self, op, error="", **params):
        answer = self.raw.call(op, params, "root", None)
        require(answer.error == error, f"{op}: {answer.error or 'success'} {answer.message}, "
                f"wanted {error or 'success'}")
        return answer.body

    def later(self, days):
        self.world.set_clock(self.world.clock.ahead_s + days * DAY + 1)

    def rotations(self, key, limit, **more):
        """All pages."""
        entries, marker = [], {}
        while True:
            page = self.ask("ListKeyRotations", KeyId=key, Limit=limit, **marker, **more)
            require(len(page["Rotations"]) <= limit, f"a page of {len(page['Rotations'])}")
            require(page["Truncated"] == ("NextMarker" in page), "Truncated without NextMarker")
            entries += page["Rotations"]
            if not page["Truncated"]:
                return entries
            marker = {"Marker": page["NextMarker"]}


def draw(service, key, made):
    """A data key under the material of the day."""
    made.append(service.ask("GenerateDataKey", KeyId=key, KeySpec="AES_256"))


def open_all(service, made):
    """How many open as they were made, each under its material."""
    opened = 0
    for one in made:
        answer = service.raw.call("Decrypt", {"CiphertextBlob": one["CiphertextBlob"]}, "root",
                                  None)
        opened += (answer.error == "" and answer.body["Plaintext"] == one["Plaintext"]
                   and answer.body["KeyMaterialId"] == one["KeyMaterialId"])
    return opened


def rotate(service, key, count):
    """A data key of each material; every so many days, and now and then on demand."""
    made = []
    each = max(count // ON_DEMAND, 2)
    service.ask("EnableKeyRotation", KeyId=key, RotationPeriodInDays=PERIOD)
    draw(service, key, made)
    for number in range(1, count + 1):
        if number % each == 0 and number // each <= ON_DEMAND:
            service.ask("RotateKeyOnDemand", KeyId=key)
        else:
            service.later(PERIOD)
        draw(service, key, made)
    return made


def lose_one(world, key, version):
    """A material is gone from the file."""
    with sqlite3.connect(os.path.join(world.folder, "keys")) as file:
        lost = file.execute("DELETE FROM material WHERE key_arn LIKE ? AND version = ?",
                            (f"%/{key}", version)).rowcount
    file.close()
    require(lost == 1, f"{lost} materials lost, and not one")


def own_material(service, count, control):
    key = service.ask("CreateKey")["KeyMetadata"]["KeyId"]
    made = rotate(service, key, count)
    require(len({one["KeyMaterialId"] for one in made}) == count + 1, "a rotation drew nothing")
    if control:
        lose_one(service.world, key, count // 2)
        opened = open_all(service, made)
        require(opened == count, f"{count + 1 - opened} of {count + 1} don't open, and not one")
        return opened
    opened = open_all(service, made)
    require(opened == count + 1, f"{opened} of {count + 1} data keys open")
    listed = service.rotations(key, 97)
    kinds = [entry["RotationType"] for entry in listed]
    on_demand = kinds.count("ON_DEMAND")
    require(len(listed) == count and len({entry["KeyMaterialId"] for entry in listed}) == count,
            f"{len(listed)} rotations are listed, and not {count}")
    require(on_demand == ON_DEMAND and kinds.count("AUTOMATIC") == count - on_demand,
            f"{on_demand} rotations on demand")
    every = service.rotations(key, 1000, IncludeKeyMaterial="ALL_KEY_MATERIAL")
    require({entry["KeyMaterialId"] for entry in every} == {one["KeyMaterialId"] for one in made},
            "the materials that are listed are others")
    require([entry["KeyMaterialState"] for entry in every].count("CURRENT") == 1, "two are current")
    service.ask("RotateKeyOnDemand", error="LimitExceededException", KeyId=key)
    return opened


def import_one(service, key, offer, material, kind):
    service.ask("ImportKeyMaterial", KeyId=key, ImportToken=offer["ImportToken"],
                EncryptedKeyMaterial=values.wrap("RSAES_OAEP_SHA_256", offer["PublicKey"],
                                                 material),
                ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE", ImportType=kind)


def foreign_material(service):
    """25 materials from outside take their turns; without one of them, none opens."""
    key = service.ask("CreateKey", Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
    offer = service.ask("GetParametersForImport", KeyId=key, WrappingKeySpec="RSA_2048",
                        WrappingAlgorithm="RSAES_OAEP_SHA_256")
    materials = [values.random(32) for _ in range(ON_DEMAND + 1)]
    made = []
    for number, material in enumerate(materials):
        import_one(service, key, offer, material, "NEW_KEY_MATERIAL")
        if number > 0:
            service.ask("RotateKeyOnDemand", KeyId=key)
        draw(service, key, made)
    require(len({one["KeyMaterialId"] for one in made}) == len(materials), "a material came twice")
    require(open_all(service, made) == len(made), "what was imported does not open")
    service.ask("DeleteImportedKeyMaterial", KeyId=key, KeyMaterialId=made[7]["KeyMaterialId"])
    state = service.ask("DescribeKey", KeyId=key)["KeyMetadata"]["KeyState"]
    require(state == "PendingImport", f"the key is {state} without one of its materials")
    service.ask("Decrypt", error="KMSInvalidStateException",
                CiphertextBlob=made[8]["CiphertextBlob"])
    import_one(service, key, offer, materials[7], "EXISTING_KEY_MATERIAL")
    require(open_all(service, made) == len(made), "what was imported again does not open")
    return len(made)


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1])
    parser.add_argument("--server", required=True)
    parser.add_argument("--rotations", type=int, default=1000)
    parser.add_argument("--control", action="store_true")
    options = parser.parse_args()
    began = time.monotonic()
    with world_of.World(options.server) as world:
        clients.follow_clock(world.clock)
        world.set_clock(-YEARS_BACK * 365 * DAY)
        service = Service(world)
        opened = own_material(service, options.rotations, options.control)
        foreign = 0 if options.control else foreign_material(service)
        world.alive()
    print(f"{opened} data keys of {options.rotations + 1} materials, {foreign} of material from "
          f"outside: {'one was lost, and noticed' if options.control else 'all open'}, "
          f"{time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
