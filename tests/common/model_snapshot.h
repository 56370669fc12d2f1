/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/model_snapshot.h - the model's side of snapshots, clones and what they share.
 *
 * Nodes are volumes and snapshots. A snapshot lies between its volume and what that was made after;
 * a volume made of a snapshot has that as its parent. A deleted snapshot with two children or more
 * stays, hidden, with its pages, until one is left; so every page is in a connected part of the
 * tree. One thread.
 */
#ifndef TESTS_COMMON_MODEL_SNAPSHOT_H
#define TESTS_COMMON_MODEL_SNAPSHOT_H

#include "common/model.h"

/* A free slot with room for pages; the rest is the caller's. */
unsigned model_slot_take(struct model *model, uint64_t pages_max, uint64_t event);
/* Its name; a volume takes the model's name_next, when that is set. Who had the name is gone, and
 * is looked for no more. */
void model_name_give(struct model *model, unsigned node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A snapshot "VOLUME@sLABEL" whose taking begins now, with what its volume has now. */
unsigned model_snapshot_add(struct model *model, unsigned volume, unsigned label, uint64_t event);
/* A volume with the snapshot's contents whose making begins now. fresh: every page is written anew
 * (an unencrypted snapshot under a key), so it shares none. */
unsigned model_clone_add(struct model *model, unsigned snapshot, bool fresh, uint64_t event);
/* Of what was in flight or had failed when it was taken, this is what it has. */
void model_snapshot_settle(struct model *model, unsigned snapshot, const struct model_seen *seen);
/* A page or the size is not certain. */
bool model_snapshot_open(const struct model *model, unsigned snapshot);
/* The snapshot, or none, that has the name. */
unsigned model_snapshot_find(const struct model *model, unsigned volume, unsigned label);

/* It is there / not any more: put the relations right. Either may be said twice. */
void model_node_made(struct model *model, unsigned node);
void model_node_gone(struct model *model, unsigned node);
unsigned model_node_children(const struct model *model, unsigned node);
/* The nearest ancestor that is not hidden. */
unsigned model_node_parent(const struct model *model, unsigned node);

/* The node's newest page: false when that is not known. id 0: none. */
bool model_page_known(const struct model *model, unsigned node, uint64_t page, uint64_t *ret_id);
/* Pages that no other node holds: at least and at most. hidden: but such as are hidden. */
void model_exclusive(const struct model *model, unsigned node, uint64_t *ret_least,
                     uint64_t *ret_most);
/* Pages that it holds: at least and at most. */
void model_mapped(const struct model *model, unsigned node, uint64_t *ret_least,
                  uint64_t *ret_most);

/* ---- keys ---- */

/* The key under which it is made; nothing for what is not encrypted. */
void model_key_first(struct model *model, unsigned node, unsigned key);
/* Its key may have changed since the last rebase, or did. */
bool model_rekeying(const struct model *model, unsigned node);
/* Something is under the key, or may be after a change that was not acknowledged. */
bool model_key_needed(const struct model *model, unsigned key);
/* The volume's rekey to `key` begins, with its snapshots'; done: it was acknowledged. */
void model_rekey(struct model *model, unsigned volume, unsigned key, uint64_t event);
void model_rekeyed(struct model *model, unsigned volume, uint64_t event);

#endif
