/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/help.c - --help for the program, a noun and a verb, and the table as JSON.
 *
 * Help goes to standard output, since it is what was asked for.
 */
#include "internal.h"
#include <stdio.h>
#include <string.h>

static void print_usage_of(const struct cof_tool_program *program,
                           const struct cof_tool_verb *verb)
{
    printf("  %s %s%s%s%s%s\n", program->name, verb->noun ? verb->noun : "", verb->noun ? " " : "",
           verb->name, verb->operands[0] ? " " : "", verb->operands);
}

static void print_options(const struct cof_tool_program *program, const char *names)
{
    for (size_t i = 0; i < program->option_count; i++) {
        const struct cof_tool_option *option = &program->options[i];
        char left[64];
        if (!cof_tool_word_in(names, option->name, ' ')) {
            continue;
        }
        snprintf(left, sizeof left, "--%s%s%s", option->name, option->value ? " " : "",
                 option->value ? option->value : "");
        printf("  %-32s  %s%s\n", left, option->help,
               option->kind == COF_TOOL_LIST    ? "; may be repeated"
               : option->kind == COF_TOOL_WORDS ? "; more may follow"
                                                : "");
    }
}

static void help_verb(const struct cof_tool_program *program, const struct cof_tool_verb *verb)
{
    printf("%s\n\nUsage:\n", verb->summary);
    print_usage_of(program, verb);
    if (verb->options[0] != '\0') {
        printf("\nOptions:\n");
        print_options(program, verb->options);
    }
    printf("\nOptions of every verb:\n");
    print_options(program, program->common);
    printf("\nManual page: %s(1)\n", verb->page);
}

static void help_verbs(const struct cof_tool_program *program, const char *noun)
{
    for (size_t i = 0; i < program->verb_count; i++) {
        const struct cof_tool_verb *verb = &program->verbs[i];
        char left[64];
        if (noun != NULL && (verb->noun == NULL || strcmp(verb->noun, noun) != 0)) {
            continue;
        }
        snprintf(left, sizeof left, "%s%s%s", verb->noun ? verb->noun : "", verb->noun ? " " : "",
                 verb->name);
        printf("  %-32s  %s\n", left, verb->summary);
    }
}

static void help_program(const struct cof_tool_program *program, const char *noun)
{
    printf("%s - %s\n\nUsage:\n", program->name, program->summary);
    printf("  %s %s [OPTION]... [OPERAND]...\n", program->name, noun ? noun : "VERB");
    printf("\nVerbs:\n");
    help_verbs(program, noun);
    if (noun == NULL) {
        printf("  %-32s  %s\n", "help [VERB]", "what a verb does and takes");
        printf("  %-32s  %s\n", "completion bash|zsh", "a completion script for the shell");
    }
    printf("\nOptions of every verb:\n");
    print_options(program, program->common);
    if (program->environment != NULL && noun == NULL) {
        printf("\nEnvironment:\n%s", program->environment);
    }
    printf("\nExit codes: 0 done, 1 failed, 2 usage, 3 key or access, 4 integrity, 5 wrong state "
           "or\nbusy, 6 throttled, 7 not found, 8 I/O or full, 9 format too new, 130 interrupted.\n"
           "Manual page: %s(1)\n", program->page);
}

int cof_tool_help(const struct cof_tool_call *call, const char *noun)
{
    if (call->verb != NULL) {
        help_verb(call->program, call->verb);
    } else {
        help_program(call->program, noun);
    }
    return 0;
}

static json_t *words_of(const char *words)
{
    json_t *list = json_array();
    while (*words != '\0') {
        size_t length = strcspn(words, " ");
        if (length > 0) {
            json_array_append_new(list, json_stringn(words, length));
        }
        words += length;
        words += strspn(words, " ");
    }
    return list;
}

json_t *cof_tool_table(const struct cof_tool_program *program)
{
    static const char *const kinds[] = {"flag",   "text",   "file", "size",
                                        "number", "choice", "list", "words"};
    json_t *options = json_array();
    json_t *verbs = json_array();
    for (size_t i = 0; i < program->option_count; i++) {
        const struct cof_tool_option *option = &program->options[i];
        json_array_append_new(options, json_pack("{s:s, s:s, s:s?, s:s}", "Name", option->name,
                                                 "Kind", kinds[option->kind], "Value",
                                                 option->value, "Help", option->help));
    }
    for (size_t i = 0; i < program->verb_count; i++) {
        const struct cof_tool_verb *verb = &program->verbs[i];
        json_array_append_new(verbs,
                              json_pack("{s:s?, s:s, s:s, s:o, s:s, s:s}", "Noun", verb->noun,
                                        "Verb", verb->name, "Operands", verb->operands, "Options",
                                        words_of(verb->options), "Summary", verb->summary, "Page",
                                        verb->page));
    }
    return json_pack("{s:i, s:s, s:s, s:s, s:o, s:o, s:o}", "Version", 1, "Program", program->name,
                     "ProgramVersion", program->version, "Page", program->page, "Common",
                     words_of(program->common), "Options", options, "Verbs", verbs);
}
