# SPDX-License-Identifier: Apache-2.0
"""The cleaner's simulations: which are run, the tables and the plot that are made of them."""
import json
import subprocess
import time

from suite import gnuplot
from suite.process import Failed

FILLS = (70, 80, 90)
LOADS = ("uniform", "90/10", "zipf")
PINNED = {"uniform": 24, "90/10": 18, "zipf": 20}  # percent, by three rolling snapshots
SEGMENTS = 512
LIGHT = ("--pressure", "light", "--cut", "lazy")
WEDGED = 3
LIMIT_SECONDS = {"full": 5, "pieces": 20, "rounds": 300}  # slower is of no use to anybody
LIMIT_OTHERWISE = 60
POLICIES = {
    # name: what differs. "rule": only full checkpoints, groups cut at each; the others let
    # victims go by light ones.
    "rule": ("--pressure", "full", "--cut", "always", "--release", "8", "--due", "32"),
    "light": LIGHT + ("--release", "4", "--due", "32"),
    "light128": LIGHT + ("--release", "4", "--due", "128"),
    "light128-1": LIGHT + ("--release", "4", "--due", "128", "--heads", "1"),
    "greedy": LIGHT + ("--release", "4", "--due", "128", "--policy", "greedy", "--heads", "1"),
}
BEST = POLICIES["light128"]
DESIGN = {  # engine's design, section 5; greedy, MDC with three heads
    ("uniform", 70): (1.9, 1.9), ("uniform", 80): (2.8, 2.8), ("uniform", 90): (5.7, 5.7),
    ("90/10", 70): (2.4, 1.5), ("90/10", 80): (3.3, 1.8), ("90/10", 90): (6.3, 3.2),
    ("zipf", 70): (2.4, 1.7), ("zipf", 80): (3.3, 1.9), ("zipf", 90): (5.3, 3.3),
}
FIGURES = ("wa_cleaner", "wa_metadata", "wa_headers", "wa_empty", "wa_total", "fill_data",
           "fill_nodes", "fill_trees", "dead_waiting", "segments_free", "descriptor_bytes")
COLUMNS = ("cleaner", "metadata", "headers", "empty", "total", "data", "nodes", "trees", "dead",
           "free", "B/page")


def sized(quick):
    """Options of a run's size; quick ones only show that all runs."""
    if quick:
        return ("--segments", "128", "--segment", "1M", "--low", "8", "--warm", "30",
                "--measure", "20")
    return ("--segments", str(SEGMENTS))


def plan(quick):
    """(section, name, options) of every run."""
    runs = []

    def add(section, name, *options):
        runs.append((section, name, sized(quick) + options))
    for load in LOADS:
        for fill in FILLS:
            for policy, options in POLICIES.items():
                add("policies", f"{load} {fill} {policy}", "--load", load, "--fill", str(fill),
                    *options)
    for load in LOADS:
        for fill in FILLS:
            add("snapshots", f"{load} {fill} three rolling", "--load", load, "--fill", str(fill),
                "--snapshots", "3", "--pinned", str(PINNED[load]), *BEST)
            add("snapshots", f"{load} {fill} long-lived", "--load", load, "--fill", str(fill),
                "--long-lived", "1", "--pinned", "100", *BEST)
    for fill in FILLS:
        add("others", f"sequential {fill}", "--load", "sequential", "--fill", str(fill), *BEST)
        add("others", f"discards {fill}", "--load", "discards", "--fill", str(fill), *BEST)
        add("others", f"uniform {fill}, lone writes", "--commit", "1", "--fill", str(fill), *BEST)
        add("small", f"uniform {fill}, 1,024 segments of 1 MiB", "--fill", str(fill), *BEST,
            "--segments", "128" if quick else "1024", "--segment", "1M", "--release",
            "4" if quick else "16")
    for fill in (80, 90):
        for due in (16, 32, 64, 128, 256, 512):
            add("due", f"uniform {fill} 1/{due}", "--fill", str(fill), *BEST, "--due", str(due))
    for pieces in (1, 2, 3, 4):
        add("pieces", f"uniform 90, {pieces} pieces", "--fill", "90", *BEST, "--pieces",
            str(pieces))
    for load in ("uniform", "90/10"):
        for heads in (1, 2, 3):
            add("small", f"{load} 70, 64 segments, {heads} heads", "--load", load, *BEST,
                "--fill", "70", "--segments", "64", "--segment", "1M" if quick else "8M",
                "--heads", str(heads), "--release", "2", "--low", str(3 + heads))
    return runs + full_plan(quick)


def full_plan(quick):
    """At exactly full: reserves of a small and of a larger store."""
    runs = []
    loads = {"uniform": (), "90/10": ("--load", "90/10"), "lone": ("--commit", "1"),
             "snapshots": ("--snapshots", "3", "--snapshot-every", "5")}
    for segments, reserves, heads, release in ((64, (8, 10, 12, 14, 16, 20), ("1", "3"), 2),
                                               (1024, (32, 40, 48, 72), ("3",), 8)):
        for reserve in reserves[-1:] if quick else reserves:
            for head in heads:
                for load, options in loads.items():
                    runs.append(("full", f"{segments} segments, {reserve} reserved, {head} heads, "
                                         f"{load}",
                                 ("--segments", str(segments), "--segment", "1M", "--full",
                                  "--reserve", str(reserve), "--heads", head, "--low",
                                  str(release + int(head) + 2),
                                  "--release", str(release), "--warm", "20",
                                  "--measure", "10", *LIGHT, *options)))
    runs.append(("rounds", "fill and free", (
        "--segments", "64", "--segment", "1M", "--full", "--reserve", "16", "--heads", "1",
        "--low", "4", "--release", "2", "--rounds", "5" if quick else "1000", *LIGHT)))
    return runs


def run_one(program, section, options):
    """Figures, or how it ended: wedged, or too slow to be of use."""
    limit = LIMIT_SECONDS.get(section, LIMIT_OTHERWISE)
    start = time.monotonic()
    try:
        done = subprocess.run([program, *options], capture_output=True, text=True, check=False,
                              timeout=limit)
    except subprocess.TimeoutExpired:
        return {"ended": f"not within {limit} s", "seconds": limit}
    seconds = round(time.monotonic() - start, 2)
    if done.returncode == WEDGED:
        return {"ended": done.stderr.strip(), "seconds": seconds}
    if done.returncode != 0:
        raise Failed(f"exit {done.returncode}: {program} {' '.join(options)}\n{done.stderr}")
    return {**json.loads(done.stdout), "seconds": seconds}


def measure(program, quick, say, only=None):
    results = []
    chosen = [run for run in plan(quick) if only is None or run[0] in only]
    for number, (section, name, options) in enumerate(chosen):
        say(f"{number + 1}/{len(chosen)}: {name}")
        results.append({"section": section, "name": name, "options": list(options),
                        **run_one(program, section, options)})
    return results


def cell(figure, value):
    if figure.startswith(("fill_", "dead_", "segments_")):
        return f"{100 * value:.1f}%"
    return f"{value:.2f}"


def table(results):
    """Lines of text; wa_* are blocks written a user page, the rest percents of the store."""
    width = max(len(run["name"]) for run in results)
    lines = [f"{'':{width}} " + " ".join(f"{name:>8}" for name in COLUMNS) + "   design"]
    section = None
    for run in results:
        if run["section"] != section:
            section = run["section"]
            lines.append(f"# {section}")
        if "ended" in run:
            lines.append(f"{run['name']:{width}} {run['ended']}")
            continue
        cells = " ".join(f"{cell(name, run[name]):>8}" for name in FIGURES)
        lines.append(f"{run['name']:{width}} {cells}   {design(run)}".rstrip())
    return lines


def design(run):
    """The design's figure for the cleaner, and how far this one is from it."""
    words = run["name"].split()
    if run["section"] != "policies" or (words[0], int(words[1])) not in DESIGN:
        return ""
    there = DESIGN[words[0], int(words[1])][0 if words[2] == "greedy" else 1]
    return f"{there:.1f} {100 * (run['wa_cleaner'] / there - 1):+.0f}%"


def plot(results, png):
    """A PNG, a panel a load; false when gnuplot is not installed."""
    runs = {run["name"]: run for run in results if "ended" not in run}
    panels = []
    for load in LOADS:
        series = [("design", [(fill, DESIGN[load, fill][1]) for fill in FILLS])]
        for name in [*POLICIES, "three rolling", "long-lived"]:
            found = [(fill, runs[f"{load} {fill} {name}"]["wa_cleaner"]) for fill in FILLS
                     if f"{load} {fill} {name}" in runs]
            if found:
                series.append((name, found))
        panels.append((load, series))
    return gnuplot.draw(panels, png, xlabel="full, percent", ticks=FILLS, yrange="[1:10]",
                        ylabel="blocks the cleaner and the user write, a user page")
