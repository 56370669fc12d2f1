/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/secret.c - locked, undumpable, wiped pages between guard pages.
 *
 * Layout of a mapping: guard page | page whose first 16 bytes hold the size | pages of the caller |
 * guard page. The size stands in a page of its own, so an overrun at either end faults before it
 * reaches it. Invariant: what is handed back to the kernel is zero. Any thread.
 */
#include "secret.h"

#include <coffer/keystore.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct secret_head {
    size_t bytes;         /* of the caller, rounded up to pages */
    size_t mapping_bytes; /* of the whole mapping               */
};

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

void cof_kms_wipe(void *memory, size_t bytes)
{
    explicit_bzero(memory, bytes);
}

static int map_pages(size_t bytes, bool must_lock, uint8_t **ret_memory)
{
    size_t page = page_bytes();
    size_t rounded, mapping_bytes;
    uint8_t *base, *memory;
    struct secret_head *head;

    if (bytes == 0 || bytes > SIZE_MAX / 2) {
        return COFFER_E_INVALID;
    }
    rounded = (bytes + page - 1) / page * page;
    mapping_bytes = rounded + 3 * page;
    base = mmap(NULL, mapping_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) {
        return COFFER_E_NO_MEMORY;
    }
    memory = base + 2 * page;
    if (mprotect(base + page, rounded + page, PROT_READ | PROT_WRITE) != 0) {
        (void)munmap(base, mapping_bytes);
        return COFFER_E_NO_MEMORY;
    }
    if ((mlock(memory, rounded) != 0 && must_lock) ||
        madvise(memory, rounded, MADV_DONTDUMP) != 0 ||
        madvise(memory, rounded, MADV_WIPEONFORK) != 0) {
        (void)munmap(base, mapping_bytes);
        return COFFER_E_LOCKED_MEMORY;
    }
    head = (struct secret_head *)(void *)(base + page);
    head->bytes = rounded;
    head->mapping_bytes = mapping_bytes;
    if (mprotect(base + page, page, PROT_READ) != 0) {
        (void)munmap(base, mapping_bytes);
        return COFFER_E_NO_MEMORY;
    }
    *ret_memory = memory;
    return 0;
}

int cof_kms_scratch_new(size_t bytes, uint8_t **ret_memory)
{
    return map_pages(bytes, false, ret_memory);
}

int coffer_keystore_secret_new(size_t bytes, uint8_t **ret_memory)
{
    if (ret_memory == NULL) {
        return COFFER_E_INVALID;
    }
    return map_pages(bytes, true, ret_memory);
}

void coffer_keystore_secret_free(uint8_t *memory)
{
    size_t page = page_bytes();
    const struct secret_head *head;

    if (memory == NULL) {
        return;
    }
    head = (const struct secret_head *)(const void *)(memory - page);
    cof_kms_wipe(memory, head->bytes);
    (void)munmap(memory - 2 * page, head->mapping_bytes);
}

/* ---- spares ------------------------------------------------------------------------------ */

int cof_kms_spare_take(struct cof_kms_spares *spares, uint8_t **ret_memory)
{
    unsigned i;

    for (i = 0; spares != NULL && i < COF_KMS_SPARES_MAX; i++) {
        uint8_t *memory = atomic_exchange(&spares->all[i], NULL);

        if (memory != NULL) {
            *ret_memory = memory;
            return 0;
        }
    }
    return coffer_keystore_secret_new(COF_KMS_SPARE_BYTES, ret_memory);
}

void cof_kms_spare_give(struct cof_kms_spares *spares, uint8_t *memory)
{
    unsigned i;

    if (memory != NULL) {
        cof_kms_wipe(memory, COF_KMS_SPARE_BYTES);
    }
    for (i = 0; spares != NULL && memory != NULL && i < COF_KMS_SPARES_MAX; i++) {
        uint8_t *none = NULL;

        if (atomic_compare_exchange_strong(&spares->all[i], &none, memory)) {
            return;
        }
    }
    coffer_keystore_secret_free(memory);
}

void cof_kms_spares_done(struct cof_kms_spares *spares)
{
    unsigned i;

    for (i = 0; i < COF_KMS_SPARES_MAX; i++) {
        coffer_keystore_secret_free(atomic_exchange(&spares->all[i], NULL));
    }
}
