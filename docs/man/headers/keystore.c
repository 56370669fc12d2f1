/* SPDX-License-Identifier: Apache-2.0 */
/* The example of coffer_keystore.h(3): not linked, but compiled by tests/cli/man_pages.sh. */

#include <coffer/keystore.h>
#include <stdio.h>
#include <string.h>

/* Open a key store, or make it, and get what coffer_volume_open wants of it. The store is closed
 * after the last volume, by coffer_keystore_close. */
struct coffer_keystore *open_keys(const char *path, const char *root_key_file,
                                  struct coffer_key_provider *ret_provider)
{
    struct coffer_keystore_opts opts;
    struct coffer_keystore *keys;
    struct coffer_fault fault;

    memset(&opts, 0, sizeof opts);
    opts.size = sizeof opts;
    opts.path = path;
    opts.root_key_file = root_key_file;
    opts.flags = COFFER_KEYSTORE_CREATE;
    if (coffer_keystore_open(&opts, &keys, &fault) != 0) {
        fprintf(stderr, "%s\n", fault.detail);
        return NULL;
    }
    if (coffer_keystore_provider(keys, ret_provider) != 0) {
        coffer_keystore_close(keys);
        return NULL;
    }
    return keys;
}
