/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/flipbytes/copies.h - a closed store that holds what copies from another store leave.
 *
 * A snapshot that came with its keys and without a key of ours, a volume made of it, a later
 * snapshot that came as the difference, and a copy that was stopped on its way.
 */
#ifndef TESTS_CRASH_FLIPBYTES_COPIES_H
#define TESTS_CRASH_FLIPBYTES_COPIES_H

#include "common/disk_forge.h"

/* Fails the case when the store does not hold each kind. Both outlive every judgement. */
void copies_make(struct sim_image **ret_image, struct forge_map *map);
/* As rich_store_judge: pages show what they must or give an error; a copy that is not whole does
 * not open. */
int copies_judge(const struct sim_image *image, bool forged, uint64_t *ret_refused);

#endif
