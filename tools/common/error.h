/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/error.h - how a failure reaches people and scripts: one line or one object, one exit code.
 *
 * The line is `PROGRAM: VERB: what failed: why: what to do` on standard error. With --output json
 * it is an object instead: version, program, verb, code, class, exit, message, and the place where
 * it is known (volume, page, segment, offset, stage, os_errno). The numbers of the exit codes are
 * frozen: 0 done, 1 failed, 2 usage, 3 key or access, 4 integrity, 5 wrong state or busy,
 * 6 throttled, 7 not found, 8 I/O or full, 9 format too new, 130 interrupted.
 *
 * No function here is given a secret, ever: what it gets, it prints.
 */
#ifndef COF_TOOLS_COMMON_ERROR_H
#define COF_TOOLS_COMMON_ERROR_H

#include "args.h"
#include <coffer/error.h>
#include <stdio.h>

enum cof_tool_exit {
    COF_EXIT_DONE = 0,
    COF_EXIT_FAILED = 1,
    COF_EXIT_USAGE = 2,
    COF_EXIT_KEY = 3,
    COF_EXIT_INTEGRITY = 4,
    COF_EXIT_STATE = 5,
    COF_EXIT_THROTTLED = 6,
    COF_EXIT_NOT_FOUND = 7,
    COF_EXIT_IO = 8,
    COF_EXIT_TOO_NEW = 9,
    COF_EXIT_INTERRUPTED = 130
};

/* The exit code of an enum coffer_error. EXISTS is 5: the name is in a state that forbids it. */
int cof_tool_exit_of(int error);

/*
 * Report that `what` (format and arguments) failed with error, and return its exit code. fault may
 * be NULL; its detail, when it has one, is the why. todo is what to do about it, or NULL for the
 * error's own advice. CANCELLED after an interrupt is 130.
 */
int cof_tool_fail(const struct cof_tool_call *call, int error, const struct coffer_fault *fault,
                  const char *todo, const char *what, ...) __attribute__((format(printf, 5, 6)));

/* The same for an error that has a name of its own, such as a KMS exception: code goes into the
 * object in place of the library's name, message is the why, exit_code is returned. */
int cof_tool_fail_named(const struct cof_tool_call *call, const char *code, const char *cls,
                        int exit_code, const char *message, const char *todo, const char *what, ...)
    __attribute__((format(printf, 7, 8)));

/* A system call on a file or stream failed with os_errno: ENOENT is 7, EEXIST 5, most are 8. */
int cof_tool_fail_errno(const struct cof_tool_call *call, int os_errno, const char *todo,
                        const char *what, ...) __attribute__((format(printf, 4, 5)));

/* The line is wrong, or asks for a combination that is forbidden. code: NULL is "Usage"; a name of
 * the reference documents such as "InvalidParameterCombination" else. Returns 2. */
int cof_tool_usage(const struct cof_tool_call *call, const char *code, const char *message, ...)
    __attribute__((format(printf, 3, 4)));

/* Something worth knowing that is no failure: one line on standard error, `PROGRAM: ...`. With
 * --output json an object with "note" in it. */
void cof_tool_note(const struct cof_tool_call *call, const char *message, ...)
    __attribute__((format(printf, 2, 3)));

/* Let reports and notes go to stream, a line at a time; NULL: standard error, as before. For a
 * server that has none. */
void cof_tool_reports_to(FILE *stream);

/* Ask on the terminal; --yes answers yes. `question` names what will be lost. Without a terminal
 * and without --yes the answer is a usage error. Returns 0 to go on, else the exit code. The
 * verb must take the option "yes". */
int cof_tool_confirm(const struct cof_tool_call *call, const char *question, ...)
    __attribute__((format(printf, 2, 3)));

/* SIGINT and SIGTERM set a flag that long verbs look at between steps; a second one while nothing
 * has looked ends the process as the signal would. cof_tool_main installs the handler. */
void cof_tool_catch_interrupts(void);
bool cof_tool_interrupted(void);

#endif
