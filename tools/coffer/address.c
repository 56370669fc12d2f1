/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/address.c - STORE:VOLUME[@SNAPSHOT], taken apart. Names are checked here, so that a
 * wrong one is a usage error before anything is opened.
 */
#include "address.h"
#include "common/error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

static bool is_name(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length < COFFER_NAME_BYTES_MAX && strspn(name, NAME_BYTES) == length &&
           name[0] != '-' && name[0] != '.';
}

static int refuse_name(const struct cof_tool_call *call, const char *what, const char *name)
{
    return cof_tool_usage(call, NULL,
                          "%s: a %s's name is 1 to %d of A-Z a-z 0-9 . _ - and does not begin with "
                          "- or .", name, what, COFFER_NAME_BYTES_MAX - 1);
}

static int take_volume(const struct cof_tool_call *call, const char *name, size_t length,
                       struct cli_address *address)
{
    char volume[2 * COFFER_NAME_BYTES_MAX];
    if (length == 0) {
        return cof_tool_usage(call, NULL, "the volume's name is missing: write STORE:VOLUME");
    }
    snprintf(volume, sizeof volume, "%.*s", (int)(length < sizeof volume ? length : sizeof volume),
             name);
    if (!is_name(volume)) {
        return refuse_name(call, "volume", volume);
    }
    memcpy(address->volume, volume, length + 1);
    return 0;
}

static int take_name(const struct cof_tool_call *call, enum cli_what what, const char *name,
                     struct cli_address *address)
{
    const char *at = strchr(name, '@');
    bool wants_snapshot = what == CLI_SNAPSHOT;
    bool may_be_snapshot = wants_snapshot || what == CLI_VOLUME_OR_SNAPSHOT;
    if (at != NULL && !may_be_snapshot) {
        return cof_tool_usage(call, NULL,
                              "%s: this verb takes a volume, not a snapshot, which never changes; "
                              "`coffer snapshot restore` makes a volume of one", name);
    }
    if (wants_snapshot && (at == NULL || at[1] == '\0')) {
        return cof_tool_usage(call, NULL, "%s: the snapshot's name is missing: write "
                              "STORE:VOLUME@SNAPSHOT", name);
    }
    int exit_code = take_volume(call, name, at != NULL ? (size_t)(at - name) : strlen(name),
                                address);
    if (exit_code == 0 && at != NULL && !is_name(at + 1)) {
        exit_code = refuse_name(call, "snapshot", at + 1);
    }
    if (exit_code == 0) {
        cli_address_aim(address, at != NULL ? at + 1 : "");
    }
    return exit_code;
}

void cli_address_aim(struct cli_address *address, const char *snapshot)
{
    char copy[COFFER_NAME_BYTES_MAX];
    snprintf(copy, sizeof copy, "%s", snapshot);
    memcpy(address->snapshot, copy, sizeof copy);
    snprintf(address->name, sizeof address->name, "%s%s%s", address->volume, copy[0] ? "@" : "",
             copy);
}

static int take_named(const struct cof_tool_call *call, enum cli_what what, const char *word,
                      struct cli_address *ret_address)
{
    struct cli_address address = {.store = ""};
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
        exit_code = take_name(call, what, name, &address);
    }
    if (exit_code == 0) {
        *ret_address = address;
    }
    return exit_code;
}

static int take_store(const struct cof_tool_call *call, const char *store, size_t length,
                      struct cli_address *ret_address)
{
    struct cli_address address = {.store = ""};
    int exit_code = take_path(call, store, length, &address);
    if (exit_code == 0) {
        *ret_address = address;
    }
    return exit_code;
}

int cli_address_store(const struct cof_tool_call *call, const char *word,
                      struct cli_address *ret_address)
{
    const char *store = word != NULL ? word : default_store(call);
    if (store == NULL) {
        return cof_tool_usage(call, NULL, "a store is missing: name it, or give --store or "
                                          "COFFER_STORE");
    }
    return take_store(call, store, strlen(store), ret_address);
}

static int take_either(const struct cof_tool_call *call, enum cli_what named, const char *word,
                       struct cli_address *ret_address)
{
    const char *colon = word != NULL ? strrchr(word, ':') : NULL;
    if (colon != NULL && colon[1] == '\0') {
        return take_store(call, word, (size_t)(colon - word), ret_address);
    }
    bool has_volume = colon != NULL && strchr(colon, '/') == NULL;
    bool is_volume = word != NULL && strchr(word, '/') == NULL && default_store(call) != NULL;
    return has_volume || is_volume ? take_named(call, named, word, ret_address)
                                   : cli_address_store(call, word, ret_address);
}

int cli_address_take(const struct cof_tool_call *call, enum cli_what what, const char *word,
                     struct cli_address *ret_address)
{
    if (what == CLI_STORE) {
        return cli_address_store(call, word, ret_address);
    }
    if (what == CLI_STORE_OR_VOLUME || what == CLI_ANY) {
        return take_either(call, what == CLI_ANY ? CLI_VOLUME_OR_SNAPSHOT : CLI_VOLUME, word,
                           ret_address);
    }
    return take_named(call, what, word, ret_address);
}

bool cli_address_same_store(const struct cli_address *a, const struct cli_address *b)
{
    struct stat of_a;
    struct stat of_b;
    if (strcmp(a->store, b->store) == 0) {
        return true;
    }
    return stat(a->store, &of_a) == 0 && stat(b->store, &of_b) == 0 &&
           of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}
