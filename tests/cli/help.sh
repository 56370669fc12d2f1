#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Help, man pages and completion all say what the option table says, and a wrong line is exit 2.
. "$(dirname "$0")/lib.sh"
man=$COFFER_SOURCE_DIR/docs/man
table() { "$COFFER" help --query "$1" --output text; }

ok "$COFFER" --help
grep -q 'Exit codes: 0 done' out || die "--help does not list the exit codes"
matches '^coffer [0-9]+\.[0-9]+\.[0-9]+$' "$COFFER" --version

# Each verb and each of its options stands in --help of the verb and in the verb's man page.
verbs=0
count=$(table 'length(Verbs)')
for ((i = 0; i < count; i++)); do
    noun=$(table "Verbs[$i].Noun")
    [ "$noun" != None ] || noun=
    verb=$(table "Verbs[$i].Verb")
    words="${noun:+$noun }$verb"
    page=$man/$(table "Verbs[$i].Page").1.scd
    [ -f "$page" ] || die "$words: there is no page $page"
    grep -q -- "coffer $words\*" "$page" || die "$words does not stand in $page"
    # shellcheck disable=SC2086
    ok "$COFFER" $words --help
    cp out help
    for option in $(table "Verbs[$i].Options" | tr '\t' ' '); do
        grep -q -- "--$option " help || die "$words --help lacks --$option"
        grep -q -- "\*--$option\*" "$page" || die "--$option of $words does not stand in $page"
    done
    # shellcheck disable=SC2086
    fails 2 'there is no option --no-such-option' "$COFFER" $words --no-such-option
    verbs=$((verbs + 1))
done
[ "$verbs" -ge 27 ] || die "the table has only $verbs verbs"
for option in $(table 'Common' | tr '\t' ' '); do
    grep -q -- "\*--$option\*" "$man/coffer.1.scd" || die "--$option does not stand in coffer(1)"
done
# And no page has an option that the table lacks.
for page in "$man"/coffer*.1.scd; do
    case $page in *cofferkms*) continue ;; esac
    for option in $(grep -o '\*--[a-z-]*\*' "$page" | tr -d '*' | sort -u); do
        [ "$(table "Options[?Name=='${option#--}'] | [0].Name")" = "${option#--}" ] ||
            die "$page has $option, which no verb takes"
    done
done

# The completion scripts know the same words.
"$COFFER" completion bash >completion.bash
bash -n completion.bash
# shellcheck disable=SC1091
. ./completion.bash
complete_line() { # words of the line; the last one is being completed
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    _coffer
    checks=$((checks + 1))
}
complete_line coffer volume imp
[ "${COMPREPLY[*]}" = import ] || die "completion of 'volume imp' gave '${COMPREPLY[*]}'"
complete_line coffer volume create --no-st
[ "${COMPREPLY[*]}" = --no-storage-encrypted ] || die "completion gave '${COMPREPLY[*]}'"
complete_line coffer volume list --output js
[ "${COMPREPLY[*]}" = json ] || die "completion of --output gave '${COMPREPLY[*]}'"
complete_line coffer snapshot res
[ "${COMPREPLY[*]}" = restore ] || die "completion of 'snapshot res' gave '${COMPREPLY[*]}'"
complete_line coffer rekey --dep
[ "${COMPREPLY[*]}" = --depth ] || die "completion of 'rekey --dep' gave '${COMPREPLY[*]}'"
complete_line coffer sc
[ "${COMPREPLY[*]}" = scrub ] || die "completion of 'sc' gave '${COMPREPLY[*]}'"
"$COFFER" completion zsh >completion.zsh
grep -q "'volume import') _arguments" completion.zsh || die "the zsh script lacks volume import"
grep -q "'snapshot diff') _arguments" completion.zsh || die "the zsh script lacks snapshot diff"
if command -v zsh >/dev/null; then
    ok zsh -n completion.zsh
fi
fails 2 'bash or zsh' "$COFFER" completion fish

# Wrong lines.
fails 2 'a verb is missing: one of .*volume' "$COFFER"
fails 2 'there is no verb clone; there are .*volume.*snapshot' "$COFFER" clone create s:v@a
fails 2 'there is no verb snapshot keep; there are create, list' "$COFFER" snapshot keep s:v@a
fails 2 'there is no verb volume fly; there are .*import' "$COFFER" volume fly
fails 2 'an operand is missing' "$COFFER" volume read s:v 0
fails 2 'one operand too many' "$COFFER" volume describe s:v t:w
fails 2 'takes no --rate' "$COFFER" volume describe s:v --rate 4K
fails 2 'there is no option --siz; --size is the nearest' "$COFFER" store create s --siz 4K
fails 2 '--size needs a value' "$COFFER" store create s --size
fails 2 'it is one of json\|text\|table' "$COFFER" volume list s --output xml
fails 2 'K or KiB for 1024' "$COFFER" store create s --size 64MB
fails 2 'beyond 8 EiB' "$COFFER" store create s --size 16E
fails 2 'whole bytes' "$COFFER" store create s --size 1.3K
fails 2 'a size is a number' "$COFFER" store create s --size many
fails 2 '"exit":2' "$COFFER" store create s --size 64MB --output json
fails 2 'a power of two' "$COFFER" store create s --segment-size 3M
fails 2 'a power of two' "$COFFER" store create s --segment-size 512K
fails 2 'must have room' "$COFFER" store create s --size 0
fails 2 'a store is missing' "$COFFER" store describe
fails 2 'names no store' "$COFFER" volume describe v
fails 2 'is a path; the volume is missing' "$COFFER" volume describe ./store
fails 2 'name is missing' "$COFFER" volume describe store:
fails 2 "a volume's name is" "$COFFER" volume describe store:-x
fails 2 "a volume's name is" "$COFFER" volume describe "store:$(printf 'n%.0s' {1..64})"
fails 2 'not a snapshot' "$COFFER" volume delete store:v@s
fails 2 "snapshot's name is missing" "$COFFER" snapshot describe store:v
fails 2 "snapshot's name is missing" "$COFFER" snapshot describe store:v@
fails 2 "volume's name is missing" "$COFFER" snapshot describe store:@s
fails 2 "a snapshot's name is" "$COFFER" snapshot create store:v@.s
fails 2 "a snapshot's name is" "$COFFER" snapshot create store:v@s@t
fails 2 "a snapshot's name is" "$COFFER" snapshot create "store:v@$(printf 'n%.0s' {1..64})"
[ ! -e s ] || die "a refused command made a store"
finish
