# SPDX-License-Identifier: Apache-2.0
"""Medians, the table, the machine."""
import os
import platform
import statistics
import subprocess

from suite.rows import GIB, MIB


def summarise(row, names, rounds):
    """One row's result: rounds is a list of {contender: figures}. A contender's ratio is the median
    of its ratios to the raw run of the same round."""
    entry = {"name": row.name, "text": row.text.strip(), "unit": row.unit,
             "raw_text": row.raw_text, "contenders": {}}
    for name in names:
        own = [one[name] for one in rounds]
        entry["contenders"][name] = {
            key: statistics.median(figures[key] for figures in own)
            for key in ("rate", "cpu", "p50_us", "p99_us")}
        entry["contenders"][name]["ratio"] = statistics.median(
            one[name]["rate"] / one["raw"]["rate"] for one in rounds)
        if "rate_with_checkpoint" in own[0]:
            entry["contenders"][name]["ratio_with_checkpoint"] = statistics.median(
                one[name]["rate_with_checkpoint"] / one["raw"]["rate"] for one in rounds)
        entry["contenders"][name]["rounds"] = own
    return entry


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def race_columns(names):
    """(width, group, head, how to get the text from a contender's summary, contender)."""
    def optional(key):
        return lambda own: f"{own[key]:.2f}" if key in own else ""
    columns = []
    for name in names:
        columns.append((9, "rate" if name == "raw" else "", name,
                        lambda own: number(own["rate"]), name))
        if name != "raw":
            columns.append((6, "", "/raw", lambda own: f"{own['ratio']:.2f}", name))
            columns.append((6, "", "w/ckpt", optional("ratio_with_checkpoint"), name))
    for group, key, form in (("p99 us", "p99_us", number), ("CPU s/GiB", "cpu", "{:.2f}".format)):
        for position, name in enumerate(names):
            columns.append((8 if key == "p99_us" else 7, group if position == 0 else "", name[:7],
                            lambda own, key=key, form=form: form(own[key]), name))
    return columns


def race_table(entries, names):
    """Lines for people; the raw shapes that differ from the row's stand below as notes."""
    columns = race_columns(names)
    notes = []
    groups = " " * 41 + "".join(f" {group:>{width}}" for width, group, *_ in columns)
    heads = f"{'workload':36}{'unit':>5}" + "".join(f" {head:>{width}}"
                                                     for width, _, head, *_ in columns)
    lines = [groups, heads, "-" * len(heads)]
    for entry in entries:
        line = f"{entry['indent']:36}{entry['unit']:>5}"
        for width, _, _, text, name in columns:
            line += f" {text(entry['contenders'][name]):>{width}}"
        if entry["raw_text"]:
            notes.append(f"[{len(notes) + 1}] {entry['raw_text']}")
            line += f" [{len(notes)}]"
        lines.append(line)
    return lines + notes


def memory_table(entries):
    lines = ["memory                                 budgets    engine  resident  write IOPS"
             "  read IOPS"]
    for entry in entries:
        lines.append(f"{entry['text']:36}"
                     f" {entry['budget_bytes'] / MIB:>5.0f} MiB"
                     f" {entry['memory_bytes_max'] / MIB:>5.0f} MiB"
                     f" {entry['resident_bytes_max'] / MIB:>5.0f} MiB"
                     f" {number(entry['write_iops']):>11} {number(entry['read_iops']):>10}")
    return lines


def recovery_table(entries):
    lines = [f"{'opening after kill -9':36}       log   writes  recovery      open  ms a GiB"]
    for entry in entries:
        per_gib = "-" if entry["ms_per_gib"] is None else number(entry["ms_per_gib"])
        lines.append(f"{entry['text']:36} {entry['log_gib']:>5.2f} GiB {entry['writes']:>8,}"
                     f" {entry['recovery_ms']:>6.0f} ms {entry['open_ms']:>6.0f} ms {per_gib:>9}")
    return lines


def markdown(result):
    """The rows, memory and recovery as one table for README.md."""
    lines = [f"{result['date'][:10]}, commit {result['commit']}, {result['machine']['cpu']}, "
             f"{result['machine']['cores']} cores, Linux {result['machine']['kernel']}, "
             f"{result['machine']['filesystem']}; medians of {result['settings']['rounds']} "
             f"rounds; load {result['load'][0]:.1f}:",
             ""]
    if any(result.get(part) for part in ("rows", "memory", "recovery")):
        lines += ["| workload | raw (fio) | Coffer | ratio |", "| --- | ---: | ---: | ---: |"]
    first = ""
    for entry in result["rows"]:
        raw, own = entry["contenders"]["raw"], entry["contenders"]["coffer"]
        if not entry["indent"].startswith(" "):
            first = entry["text"]
        text = entry["text"] if entry["text"] == first else f"{first}: {entry['text']}"
        note = f" ({entry['raw_text']})" if entry["raw_text"] else ""
        lines.append(f"| {text}{note} | {number(raw['rate'])} {entry['unit']} "
                     f"| {number(own['rate'])} {entry['unit']} | {own['ratio']:.2f} |")
    for entry in result.get("memory", []):
        lines.append(f"| {entry['text']}: memory in use, of budgets "
                     f"| | {entry['memory_bytes_max'] / MIB:.0f} MiB of "
                     f"{entry['budget_bytes'] / MIB:.0f} MiB | |")
    for entry in result.get("recovery", []):
        lines.append(f"| opening after kill -9, {entry['text']} of {entry['log_gib']:.2f} GiB "
                     f"| | {entry['open_ms']:.0f} ms | |")
    return lines


def first_line(command, fallback=""):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return fallback
    lines = done.stdout.strip().splitlines()
    return lines[0] if done.returncode == 0 and lines else fallback


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def machine(directory):
    """What the figures were taken on; nothing that names the host."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB, 1),
        "kernel": platform.release(),
        "filesystem": first_line(["findmnt", "-n", "-o", "FSTYPE", "-T", directory]),
        "fio": first_line(["fio", "--version"]),
        "openssl": first_line(["openssl", "version"]),
    }


def commit(root):
    """(short hash, whether the tree differs from it)."""
    git = ["git", "-C", root]
    short = first_line([*git, "rev-parse", "--short=10", "HEAD"], "none")
    return short, bool(first_line([*git, "status", "--porcelain", "--", ".",
                                   ":!bench/results"]))
