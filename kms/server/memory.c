/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/memory.c - libevent's memory, wiped when it is given back: its buffers hold requests and
 * answers, and those hold plaintexts. Any thread.
 */
#include "server/inner.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

union block_head {
    size_t bytes;
    max_align_t align;
};

static void *take(size_t bytes)
{
    union block_head *head = bytes > SIZE_MAX - sizeof *head ? NULL : malloc(sizeof *head + bytes);
    if (head == NULL) {
        return NULL;
    }
    head->bytes = bytes;
    return head + 1;
}

static void give(void *memory)
{
    if (memory != NULL) {
        union block_head *head = (union block_head *)memory - 1;
        explicit_bzero(memory, head->bytes);
        free(head);
    }
}

static void *take_again(void *memory, size_t bytes)
{
    void *other = take(bytes);
    if (other != NULL && memory != NULL) {
        size_t had = ((union block_head *)memory - 1)->bytes;
        memcpy(other, memory, had < bytes ? had : bytes);
        give(memory);
    }
    return other;
}

void cof_server_memory_wipe(void)
{
    event_set_mem_functions(take, take_again, give);
}
