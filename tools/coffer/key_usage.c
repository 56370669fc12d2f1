/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/key_usage.c - coffer key-usage: what in a store needs a key.
 */
#include "common/key_usage.h"
#include "common/output.h"
#include "show.h"
#include "verbs.h"
#include <string.h>

/* The key's ARN, by the key service; one that is gone from it is known by its ARN all the same. */
static int resolve(struct cli_session *session, const struct coffer_key_provider *provider,
                   const char *key, struct coffer_key_info *ret_key)
{
    bool is_arn = strncmp(key, "arn:", 4) == 0 && strstr(key, ":key/") != NULL;
    memset(ret_key, 0, sizeof *ret_key);
    if (is_arn && strlen(key) < sizeof ret_key->arn) {
        memcpy(ret_key->arn, key, strlen(key));
        return 0;
    }
    if (provider == NULL) {
        return cof_tool_usage(session->call, NULL, "with --keyless the key is named by its ARN");
    }
    int error = provider->ops->describe(provider->ctx, key, ret_key);
    return error == 0 ? 0
                      : cli_session_fail(session, error, NULL,
                                         "name the key by its ARN, which `coffer dump` shows",
                                         "cannot find the key %s", key);
}

static int list(struct cli_session *session, const char *key)
{
    struct coffer_fault fault = cli_no_fault();
    const struct coffer_key_provider *provider = cli_show_provider(session);
    struct cof_tool_view view = {.schema_version = 1,
                                 .list_name = "KeyUsage",
                                 .columns = "Kind Name Status ResourceId"};
    struct coffer_key_info info;
    int exit_code = resolve(session, provider, key, &info);
    if (exit_code != 0) {
        return exit_code;
    }
    json_t *uses = json_array();
    int error = cof_tool_key_uses(session->store, session->address.store, info.arn, provider, uses,
                                  &fault);
    if (error != 0) {
        json_decref(uses);
        return cli_session_fail(session, error, &fault, NULL, "cannot list what needs the key");
    }
    return cof_tool_print(session->call, uses, &view);
}

int cli_key_usage(struct cof_tool_call *call)
{
    struct cli_session session;
    int exit_code = cli_session_begin(&session, call, CLI_STORE, call->operands[0]);
    if (exit_code == 0) {
        exit_code = cli_session_open_store(&session, COFFER_OPEN_READ_ONLY);
    }
    if (exit_code == 0) {
        exit_code = list(&session, call->operands[1]);
    }
    return cli_session_end(&session, exit_code);
}
