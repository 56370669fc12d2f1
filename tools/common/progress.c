/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/progress.c - the line on standard error that says how far a long verb is.
 */
#include "progress.h"
#include "output.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SECOND 1000000000ull
#define LINE_EVERY_NS (NS_PER_SECOND / 5)
#define OBJECT_EVERY_NS NS_PER_SECOND

uint64_t cof_tool_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

void cof_tool_progress_begin(struct cof_tool_progress *progress, const struct cof_tool_call *call,
                             const char *what, uint64_t total_bytes)
{
    const char *mode = cof_tool_text(call, "progress", "auto");
    memset(progress, 0, sizeof *progress);
    if (strcmp(mode, "json") == 0) {
        progress->mode = COF_PROGRESS_JSON;
    } else if (strcmp(mode, "always") == 0) {
        progress->mode = isatty(STDERR_FILENO) ? COF_PROGRESS_LINE : COF_PROGRESS_LINES;
    } else if (strcmp(mode, "auto") == 0 && isatty(STDERR_FILENO) && !cof_tool_wants_json(call)) {
        progress->mode = COF_PROGRESS_LINE;
    }
    progress->what = what;
    progress->total_bytes = total_bytes;
    progress->begin_ns = cof_tool_now_ns();
    progress->shown_ns = progress->begin_ns;
}

struct pace {
    uint64_t bytes_per_second;
    uint64_t eta_seconds;
    bool eta_known;
};

static struct pace pace_of(const struct cof_tool_progress *progress, uint64_t now_ns,
                           uint64_t done_bytes)
{
    struct pace pace = {0};
    double seconds = (double)(now_ns - progress->begin_ns) / 1e9;
    double rate = seconds > 0 ? (double)done_bytes / seconds : 0;
    pace.bytes_per_second = (uint64_t)rate;
    if (progress->total_bytes >= done_bytes && progress->total_bytes > 0 && rate >= 1) {
        pace.eta_known = true;
        pace.eta_seconds = (uint64_t)((double)(progress->total_bytes - done_bytes) / rate + 0.5);
    }
    return pace;
}

static unsigned percent_of(const struct cof_tool_progress *progress, uint64_t done_bytes)
{
    return (unsigned)((double)done_bytes * 100 / (double)progress->total_bytes);
}

static void show_object(const struct cof_tool_progress *progress, const struct pace *pace,
                        uint64_t done_bytes)
{
    fprintf(stderr, "{\"progress\":\"%s\",\"done\":%llu", progress->what,
            (unsigned long long)done_bytes);
    if (progress->total_bytes > 0) {
        fprintf(stderr, ",\"total\":%llu", (unsigned long long)progress->total_bytes);
    }
    fprintf(stderr, ",\"bytes_per_second\":%llu", (unsigned long long)pace->bytes_per_second);
    if (progress->total_bytes > 0) {
        fprintf(stderr, ",\"percent\":%u", percent_of(progress, done_bytes));
    }
    if (pace->eta_known) {
        fprintf(stderr, ",\"eta_seconds\":%llu", (unsigned long long)pace->eta_seconds);
    }
    fputs("}\n", stderr);
}

static void show_line(const struct cof_tool_progress *progress, const struct pace *pace,
                      uint64_t done_bytes)
{
    char done[32];
    char total[32];
    char rate[32];
    if (progress->mode == COF_PROGRESS_LINE) {
        fputs("\r\033[K", stderr);
    }
    fprintf(stderr, "%s: %s", progress->what, cof_tool_people_bytes(done_bytes, done));
    if (progress->total_bytes > 0) {
        fprintf(stderr, " of %s (%u%%)", cof_tool_people_bytes(progress->total_bytes, total),
                percent_of(progress, done_bytes));
    }
    fprintf(stderr, ", %s/s", cof_tool_people_bytes(pace->bytes_per_second, rate));
    if (pace->eta_known) {
        fprintf(stderr, ", %llu:%02llu left", (unsigned long long)(pace->eta_seconds / 60),
                (unsigned long long)(pace->eta_seconds % 60));
    }
    if (progress->mode == COF_PROGRESS_LINES) {
        fputc('\n', stderr);
    }
    fflush(stderr);
}

static void show(struct cof_tool_progress *progress, uint64_t now_ns, uint64_t done_bytes)
{
    struct pace pace = pace_of(progress, now_ns, done_bytes);
    if (progress->mode == COF_PROGRESS_JSON) {
        show_object(progress, &pace, done_bytes);
    } else {
        show_line(progress, &pace, done_bytes);
    }
    progress->shown = true;
    progress->shown_ns = now_ns;
}

void cof_tool_progress_step(struct cof_tool_progress *progress, uint64_t done_bytes)
{
    if (progress->mode == COF_PROGRESS_NEVER) {
        return;
    }
    uint64_t now_ns = cof_tool_now_ns();
    uint64_t every_ns = progress->mode == COF_PROGRESS_LINE ? LINE_EVERY_NS : OBJECT_EVERY_NS;
    if (now_ns - progress->shown_ns >= every_ns) {
        show(progress, now_ns, done_bytes);
    }
}

void cof_tool_progress_end(struct cof_tool_progress *progress, uint64_t done_bytes)
{
    if (progress->mode == COF_PROGRESS_LINE && progress->shown) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    } else if (progress->mode == COF_PROGRESS_LINES || progress->mode == COF_PROGRESS_JSON) {
        show(progress, cof_tool_now_ns(), done_bytes);
    }
    progress->mode = COF_PROGRESS_NEVER;
}
