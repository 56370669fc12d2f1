/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferkms/event.h - an audit record in the shape of a CloudTrail event.
 *
 * eventSource is kms.coffer; sequence (of the trail, without gaps) and eventClass are ours.
 */
#ifndef COF_TOOLS_COFFERKMS_EVENT_H
#define COF_TOOLS_COFFERKMS_EVENT_H

#include "verbs.h"
#include <coffer/keystore.h>

/* creation, usage, modification or deletion; reading for what only looks. */
const char *cof_event_class(const char *event);

/* NULL: no memory. */
json_t *cof_event_json(const struct coffer_audit_record *record);

#endif
