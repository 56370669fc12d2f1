/* SPDX-License-Identifier: Apache-2.0 */
/* The example of coffer_tags.h(3): not linked, but compiled by tests/cli/man_pages.sh. */

#include <coffer/coffer.h>
#include <stdio.h>
#include <string.h>

static int print_tag(void *ctx, const struct coffer_tag *tag)
{
    fprintf((FILE *)ctx, "%s = %s\n", tag->key, tag->value);
    return 0;
}

/* Tag a volume, open or not, and show all of its tags. */
int tag_disk(struct coffer_store *store, const struct coffer_key_provider *keys,
             struct coffer_fault *fault)
{
    struct coffer_tag tag = {"team", "ledger"};
    struct coffer_tags_opts opts;
    int error;

    memset(&opts, 0, sizeof opts);
    opts.size = sizeof opts;
    opts.name = "disk";
    opts.provider = keys;
    error = coffer_tags_set(store, &opts, &tag, 1, fault);
    if (error != 0) {
        return error;
    }
    return coffer_tags_visit(store, &opts, print_tag, stdout, fault);
}
