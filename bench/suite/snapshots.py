# SPDX-License-Identifier: Apache-2.0
"""Snapshots, clones, deletions, copies and changes of keys, by bench_snapshot, each kind on a store
of its own; copies beside fio's read of the same bytes, cp and qemu-img convert of them."""
import os
import shutil
import statistics
import subprocess
import time

from suite.process import Failed, run_json
from suite.rows import KIB, MIB

SYNC_FILE_BYTES = 64 * MIB
CHANGED = (0, 1, 10)       # percent of the pages, before a deletion
COPY_CHANGED = 1           # and before an incremental copy
DELETE_REPEATS = 5
PEERS = ("cp", "qemu-img")
PEER_TEXT = {
    "cp": "cp --reflink=never and fsync, page cache of the source dropped",
    "qemu-img": "qemu-img convert -f raw -O raw -T none -t none (O_DIRECT) and fsync",
}


def room_bytes(settings):
    """The most that lies on the disk at once: nothing overwritten comes back before its segment is
    dead as a whole."""
    share = sum(CHANGED) / 100
    create = settings.volumes[0] + len(settings.present) * settings.repeats * sum(settings.dirty)
    delete = max(int(size * (1 + share * min(settings.repeats, DELETE_REPEATS)))
                 for size in settings.volumes)
    return max(create, delete, 5 * settings.size)


def words(values):
    return ",".join(str(value) for value in values)


class Scene:
    """Runs it all in one directory. raw is the contender of that name; its fio is used."""

    def __init__(self, directory, settings, programs, raw):
        self.settings = settings
        self.raw = raw
        self.program = os.path.join(programs, "bench_snapshot")
        self.volume_program = os.path.join(programs, "bench_volume")
        self.keys = os.path.join(directory, "keys")
        self.store, self.copied, self.exported, self.other, self.sync_file = (
            os.path.join(directory, name) for name in
            ("snapshots.store", "copied.store", "exported.raw", "other.raw", "sync.raw"))

    def close(self):
        for path in (self.store, self.copied, self.exported, self.other, self.sync_file):
            if os.path.exists(path):
                os.unlink(path)

    def coffer(self, what, size, *more):
        return run_json([self.program, "--what", what, "--file", self.store, "--keys", self.keys,
                         "--size", str(size), *[str(word) for word in more]])["rows"]

    def alone(self, what, size, *more):
        """A measurement on a new store, which goes afterwards."""
        try:
            return self.coffer(what, size, *more)
        finally:
            if os.path.exists(self.store):
                os.unlink(self.store)

    def sync(self):
        """Raw's floor for a call that has to be durable: 8 KiB and fdatasync on written blocks."""
        if not os.path.exists(self.sync_file):
            self.raw.fio(self.sync_file, rw="write", bs=MIB, iodepth=8, ioengine="io_uring",
                         end_fsync=1, size=SYNC_FILE_BYTES)
        run = run_json([self.volume_program, "--raw", "--file", self.sync_file, "--rw", "write",
                        "--bs", str(8 * KIB), "--span", str(SYNC_FILE_BYTES),
                        "--runtime", str(self.settings.runtime / 3)])
        return {key: run[key] for key in ("p50_ns", "p99_ns", "max_ns", "operations")}

    def beside_sync(self, rows_of):
        """rows_of() between two looks at raw's sync."""
        before = self.sync()
        found = rows_of()
        return {"rows": found, "sync": [before, self.sync()]}

    def measure(self, say):
        settings = self.settings
        try:
            say("create")
            create = self.beside_sync(lambda: self.alone(
                "create", settings.volumes[0], "--repeats", settings.repeats,
                "--present", words(settings.present), "--dirty", words(settings.dirty)))
            say("delete")
            delete = self.beside_sync(lambda: [
                row for size in settings.volumes for row in self.alone(
                    "delete", size, "--repeats", min(settings.repeats, DELETE_REPEATS),
                    "--changed", words(CHANGED))])
            say("rekey")
            rekey = self.beside_sync(lambda: self.alone(
                "rekey", settings.volumes[0], "--repeats", settings.repeats,
                "--present", words(settings.rekeyed)))
            return {"create": create, "delete": delete, "rekey": rekey, "copy": self.copies(say)}
        finally:
            self.close()

    # ---- copies: each returns seconds, or None where the program is not installed ----

    def drop_cache(self, path):
        """What is in the page cache of a file, once it is clean, is forgotten."""
        with open(path, "rb+") as handle:
            os.fsync(handle.fileno())
            os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def peer(self, *command):
        """command exported other, with the fsync that makes it durable in the time."""
        if shutil.which(command[0]) is None:
            return None
        self.drop_cache(self.exported)
        start = time.monotonic()
        done = subprocess.run([*command, self.exported, self.other], capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}: {done.stderr.strip()}")
        with open(self.other, "rb+") as handle:
            os.fsync(handle.fileno())
        seconds = time.monotonic() - start
        size = os.path.getsize(self.other)
        os.unlink(self.other)
        if size != self.settings.size:
            raise Failed(f"{' '.join(command)}: {size} bytes came of {self.settings.size}")
        return {"seconds": seconds}

    def copy_raw(self):
        self.drop_cache(self.exported)
        job = self.raw.fio(self.exported, rw="read", bs=MIB, iodepth=8, ioengine="io_uring")
        return {"seconds": self.settings.size / job["read"]["bw_bytes"]}

    def copy_coffer(self):
        full, incremental = self.coffer("copy", self.settings.size, "--to", self.copied,
                                        "--changed", COPY_CHANGED)
        os.unlink(self.copied)
        return {"seconds": full["mean_ns"] / 1e9, "full": full, "incremental": incremental}

    def copy_reencrypted(self):
        full, = self.coffer("copy", self.settings.size, "--to", self.copied, "--reencrypt")
        os.unlink(self.copied)
        return {"seconds": full["mean_ns"] / 1e9, "full": full}

    def copy_cp(self):
        return self.peer("cp", "--reflink=never")

    def copy_qemu(self):
        return self.peer("qemu-img", "convert", "-f", "raw", "-O", "raw", "-T", "none",
                         "-t", "none")

    def copies(self, say):
        """Every contender in every round, in turned order each second one."""
        say("copy: laying out")
        self.coffer("prepare", self.settings.size, "--to", self.exported)
        field = {"raw": self.copy_raw, "coffer": self.copy_coffer,
                 "reencrypt": self.copy_reencrypted, "cp": self.copy_cp,
                 "qemu-img": self.copy_qemu}
        rounds = []
        for number in range(self.settings.rounds):
            figures = {}
            for name in (field if number % 2 == 0 else reversed(field)):
                say(f"copy: round {number + 1}/{self.settings.rounds}: {name}")
                figures[name] = field[name]()
            rounds.append(figures)
        return {"size": self.settings.size, "contenders": self.summarise(rounds), "rounds": rounds}

    def summarise(self, rounds):
        """Medians; null for what is not installed. A ratio is to raw of the same round."""
        summary = {}
        for name in rounds[0]:
            if any(one[name] is None for one in rounds):
                summary[name] = None
                continue
            seconds = statistics.median(one[name]["seconds"] for one in rounds)
            summary[name] = {
                "seconds": seconds,
                "rate": statistics.median(self.settings.size / MIB / one[name]["seconds"]
                                          for one in rounds),
                "ratio": statistics.median(one["raw"]["seconds"] / one[name]["seconds"]
                                           for one in rounds),
            }
        return summary
