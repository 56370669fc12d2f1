/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cofferkms/run.c - what each verb of ours begins and ends with. One thread.
 */
#include "common/error.h"
#include "verbs.h"
#include <stdio.h>
#include <string.h>

int cof_key_required(const struct cof_tool_call *call, const char *required)
{
    char name[64];
    while (*required != '\0') {
        size_t length = strcspn(required, " ");
        snprintf(name, sizeof name, "%.*s", (int)length, required);
        if (!cof_tool_given(call, name)) {
            return cof_tool_usage(call, "MissingParameter", "--%s is missing: see --help", name);
        }
        required += length + (required[length] == ' ');
    }
    return 0;
}

int cof_key_run_begin(struct cof_key_run *run, struct cof_tool_call *call, unsigned flags,
                      const char *required)
{
    memset(run, 0, sizeof *run);
    run->call = call;
    int exit_code = cof_key_required(call, required);
    if (exit_code != 0) {
        return exit_code;
    }
    cof_tool_kms_init(&run->kms, call, flags, NULL);
    int error = cof_tool_kms_open(&run->kms);
    if (error != 0) {
        run->kms.fault.stage = COFFER_STAGE_NONE;
        return cof_tool_fail(call, error, &run->kms.fault, NULL, "cannot open the key store");
    }
    if (run->kms.store == NULL) {
        cof_tool_kms_done(&run->kms);
        return cof_tool_usage(call, NULL, "this verb works on a key store's file: --kms file:PATH");
    }
    return 0;
}

int cof_key_run_end(struct cof_key_run *run, int error, const char *what)
{
    int exit_code = 0;
    if (error != 0) {
        /* Every fault here is of the key store; saying so on each line helps nobody. */
        run->fault.stage = COFFER_STAGE_NONE;
        exit_code = cof_tool_fail(run->call, error, &run->fault, NULL, "%s", what);
    }
    cof_tool_kms_done(&run->kms);
    return exit_code;
}
