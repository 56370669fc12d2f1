/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/dump.c - dump: the store's keyless metadata as JSON.
 *
 * The library names the values in order; here they become a tree. No key is asked for and no
 * plaintext is in it. JSON is the form without --output, too.
 */
#include "common/output.h"
#include "session.h"
#include "verbs.h"

#define DEPTH_MAX 32

struct dumping {
    json_t *open[DEPTH_MAX]; /* borrowed, from the top down */
    unsigned depth;
    json_t *top;
};

static int add(struct dumping *dumping, const char *name, json_t *value)
{
    if (value == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    if (dumping->depth == 0) {
        if (dumping->top != NULL) {
            json_decref(value);
            return COFFER_E_INTERNAL;
        }
        dumping->top = value;
        return 0;
    }
    json_t *parent = dumping->open[dumping->depth - 1];
    int status = json_is_array(parent) ? json_array_append_new(parent, value)
                                       : json_object_set_new(parent, name != NULL ? name : "",
                                                             value);
    return status != 0 ? COFFER_E_NO_MEMORY : 0;
}

static int begin(struct dumping *dumping, const char *name, json_t *value)
{
    if (dumping->depth == DEPTH_MAX) {
        json_decref(value);
        return COFFER_E_LIMIT;
    }
    int error = add(dumping, name, value);
    if (error == 0) {
        dumping->open[dumping->depth++] = value;
    }
    return error;
}

static int begin_object(void *ctx, const char *name)
{
    return begin(ctx, name, json_object());
}

static int begin_array(void *ctx, const char *name)
{
    return begin(ctx, name, json_array());
}

static int end(void *ctx)
{
    struct dumping *dumping = ctx;
    if (dumping->depth == 0) {
        return COFFER_E_INTERNAL;
    }
    dumping->depth--;
    return 0;
}

static int number(void *ctx, const char *name, uint64_t value)
{
    /* JSON readers have 63 bits; what has more is rather a digit string than wrong. */
    if (value > INT64_MAX) {
        return add(ctx, name, json_sprintf("%llu", (unsigned long long)value));
    }
    return add(ctx, name, json_integer((json_int_t)value));
}

static int string(void *ctx, const char *name, const char *value)
{
    return add(ctx, name, json_string(value));
}

static int boolean(void *ctx, const char *name, int value)
{
    return add(ctx, name, json_boolean(value));
}

static int dump(struct cli_session *session)
{
    static const struct coffer_dump_ops ops = {.size = sizeof ops,
                                               .begin_object = begin_object,
                                               .begin_array = begin_array,
                                               .end = end,
                                               .number = number,
                                               .string = string,
                                               .boolean = boolean};
    struct coffer_fault fault = cli_no_fault();
    struct cof_tool_view view = {.schema_version = 1, .form = "json"};
    struct dumping dumping = {.depth = 0};
    int error = coffer_store_dump(session->store, &ops, &dumping, &fault);
    if (error != 0) {
        json_decref(dumping.top);
        return cli_session_fail(session, error, &fault, NULL, "cannot dump %s",
                                session->address.store);
    }
    return cof_tool_print(session->call, dumping.top, &view);
}

int cli_dump(struct cof_tool_call *call)
{
    struct cli_session session;
    const char *store = call->operand_count > 0 ? call->operands[0] : NULL;
    int exit_code = cli_session_begin(&session, call, CLI_STORE, store);
    if (exit_code == 0) {
        exit_code = cli_session_open_store(&session, COFFER_OPEN_READ_ONLY);
    }
    if (exit_code == 0) {
        exit_code = dump(&session);
    }
    return cli_session_end(&session, exit_code);
}
