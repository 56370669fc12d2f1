/* SPDX-License-Identifier: Apache-2.0 */
/* The example of coffer_snapshot.h(3): not linked, but compiled by tests/cli/man_pages.sh. */

#include <coffer/snapshot.h>
#include <string.h>

/* Take a snapshot of an open volume, and make another volume of it. */
int branch(struct coffer_store *store, struct coffer_volume *volume,
           const struct coffer_key_provider *keys, struct coffer_fault *fault)
{
    struct coffer_snapshot_restore_opts opts;
    int error;

    memset(&opts, 0, sizeof opts);
    opts.size = sizeof opts;
    opts.snapshot.size = sizeof opts.snapshot;
    opts.snapshot.volume = "disk";
    opts.snapshot.name = "monday";
    opts.snapshot.provider = keys;
    opts.new_name = "disk-of-monday";
    error = coffer_snapshot_create(volume, &opts.snapshot, NULL, fault);
    if (error != 0) {
        return error;
    }
    return coffer_snapshot_restore(store, &opts, fault);
}
