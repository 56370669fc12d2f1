/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/op_batch.c - CofferReEncryptBatch: many ciphertexts in one request.
 *
 * Invariant: each entry is a ReEncrypt of its own, with its own transaction, decision and record,
 * so that one bad ciphertext neither stops nor undoes the others; results stand in order.
 */
#include "wire/errors.h"
#include "wire/shapes.h"
#include "wire/wire.h"

#define ENTRIES_MAX 100u

static const struct cof_wire_member entry_members[] = {
    {"CiphertextBlob", &cof_shape_ciphertext, true},
    {"SourceKeyId", &cof_shape_key_id, false},
    {"SourceEncryptionContext", &cof_shape_context, false},
    {"DestinationEncryptionContext", &cof_shape_context, false},
    {0}};
static const struct cof_wire_shape entry_shape = {.type = COF_WIRE_STRUCT,
                                                  .members = entry_members};
static const struct cof_wire_shape entries_shape = {
    .type = COF_WIRE_LIST, .min = 1, .max = ENTRIES_MAX, .of = &entry_shape};

static const struct cof_wire_member batch_members[] = {
    {"DestinationKeyId", &cof_shape_key_id, true},
    {"Entries", &entries_shape, true},
    {"GrantTokens", &cof_shape_grant_tokens, false},
    {"DryRun", &cof_shape_flag, false},
    {0}};

/* Within the entry's transaction; the result's members go into wire->answer. */
static int move_entry(struct cof_wire *wire, const json_t *entry)
{
    struct coffer_context source = {NULL, 0}, destination = {NULL, 0};
    struct cof_kms_re_encrypt params = {
        .source = {.key = json_string_value(json_object_get(entry, "SourceKeyId")),
                   .blob = cof_wire_bytes_of(wire, json_object_get(entry, "CiphertextBlob")),
                   .context = &source},
        .key = cof_wire_text(wire, "DestinationKeyId"),
        .context = &destination};
    int error =
        cof_wire_context_of(wire, json_object_get(entry, "SourceEncryptionContext"), &source);

    if (error == 0) {
        error = cof_wire_context_of(wire, json_object_get(entry, "DestinationEncryptionContext"),
                                    &destination);
    }
    return error == 0 ? cof_wire_re_encrypt(wire, &params) : error;
}

/* One entry's result, or its error as one; NULL when there is no memory. */
static json_t *answer_entry(struct cof_wire *wire, const json_t *entry)
{
    json_t *answer = wire->answer, *result = json_object();
    int error;

    wire->answer = result;
    cof_kms_fault_clear(&wire->fault);
    error = cof_wire_begin(wire, "ReEncrypt", COF_KMS_CHANGES, &wire->fault);
    if (error == 0) {
        error = cof_kms_call_settle(&wire->call, move_entry(wire, entry));
        cof_kms_call_leave(&wire->call);
    }
    wire->answer = answer;
    if (error == 0) {
        return result;
    }
    json_decref(result);
    return json_pack(
        "{s:o}", "Error",
        cof_wire_error_json(cof_wire_error_of(error)->name, cof_wire_fault_text(wire, error)));
}

static int batch(struct cof_wire *wire)
{
    const json_t *entries = json_object_get(wire->params, "Entries"), *entry;
    json_t *results = cof_wire_list(wire, "Results");
    size_t i;

    json_array_foreach(entries, i, entry)
    {
        if (json_array_append_new(results, answer_entry(wire, entry)) != 0) {
            return COFFER_E_NO_MEMORY;
        }
    }
    return 0;
}

const struct cof_wire_operation cof_wire_batch_rows[] = {{"CofferReEncryptBatch", COF_KMS_CHANGES,
                                                          COF_WIRE_DRY_RUN | COF_WIRE_BY_ENTRY,
                                                          batch_members, batch},
                                                         {0}};
