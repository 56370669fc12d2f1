# SPDX-License-Identifier: Apache-2.0
"""fio: a row's shape in its words, and its figures in ours."""
from suite.process import Failed, run_json
from suite.rows import GIB, MIB, READ_PERCENT


def run(target, **options):
    """The job that fio reports on target, a file or the URI of an NBD export. Several jobs are
    counted together."""
    place = f"--uri={target}" if target.startswith("nbd") else f"--filename={target}"
    words = [f"--{name}={value}" for name, value in options.items()]
    # The place comes last: the option uri is there once the engine is named.
    command = ["fio", "--name=bench", "--direct=1", "--randrepeat=0", "--thread",
               "--group_reporting", "--output-format=json", *words, place]
    job = run_json(command)["jobs"][0]
    if job["error"] != 0:
        raise Failed(f"fio failed: {' '.join(command)}")
    return job


def milliseconds(seconds):
    return f"{max(int(seconds * 1000), 1)}ms"


def shape(row, engine):
    """The options that every contender's fio of a row has."""
    options = {"rw": row.rw, "bs": row.block, "iodepth": row.depth, "ioengine": engine}
    if row.random:
        options["norandommap"] = 1
    if row.rw == "randrw":
        options.update(rwmixread=READ_PERCENT, unified_rw_reporting="mixed")
    return options


def figures(row, job):
    side = job["mixed" if row.rw == "randrw" else "write" if row.writes else "read"]
    percentiles = side["clat_ns"].get("percentile", {})
    moved = side["io_bytes"] / GIB
    if not moved:
        raise Failed(f"fio moved nothing: {row.name}")

    def microseconds(percent):
        return percentiles[percent] / 1e3 if percent in percentiles else None
    return {
        "rate": side["iops"] if row.unit == "IOPS" else side["bw_bytes"] / MIB,
        "cpu": cpu_seconds(job) / moved,
        "p50_us": microseconds("50.000000"),
        "p99_us": microseconds("99.000000"),
        "p999_us": microseconds("99.900000"),
        "memory_bytes": None,
        "bytes": side["io_bytes"],
    }


def cpu_seconds(job):
    return (job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] / 1000
