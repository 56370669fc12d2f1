#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The house's surface: SPDX lines, columns, tabs, blanks at line ends, unfinished marks, paths of
one machine, links of the documents, a short README in each room, and nothing at the top level that
does not belong."""
import os
import re
import sys

import tree

SOURCES = (".c", ".h", ".sh", ".py", ".map", ".cmake", "CMakeLists.txt")
TEXTS = SOURCES + (".md", ".scd", ".in", "packages", "/run")
NOT_OURS = ("tests/vectors/", "tests/images/", "bench/results/")
SPDX = "SPDX-License-Identifier: Apache-2.0"
COLUMNS = 100
README_LINES = 40
UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b")
MACHINE = re.compile(r"(?<![\w.$}])/(?:wo" r"rk|fa" r"rm|ro" r"ot|ho" r"me/\w+)/")
LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]+)[^)]*\)")
TOP = {"CMakeLists.txt", "README.md", "LICENSE", "engine", "kms", "tools", "bench", "tests", "docs"}


def surface(root, path):
    body = tree.text(root, path)
    lines = body.split("\n")
    found = []
    if path.endswith(SOURCES) and SPDX not in "\n".join(lines[:2]):
        found.append(f"{path}:1: no line with {SPDX}")
    if body and not body.endswith("\n"):
        found.append(f"{path}: the last line has no newline")
    for number, line in enumerate(lines, 1):
        if path.endswith(SOURCES) and len(line) > COLUMNS:
            found.append(f"{path}:{number}: {len(line)} columns")
        if "\t" in line and not path.endswith(".scd"):
            found.append(f"{path}:{number}: a tab")
        if line != line.rstrip() and not path.endswith(".md"):
            found.append(f"{path}:{number}: blanks at the end")
        if UNFINISHED.search(line):
            found.append(f"{path}:{number}: unfinished: {line.strip()}")
        if MACHINE.search(line):
            found.append(f"{path}:{number}: a path of one machine: {line.strip()}")
    return found


def links(root, path):
    """Relative links of a page lead to something in the tree."""
    found = []
    for target in LINK.findall(tree.text(root, path)):
        goal = os.path.normpath(os.path.join(root, os.path.dirname(path), target))
        if not os.path.exists(goal):
            found.append(f"{path}: a link to {target}, which is not there")
    return found


def readmes(root):
    rooms = ["kms", "tools", "bench", "tests"]
    engine = os.path.join(root, "engine")
    rooms += [f"engine/{name}" for name in sorted(os.listdir(engine))
              if name != "include" and os.path.isdir(os.path.join(engine, name))]
    found = []
    for room in rooms:
        path = f"{room}/README.md"
        if not os.path.isfile(os.path.join(root, path)):
            found.append(f"{path}: the room has no README")
            continue
        count = tree.text(root, path).count("\n")
        if count > README_LINES:
            found.append(f"{path}: {count} lines, at most {README_LINES}")
    return found


def top_level(root):
    names = {name for name in os.listdir(root) if not name.startswith((".", "build"))}
    return [f"{name}: does not belong at the top level" for name in sorted(names - TOP)]


def check(root):
    found = []
    for path in tree.files(root, ends=TEXTS):
        if not path.startswith(NOT_OURS):
            found += surface(root, path)
            if path.endswith(".md"):
                found += links(root, path)
    return found + readmes(root) + top_level(root)


HEAD = f"/* {SPDX} */\n"
CONTROLS = [
    ("engine/base/planted.c", "int f(void);\n"),
    ("engine/base/planted2.c", HEAD + "\tint f(void);\n"),
    ("engine/base/planted3.h", HEAD + "int f(void); \n"),
    ("engine/base/planted4.h", HEAD + "/* " + "x" * COLUMNS + " */\n"),
    ("kms/planted.c", HEAD + "/* TO" "DO: later */\n"),
    ("tools/planted.c", HEAD + "int f(void);"),
    ("docs/planted.md", "see /wo" "rk/main/engine\n"),
    ("docs/planted2.md", "see [there](nowhere.md#part)\n"),
    ("engine/base/README.md", "line\n" * (README_LINES + 1)),
    ("engine/planted/planted.c", HEAD, "engine/planted/README.md"),
    ("planted.txt", "line\n"),
]

if __name__ == "__main__":
    sys.exit(tree.main(check, CONTROLS, (tree.ROOMS, TEXTS, 40)))
