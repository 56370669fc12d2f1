/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/output.c - which document a query sees, and which form the result takes.
 */
#include "output.h"
#include "error.h"
#include "internal.h"
#include "query.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

bool cof_tool_wants_json(const struct cof_tool_call *call)
{
    return strcmp(cof_tool_text(call, "output", "table"), "json") == 0;
}

const char *cof_tool_people_bytes(uint64_t bytes, char buffer[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned unit = 0;
    uint64_t divisor = 1;
    while (bytes / divisor >= 1024) {
        divisor *= 1024;
        unit++;
    }
    if (bytes % divisor == 0) {
        snprintf(buffer, 32, "%llu %s", (unsigned long long)(bytes / divisor), units[unit]);
    } else {
        snprintf(buffer, 32, "%.1f %s", (double)bytes / (double)divisor, units[unit]);
    }
    return buffer;
}

/* {"Version": 1} with the members of value behind it, or value in a member called name. */
static json_t *enveloped(const json_t *value, const struct cof_tool_view *view, const char *name)
{
    json_t *envelope = json_object();
    if (view->schema_version != 0) {
        json_object_set_new(envelope, "Version", json_integer((json_int_t)view->schema_version));
    }
    if (name == NULL) {
        json_object_update(envelope, (json_t *)value);
    } else {
        json_object_set(envelope, name, (json_t *)value);
    }
    return envelope;
}

/* What --output json prints without a query. */
static json_t *whole(json_t *value, const struct cof_tool_view *view)
{
    if (json_is_array(value) && view->list_name != NULL) {
        return enveloped(value, view, view->list_name);
    }
    if (json_is_object(value) && view->schema_version != 0) {
        return enveloped(value, view, NULL);
    }
    return json_incref(value);
}

static bool begins_with_name(const char *query, const char *name)
{
    size_t length = strlen(name);
    return strncmp(query, name, length) == 0 && strchr(".[| ", query[length]) != NULL;
}

/* The document that query sees; output.h has the rule. */
static json_t *document_for(json_t *value, const struct cof_tool_view *view, const char *query)
{
    const char *name = view->list_name;
    if (json_is_array(value)) {
        return query[0] == '[' ? json_incref(value) : whole(value, view);
    }
    if (json_is_object(value) && name != NULL &&
        (query[0] == '*' || begins_with_name(query, name))) {
        return json_pack("{s:[O]}", name, value);
    }
    return whole(value, view);
}

static json_t *queried(const struct cof_tool_call *call, json_t *value,
                       const struct cof_tool_view *view, const char *query, int *exit_code)
{
    char why[160] = "";
    query += strspn(query, " ");
    json_t *document = document_for(value, view, query);
    json_t *result = document != NULL ? cof_tool_query(query, document, why) : NULL;
    json_decref(document);
    if (result == NULL) {
        *exit_code = cof_tool_usage(call, "InvalidQuery", "--query %s: %s", query,
                                    why[0] ? why : "there is no memory");
    }
    return result;
}

static int write_json(const json_t *value)
{
    if (json_dumpf(value, stdout, JSON_INDENT(4) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9)) != 0) {
        return -1;
    }
    putchar('\n');
    return 0;
}

static int print_value(const struct cof_tool_call *call, json_t *value,
                       const struct cof_tool_view *view)
{
    const char *query = cof_tool_text(call, "query", NULL);
    const char *usual = query != NULL ? "text" : view->form != NULL ? view->form : "table";
    const char *form = cof_tool_text(call, "output", usual);
    bool table = strcmp(form, "table") == 0;
    int exit_code = 0;
    int status;
    json_t *shown;
    if (query != NULL) {
        shown = queried(call, value, view, query, &exit_code);
        if (shown == NULL) {
            return exit_code;
        }
    } else if (table && view->people != NULL) {
        shown = json_incref(view->people);
    } else if (strcmp(form, "json") == 0) {
        shown = whole(value, view);
    } else {
        shown = json_incref(value);
    }
    if (table) {
        status = cof_tool_write_table(shown, query == NULL ? view->columns : NULL,
                                      view->byte_fields);
    } else {
        status = strcmp(form, "json") == 0 ? write_json(shown) : cof_tool_write_text(shown);
    }
    json_decref(shown);
    if (status != 0) {
        return cof_tool_fail_errno(call, errno != 0 ? errno : ENOMEM, NULL,
                                   "cannot write the result");
    }
    return 0;
}

int cof_tool_print(const struct cof_tool_call *call, json_t *value,
                   const struct cof_tool_view *view)
{
    static const struct cof_tool_view plain;
    const struct cof_tool_view *used = view != NULL ? view : &plain;
    int exit_code;
    errno = 0;
    if (value == NULL) {
        exit_code = cof_tool_fail(call, COFFER_E_NO_MEMORY, NULL, NULL, "cannot make the result");
    } else {
        exit_code = print_value(call, value, used);
    }
    json_decref(value);
    json_decref(used->people);
    return exit_code;
}

int cof_tool_finish_output(const struct cof_tool_call *call)
{
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return cof_tool_fail_errno(call, errno != 0 ? errno : EIO, NULL,
                                   "cannot write to standard output");
    }
    return 0;
}
