# SPDX-License-Identifier: Apache-2.0
"""A store that is 70 % full and overwritten at random for long, so that each write is paid for by
cleaning: its rate beside raw fio, and what another thread's reads take meanwhile."""
import os
import statistics

from suite import fio
from suite.process import Failed, run_json
from suite.rows import GIB, KIB, MIB

DEPTH = 32
WARM = 3            # capacities overwritten first
PACE = 0.5          # of the steady rate: writes beside which reads are measured
ROOMY = 3           # times the store, where the same writes need no cleaning
GOAL = 1.3          # the rate, to raw's
BACK_SEEDS = 1000   # not the order of the run before, or whole segments would die one by one
RATIOS = {"coffer": "ratio", "back": "ratio_back"}
READS = {
    "raw": "raw: fio, reads beside as many writes",
    "raw_beside": "the same, and what a cleaner does",
    "alone": "reads alone",
    "roomy": "beside paced writes, no cleaning",
    "cleaning": "beside the same, cleaning",
    "background": "the same, work due in a thread",
}


def room_bytes(settings):
    return int(settings.steady_store * (1 + ROOMY + settings.steady_fill))


class Steady:
    """Runs it all in one directory."""

    def __init__(self, directory, settings, programs):
        self.settings = settings
        self.program = os.path.join(programs, "bench_volume")
        self.keys = os.path.join(directory, "keys")
        self.full, self.roomy, self.raw_file = (
            os.path.join(directory, name) for name in ("steady.store", "roomy.store", "steady.raw"))
        self.size = int(settings.steady_store * settings.steady_fill) // MIB * MIB
        self.pace = 0

    def close(self):
        for path in (self.full, self.roomy, self.raw_file):
            if os.path.exists(path):
                os.unlink(path)

    def volume(self, store, *words):
        return run_json([self.program, "--file", store, "--keys", self.keys,
                         *[str(word) for word in words]])

    def overwrite(self, store, *words):
        return self.volume(store, "--rw", "randwrite", "--bs", 4 * KIB, "--depth", DEPTH, *words)

    def lay_out(self, store, store_bytes, passes):
        """Written in order, and again until the log runs over segments that were written before."""
        write = ("--rw", "write", "--bs", MIB, "--depth", 8, "--amount", self.size)
        self.volume(store, "--create", "--store-size", store_bytes, "--size", self.size, *write)
        for _ in range(passes):
            self.volume(store, *write)

    def prepare(self, say):
        say("laying out: raw")
        fio.run(self.raw_file, rw="write", bs=MIB, iodepth=8, ioengine="io_uring",
                end_fsync=1, size=self.size)
        say("laying out: a store three times as large")
        self.lay_out(self.roomy, ROOMY * self.settings.steady_store,
                     int(ROOMY / self.settings.steady_fill) + 1)
        say(f"overwriting {WARM} capacities at random")
        self.lay_out(self.full, self.settings.steady_store, 0)
        return self.overwrite(self.full, "--amount", WARM * self.size)

    # ---- the rate ----

    def write_raw(self, seed):
        job = fio.run(self.raw_file, rw="randwrite", bs=4 * KIB, iodepth=DEPTH,
                      ioengine="io_uring", norandommap=1, end_fsync=1, size=self.size,
                      time_based=1, runtime=fio.milliseconds(self.settings.steady_runtime),
                      randseed=seed)
        side = job["write"]
        cpu = (job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] / 1000
        percentile = side["clat_ns"]["percentile"]
        return {"iops": side["iops"], "cpu_us": cpu * 1e6 / side["total_ios"],
                "p50_us": percentile["50.000000"] / 1e3, "p99_us": percentile["99.000000"] / 1e3,
                "p999_us": percentile["99.900000"] / 1e3}

    def write_coffer(self, seed, *words):
        run = self.overwrite(self.full, "--runtime", self.settings.steady_runtime, "--seed", seed,
                             *words)
        written = max(run["written_bytes"], 1)
        return {"iops": run["iops"],
                "cpu_us": (run["cpu_user_ns"] + run["cpu_system_ns"]) / 1e3 / run["operations"],
                "p50_us": run["p50_ns"] / 1e3, "p99_us": run["p99_ns"] / 1e3,
                "p999_us": run["p999_ns"] / 1e3, "wa_total": run["device_write_bytes"] / written,
                "wa_cleaner": 1 + run["moved_bytes"] / written,
                "cleaned_segments": run["cleaned_segments"], "bench_volume": run}

    def write_limit(self, coffer):
        """What the device gives of such traffic, in large pieces: no log that cleans as much can
        write more pages a second."""
        run = coffer["bench_volume"]
        both = run["device_read_bytes"] + run["device_write_bytes"]
        job = fio.run(self.raw_file, rw="rw", bs=256 * KIB, iodepth=8, ioengine="io_uring",
                      rwmixread=round(100 * run["device_read_bytes"] / both), size=self.size,
                      time_based=1, runtime=fio.milliseconds(self.settings.steady_runtime / 4))
        return {"read_mib_s": job["read"]["bw_bytes"] / MIB,
                "write_mib_s": job["write"]["bw_bytes"] / MIB,
                "iops": job["write"]["bw_bytes"] / (coffer["wa_total"] * 4 * KIB)}

    # ---- reads beside writes ----

    @staticmethod
    def reader(run):
        reads = run["readers"]
        return {"write_iops": run["iops"], "read_iops": reads["iops"],
                "cleaned_segments": run["cleaned_segments"], "moved_bytes": run["moved_bytes"],
                **{f"{name}_us": reads[f"{name}_ns"] / 1e3 for name in ("p50", "p99", "p999")}}

    def read_beside(self, store, seed, *words):
        return self.reader(self.overwrite(store, "--runtime", self.settings.steady_runtime,
                                          "--rate", self.pace, "--readers", 1, "--seed", seed,
                                          *words))

    def read_alone(self, seed):
        run = self.volume(self.full, "--rw", "randread", "--bs", 4 * KIB, "--runtime",
                          self.settings.steady_runtime / 2, "--seed", seed)
        return {"read_iops": run["iops"], "write_iops": 0, "cleaned_segments": 0,
                **{f"{name}_us": run[f"{name}_ns"] / 1e3 for name in ("p50", "p99", "p999")}}

    def read_roomy(self, seed):
        self.volume(self.roomy, "--rw", "write", "--bs", MIB, "--depth", 8, "--amount", self.size)
        found = self.read_beside(self.roomy, seed)
        if found["cleaned_segments"] > 0:
            raise Failed("the roomy store was cleaned: it shows nothing")
        return found

    def read_raw(self, seed, cleaner=()):
        runtime = f"--runtime={int(self.settings.steady_runtime * 1000)}ms"
        shared = ["--ioengine=io_uring", "--direct=1", f"--filename={self.raw_file}",
                  f"--size={self.size}", "--time_based", runtime, f"--randseed={seed}"]
        answer = run_json(["fio", "--output-format=json", "--name=writes", "--rw=randwrite",
                           "--bs=4k", "--norandommap", f"--iodepth={DEPTH}",
                           f"--rate_iops={self.pace}", *shared,
                           "--name=reads", "--rw=randread", "--bs=4k", "--norandommap",
                           "--iodepth=1", *shared, *cleaner])
        writes, reads = answer["jobs"][:2]
        percentile = reads["read"]["clat_ns"]["percentile"]
        return {"write_iops": writes["write"]["iops"], "read_iops": reads["read"]["iops"],
                "p50_us": percentile["50.000000"] / 1e3, "p99_us": percentile["99.000000"] / 1e3,
                "p999_us": percentile["99.900000"] / 1e3}

    def read_raw_beside_cleaner(self, seed, coffer):
        """The same beside what a cleaner reads and writes for so many pages, in its pieces."""
        run = coffer["bench_volume"]
        written = max(run["written_bytes"], 1)
        jobs = []
        for name, rw, bs, counted in (("victims", "read", "256k", "device_read_bytes"),
                                      ("groups", "write", "512k", "cleaner_written_bytes")):
            rate = int(self.pace * 4 * KIB * run[counted] / written)
            jobs += [f"--name={name}", f"--rw={rw}", f"--bs={bs}", "--iodepth=2", f"--rate={rate}",
                     "--ioengine=io_uring", "--direct=1", f"--filename={self.raw_file}",
                     f"--size={self.size}", "--time_based",
                     f"--runtime={int(self.settings.steady_runtime * 1000)}ms"]
        return self.read_raw(seed, jobs)

    def reads(self, number, say, coffer):
        ways = {
            "raw": lambda: self.read_raw(number),
            "raw_beside": lambda: self.read_raw_beside_cleaner(number, coffer),
            "alone": lambda: self.read_alone(number),
            "roomy": lambda: self.read_roomy(number),
            "cleaning": lambda: self.read_beside(self.full, number),
            "background": lambda: self.read_beside(self.full, number, "--background"),
        }
        figures = {}
        for name in (ways if number % 2 == 0 else reversed(ways)):
            say(f"reads, round {number + 1}: {name}")
            figures[name] = ways[name]()
        return figures

    def measure(self, say):
        try:
            warm = self.prepare(say)
            writes, reads = [], []
            for number in range(self.settings.rounds):
                ways = {"raw": self.write_raw, "coffer": self.write_coffer,
                        "back": lambda seed: self.write_coffer(BACK_SEEDS + seed, "--durable",
                                                               "write-back")}
                figures = {}
                for name in (ways if number % 2 == 0 else reversed(ways)):
                    say(f"overwriting, round {number + 1}: {name}")
                    figures[name] = ways[name](100 + number)
                say(f"overwriting, round {number + 1}: the device's limit")
                limit = self.write_limit(figures["coffer"])
                writes.append({**figures, "limit": limit,
                               **{key: figures[name]["iops"] / figures["raw"]["iops"]
                                  for name, key in RATIOS.items()},
                               "of_limit": figures["coffer"]["iops"] / limit["iops"]})
            self.pace = int(PACE * statistics.median(one["coffer"]["iops"] for one in writes))
            for number in range(self.settings.rounds):
                reads.append(self.reads(number, say, writes[-1]["coffer"]))
            return {"store_bytes": self.settings.steady_store, "volume_bytes": self.size,
                    "percent": round(100 * self.settings.steady_fill),
                    "capacity_bytes": warm["capacity_bytes"], "live_bytes": warm["live_bytes"],
                    "segment_bytes": warm["segment_bytes"], "pace_iops": self.pace, "warm": warm,
                    "goal": GOAL, "writes": writes, "reads": reads}
        finally:
            self.close()


# ---- for people ----

def middle(rounds, *path):
    values = []
    for one in rounds:
        for name in path:
            one = one[name]
        values.append(one)
    return statistics.median(values)


def table(part):
    writes, reads = part["writes"], part["reads"]
    texts = {"raw": "raw: 4 KiB random write, depth 32",
             "coffer": f"{part['percent']} % full, 4 KiB random overwrite",
             "back": "  the same, write-back"}
    lines = [f"{'steady state':36} {'IOPS':>9} {'/raw':>6} {'CPU us':>7} {'p50 us':>8}"
             f" {'p99 us':>8} {'p99.9':>8} {'cleaner':>8} {'total':>6}"]
    for name, text in texts.items():
        if name not in writes[0]:
            continue  # of a result from before the row was
        line = f"{text:36} {middle(writes, name, 'iops'):>9,.0f}"
        line += f" {middle(writes, RATIOS[name]):>6.2f}" if name in RATIOS else " " * 7
        line += f" {middle(writes, name, 'cpu_us'):>7.2f}"
        line += "".join(f" {middle(writes, name, f'{p}_us'):>8.0f}" for p in ("p50", "p99", "p999"))
        if name in RATIOS:
            line += "".join(f" {middle(writes, name, f'wa_{which}'):>{width}.2f}"
                            for which, width in (("cleaner", 8), ("total", 6)))
        lines.append(line)
    lines.append(f"goal: {part['goal']:.1f} of raw; cleaner, total: blocks written a page")
    if "limit" in writes[0]:
        lines.append(f"the device reads and writes as much, in pieces of 256 KiB, at"
                     f" {middle(writes, 'limit', 'read_mib_s'):,.0f} +"
                     f" {middle(writes, 'limit', 'write_mib_s'):,.0f} MiB/s: at most"
                     f" {middle(writes, 'limit', 'iops'):,.0f} IOPS,"
                     f" {middle(writes, 'of_limit'):.2f} of which are reached")
    lines += ["", f"{'reads of another thread, depth 1':36} {'writes/s':>9} {'reads/s':>9}"
                  f" {'p50 us':>8} {'p99 us':>8} {'p99.9':>8}  p99 to no cleaning"]
    base = middle(reads, "roomy", "p99_us")
    for name, text in READS.items():
        if name not in reads[0]:
            continue  # of a result from before the row was
        line = (f"{text:36} {middle(reads, name, 'write_iops'):>9,.0f}"
                f" {middle(reads, name, 'read_iops'):>9,.0f}")
        line += "".join(f" {middle(reads, name, f'{p}_us'):>8.0f}" for p in ("p50", "p99", "p999"))
        if name in ("cleaning", "background"):
            line += f"  {middle(reads, name, 'p99_us') / base:.2f}"
        lines.append(line)
    return lines


def markdown(result):
    """Nothing when the result has no such part."""
    if "steady" not in result:
        return []
    part = result["steady"]
    writes, reads = part["writes"], part["reads"]
    lines = ["", f"| steady state, {part['percent']} % full | raw (fio) | Coffer | ratio |",
             "| --- | ---: | ---: | ---: |",
             f"| 4 KiB random overwrite, depth 32 | {middle(writes, 'raw', 'iops'):,.0f} IOPS "
             f"| {middle(writes, 'coffer', 'iops'):,.0f} IOPS | {middle(writes, 'ratio'):.2f} |",
             f"| its processor time a page | {middle(writes, 'raw', 'cpu_us'):.2f} us "
             f"| {middle(writes, 'coffer', 'cpu_us'):.2f} us | |"]
    if "back" in writes[0]:
        lines.append(f"| the same, write-back | {middle(writes, 'raw', 'iops'):,.0f} IOPS "
                     f"| {middle(writes, 'back', 'iops'):,.0f} IOPS "
                     f"| {middle(writes, 'ratio_back'):.2f} |")
    for name, text in READS.items():
        if name != "raw" and name in reads[0]:
            lines.append(f"| reads, {text}: p99 | {middle(reads, 'raw', 'p99_us'):,.0f} us "
                         f"| {middle(reads, name, 'p99_us'):,.0f} us | |")
    return lines
