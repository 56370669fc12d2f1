/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/volume.c - volume create and its undoing, modify.
 *
 * A volume that was made but could not be opened, pinned or filled is deleted again, so that a
 * failed command leaves none behind.
 */
#include "volume.h"
#include "common/output.h"
#include "tag.h"
#include "verbs.h"
#include <string.h>

#define SIZE_UNIT_BYTES COFFER_PAGE_BYTES

static bool wants_plain(const struct cof_tool_call *call)
{
    return cof_tool_given(call, "no-storage-encrypted");
}

int cli_volume_check_kind(const struct cof_tool_call *call)
{
    if (!wants_plain(call)) {
        return 0;
    }
    if (cof_tool_given(call, "storage-encrypted") || cof_tool_given(call, "encrypted")) {
        return cof_tool_usage(call, "InvalidParameterCombination",
                              "--no-storage-encrypted contradicts --storage-encrypted");
    }
    if (cof_tool_given(call, "kms-key-id")) {
        return cof_tool_usage(call, "InvalidParameterCombination",
                              "--kms-key-id has no meaning with --no-storage-encrypted");
    }
    return 0;
}

int cli_volume_check_size(const struct cof_tool_call *call, uint64_t size_bytes)
{
    char text[32];
    if (size_bytes == 0) {
        return cof_tool_usage(call, NULL, "a volume's size can't be zero: it is 4K or more");
    }
    if (size_bytes % SIZE_UNIT_BYTES != 0) {
        return cof_tool_usage(call, NULL,
                              "a volume's size is a multiple of 4096 bytes; %llu is not",
                              (unsigned long long)size_bytes);
    }
    if (size_bytes > COFFER_VOLUME_BYTES_MAX) {
        return cof_tool_usage(call, NULL, "a volume's size is at most %s",
                              cof_tool_people_bytes(COFFER_VOLUME_BYTES_MAX, text));
    }
    return 0;
}

int cli_volume_unmake(struct cli_session *session)
{
    int closed = coffer_volume_close(session->volume);
    session->volume = NULL;
    /* The provider of an encrypted volume is needed to find it under its sealed name. */
    struct coffer_volume_open_opts opts = {
        .size = sizeof opts,
        .name = session->address.volume,
        .provider = session->has_keys ? &session->provider : NULL,
        .flags = COFFER_VOLUME_ALLOW_PLAIN,
    };
    int deleted = coffer_volume_delete(session->store, &opts, NULL);
    if (!cof_tool_given(session->call, "no-pin")) {
        int exit_code = cli_pins_remove(session->call, &session->store_info.uuid,
                                        session->address.volume);
        (void)exit_code; /* reported already; the volume is what matters */
    }
    if (deleted != 0) {
        cof_tool_note(session->call, "the new volume %s could not be deleted again: %s; delete it "
                      "with `coffer volume delete`", cli_session_name(session),
                      coffer_error_sentence(deleted));
    }
    return deleted != 0 ? deleted : closed;
}

static int open_made(struct cli_session *session, bool encrypted, unsigned flags)
{
    struct coffer_fault fault = cli_no_fault();
    struct coffer_volume_open_opts opts = {
        .size = sizeof opts,
        .name = session->address.volume,
        .flags = flags | (encrypted ? 0u : (unsigned)COFFER_VOLUME_ALLOW_PLAIN),
        .provider = session->has_keys ? &session->provider : NULL,
        .pin = {.use_encrypted = 1, .encrypted = encrypted},
    };
    int error = coffer_volume_open(session->store, &opts, &session->volume, &fault);
    if (error != 0) {
        return cli_session_fail(session, error, &fault, NULL, "cannot open the new volume %s",
                                cli_session_name(session));
    }
    int exit_code = cli_session_refresh(session);
    if (exit_code == 0 && !cof_tool_given(session->call, "no-pin")) {
        exit_code = cli_session_pin(session);
    }
    return exit_code;
}

int cli_volume_adopt(struct cli_session *session, bool encrypted, unsigned open_flags)
{
    int exit_code = open_made(session, encrypted, open_flags);
    if (exit_code != 0) {
        int undone = cli_volume_unmake(session);
        (void)undone; /* noted there */
    }
    return exit_code;
}

int cli_volume_make(struct cli_session *session, uint64_t size_bytes, const struct cli_tags *tags,
                    unsigned open_flags)
{
    const struct cof_tool_call *call = session->call;
    struct coffer_fault fault = cli_no_fault();
    struct coffer_volume_create_opts opts = {
        .size = sizeof opts,
        .name = session->address.volume,
        .size_bytes = size_bytes,
        .not_encrypted = wants_plain(call),
        .kms_key_id = cof_tool_text(call, "kms-key-id", NULL),
        .provider = &session->provider, /* of a plain one too: a sealed name may be the same */
        .caller = cli_session_caller(session),
        .tags = tags != NULL ? tags->tags : NULL,
        .tag_count = tags != NULL ? tags->count : 0,
    };
    int error = coffer_volume_create(session->store, &opts, &fault);
    if (error != 0) {
        return cli_session_fail(session, error, &fault, NULL, "cannot make the volume %s",
                                cli_session_name(session));
    }
    return cli_volume_adopt(session, !wants_plain(call), open_flags);
}

int cli_volume_check_name(struct cli_session *session)
{
    struct coffer_fault fault = cli_no_fault();
    int error = cli_session_probe(session, &fault);
    if (error == COFFER_E_NOT_FOUND) {
        return 0;
    }
    return cli_session_fail(session, error == 0 ? COFFER_E_EXISTS : error,
                            error == 0 ? NULL : &fault, NULL, "cannot make the volume %s",
                            cli_session_name(session));
}

int cli_volume_check_key(struct cli_session *session, const char *name,
                         struct coffer_key_info *ret_key)
{
    struct coffer_key_info key;
    const struct coffer_key_provider *asker = cli_session_asker(session);
    int error = asker->ops->describe(asker->ctx, name, &key);
    if (error == 0 && key.state != COFFER_KEY_ENABLED) {
        error = key.state == COFFER_KEY_IS_DISABLED ? COFFER_E_KEY_DISABLED : COFFER_E_KEY_STATE;
    }
    if (error != 0) {
        return cli_session_fail(session, error, NULL, NULL, "cannot use the key %s for %s",
                                name != NULL ? name : COFFER_ALIAS_DEFAULT,
                                cli_session_name(session));
    }
    *ret_key = key;
    return 0;
}

int cli_volume_check_new(struct cli_session *session)
{
    struct coffer_key_info key;
    int exit_code = cli_volume_check_name(session);
    if (exit_code == 0 && !wants_plain(session->call)) {
        exit_code = cli_volume_check_key(session, cof_tool_text(session->call, "kms-key-id", NULL),
                                         &key);
    }
    return exit_code;
}

/* ---- create ------------------------------------------------------------------------------ */

static json_t *plan_without_key(const struct cli_session *session, uint64_t size_bytes)
{
    return json_pack("{s:b, s:s, s:s, s:s, s:I, s:b}", "DryRun", 1, "Action", "create a volume",
                     "Store", session->address.store, "Name", session->address.volume, "Size",
                     (json_int_t)size_bytes, "StorageEncrypted", !wants_plain(session->call));
}

/* Days between rotations; null: it does not rotate, or the caller may not know. */
static json_t *rotation_days(struct cli_session *session, const char *key_arn)
{
    struct coffer_fault fault = cli_no_fault();
    json_t *status = NULL, *days = NULL;
    int error = cof_tool_kms_ask(&session->kms, "GetKeyRotationStatus",
                                 json_pack("{s:s}", "KeyId", key_arn), &status, &fault);
    if (error == 0 && json_is_true(json_object_get(status, "KeyRotationEnabled"))) {
        days = json_incref(json_object_get(status, "RotationPeriodInDays"));
    }
    json_decref(status);
    return days != NULL ? days : json_null();
}

static bool default_key_is_missing(struct cli_session *session, int error)
{
    bool missing = error == COFFER_E_KEY_NOT_FOUND || error == COFFER_E_NOT_FOUND ||
                   error == COFFER_E_READ_ONLY;
    return missing && !cof_tool_given(session->call, "kms-key-id");
}

/* Show the key that would be used, its state, and whether volumes under it could be shared. */
static int print_plan(struct cli_session *session, uint64_t size_bytes)
{
    const struct cof_tool_call *call = session->call;
    struct cof_tool_view view = {.schema_version = 1, .byte_fields = CLI_VOLUME_BYTE_FIELDS};
    const struct coffer_key_provider *asker = cli_session_asker(session);
    struct coffer_key_info key;
    json_t *plan = plan_without_key(session, size_bytes);
    if (wants_plain(call)) {
        return cof_tool_print(call, plan, &view);
    }
    int error =
        asker->ops->describe(asker->ctx, cof_tool_text(call, "kms-key-id", NULL), &key);
    if (default_key_is_missing(session, error)) {
        json_object_set_new(plan, "KmsKeyId", json_null());
        json_object_set_new(plan, "KeyState", json_string("made on first use"));
        json_object_set_new(plan, "RotationPeriodInDays", json_null());
        json_object_set_new(plan, "Shareable", json_false());
        return cof_tool_print(call, plan, &view);
    }
    if (error != 0) {
        json_decref(plan);
        return cli_session_fail(session, error, NULL, NULL, "cannot use the key");
    }
    json_object_set_new(plan, "KmsKeyId", json_string(key.arn));
    json_object_set_new(plan, "KeyState", json_string(coffer_keystore_state_name(key.state)));
    json_object_set_new(plan, "RotationPeriodInDays", rotation_days(session, key.arn));
    json_object_set_new(plan, "Shareable", json_boolean(!key.managed));
    int exit_code = cof_tool_print(call, plan, &view);
    if (exit_code == 0 && key.state == COFFER_KEY_IS_DISABLED) {
        exit_code = cof_tool_fail(call, COFFER_E_KEY_DISABLED, NULL, NULL, "cannot use the key");
    } else if (exit_code == 0 && key.state != COFFER_KEY_ENABLED) {
        exit_code = cof_tool_fail(call, COFFER_E_KEY_STATE, NULL, NULL, "cannot use the key");
    }
    return exit_code;
}

static int dry_run(struct cli_session *session, uint64_t size_bytes)
{
    int exit_code = cli_volume_check_name(session);
    return exit_code != 0 ? exit_code : print_plan(session, size_bytes);
}

/* A key store is made on first use; not when the key named must be in one already. */
static unsigned key_store_flags(const struct cof_tool_call *call)
{
    if (cof_tool_given(call, "dry-run")) {
        return COFFER_KEYSTORE_READ_ONLY;
    }
    return cof_tool_given(call, "kms-key-id") ? 0u : (unsigned)COFFER_KEYSTORE_CREATE;
}

int cli_volume_create(struct cof_tool_call *call)
{
    static struct cli_tags tags;
    struct cli_session session;
    uint64_t size_bytes = cof_tool_size(call, "size", 0);
    if (!cof_tool_given(call, "size")) {
        return cof_tool_usage(call, NULL, "--size is missing: the volume's size");
    }
    int exit_code = cli_volume_check_kind(call);
    if (exit_code == 0) {
        exit_code = cli_volume_check_size(call, size_bytes);
    }
    if (exit_code == 0) {
        exit_code = cli_tags_given(call, &tags);
    }
    if (exit_code == 0) {
        exit_code = cli_session_begin(&session, call, CLI_VOLUME, call->operands[0]);
    }
    if (exit_code != 0) {
        return exit_code;
    }
    cli_session_use_keys(&session, key_store_flags(call));
    exit_code = cli_session_open_store(&session, COFFER_OPEN_READ_ONLY);
    if (exit_code == 0 && cof_tool_given(call, "dry-run")) {
        return cli_session_end(&session, dry_run(&session, size_bytes));
    }
    if (exit_code == 0) {
        exit_code = cli_volume_check_new(&session);
    }
    if (exit_code == 0) {
        exit_code = cli_session_go_on(&session);
    }
    if (exit_code == 0) {
        exit_code = cli_volume_make(&session, size_bytes, &tags, COFFER_VOLUME_READ_ONLY);
    }
    return cli_session_end(&session, exit_code);
}

/* ---- modify ------------------------------------------------------------------------------ */

int cli_volume_modify(struct cof_tool_call *call)
{
    static const char what[] =
        "a volume's %s can't be changed in place; copy it under another key with `coffer snapshot "
        "copy --kms-key-id KEY`, or change its keys with `coffer rekey --kms-key-id KEY`";
    if (cof_tool_given(call, "kms-key-id")) {
        return cof_tool_usage(call, "InvalidParameterCombination", what, "key");
    }
    if (cof_tool_given(call, "storage-encrypted") || cof_tool_given(call, "encrypted") ||
        cof_tool_given(call, "no-storage-encrypted")) {
        return cof_tool_usage(call, "InvalidParameterCombination", what, "encryption");
    }
    return cof_tool_usage(call, NULL,
                          "nothing to modify is named; `volume resize` changes the size");
}
