#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every header compiles alone as C11; the public ones also as C++11. $CC and $CXX are used."""
import os
import subprocess
import sys

import tree

FLAGS = ["-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-fsyntax-only"]
PUBLIC = ("engine/include/", "kms/include/", "tools/sqlite/include/")
LIBRARIES = ["liburing", "libcrypto", "libxxhash", "sqlite3", "jansson", "libargon2", "cmocka"]


def library_flags():
    run = subprocess.run(["pkg-config", "--cflags", *LIBRARIES], capture_output=True, text=True,
                         check=True)
    return run.stdout.split()


def rooms(root, path):
    """Include directories that the header's room has."""
    places = ["engine/include", "kms/include", "tools/sqlite/include"]
    if not path.startswith(PUBLIC):
        places += {"engine": ["engine"], "kms": ["kms", "."], "tools": ["tools"],
                   "bench": ["bench", "."]}.get(path.split("/")[0],
                                           ["tests", "engine", "kms", "tools", "."])
    return [f"-I{os.path.join(root, place)}" for place in places]


def compiles(root, path, compiler, standard):
    """None, or the compiler's first complaint. The header stands twice, so its guard is tried."""
    unit = f'#include "{path}"\n' * 2 + "int coffer_alone(void);\n"
    run = subprocess.run([*compiler, *FLAGS, *standard, *library_flags_once(), *rooms(root, path),
                          f"-I{root}", "-"], input=unit, capture_output=True, text=True,
                         check=False)
    if run.returncode == 0:
        return None
    lines = [line for line in run.stderr.splitlines() if "error" in line]
    return lines[0] if lines else run.stderr.strip()


CACHE = []


def library_flags_once():
    if not CACHE:
        CACHE.extend(library_flags())
    return CACHE


def check(root):
    found = []
    cc = os.environ.get("CC", "cc").split()
    cxx = os.environ.get("CXX", "c++").split()
    for path in tree.files(root, ("engine", "kms", "tools", "bench", "tests"), (".h",)):
        ways = [(cc, ["-x", "c", "-std=c11"])]
        if path.startswith("tests/"):
            ways = [(cc, ["-x", "c", "-std=c11", "-DCOF_TEST_HOOKS"])]
        if path.startswith(PUBLIC):
            ways.append((cxx, ["-x", "c++", "-std=c++11"]))
        for compiler, standard in ways:
            complaint = compiles(root, path, compiler, standard)
            if complaint:
                found.append(f"{path}: not alone with {standard[-1]}: {complaint}")
    return found


SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
CONTROLS = [
    ("engine/base/planted.h", SPDX + "static inline uint64_t cof_f(void)\n{\n    return 0;\n}\n"),
    ("engine/include/coffer/planted.h", SPDX + "struct coffer_planted {\n    int class;\n};\n"),
    ("kms/planted.h", SPDX + "struct cof_planted {\n    int x;\n};\n"),
]


def planted_only(root):
    """The controls need no second look at every header: the tree's own were just compiled."""
    alone = [path for path, *_ in CONTROLS if os.path.exists(os.path.join(root, path))]
    if not alone:
        return check(root)
    whole = tree.files
    try:
        tree.files = lambda *_args, **_kw: alone
        return check(root)
    finally:
        tree.files = whole


if __name__ == "__main__":
    sys.exit(tree.main(planted_only, CONTROLS, (("engine", "kms", "tools"), (".h",), 10)))
