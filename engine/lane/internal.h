/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane/internal.h - what lane.c and commit.c share.
 */
#ifndef COF_LANE_INTERNAL_H
#define COF_LANE_INTERNAL_H

#include "lane/lane.h"

/* Write the batches that are closed and sealed, in order, up to the first that is not. */
void cof_lane_submit_ready(struct cof_lane *lane);
/* There is something that no sync covers. */
void cof_lane_unsynced(struct cof_lane *lane);
/* Have the next segment written with zeros if it is fresh and appends are small; not in memory,
 * where a sync costs nothing that this would save. */
void cof_lane_maybe_condition(struct cof_lane *lane);
/* device.c: the channel and its locks. */
COFFER_MUST_CHECK int cof_lane_device_open(struct cof_lane *lane);
void cof_lane_device_close(struct cof_lane *lane);
/* Put a request into the outbox, behind those that were put there before. */
void cof_lane_send(struct cof_lane *lane, struct coffer_segdev_request *request);
/* The requests that came back, and, once, the channel's error. */
struct coffer_segdev_request *cof_lane_receive(struct cof_lane *lane, int *ret_error);
/* Register the batch buffers with the channel, where the device can. */
void cof_lane_register(struct cof_lane *lane);

#endif
