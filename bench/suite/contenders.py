# SPDX-License-Identifier: Apache-2.0
"""Who runs the rows without a server: raw fio, and Coffer as a library.

A contender has name, text (what it is, for people), commands (how it is run, printed), page_cache
(whether it leans on the kernel's), needed (whether the run fails without it), missing() (a
sentence, or ""), prepare(), runs(row), run(row) and close(). run returns a dict with rate (in the
row's unit), cpu (seconds a GiB, servers counted in), p50_us, p99_us, p999_us, memory_bytes (None
where there is no such figure) and whatever else it measured."""
import os

from suite import fio
from suite.files import fill_holes, remove
from suite.process import run_json
from suite.rows import GIB, KIB, MIB

# Cold: caches too small to hold the tags and leaves of the volume.
COLD = ["--tag-cache", "256K", "--node-cache", "256K"]
STORE_TIMES = 12     # the volume's size: room for a log that is never cleaned
RAM_STORE_TIMES = 10
RAM_AMOUNT_TIMES = 6 # of the volume are written by a row in memory at most


class Raw:
    """fio on a file of the same directory: O_DIRECT and io_uring, or psync at depth 1."""
    name = "raw"
    text = "fio on a file, O_DIRECT, io_uring; psync where a row says so"
    commands = ()
    page_cache = False
    needed = True

    def __init__(self, directory, size, settings, program):
        self.size = size
        self.settings = settings
        self.program = program
        self.file = os.path.join(directory, "raw.file")
        self.fresh_file = os.path.join(directory, "raw.fresh")

    @staticmethod
    def missing():
        return ""

    @staticmethod
    def runs(_):
        return True

    def prepare(self):
        fio.run(self.file, rw="write", bs=MIB, iodepth=8, ioengine="io_uring", end_fsync=1,
                size=self.size)

    def options(self, row):
        options = {**fio.shape(row, "io_uring"), "size": self.size}
        if not row.bounded or row.random:
            options.update(time_based=1, runtime=fio.milliseconds(self.settings.runtime))
        if row.group == "ram":
            options.update(ioengine="psync", iodepth=1, numjobs=row.threads)
        return options

    def run(self, row):
        options = self.options(row)
        if row.durable == "flush":
            return self.run_sync(row, options)
        if row.durable == "fua":
            options["sync"] = "dsync"
        elif row.writes:
            options["end_fsync"] = 1
        if not row.fresh:
            return fio.figures(row, fio.run(self.file, **options))
        remove(self.fresh_file)
        try:
            return fio.figures(row, fio.run(self.fresh_file, **options))
        finally:
            remove(self.fresh_file)

    def run_sync(self, row, options):
        """The rate is fio's; the percentiles of write and sync together are bench_volume's."""
        in_place = row.name == "sync-write-4k"
        block = 4 * KIB if in_place else 8 * KIB
        runtime = self.settings.runtime / 2
        options.update(ioengine="psync", fdatasync=1, bs=block, runtime=fio.milliseconds(runtime),
                       rw="randwrite" if in_place else "write")
        figures = fio.figures(row, fio.run(self.file, **options))
        pair = run_json([self.program, "--raw", "--file", self.file, "--rw", options["rw"],
                         "--bs", str(block), "--span", str(self.size),
                         "--runtime", str(runtime)])
        figures.update({f"{name}_us": pair[f"{name}_ns"] / 1e3 for name in ("p50", "p99", "p999")},
                       own_loop_iops=pair["iops"])
        return figures

    def close(self):
        remove(self.file, self.fresh_file)


class Store:
    """The store that all Coffer contenders of a directory share, a volume to each kind."""

    def __init__(self, directory, size, program, in_memory):
        self.size = size
        self.times = RAM_STORE_TIMES if in_memory else STORE_TIMES
        self.in_memory = in_memory
        self.program = program
        self.directory = directory
        self.path = os.path.join(directory, "coffer.store")
        self.fresh_path = os.path.join(directory, "fresh.store")
        self.keys = os.path.join(directory, "keys")
        self.volumes = set()

    def lay_out(self, run, volume):
        """Overwrite the volume until its log runs over segments that were written before. run is
        bench_volume with the volume's options."""
        if volume in self.volumes:
            return
        load = ["--rw", "write", "--bs", "1M", "--depth", 8, "--amount", self.size]
        make = ["--add-volume"] if self.volumes else ["--create", "--store-size",
                                                      self.times * self.size]
        run(*make, "--size", self.size, *load)
        if self.in_memory:
            fill_holes(self.path) # as raw's file has none: its every page has been touched
        self.volumes.add(volume)
        for _ in range(3):
            run(*load)

    def close(self):
        remove(self.path, self.fresh_path)
        self.volumes.clear()


class Coffer:
    """bench_volume on the store, through the embedded key store unless it is plain."""
    page_cache = False

    def __init__(self, name, text, store, settings, words=(), plain=False):
        self.name = name
        self.text = text
        self.commands = ()
        self.needed = name == "coffer"
        self.store = store
        self.settings = settings
        self.words = words
        self.plain = plain

    @staticmethod
    def missing():
        return ""

    def runs(self, row):
        return row.peers or self.needed

    def volume(self, *words, store=None, may_be_killed=False):
        who = ["--volume", "plain"] if self.plain else ["--keys", self.store.keys]
        found = run_json([self.store.program, "--file", store or self.store.path, *who, *self.words,
                          *[str(word) for word in words]], may_be_killed)
        if not self.plain:
            self.commands = (f"sealed by {found['cipher_backend']}",)
        return found

    def prepare(self):
        self.store.lay_out(self.volume, "plain" if self.plain else "bench")

    def bounds(self, row):
        """Where the load ends; in memory a pass in order first frees what the row before left."""
        size = self.store.size
        if row.group == "ram" and row.writes:
            self.volume("--rw", "write", "--bs", "1M", "--depth", 8, "--amount", size)
            return ["--amount", RAM_AMOUNT_TIMES * size, "--runtime", self.settings.runtime]
        words = ["--amount", size] if row.bounded else []
        if not row.bounded or row.random:
            words += ["--runtime", self.settings.runtime]
        return words

    def run(self, row):
        words = ["--rw", row.rw, "--bs", row.block, "--threads", row.threads,
                 "--depth", row.depth // row.threads, *self.bounds(row)]
        if row.durable:
            words += ["--durable", row.durable]
        words += {"hot": ["--reads-hot"], "cold": COLD}.get(row.cache, [])
        if not row.fresh:
            return self.figures(row, self.volume(*words))
        words += ["--create", "--store-size", 4 * self.store.size, "--size", self.store.size]
        try:
            return self.figures(row, self.volume(*words, store=self.store.fresh_path))
        finally:
            remove(self.store.fresh_path)

    @staticmethod
    def figures(row, result):
        figures = {
            "rate": result["iops"] if row.unit == "IOPS" else result["mib_per_second"],
            "cpu": (result["cpu_user_ns"] + result["cpu_system_ns"]) / 1e9 * GIB / result["bytes"],
            **{f"{name}_us": result[f"{name}_ns"] / 1e3 for name in ("p50", "p99", "p999")},
            "memory_bytes": result["resident_bytes_max"],
        }
        # A write load's rate with the checkpoint that settles it, as if it never overlapped.
        if result["checkpoint_ns"]:
            whole = (result["elapsed_ns"] + result["checkpoint_ns"]) / result["elapsed_ns"]
            figures["rate_with_checkpoint"] = figures["rate"] / whole
        figures["bench_volume"] = result
        return figures

    def close(self):
        self.store.close()
