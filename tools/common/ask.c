/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/ask.c - the question before something is destroyed, and the flag that SIGINT sets.
 *
 * The handler does nothing but set the flag, so that a long verb stops between two steps and takes
 * back what it has half made.
 */
#include "error.h"
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define QUESTION_BYTES 1024

static volatile sig_atomic_t interrupt_seen;

int cof_tool_confirm(const struct cof_tool_call *call, const char *question, ...)
{
    char text[QUESTION_BYTES];
    char answer[16];
    va_list list;
    if (cof_tool_given(call, "yes")) {
        return 0;
    }
    va_start(list, question);
    vsnprintf(text, sizeof text, question, list);
    va_end(list);
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        return cof_tool_usage(call, NULL,
                              "%s: there is no terminal to ask on: give --yes to agree, or "
                              "--dry-run to see what would be done", text);
    }
    fprintf(stderr, "%s: %s. Go on? Type yes: ", call->program->name, text);
    fflush(stderr);
    if (fgets(answer, sizeof answer, stdin) == NULL || strcmp(answer, "yes\n") != 0) {
        return cof_tool_fail_named(call, "DECLINED", "usage", COF_EXIT_FAILED,
                                   "the answer was not yes", NULL, "nothing was done");
    }
    return 0;
}

static void on_interrupt(int number)
{
    if (interrupt_seen) {
        signal(number, SIG_DFL);
        raise(number);
    }
    interrupt_seen = 1;
}

void cof_tool_catch_interrupts(void)
{
    struct sigaction action;
    struct sigaction before;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;
    sigemptyset(&action.sa_mask);
    /* Without SA_RESTART a read that waits for a pipe returns, and its loop sees the flag. */
    if (sigaction(SIGINT, NULL, &before) == 0 && before.sa_handler != SIG_IGN) {
        /* A shell starts what runs in the background with SIGINT ignored, and so it stays. */
        sigaction(SIGINT, &action, NULL);
    }
    sigaction(SIGTERM, &action, NULL);
    /* A reader that has gone and a file that may not grow are errors like others, so that what is
     * half made is taken back. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

bool cof_tool_interrupted(void)
{
    return interrupt_seen != 0;
}
