#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The verb table, --help and the man pages of cofferkms name the same verbs and options.
. "$(dirname "$0")/lib.sh"
man=$COFFER_SOURCE_DIR/docs/man
table() { "$COFFERKMS" help --query "$1" --output text; }

verbs=0
count=$(table 'length(Verbs)')
for ((i = 0; i < count; i++)); do
    noun=$(table "Verbs[$i].Noun")
    [ "$noun" != None ] || noun=
    verb=$(table "Verbs[$i].Verb")
    words="${noun:+$noun }$verb"
    page=$man/$(table "Verbs[$i].Page").1.scd
    [ -f "$page" ] || die "$words: there is no page $page"
    grep -q -- "\*cofferkms $words\*" "$page" || die "$words does not stand in $page"
    # shellcheck disable=SC2086
    ok "$COFFERKMS" $words --help
    cp out help
    for option in $(table "Verbs[$i].Options" | tr '\t' ' '); do
        grep -q -- "--$option " help || die "$words --help lacks --$option"
        grep -q -- "\*--$option\*" "$page" || die "--$option of $words does not stand in $page"
    done
    # shellcheck disable=SC2086
    fails 2 'there is no option --no-such-option' "$COFFERKMS" $words --no-such-option
    verbs=$((verbs + 1))
done
[ "$verbs" -ge 45 ] || die "the table has only $verbs verbs"

# And no page has a verb or an option that the table lacks.
for page in "$man"/cofferkms*.1.scd; do
    for verb in $(grep -o '\*cofferkms [a-z-]*\*' "$page" | tr -d '*' | cut -d' ' -f2 | sort -u); do
        case $verb in help | completion) continue ;; esac
        [ "$(table "Verbs[?Verb=='$verb'] | [0].Verb")" = "$verb" ] ||
            [ "$(table "Verbs[?Noun=='$verb'] | [0].Noun")" = "$verb" ] || die "$page has $verb"
    done
    for option in $(grep -o '\*--[a-z-]*\*' "$page" | tr -d '*' | sort -u); do
        [ "$(table "Options[?Name=='${option#--}'] | [0].Name")" = "${option#--}" ] ||
            die "$page has $option, which no verb takes"
    done
done
finish
