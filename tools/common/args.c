/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/args.c - the parser: getopt_long over the program's option table.
 *
 * Options are read first and the verb is found among what is left (verb.c), so that a complaint
 * about the verb already knows whether --output json was asked for. Strings are borrowed from argv.
 */
#include "args.h"
#include "error.h"
#include "internal.h"
#include "size.h"
#include <assert.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

bool cof_tool_word_in(const char *words, const char *word, char separator)
{
    size_t length = strlen(word);
    for (const char *at = words; at != NULL && length > 0;) {
        const char *end = strchrnul(at, separator);
        if ((size_t)(end - at) == length && memcmp(at, word, length) == 0) {
            return true;
        }
        at = *end == '\0' ? NULL : end + 1;
    }
    return false;
}

const struct cof_tool_option *cof_tool_option_find(const struct cof_tool_program *program,
                                                   const char *name, size_t length)
{
    for (size_t i = 0; i < program->option_count; i++) {
        const char *candidate = program->options[i].name;
        if (strlen(candidate) == length && memcmp(candidate, name, length) == 0) {
            return &program->options[i];
        }
    }
    return NULL;
}

bool cof_tool_verb_takes(const struct cof_tool_program *program, const struct cof_tool_verb *verb,
                         const char *name)
{
    return cof_tool_word_in(verb->options, name, ' ') ||
           cof_tool_word_in(program->common, name, ' ');
}

static const struct cof_tool_value *value_of(const struct cof_tool_call *call, const char *name)
{
    const struct cof_tool_option *option =
        cof_tool_option_find(call->program, name, strlen(name));
    assert(option != NULL);
    return &call->values[option - call->program->options];
}

bool cof_tool_given(const struct cof_tool_call *call, const char *name)
{
    return value_of(call, name)->given;
}

const char *cof_tool_text(const struct cof_tool_call *call, const char *name, const char *fallback)
{
    const struct cof_tool_value *value = value_of(call, name);
    return value->given ? value->text : fallback;
}

uint64_t cof_tool_number(const struct cof_tool_call *call, const char *name, uint64_t fallback)
{
    const struct cof_tool_value *value = value_of(call, name);
    return value->given ? value->number : fallback;
}

unsigned cof_tool_list(const struct cof_tool_call *call, const char *name,
                       const char *const **ret_values)
{
    const struct cof_tool_value *value = value_of(call, name);
    *ret_values = value->list;
    return value->list_count;
}

static int set_parsed(struct cof_tool_call *call, const struct cof_tool_option *option,
                      const char *text, struct cof_tool_value *value)
{
    const char *why = NULL;
    int status = 0;
    if (option->kind == COF_TOOL_SIZE) {
        status = cof_tool_size_parse(text, &value->number, &why);
    } else if (option->kind == COF_TOOL_NUMBER) {
        status = cof_tool_number_parse(text, &value->number, &why);
    }
    if (status != 0) {
        return cof_tool_usage(call, NULL, "--%s %s: %s", option->name, text, why);
    }
    if (option->kind == COF_TOOL_CHOICE && !cof_tool_word_in(option->value, text, '|')) {
        return cof_tool_usage(call, NULL, "--%s %s: it is one of %s", option->name, text,
                              option->value);
    }
    return 0;
}

static int set_option(struct cof_tool_call *call, const struct cof_tool_option *option,
                      const char *text)
{
    struct cof_tool_value *value = &call->values[option - call->program->options];
    if (option->kind == COF_TOOL_LIST || option->kind == COF_TOOL_WORDS) {
        if (value->list_count == COF_TOOL_LIST_MAX) {
            return cof_tool_usage(call, NULL, "--%s can be given at most %d times", option->name,
                                  COF_TOOL_LIST_MAX);
        }
        value->list[value->list_count++] = text;
    } else if (text != NULL) {
        int exit_code = set_parsed(call, option, text, value);
        if (exit_code != 0) {
            return exit_code;
        }
    }
    value->given = true;
    value->text = text;
    return 0;
}

int cof_tool_set(struct cof_tool_call *call, const char *name, const char *text)
{
    const struct cof_tool_option *option =
        cof_tool_option_find(call->program, name, strlen(name));
    assert(option != NULL);
    return set_option(call, option, text);
}

static unsigned distance(const char *a, const char *b)
{
    /* Letters of the shorter prefix and suffix in common: enough to find a slip of one key. */
    size_t la = strlen(a);
    size_t lb = strlen(b);
    size_t head = 0;
    size_t tail = 0;
    while (head < la && head < lb && a[head] == b[head]) {
        head++;
    }
    while (tail < la - head && tail < lb - head && a[la - 1 - tail] == b[lb - 1 - tail]) {
        tail++;
    }
    size_t longer = la > lb ? la : lb;
    return (unsigned)(longer - head - tail);
}

static int complain_unknown(struct cof_tool_call *call, const char *token)
{
    const char *typed = token + strspn(token, "-");
    char name[64];
    size_t length = strcspn(typed, "=");
    if (length >= sizeof name) {
        length = sizeof name - 1;
    }
    memcpy(name, typed, length);
    name[length] = '\0';
    const char *near = NULL;
    unsigned best = 3;
    for (size_t i = 0; i < call->program->option_count; i++) {
        unsigned away = distance(name, call->program->options[i].name);
        if (away < best) {
            best = away;
            near = call->program->options[i].name;
        }
    }
    if (near != NULL) {
        return cof_tool_usage(call, NULL, "there is no option %.64s; --%s is the nearest", token,
                              near);
    }
    return cof_tool_usage(call, NULL, "there is no option %.64s; --help lists them", token);
}

/* The words of one option as they stood on the line: getopt has already gone past them. */
static const char *token_before(char **argv)
{
    bool separate = optarg != NULL && optarg == argv[optind - 1];
    return argv[optind - (separate ? 2 : 1)];
}

static int take_option(struct cof_tool_call *call, int argc, char **argv, int index)
{
    const struct cof_tool_option *option = &call->program->options[index];
    const char *typed = token_before(argv) + 2;
    size_t length = strcspn(typed, "=");
    if (length != strlen(option->name)) {
        return complain_unknown(call, typed - 2);
    }
    int exit_code = set_option(call, option, optarg);
    /* getopt takes what optind has gone past for read. */
    while (exit_code == 0 && option->kind == COF_TOOL_WORDS && optind < argc &&
           strncmp(argv[optind], "--", 2) != 0) {
        exit_code = set_option(call, option, argv[optind++]);
    }
    return exit_code;
}

/* A complaint about an option must take the form that another option asks for, wherever that
 * stands on the line. */
static void look_for_json(struct cof_tool_call *call, int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        bool separate = strcmp(argv[i], "--output") == 0 && i + 1 < argc;
        if (strcmp(argv[i], "--output=json") == 0 ||
            (separate && strcmp(argv[i + 1], "json") == 0)) {
            int exit_code = set_option(call, cof_tool_option_find(call->program, "output", 6),
                                       "json");
            assert(exit_code == 0);
        }
    }
}

static int parse_options(struct cof_tool_call *call, int argc, char **argv)
{
    static struct option table[COF_TOOL_OPTIONS_MAX + 1];
    const struct cof_tool_program *program = call->program;
    assert(program->option_count <= COF_TOOL_OPTIONS_MAX);
    for (size_t i = 0; i < program->option_count; i++) {
        table[i].name = program->options[i].name;
        table[i].has_arg =
            program->options[i].kind == COF_TOOL_FLAG ? no_argument : required_argument;
        table[i].flag = NULL;
        table[i].val = 'o';
    }
    memset(&table[program->option_count], 0, sizeof table[0]);
    look_for_json(call, argc, argv);
    opterr = 0;
    optind = 0;
    for (;;) {
        int index = -1;
        int letter = getopt_long(argc, argv, ":", table, &index);
        int exit_code;
        if (letter == -1) {
            return 0;
        }
        if (letter == ':') {
            exit_code = cof_tool_usage(call, NULL, "%s needs a value", argv[optind - 1]);
        } else if (letter == 'o') {
            exit_code = take_option(call, argc, argv, index);
        } else {
            exit_code = complain_unknown(call, argv[optind - 1]);
        }
        if (exit_code != 0) {
            return exit_code;
        }
    }
}

int cof_tool_parse(struct cof_tool_call *call, int argc, char **argv, int *ret_words_at)
{
    int exit_code = parse_options(call, argc, argv);
    *ret_words_at = optind;
    return exit_code;
}
