/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/tag.c - tags: what the line gives, what describe shows, and tag set, remove and list.
 *
 * A change looks first, in a store that is open for reading: the volume or snapshot is the one that
 * was pinned, and has room for the tags. --all takes away also what can't be read any more.
 */
#include "tag.h"
#include "common/output.h"
#include "show.h"
#include "verbs.h"
#include <string.h>

/* ---- the line ---------------------------------------------------------------------------- */

int cli_tags_take(const struct cof_tool_call *call, const char *const *words, size_t count,
                  struct cli_tags *tags)
{
    struct coffer_fault fault = cli_no_fault();
    for (tags->count = 0; tags->count < count; tags->count++) {
        const char *word = words[tags->count];
        const char *equals = strchr(word, '=');
        char *key = tags->keys[tags->count];
        if (equals == NULL || equals == word) {
            return cof_tool_usage(call, NULL, "%s is no tag: it is KEY=VALUE", word);
        }
        if ((size_t)(equals - word) >= sizeof tags->keys[0]) {
            return cof_tool_usage(call, NULL, "%.40s...: a tag's key is at most %d characters",
                                  word, COFFER_TAG_KEY_CHARACTERS_MAX);
        }
        memcpy(key, word, (size_t)(equals - word));
        key[equals - word] = '\0';
        tags->tags[tags->count] = (struct coffer_tag){key, equals + 1};
    }
    int error = coffer_tags_check(tags->tags, tags->count, &fault);
    return error == 0 ? 0 : cof_tool_fail(call, error, &fault, NULL, "these tags will not do");
}

int cli_tags_given(const struct cof_tool_call *call, struct cli_tags *tags)
{
    const char *const *words;
    unsigned count = cof_tool_list(call, "tag", &words);
    return cli_tags_take(call, words, count, tags);
}

/* ---- shown ------------------------------------------------------------------------------- */

static int add_tag(void *ctx, const struct coffer_tag *tag)
{
    json_t *shown = json_pack("{s:s, s:s}", "Key", tag->key, "Value", tag->value);
    return json_array_append_new(ctx, shown) != 0 ? COFFER_E_NO_MEMORY : 0;
}

static int read_tags(struct cli_session *session, const char *name, json_t *list,
                     struct coffer_fault *fault)
{
    struct coffer_tags_opts opts = {.size = sizeof opts,
                                    .name = name,
                                    .provider = session->has_keys ? &session->provider : NULL};
    return coffer_tags_visit(session->store, &opts, add_tag, list, fault);
}

json_t *cli_tags_shown(struct cli_session *session, const char *name)
{
    struct coffer_fault fault = cli_no_fault();
    json_t *list = json_array();
    int error = read_tags(session, name, list, &fault);
    if (error == 0) {
        return list;
    }
    json_decref(list);
    if (error != COFFER_E_BUSY) { /* that of a copy that is not whole are not asked for */
        cof_tool_note(session->call, "the tags of %s do not read: %s", name,
                      fault.detail[0] ? fault.detail : coffer_error_sentence(error));
    }
    return json_null();
}

json_t *cli_tags_lines(const json_t *list)
{
    json_t *lines = json_array_size(list) > 0 ? json_object() : NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *tag = json_array_get(list, i);
        json_object_set(lines, json_string_value(json_object_get(tag, "Key")),
                        json_object_get(tag, "Value"));
    }
    return lines;
}

static int print(struct cli_session *session)
{
    struct cof_tool_view view = {
        .schema_version = 1, .list_name = "TagList", .columns = "Key Value"};
    struct coffer_fault fault = cli_no_fault();
    json_t *list = json_array();
    int error = read_tags(session, session->address.name, list, &fault);
    if (error != 0) {
        json_decref(list);
        return cli_session_fail(session, error, &fault, NULL, "cannot list the tags of %s",
                                cli_session_name(session));
    }
    return cof_tool_print(session->call, list, &view);
}

/* ---- the verbs --------------------------------------------------------------------------- */

struct change {
    struct cli_session session;
    struct cli_tags tags;
    const char *const *keys; /* to take away; NULL: tags are set */
    size_t key_count;
};

/* The library says it too, but only in a store that is open for writing. */
static int check_room(struct change *change)
{
    struct cli_session *session = &change->session;
    struct coffer_fault fault = cli_no_fault();
    json_t *list = json_array();
    int error = read_tags(session, session->address.name, list, &fault);
    json_t *all = error == 0 ? json_object() : NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_object_set_new(all, json_string_value(json_object_get(json_array_get(list, i), "Key")),
                            json_null());
    }
    for (size_t i = 0; error == 0 && i < change->tags.count; i++) {
        json_object_set_new(all, change->tags.tags[i].key, json_null());
    }
    if (error == 0 && json_object_size(all) > COFFER_TAGS_MAX) {
        error = COFFER_E_LIMIT;
    }
    json_decref(all);
    json_decref(list);
    return error == 0 ? 0
                      : cli_session_fail(session, error, &fault,
                                         error == COFFER_E_LIMIT ? "remove some with `coffer tag "
                                                                   "remove`; 50 is the limit"
                                                                 : NULL,
                                         "cannot tag %s", cli_session_name(session));
}

static int write_change(struct change *change)
{
    struct cli_session *session = &change->session;
    struct coffer_fault fault = cli_no_fault();
    struct coffer_tags_opts opts = {.size = sizeof opts,
                                    .name = session->address.name,
                                    .provider = session->has_keys ? &session->provider : NULL};
    int error =
        change->keys == NULL
            ? coffer_tags_set(session->store, &opts, change->tags.tags, change->tags.count, &fault)
            : coffer_tags_remove(session->store, &opts, change->keys, change->key_count, &fault);
    if (error != 0) {
        return cli_session_fail(session, error, &fault, NULL, "cannot change the tags of %s",
                                cli_session_name(session));
    }
    return cli_show_result(session->call) ? print(session) : 0;
}

static int run(struct change *change, const struct cof_tool_call *call)
{
    struct cli_session *session = &change->session;
    int exit_code = cli_session_begin(session, call, CLI_VOLUME_OR_SNAPSHOT, call->operands[0]);
    if (exit_code != 0) {
        return exit_code;
    }
    session->stopped_too = true;
    exit_code = cli_session_open_volume(session, COFFER_VOLUME_READ_ONLY);
    if (exit_code == 0 && change->keys == NULL) {
        exit_code = check_room(change);
    }
    if (exit_code == 0) {
        exit_code = cli_session_go_on_closed(session);
    }
    if (exit_code == 0) {
        exit_code = write_change(change);
    }
    return cli_session_end(session, exit_code);
}

int cli_tag_set(struct cof_tool_call *call)
{
    static struct change change;
    int exit_code = cli_tags_take(call, call->operands + 1, call->operand_count - 1, &change.tags);
    return exit_code == 0 ? run(&change, call) : exit_code;
}

int cli_tag_remove(struct cof_tool_call *call)
{
    static struct change change;
    bool all = cof_tool_given(call, "all");
    if (all != (call->operand_count == 1)) {
        return cof_tool_usage(call, NULL,
                              all ? "--all takes no KEY beside it"
                                  : "KEY is missing: which tags, or --all of them");
    }
    change.keys = call->operands + 1;
    change.key_count = call->operand_count - 1;
    return run(&change, call);
}

int cli_tag_list(struct cof_tool_call *call)
{
    struct cli_session session;
    int exit_code = cli_session_begin(&session, call, CLI_VOLUME_OR_SNAPSHOT, call->operands[0]);
    if (exit_code == 0) {
        session.stopped_too = true;
        exit_code = cli_session_open_volume(&session, COFFER_VOLUME_READ_ONLY);
    }
    if (exit_code == 0) {
        exit_code = print(&session);
    }
    return cli_session_end(&session, exit_code);
}
