/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/anchor_file.c - the anchor file: {"version", "stores": [entries], "sum"}.
 *
 * The sum is FNV-1a over the entries as compact JSON with sorted members: it finds damage, not
 * forgery. Who can write to the anchor's medium can make it say anything.
 */
#include "anchor_file.h"
#include "common/kept_file.h"
#include "pins.h"
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIGEST_TEXT_BYTES 65

static const char damaged[] = "it is damaged";

int cli_anchor_fault(struct cli_anchor *anchor, int error, const char *why)
{
    if (anchor->error == 0) {
        anchor->error = error;
        anchor->os_errno = 0;
        snprintf(anchor->why, sizeof anchor->why, "%s", why);
    }
    return error;
}

int cli_anchor_fault_errno(struct cli_anchor *anchor)
{
    if (anchor->error == 0) {
        anchor->error = COFFER_E_IO;
        anchor->os_errno = errno;
    }
    return COFFER_E_IO;
}

void cli_anchor_path_text(const char *path, char text[CLI_ANCHOR_PATH_BYTES])
{
    char resolved[PATH_MAX];
    char *out = text;
    *out = '\0';
    if (realpath(path, resolved) == NULL) {
        return;
    }
    for (const char *at = resolved; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;
        if (byte > 0x20 && byte < 0x7f && byte != '%') {
            *out++ = *at;
        } else {
            out += snprintf(out, 4, "%%%02X", byte);
        }
    }
    *out = '\0';
}

/* ---- entries ----------------------------------------------------------------------------- */

json_t *cli_anchor_entry(const json_t *stores, const struct coffer_uuid *uuid)
{
    char text[CLI_UUID_TEXT_BYTES];
    size_t i;
    json_t *entry;
    cli_uuid_text(uuid, text);
    json_array_foreach((json_t *)stores, i, entry)
    {
        const char *store = json_string_value(json_object_get(entry, "store"));
        if (store != NULL && strcmp(store, text) == 0) {
            return entry;
        }
    }
    return NULL;
}

static const char *digest_text(const uint8_t digest[32], char text[DIGEST_TEXT_BYTES])
{
    for (unsigned i = 0; i < 32; i++) {
        snprintf(text + i * 2u, 3, "%02x", digest[i]);
    }
    return text;
}

static bool digest_from(const json_t *value, uint8_t digest[32])
{
    const char *text = json_string_value(value);
    if (text == NULL || strlen(text) != DIGEST_TEXT_BYTES - 1 ||
        strspn(text, "0123456789abcdef") != DIGEST_TEXT_BYTES - 1) {
        return false;
    }
    for (unsigned i = 0; i < 32; i++) {
        unsigned byte;
        if (sscanf(text + i * 2u, "%2x", &byte) != 1) {
            return false;
        }
        digest[i] = (uint8_t)byte;
    }
    return true;
}

static bool number_from(const json_t *value, uint64_t *ret_number)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return false;
    }
    *ret_number = (uint64_t)json_integer_value(value);
    return true;
}

json_t *cli_anchor_encode(const struct coffer_anchor_state *state, const char *path)
{
    char uuid[CLI_UUID_TEXT_BYTES];
    char digest[DIGEST_TEXT_BYTES];
    char next[DIGEST_TEXT_BYTES];
    return json_pack("{s:s, s:s, s:I, s:s, s:I, s:s, s:I, s:I, s:I, s:I}", "store",
                     cli_uuid_text(&state->store_uuid, uuid), "path", path, "epoch",
                     (json_int_t)state->epoch, "digest", digest_text(state->root_digest, digest),
                     "next_epoch", (json_int_t)state->next_epoch, "next_digest",
                     digest_text(state->next_digest, next), "rollbacks_accepted",
                     (json_int_t)state->rollbacks_accepted, "rollback_ns",
                     (json_int_t)state->rollback_ns, "rollback_known_epoch",
                     (json_int_t)state->rollback_known_epoch, "rollback_taken_epoch",
                     (json_int_t)state->rollback_taken_epoch);
}

int cli_anchor_decode(struct cli_anchor *anchor, const json_t *entry,
                      struct coffer_anchor_state *ret_state)
{
    struct coffer_anchor_state state = {.store_uuid = ret_state->store_uuid};
    if (!number_from(json_object_get(entry, "epoch"), &state.epoch) ||
        !digest_from(json_object_get(entry, "digest"), state.root_digest) ||
        !number_from(json_object_get(entry, "next_epoch"), &state.next_epoch) ||
        !digest_from(json_object_get(entry, "next_digest"), state.next_digest) ||
        !number_from(json_object_get(entry, "rollbacks_accepted"), &state.rollbacks_accepted) ||
        !number_from(json_object_get(entry, "rollback_ns"), &state.rollback_ns) ||
        !number_from(json_object_get(entry, "rollback_known_epoch"), &state.rollback_known_epoch) ||
        !number_from(json_object_get(entry, "rollback_taken_epoch"), &state.rollback_taken_epoch)) {
        return cli_anchor_fault(anchor, COFFER_E_CORRUPT, "an entry of it is not complete");
    }
    *ret_state = state;
    return 0;
}

/* ---- the document ------------------------------------------------------------------------ */

/* False when there is no memory. */
static bool sum_of(const json_t *stores, char text[17])
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    char *bytes = json_dumps(stores, JSON_COMPACT | JSON_SORT_KEYS);
    if (bytes == NULL) {
        return false;
    }
    for (const char *at = bytes; *at != '\0'; at++) {
        sum = (sum ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
    }
    free(bytes);
    snprintf(text, 17, "%016llx", (unsigned long long)sum);
    return true;
}

static int check_document(struct cli_anchor *anchor, const json_t *file)
{
    const json_t *stores = json_object_get(file, "stores");
    const char *said = json_string_value(json_object_get(file, "sum"));
    char sum[17];
    if (json_is_integer(json_object_get(file, "version")) &&
        json_integer_value(json_object_get(file, "version")) > 1) {
        return cli_anchor_fault(anchor, COFFER_E_TOO_NEW, "its version is not 1");
    }
    if (!json_is_array(stores) || said == NULL) {
        return cli_anchor_fault(anchor, COFFER_E_CORRUPT, damaged);
    }
    if (!sum_of(stores, sum)) {
        return cli_anchor_fault(anchor, COFFER_E_NO_MEMORY, "no memory");
    }
    return strcmp(said, sum) == 0 ? 0 : cli_anchor_fault(anchor, COFFER_E_CORRUPT, damaged);
}

/* No file knows no store; but where its directory is missing, so is the medium. */
static int load_none(struct cli_anchor *anchor, json_t **ret_stores)
{
    char directory[PATH_MAX];
    snprintf(directory, sizeof directory, "%s", anchor->file);
    if (access(dirname(directory), F_OK) != 0) {
        return cli_anchor_fault_errno(anchor);
    }
    *ret_stores = json_array();
    return *ret_stores != NULL ? 0 : cli_anchor_fault(anchor, COFFER_E_NO_MEMORY, "no memory");
}

int cli_anchor_load(struct cli_anchor *anchor, json_t **ret_stores)
{
    const char *why;
    int fd = cof_tool_kept_open(anchor->file, &why);
    if (fd < 0 && why != NULL) {
        return cli_anchor_fault(anchor, COFFER_E_CORRUPT, why);
    }
    if (fd < 0) {
        return errno == ENOENT ? load_none(anchor, ret_stores) : cli_anchor_fault_errno(anchor);
    }
    json_t *file = json_loadfd(fd, JSON_REJECT_DUPLICATES, NULL);
    int error = check_document(anchor, file);
    close(fd);
    if (error == 0) {
        *ret_stores = json_incref(json_object_get(file, "stores"));
    }
    json_decref(file);
    return error;
}

static int store_document(struct cli_anchor *anchor, json_t *stores)
{
    char sum[17];
    json_t *file = sum_of(stores, sum)
                       ? json_pack("{s:i, s:O, s:s}", "version", 1, "stores", stores, "sum", sum)
                       : NULL;
    int error = 0;
    if (file == NULL) {
        return cli_anchor_fault(anchor, COFFER_E_NO_MEMORY, "no memory");
    }
    if (cof_tool_kept_replace(anchor->file, file) != 0) {
        error = cli_anchor_fault_errno(anchor);
    }
    json_decref(file);
    return error;
}

int cli_anchor_change(struct cli_anchor *anchor,
                      int (*change)(struct cli_anchor *anchor, json_t *stores, void *ctx),
                      void *ctx)
{
    json_t *stores = NULL;
    int lock = cof_tool_kept_lock(anchor->file);
    int error = lock < 0 ? cli_anchor_fault_errno(anchor) : cli_anchor_load(anchor, &stores);
    if (error == 0) {
        error = change(anchor, stores, ctx);
    }
    if (error == 0) {
        error = store_document(anchor, stores);
    }
    json_decref(stores);
    if (lock >= 0) {
        close(lock);
    }
    return error;
}
