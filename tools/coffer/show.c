/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/show.c - values that volumes and snapshots are shown with, and the note on sealed names.
 */
#include "show.h"
#include <stdio.h>
#include <time.h>

struct owner {
    char partition[32], region[64], account[32];
};

/* The key's, or of what is plain (NULL) those of the options; false for an ARN that is none. */
static bool owner_of(const struct cli_session *session, const char *key_arn, struct owner *owner)
{
    snprintf(owner->partition, sizeof owner->partition, "coffer");
    snprintf(owner->region, sizeof owner->region, "%s",
             cof_tool_text(session->call, "region", COFFER_REGION_DEFAULT));
    snprintf(owner->account, sizeof owner->account, "%s",
             cof_tool_text(session->call, "account", COFFER_ACCOUNT_DEFAULT));
    return key_arn == NULL || sscanf(key_arn, "arn:%31[^:]:kms:%63[^:]:%31[^:]:", owner->partition,
                                     owner->region, owner->account) == 3;
}

json_t *cli_show_arn(const struct cli_session *session, const char *key_arn, const char *kind,
                     const char *name)
{
    struct owner owner;
    return owner_of(session, key_arn, &owner)
               ? json_sprintf("arn:%s:coffer:%s:%s:%s:%s", owner.partition, owner.region,
                              owner.account, kind, name)
               : json_null();
}

json_t *cli_show_resource_arn(const struct cli_session *session, const char *key_arn,
                              const char *resource_id)
{
    struct owner owner;
    return owner_of(session, key_arn, &owner)
               ? json_sprintf("arn:coffer-db:%s:%s:%s/*", owner.region, owner.account, resource_id)
               : json_null();
}

json_t *cli_show_time(bool known, uint64_t wall_ns)
{
    time_t seconds = (time_t)(wall_ns / 1000000000u);
    struct tm parts;
    char text[32];
    if (!known || gmtime_r(&seconds, &parts) == NULL ||
        strftime(text, sizeof text, "%FT%TZ", &parts) == 0) {
        return json_null();
    }
    return json_string(text);
}

json_t *cli_show_text(const char *text)
{
    return text[0] != '\0' ? json_string(text) : json_null();
}

json_t *cli_show_number(bool known, uint64_t value)
{
    return known ? json_integer((json_int_t)value) : json_null();
}

const char *cli_show_status(bool known, int open_error)
{
    if (known) {
        return "available";
    }
    if (open_error == COFFER_E_NO_PROVIDER || open_error == 0) {
        return "locked";
    }
    return coffer_error_class_of(open_error) == COFFER_CLASS_KEY
               ? "inaccessible-encryption-credentials-recoverable"
               : "inaccessible";
}

const struct coffer_key_provider *cli_show_provider(struct cli_session *session)
{
    if (cof_tool_given(session->call, "keyless")) {
        return NULL;
    }
    if (!session->has_keys) {
        cli_session_use_keys(session, COFFER_KEYSTORE_READ_ONLY);
    }
    return &session->provider;
}

void cli_show_sealed(struct cli_session *session, int open_error)
{
    struct coffer_fault fault = cli_no_fault();
    if (!session->has_keys) {
        return;
    }
    cof_tool_kms_fault(&session->kms, &fault);
    cof_tool_note(session->call,
                  "not everything could be opened, and its name and size are "
                  "sealed: %s",
                  fault.detail[0] ? fault.detail : coffer_error_sentence(open_error));
}

bool cli_show_result(const struct cof_tool_call *call)
{
    return cof_tool_given(call, "output") || cof_tool_given(call, "query");
}
