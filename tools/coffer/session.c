/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/session.c - begin, open, close; what a failure of the key store is called.
 */
#include "session.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct coffer_fault cli_no_fault(void)
{
    struct coffer_fault fault;
    memset(&fault, 0, sizeof fault);
    fault.page = COFFER_NOWHERE;
    fault.segment = COFFER_NOWHERE;
    fault.offset = COFFER_NOWHERE;
    return fault;
}

const char *cli_session_name(const struct cli_session *session)
{
    static char name[sizeof session->address.store + sizeof session->address.name + 1];
    snprintf(name, sizeof name, "%s%s%s", session->address.store,
             session->address.name[0] ? ":" : "", session->address.name);
    return name;
}

int cli_cipher_take(const struct cof_tool_call *call, uint32_t *ret_backend)
{
    const char *word = getenv("COFFER_CIPHER_BACKEND");
    *ret_backend = COFFER_CIPHER_AUTO;
    if (word == NULL || word[0] == '\0') {
        return 0;
    }
    for (uint32_t i = COFFER_CIPHER_AUTO; i <= COFFER_CIPHER_IPSEC_MB; i++) {
        if (strcmp(word, coffer_cipher_backend_name((enum coffer_cipher_backend)i)) == 0) {
            *ret_backend = i;
            return 0;
        }
    }
    return cof_tool_usage(call, NULL, "COFFER_CIPHER_BACKEND: %s is none of auto, evp, ipsec-mb",
                          word);
}

int cli_session_begin(struct cli_session *session, const struct cof_tool_call *call,
                      enum cli_what what, const char *word)
{
    memset(session, 0, sizeof *session);
    session->call = call;
    int exit_code = cli_address_take(call, what, word, &session->address);
    if (exit_code == 0) {
        exit_code = cli_cipher_take(call, &session->cipher_backend);
    }
    return exit_code != 0 ? exit_code
                          : cli_anchor_begin(&session->anchor, call, session->address.store);
}

static void take_sides(struct cli_session *session)
{
    session->has_keys = true;
    session->has_caller = cof_tool_kms_has_engine(&session->kms);
    if (session->has_caller) {
        cof_tool_kms_provider(&session->kms, false, &session->caller);
    }
}

void cli_session_use_keys(struct cli_session *session, unsigned kms_flags)
{
    cof_tool_kms_init(&session->kms, session->call, kms_flags, &session->provider);
    take_sides(session);
}

void cli_session_use_source_keys(struct cli_session *session, unsigned kms_flags)
{
    cof_tool_kms_init_source(&session->kms, session->call, kms_flags, &session->provider);
    take_sides(session);
}

const struct coffer_key_provider *cli_session_caller(const struct cli_session *session)
{
    return session->has_caller ? &session->caller : NULL;
}

const struct coffer_key_provider *cli_session_asker(const struct cli_session *session)
{
    return session->has_caller ? &session->caller : &session->provider;
}

void cli_session_lend_keys(struct cli_session *lender, struct cli_session *session)
{
    session->lender = lender;
    session->provider = lender->provider;
    session->caller = lender->caller;
    session->has_caller = lender->has_caller;
    session->has_keys = true;
}

int cli_session_fail(struct cli_session *session, int error, const struct coffer_fault *fault,
                     const char *todo, const char *what, ...)
{
    char text[1024];
    struct coffer_fault key_fault = cli_no_fault();
    struct cof_tool_kms *kms = session->lender != NULL ? &session->lender->kms : &session->kms;
    va_list list;
    va_start(list, what);
    vsnprintf(text, sizeof text, what, list);
    va_end(list);
    if (session->anchor.error != 0) { /* it failed the open, or the store: all else follows */
        return cli_anchor_report(&session->anchor, text);
    }
    if (session->has_keys) {
        cof_tool_kms_fault(kms, &key_fault);
    }
    if (key_fault.error != error) {
        return cof_tool_fail(session->call, error, fault, todo, "%s", text);
    }
    /* A key store that is not there must not read as a volume that is not there, nor one that may
     * not be read as a store that may not. */
    enum coffer_error_class cls = coffer_error_class_of(error);
    if (kms->open_error != 0 && (cls == COFFER_CLASS_ABSENT || cls == COFFER_CLASS_IO)) {
        return cof_tool_fail_named(session->call, "KEY_UNREACHABLE", "key", COF_EXIT_KEY,
                                   key_fault.detail[0] ? key_fault.detail
                                                       : coffer_error_sentence(error),
                                   todo, "%s: the key store cannot be opened", text);
    }
    return cof_tool_fail(session->call, error, &key_fault, todo, "%s", text);
}

static const char *after_rollback(const struct cli_session *session, int error)
{
    return error == COFFER_E_ROLLBACK && session->anchor.file != NULL
               ? "if you put it back or wrote to it without the anchor yourself, open it with "
                 "--accept-rollback; else keep a copy and investigate"
               : NULL;
}

unsigned cli_used_percent(const struct coffer_store_info *info)
{
    return info->capacity_bytes == 0
               ? 0
               : (unsigned)((double)info->live_bytes * 100.0 / (double)info->capacity_bytes);
}

void cli_session_warn_of_space(struct cli_session *session)
{
    const struct coffer_store_info *info = &session->store_info;
    if (info->space_warning != 0 && !session->warned_of_space) {
        session->warned_of_space = true;
        cof_tool_note(session->call,
                      "the store %s is %u %% full, and warns from %u %% on: delete volumes and "
                      "snapshots, discard data, or give it room with `coffer store grow`",
                      session->address.store, cli_used_percent(info), info->warn_percent);
    }
}

/* What was written since the opening may have filled it. */
static void look_at_space(struct cli_session *session)
{
    if (session->store != NULL && session->writes &&
        coffer_store_info_get(session->store, &session->store_info) == 0) {
        cli_session_warn_of_space(session);
    }
}

/* What only a session that serves takes: its call has the options. */
static void use_budgets(const struct cli_session *session, struct coffer_store_opts *opts)
{
    if (session->serves) {
        opts->flags |= COFFER_OPEN_BACKGROUND;
        opts->node_cache_bytes = cof_tool_size(session->call, "node-cache", 0);
        opts->tag_cache_bytes = cof_tool_size(session->call, "tag-cache", 0);
    }
}

int cli_session_try_store(struct cli_session *session, unsigned flags, struct coffer_fault *fault)
{
    struct coffer_env env;
    struct coffer_store_opts opts = {.size = sizeof opts, .path = session->address.store};
    opts.flags = flags;
    opts.cipher_backend = session->cipher_backend;
    if (cof_tool_given(session->call, "buffered")) {
        opts.flags |= COFFER_OPEN_BUFFERED;
    }
    use_budgets(session, &opts);
    cli_anchor_use(&session->anchor, &opts, &env);
    int error = coffer_store_open(&opts, &session->store, fault);
    if (error == 0) {
        session->store_info.size = sizeof session->store_info;
        error = coffer_store_info_get(session->store, &session->store_info);
    }
    if (error == 0) {
        cli_anchor_opened(&session->anchor);
        session->writes = (flags & COFFER_OPEN_READ_ONLY) == 0;
        if (session->writes) {
            cli_session_warn_of_space(session);
        }
    }
    return error;
}

int cli_session_open_store(struct cli_session *session, unsigned flags)
{
    struct coffer_fault fault = cli_no_fault();
    int error = cli_session_try_store(session, flags, &fault);
    if (error != 0) {
        return cli_session_fail(session, error, &fault, after_rollback(session, error),
                                "cannot open the store %s", session->address.store);
    }
    return 0;
}

int cli_session_refresh(struct cli_session *session)
{
    session->volume_info.size = sizeof session->volume_info;
    int error = coffer_volume_info_get(session->volume, &session->volume_info);
    if (error != 0) {
        return cli_session_fail(session, error, NULL, NULL, "cannot describe %s",
                                cli_session_name(session));
    }
    return 0;
}

int cli_session_close_volume(struct cli_session *session)
{
    int error = coffer_volume_close(session->volume);
    session->volume = NULL;
    if (error != 0) {
        return cli_session_fail(session, error, NULL, NULL, "cannot close %s",
                                cli_session_name(session));
    }
    return 0;
}

int cli_session_end(struct cli_session *session, int exit_code)
{
    look_at_space(session);
    int volume_error = coffer_volume_close(session->volume);
    int store_error = coffer_store_close(session->store);
    int error = volume_error != 0 ? volume_error : store_error;
    session->volume = NULL;
    session->store = NULL;
    if (error != 0 && exit_code == 0) {
        exit_code = cli_session_fail(session, error, NULL,
                                     "what was flushed is safe; `coffer check` tells more",
                                     "cannot close %s", cli_session_name(session));
    }
    if (session->has_keys) {
        cof_tool_kms_done(&session->kms);
        session->has_keys = false;
    }
    return exit_code;
}
