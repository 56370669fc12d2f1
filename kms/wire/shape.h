/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/shape.h - what a parameter may be, declared as in the published model of AWS KMS, and
 * the check of a request against it with that service's wording.
 *
 * A shape is a type with bounds; a member is a name with a shape; an operation takes a list of
 * members that ends with a NULL name. Members that the list has not are left alone, as AWS does.
 * min and max bound the length of texts and blobs (characters, bytes), the entries of lists and
 * maps, and the value of numbers; both 0 is no bound.
 */
#ifndef COF_KMS_WIRE_SHAPE_H
#define COF_KMS_WIRE_SHAPE_H

#include "wire/json.h"

#include <stdbool.h>

enum cof_wire_type {
    COF_WIRE_TEXT,
    COF_WIRE_NUMBER,
    COF_WIRE_TIME, /* seconds since 1970, maybe with a fraction */
    COF_WIRE_FLAG,
    COF_WIRE_BLOB, /* base64                                    */
    COF_WIRE_MAP,  /* of texts                                  */
    COF_WIRE_LIST,
    COF_WIRE_STRUCT
};

enum cof_wire_letters {
    COF_WIRE_ALNUM, /* letters, digits and the extra ones */
    COF_WIRE_HEX,   /* lower case                         */
    COF_WIRE_LATIN  /* U+0020 to U+00FF and the extra ones */
};

/* Which characters a text is made of. */
struct cof_wire_pattern {
    const char *text; /* the model's, for the message */
    enum cof_wire_letters letters;
    const char *extra;
};

struct cof_wire_shape {
    enum cof_wire_type type;
    bool secret; /* its value never stands in a message */
    uint32_t min, max;
    const struct cof_wire_pattern *pattern; /* or NULL                             */
    const char *const *values;              /* of an enum, ends with NULL; or NULL */
    const struct cof_wire_shape *of;        /* of a LIST: its entries              */
    const struct cof_wire_member *members;  /* of a STRUCT                         */
};

struct cof_wire_member {
    const char *name;
    const struct cof_wire_shape *shape;
    bool required;
};

#define COF_WIRE_MESSAGE_BYTES 16384u

struct cof_wire_check {
    unsigned errors;                      /* constraints that are not met                 */
    bool malformed;                       /* a value is of another type, or not base64    */
    size_t length;                        /* of message                                   */
    char message[COF_WIRE_MESSAGE_BYTES]; /* of the errors, or of what is malformed */
    /* Called for each blob, decoded; 0 or a negative enum coffer_error, which ends the check. */
    int (*on_blob)(void *ctx, const json_t *value, const struct cof_wire_shape *shape,
                   size_t *ret_bytes);
    void *ctx;
};

/* 0 and check->errors; INVALID when malformed; what on_blob gave. check comes zeroed but for
 * on_blob and ctx. params is an object. */
COFFER_MUST_CHECK int cof_wire_check_params(struct cof_wire_check *check, const json_t *params,
                                            const struct cof_wire_member *members);
/* The text of a ValidationException: "2 validation errors detected: ...". */
void cof_wire_check_text(const struct cof_wire_check *check, char *buffer, size_t room);

#endif
