/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/cleaning.c - see cleaning.h. State is static: a harness is one program with one thread.
 */
#include "common/cleaning.h"

#include "base/testhook.h"

#include <stdio.h>

static struct {
    uint64_t segments, pages, damaged, light, stores;
} done;

void cleaning_note(struct coffer_store *store)
{
    struct coffer_store_info info = {.size = sizeof info};
    if (store == NULL || coffer_store_info_get(store, &info) != 0) {
        return;
    }
    done.segments += info.cleaned_segments;
    done.pages += info.moved_bytes / COFFER_PAGE_BYTES;
    done.damaged += info.cleaner_damaged_pages;
    done.light += info.light_checkpoints;
    done.stores += info.moved_bytes > 0 ? 1u : 0u;
}

uint64_t cleaning_pages(void)
{
    return done.pages;
}

int cleaning_close(int status, bool wanted)
{
    bool idle = wanted && status == 0 && cof_test_break == COF_BREAK_NONE &&
                (done.segments == 0 || done.pages == 0);
    printf("cleaner: %llu segments cleaned, %llu pages moved (%llu damaged), %llu light "
           "checkpoints, at work in %llu stores%s\n",
           (unsigned long long)done.segments, (unsigned long long)done.pages,
           (unsigned long long)done.damaged, (unsigned long long)done.light,
           (unsigned long long)done.stores, idle ? ": FAIL, it was to be at work" : "");
    return idle ? 1 : status;
}
