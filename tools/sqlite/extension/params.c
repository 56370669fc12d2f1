/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite/extension/params.c - see params.h. A secret is never a parameter: what is named is the
 * file that has it.
 */
#include "params.h"
#include "coffer/session.h"
#include "common/error.h"
#include "sqlite/database.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

SQLITE_EXTENSION_INIT3

static const struct cof_tool_option options[] = {CLI_VOLUME_ROWS, CLI_SERVE_ROWS, COF_KMS_ROWS,
                                                 COF_ENGINE_ROWS, COF_TOOL_COMMON_ROWS};
#define OPTIONS (sizeof options / sizeof options[0])

/* What a URI may say; the other options are of no use here, or would be a secret's way into it. */
static const char *const taken[] = {
    "kms",         "kms-ca-file", "passphrase-file", "root-key-file", "anchor", "buffered",
    "allow-plain", "no-pin",      "node-cache",      "tag-cache",     "lease"};

static const struct cof_tool_program program = {
    .name = "coffer", .options = options, .option_count = OPTIONS, .common = ""};

static FILE *stream;
static char *kept;
static size_t kept_bytes;

void cof_sqlite_params_free(struct cof_tool_call *call)
{
    for (size_t i = 0; call != NULL && i < OPTIONS; i++) {
        free((char *)call->values[i].text);
    }
    free(call);
}

static int take(struct cof_tool_call *call, const char *name, const char *uri)
{
    const struct cof_tool_option *option = cof_tool_option_find(&program, name, strlen(name));
    char key[32];
    snprintf(key, sizeof key, "%s", name);
    for (char *at = key; *at != '\0'; at++) {
        *at = *at == '-' ? '_' : *at;
    }
    const char *value = sqlite3_uri_parameter(uri, key);
    if (value == NULL) {
        return 0;
    }
    if (option->kind == COF_TOOL_FLAG) {
        return sqlite3_uri_boolean(uri, key, 0) ? cof_tool_set(call, name, NULL) : 0;
    }
    char *copy = strdup(value);
    if (copy == NULL) {
        return COF_EXIT_FAILED;
    }
    int exit_code = cof_tool_set(call, name, copy);
    if (exit_code != 0) {
        free(copy);
    }
    return exit_code;
}

struct cof_tool_call *cof_sqlite_params_new(const char *uri)
{
    struct cof_tool_call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        return NULL;
    }
    call->program = &program;
    for (size_t i = 0; uri != NULL && i < sizeof taken / sizeof taken[0]; i++) {
        if (take(call, taken[i], uri) != 0) {
            cof_sqlite_params_free(call);
            return NULL;
        }
    }
    return call;
}

/* ---- reports ----------------------------------------------------------------------------- */

void cof_sqlite_reports_begin(void)
{
    stream = open_memstream(&kept, &kept_bytes);
    cof_tool_reports_to(stream);
}

static int error_of(int exit_code)
{
    switch (exit_code) {
    case COF_EXIT_USAGE:
        return COFFER_E_INVALID;
    case COF_EXIT_KEY:
        return COFFER_E_KEY_ACCESS;
    case COF_EXIT_INTEGRITY:
        return COFFER_E_TAMPER;
    case COF_EXIT_STATE:
        return COFFER_E_BUSY;
    case COF_EXIT_THROTTLED:
        return COFFER_E_THROTTLED;
    case COF_EXIT_NOT_FOUND:
        return COFFER_E_NOT_FOUND;
    case COF_EXIT_TOO_NEW:
        return COFFER_E_TOO_NEW;
    default:
        return COFFER_E_IO;
    }
}

int cof_sqlite_reports_end(int exit_code, struct coffer_fault *fault)
{
    char *line = NULL;
    cof_tool_reports_to(NULL);
    if (stream != NULL && fclose(stream) == 0 && kept != NULL) {
        line = strncmp(kept, "coffer: ", 8) == 0 ? kept + 8 : kept;
        line[strcspn(line, "\n")] = '\0';
    }
    stream = NULL;
    int error = exit_code == 0 ? 0 : error_of(exit_code);
    if (error != 0) {
        (void)cof_sqlite_fault(fault, error, "%s", line != NULL ? line : "no memory");
    }
    if (line != NULL && line[0] != '\0') {
        sqlite3_log(error == 0 ? SQLITE_NOTICE : SQLITE_CANTOPEN, "coffer: %s", line);
    }
    free(kept);
    kept = NULL;
    return error;
}
