# SPDX-License-Identifier: Apache-2.0
"""The workloads, each one row of a table: a shape that every contender runs in its own way."""
from dataclasses import dataclass

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True)
class Row:
    name: str
    text: str          # what the table prints
    unit: str          # MiB/s or IOPS
    rw: str            # write, read, randwrite, randread, randrw: the words of fio and bench_volume
    block: int
    depth: int
    group: str = "disk"
    # "": one sync at the end; "write-back": as that, and Coffer's writes complete in its memory;
    # "flush": after each write; "fua": with each write
    durable: str = ""
    cache: str = ""    # reads of Coffer: "hot" or "cold" tags and map leaves
    fresh: bool = False        # on space that was never written
    raw_text: str = ""         # said beside the row when the raw shape is not the plain one
    bounded: bool = True       # ends after the volume's size, else after the runtime
    threads: int = 1           # of Coffer: it seals on its callers' cores
    peers: bool = False        # a row that all contenders run, not the base and Coffer alone

    @property
    def writes(self):
        return self.rw in ("write", "randwrite", "randrw")

    @property
    def random(self):
        return self.rw.startswith("rand")


READ_PERCENT = 70  # of randrw

# In the order of a round. A sequential write comes first: it lays the volume out for the reads, and
# kills whole segments of what the round before left. One from two threads would not lay it out.
BACK = "raw: as above, one sync at the end of either"
ROWS = [
    Row("seq-write", "1 MiB sequential write, depth 8", "MiB/s", "write", MIB, 8, peers=True),
    Row("seq-write-fresh", "  the same on space never written", "MiB/s", "write", MIB, 8,
        fresh=True),
    Row("seq-read", "1 MiB sequential read, depth 8", "MiB/s", "read", MIB, 8, peers=True),
    Row("rand-read", "4 KiB random read, depth 32, hot", "IOPS", "randread", 4 * KIB, 32,
        cache="hot", bounded=False, peers=True),
    Row("rand-read-cold", "  the same, tags and leaves cold", "IOPS", "randread", 4 * KIB, 32,
        cache="cold", bounded=False),
    Row("rand-read-2", "  hot, from two threads", "IOPS", "randread", 4 * KIB, 32,
        cache="hot", bounded=False, threads=2),
    Row("mix", "4 KiB 70/30 random, depth 32", "IOPS", "randrw", 4 * KIB, 32, cache="hot",
        bounded=False, peers=True),
    Row("mix-back", "  the same, write-back", "IOPS", "randrw", 4 * KIB, 32, cache="hot",
        durable="write-back", bounded=False, raw_text=BACK),
    Row("seq-write-2", "1 MiB sequential write, two threads", "MiB/s", "write", MIB, 8, threads=2),
    Row("rand-write", "4 KiB random write, depth 32", "IOPS", "randwrite", 4 * KIB, 32,
        peers=True),
    Row("rand-write-back", "  the same, write-back", "IOPS", "randwrite", 4 * KIB, 32,
        durable="write-back", raw_text=BACK),
    Row("sync-write", "4 KiB write + flush, depth 1", "IOPS", "randwrite", 4 * KIB, 1,
        durable="flush", bounded=False, peers=True,
        raw_text="raw: 8 KiB append + fdatasync, written blocks; peers: fio's fsync=1"),
    Row("sync-write-4k", "  the same against 4 KiB in place", "IOPS", "randwrite", 4 * KIB, 1,
        durable="flush", bounded=False, raw_text="raw: 4 KiB pwrite + fdatasync, random, in place"),
    Row("fua-write", "4 KiB durable writes, depth 32", "IOPS", "randwrite", 4 * KIB, 32,
        durable="fua", bounded=False, peers=True,
        raw_text="raw: O_DSYNC writes of the same depth; peers: 32 writers, fsync=1 each"),
    Row("fua-many", "  the same, 256 at once", "IOPS", "randwrite", 4 * KIB, 256, durable="fua",
        bounded=False),
    Row("ram-write", "4 KiB random write, depth 2 x 32", "IOPS", "randwrite", 4 * KIB, 64,
        group="ram", threads=2, peers=True,
        raw_text="raw: two jobs of fio's psync, which is faster there than io_uring"),
    Row("ram-write-back", "  the same, write-back", "IOPS", "randwrite", 4 * KIB, 64, group="ram",
        durable="write-back", threads=2, raw_text=BACK),
    Row("ram-read", "4 KiB random read, depth 2 x 32, hot", "IOPS", "randread", 4 * KIB, 64,
        group="ram", threads=2, bounded=False, cache="hot", peers=True,
        raw_text="raw: two jobs of fio's psync, which is faster there than io_uring"),
    Row("nbd-seq-write", "1 MiB sequential write, depth 8", "MiB/s", "write", MIB, 8, group="nbd",
        peers=True),
    Row("nbd-seq-read", "1 MiB sequential read, depth 8", "MiB/s", "read", MIB, 8, group="nbd",
        peers=True),
    Row("nbd-read", "4 KiB random read, depth 32", "IOPS", "randread", 4 * KIB, 32, group="nbd",
        bounded=False, peers=True),
    Row("nbd-write", "4 KiB random write, depth 32", "IOPS", "randwrite", 4 * KIB, 32,
        group="nbd", peers=True),
    Row("nbd-write-back", "  the same, write-back", "IOPS", "randwrite", 4 * KIB, 32, group="nbd",
        durable="write-back", raw_text="nbdkit: as above, into the page cache; coffer serve "
        "--write-back"),
]
GROUPS = {"disk": "on the disk", "ram": "in memory (tmpfs)",
          "nbd": "over NBD, a unix socket, in memory (tmpfs)"}


@dataclass(frozen=True)
class Settings:
    """What a run of the suite was asked for."""
    size: int          # the volume's and the raw file's
    ram_size: int      # the same of the groups in memory
    runtime: float     # seconds, of rows that are not bounded by the size
    peer_runtime: float        # and of every row of a peer
    peer_rows: tuple   # of those with servers and mounts; none: all that are for them
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
    depths: tuple      # of the scaling curves
    depth_runtime: float
    fills: tuple       # percent
    fill_store: int
    fill_runtime: float
    scale_sizes: tuple         # of volumes on the simulated device
    scale_overwrites: int
    sqlite: dict       # seconds of a load, rows in the table
    luks_default: bool # also time luksChangeKey with the default work factor


FULL = Settings(size=2 * GIB, ram_size=GIB // 2, runtime=2.5, peer_runtime=1.5, peer_rows=(),
                rounds=3, scattered=400_000, log=2 * GIB,
                commits=20_000, repeats=20, present=(1, 10, 100, 1000), rekeyed=(1, 100),
                dirty=(0, 16 * MIB, 256 * MIB), volumes=(GIB, 8 * GIB), steady_store=4 * GIB,
                steady_fill=0.70, steady_runtime=8.0,
                depths=(1, 2, 4, 8, 16, 32, 64, 128, 256), depth_runtime=0.7,
                fills=(30, 50, 60, 70, 80), fill_store=GIB, fill_runtime=2.0,
                scale_sizes=(GIB, 4 * GIB, 16 * GIB), scale_overwrites=1 << 20,
                sqlite={"seconds": 1.0, "rows": 50_000}, luks_default=True)
QUICK = Settings(size=64 * MIB, ram_size=16 * MIB, runtime=0.2, peer_runtime=0.2,
                 peer_rows=("seq-write", "rand-read", "fua-write", "nbd-read"), rounds=1,
                 scattered=4_000, log=64 * MIB, commits=200,
                 repeats=3, present=(1, 20), rekeyed=(1, 5), dirty=(0, MIB, 4 * MIB),
                 volumes=(16 * MIB, 64 * MIB), steady_store=256 * MIB,
                 steady_fill=0.50, steady_runtime=0.3, depths=(1, 32), depth_runtime=0.1,
                 fills=(20, 40), fill_store=256 * MIB, fill_runtime=0.1,
                 scale_sizes=(16 * MIB, 64 * MIB), scale_overwrites=1 << 12,
                 sqlite={"seconds": 0.05, "rows": 500}, luks_default=False)
