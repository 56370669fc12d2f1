/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/identity_json.h - what the operations on identities share: pages as IAM has them
 * (MaxItems, Marker, IsTruncated), shapes, and whether a user or a role is meant.
 */
#ifndef COF_KMS_WIRE_IDENTITY_JSON_H
#define COF_KMS_WIRE_IDENTITY_JSON_H

#include "identity/identity.h"
#include "wire/wire.h"

#include <stdio.h>

extern const struct cof_wire_shape cof_shape_identity_name;
extern const struct cof_wire_shape cof_shape_identity_arn;

struct cof_wire_page {
    json_t *list;
    unsigned limit;
    bool more;
    char last[COF_KMS_IDENTITY_NAME_BYTES_MAX];
};

/* How many entries to ask for: one more than the page takes. */
unsigned cof_wire_page_begin(struct cof_wire_page *page, struct cof_wire *wire);
/* Whether there is room for the entry that is called mark; if so, it is added next. */
bool cof_wire_page_takes(struct cof_wire_page *page, const char *mark);
/* Give the list out under name, or let it go when error isn't 0, which is returned. */
COFFER_MUST_CHECK int cof_wire_page_end(struct cof_wire_page *page, struct cof_wire *wire,
                                        const char *name, int error);

/* By UserName or RoleName. */
const struct cof_identity_kind *cof_wire_identity_kind(const struct cof_wire *wire,
                                                       const char **ret_name);

#endif
