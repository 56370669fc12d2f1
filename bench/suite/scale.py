# SPDX-License-Identifier: Apache-2.0
"""Volumes of terabytes on a simulated device: which are run, the table that is made of them."""
import json
import os
import subprocess
import tempfile

from suite.process import Failed

OVER_THE_BOUND = 4
RATIO_MAX = 1.3  # of a page's cost, against that at the first size
MIB = 1 << 20
GIB = 1 << 30


def plan(quick):
    """(name, options, whether encrypted) of every run; the first is what others are compared to."""
    if quick:
        small = ("--store", "96G", "--overwrites", "1M", "--lookups", "20K")
        return [("1 GiB", ("--size", "1G", *small), False),
                ("8 GiB", ("--size", "8G", *small), False),
                ("64 TiB sparse", ("--size", "64T", "--store", "1T", "--scattered", "64K",
                                   "--lookups", "10K"), False),
                ("1 GiB encrypted", ("--size", "1G", *small), True)]
    large = ("--store", "1536G", "--overwrites", "24M", "--lookups", "256K")
    return [("10 GiB", ("--size", "10G", *large), False),
            ("100 GiB", ("--size", "100G", *large), False),
            ("1 TiB", ("--size", "1T", *large), False),
            ("64 TiB sparse", ("--size", "64T", "--store", "64T", "--scattered", "1M",
                               "--lookups", "256K"), False),
            ("10 GiB encrypted", ("--size", "10G", *large), True),
            ("100 GiB encrypted", ("--size", "100G", *large), True),
            ("1 TiB encrypted", ("--size", "1T", *large), True)]


def run_one(program, options, encrypted):
    with tempfile.TemporaryDirectory(prefix="coffer-scale-") as directory:
        command = [program, *options]
        if encrypted:
            with open(os.path.join(directory, "root.key"), "wb") as handle:
                os.fchmod(handle.fileno(), 0o600)
                handle.write(os.urandom(32))
            command += ["--keys", directory]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, OVER_THE_BOUND):
        raise Failed(f"exit {done.returncode}: {' '.join(command)}\n{done.stderr.strip()}")
    return json.loads(done.stdout)


def measure(program, quick, say, only=None):
    runs = []
    for name, options, encrypted in plan(quick):
        if only is None or name in only:
            say(name)
            runs.append({"name": name, "options": list(options),
                         **run_one(program, options, encrypted)})
    return runs


def within(runs):
    return all(run["within"] for run in runs)


def base_of(runs, run):
    """The run that its costs are compared to: the first that is encrypted, or not, as it is."""
    return next(other for other in runs if other["encrypted"] == run["encrypted"])


def cost(run, span, base):
    """A page's CPU time in the engine, and how many times that of the base run it is."""
    own = run[span]["engine_cpu_ns_page"]
    if run[span]["pages"] == 0:
        return f"{'':13}"
    if run is base or base[span]["pages"] == 0 or run["scattered"] > 0:
        return f"{own:7.0f}      "
    return f"{own:7.0f} {own / base[span]['engine_cpu_ns_page']:5.2f}"


def table(runs):
    """Lines of text."""
    head = (f"{'':20} {'pages':>11} {'fill: ns a page':>16} {'overwrite: ns':>16}"
            f" {'lookup: ns':>12} {'engine':>9} {'process':>9} {'bound':>9} {'device':>9}")
    lines = [head, "-" * len(head)]
    for run in runs:
        base, memory = base_of(runs, run), run["memory"]
        lines.append(
            f"{run['name']:20} {run['fill']['pages']:>11,} {cost(run, 'fill', base):>16}"
            f" {cost(run, 'overwrite', base):>16} {run['lookup']['engine_cpu_ns_page']:>12.0f}"
            f" {memory['engine_max_bytes'] / MIB:>5.0f} MiB"
            f" {memory['process_max_bytes'] / MIB:>5.0f} MiB"
            f" {memory['bound_bytes'] / MIB:>5.0f} MiB"
            f" {memory['device_max_bytes'] / MIB:>5.0f} MiB"
            f"{'' if run['within'] else '  OVER THE BOUND'}")
    slow = [run["name"] for run in runs if run["scattered"] == 0 and not cheap(runs, run)]
    if slow:
        lines.append(f"more than {RATIO_MAX} times the cost of the first: {', '.join(slow)}")
    return lines


def cheap(runs, run):
    base = base_of(runs, run)
    return all(run[span]["engine_cpu_ns_page"] <= RATIO_MAX * base[span]["engine_cpu_ns_page"]
               for span in ("fill", "overwrite"))
