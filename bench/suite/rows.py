# SPDX-License-Identifier: Apache-2.0
"""The workloads, each one row of the table: a shape that every contender runs in its own way."""
from dataclasses import dataclass

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True)
class Row:
    name: str
    text: str          # what the table prints
    unit: str          # MiB/s or IOPS
    rw: str            # write, read, randwrite, randread: the words of fio and of bench_volume
    block: int
    depth: int
    durable: str = ""  # "": one sync at the end; "flush": after each write; "fua": with each write
    cache: str = ""    # reads of Coffer: "hot" or "cold" tags and map leaves
    fresh: bool = False        # on space that was never written
    raw_text: str = ""         # said beside the row when the raw shape is not the plain one
    bounded: bool = True       # ends after the volume's size, else after the runtime
    threads: int = 1           # of Coffer: it seals on its callers' cores


# In the order of a round. A sequential write comes first: it lays the volume out for the reads, and
# kills whole segments of what the round before left. One from two threads would not lay it out.
ROWS = [
    Row("seq-write", "1 MiB sequential write, depth 8", "MiB/s", "write", MIB, 8),
    Row("seq-write-fresh", "  the same on space never written", "MiB/s", "write", MIB, 8,
        fresh=True),
    Row("seq-read", "1 MiB sequential read, depth 8", "MiB/s", "read", MIB, 8),
    Row("rand-read", "4 KiB random read, depth 32, hot", "IOPS", "randread", 4 * KIB, 32,
        cache="hot", bounded=False),
    Row("rand-read-cold", "  the same, tags and leaves cold", "IOPS", "randread", 4 * KIB, 32,
        cache="cold", bounded=False),
    Row("rand-read-2", "  hot, from two threads", "IOPS", "randread", 4 * KIB, 32,
        cache="hot", bounded=False, threads=2),
    Row("seq-write-2", "1 MiB sequential write, two threads", "MiB/s", "write", MIB, 8, threads=2),
    Row("rand-write", "4 KiB random write, depth 32", "IOPS", "randwrite", 4 * KIB, 32),
    Row("sync-write", "4 KiB write + flush, depth 1", "IOPS", "randwrite", 4 * KIB, 1,
        durable="flush", bounded=False, raw_text="raw: 8 KiB append + fdatasync, written blocks"),
    Row("sync-write-4k", "  the same against 4 KiB in place", "IOPS", "randwrite", 4 * KIB, 1,
        durable="flush", bounded=False, raw_text="raw: 4 KiB pwrite + fdatasync, random, in place"),
    Row("fua-write", "4 KiB durable writes, depth 32", "IOPS", "randwrite", 4 * KIB, 32,
        durable="fua", bounded=False, raw_text="raw: O_DSYNC writes of the same depth"),
]


@dataclass(frozen=True)
class Settings:
    """What a run of the suite was asked for."""
    size: int          # the volume's and the raw file's
    runtime: float     # seconds, of rows that are not bounded by the size
    rounds: int
    scattered: int     # writes of the memory runs
    log: int           # bytes written before the kill of the recovery runs
    commits: int       # lone durable writes of the same
    repeats: int       # of each call on snapshots
    present: tuple     # snapshots that are there when others are made
    rekeyed: tuple     # and when keys are changed
    dirty: tuple       # bytes written before a snapshot
    volumes: tuple     # sizes of the volumes whose snapshots are deleted; the first is also that
                       # of the volume whose snapshots are made
    steady_store: int  # the store of the steady state
    steady_fill: float # of it that is the volume; a small store's reserve is a larger part
    steady_runtime: float


FULL = Settings(size=2 * GIB, runtime=3.0, rounds=3, scattered=400_000, log=2 * GIB,
                commits=20_000, repeats=20, present=(1, 1000), rekeyed=(1, 100),
                dirty=(0, 16 * MIB, 256 * MIB), volumes=(GIB, 8 * GIB), steady_store=4 * GIB,
                steady_fill=0.70, steady_runtime=20.0)
QUICK = Settings(size=64 * MIB, runtime=0.2, rounds=1, scattered=4_000, log=64 * MIB, commits=200,
                 repeats=3, present=(1, 20), rekeyed=(1, 5), dirty=(0, MIB, 4 * MIB),
                 volumes=(16 * MIB, 64 * MIB), steady_store=256 * MIB,
                 steady_fill=0.50, steady_runtime=0.3)
