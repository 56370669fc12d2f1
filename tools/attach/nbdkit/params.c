/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach/nbdkit/params.c - from KEY=VALUE to the options of a call.
 */
#define NBDKIT_API_VERSION 2
#include "params.h"
#include "coffer/session.h"
#include "common/error.h"
#include <coffer/coffer.h>
#include <nbdkit-plugin.h>
#include <string.h>

static const struct cof_tool_option options[] = {
    CLI_VOLUME_ROWS,
    CLI_SERVE_ROWS,
    CLI_WRITE_BACK_ROW,
    COF_KMS_ROWS,
    COF_ENGINE_ROWS,
    COF_TOOL_COMMON_ROWS,
    {"volume", COF_TOOL_TEXT, "VOLUME[@SNAPSHOT]", "the one export; else all of the store are"},
    {"readonly", COF_TOOL_FLAG, NULL, "open the store for reading only"},
    {"served-at", COF_TOOL_TEXT, "URI", "started by coffer serve"},
};

static const struct cof_tool_verb verb = {
    NULL, "serve", "", 0,  0, CLI_SERVE_NAMES " " CLI_WRITE_BACK_NAME " volume readonly served-at",
    "",   "",      NULL};

static const struct cof_tool_program program = {
    .name = "coffer",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .verbs = &verb,
    .verb_count = 1,
    .common = "output",
};

static struct cof_tool_call call = {.program = &program, .verb = &verb};

const char plug_params_help[] = "store=STORE                (required) file or block device\n"
                                "volume=VOLUME[@SNAPSHOT]   the one export; else all are, by name\n"
                                "readonly=true              open the store for reading only\n"
                                "write-back=true            answer writes from memory\n"
                                "kms=URI root-key-file=FILE passphrase-file=FILE and other options "
                                "of coffer(1), without dashes;\n"
                                "see nbdkit-coffer-plugin(1).";

struct cof_tool_call *plug_params(void)
{
    return &call;
}

const char *plug_params_served_at(void)
{
    return cof_tool_text(&call, "served-at", NULL);
}

static int take_flag(const char *key, const char *value)
{
    int on = nbdkit_parse_bool(value);
    return on <= 0 ? on : cof_tool_set(&call, key, NULL);
}

int plug_params_take(const char *key, const char *value)
{
    const struct cof_tool_option *option = cof_tool_option_find(&program, key, strlen(key));
    if (option == NULL || !cof_tool_verb_takes(&program, &verb, key)) {
        nbdkit_error("there is no parameter '%s'; see nbdkit-coffer-plugin(1)", key);
        return -1;
    }
    if (option->kind == COF_TOOL_FLAG) {
        return take_flag(key, value);
    }
    return cof_tool_set(&call, key, value) == 0 ? 0 : -1;
}
