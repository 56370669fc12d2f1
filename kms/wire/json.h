/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/json.h - JSON as the wire takes and gives it: strict, wiped, base64 for bytes.
 *
 * jansson's memory functions are the process's own. When they are still malloc and free they are
 * replaced, once, by the same with wiping, so that values made before and after can be freed by
 * either. Someone who put in others is left alone: that program answers for its freed memory.
 */
#ifndef COF_KMS_WIRE_JSON_H
#define COF_KMS_WIRE_JSON_H

#include "env.h"
#include "seal.h"

#include <jansson.h>

/* Before the first use of jansson; any thread, any number of times. */
void cof_wire_json_init(void);

/* One value and nothing behind it: UTF-8, no key twice, no NUL. NULL when it is none; ret_why has
 * room for 160 bytes and never quotes the input. */
json_t *cof_wire_json_parse(const uint8_t *bytes, size_t count, char *ret_why);

/* Bytes that value takes as compact JSON, and writing them: into exactly that room. */
size_t cof_wire_json_bytes(const json_t *value);
void cof_wire_json_write(const json_t *value, char *buffer, size_t room);

/* In base64; NULL when there is no memory. */
json_t *cof_wire_json_blob(struct cof_kms_bytes bytes);
/* Seconds since 1970 with milliseconds. */
json_t *cof_wire_json_time(uint64_t ns);

#endif
