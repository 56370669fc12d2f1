/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/run.c - main() of both programs: harden, parse, answer what every program answers, run.
 *
 * Verbs that are built in because they only read the table: `help [NOUN [VERB]]` and
 * `completion bash|zsh`. With --output json or --query, help prints the table itself, which is what
 * the tests compare the man pages with.
 */
#include "error.h"
#include "harden.h"
#include "internal.h"
#include "output.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A store opened on descriptor 1 would take what the verb prints: keep 0 to 2 in use. */
static void keep_standard_files(void)
{
    for (;;) {
        int fd = open("/dev/null", O_RDWR);
        if (fd < 0 || fd > STDERR_FILENO) {
            if (fd >= 0) {
                close(fd);
            }
            return;
        }
    }
}

static int run_help(struct cof_tool_call *call, int count, char **words)
{
    if (cof_tool_wants_json(call) || cof_tool_given(call, "query")) {
        return cof_tool_print(call, cof_tool_table(call->program), NULL);
    }
    const char *noun = NULL;
    if (count > 0) {
        if (count == 1 && cof_tool_is_noun(call->program, words[0])) {
            noun = words[0];
        } else {
            int exit_code = cof_tool_find_verb(call, &count, &words);
            if (exit_code != 0) {
                return exit_code;
            }
        }
    }
    return cof_tool_help(call, noun);
}

static int run_completion(struct cof_tool_call *call, int count, char **words)
{
    if (count != 1 || (strcmp(words[0], "bash") != 0 && strcmp(words[0], "zsh") != 0)) {
        return cof_tool_usage(call, NULL, "completion takes the shell's name: bash or zsh");
    }
    return cof_tool_complete(call, words[0]);
}

static int run_verb(struct cof_tool_call *call, int count, char **words)
{
    int exit_code = cof_tool_find_verb(call, &count, &words);
    if (exit_code == 0) {
        exit_code = cof_tool_take_operands(call, count, words);
    }
    if (exit_code == 0) {
        exit_code = call->verb->run(call);
    }
    return exit_code;
}

static int run(struct cof_tool_call *call, int argc, char **argv)
{
    int at;
    int exit_code = cof_tool_parse(call, argc, argv, &at);
    if (exit_code != 0) {
        return exit_code;
    }
    int count = argc - at;
    char **words = argv + at;
    if (cof_tool_given(call, "version")) {
        printf("%s %s\n", call->program->name, call->program->version);
        return 0;
    }
    if (cof_tool_given(call, "help")) {
        return run_help(call, count, words);
    }
    if (count > 0 && strcmp(words[0], "help") == 0) {
        return run_help(call, count - 1, words + 1);
    }
    if (count > 0 && strcmp(words[0], "completion") == 0) {
        return run_completion(call, count - 1, words + 1);
    }
    return run_verb(call, count, words);
}

int cof_tool_main(const struct cof_tool_program *program, int argc, char **argv)
{
    static struct cof_tool_call call;
    call.program = program;
    keep_standard_files();
    cof_tool_harden();
    cof_tool_catch_interrupts();
    int exit_code = run(&call, argc, argv);
    int output_code = cof_tool_finish_output(&call);
    return exit_code != 0 ? exit_code : output_code;
}
