# SPDX-License-Identifier: Apache-2.0
"""Curves: what the rate does as the queue gets deeper, the cores more, the store fuller, and a
page's cost as the volume grows. One pass each, raw right before Coffer at every point; the curve
over snapshots is drawn from the part `snapshots`."""
import glob
import json
import os

from suite import fio
from suite.files import remove
from suite.process import run_json
from suite.report import first_line
from suite.rows import GIB, KIB, MIB, Row

SHAPES = {"read": "randread", "write": "randwrite"}
CORE_DEPTH = 32
WARM_TIMES = 2  # capacities overwritten before a fill is measured
NEWEST = "*scale*.json"
TIB = 1 << 40


def curve(title, xlabel, ylabel, series, logarithmic=()):
    return {"title": title, "xlabel": xlabel, "ylabel": ylabel, "logarithmic": list(logarithmic),
            "series": series}


def depths(raw, coffer, settings, say):
    """raw and coffer are contenders that are laid out."""
    series = {f"{who}, {what}": [] for what in SHAPES for who in ("raw", "coffer")}
    for depth in settings.depths:
        say(f"depth {depth}")
        for what, rw in SHAPES.items():
            row = Row(f"depth-{depth}", "", "IOPS", rw, 4 * KIB, depth)
            job = fio.run(raw.file, **fio.shape(row, "io_uring"), size=raw.size, time_based=1,
                          runtime=fio.milliseconds(settings.depth_runtime))
            series[f"raw, {what}"].append([depth, fio.figures(row, job)["rate"]])
            own = coffer.volume("--rw", rw, "--bs", "4K", "--depth", depth, "--runtime",
                                settings.depth_runtime)
            series[f"coffer, {what}"].append([depth, own["iops"]])
    return curve("4 KiB random, on the disk", "requests in flight", "IOPS", series, ["x"])


def cores(raw, coffer, settings, say):
    """In memory: as many threads as cores that they may use."""
    series = {f"{who}, {what}": [] for what in SHAPES for who in ("raw", "coffer")}
    pinned = os.sched_getaffinity(0)
    try:
        for count in range(1, len(pinned) + 1):
            say(f"cores: {count}")
            os.sched_setaffinity(0, sorted(pinned)[:count])
            for what, rw in SHAPES.items():
                row = Row("cores", "", "IOPS", rw, 4 * KIB, CORE_DEPTH, group="ram", threads=count,
                          cache="hot" if what == "read" else "", bounded=what == "write")
                series[f"raw, {what}"].append([count, raw.run(row)["rate"]])
                row = Row(**{**vars(row), "depth": CORE_DEPTH * count})
                series[f"coffer, {what}"].append([count, coffer.run(row)["rate"]])
    finally:
        os.sched_setaffinity(0, pinned)
    return curve("4 KiB random, in memory", "cores and threads", "IOPS", series)


def fill(directory, keys, program, settings, say):
    """A store in memory, overwritten at random for long, as it is fuller."""
    store = os.path.join(directory, "fill.store")
    rate, written = [], []
    for percent in settings.fills:
        say(f"fill: {percent} %")
        size = settings.fill_store * percent // 100 // MIB * MIB
        common = [program, "--file", store, "--keys", keys]
        try:
            run_json([*common, "--create", "--store-size", str(settings.fill_store), "--size",
                      str(size), "--rw", "write", "--bs", "1M", "--depth", "8", "--amount",
                      str(size)])
            overwrite = [*common, "--rw", "randwrite", "--bs", "4K", "--depth", "32"]
            run_json([*overwrite, "--amount", str(WARM_TIMES * settings.fill_store)])
            run = run_json([*overwrite, "--runtime", str(settings.fill_runtime), "--seed", "2"])
        finally:
            remove(store)
        rate.append([percent, run["iops"]])
        written.append([percent, 1 + run["moved_bytes"] / max(run["written_bytes"], 1)])
    return [curve("4 KiB random overwrite, in memory", "percent of the store that lives", "IOPS",
                  {"coffer": rate}),
            curve("the same: write amplification", "percent of the store that lives",
                  "pages written, for each of the callers", {"coffer": written})]


def costs(program, settings, say):
    """Processor time a page on the simulated device of bench_scale."""
    filled, overwritten = [], []
    for size in settings.scale_sizes:
        say(f"volume size: {size // MIB} MiB")
        store = max(16 * size, 96 * GIB)
        run = run_json([program, "--size", str(size), "--store", str(store), "--overwrites",
                        str(settings.scale_overwrites), "--lookups", "1024"])
        filled.append([size / GIB, run["fill"]["engine_cpu_ns_page"]])
        overwritten.append([size / GIB, run["overwrite"]["engine_cpu_ns_page"]])
    return filled, overwritten


def age(path):
    """What results, DATE-COMMIT-*, are sorted by: those of one day by their commits' time."""
    name = os.path.basename(path)
    commit = name[len("2026-11-22-"):].split("-")[0]
    return name[:len("2026-11-22")], int(first_line(
        ["git", "-C", os.path.dirname(path), "show", "-s", "--format=%ct", commit], "0")), name


def newest(results, encrypted):
    """(date and commit, runs) of the newest result of run-scale with a volume of 1 TiB of that
    kind, or None."""
    for path in sorted(glob.glob(os.path.join(results, NEWEST)), key=age, reverse=True):
        with open(path, encoding="utf-8") as handle:
            found = json.load(handle)
        runs = [run for run in found.get("runs", [])
                if run["encrypted"] == encrypted and not run["scattered"]]
        if any(run["size_bytes"] == TIB for run in runs):
            return f"{found['date']}, {found['commit']}", runs
    return None


def sizes(program, settings, results, say):
    filled, overwritten = costs(program, settings, say)
    series = {"new pages": filled, "pages overwritten": overwritten}
    kept = newest(results, False)
    if kept is not None:
        date, runs = kept
        for name, span in (("new pages", "fill"), ("pages overwritten", "overwrite")):
            series[f"{name}, {date}"] = [
                [run["size_bytes"] / GIB, run[span]["engine_cpu_ns_page"]] for run in runs]
    return curve("processor time a page, unencrypted, simulated device", "GiB of the volume", "ns",
                 series, ["x"])


def measure(disk, ram, programs, settings, results, say):
    """disk and ram: (raw, coffer) of a directory; ram is a sentence where there is none. Returns
    {"curves": {name: curve}, "absent": {name: why}}."""
    curves, absent = {}, {}

    def with_field(field, name, draw):
        if isinstance(field, str):
            absent[name] = field
            return
        try:
            for contender in field:
                contender.prepare()
            curves[name] = draw(*field, settings, say)
        finally:
            for contender in field:
                contender.close()
    with_field(disk, "depth", depths)
    with_field(ram, "cores", cores)
    if isinstance(ram, str):
        absent["fill"] = ram
    else:
        store = ram[1].store
        curves["fill"], curves["amplification"] = fill(store.directory, store.keys, store.program,
                                                       settings, say)
    scale = os.path.join(programs, "bench_scale")
    curves["size"] = sizes(scale, settings, results, say)
    return {"curves": curves, "absent": absent}


def of_snapshots(part):
    """The curve over how many snapshots there are, of the part `snapshots`."""
    rows = part["create"]["rows"]
    quiet = [row for row in rows if row["name"] == "snapshot" and row["dirty_bytes"] == 0]
    clones = [row for row in rows if row["name"] == "clone"]
    return curve("snapshots and clones of a quiet volume", "snapshots there already",
                 "milliseconds, p50",
                 {"snapshot": [[row["present"], row["p50_ns"] / 1e6] for row in quiet],
                  "clone": [[row["present"], row["p50_ns"] / 1e6] for row in clones]}, ["x"])


def table(part):
    lines = []
    for one in part["curves"].values():
        lines.append(f"{one['title']}: {one['ylabel']} by {one['xlabel']}")
        width = max(len(name) for name in one["series"])
        for name, points in one["series"].items():
            lines.append(f"    {name:{width}}  " + "  ".join(
                f"{x:g}: {y:,.0f}" if y >= 100 else f"{x:g}: {y:.2f}" for x, y in points))
    return lines + [f"{name}: not run: {why}" for name, why in part["absent"].items()]
