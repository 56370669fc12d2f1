/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/snapshot.c - snapshot create.
 *
 * A name that is not given is the volume's, cut to fit, and the time in UTC to the second:
 * VOLUME-YYYY-MM-DD-hh-mm-ss, and -2, -3 and so on behind it when that is taken. A snapshot that
 * was made but could not be pinned is deleted again.
 */
#include "common/output.h"
#include "show.h"
#include "snapshots.h"
#include "tag.h"
#include "verbs.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

#define STAMP_BYTES 21 /* "-YYYY-MM-DD-hh-mm-ss" with its NUL */
#define SUFFIX_MAX 999 /* names of one second                 */

int cli_snapshot_refuse_key(const struct cof_tool_call *call)
{
    static const char *const refused[] = {"kms-key-id", "storage-encrypted", "encrypted",
                                          "no-storage-encrypted"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (cof_tool_given(call, refused[i])) {
            return cof_tool_usage(call, "InvalidParameterCombination",
                                  "--%s: a snapshot has its volume's key, or none as its volume; "
                                  "`coffer snapshot copy --kms-key-id KEY` copies it under "
                                  "another, and `coffer snapshot restore --kms-key-id KEY` makes a "
                                  "volume under another",
                                  refused[i]);
        }
    }
    return 0;
}

/* ---- names ------------------------------------------------------------------------------- */

/* Number counts from 1. The volume's name is cut by what stands behind it, so that what tells two
 * names apart is always whole. */
static void name_by_date(const char *volume, const struct tm *when, unsigned number,
                         char name[COFFER_NAME_BYTES_MAX])
{
    char stamp[STAMP_BYTES];
    char suffix[STAMP_BYTES + 8];
    size_t length = strftime(stamp, sizeof stamp, "-%Y-%m-%d-%H-%M-%S", when);
    stamp[length] = '\0';
    if (number == 1) {
        snprintf(suffix, sizeof suffix, "%s", stamp);
    } else {
        snprintf(suffix, sizeof suffix, "%s-%u", stamp, number % (SUFFIX_MAX + 1));
    }
    snprintf(name, COFFER_NAME_BYTES_MAX, "%.*s%s",
             (int)(COFFER_NAME_BYTES_MAX - 1 - strlen(suffix)), volume, suffix);
}

static int fail_exists(const struct cli_session *session)
{
    return cof_tool_fail_named(session->call, "SnapshotAlreadyExists", "usage", COF_EXIT_USAGE,
                               coffer_error_sentence(COFFER_E_EXISTS),
                               "choose another name, or delete what has it",
                               "cannot make the snapshot %s", cli_session_name(session));
}

static int fail_create(struct cli_session *session, int error, const struct coffer_fault *fault)
{
    if (error == COFFER_E_EXISTS) {
        return fail_exists(session);
    }
    return cli_session_fail(session, error, fault, NULL, "cannot make the snapshot %s",
                            cli_session_name(session));
}

/* Let the session name a snapshot that is not there yet: the one that was asked for, or the first
 * of this second that is free. */
static int find_name(struct cli_session *session, const char *asked)
{
    time_t now = time(NULL);
    struct tm when;
    if (asked[0] == '\0' && gmtime_r(&now, &when) == NULL) {
        return cof_tool_fail(session->call, COFFER_E_INTERNAL, NULL, "name the snapshot",
                             "the clock tells no date");
    }
    for (unsigned number = 1; number <= SUFFIX_MAX; number++) {
        struct coffer_fault fault = cli_no_fault();
        char name[COFFER_NAME_BYTES_MAX];
        if (asked[0] == '\0') {
            name_by_date(session->address.volume, &when, number, name);
        }
        cli_address_aim(&session->address, asked[0] != '\0' ? asked : name);
        int error = cli_session_probe(session, &fault);
        if (error == COFFER_E_NOT_FOUND) {
            return 0;
        }
        if (error != 0 || asked[0] != '\0') {
            return error != 0 ? fail_create(session, error, &fault) : fail_exists(session);
        }
    }
    return fail_exists(session);
}

/* ---- create ------------------------------------------------------------------------------ */

/* Remember it; the session's volume is what it was taken of. */
static int pin(struct cli_session *session, const struct coffer_uuid *uuid)
{
    const struct coffer_volume_info *volume = &session->volume_info;
    struct cli_pin pin = {.store_uuid = session->store_info.uuid,
                          .volume_uuid = *uuid,
                          .encrypted = volume->encrypted != 0,
                          .path = session->address.store};
    if (cof_tool_given(session->call, "no-pin")) {
        return 0;
    }
    snprintf(pin.volume, sizeof pin.volume, "%s", session->address.name);
    snprintf(pin.key_arn, sizeof pin.key_arn, "%s", volume->key_arn);
    return cli_pins_put(session->call, &pin);
}

static void take_back(struct cli_session *session)
{
    struct coffer_snapshot_opts opts = cli_snapshot_opts(session);
    int error = coffer_snapshot_delete(session->store, &opts, NULL);
    if (error != 0) {
        cof_tool_note(session->call,
                      "the new snapshot %s could not be deleted again: %s; delete "
                      "it with `coffer snapshot delete`",
                      cli_session_name(session), coffer_error_sentence(error));
    }
}

/* In the store that is open for writing, with the volume. */
static int make(struct cli_session *session, const struct cli_tags *tags)
{
    const struct cof_tool_call *call = session->call;
    struct coffer_fault fault = cli_no_fault();
    struct coffer_uuid uuid;
    if (!cof_tool_wants_json(call)) {
        cof_tool_note(call, "Creating snapshot for %s: %s", session->address.volume,
                      session->address.snapshot);
    }
    struct coffer_snapshot_opts opts = cli_snapshot_opts(session);
    opts.tags = tags->tags;
    opts.tag_count = tags->count;
    opts.flags = cof_tool_given(call, "copy-tags") ? (unsigned)COFFER_SNAPSHOT_COPY_TAGS : 0u;
    int error = coffer_snapshot_create(session->volume, &opts, &uuid, &fault);
    if (error != 0) {
        return fail_create(session, error, &fault);
    }
    int exit_code = pin(session, &uuid);
    if (exit_code != 0) {
        take_back(session);
        return exit_code;
    }
    if (!cli_show_result(call)) {
        return 0;
    }
    struct coffer_snapshot_info info;
    exit_code = cli_snapshot_look(session, &info);
    return exit_code == 0 ? cli_snapshot_print(session, &info) : exit_code;
}

static int create(struct cli_session *session, const struct cli_tags *tags)
{
    char asked[COFFER_NAME_BYTES_MAX];
    char found[COFFER_NAME_BYTES_MAX];
    memcpy(asked, session->address.snapshot, sizeof asked);
    cli_address_aim(&session->address, "");
    int exit_code = cli_session_open_volume(session, COFFER_VOLUME_READ_ONLY);
    if (exit_code == 0) {
        exit_code = find_name(session, asked);
    }
    memcpy(found, session->address.snapshot, sizeof found);
    cli_address_aim(&session->address, "");
    if (exit_code == 0) {
        exit_code = cli_session_go_on(session);
    }
    if (exit_code == 0) {
        cli_address_aim(&session->address, found);
        exit_code = make(session, tags);
    }
    return exit_code;
}

int cli_snapshot_create(struct cof_tool_call *call)
{
    static struct cli_tags tags;
    struct cli_session session;
    int exit_code = cli_snapshot_refuse_key(call);
    if (exit_code == 0) {
        exit_code = cli_tags_given(call, &tags);
    }
    if (exit_code == 0) {
        exit_code = cli_session_begin(&session, call, CLI_VOLUME_OR_SNAPSHOT, call->operands[0]);
        session.uses_data = true;
    }
    return exit_code == 0 ? cli_session_end(&session, create(&session, &tags)) : exit_code;
}
