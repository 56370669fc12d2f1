#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The verb table, --help and cofferkms(1) name the same verbs and options.
. "$(dirname "$0")/lib.sh"
page=$COFFER_SOURCE_DIR/docs/man/cofferkms.1.scd
table() { "$COFFERKMS" help --query "$1" --output text; }

verbs=0
count=$(table 'length(Verbs)')
for ((i = 0; i < count; i++)); do
    verb=$(table "Verbs[$i].Verb")
    grep -q -- "\*cofferkms $verb\*" "$page" || die "$verb does not stand in $page"
    ok "$COFFERKMS" "$verb" --help
    cp out help
    for option in $(table "Verbs[$i].Options" | tr '\t' ' '); do
        grep -q -- "--$option " help || die "$verb --help lacks --$option"
        grep -q -- "\*--$option\*" "$page" || die "--$option of $verb does not stand in $page"
    done
    fails 2 'there is no option --no-such-option' "$COFFERKMS" "$verb" --no-such-option
    verbs=$((verbs + 1))
done
[ "$verbs" -ge 35 ] || die "the table has only $verbs verbs"

# And the page has no verb and no option that the table lacks.
for verb in $(grep -o '\*cofferkms [a-z-]*\*' "$page" | tr -d '*' | cut -d' ' -f2 | sort -u); do
    case $verb in help | completion) continue ;; esac
    [ "$(table "Verbs[?Verb=='$verb'] | [0].Verb")" = "$verb" ] || die "$page has $verb"
done
for option in $(grep -o '\*--[a-z-]*\*' "$page" | tr -d '*' | sort -u); do
    [ "$(table "Options[?Name=='${option#--}'] | [0].Name")" = "${option#--}" ] ||
        die "$page has $option, which no verb takes"
done
finish
