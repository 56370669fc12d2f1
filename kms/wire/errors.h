/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/errors.h - the names that AWS KMS has for what went wrong.
 */
#ifndef COF_KMS_WIRE_ERRORS_H
#define COF_KMS_WIRE_ERRORS_H

#include <coffer/error.h>

struct cof_wire_error {
    int code; /* enum coffer_error */
    int status;
    const char *name;
};

/* Never NULL: an error that the table has not is KMSInternalException. */
const struct cof_wire_error *cof_wire_error_of(int code);

/* The error that a name stands for, the first of the table where it stands for more; 0 when the
 * table has none of that name. */
int cof_wire_code_of(const char *name);

/* For tests and fuzzers: whether a name can stand in an answer. */
int cof_wire_error_known(const char *name);

/* Names without an error of their own in the library. */
#define COF_WIRE_UNKNOWN_OPERATION "UnknownOperationException"
#define COF_WIRE_SERIALIZATION "SerializationException"
#define COF_WIRE_VALIDATION "ValidationException"
#define COF_WIRE_TOO_LARGE "RequestEntityTooLargeException"
#define COF_WIRE_ACCESS_DENIED "AccessDeniedException"
#define COF_WIRE_INTERNAL "KMSInternalException"

#endif
