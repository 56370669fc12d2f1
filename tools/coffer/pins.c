/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/pins.c - the pin file: find, put, remove. Reading and replacing it is pins_file.c.
 */
#include "pins.h"
#include "common/error.h"
#include "pins_file.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *cli_uuid_text(const struct coffer_uuid *uuid, char text[CLI_UUID_TEXT_BYTES])
{
    const uint8_t *b = uuid->bytes;
    snprintf(text, CLI_UUID_TEXT_BYTES,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
             b[15]);
    return text;
}

static bool uuid_from(const json_t *value, struct coffer_uuid *ret_uuid)
{
    const char *text = json_string_value(value);
    size_t filled = 0;
    if (text == NULL || strlen(text) != CLI_UUID_TEXT_BYTES - 1) {
        return false;
    }
    while (*text != '\0' && filled < sizeof ret_uuid->bytes) {
        unsigned byte;
        if (*text == '-') {
            text++;
            continue;
        }
        if (sscanf(text, "%2x", &byte) != 1) {
            return false;
        }
        ret_uuid->bytes[filled++] = (uint8_t)byte;
        text += 2;
    }
    return filled == sizeof ret_uuid->bytes && *text == '\0';
}

static const char *text_of(const json_t *entry, const char *name)
{
    const char *text = json_string_value(json_object_get(entry, name));
    return text != NULL ? text : "";
}

static bool is_for(const json_t *entry, const char *store, const char *name)
{
    return strcmp(text_of(entry, "store"), store) == 0 &&
           strcmp(text_of(entry, "volume"), name) == 0;
}

/* The index of the entry for a volume, or the number of entries. */
static size_t index_of(const json_t *entries, const struct coffer_uuid *store_uuid,
                       const char *name)
{
    char store[CLI_UUID_TEXT_BYTES];
    size_t count = json_array_size(entries);
    cli_uuid_text(store_uuid, store);
    for (size_t i = 0; i < count; i++) {
        if (is_for(json_array_get(entries, i), store, name)) {
            return i;
        }
    }
    return count;
}

static bool pinned_elsewhere(const json_t *entries, const char *name, const char *path)
{
    char resolved[PATH_MAX];
    size_t i;
    json_t *entry;
    if (realpath(path, resolved) == NULL) {
        return false;
    }
    json_array_foreach((json_t *)entries, i, entry) {
        if (strcmp(text_of(entry, "path"), resolved) == 0 &&
            strcmp(text_of(entry, "volume"), name) == 0) {
            return true;
        }
    }
    return false;
}

static int take_entry(const struct cof_tool_call *call, const json_t *entry,
                      const struct coffer_uuid *store_uuid, const char *name,
                      struct cli_pin *ret_pin)
{
    struct cli_pin pin = {.store_uuid = *store_uuid};
    const json_t *encrypted = json_object_get(entry, "encrypted");
    const char *arn = text_of(entry, "key_arn");
    const char *next = text_of(entry, "next_key_arn");
    if (!uuid_from(json_object_get(entry, "volume_uuid"), &pin.volume_uuid) ||
        !json_is_boolean(encrypted) || strlen(arn) >= sizeof pin.key_arn ||
        strlen(next) >= sizeof pin.next_arn) {
        return cli_pins_complain(call, "an entry of it is not complete");
    }
    pin.encrypted = json_is_true(encrypted);
    snprintf(pin.volume, sizeof pin.volume, "%s", name);
    snprintf(pin.key_arn, sizeof pin.key_arn, "%s", arn);
    snprintf(pin.next_arn, sizeof pin.next_arn, "%s", next);
    *ret_pin = pin;
    return 0;
}

int cli_pins_find(const struct cof_tool_call *call, const struct coffer_uuid *store_uuid,
                  const char *name, const char *path, struct cli_pin *ret_pin, bool *ret_found,
                  bool *ret_other)
{
    json_t *file = NULL;
    int exit_code = cli_pins_load(call, &file);
    *ret_found = false;
    *ret_other = false;
    if (exit_code != 0) {
        return exit_code;
    }
    const json_t *entries = json_object_get(file, "pins");
    const json_t *entry = json_array_get(entries, index_of(entries, store_uuid, name));
    if (entry != NULL) {
        exit_code = take_entry(call, entry, store_uuid, name, ret_pin);
        *ret_found = exit_code == 0;
    } else {
        *ret_other = pinned_elsewhere(entries, name, path);
    }
    json_decref(file);
    return exit_code;
}

static json_t *entry_from(const struct cli_pin *pin)
{
    char store[CLI_UUID_TEXT_BYTES];
    char volume[CLI_UUID_TEXT_BYTES];
    char resolved[PATH_MAX];
    bool placed = pin->path != NULL && realpath(pin->path, resolved) != NULL;
    /* A path that is not UTF-8 can't stand in JSON; the pin is good without it. */
    json_t *path = placed ? json_string(resolved) : NULL;
    return json_pack("{s:s, s:s, s:s, s:b, s:s?, s:o}", "store",
                     cli_uuid_text(&pin->store_uuid, store), "volume", pin->volume, "volume_uuid",
                     cli_uuid_text(&pin->volume_uuid, volume), "encrypted", pin->encrypted,
                     "key_arn", pin->encrypted ? pin->key_arn : NULL, "path",
                     path != NULL ? path : json_null());
}

struct change {
    const struct cli_pin *put;
    const char *next_arn;
    const struct coffer_uuid *store_uuid;
    const char *name;
    const char *path;
};

static int put_entry(json_t *entries, void *ctx)
{
    const struct change *change = ctx;
    json_t *entry = entry_from(change->put);
    size_t at = index_of(entries, &change->put->store_uuid, change->put->volume);
    if (entry == NULL) {
        return -1;
    }
    if (at < json_array_size(entries)) {
        return json_array_set_new(entries, at, entry);
    }
    return json_array_append_new(entries, entry);
}

static int remove_entry(json_t *entries, void *ctx)
{
    const struct change *change = ctx;
    size_t at = index_of(entries, change->store_uuid, change->name);
    return at < json_array_size(entries) ? json_array_remove(entries, at) : 0;
}

/* The volume's own entry, or one of its snapshots'. */
static bool is_of(const json_t *entry, const char *store, const char *name)
{
    size_t length = strlen(name);
    const char *volume = text_of(entry, "volume");
    return strcmp(text_of(entry, "store"), store) == 0 && strncmp(volume, name, length) == 0 &&
           (volume[length] == '\0' || volume[length] == '@');
}

static int expect_key(json_t *entries, void *ctx)
{
    const struct change *change = ctx;
    char store[CLI_UUID_TEXT_BYTES];
    size_t i;
    json_t *entry;
    cli_uuid_text(change->store_uuid, store);
    json_array_foreach(entries, i, entry) {
        if (is_of(entry, store, change->name) &&
            json_object_set_new(entry, "next_key_arn", json_string(change->next_arn)) != 0) {
            return -1;
        }
    }
    return 0;
}

static int forget_path(json_t *entries, void *ctx)
{
    const struct change *change = ctx;
    char resolved[PATH_MAX];
    size_t i;
    json_t *entry;
    if (realpath(change->path, resolved) == NULL) {
        return 0;
    }
    json_array_foreach(entries, i, entry) {
        if (strcmp(text_of(entry, "path"), resolved) == 0) {
            json_object_set_new(entry, "path", json_null());
        }
    }
    return 0;
}

int cli_pins_put(const struct cof_tool_call *call, const struct cli_pin *pin)
{
    struct change change = {.put = pin};
    return cli_pins_change(call, true, put_entry, &change);
}

int cli_pins_remove(const struct cof_tool_call *call, const struct coffer_uuid *store_uuid,
                    const char *name)
{
    struct change change = {.store_uuid = store_uuid, .name = name};
    return cli_pins_change(call, false, remove_entry, &change);
}

int cli_pins_expect_key(const struct cof_tool_call *call, const struct coffer_uuid *store_uuid,
                        const char *name, const char *next_arn)
{
    struct change change = {.store_uuid = store_uuid, .name = name, .next_arn = next_arn};
    return cli_pins_change(call, false, expect_key, &change);
}

int cli_pins_forget_path(const struct cof_tool_call *call, const char *path)
{
    struct change change = {.path = path};
    return cli_pins_change(call, false, forget_path, &change);
}
