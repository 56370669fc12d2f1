#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""pages.py VERSION DIRECTORY HEADER...: the man pages of the public headers, in roff.

Each header is a page coffer_NAME.h.3: what its first comment says, then every declaration with the
comment before it, in the header's order. HEADER.c beside this file is its example, which
tests/cli/man_pages.sh compiles. Each call is a page that leads there, for `man coffer_store_open`.
"""
import os
import re
import sys

MARK = "COFFER_MUST_CHECK "
PC = {"sqlite.h": "coffer-sqlite", "keystore.h": "coffer-kms", "kms.h": "coffer-kms",
      "kms_client.h": "coffer-kms"}
PAGES = {"sqlite.h": "coffer-sqlite(7)", "keystore.h": "coffer-keystore(5), cofferkms(1)",
         "kms.h": "cofferkms-serve(1)", "kms_client.h": "cofferkms-serve(1)",
         "coffer.h": "coffer-store(5), coffer(1)", "snapshot.h": "coffer-snapshot(1)",
         "tags.h": "coffer-tag(1)", "audit.h": "coffer-check(1)", "segdev.h": "coffer-store(5)"}


def escape(text):
    for character, roff in (("\\", "\\e"), ("-", "\\-"), ("`", "\\(ga"), ("'", "\\(aq"),
                            ("^", "\\(ha"), ("~", "\\(ti")):
        text = text.replace(character, roff)
    return "\\&" + text if text.startswith(".") else text


def literal(lines):
    return [".PP", ".RS 2", ".nf"] + [escape(line) for line in lines] + [".fi", ".RE"]


def prose(lines):
    """Paragraphs, lists of '-' and indented code, as they stand in comments."""
    out, code = [".PP"], []
    for line in lines:
        if line.startswith("    "):
            code.append(line[4:])
            continue
        if code:
            out += literal(code) + [".PP"]
            code = []
        if not line.strip():
            out.append(".PP")
        elif line.startswith("- "):
            out += [".IP \\(bu 2", escape(line[2:])]
        else:
            out.append(escape(line.strip()))
    return out + (literal(code) if code else [])


def comment_text(lines):
    """What a comment says, without its marks."""
    text = "\n".join(lines).strip()
    text = re.sub(r"^/\*+|\*/$", "", text)
    return [re.sub(r"^ ?\* ?", "", line).rstrip() for line in text.split("\n")]


def parts(header):
    """The header's first comment, and what C++ sees as extern "C", as lines."""
    with open(header, encoding="utf-8") as file:
        text = file.read()
    head = re.search(r"\n(/\*\n.*?\*/)\n", text, re.S).group(1)
    body = re.search(r'extern "C" {\n#endif\n(.*)#ifdef __cplusplus\n}', text, re.S).group(1)
    return comment_text(head.split("\n")), body.split("\n")


def items(body):
    """(section | None, comment lines, code lines) in order: a comment at the margin belongs to the
    code below it, until a blank line outside of braces, or the next such comment."""
    comment, code, inside, depth = [], [], False, 0
    for line in body + [""]:
        opens = not inside and depth == 0 and line.startswith("/*")
        if opens and re.match(r"/\* -{3,} .* -{3,} \*/$", line):
            if comment or code:
                yield None, comment, code
            comment, code = [], []
            yield re.sub(r"^/\* -+ | -+ \*/$", "", line), [], []
            continue
        if opens and code:
            yield None, comment, code
            comment, code = [], []
        if opens or inside:
            comment.append(line)
            inside = "*/" not in line
            continue
        if not line.strip() and depth == 0:
            if comment or code:
                yield None, comment, code
            comment, code = [], []
            continue
        code.append(line)
        depth += line.count("{") - line.count("}")
        depth += line.count("(") - line.count(")")


def shown(code):
    """A declaration without the mark that makes compilers check it, still aligned."""
    out, shift = [], 0
    for line in code:
        if line.startswith(MARK):
            line, shift = line[len(MARK):], len(MARK)
        elif line.startswith(" " * shift) and shift:
            line = line[shift:]
        else:
            shift = 0
        out.append(line)
    return out


def calls(body):
    text = re.sub(r"/\*.*?\*/", "", "\n".join(body), flags=re.S)
    return sorted(set(re.findall(r"^[A-Za-z].*?\b(coffer_[a-z0-9_]+)\(", text, re.M)))


def page(header, version, names, example):
    name = os.path.basename(header)
    head, body = parts(header)
    head = head[1:] if not head[0] else head
    title, _, what = head[0].partition(" - ")
    rest = head[1:]
    while rest and rest[0].strip():  # a sentence that goes on in the second line
        what += " " + rest.pop(0).strip()
    out = [f'.TH "coffer_{name}" 3 "" "Coffer {version}" "Coffer\'s libraries"', ".SH NAME",
           f"coffer_{name} \\- {escape(what.rstrip('.'))}", ".SH SYNOPSIS", ".nf",
           f"#include <{title}>", "", f"cc ... $(pkg\\-config \\-\\-cflags \\-\\-libs "
           f"{escape(PC.get(name, 'coffer'))})", ".fi", ".SH DESCRIPTION"]
    out += prose(rest)
    section = ".SH INTERFACE"
    for heading, comment, code in items(body):
        if heading:
            section = f".SH {escape(heading.upper())}"
            continue
        if section:
            out.append(section)
            section = None
        if code:
            out += literal(shown(code))
        if comment:
            out += ([".RS 4"] if code else []) + prose(comment_text(comment))
            out += [".RE"] if code else []
    out += [".SH ERRORS, OWNERSHIP, THREADS", ".PP",
            "What holds for every call, unless it says otherwise above, is in",
            ".BR libcoffer (3):",
            "0 or a negative enum coffer_error is returned and must be looked at,",
            "outputs are untouched on failure,",
            "a struct coffer_fault says what failed, why and what to do,",
            "what a call took from its caller is the caller's still.", ".SH EXAMPLES"]
    out += literal(example) + [".SH SEE ALSO", ".PP"]
    others = ["libcoffer(3)"] + [f"coffer_{other}(3)" for other in names if other != name]
    others += PAGES[name].split(", ") if name in PAGES else []
    out += [re.sub(r"(.*)\((\d)\)", r".BR \1 (\2)", escape(other)) + ","
            for other in others]
    out[-1] = out[-1].rstrip(",")
    return "\n".join(out) + "\n", calls(body)


def main():
    version, directory, headers = sys.argv[1], sys.argv[2], sys.argv[3:]
    here = os.path.dirname(os.path.abspath(__file__))
    names = sorted(os.path.basename(header) for header in headers)
    os.makedirs(directory)
    for header in headers:
        name = os.path.basename(header)
        example = os.path.join(here, name.replace(".h", ".c"))
        if not os.path.exists(example):
            sys.exit(f"{header}: has no example docs/man/headers/{os.path.basename(example)}")
        with open(example, encoding="utf-8") as file:
            lines = file.read().rstrip("\n").split("\n")
        body, found = page(header, version, names, lines[lines.index("") + 1:])
        with open(f"{directory}/coffer_{name}.3", "w", encoding="utf-8") as file:
            file.write(body)
        for call in found:
            with open(f"{directory}/{call}.3", "w", encoding="utf-8") as file:
                file.write(f".so man3/coffer_{name}.3\n")


if __name__ == "__main__":
    main()
