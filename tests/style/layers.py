#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Includes go downwards only. The order is the table between `<!-- layers -->` and
`<!-- /layers -->` in docs/architecture.md: one room a row, lowest first; the second column says
which rooms it may include besides itself: `rows above`, or a list of rooms of the table."""
import os
import re
import sys

import tree

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def table(root):
    """[(room, set of rooms that it may include)], lowest first."""
    page = tree.text(root, "docs/architecture.md")
    part = re.search(r"<!-- layers -->(.*?)<!-- /layers -->", page, re.S)
    if part is None:
        raise SystemExit("docs/architecture.md has no table between the layers markers")
    rows = []
    for line in part.group(1).splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) < 2 or not cells[0].startswith("`"):
            continue
        room = cells[0].strip("`")
        above = {name for name, _ in rows}
        if cells[1] == "rows above":
            allowed = above
        else:
            allowed = set(re.findall(r"`([^`]+)`", cells[1]))
            if allowed - above - {room}:
                raise SystemExit(f"{room} may include {allowed - above}, which no row above has")
        rows.append((room, allowed | {room}))
    return rows


def room_of(path, rooms):
    fitting = [room for room in rooms if path.startswith(room + "/")]
    return max(fitting, key=len) if fitting else None


def resolve(root, includer, kind, name):
    """The tree's file that an include names, or None when it is the system's."""
    places = ["engine/include", "kms/include", "tools/sqlite/include"]
    if kind == '"':
        top = includer.split("/")[0]
        places = [os.path.dirname(includer), top, "engine", "kms", "."] + places
    for place in places:
        path = os.path.normpath(os.path.join(place, name))
        if os.path.isfile(os.path.join(root, path)):
            return path
    return None


def check(root):
    rows = dict(table(root))
    found = []
    for path in tree.files(root, ("engine", "kms", "tools", "bench"), (".c", ".h")):
        room = room_of(path, rows)
        if room is None:
            found.append(f"{path}: no row of docs/architecture.md's layer table holds it")
            continue
        source = tree.code(tree.text(root, path), keep_strings=True)
        for match in INCLUDE.finditer(source):
            line = source.count("\n", 0, match.start()) + 1
            target = resolve(root, path, match.group(1), match.group(2))
            if target is None:
                if match.group(1) == '"' or match.group(2).startswith("coffer/"):
                    found.append(f"{path}:{line}: {match.group(2)} is not in the tree")
                continue
            other = room_of(target, rows)
            if other not in rows[room]:
                found.append(f"{path}:{line}: {room} may not include {other} ({match.group(2)})")
    return found


SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
CONTROLS = [
    ("engine/base/env.h", SPDX + '#include "format/planted_format.h"\n'),
    ("engine/base/planted.c", SPDX + "#include <coffer/planted.h>\n"),
    ("engine/unknown/planted.c", SPDX),
    ("kms/planted.c", SPDX + '#include "base/env.h"\n'),
    ("tools/coffer/planted.c", SPDX + '#include "base/env.h"\n'),
    ("bench/planted.c", SPDX + '  #  include "../engine/base/env.h"\n'),
]

if __name__ == "__main__":
    sys.exit(tree.main(check, CONTROLS, (("engine", "kms", "tools"), (".c", ".h"), 20)))
