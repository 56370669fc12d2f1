/* SPDX-License-Identifier: Apache-2.0 */
/* The example of coffer_audit.h(3): not linked, but compiled by tests/cli/man_pages.sh. */

#include <coffer/audit.h>
#include <inttypes.h>
#include <stdio.h>

static int on_seal(void *ctx, const struct coffer_seal *seal)
{
    unsigned *records = (unsigned *)ctx;
    *records += seal->kind == COFFER_SEAL_RECORD;
    return 0;
}

/* The store was opened with COFFER_OPEN_READ_ONLY; no key is needed. */
int count_seals(struct coffer_store *store)
{
    struct coffer_seals_opts opts = {sizeof opts, on_seal, NULL, NULL, NULL};
    struct coffer_seals_summary summary;
    struct coffer_fault fault;
    unsigned records = 0;
    int error;

    opts.ctx = &records;
    error = coffer_store_visit_seals(store, &opts, &summary, &fault);
    if (error != 0) {
        fprintf(stderr, "%s\n", fault.detail);
        return error;
    }
    printf("%" PRIu64 " pages, %u records\n", summary.pages, records);
    return 0;
}
