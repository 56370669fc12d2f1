# SPDX-License-Identifier: Apache-2.0
"""What the structure tests share: walking the tree, C text without comments, and running each test
beside its negative controls.

A test is a function check(root) that returns a list of sentences, one a violation. A control is
(path, text) or (path, text, named): written into a copy of the tree, it must make check report path
(or what named says); one that goes unnoticed fails the test. So no structure test can pass by
looking at nothing.
"""
import os
import re
import shutil
import sys
import tempfile

SKIP = {".git", "__pycache__"}
ROOMS = ("engine", "kms", "tools", "bench", "tests", "docs", ".ci")


def files(root, tops=ROOMS, ends=()):
    """Relative paths below the given top-level rooms, sorted; build directories are not entered."""
    found = []
    for top in tops:
        for folder, names, leaves in os.walk(os.path.join(root, top)):
            names[:] = sorted(n for n in names if n not in SKIP and not n.startswith("build"))
            for leaf in leaves:
                path = os.path.relpath(os.path.join(folder, leaf), root)
                if not ends or path.endswith(tuple(ends)):
                    found.append(path)
    return sorted(found)


def text(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as handle:
        return handle.read()


TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)


def code(source, keep_strings=False):
    """C source with comments (and string literals) blanked; line numbers stay."""
    def blank(match):
        token = match.group(0)
        if token[0] == '"' and (keep_strings or include_line(source, match.start())):
            return token
        if token[0] == "'":
            return "' '"
        return re.sub(r"[^\n]", " ", token)
    return TOKEN.sub(blank, source)


def include_line(source, position):
    start = source.rfind("\n", 0, position) + 1
    return re.match(r"\s*#\s*include\b", source[start:position]) is not None


def copy(root, target):
    """The rooms' small text files, for a control to be planted in."""
    for path in files(root):
        if path.startswith(("tests/vectors", "tests/images", "bench/results")):
            continue
        goal = os.path.join(target, path)
        os.makedirs(os.path.dirname(goal), exist_ok=True)
        shutil.copyfile(os.path.join(root, path), goal)


def prune(folder):
    """Remove folder and its parents as long as they are empty."""
    while not os.listdir(folder):
        os.rmdir(folder)
        folder = os.path.dirname(folder)


def unnoticed(root, check, controls):
    """Plant each control alone; a sentence for each that check did not name."""
    missed = []
    with tempfile.TemporaryDirectory(prefix="coffer-style-") as target:
        copy(root, target)
        for path, planted, *rest in controls:
            named = rest[0] if rest else path
            goal = os.path.join(target, path)
            os.makedirs(os.path.dirname(goal), exist_ok=True)
            before = None
            if os.path.exists(goal):
                with open(goal, "rb") as handle:
                    before = handle.read()
            with open(goal, "w", encoding="utf-8") as handle:
                handle.write(planted)
            if not any(named in sentence for sentence in check(target)):
                missed.append(f"control not caught: {path}: {planted!r}")
            if before is None:
                os.remove(goal)
                prune(os.path.dirname(goal))
            else:
                with open(goal, "wb") as handle:
                    handle.write(before)
    return missed


def main(check, controls, least):
    """Run check and its controls on the tree that the command line names. least: (tops, ends,
    number): so many files it must have seen."""
    root = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("COFFER_SOURCE_DIR", ".")
    sentences = check(root)
    seen = len(files(root, least[0], least[1]))
    if seen < least[2]:
        sentences.append(f"only {seen} files below {root}: is this the tree?")
    sentences += unnoticed(root, check, controls)
    for sentence in sentences:
        print(sentence)
    print(f"{os.path.basename(sys.argv[0])}: {seen} files, {len(controls)} controls, "
          f"{len(sentences)} violations")
    return 1 if sentences else 0
