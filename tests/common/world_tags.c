/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/world_tags.c - tags of a world's volumes and snapshots, and how they look when the store
 * is damaged; see world.h.
 */
#include "common/harness.h"
#include "common/world.h"

#include <string.h>

static const struct coffer_tag two_tags[] = {{"team", "storage"}, {"a key", "Wörter, and more"}};

static struct coffer_tags_opts opts_of(const struct world *world, unsigned node)
{
    return (struct coffer_tags_opts){.size = sizeof(struct coffer_tags_opts),
                                     .name = world->model->volumes[node].name,
                                     .provider = &world->kms->api};
}

int world_tags_set(struct world *world, unsigned node)
{
    const struct coffer_tags_opts opts = opts_of(world, node);
    int error = coffer_tags_set(world->store, &opts, two_tags, 2, &world->fault);
    world_tell(world, "tags of %s: %s", world->model->volumes[node].name, coffer_error_name(error));
    world->model->volumes[node].tagged = true;
    return error;
}

struct seen_tags {
    unsigned right, wrong;
};

static int see(void *ctx, const struct coffer_tag *tag)
{
    struct seen_tags *seen = ctx;
    for (unsigned i = 0; i < 2; i++) {
        if (strcmp(tag->key, two_tags[i].key) == 0 && strcmp(tag->value, two_tags[i].value) == 0) {
            seen->right++;
            return 0;
        }
    }
    seen->wrong++;
    return 0;
}

int world_tags_look(struct world *world, unsigned node)
{
    const struct model_volume *at = &world->model->volumes[node];
    const struct coffer_tags_opts opts = opts_of(world, node);
    const bool forged = world->tolerate > 1;
    struct seen_tags seen = {0};
    int error = coffer_tags_visit(world->store, &opts, see, &seen, &world->fault);
    if (error != 0) {
        harness_require(world->tolerate > 0 && world_says_damage(error, forged), "tags of %s: %s",
                        at->name, coffer_error_name(error));
        world->damaged++;
        return 0;
    }
    if (forged && (!at->encrypted || seen.right + seen.wrong == 0)) {
        return 0; /* a checksum keeps nobody out; none: the volume's own state before its tags */
    }
    harness_require(seen.right == 2 && seen.wrong == 0, "%s has %u of its tags and %u others",
                    at->name, seen.right, seen.wrong);
    return 0;
}
