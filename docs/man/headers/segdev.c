/* SPDX-License-Identifier: Apache-2.0 */
/* The example of coffer_segdev.h(3): not linked, but compiled by tests/cli/man_pages.sh. */

#include <coffer/coffer.h>
#include <string.h>

/* A store in memory, for a program's own tests. The device is closed with the store, and what was
 * in it is gone then. */
int make_in_memory(struct coffer_segdev **ret_device, struct coffer_fault *fault)
{
    struct coffer_store_create_opts opts;
    struct coffer_segdev *device;
    int error = coffer_segdev_memory_open(NULL, 256u << 20, 1u << 20, &device);

    if (error != 0) {
        return error;
    }
    *ret_device = device;
    memset(&opts, 0, sizeof opts);
    opts.size = sizeof opts;
    opts.device = device; /* the store's from now on, whatever happens */
    return coffer_store_create(&opts, fault);
}
