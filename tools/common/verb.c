/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/verb.c - which verb a line means, and whether it takes what was given.
 */
#include "error.h"
#include "internal.h"
#include <assert.h>
#include <string.h>

static const struct cof_tool_verb *find_verb(const struct cof_tool_program *program,
                                             const char *noun, const char *name)
{
    for (size_t i = 0; i < program->verb_count; i++) {
        const struct cof_tool_verb *verb = &program->verbs[i];
        bool same_noun = noun == NULL ? verb->noun == NULL
                                      : verb->noun != NULL && strcmp(verb->noun, noun) == 0;
        if (same_noun && strcmp(verb->name, name) == 0) {
            return verb;
        }
    }
    return NULL;
}

bool cof_tool_is_noun(const struct cof_tool_program *program, const char *word)
{
    for (size_t i = 0; i < program->verb_count; i++) {
        if (program->verbs[i].noun != NULL && strcmp(program->verbs[i].noun, word) == 0) {
            return true;
        }
    }
    return false;
}

const char *cof_tool_verb_names(const struct cof_tool_program *program, const char *noun,
                                char *buffer, size_t capacity)
{
    size_t used = 0;
    buffer[0] = '\0';
    for (size_t i = 0; i < program->verb_count; i++) {
        const struct cof_tool_verb *verb = &program->verbs[i];
        bool inside = noun != NULL && verb->noun != NULL && strcmp(verb->noun, noun) == 0;
        bool first = noun == NULL &&
                     (i == 0 || verb->noun == NULL || verb[-1].noun == NULL ||
                      strcmp(verb[-1].noun, verb->noun) != 0);
        if (!inside && !first) {
            continue;
        }
        const char *word = noun == NULL && verb->noun != NULL ? verb->noun : verb->name;
        size_t length = strlen(word);
        if (used + length + 3 > capacity) {
            break;
        }
        if (used > 0) {
            memcpy(buffer + used, ", ", 2);
            used += 2;
        }
        memcpy(buffer + used, word, length + 1);
        used += length;
    }
    return buffer;
}

static int complain_verb(struct cof_tool_call *call, const char *noun, const char *word)
{
    char names[2048];
    cof_tool_verb_names(call->program, noun, names, sizeof names);
    if (word == NULL) {
        return cof_tool_usage(call, NULL, "%s%sa verb is missing: one of %s", noun ? noun : "",
                              noun ? ": " : "", names);
    }
    return cof_tool_usage(call, NULL, "there is no verb %s%s%s; there are %s", noun ? noun : "",
                          noun ? " " : "", word, names);
}

int cof_tool_find_verb(struct cof_tool_call *call, int *count, char ***words)
{
    const struct cof_tool_program *program = call->program;
    const char *noun = NULL;
    if (*count == 0) {
        return complain_verb(call, NULL, NULL);
    }
    if (cof_tool_is_noun(program, **words)) {
        noun = *(*words)++;
        --*count;
        if (*count == 0) {
            return complain_verb(call, noun, NULL);
        }
    }
    call->verb = find_verb(program, noun, **words);
    if (call->verb == NULL) {
        return complain_verb(call, noun, **words);
    }
    ++*words;
    --*count;
    return 0;
}

static int check_options(struct cof_tool_call *call)
{
    for (size_t i = 0; i < call->program->option_count; i++) {
        const char *name = call->program->options[i].name;
        if (call->values[i].given && !cof_tool_verb_takes(call->program, call->verb, name)) {
            return cof_tool_usage(call, NULL, "this verb takes no --%s; --help lists what it takes",
                                  name);
        }
    }
    return 0;
}

int cof_tool_take_operands(struct cof_tool_call *call, int count, char **words)
{
    const struct cof_tool_verb *verb = call->verb;
    int exit_code = check_options(call);
    if (exit_code != 0) {
        return exit_code;
    }
    assert(verb->operands_max <= COF_TOOL_OPERANDS_MAX);
    if ((unsigned)count < verb->operands_min) {
        return cof_tool_usage(call, NULL, "an operand is missing; it takes %s", verb->operands);
    }
    if ((unsigned)count > verb->operands_max) {
        return cof_tool_usage(call, NULL, "%s is one operand too many; it takes %s",
                              words[verb->operands_max],
                              verb->operands[0] ? verb->operands : "none");
    }
    for (int i = 0; i < count; i++) {
        call->operands[i] = words[i];
    }
    call->operand_count = (unsigned)count;
    return 0;
}
