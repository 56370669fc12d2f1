# SPDX-License-Identifier: Apache-2.0
"""What Coffer is to reach, one goal a workload, and whether a result does. A goal that is missed
has a sentence in bench/misses.json: why, and what would close it. Nothing fails by a goal."""
import json
import os
import statistics
from dataclasses import dataclass
from typing import Callable

from suite import scale, scaling, steady
from suite.rows import ROWS

NOT_ASKED = "not asked for"
GROUP_OF = {row.name: row.group for row in ROWS}


class Unmeasured(Exception):
    """There is no such figure in the result; its text says why."""


@dataclass(frozen=True)
class Bound:
    """One condition: value(result) against limit; form prints both."""
    value: Callable
    limit: float
    form: str
    least: bool = True  # else limit is the most

    def met(self, value):
        return value >= self.limit if self.least else value <= self.limit


@dataclass(frozen=True)
class Goal:
    name: str
    text: str
    bounds: tuple

    @property
    def want(self):
        return ", ".join(one.form.replace("{", (">= " if one.least else "<= ") + "{").format(
            one.limit) for one in self.bounds)


def part(result, name):
    if name not in result:
        raise Unmeasured(result.get("absent", {}).get(name, NOT_ASKED))
    return result[name]


def figure(row, name, contender="coffer"):
    def value(result):
        group = result["groups"].get(GROUP_OF[row])
        if group is None:
            raise Unmeasured(NOT_ASKED)
        if "rows" not in group:
            raise Unmeasured(group["absent"])
        for entry in group["rows"]:
            if entry["name"] == row and contender in entry["contenders"]:
                return entry["contenders"][contender][name]
        raise Unmeasured(group["absent"].get(contender, NOT_ASKED))
    return value


def ratio(row, limit, base="raw"):
    return Bound(figure(row, "ratio"), limit, "{:.2f} of " + base)


def rate(row, limit):
    return Bound(figure(row, "rate"), limit, "{:,.0f}/s")


def overwriting(key):
    """key: of a round, or of what Coffer did in it."""
    def value(result):
        rounds = part(result, "steady")["writes"]
        if key not in rounds[0] and key not in rounds[0]["coffer"]:
            raise Unmeasured("a result from before it was measured")
        return statistics.median(one[key] if key in one else one["coffer"][key] for one in rounds)
    return value


def beside_cleaner(result):
    reads = part(result, "steady")["reads"]
    cleaning, roomy = (statistics.median(one[way]["p99_us"] for one in reads)
                       for way in ("cleaning", "roomy"))
    return cleaning / roomy


def calls(list_name, key, **wanted):
    """The most that a call of the part `snapshots` takes, in milliseconds, at the median."""
    def value(result):
        rows = part(result, "snapshots")[list_name]["rows"]
        return max(row[key] / 1e6 for row in rows
                   if all(row.get(name) == value for name, value in wanted.items()))
    return value


def copying(who, name):
    def value(result):
        own = part(result, "snapshots")["copy"]["contenders"].get(who)
        if own is None or name not in own:
            raise Unmeasured("not run, or a result from before it was measured")
        return own[name]
    return value


def opening(name):
    """Of the logs that are long enough to tell the time a GiB from what every open takes."""
    def value(result):
        rows = part(result, "recovery")
        if name == "open_ms":
            return max(row[name] for row in rows)
        long = [row["ms_per_gib"] for row in rows if row["log_gib"] >= 1]
        if not long:
            raise Unmeasured("no log was longer than 1 GiB")
        return max(long)
    return value


def growing(span, encrypted):
    """Of the newest run-scale, which takes 25 minutes by itself."""
    def value(result):
        kept = result.get("grown", {}).get("encrypted" if encrypted else "plain")
        if kept is None:
            raise Unmeasured("bench/run-scale has no result of 1 TiB under bench/results")
        return kept[span]
    return value


GOALS = [
    Goal("rand-write", "4 KiB random write, depth 32, cleaner idle", (ratio("rand-write", 5.0),)),
    Goal("rand-write-back", "the same, write-back", (ratio("rand-write-back", 5.0),)),
    Goal("steady", "4 KiB random overwrite, steady state, 70 % full",
         (Bound(overwriting("ratio"), steady.GOAL, "{:.2f} of raw"),
          Bound(overwriting("wa_total"), 2.0, "{:.2f} written a page", least=False))),
    Goal("steady-back", "4 KiB random overwrite, steady state, write-back",
         (Bound(overwriting("ratio_back"), steady.GOAL, "{:.2f} of raw"),)),
    Goal("foreground", "reads beside writes that are cleaned for, to those that are not",
         (Bound(beside_cleaner, 2.0, "p99 {:.2f}", least=False),)),
    Goal("fua-many", "many writers, each durable", (rate("fua-many", 200_000),)),
    Goal("sync-write", "4 KiB write + flush, depth 1",
         (ratio("sync-write", 0.9),
          Bound(figure("sync-write", "ratio_p99"), 1.2, "p99 {:.2f} of raw", least=False))),
    Goal("rand-read", "4 KiB random read, depth 32", (ratio("rand-read", 0.95),)),
    Goal("mix", "4 KiB 70/30, depth 32", (ratio("mix", 1.2),)),
    Goal("mix-back", "4 KiB 70/30, depth 32, write-back", (ratio("mix-back", 1.2),)),
    Goal("seq-write", "1 MiB sequential write",
         (ratio("seq-write", 0.9),
          Bound(figure("seq-write", "cpu"), 0.4, "{:.2f} CPU s/GiB", least=False))),
    Goal("seq-read", "1 MiB sequential read", (ratio("seq-read", 0.95),)),
    Goal("ram-write", "in memory, 4 KiB random write", (rate("ram-write", 1_000_000),)),
    Goal("ram-write-back", "in memory, 4 KiB random write, write-back",
         (rate("ram-write-back", 1_000_000),)),
    Goal("ram-read", "in memory, 4 KiB random read", (rate("ram-read", 600_000),)),
    Goal("nbd-write", "NBD, in memory, 4 KiB random write", (ratio("nbd-write", 1.0, "nbdkit"),)),
    Goal("nbd-write-back", "NBD, in memory, 4 KiB random write, write-back",
         (ratio("nbd-write-back", 1.0, "nbdkit"),)),
    Goal("nbd-read", "NBD, in memory, 4 KiB random read", (ratio("nbd-read", 1.0, "nbdkit"),)),
    Goal("nbd-seq-write", "NBD, in memory, 1 MiB write", (ratio("nbd-seq-write", 0.85, "nbdkit"),)),
    Goal("nbd-seq-read", "NBD, in memory, 1 MiB read", (ratio("nbd-seq-read", 0.85, "nbdkit"),)),
    Goal("snapshot", "snapshot, any history",
         (Bound(calls("create", "p50_ns", name="snapshot", dirty_bytes=0), 5.0, "{:.2f} ms",
                least=False),)),
    Goal("clone", "clone, any history",
         (Bound(calls("create", "p50_ns", name="clone"), 5.0, "{:.2f} ms", least=False),)),
    Goal("rekey", "re-wrap of a volume's keys, without the key service",
         (Bound(calls("rekey", "own_p50_ns", depth="master"), 1.0, "{:.2f} ms", least=False),)),
    Goal("copy", "copy of a snapshot, re-wrapped, on one disk",
         (Bound(copying("coffer", "ratio"), 0.95, "{:.2f} of raw read"),)),
    Goal("deep-copy", "copy with new data keys, on one disk",
         (Bound(copying("reencrypt", "ratio"), 0.9, "{:.2f} of raw read"),
          Bound(copying("reencrypt", "cpu"), 0.6, "{:.2f} CPU s/GiB", least=False))),
    Goal("copy-elsewhere", "copy of a snapshot, re-wrapped, to another device",
         (Bound(copying("elsewhere", "ratio"), 0.95, "{:.2f} of raw read"),)),
    Goal("deep-copy-elsewhere", "copy with new data keys, to another device",
         (Bound(copying("reencrypt-elsewhere", "ratio"), 0.9, "{:.2f} of raw read"),
          Bound(copying("reencrypt-elsewhere", "cpu"), 0.6, "{:.2f} CPU s/GiB", least=False))),
    Goal("open", "open after a crash",
         (Bound(opening("ms_per_gib"), 40, "{:.0f} ms a GiB of log", least=False),
          Bound(opening("open_ms"), 1000, "{:.0f} ms", least=False))),
    Goal("growth", "a page's cost at 1 TiB, to 10 GiB",
         (Bound(growing("fill", False), scale.RATIO_MAX, "{:.2f} new", least=False),
          Bound(growing("overwrite", False), scale.RATIO_MAX, "{:.2f} overwritten", least=False))),
    Goal("growth-encrypted", "the same, encrypted",
         (Bound(growing("fill", True), scale.RATIO_MAX, "{:.2f} new", least=False),
          Bound(growing("overwrite", True), scale.RATIO_MAX, "{:.2f} overwritten", least=False))),
]


def ratio_wanted(row):
    """The ratio to the base that a row is to reach, or None."""
    for goal in GOALS:
        first = goal.bounds[0]
        if goal.name == row and first.form.startswith("{:.2f} of"):
            return first.limit
    return None


def misses(directory):
    """{goal's text: why it is missed, and what would close it}, as people wrote it."""
    with open(os.path.join(directory, "misses.json"), encoding="utf-8") as handle:
        return json.load(handle)


def judge(result, sentences):
    """An entry a goal: name, text, want, found, meets (None: not measured) and why."""
    entries = []
    for goal in GOALS:
        entry = {"name": goal.name, "text": goal.text, "want": goal.want}
        try:
            values = [one.value(result) for one in goal.bounds]
        except Unmeasured as error:
            entries.append({**entry, "values": [], "found": "", "meets": None, "why": str(error)})
            continue
        meets = all(one.met(value) for one, value in zip(goal.bounds, values))
        entries.append({**entry, "values": values, "meets": meets, "found": ", ".join(
            one.form.format(value) for one, value in zip(goal.bounds, values)),
            "why": "" if meets else sentences.get(goal.text, "")})
    return entries


def table(entries):
    head = f"{'goal':52} {'wanted':40} {'found':36} met"
    lines = [head, "-" * len(head)]
    for entry in entries:
        if entry["why"] == NOT_ASKED:
            continue
        met = {True: "yes", False: "NO", None: "-"}[entry["meets"]]
        lines.append(f"{entry['text']:52} {entry['want']:40} {entry['found']:36} {met}".rstrip())
    for entry in entries:
        if entry["meets"] is None and entry["why"] != NOT_ASKED:
            lines.append(f"not measured: {entry['text']}: {entry['why']}")
        elif entry["meets"] is False:
            lines.append(f"missed: {entry['text']}: "
                         f"{entry['why'] or 'no sentence in bench/misses.json'}")
    return lines


def markdown(entries):
    lines = ["", "| goal | wanted | found | met |", "| --- | ---: | ---: | --- |"]
    for entry in entries:
        met = {True: "yes", False: "no", None: "not measured"}[entry["meets"]]
        why = f": {entry['why']}" if entry["why"] else ""
        lines.append(f"| {entry['text']} | {entry['want']} | {entry['found']} | {met}{why} |")
    return lines
