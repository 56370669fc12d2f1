# SPDX-License-Identifier: Apache-2.0
"""Who runs the rows. A contender has a name, prepare(), run(row) and close(); run returns a dict
with rate (in the row's unit), cpu (seconds a GiB), p50_us, p99_us and whatever else it measured.
A peer is one more class here and one more entry in bench/run; the table needs no change."""
import os

from suite.process import Failed, run_json
from suite.rows import GIB, KIB, MIB

# Cold: caches too small to hold the tags and leaves of the volume.
COLD = ["--tag-cache", "256K", "--node-cache", "256K"]


class Raw:
    """fio on a file of the same directory: O_DIRECT and io_uring, or psync at depth 1."""
    name = "raw"

    def __init__(self, directory, settings, program):
        self.settings = settings
        self.program = program
        self.file = os.path.join(directory, "raw.file")
        self.fresh_file = os.path.join(directory, "raw.fresh")

    def prepare(self):
        self.fio(rw="write", bs=MIB, iodepth=8, ioengine="io_uring", end_fsync=1)

    def fio(self, file=None, **options):
        options.setdefault("size", self.settings.size)
        words = [f"--{name}={value}" for name, value in options.items()]
        command = ["fio", "--name=raw", f"--filename={file or self.file}", "--direct=1",
                   "--randrepeat=0", "--output-format=json", *words]
        answer = run_json(command)
        job = answer["jobs"][0]
        if job["error"] != 0:
            raise Failed(f"fio failed: {' '.join(command)}")
        return job

    def run(self, row):
        options = {"rw": row.rw, "bs": row.block, "iodepth": row.depth, "ioengine": "io_uring"}
        if row.rw.startswith("rand"):
            options["norandommap"] = 1
        if not row.bounded or row.rw == "randwrite":
            options.update(time_based=1, runtime=f"{int(self.settings.runtime * 1000)}ms")
        if row.durable == "flush":
            return self.run_sync(row, options)
        if row.durable == "fua":
            options["sync"] = "dsync"
        elif "write" in row.rw:
            options["end_fsync"] = 1
        if row.fresh:
            if os.path.exists(self.fresh_file):
                os.unlink(self.fresh_file)
            job = self.fio(self.fresh_file, **options)
            os.unlink(self.fresh_file)
        else:
            job = self.fio(**options)
        return self.figures(row, job)

    def run_sync(self, row, options):
        """The rate is fio's; the percentiles of write and sync together are bench_volume's."""
        in_place = row.name == "sync-write-4k"
        block = 4 * KIB if in_place else 8 * KIB
        runtime = self.settings.runtime / 2
        options.update(ioengine="psync", fdatasync=1, bs=block, runtime=f"{int(runtime * 1000)}ms",
                       rw="randwrite" if in_place else "write")
        figures = self.figures(row, self.fio(**options))
        pair = run_json([self.program, "--raw", "--file", self.file, "--rw", options["rw"],
                         "--bs", str(block), "--span", str(self.settings.size),
                         "--runtime", str(runtime)])
        figures.update(p50_us=pair["p50_ns"] / 1e3, p99_us=pair["p99_ns"] / 1e3,
                       own_loop_iops=pair["iops"])
        return figures

    @staticmethod
    def figures(row, job):
        side = job["write" if "write" in row.rw else "read"]
        percentiles = side["clat_ns"].get("percentile", {})
        moved = side["io_bytes"] / GIB
        cpu = (job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] / 1000
        return {
            "rate": side["iops"] if row.unit == "IOPS" else side["bw_bytes"] / MIB,
            "cpu": cpu / moved if moved else 0.0,
            "p50_us": percentiles.get("50.000000", 0) / 1e3,
            "p99_us": percentiles.get("99.000000", 0) / 1e3,
            "bytes": side["io_bytes"],
        }

    def close(self):
        for path in (self.file, self.fresh_file):
            if os.path.exists(path):
                os.unlink(path)


class Coffer:
    """bench_volume on a store of the same directory, through the embedded key store."""

    def __init__(self, directory, settings, program, plain=False):
        self.name = "plain" if plain else "coffer"
        self.settings = settings
        self.program = program
        self.plain = plain
        self.directory = directory
        self.store = os.path.join(directory, f"{self.name}.store")
        self.fresh_store = os.path.join(directory, f"{self.name}.fresh")

    def volume(self, *words, store=None, may_be_killed=False):
        keys = [] if self.plain else ["--keys", os.path.join(self.directory, "keys")]
        return run_json([self.program, "--file", store or self.store, *keys,
                         *[str(word) for word in words]], may_be_killed)

    def prepare(self):
        """Overwrite the volume until its log runs over segments that were written before."""
        size = self.settings.size
        load = ["--rw", "write", "--bs", "1M", "--depth", 8, "--amount", size]
        self.volume("--create", "--store-size", 12 * size, "--size", size, *load)
        for _ in range(3):
            self.volume(*load)

    def run(self, row):
        size = self.settings.size
        words = ["--rw", row.rw, "--bs", row.block, "--threads", row.threads,
                 "--depth", row.depth // row.threads]
        if row.bounded:
            words += ["--amount", size]
        if not row.bounded or row.rw == "randwrite":
            words += ["--runtime", self.settings.runtime]
        if row.durable:
            words += ["--durable", row.durable]
        words += {"hot": ["--reads-hot"], "cold": COLD}.get(row.cache, [])
        if not row.fresh:
            return self.figures(row, self.volume(*words))
        words += ["--create", "--store-size", 4 * size, "--size", size]
        try:
            return self.figures(row, self.volume(*words, store=self.fresh_store))
        finally:
            if os.path.exists(self.fresh_store):
                os.unlink(self.fresh_store)

    @staticmethod
    def figures(row, result):
        figures = {
            "rate": result["iops"] if row.unit == "IOPS" else result["mib_per_second"],
            "cpu": result.get("cpu_seconds_per_gib", 0.0),
            "p50_us": result["p50_ns"] / 1e3,
            "p99_us": result["p99_ns"] / 1e3,
        }
        # A write load's rate with the checkpoint that settles it, as if it never overlapped.
        if result["checkpoint_ns"]:
            whole = (result["elapsed_ns"] + result["checkpoint_ns"]) / result["elapsed_ns"]
            figures["rate_with_checkpoint"] = figures["rate"] / whole
        figures["bench_volume"] = result
        return figures

    def close(self):
        for path in (self.store, self.fresh_store):
            if os.path.exists(path):
                os.unlink(path)
