/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms_search.h - look for secrets in bytes, and in every writable page of this process.
 *
 * What is looked for is given masked, so that the search doesn't find its own list.
 */
#ifndef KMS_SEARCH_H
#define KMS_SEARCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SEARCH_BYTES 32u
#define SEARCH_MASK 0xa5u

static inline void search_mask(const uint8_t *secret, uint8_t masked[SEARCH_BYTES])
{
    size_t i;

    for (i = 0; i < SEARCH_BYTES; i++) {
        masked[i] = (uint8_t)(secret[i] ^ SEARCH_MASK);
    }
}

static inline int search_matches(const uint8_t *at, const uint8_t *masked)
{
    size_t i;

    for (i = 0; i < SEARCH_BYTES; i++) {
        if ((at[i] ^ SEARCH_MASK) != masked[i]) {
            return 0;
        }
    }
    return 1;
}

/* Add to found[i] how often the i-th of the masked secrets stands in bytes. */
static inline void search_bytes(const uint8_t *bytes, size_t count, uint8_t (*masked)[SEARCH_BYTES],
                                unsigned secrets, unsigned *found)
{
    size_t at;
    unsigned i;

    for (at = 0; at + SEARCH_BYTES <= count; at++) {
        for (i = 0; i < secrets; i++) {
            found[i] += (unsigned)search_matches(bytes + at, masked[i]);
        }
    }
}

/* The same in the pages from `from` to `to`. */
static inline void search_pages(int memory, unsigned long from, unsigned long to,
                                uint8_t (*masked)[SEARCH_BYTES], unsigned secrets, unsigned *found)
{
    static uint8_t window[1 << 16];
    unsigned long at;

    for (at = from; at < to; at += sizeof(window) - 64) {
        size_t want = to - at < sizeof(window) ? to - at : sizeof(window);
        ssize_t got;

        /* The window would find itself. */
        if (at <= (uintptr_t)window + sizeof(window) && at + want >= (uintptr_t)window) {
            continue;
        }
        got = pread(memory, window, want, (off_t)at);
        if (got > (ssize_t)SEARCH_BYTES) {
            search_bytes(window, (size_t)got, masked, secrets, found);
        }
        memset(window, 0, sizeof(window));
    }
}

/* In all pages that can be written, or in those of them that a core dump would have; found begins
 * at nought. */
static inline void search_maps(int only_dumped, uint8_t (*masked)[SEARCH_BYTES], unsigned secrets,
                               unsigned *found)
{
    static char line[512];
    FILE *maps = fopen("/proc/self/smaps", "r");
    int memory = open("/proc/self/mem", O_RDONLY);
    unsigned long from = 0, to = 0, next_from, next_to;
    char rights[5] = "----", next_rights[5];

    assert_non_null(maps);
    assert_true(memory >= 0);
    memset(found, 0, secrets * sizeof(*found));
    while (fgets(line, sizeof(line), maps) != NULL) {
        if (sscanf(line, "%lx-%lx %4s", &next_from, &next_to, next_rights) == 3) {
            from = next_from;
            to = next_to;
            memcpy(rights, next_rights, sizeof(rights));
        } else if (strncmp(line, "VmFlags:", 8) == 0 && rights[1] == 'w' &&
                   !(only_dumped && strstr(line, " dd") != NULL)) {
            search_pages(memory, from, to, masked, secrets, found);
        }
    }
    close(memory);
    fclose(maps);
}

static inline void search_memory(uint8_t (*masked)[SEARCH_BYTES], unsigned secrets, unsigned *found)
{
    search_maps(0, masked, secrets, found);
}

/* What would be in a core dump. */
static inline void search_core(uint8_t (*masked)[SEARCH_BYTES], unsigned secrets, unsigned *found)
{
    search_maps(1, masked, secrets, found);
}

#endif
