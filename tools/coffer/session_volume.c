/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/session_volume.c - opening a volume or snapshot with what its pin says of it.
 */
#include "volume.h"
#include <coffer/snapshot.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RECORD_BYTES_MAX 1024

static const char replaced[] = "if you replaced it yourself, take it as it is now with "
                               "`coffer volume pin`; else somebody exchanged it: keep a copy and "
                               "investigate";

static int expect_none(struct cli_session *session, struct coffer_volume_open_opts *opts)
{
    if (cof_tool_given(session->call, "allow-plain")) {
        opts->flags |= COFFER_VOLUME_ALLOW_PLAIN;
    }
    return 0;
}

int cli_session_expect(struct cli_session *session, struct coffer_volume_open_opts *opts,
                       struct cli_pin *pin, bool *ret_pinned)
{
    bool other = false;
    *ret_pinned = false;
    opts->name = session->address.name;
    opts->provider = session->has_keys ? &session->provider : NULL;
    if (cof_tool_given(session->call, "no-pin")) {
        return expect_none(session, opts);
    }
    int exit_code = cli_pins_find(session->call, &session->store_info.uuid, opts->name,
                                  session->address.store, pin, ret_pinned, &other);
    if (exit_code != 0) {
        return exit_code;
    }
    if (other) {
        return cof_tool_fail_named(session->call, "PIN", "tamper", COF_EXIT_INTEGRITY,
                                   "another store was pinned at this path with a volume of that "
                                   "name", replaced, "cannot open %s", cli_session_name(session));
    }
    if (!*ret_pinned) {
        return expect_none(session, opts);
    }
    opts->pin.use_uuid = 1;
    opts->pin.volume_uuid = pin->volume_uuid;
    opts->pin.use_encrypted = 1;
    opts->pin.encrypted = pin->encrypted;
    opts->pin.key_arn = pin->encrypted ? pin->key_arn : NULL;
    if (!pin->encrypted) {
        opts->flags |= COFFER_VOLUME_ALLOW_PLAIN;
    }
    return 0;
}

/* ---- what differs from a pin ------------------------------------------------------------- */

struct difference {
    const char *name;
    const struct cli_pin *pin;
    char text[640];
};

static bool tell(struct difference *difference, bool encrypted, const struct coffer_uuid *uuid,
                 const char *key_arn)
{
    const struct cli_pin *pin = difference->pin;
    char was[CLI_UUID_TEXT_BYTES];
    char is[CLI_UUID_TEXT_BYTES];
    if (pin->encrypted != encrypted) {
        snprintf(difference->text, sizeof difference->text, "it was %s, and now it is %s",
                 pin->encrypted ? "encrypted" : "not encrypted",
                 encrypted ? "encrypted" : "not encrypted");
    } else if (memcmp(&pin->volume_uuid, uuid, sizeof *uuid) != 0) {
        snprintf(difference->text, sizeof difference->text, "its uuid was %s, and now it is %s",
                 cli_uuid_text(&pin->volume_uuid, was), cli_uuid_text(uuid, is));
    } else if (strcmp(pin->key_arn, key_arn) != 0) {
        snprintf(difference->text, sizeof difference->text, "its key was %s, and now it is %s",
                 pin->key_arn, key_arn);
    }
    return difference->text[0] != '\0';
}

static int compare(void *ctx, const struct coffer_volume_info *info)
{
    struct difference *difference = ctx;
    return info->name_known && strcmp(info->name, difference->name) == 0 &&
           tell(difference, info->encrypted != 0, &info->uuid, info->key_arn);
}

static int compare_snapshot(void *ctx, const struct coffer_snapshot_info *info)
{
    struct difference *difference = ctx;
    return info->name_known && strcmp(info->name, difference->name) == 0 &&
           tell(difference, info->encrypted != 0, &info->uuid, info->key_arn);
}

int cli_session_fail_pin(struct cli_session *session, const struct coffer_volume_open_opts *opts,
                         const struct cli_pin *pin, const struct coffer_fault *fault,
                         const char *what)
{
    const struct cli_address *address = &session->address;
    struct difference difference = {.pin = pin};
    int found;
    if (address->snapshot[0] != '\0') {
        difference.name = address->snapshot;
        found = coffer_snapshot_list(session->store, address->volume, opts->provider,
                                     compare_snapshot, &difference, NULL);
    } else {
        difference.name = address->volume;
        found = coffer_volume_list(session->store, opts->provider, compare, &difference, NULL);
    }
    if (found <= 0) {
        return cli_session_fail(session, COFFER_E_PIN, fault, replaced, "%s %s", what,
                                cli_session_name(session));
    }
    return cof_tool_fail_named(session->call, "PIN", "tamper", COF_EXIT_INTEGRITY, difference.text,
                               replaced, "%s %s: it is not the volume that was pinned", what,
                               cli_session_name(session));
}

/* ---- opening ----------------------------------------------------------------------------- */

int cli_session_pin(struct cli_session *session)
{
    struct cli_pin pin = {.store_uuid = session->store_info.uuid,
                          .volume_uuid = session->volume_info.uuid,
                          .encrypted = session->volume_info.encrypted != 0,
                          .path = session->address.store};
    snprintf(pin.volume, sizeof pin.volume, "%s", session->address.name);
    snprintf(pin.key_arn, sizeof pin.key_arn, "%s", session->volume_info.key_arn);
    return cli_pins_put(session->call, &pin);
}

/* Its seven days begin now, if they had not; where that can't be noted it is lost all the same. */
static int fail_lost(struct cli_session *session, int error, const struct coffer_fault *fault)
{
    int noted = cli_volume_note_loss(session);
    (void)noted; /* the store may be another's, or not to be written */
    return cof_tool_fail_named(session->call, "INACCESSIBLE_CREDENTIALS", "busy", COF_EXIT_STATE,
                               fault->detail[0] != '\0' ? fault->detail
                                                        : coffer_error_sentence(error),
                               "mend the key, then `coffer volume start` it",
                               "cannot open %s: inaccessible-encryption-credentials",
                               cli_session_name(session));
}

int cli_session_open_named(struct cli_session *session, unsigned flags)
{
    struct coffer_fault fault = cli_no_fault();
    struct coffer_volume_open_opts opts = {.size = sizeof opts, .flags = flags};
    struct cli_pin pin;
    bool pinned;
    if (session->serves) {
        opts.lease_ns = cof_tool_number(session->call, "lease", 0) * 1000000000ull;
    }
    int exit_code = cli_session_expect(session, &opts, &pin, &pinned);
    if (exit_code != 0) {
        return exit_code;
    }
    int error = coffer_volume_open(session->store, &opts, &session->volume, &fault);
    bool rekeying = pinned && pin.next_arn[0] != '\0';
    if (error == COFFER_E_PIN && rekeying) {
        opts.pin.key_arn = pin.next_arn;
        error = coffer_volume_open(session->store, &opts, &session->volume, &fault);
    }
    if (error == COFFER_E_PIN && pinned) {
        return cli_session_fail_pin(session, &opts, &pin, &fault, "cannot open");
    }
    if (error == COFFER_E_PLAIN_REFUSED) {
        return cli_session_fail(session, error, NULL,
                                "if it is meant to be plain, open it with --allow-plain once",
                                "cannot open %s", cli_session_name(session));
    }
    if (session->stopped_too &&
        (error == COFFER_E_STOPPED || error == COFFER_E_INACCESSIBLE_CREDENTIALS)) {
        return 0;
    }
    if (session->uses_data && cli_volume_is_lost(session, error)) {
        return fail_lost(session, error, &fault);
    }
    if (error != 0) {
        return cli_session_fail(session, error, &fault, NULL, "cannot open %s",
                                cli_session_name(session));
    }
    exit_code = cli_session_refresh(session);
    /* A rekey that was begun came through or not, and no other key is right from now on. */
    bool unsettled = rekeying || !pinned;
    if (exit_code == 0 && unsettled && !cof_tool_given(session->call, "no-pin")) {
        exit_code = cli_session_pin(session);
    }
    return exit_code;
}

/* A context is UTF-8, and has a limit; a path may be any bytes, and as long. */
static const char *for_record(const char *text, char copy[RECORD_BYTES_MAX])
{
    size_t length = strnlen(text, RECORD_BYTES_MAX - 1u);
    memcpy(copy, text, length);
    copy[length] = '\0';
    json_t *value = json_string(copy);
    for (char *at = copy; value == NULL && *at != '\0'; at++) {
        *at = (unsigned char)*at < 0x80 ? *at : '?';
    }
    json_decref(value);
    return copy;
}

int cli_session_record_export(struct cli_session *session, const char *destination)
{
    struct coffer_fault fault = cli_no_fault();
    const struct coffer_volume_info *info = &session->volume_info;
    char store[RECORD_BYTES_MAX];
    char goal[RECORD_BYTES_MAX];
    char uid[32];
    snprintf(uid, sizeof uid, "%lu", (unsigned long)getuid());
    const struct coffer_context_pair pairs[] = {
        {"Store", for_record(session->address.store, store)},
        {"Volume", session->address.name},
        {"ResourceId", info->resource_id},
        {"Destination", for_record(destination, goal)},
        {"Uid", uid},
    };
    const struct coffer_context context = {pairs, sizeof pairs / sizeof pairs[0]};
    struct cof_tool_kms *kms = session->lender != NULL ? &session->lender->kms : &session->kms;
    if (!info->encrypted) {
        return 0;
    }
    int error = cof_tool_kms_record_export(kms, info->key_arn, &context, &fault);
    if (error == COFFER_E_UNSUPPORTED) {
        cof_tool_note(session->call, "this key service keeps no record of exports");
        return 0;
    }
    return error == 0 ? 0
                      : cof_tool_fail(session->call, error, &fault, NULL,
                                      "cannot record that %s is exported",
                                      cli_session_name(session));
}

int cli_session_probe(struct cli_session *session, struct coffer_fault *fault)
{
    struct coffer_volume *volume = NULL;
    struct coffer_volume_open_opts opts = {
        .size = sizeof opts,
        .name = session->address.name,
        .flags = COFFER_VOLUME_READ_ONLY | COFFER_VOLUME_ALLOW_PLAIN,
        .provider = session->has_keys ? &session->provider : NULL,
    };
    int error = coffer_volume_open(session->store, &opts, &volume, fault);
    int closed = coffer_volume_close(volume);
    return error != 0 ? error : closed;
}

int cli_session_go_on(struct cli_session *session)
{
    bool had_volume = session->volume != NULL;
    int exit_code = had_volume ? cli_session_close_volume(session) : 0;
    int error = coffer_store_close(session->store);
    session->store = NULL;
    if (exit_code == 0 && error != 0) {
        exit_code = cli_session_fail(session, error, NULL, NULL, "cannot close %s",
                                     session->address.store);
    }
    if (exit_code == 0) {
        exit_code = cli_session_open_store(session, 0);
    }
    return exit_code == 0 && had_volume ? cli_session_open_named(session, 0) : exit_code;
}

int cli_session_go_on_closed(struct cli_session *session)
{
    int exit_code = session->volume != NULL ? cli_session_close_volume(session) : 0;
    if (exit_code == 0) {
        exit_code = cli_session_go_on(session);
    }
    if (exit_code == 0) {
        exit_code = cli_session_open_named(session, COFFER_VOLUME_READ_ONLY);
    }
    return exit_code == 0 ? cli_session_close_volume(session) : exit_code;
}

int cli_session_open_volume(struct cli_session *session, unsigned flags)
{
    bool read_only = (flags & COFFER_VOLUME_READ_ONLY) != 0;
    if (!session->has_keys) {
        cli_session_use_keys(session, 0);
    }
    int exit_code = cli_session_open_store(session, read_only ? COFFER_OPEN_READ_ONLY : 0);
    return exit_code != 0 ? exit_code : cli_session_open_named(session, flags);
}
