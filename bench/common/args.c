/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/args.c - see args.h.
 */
#include "common/args.h"
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ARGS_MAX 64u

/* A whole number with a binary suffix, up to a comma or the end; where it ended is *ret_end. */
static int parse_size(const char *text, uint64_t *ret_value, const char **ret_end)
{
    static const char suffixes[] = "KMGTP";
    char *end = NULL;
    if (!isdigit((unsigned char)text[0])) {
        return -1;
    }
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0) {
        return -1;
    }
    unsigned shift = 0;
    if (*end != '\0' && *end != ',') {
        const char *found = strchr(suffixes, toupper((unsigned char)*end));
        if (found == NULL) {
            return -1;
        }
        shift = 10u * (unsigned)(found - suffixes + 1);
        end += strncasecmp(end + 1, "iB", 2) == 0 ? 3 : 1;
    }
    if ((*end != '\0' && *end != ',') || value > (UINT64_MAX >> shift)) {
        return -1;
    }
    *ret_value = (uint64_t)value << shift;
    *ret_end = end;
    return 0;
}

static int parse_one_size(const char *text, uint64_t *ret_value)
{
    const char *end = NULL;
    uint64_t value = 0;
    if (parse_size(text, &value, &end) != 0 || *end != '\0') {
        return -1;
    }
    *ret_value = value;
    return 0;
}

static int parse_sizes(const char *text, struct cof_bench_list *ret_list)
{
    struct cof_bench_list list = {.count = 0};
    while (list.count < COF_BENCH_LIST_MAX) {
        const char *end = NULL;
        if (parse_size(text, &list.values[list.count], &end) != 0) {
            return -1;
        }
        list.count++;
        if (*end == '\0') {
            *ret_list = list;
            return 0;
        }
        text = end + 1;
    }
    return -1;
}

static int parse_seconds(const char *text, uint64_t *ret_ns)
{
    char *end = NULL;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds >= 0.0) || seconds > 1e9) {
        return -1;
    }
    *ret_ns = (uint64_t)(seconds * 1e9);
    return 0;
}

/* Every enum that the tables name is as wide as unsigned, which gcc and clang give to all whose
 * values fit. */
static int parse_word(const char *text, const char *const *words, void *place)
{
    for (unsigned i = 0; words[i] != NULL; i++) {
        if (strcmp(text, words[i]) == 0) {
            memcpy(place, &i, sizeof i);
            return 0;
        }
    }
    return -1;
}

static int take(const struct cof_bench_arg *arg, const char *text, void *options)
{
    void *place = (char *)options + arg->place;
    switch (arg->kind) {
    case COF_BENCH_FLAG:
        *(bool *)place = true;
        return 0;
    case COF_BENCH_TEXT:
        *(const char **)place = text;
        return 0;
    case COF_BENCH_SIZE:
        return parse_one_size(text, place);
    case COF_BENCH_SECONDS:
        return parse_seconds(text, place);
    case COF_BENCH_WORD:
        return parse_word(text, arg->words, place);
    case COF_BENCH_SIZES:
        return parse_sizes(text, place);
    }
    return -1;
}

static void print_help(const char *usage, const struct cof_bench_arg *args, size_t count)
{
    puts(usage);
    for (size_t i = 0; i < count; i++) {
        printf("  --%-17s %s\n", args[i].name, args[i].help);
    }
    printf("  --%-17s %s\n", "help", "this text");
}

int cof_bench_args_refuse(const char *sentence)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, sentence);
    return -1;
}

int cof_bench_args_parse(int argc, char **argv, const char *usage, const struct cof_bench_arg *args,
                         size_t count, void *options)
{
    struct option table[ARGS_MAX + 2];
    memset(table, 0, sizeof table);
    if (count > ARGS_MAX) {
        return cof_bench_args_refuse("the table of options is too long");
    }
    for (size_t i = 0; i < count; i++) {
        table[i].name = args[i].name;
        table[i].has_arg = args[i].kind == COF_BENCH_FLAG ? no_argument : required_argument;
    }
    table[count].name = "help";
    int index = 0;
    int found;
    while ((found = getopt_long(argc, argv, "", table, &index)) != -1) {
        if (found == '?') {
            return -1;
        }
        if ((size_t)index == count) {
            print_help(usage, args, count);
            return 1;
        }
        if (take(&args[index], optarg, options) != 0) {
            fprintf(stderr, "%s: --%s: '%s' is not valid\n", program_invocation_short_name,
                    args[index].name, optarg);
            return -1;
        }
    }
    return optind < argc ? cof_bench_args_refuse("there is a word that belongs to no option") : 0;
}
