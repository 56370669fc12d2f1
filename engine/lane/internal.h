/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane/internal.h - what lane.c and commit.c share.
 */
#ifndef COF_LANE_INTERNAL_H
#define COF_LANE_INTERNAL_H

#include "lane/lane.h"

/* Write the batches that are closed and sealed, in order, up to the first that is not. */
void cof_lane_submit_ready(struct cof_lane *lane);
/* Have the next segment written with zeros if it is fresh and appends are small. */
void cof_lane_maybe_condition(struct cof_lane *lane);
/* Register the batch buffers with the channel, where the device can. */
void cof_lane_register(struct cof_lane *lane);

#endif
