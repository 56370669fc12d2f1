/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/harness.c - see harness.h. State is static: a harness is one program with one thread.
 */
#include "common/harness.h"

#include "base/testhook.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define TOLD_MAX 10u

static char context[400] = "(no case)";
static char last_failure[400];
static jmp_buf *back;
static uint64_t failures;
static bool quiet_now;

void harness_context(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(context, sizeof context, format, args);
    va_end(args);
}

const char *harness_context_get(void)
{
    return context;
}

void harness_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(last_failure, sizeof last_failure, format, args);
    va_end(args);
    failures++;
    if (!quiet_now && failures <= TOLD_MAX) {
        printf("FAIL %s\n     replay: %s\n", last_failure, context);
        fflush(stdout);
    }
    if (back == NULL) {
        exit(1);
    }
    longjmp(*back, 1);
}

bool harness_run(void (*run)(void *ctx), void *ctx)
{
    jmp_buf here;
    jmp_buf *volatile outer = back;
    volatile bool held = false;
    back = &here;
    if (setjmp(here) == 0) {
        run(ctx);
        held = true;
    }
    back = outer;
    return held;
}

uint64_t harness_failures(void)
{
    return failures;
}

void harness_quiet(bool quiet)
{
    quiet_now = quiet;
}

const char *harness_last_failure(void)
{
    return last_failure;
}

static void print_help(const char *program, const struct harness_option *options, const char *what)
{
    printf("%s: %s\n", program, what);
    for (const struct harness_option *option = options; option->name != NULL; option++) {
        const char *takes = option->number != NULL ? "N" : option->string != NULL ? "TEXT" : "";
        printf("  %s %-*s %s\n", option->name, (int)(16 - strlen(option->name)), takes,
               option->help);
    }
}

static int take_value(const struct harness_option *option, const char *value)
{
    char *end;
    if (option->string != NULL) {
        *option->string = value;
        return 0;
    }
    errno = 0;
    *option->number = strtoull(value, &end, 0);
    return errno != 0 || end == value || *end != 0 ? -1 : 0;
}

void harness_options(int argc, char **argv, const struct harness_option *options, const char *what)
{
    for (int i = 1; i < argc; i++) {
        const struct harness_option *option = options;
        while (option->name != NULL && strcmp(option->name, argv[i]) != 0) {
            option++;
        }
        if (option->name == NULL) {
            bool asked = strcmp(argv[i], "--help") == 0;
            print_help(argv[0], options, what);
            exit(asked ? 0 : 2);
        }
        if (option->flag != NULL) {
            *option->flag = true;
        } else if (i + 1 == argc || take_value(option, argv[++i]) != 0) {
            printf("%s: %s wants a value\n", argv[0], option->name);
            exit(2);
        }
    }
}

void harness_break(const char *name)
{
    static const struct {
        const char *name;
        enum cof_break value;
    } known[] = {
        {"DROP_FLUSH", COF_BREAK_DROP_FLUSH},     {"SKIP_TAG", COF_BREAK_SKIP_TAG},
        {"FLUSH_REACHED", COF_BREAK_FLUSH_REACHED}, {"WRITE_BACK", COF_BREAK_WRITE_BACK},
        {"REUSE_NONCE", COF_BREAK_REUSE_NONCE},   {"IGNORE_IO_ERROR", COF_BREAK_IGNORE_IO_ERROR},
        {"SKIP_CHAIN", COF_BREAK_SKIP_CHAIN},     {"EARLY_FREE", COF_BREAK_EARLY_FREE},
        {"TRUST_EPOCH", COF_BREAK_TRUST_EPOCH},   {"SKIP_CUT", COF_BREAK_SKIP_CUT},
        {"COPY_SHORT", COF_BREAK_COPY_SHORT},     {"COPY_GREEDY", COF_BREAK_COPY_GREEDY},
        {"KEEP_INTERIM", COF_BREAK_KEEP_INTERIM}, {"CLEAN_EARLY", COF_BREAK_CLEAN_EARLY},
        {"CLEAN_FREE", COF_BREAK_CLEAN_FREE},     {"CLEAN_LOSE", COF_BREAK_CLEAN_LOSE},
        {"MISCOUNT", COF_BREAK_MISCOUNT},         {"SHRINK_EARLY", COF_BREAK_SHRINK_EARLY},
        {"KEEP_LEAVING", COF_BREAK_KEEP_LEAVING}, {"UNLISTED", COF_BREAK_UNLISTED},
        {"SAME_UUID", COF_BREAK_SAME_UUID},
        {"COPY_STALE", COF_BREAK_COPY_STALE},     {"STOP_EARLY", COF_BREAK_STOP_EARLY},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].name, name) == 0) {
            cof_test_break = known[i].value;
            quiet_now = true;
            return;
        }
    }
    printf("no planted fault is called %s\n", name);
    exit(2);
}

double harness_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Nothing can be trusted any more, so only what a signal handler may do. */
static void on_alarm(int number)
{
    static const char text[] = "FAIL hang: the case takes too long\n     replay: ";
    (void)number;
    if (write(STDOUT_FILENO, text, sizeof text - 1) < 0 ||
        write(STDOUT_FILENO, context, strlen(context)) < 0 || write(STDOUT_FILENO, "\n", 1) < 0) {
        _exit(2);
    }
    _exit(1);
}

void harness_watch(unsigned seconds)
{
    harness_watch_cpu(0, seconds);
}

void harness_watch_cpu(unsigned cpu_seconds, unsigned wall_seconds)
{
    const struct itimerval cpu = {.it_value = {.tv_sec = cpu_seconds}};
    if (wall_seconds > 0) {
        (void)signal(SIGALRM, on_alarm);
        (void)signal(SIGPROF, on_alarm);
    }
    (void)setitimer(ITIMER_PROF, &cpu, NULL);
    (void)alarm(wall_seconds);
}

int harness_close(const char *program, uint64_t cases, const char *broken)
{
    bool good = broken == NULL ? failures == 0 && cases > 0 : failures > 0;
    if (broken == NULL) {
        printf("%s: %llu cases, %llu failed: %s\n", program, (unsigned long long)cases,
               (unsigned long long)failures, good ? "PASS" : "FAIL");
    } else {
        printf("%s: negative control %s: %llu cases, %llu caught (%s): %s\n", program, broken,
               (unsigned long long)cases, (unsigned long long)failures,
               failures > 0 ? last_failure : "nothing", good ? "CAUGHT" : "NOT CAUGHT");
    }
    return good ? 0 : 1;
}
