#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Man pages: one for each program, each public header, each exported function and each format; all
# of them are rendered without a warning; the examples in them compile as C and as C++, and what
# they say of formats stands in the formats' documents.
. "$(dirname "$0")/lib.sh"
man=$COFFER_SOURCE_DIR/docs/man
includes=()
for room in engine kms tools/sqlite; do
    includes+=("$COFFER_SOURCE_DIR/$room/include")
done
headers=()
for include in "${includes[@]}"; do
    headers+=("$include"/coffer/*.h)
done
[ "${#headers[@]}" -ge 12 ] || die "only ${#headers[@]} headers"

for page in coffer.1 coffer-serve.1 cofferkms.1 cofferkms-serve.1 nbdkit-coffer-plugin.1 \
    coffer-sqlite.7 libcoffer.3 coffer-store.5 coffer-keystore.5; do
    [ -s "$man/$page.scd" ] || die "there is no $page.scd"
done

# The headers' own, and a name for each function that the libraries export.
without_page() { # SYMBOLS: those that man does not find
    cut -d' ' -f1 "$1" | sort -u | while read -r name; do
        [ -s "pages/$name.3" ] || echo "$name"
    done
}
ok python3 -B "$man/headers/pages.py" 1.2.3 pages "${headers[@]}"
symbols=$COFFER_SOURCE_DIR/tests/abi/symbols.txt
[ -z "$(without_page "$symbols")" ] || die "no page of $(without_page "$symbols")"
for header in "${headers[@]}"; do
    page=coffer_$(basename "$header").3
    for section in NAME SYNOPSIS DESCRIPTION 'ERRORS, OWNERSHIP, THREADS' EXAMPLES 'SEE ALSO'; do
        grep -qx "\.SH $section" "pages/$page" || die "$page has no section $section"
    done
    grep -q "coffer_$(basename "$header")(3)" "$man/libcoffer.3.scd" ||
        die "libcoffer(3) does not name coffer_$(basename "$header")(3)"
    checks=$((checks + 1))
done
# What a `.so` leads to is there.
for page in pages/coffer_*.3; do
    goal=$(sed -n 's,^\.so man3/,,p' "$page")
    [ -z "$goal" ] || [ -s "pages/$goal" ] || die "$page leads to $goal"
done

# All can be read.
mkdir rendered
for page in "$man"/*.scd; do
    if command -v scdoc >/dev/null; then
        name=$(basename "$page" .scd)
        scdoc <"$page" >"rendered/$name" || die "scdoc refuses $page"
        checks=$((checks + 1))
    fi
done
if command -v groff >/dev/null; then
    for page in rendered/* pages/coffer_*.h.3; do
        groff -t -man -Tutf8 -ww "$page" 2>said >/dev/null || die "groff: $page: $(cat said)"
        # A table's or a long line's want of room is no fault of the page.
        ! grep -v -e 'adjust line' -e 'break line' said || die "groff warns of $page"
        checks=$((checks + 1))
    done
fi

# The examples compile, and would not if a call had changed.
compiles() { # LANGUAGE STANDARD FILE
    local flags=()
    for include in "${includes[@]}"; do
        flags+=("-I$include")
    done
    "${CC:-cc}" -x "$1" "-std=$2" -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only \
        "${flags[@]}" "$3" >said 2>&1
}
awk '/^```$/ { inside = !inside; next } inside' "$man/libcoffer.3.scd" |
    sed 's/\\\\/\\/g' >libcoffer.c
for example in libcoffer.c "$man"/headers/*.c; do
    compiles c c11 "$example" || die "$example as C: $(cat said)"
    checks=$((checks + 1))
done
for example in "$man"/headers/*.c; do
    compiles c++ c++11 "$example" || die "$example as C++: $(cat said)"
done

# Magics and labels of the short forms are those of the long ones.
told() { # PAGE: its words that look like a magic
    grep -oE '\bC(OF|f)[A-Z]{1,5}\b|"CKMS"|0x[0-9a-f]{8}' "$man/$1.scd" | tr -d '"' | sort -u
}
[ "$(told coffer-store.5 | wc -l)" -ge 3 ] || die "coffer-store(5) names no magics"
[ "$(told coffer-keystore.5 | wc -l)" -ge 4 ] || die "coffer-keystore(5) names no magics"
strange() { # PAGE DOCUMENT: what the document does not know
    told "$1" | while read -r word; do
        grep -qF "$word" "$2" || echo "$word"
    done
}
[ -z "$(strange coffer-store.5 "$COFFER_SOURCE_DIR/docs/format.md")" ] || die "coffer-store(5)"
[ -z "$(strange coffer-keystore.5 "$COFFER_SOURCE_DIR/docs/kms.md")" ] || die "coffer-keystore(5)"

# Controls.
[ -n "$(strange coffer-keystore.5 "$COFFER_SOURCE_DIR/docs/format.md")" ] ||
    die "control: a page about another format was not noticed"
echo 'coffer_planted COFFER_0' >planted.txt
[ "$(without_page planted.txt)" = coffer_planted ] || die "control: a function without a page"
sed 's/coffer_volume_flush(volume, /coffer_volume_flush(/' "$man/headers/coffer.c" >planted.c
! compiles c c11 planted.c || die "control: an example that does not compile"
cp "${headers[0]}" planted.h
fails 1 'has no example' python3 -B "$man/headers/pages.py" 1.2.3 planted planted.h
finish
