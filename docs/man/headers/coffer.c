/* SPDX-License-Identifier: Apache-2.0 */
/* The example of coffer_coffer.h(3): not linked, but compiled by tests/cli/man_pages.sh. */

#include <coffer/coffer.h>
#include <stdio.h>
#include <string.h>

/* Write a page of an encrypted volume so that it survives the loss of power. */
int keep(const char *path, const struct coffer_key_provider *keys,
         const unsigned char page[COFFER_PAGE_BYTES])
{
    struct coffer_store_opts store_opts;
    struct coffer_volume_open_opts opts;
    struct coffer_store *store = NULL;
    struct coffer_volume *volume;
    struct coffer_fault fault;
    int error, closed;

    memset(&store_opts, 0, sizeof store_opts);
    store_opts.size = sizeof store_opts;
    store_opts.path = path;
    memset(&opts, 0, sizeof opts);
    opts.size = sizeof opts;
    opts.name = "disk";
    opts.provider = keys;

    error = coffer_store_open(&store_opts, &store, &fault);
    if (error == 0) {
        error = coffer_volume_open(store, &opts, &volume, &fault);
    }
    if (error == 0) {
        error = coffer_volume_write(volume, page, 8192, COFFER_PAGE_BYTES, 0, &fault);
    }
    if (error == 0) {
        error = coffer_volume_flush(volume, &fault);
    }
    if (error != 0) {
        fprintf(stderr, "%s: %s\n", coffer_error_sentence(error), fault.detail);
    }
    closed = coffer_store_close(store); /* and the volume with it */
    return error != 0 ? error : closed;
}
