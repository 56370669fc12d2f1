/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/sigv4/headers.c - headers by name, and the list of those that are signed.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool cof_sigv4_same_name(const char *a, const char *b)
{
    return strcasecmp(a, b) == 0;
}

bool cof_sigv4_lower(const char *name, char ret_name[COF_SIGV4_NAME_BYTES_MAX])
{
    size_t bytes = strlen(name), i;

    if (bytes == 0 || bytes >= COF_SIGV4_NAME_BYTES_MAX) {
        return false;
    }
    for (i = 0; i <= bytes; i++) {
        ret_name[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + ('a' - 'A')) : name[i];
    }
    return strspn(ret_name, COF_SIGV4_NAME_CHARACTERS) == bytes;
}

const char *cof_sigv4_header(const struct coffer_kms_http_request *request, const char *name,
                             unsigned *ret_count)
{
    const char *value = NULL;
    unsigned i;

    *ret_count = 0;
    for (i = 0; i < request->header_count; i++) {
        if (cof_sigv4_same_name(request->headers[i].name, name)) {
            value = request->headers[i].value;
            (*ret_count)++;
        }
    }
    return *ret_count == 1 ? value : NULL;
}

const char *cof_sigv4_next_name(const char *list, char ret_name[COF_SIGV4_NAME_BYTES_MAX])
{
    size_t bytes = strcspn(list, ";");

    if (bytes == 0 || bytes >= COF_SIGV4_NAME_BYTES_MAX ||
        strspn(list, COF_SIGV4_NAME_CHARACTERS) < bytes) {
        return NULL;
    }
    memcpy(ret_name, list, bytes);
    ret_name[bytes] = '\0';
    return list + bytes;
}

bool cof_sigv4_is_signed(const char *signed_headers, const char *name)
{
    char each[COF_SIGV4_NAME_BYTES_MAX];
    const char *at = signed_headers;

    while ((at = cof_sigv4_next_name(at, each)) != NULL) {
        if (strcmp(each, name) == 0) {
            return true;
        }
        at += *at == ';';
    }
    return false;
}

/* Changed or taken away by what stands between the two sides. */
static bool changes_on_the_way(const char *name)
{
    static const char *const names[] = {
        "connection",        "expect",     "keep-alive",     "proxy-authenticate",
        "proxy-connection",  "te",         "trailer",        "upgrade",
        "transfer-encoding", "user-agent", "x-amzn-trace-id"};
    unsigned i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(left, right);
}

int cof_sigv4_list_names(const struct coffer_kms_http_request *request, struct cof_sigv4_text *list)
{
    char(*names)[COF_SIGV4_NAME_BYTES_MAX];
    unsigned count = 0, i;
    int error = 0;

    names = cof_kms_alloc(list->env, (request->header_count + 1) * sizeof(*names));
    if (names == NULL) {
        return COFFER_E_NO_MEMORY;
    }
    for (i = 0; i < request->header_count && error == 0; i++) {
        error = cof_sigv4_lower(request->headers[i].name, names[count]) ? 0 : COFFER_E_INVALID;
        count += error == 0 && !changes_on_the_way(names[count]);
    }
    if (error == 0) {
        qsort(names, count, sizeof(*names), compare_names);
    }
    for (i = 0; i < count && error == 0; i++) {
        if (i == 0 || strcmp(names[i - 1], names[i]) != 0) {
            cof_sigv4_put(list, ";", i > 0);
            cof_sigv4_put_text(list, names[i]);
        }
    }
    cof_kms_free(list->env, names);
    return error == 0 && list->failed ? COFFER_E_NO_MEMORY : error;
}
