/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/progress.h - how far a long verb is: one line on standard error that is written over.
 *
 * --progress auto shows it on a terminal only; always shows lines anywhere; json prints one object
 * a second ({"done":..., "total":..., "bytes_per_second":..., "percent":..., "eta_seconds":...});
 * never shows nothing. Rate and remaining time come from the bytes done so far. At most five
 * updates a second.
 */
#ifndef COF_TOOLS_COMMON_PROGRESS_H
#define COF_TOOLS_COMMON_PROGRESS_H

#include "args.h"

enum cof_tool_progress_mode {
    COF_PROGRESS_NEVER = 0,
    COF_PROGRESS_LINE,  /* written over, on a terminal */
    COF_PROGRESS_LINES, /* one below the other         */
    COF_PROGRESS_JSON
};

struct cof_tool_progress {
    enum cof_tool_progress_mode mode;
    const char *what;     /* "import", "scrub"       */
    uint64_t total_bytes; /* 0: not known            */
    uint64_t begin_ns, shown_ns;
    bool shown;
};

void cof_tool_progress_begin(struct cof_tool_progress *progress, const struct cof_tool_call *call,
                             const char *what, uint64_t total_bytes);
void cof_tool_progress_step(struct cof_tool_progress *progress, uint64_t done_bytes);
/* Takes the line away; with JSON or lines, a last one at done_bytes. */
void cof_tool_progress_end(struct cof_tool_progress *progress, uint64_t done_bytes);

uint64_t cof_tool_now_ns(void);

#endif
