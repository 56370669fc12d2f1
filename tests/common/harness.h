/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/harness.h - what every torture program shares: dying with a replay line, arguments, time.
 *
 * A harness sets its context (the command that replays this very case) before each case. When
 * something does not hold, harness_fail prints the context and the reason and unwinds to the case's
 * harness_run, so that a negative control can count failures and a long run can go on; a broken
 * contract inside the simulator goes the same way. One thread.
 */
#ifndef TESTS_COMMON_HARNESS_H
#define TESTS_COMMON_HARNESS_H

#include <stdbool.h>
#include <stdint.h>

/* The case that runs now, as the command that replays it. */
void harness_context(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *harness_context_get(void);

/* Report and leave the case. Outside harness_run the process ends with status 1. */
void harness_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Run one case; true when it came back, false when it failed. What the case had allocated is lost
 * on failure, so leaks are not counted after that. */
bool harness_run(void (*run)(void *ctx), void *ctx);

/* Failed cases are told in full up to this many, then only counted. */
uint64_t harness_failures(void);
/* Say nothing of failures: they are expected by a negative control. */
void harness_quiet(bool quiet);
const char *harness_last_failure(void);

#define harness_require(condition, ...)                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            harness_fail(__VA_ARGS__);                                                             \
        }                                                                                          \
    } while (0)

struct harness_option {
    const char *name;    /* "--seed"                                 */
    uint64_t *number;    /* takes a number, or                       */
    const char **string; /* takes a string, or                       */
    bool *flag;          /* takes nothing                            */
    const char *help;
};

/* Parse; the options' array ends with a NULL name. Prints help or an error and exits as needed. */
void harness_options(int argc, char **argv, const struct harness_option *options,
                     const char *what);

/* Set the engine's planted fault by name ("DROP_FLUSH"); exits with 2 when there is none such. */
void harness_break(const char *name);

double harness_seconds(void);

/* The case hangs when it takes longer than this: report and end the process. 0: no watch. */
void harness_watch(unsigned seconds);
/* The same by the time that the process runs, so that one that was stopped for a while does not
 * seem to hang; a deadlock burns none, so there is a limit, a generous one, by the clock, too. */
void harness_watch_cpu(unsigned cpu_seconds, unsigned wall_seconds);

/* The last line of each program: prints counts and the verdict, returns the exit status. With a
 * planted fault (broken) the run must have failed. */
int harness_close(const char *program, uint64_t cases, const char *broken);

#endif
