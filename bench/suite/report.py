# SPDX-License-Identifier: Apache-2.0
"""Medians, the table, the machine."""
import json
import os
import platform
import shutil
import subprocess

from suite.race import summarise
from suite.rows import GIB, MIB, Row

PEER_TOOLS = ("qemu-nbd", "nbdkit", "gocryptfs", "cryptsetup", "sqlcipher")


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def or_dash(form, value):
    return "-" if value is None else form(value)


def ratio(value):
    return or_dash("{:.2f}".format, value)


def tell(group):
    """How each contender was run, and which are not there, and why."""
    lines = []
    for name, one in group["contenders"].items():
        mark = "; on the page cache" if one["page_cache"] else ""
        lines.append(f"{name}: {one['text']}{mark}")
        lines += [f"    {command}" for command in one["commands"]]
    return lines + [f"{name}: not run: {why}" for name, why in group["absent"].items()]


def ratio_table(group):
    """A line a row: the base's rate, everyone's ratio to it, and how far rounds lay apart."""
    names, base = list(group["contenders"]), group["base"]
    others = [name for name in names if name != base]
    columns = "".join(f" {name:>11}" for name in others)
    head = f"{'workload':37} {'unit':>5} {base:>9}{columns}  spread {base}, coffer"
    lines, notes = [head, "-" * len(head)], []
    for entry in group["rows"]:
        own = entry["contenders"]
        line = f"{entry['indent']:37} {entry['unit']:>5} {number(own[base]['rate']):>9}"
        line += "".join(f" {ratio(own[name]['ratio']) if name in own else '':>11}"
                        for name in others)
        spreads = [f"{100 * own[name]['spread']:.0f} %" for name in (base, "coffer") if name in own]
        line += f"  {', '.join(spreads):>12}"
        if entry["raw_text"]:
            if entry["raw_text"] not in notes:
                notes.append(entry["raw_text"])
            line += f" [{notes.index(entry['raw_text']) + 1}]"
        lines.append(line.rstrip())
    return lines + [f"[{place + 1}] {note}" for place, note in enumerate(notes)]


def detail_table(group):
    """A line a row and contender: everything that was measured."""
    head = (f"{'':37} {'rate':>9} {'unit':>5} {'ratio':>6} {'lowest, highest':>15} {'w/ckpt':>6}"
            f" {'p50 us':>8} {'p99 us':>8} {'p99.9':>8} {'CPU s/GiB':>9} {'MiB':>6}")
    lines = [head, "-" * len(head)]
    for entry in group["rows"]:
        lines.append(entry["indent"])
        for name, own in entry["contenders"].items():
            between = f"{own['ratio_min']:.2f}, {own['ratio_max']:.2f}"
            lines.append(
                f"    {name:33} {number(own['rate']):>9} {entry['unit']:>5}"
                f" {ratio(own['ratio']):>6} {between:>15}"
                f" {ratio(own.get('ratio_with_checkpoint')):>6}"
                + "".join(f" {or_dash(number, own[f'{name}_us']):>8}"
                          for name in ("p50", "p99", "p999"))
                + f" {ratio(own['cpu']):>9}"
                f" {or_dash(lambda value: f'{value / MIB:.0f}', own['memory_bytes']):>6}")
    return lines


def group_tables(group):
    if "rows" not in group:
        return [f"not run: {group['absent']}"]
    return [*ratio_table(group), "", *tell(group), "", *detail_table(group)]


def without_places(result, names):
    """The same with other words for directories, which say nothing but whose machine it was."""
    text = json.dumps(result)
    for place, name in names.items():
        text = text.replace(json.dumps(place)[1:-1], name)
    return json.loads(text)


def upgrade(result):
    """A result of schema 1, with raw and Coffer alone, as one of schema 2."""
    entries = []
    for entry in result.get("rows", []):
        names = list(entry["contenders"])
        rounds = [{name: entry["contenders"][name]["rounds"][place] for name in names}
                  for place in range(len(entry["contenders"]["raw"]["rounds"]))]
        row = Row(entry["name"], entry.get("indent", entry["text"]), entry["unit"], "", 0, 0,
                  raw_text=entry["raw_text"])
        entries.append(summarise(row, "raw", rounds))
    names = {name: {"text": name, "commands": [], "page_cache": False}
             for name in result.get("names", [])}
    group = {"base": "raw", "absent": {}, "contenders": names, "rows": entries}
    return {**result, "groups": {"disk": group} if entries else {}, "absent": {}, "wanted": [],
            "goals": []}


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


def markdown_rows(group):
    base = group["base"]
    names = [name for name in group["contenders"] if name != base]
    lines = [f"| workload | {base} | " + " | ".join(names) + " |",
             "| --- |" + " ---: |" * (len(names) + 1)]
    first = ""
    for entry in group["rows"]:
        if not entry["indent"].startswith(" "):
            first = entry["text"]
        text = entry["text"] if entry["text"] == first else f"{first}: {entry['text']}"
        note = f" ({entry['raw_text']})" if entry["raw_text"] else ""
        cells = []
        for name in names:
            own = entry["contenders"].get(name)
            cells.append(f"{number(own['rate'])}, {own['ratio']:.2f}" if own else "")
        lines.append(f"| {text}{note} | {number(entry['contenders'][base]['rate'])} "
                     f"{entry['unit']} | " + " | ".join(cells) + " |")
    return lines


def markdown(result):
    """The groups, memory and recovery as tables for README.md: rates, and ratios to the first."""
    lines = [f"{result['date'][:10]}, commit {result['commit']}, {result['machine']['cpu']}, "
             f"{result['machine']['cores']} cores, Linux {result['machine']['kernel']}, "
             f"{result['machine']['filesystem']}; medians of {result['settings']['rounds']} "
             f"rounds; load {result['load'][0]:.1f}:"]
    for group in result["groups"].values():
        if "rows" in group:
            lines += ["", *markdown_rows(group)]
    if any(result.get(part) for part in ("memory", "recovery")):
        lines += ["", "| | |", "| --- | ---: |"]
    for entry in result.get("memory", []):
        lines.append(f"| {entry['text']}: memory in use, of budgets "
                     f"| {entry['memory_bytes_max'] / MIB:.0f} MiB of "
                     f"{entry['budget_bytes'] / MIB:.0f} MiB |")
    for entry in result.get("recovery", []):
        lines.append(f"| opening after kill -9, {entry['text']} of {entry['log_gib']:.2f} GiB "
                     f"| {entry['open_ms']:.0f} ms |")
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
        "peers": {tool: first_line([tool, "--version"]) for tool in PEER_TOOLS
                  if shutil.which(tool)},
    }


def commit(root):
    """(short hash, whether the tree differs from it)."""
    git = ["git", "-C", root]
    short = first_line([*git, "rev-parse", "--short=10", "HEAD"], "none")
    return short, bool(first_line([*git, "status", "--porcelain", "--", ".",
                                   ":!bench/results"]))
