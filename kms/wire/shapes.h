/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/shapes.h - the shapes that operations share, named as in the model of AWS KMS.
 */
#ifndef COF_KMS_WIRE_SHAPES_H
#define COF_KMS_WIRE_SHAPES_H

#include "wire/shape.h"

extern const struct cof_wire_shape cof_shape_key_id;
extern const struct cof_wire_shape cof_shape_flag;
extern const struct cof_wire_shape cof_shape_time;
extern const struct cof_wire_shape cof_shape_description;
extern const struct cof_wire_shape cof_shape_policy;
extern const struct cof_wire_shape cof_shape_policy_name;
extern const struct cof_wire_shape cof_shape_alias;
extern const struct cof_wire_shape cof_shape_region;
extern const struct cof_wire_shape cof_shape_store_id;
extern const struct cof_wire_shape cof_shape_limit;     /* 1..1000 */
extern const struct cof_wire_shape cof_shape_limit_100; /* aliases and grants */
extern const struct cof_wire_shape cof_shape_limit_50;  /* tags    */
extern const struct cof_wire_shape cof_shape_marker;
extern const struct cof_wire_shape cof_shape_context;
extern const struct cof_wire_shape cof_shape_plaintext;  /* 1..4096, secret */
extern const struct cof_wire_shape cof_shape_ciphertext; /* 1..6144         */
extern const struct cof_wire_shape cof_shape_number_of_bytes;
extern const struct cof_wire_shape cof_shape_material_id;
extern const struct cof_wire_shape cof_shape_window; /* PendingWindowInDays */
extern const struct cof_wire_shape cof_shape_rotation_period;
extern const struct cof_wire_shape cof_shape_include_material;
extern const struct cof_wire_shape cof_shape_tags;
extern const struct cof_wire_shape cof_shape_tag_keys;
extern const struct cof_wire_shape cof_shape_principal;
extern const struct cof_wire_shape cof_shape_grant_name;
extern const struct cof_wire_shape cof_shape_grant_id;
extern const struct cof_wire_shape cof_shape_grant_token;
extern const struct cof_wire_shape cof_shape_grant_tokens;
extern const struct cof_wire_shape cof_shape_grant_operations;
extern const struct cof_wire_shape cof_shape_grant_constraints;
extern const struct cof_wire_shape cof_shape_key_spec;
extern const struct cof_wire_shape cof_shape_old_key_spec; /* CustomerMasterKeySpec */
extern const struct cof_wire_shape cof_shape_key_usage;
extern const struct cof_wire_shape cof_shape_origin;
extern const struct cof_wire_shape cof_shape_data_key_spec;
extern const struct cof_wire_shape cof_shape_encryption_algorithm;
extern const struct cof_wire_shape cof_shape_dry_run_modifiers;
extern const struct cof_wire_shape cof_shape_recipient;

#endif
