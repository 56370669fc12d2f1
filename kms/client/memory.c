/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/memory.c - the memory of libcurl, wiped when it is freed: its buffers hold requests and
 * answers, and so plaintexts.
 *
 * libcurl's memory functions are the process's own and are set by whoever sets it up first. Where
 * that is someone else, libcurl keeps theirs, and that program answers for what it frees.
 */
#include "client/client.h"

#include "secret.h"

#include <curl/curl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static void give(void *memory)
{
    if (memory != NULL) {
        cof_kms_wipe(memory, malloc_usable_size(memory));
        free(memory);
    }
}

static void *take_again(void *memory, size_t bytes)
{
    void *moved = malloc(bytes == 0 ? 1 : bytes);

    if (moved != NULL && memory != NULL) {
        size_t before = malloc_usable_size(memory);

        memcpy(moved, memory, before < bytes ? before : bytes);
        give(memory);
    }
    return moved;
}

int cof_client_memory_init(void)
{
    return curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, give, take_again, strdup, calloc) == 0
               ? 0
               : COFFER_E_CRYPTO;
}
