/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/address.c - STORE:VOLUME, taken apart. Names are checked here, so that a wrong one is a
 * usage error before anything is opened.
 */
#include "address.h"
#include "common/error.h"
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES                                                                                 \
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

static const char *default_store(const struct cof_tool_call *call)
{
    const char *store = cof_tool_text(call, "store", NULL);
    if (store == NULL) {
        store = getenv("COFFER_STORE");
    }
    return store != NULL && store[0] != '\0' ? store : NULL;
}

static int take_path(const struct cof_tool_call *call, const char *path, size_t length,
                     struct cli_address *address)
{
    if (length == 0) {
        return cof_tool_usage(call, NULL, "the path of the store is empty");
    }
    if (length >= sizeof address->store) {
        return cof_tool_usage(call, NULL, "the path of the store is too long");
    }
    memcpy(address->store, path, length);
    address->store[length] = '\0';
    return 0;
}

static int take_name(const struct cof_tool_call *call, const char *name,
                     struct cli_address *address)
{
    size_t length = strlen(name);
    if (strchr(name, '@') != NULL) {
        return cof_tool_usage(call, NULL, "%s: this verb takes a volume, not a snapshot", name);
    }
    if (length == 0) {
        return cof_tool_usage(call, NULL, "the volume's name is missing: write STORE:VOLUME");
    }
    if (length >= COFFER_NAME_BYTES_MAX || strspn(name, NAME_BYTES) != length || name[0] == '-' ||
        name[0] == '.') {
        return cof_tool_usage(call, NULL,
                              "%s: a volume's name is 1 to %d of A-Z a-z 0-9 . _ - and does not "
                              "begin with - or .", name, COFFER_NAME_BYTES_MAX - 1);
    }
    memcpy(address->volume, name, length + 1);
    return 0;
}

int cli_address_volume(const struct cof_tool_call *call, const char *word,
                       struct cli_address *ret_address)
{
    struct cli_address address = {.store = "", .volume = ""};
    const char *colon = strrchr(word, ':');
    const char *store = default_store(call);
    const char *name = word;
    size_t length = 0;
    if (colon != NULL && strchr(colon, '/') == NULL) {
        store = word;
        length = (size_t)(colon - word);
        name = colon + 1;
    } else if (strchr(word, '/') != NULL) {
        return cof_tool_usage(call, NULL, "%s is a path; the volume is missing: write STORE:VOLUME",
                              word);
    } else if (store == NULL) {
        return cof_tool_usage(call, NULL,
                              "%s names no store: write STORE:VOLUME, or give --store or "
                              "COFFER_STORE", word);
    } else {
        length = strlen(store);
    }
    int exit_code = take_path(call, store, length, &address);
    if (exit_code == 0) {
        exit_code = take_name(call, name, &address);
    }
    if (exit_code == 0) {
        *ret_address = address;
    }
    return exit_code;
}

int cli_address_store(const struct cof_tool_call *call, const char *word,
                      struct cli_address *ret_address)
{
    struct cli_address address = {.store = "", .volume = ""};
    const char *store = word != NULL ? word : default_store(call);
    if (store == NULL) {
        return cof_tool_usage(call, NULL, "a store is missing: name it, or give --store or "
                                          "COFFER_STORE");
    }
    int exit_code = take_path(call, store, strlen(store), &address);
    if (exit_code == 0) {
        *ret_address = address;
    }
    return exit_code;
}
