/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/op_export.c - CofferExportPlaintext: the record that plaintext leaves what a key
 * protects, by who gives it out. Its event is ExportPlaintext, as of the embedded store.
 */
#include "verbs.h"
#include "wire/shapes.h"
#include "wire/wire.h"

static const struct cof_wire_member export_members[] = {
    {"KeyId", &cof_shape_key_id, true}, {"EncryptionContext", &cof_shape_context, false}, {0}};

static int export_plaintext(struct cof_wire *wire)
{
    struct coffer_context context = {NULL, 0};
    int error = cof_wire_context(wire, "EncryptionContext", &context);

    if (error == 0) {
        error = cof_wire_begin(wire, "ExportPlaintext", COF_KMS_CHANGES, &wire->fault);
    }
    if (error == 0) {
        error = cof_kms_call_settle(
            &wire->call,
            cof_kms_export_plaintext(&wire->call, cof_wire_text(wire, "KeyId"), &context));
        cof_kms_call_leave(&wire->call);
    }
    return error;
}

const struct cof_wire_operation cof_wire_export_rows[] = {
    {"CofferExportPlaintext", COF_KMS_CHANGES, COF_WIRE_BY_ENTRY, export_members, export_plaintext},
    {0}};
