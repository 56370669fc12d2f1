# SPDX-License-Identifier: Apache-2.0
"""What others take for the calls of snapshots.py: a change of LUKS's key, a reflink."""
import os
import shutil
import statistics

from suite.files import remove, write_secret
from suite.peers import PASSPHRASE
from suite.process import Failed, run_timed
from suite.rows import MIB

REPEATS = 3
HEADER_BYTES = 20 * MIB  # more than LUKS 2 takes
LEAST = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")


def change_key(directory, work):
    """Milliseconds of cryptsetup luksChangeKey, which makes a password's key twice over."""
    image, old, new = (os.path.join(directory, f"change.{what}") for what in ("luks", "old", "new"))
    try:
        write_secret(old, PASSPHRASE)
        write_secret(new, PASSPHRASE[::-1])
        with open(image, "wb") as handle:
            handle.truncate(HEADER_BYTES)
        run_timed(["cryptsetup", "luksFormat", "-q", "--type", "luks2", *LEAST, "--key-file", old,
                   image])
        took = []
        for number in range(REPEATS):
            keys = (old, new) if number % 2 == 0 else (new, old)
            took.append(run_timed(["cryptsetup", "luksChangeKey", "-q", *work, "--key-file",
                                   keys[0], image, keys[1]])["seconds"] * 1e3)
        return {"ms": statistics.median(took)}
    finally:
        remove(image, old, new)


def reflink(directory, size):
    """Milliseconds of a copy that shares its blocks, and its fsync."""
    source, made = (os.path.join(directory, f"reflink.{what}") for what in ("source", "made"))
    try:
        with open(source, "wb") as handle:
            for _ in range(size // MIB):
                handle.write(os.urandom(MIB))
            os.fsync(handle.fileno())
        took = []
        for _ in range(REPEATS):
            seconds = run_timed(["cp", "--reflink=always", source, made])["seconds"]
            took.append((seconds + run_timed(["sync", made])["seconds"]) * 1e3)
            remove(made)
        return {"ms": statistics.median(took)}
    finally:
        remove(source, made)


def attempt(text, call):
    try:
        return {"text": text, **call()}
    except Failed as error:
        return {"text": text, "absent": str(error)}


def measure(directory, settings):
    """A list of {text, ms}, or {text, absent: why}."""
    found = []
    if shutil.which("cryptsetup") is None:
        found.append({"text": "cryptsetup luksChangeKey",
                      "absent": "cryptsetup: not installed (bench/packages)"})
    else:
        found.append(attempt("cryptsetup luksChangeKey, the least work (PBKDF2, 1,000 rounds)",
                             lambda: change_key(directory, LEAST)))
        if settings.luks_default:
            found.append(attempt("cryptsetup luksChangeKey, as it comes (Argon2id, 2 s)",
                                 lambda: change_key(directory, ())))
    found.append(attempt("cp --reflink=always of 64 MiB, and fsync, for a snapshot",
                         lambda: reflink(directory, 64 * MIB)))
    return found
