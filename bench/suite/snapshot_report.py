# SPDX-License-Identifier: Apache-2.0
"""The tables of the part "snapshots": for people, and as README.md has them."""
import statistics

from suite.report import number
from suite.rows import GIB, MIB
from suite.snapshots import PEER_TEXT


def milliseconds(value_ns):
    return f"{value_ns / 1e6:.2f}"


def size_text(value):
    return f"{value // GIB} GiB" if value >= GIB else f"{value // MIB} MiB"


def sync_ns(part):
    """Raw's median before and after, in the middle."""
    return statistics.mean(one["p50_ns"] for one in part["sync"])


def row_text(row):
    """What was done, in words."""
    if row["name"] == "delete":
        return (f"delete, {row['percent']} % changed, {size_text(row['size_bytes'])} volume")
    there = f"{row['present']:,} present"
    if row["name"] == "rekey":
        return f"rekey, depth {row['depth']}, {there}"
    if row["name"] == "clone":
        return f"clone, {there}"
    dirty = f"{size_text(row['dirty_bytes'])} dirty" if row["dirty_bytes"] else "quiet"
    return f"snapshot, {dirty}, {there}"


def marginal(part):
    """{row's place: the engine's microseconds a changed page beyond what an unchanged snapshot
    costs}."""
    base = {row["size_bytes"]: row["own_mean_ns"] for row in part["rows"] if row["percent"] == 0}
    return {place: (row["own_mean_ns"] - base[row["size_bytes"]]) / row["pages"] / 1e3
            for place, row in enumerate(part["rows"])
            if row["pages"] and row["size_bytes"] in base}


def call_lines(part):
    """A line a measurement, without its head. `engine` is what the key service did not take."""
    more = marginal(part) if part["rows"][0]["name"] == "delete" else {}
    lines = []
    for place, row in enumerate(part["rows"]):
        line = (f"{row_text(row):38} {row['count']:>5} {milliseconds(row['p50_ns']):>9}"
                f" {milliseconds(row['p99_ns']):>9} {milliseconds(row['max_ns']):>9}"
                f" {milliseconds(row['own_p50_ns']):>9} {row['key_calls']:>6.0f}")
        if place in more:
            line += f"  {row['pages']:,} pages, {more[place]:.2f} us more a page"
        lines.append(line)
    return lines


def copy_lines(part):
    lines = [f"copy of {size_text(part['size']):29}  MiB/s  seconds   /raw  CPU s/GiB"]
    texts = {"raw": "  raw: fio reads it, 1 MiB, depth 8", "coffer": "  coffer, under another key",
             "reencrypt": "  coffer, --reencrypt",
             "elsewhere": "  coffer, to another device (memory)",
             "reencrypt-elsewhere": "  coffer, --reencrypt, to it",
             **{name: f"  {name}" for name in PEER_TEXT}}
    for name, text in texts.items():
        if name not in part["contenders"]:
            continue  # of a result from before it ran
        own = part["contenders"][name]
        lines.append(f"{text:38} " + ("not installed" if own is None else
                     f"{number(own['rate']):>5} {own['seconds']:>8.2f} {own['ratio']:>6.2f}"
                     + (f" {own['cpu']:>10.2f}" if "cpu" in own else "")))
    change = [one["coffer"]["incremental"] for one in part["rounds"]]
    took = statistics.median(one["mean_ns"] for one in change)
    lines.append(f"{'  coffer, incremental':38} {change[0]['pages']:,} pages changed, "
                 f"{change[0]['sent_bytes'] / MIB:.1f} MiB sent in {milliseconds(took)} ms")
    return lines + [f"  {name}: {text}" for name, text in PEER_TEXT.items()]


def tables(part):
    head = (f"{'snapshots: milliseconds':38} {'count':>5} {'p50':>9} {'p99':>9} {'max':>9}"
            f" {'engine':>9} {'keys':>6}")
    lines = [head, "-" * len(head)]
    for name in ("create", "delete", "rekey"):
        lines += call_lines(part[name])
        lines.append(f"  beside: raw 8 KiB append + fdatasync: p50 "
                     f"{milliseconds(sync_ns(part[name]))}")
    for peer in part.get("peers", []):
        took = f"not run: {peer['absent']}" if "absent" in peer else f"{peer['ms']:,.2f}"
        lines.append(f"  beside: {peer['text']}: {took}")
    return lines + ["engine: p50 without the calls to the key service; keys: such calls", "",
                    *copy_lines(part["copy"])]


def markdown_calls(part):
    more = marginal(part) if part["rows"][0]["name"] == "delete" else {}
    raw = sync_ns(part)
    lines = []
    for place, row in enumerate(part["rows"]):
        own = f"{milliseconds(row['p50_ns'])} ms, p99 {milliseconds(row['p99_ns'])}"
        if row["key_calls"] > 0:
            own += (f"; {milliseconds(row['own_p50_ns'])} without the {row['key_calls']:.0f} calls "
                    "to the key service")
        if place in more:
            own += f"; {more[place]:.2f} us more a changed page of {row['pages']:,}"
        lines.append(f"| {row_text(row)} | {milliseconds(raw)} ms | {own} "
                     f"| {row['own_p50_ns'] / raw:.1f} |")
    return lines


def markdown(result):
    """Nothing when the result has no such part."""
    if "snapshots" not in result:
        return []
    part = result["snapshots"]
    lines = ["", "| call | raw: 8 KiB append + fdatasync | Coffer | engine / raw |",
             "| --- | ---: | ---: | ---: |"]
    for name in ("create", "delete", "rekey"):
        lines += markdown_calls(part[name])
    copy = part["copy"]
    raw = copy["contenders"]["raw"]
    lines += ["", f"| copy of {size_text(copy['size'])} | raw: fio reads it | copied | ratio |",
              "| --- | ---: | ---: | ---: |"]
    for name, text in {"coffer": "Coffer, into another store under another key",
                       "reencrypt": "Coffer, the same with every page sealed anew (`--reencrypt`)",
                       "elsewhere": "Coffer, into a store on another device (in memory)",
                       "reencrypt-elsewhere": "Coffer, the same with every page sealed anew",
                       **PEER_TEXT}.items():
        if name not in copy["contenders"]:
            continue
        own = copy["contenders"][name]
        if own is None:
            lines.append(f"| {text} | {number(raw['rate'])} MiB/s | not installed | |")
        else:
            lines.append(f"| {text} | {number(raw['rate'])} MiB/s | {number(own['rate'])} MiB/s, "
                         f"{own['seconds']:.2f} s | {own['ratio']:.2f} |")
    change = [one["coffer"]["incremental"] for one in copy["rounds"]]
    took = statistics.median(one["mean_ns"] for one in change)
    lines.append(f"| Coffer, incremental: {change[0]['pages']:,} pages changed "
                 f"| | {milliseconds(took)} ms | |")
    return lines
