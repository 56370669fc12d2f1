#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# --query and --output on a document that needs no store: the option table itself.
# shellcheck disable=SC2016 # backquotes are the query language's own
. "$(dirname "$0")/lib.sh"
q() { "$COFFER" help --query "$@"; }

prints coffer q Program
prints coffer q Program --output text
prints '"coffer"' q Program --output json
prints 1 q Version
prints None q NoSuchField
prints null q NoSuchField --output json
prints "$(printf 'store\tcreate')" q 'Verbs[0].[Noun,Verb]'
prints create q "Verbs[?Noun=='store'] | [0].Verb"
prints "$(printf 'create\tdescribe\tgrow\tshrink')" q "Verbs[?Noun=='store'].Verb"
prints "$(printf 'create\tvolume')" q "{N: Verbs[4].Noun, A: Verbs[4].Verb}"
prints 'set' q "Verbs[?Noun!='store' && Noun!='volume' && Noun!='snapshot'] | [0].Verb"
prints "$(printf 'rekey\tscrub')" q 'Verbs[?contains(Options, `"rate"`)].Verb'
prints "$(printf 'bs\tmemory\tnode-cache\trate\tsegment-size\tsize\ttag-cache')" q \
    "sort(Options[?Kind=='size'].Name)"
prints 'size' q "Options[?Kind=='size'].Name | [0]"
prints 'sign' q 'Verbs[-1].Verb'
prints 'bs,rate' q "join(',', sort(Options[?Kind=='size'].Name)[?length(@) < \`5\` && @ != 'size'])"
prints FALSE q "contains(Common, 'size')"
prints TRUE q "contains(Common, 'query')"
prints 'output,query,progress,help,version' q "join(',', Common[])"
prints "$(printf 'X\ta\nX\tb')" q "{X: [\`\"a\"\`, \`\"b\"\`]}"
matches '^Name: +store$' q 'Options[0]' --output table
matches '^Name +Kind' q 'Options[*].{Name:Name,Kind:Kind}' --output table

fails 2 'ends too early' q ''
fails 2 'at character 7: an index or \*' q 'Verbs['
fails 2 'slices are not supported' q 'Verbs[0:2]'
fails 2 'there is no function' q 'max(Verbs)'
fails 2 'it takes one argument' q 'length(Verbs, Verbs)'
fails 2 'it takes an object' q 'keys(Program)'
fails 2 'a quote is not closed' q "Verbs[?Noun=='store]"
fails 2 'has no meaning' q 'Verbs#'
fails 2 "can't follow" q 'Verbs Verbs'
fails 2 'is not JSON' q '`{`'
fails 2 'nested too deeply' q "$(printf '(%.0s' {1..200})a"
fails 2 'too long' q "a$(printf '.a%.0s' {1..300})"
fails 2 '"code":"InvalidQuery"' q 'Verbs[' --output json
finish
