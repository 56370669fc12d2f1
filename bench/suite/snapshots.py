# SPDX-License-Identifier: Apache-2.0
"""Snapshots, clones, deletions, copies and changes of keys, by bench_snapshot, each kind on a store
of its own; copies beside fio's read of the same bytes, cp and qemu-img convert of them."""
import os
import shutil
import statistics

from suite import fio, key_peers
from suite.files import drop_cache, remove, write_secret
from suite.peers import PASSPHRASE, make_luks
from suite.process import Failed, run_json, run_timed
from suite.rows import GIB, KIB, MIB

SYNC_FILE_BYTES = 64 * MIB
CHANGED = (0, 1, 10)       # percent of the pages, before a deletion
COPY_CHANGED = 1           # and before an incremental copy
DELETE_REPEATS = 5
PEER_TEXT = {
    "dd": "dd bs=1M iflag=direct oflag=direct conv=fsync",
    "cp": "cp --reflink=never and fsync, page cache of the source dropped",
    "qemu-img": "qemu-img convert -f raw -O raw -T none -t none (O_DIRECT) and fsync",
    "qemu-luks": "the same from LUKS to LUKS, another key (qemu-img convert -n --image-opts "
                 "--target-image-opts, file.cache.direct=on)",
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
    """Runs it all in one directory. elsewhere: one on another device, for copies that go there;
    None: there is none."""

    def __init__(self, directory, settings, programs, elsewhere=None):
        self.directory = directory
        self.elsewhere = elsewhere and os.path.join(elsewhere, "copied.store")
        self.settings = settings
        self.program = os.path.join(programs, "bench_snapshot")
        self.volume_program = os.path.join(programs, "bench_volume")
        self.keys = os.path.join(directory, "keys")
        self.store, self.copied, self.exported, self.other, self.sync_file = (
            os.path.join(directory, name) for name in
            ("snapshots.store", "copied.store", "exported.raw", "other.raw", "sync.raw"))
        self.luks = os.path.join(directory, "exported.luks")
        self.secret = os.path.join(directory, "luks.secret")

    def close(self):
        remove(self.store, self.copied, self.exported, self.other, self.sync_file, self.luks,
               self.secret, *([self.elsewhere] if self.elsewhere else []))

    def coffer(self, what, size, *more):
        return run_json([self.program, "--what", what, "--file", self.store, "--keys", self.keys,
                         "--size", str(size), *[str(word) for word in more]])["rows"]

    def alone(self, what, size, *more):
        """A measurement on a new store, which goes afterwards."""
        try:
            return self.coffer(what, size, *more)
        finally:
            remove(self.store)

    def sync(self):
        """Raw's floor for a call that has to be durable: 8 KiB and fdatasync on written blocks."""
        if not os.path.exists(self.sync_file):
            fio.run(self.sync_file, rw="write", bs=MIB, iodepth=8, ioengine="io_uring",
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
            say("peers of calls")
            peers = key_peers.measure(self.directory, settings)
            return {"create": create, "delete": delete, "rekey": rekey, "peers": peers,
                    "copy": self.copies(say)}
        finally:
            self.close()

    # ---- copies: each returns seconds and processor seconds, or None where the program is not
    # installed ----

    def peer(self, command, source, size):
        """command makes other of source, with the fsync that makes it durable in the time."""
        if shutil.which(command[0]) is None:
            return None
        drop_cache(source)
        took = run_timed(command)
        took["seconds"] += run_timed(["sync", self.other])["seconds"]
        found = os.path.getsize(self.other)
        remove(self.other)
        if found != size:
            raise Failed(f"{' '.join(command)}: {found} bytes came of {size}")
        return took

    def copy_raw(self):
        drop_cache(self.exported)
        job = fio.run(self.exported, rw="read", bs=MIB, iodepth=8, ioengine="io_uring",
                      size=self.settings.size)
        return {"seconds": self.settings.size / job["read"]["bw_bytes"],
                "cpu_seconds": fio.cpu_seconds(job)}

    def coffer_copy(self, to, *words):
        if to is None:
            return None
        full, *more = self.coffer("copy", self.settings.size, "--to", to, *words)
        remove(to)
        return {"seconds": full["mean_ns"] / 1e9, "cpu_seconds": full["cpu_ns"] / 1e9,
                "full": full, **({"incremental": more[0]} if more else {})}

    def copy_coffer(self):
        return self.coffer_copy(self.copied, "--changed", COPY_CHANGED)

    def copy_reencrypted(self):
        return self.coffer_copy(self.copied, "--reencrypt")

    def copy_elsewhere(self):
        return self.coffer_copy(self.elsewhere)

    def copy_reencrypted_elsewhere(self):
        return self.coffer_copy(self.elsewhere, "--reencrypt")

    def copy_file(self, *command):
        return self.peer([*command, self.exported, self.other], self.exported, self.settings.size)

    def copy_cp(self):
        return self.copy_file("cp", "--reflink=never")

    def copy_dd(self):
        return self.peer(["dd", f"if={self.exported}", f"of={self.other}", "bs=1M", "iflag=direct",
                          "oflag=direct", "conv=fsync"], self.exported, self.settings.size)

    def copy_qemu(self):
        return self.copy_file("qemu-img", "convert", "-f", "raw", "-O", "raw", "-T", "none",
                              "-t", "none")

    def luks_convert(self, source, made):
        """A command; source is the raw export, or an image of LUKS."""
        def image(path):
            return (f"driver=luks,key-secret=secret,file.driver=file,file.filename={path},"
                    "file.cache.direct=on")
        come = f"driver=file,filename={source}" if source == self.exported else image(source)
        return ["qemu-img", "convert", "-n", "--object", f"secret,id=secret,file={self.secret}",
                "-T", "none", "-t", "none", "--image-opts", "--target-image-opts", come,
                image(made)]

    def copy_luks(self):
        if shutil.which("qemu-img") is None or shutil.which("cryptsetup") is None:
            return None
        if not os.path.exists(self.luks):
            write_secret(self.secret, PASSPHRASE)
            make_luks(self.luks, self.secret, self.settings.size)
            run_timed(self.luks_convert(self.exported, self.luks))
        make_luks(self.other, self.secret, self.settings.size)
        return self.peer(self.luks_convert(self.luks, self.other), self.luks,
                         os.path.getsize(self.luks))

    def copies(self, say):
        """Every contender in every round, in turned order each second one."""
        say("copy: laying out")
        self.coffer("prepare", self.settings.size, "--to", self.exported)
        field = {"raw": self.copy_raw, "coffer": self.copy_coffer,
                 "reencrypt": self.copy_reencrypted, "elsewhere": self.copy_elsewhere,
                 "reencrypt-elsewhere": self.copy_reencrypted_elsewhere, "dd": self.copy_dd,
                 "cp": self.copy_cp, "qemu-img": self.copy_qemu, "qemu-luks": self.copy_luks}
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
                "cpu": statistics.median(one[name]["cpu_seconds"] for one in rounds)
                       * GIB / self.settings.size,
                "rate": statistics.median(self.settings.size / MIB / one[name]["seconds"]
                                          for one in rounds),
                "ratio": statistics.median(one["raw"]["seconds"] / one[name]["seconds"]
                                           for one in rounds),
            }
        return summary
