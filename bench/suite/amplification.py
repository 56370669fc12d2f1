# SPDX-License-Identifier: Apache-2.0
"""The engine's write amplification beside the simulator's: same pages in the same order, same
segments, fill, heads and due rule. Which pairs are run, their table and plot."""
import concurrent.futures
import os

from suite import gnuplot
from suite.cleaner import FILLS, LIGHT, LOADS, PINNED, run_one
from suite.process import Failed, run_json

TARGET = 0.10       # the engine's cleaner is to be within so much of the simulator's
SEGMENTS = 512
HEADS = 1           # the library's choice below 1,024 segments
# What docs/decisions/0015 settled: the engine's rules, as sim_cleaner says them.
RULES = (*LIGHT, "--release", str(max(2, SEGMENTS // 256)), "--due-dead", "8")
ENCRYPTED = ("uniform", 80)
# Just before the oldest of three is deleted 2 % more lives than in the mean: of 90 that is more
# than may live, 92.9 % of 512 segments.
ROLLING_FILL_MAX = 87
KINDS = {
    "": (),
    "three rolling": ("--snapshots", "3"),
    "long-lived": ("--long-lived", "1"),
}


def sized(quick):
    """The quick ones only show that all runs."""
    if quick:
        return ("--segments", "128", "--segment", "1M", "--warm", "60", "--measure", "30")
    return ("--segments", str(SEGMENTS))


def plan(quick):
    """(name, load, fill, kind, options of both programs, whether the engine's volume is sealed)"""
    rows = []

    def add(load, fill, kind, encrypted=False):
        pinned = {"": 0, "three rolling": PINNED[load], "long-lived": 100}[kind]
        options = (*sized(quick), "--load", load, "--fill", str(fill), "--heads", str(HEADS),
                   "--pinned", str(pinned), *KINDS[kind])
        words = [load, str(fill), *([kind] if kind else []), *(["encrypted"] if encrypted else [])]
        rows.append((" ".join(words), load, fill, kind, options, encrypted))
    fills = (60,) if quick else FILLS  # a small store's reserve is a larger part of it
    for load in LOADS:
        for fill in fills:
            add(load, fill, "")
    for fill in fills[:-1] + (min(fills[-1], ROLLING_FILL_MAX),):
        add("uniform", fill, "three rolling")
    for fill in fills:
        add("uniform", fill, "long-lived")
    add(ENCRYPTED[0], fills[0] if quick else ENCRYPTED[1], "", encrypted=True)
    return rows


def run_pair(programs, keys, row):
    name, load, fill, kind, options, encrypted = row
    simulated = run_one(os.path.join(programs, "sim_cleaner"), "pair", (*options, *RULES))
    sealed = ("--keys", keys) if encrypted else ()
    row = {"name": name, "load": load, "fill": fill, "kind": kind, "encrypted": encrypted,
           "options": list(options), "rules": list(RULES)}
    if "ended" in simulated:
        return {**row, "ended": f"the simulator: {simulated['ended']}", "within": False}
    try:
        engine = run_json([os.path.join(programs, "bench_amplify"), *options, *sealed],
                          timeout=3600)
    except Failed as error:
        return {**row, "ended": str(error).splitlines()[-1], "within": False}
    difference = engine["wa_cleaner"] / simulated["wa_cleaner"] - 1
    return {**row, "engine": engine, "simulator": simulated, "difference": difference,
            "within": abs(difference) <= TARGET}


def measure(programs, directory, quick, say, jobs, only=None):
    """only: words that a row's name must have one of."""
    chosen = [row for row in plan(quick)
              if only is None or any(word in row[0].split() for word in only)]

    def run(row):
        found = run_pair(programs, os.path.join(directory, "keys"), row)
        say(f"{row[0]}: {found.get('ended') or verdict(found)}")
        return found
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(run, chosen))


def verdict(run):
    return (f"{run['engine']['wa_cleaner']:.2f} for {run['simulator']['wa_cleaner']:.2f},"
            f" {100 * run['difference']:+.1f} %")


def simulated_live(run):
    """What live_bytes counts: deaths that no checkpoint settled yet are live."""
    return sum(run[name] for name in ("fill_data", "fill_nodes", "fill_trees", "dead_waiting"))


def table(results):
    """Blocks written a page of the caller's, the engine's and the simulator's; percents of the
    store."""
    width = max(len(run["name"]) for run in results)
    lines = [f"{'':{width}}  ------- cleaner ---------------   ---- total ----   ---- live -----"
             "   ---- free -----",
             f"{'':{width}}  {'engine':>7} {'sim':>7} {'diff':>7} within {'engine':>8} {'sim':>7}"
             f"  {'engine':>8} {'sim':>7}  {'engine':>8} {'sim':>7} {'minutes':>8}"]
    for run in results:
        if "ended" in run:
            lines.append(f"{run['name']:{width}}  {run['ended']}")
            continue
        engine, simulated = run["engine"], run["simulator"]
        lines.append(
            f"{run['name']:{width}}  {engine['wa_cleaner']:>7.2f} {simulated['wa_cleaner']:>7.2f}"
            f" {100 * run['difference']:>+6.1f}% {'yes' if run['within'] else 'NO':>6}"
            f" {engine['wa_total']:>8.2f} {simulated['wa_total']:>7.2f}"
            f"  {100 * engine['fill_live']:>7.1f}% {100 * simulated_live(simulated):>6.1f}%"
            f"  {100 * engine['segments_free']:>7.1f}% {100 * simulated['segments_free']:>6.1f}%"
            f" {engine['elapsed_ns'] / 60e9:>8.1f}")
    within = sum(run["within"] for run in results)
    lines.append(f"{within} of {len(results)} within {100 * TARGET:.0f} %")
    return lines


def plot(results, png):
    """A panel a load and kind of snapshots; false when gnuplot is not installed."""
    panels = []
    wanted = [(load, "") for load in LOADS] + [("uniform", kind) for kind in KINDS if kind]
    for load, kind in wanted:
        rows = [run for run in results
                if (run["load"], run["kind"], run["encrypted"]) == (load, kind, False)
                and "ended" not in run]
        if rows:
            series = [(name, [(run["fill"], run[name]["wa_cleaner"]) for run in rows])
                      for name in ("simulator", "engine")]
            panels.append((f"{load} {kind}".strip(), series))
    return gnuplot.draw(panels, png, xlabel="full, percent",
                        ticks=sorted({run["fill"] for run in results}),
                        ylabel="blocks that cleaner and caller write, a page of the caller")
