/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/harden.c - what a process does before keys are in it.
 */
#include "harden.h"
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* The leak checker attaches to its own process, which one that can't be dumped refuses. */
#if defined(__SANITIZE_ADDRESS__)
#define COF_UNDER_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define COF_UNDER_ADDRESS_SANITIZER
#endif
#endif

void cof_tool_harden(void)
{
    struct rlimit limit;
#ifndef COF_UNDER_ADDRESS_SANITIZER
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_MEMLOCK, &limit);
    }
}
