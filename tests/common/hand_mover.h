/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/hand_mover.h - extents moved by hand, from docs/format.md and without the cleaner: pages
 * into groups of free segments, several pieces each, and descriptors that name them.
 *
 * For tests of what reads moved extents, and for holding the cleaner against a second opinion. One
 * thread; no volume of the store may be open. Nothing is durable before the next checkpoint.
 */
#ifndef TESTS_COMMON_HAND_MOVER_H
#define TESTS_COMMON_HAND_MOVER_H

#include "volume/store.h"

/* Move every extent that has a live page and whose lists no replay needs, in up to `pieces` pieces
 * that lie in as many segments. Returns how many extents were moved. */
unsigned hand_move_all(struct coffer_store *store, unsigned pieces);

#endif
