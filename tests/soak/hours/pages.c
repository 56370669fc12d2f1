/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hours/pages.c - which version each page shows, how often each is shown, and the version tree as
 * far as it keeps pages alive: a deleted snapshot stays, hidden, while two were made after it.
 */
#include "hours/soak.h"

#include <stdlib.h>
#include <string.h>

static void refer(struct soak *soak, uint32_t version, bool more)
{
    if (version == 0) {
        return;
    }
    harness_require(more ? soak->refs[version] < UINT8_MAX : soak->refs[version] > 0,
                    "judge: version %u is shown %u times", version, soak->refs[version]);
    if (more) {
        soak->distinct += soak->refs[version]++ == 0 ? 1u : 0u;
    } else {
        soak->distinct -= --soak->refs[version] == 0 ? 1u : 0u;
    }
}

void soak_show(struct soak *soak, struct soak_tree *tree, uint64_t page, uint32_t version)
{
    refer(soak, version, true);
    refer(soak, tree->versions[page], false);
    tree->versions[page] = version;
}

uint32_t soak_new_versions(struct soak *soak, uint64_t count)
{
    uint32_t first = soak->version + 1u;
    harness_require(count < UINT32_MAX - first, "judge: out of versions");
    soak->version += (uint32_t)count;
    while (soak->version >= soak->version_room) {
        uint32_t room = soak->version_room == 0 ? 1u << 20 : 2u * soak->version_room;
        soak->refs = realloc(soak->refs, room);
        if (soak->refs == NULL) {
            abort();
        }
        memset(soak->refs + soak->version_room, 0, room - soak->version_room);
        soak->version_room = room;
    }
    return first;
}

unsigned soak_tree_new(struct soak *soak, uint64_t pages)
{
    unsigned at = 0;
    struct soak_tree *tree;
    while (at < SOAK_TREES && soak->trees[at].used) {
        at++;
    }
    harness_require(at < SOAK_TREES, "judge: too many volumes and snapshots");
    tree = &soak->trees[at];
    memset(tree, 0, sizeof *tree);
    tree->used = true;
    tree->parent = SOAK_NONE;
    tree->pages = pages;
    tree->versions = calloc(pages, sizeof *tree->versions);
    if (tree->versions == NULL) {
        abort();
    }
    return at;
}

void soak_tree_copy(struct soak *soak, unsigned from, unsigned to)
{
    for (uint64_t page = 0; page < soak->trees[to].pages; page++) {
        soak_show(soak, &soak->trees[to], page, soak->trees[from].versions[page]);
    }
}

static unsigned children_of(const struct soak *soak, unsigned tree)
{
    unsigned children = 0;
    for (unsigned i = 0; i < SOAK_TREES; i++) {
        children += soak->trees[i].used && soak->trees[i].parent == tree ? 1u : 0u;
    }
    return children;
}

static void remove_tree(struct soak *soak, unsigned at)
{
    struct soak_tree *tree = &soak->trees[at];
    for (uint64_t page = 0; page < tree->pages; page++) {
        refer(soak, tree->versions[page], false);
    }
    for (unsigned i = 0; i < SOAK_TREES; i++) {
        if (soak->trees[i].used && soak->trees[i].parent == at) {
            soak->trees[i].parent = tree->parent;
        }
    }
    free(tree->versions);
    memset(tree, 0, sizeof *tree);
}

void soak_tree_drop(struct soak *soak, unsigned at)
{
    unsigned parent = soak->trees[at].parent;
    if (children_of(soak, at) > 1) {
        soak->trees[at].hidden = true;
        return;
    }
    remove_tree(soak, at);
    while (parent != SOAK_NONE && soak->trees[parent].hidden && children_of(soak, parent) < 2u) {
        unsigned next = soak->trees[parent].parent;
        remove_tree(soak, parent);
        parent = next;
    }
}

void soak_trees_free(struct soak *soak)
{
    for (unsigned i = 0; i < SOAK_TREES; i++) {
        free(soak->trees[i].versions);
    }
    free(soak->refs);
}

uint64_t soak_mapped(const struct soak_tree *tree)
{
    uint64_t mapped = 0;
    for (uint64_t page = 0; page < tree->pages; page++) {
        mapped += tree->versions[page] != 0 ? 1u : 0u;
    }
    return mapped;
}

unsigned soak_pick(struct soak *soak, bool snapshot, bool open)
{
    unsigned found = SOAK_NONE, count = 0;
    for (unsigned i = 0; i < SOAK_TREES; i++) {
        const struct soak_tree *tree = &soak->trees[i];
        if (tree->used && !tree->hidden && tree->snapshot == snapshot &&
            (snapshot || (tree->volume != NULL) == open) && prng_chance(&soak->prng, 1, ++count)) {
            found = i;
        }
    }
    return found;
}
