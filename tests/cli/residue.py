#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Look for secrets where none may be: raw, as base64, as hexadecimal digits.

usage: residue.py [--memory PID] [--core PID] [--file FILE]... [--control FILE] NAME=FILE...

--memory: all pages of the process that can be written; --core: those of them that a core dump would
have. --control is what must stand in that memory, or the search is none. NAME=FILE is a secret.
Exit code 0: none was found; 1: what was, and where, a line each; 77: the memory can't be read.
"""
import argparse
import base64
import os
import re
import signal
import sys


def writable(pid, dumped):
    """The spans of pid's memory that can be written; with dumped, those of a core dump only."""
    span = None
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) .w", line)
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                span = found and (int(found[1], 16), int(found[2], 16))
            elif line.startswith("VmFlags:") and span and not (dumped and " dd" in line):
                yield span


def pages(pid, dumped):
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for first, last in writable(pid, dumped):
            try:
                memory.seek(first)
                yield memory.read(last - first)
            except OSError:  # a fence
                continue


def spellings(secret):
    """As it is, and as text; base64 without the end, which depends on what follows it."""
    return {"": secret, " as base64": base64.b64encode(secret)[:len(secret) // 3 * 4],
            " as hex": secret.hex().encode()}


def search(place, contents, needles, control=b""):
    """Lines of what was found in contents; and how often control was."""
    lines, controls = [], 0
    for content in contents:
        controls += content.count(control) if control else 1
        for name, needle in needles.items():
            if needle in content:
                lines.append(f"{name} stands in {place}")
    return lines, controls


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--memory", type=int)
    parser.add_argument("--core", type=int)
    parser.add_argument("--file", action="append", default=[])
    parser.add_argument("--control")
    parser.add_argument("secrets", nargs="+")
    options = parser.parse_args()
    needles, lines, control = {}, [], b""
    for secret in options.secrets:
        name, path = secret.split("=", 1)
        with open(path, "rb") as file:
            content = file.read()
        if len(content) < 16:
            sys.exit(f"{name} is too short to be looked for")
        needles.update({name + how: needle for how, needle in spellings(content).items()})
    if options.control:
        with open(options.control, "rb") as file:
            control = file.read()
    for place, pid in (("memory", options.memory), ("a core dump", options.core)):
        if pid is None:
            continue
        # A page that moves while it is read is no page that is left out.
        os.kill(pid, signal.SIGSTOP)
        try:
            found, controls = search(place, pages(pid, pid == options.core), needles, control)
        except PermissionError:
            sys.exit(77)
        finally:
            os.kill(pid, signal.SIGCONT)
        lines += found
        if controls == 0:
            sys.exit(f"the control was not found in {place}")
    for path in options.file:
        with open(path, "rb") as file:
            lines += search(os.path.basename(path), [file.read()], needles)[0]
    print("\n".join(sorted(set(lines))))
    sys.exit(1 if lines else 0)


main()
