/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/session.h - one verb's store, volume (or snapshot) and keys, from address to close.
 *
 * A verb begins a session, opens what it needs, works, and ends the session with the exit code it
 * has so far; ending closes everything and reports what closing found. The key store is opened at
 * the first call that needs a key, so that plain volumes and keyless verbs ask for no passphrase.
 *
 * Opening a volume checks its pin and, at the first time, makes it (docs/decisions/0010). An
 * unencrypted volume is opened only when its pin says that it is one, or with --allow-plain.
 *
 * With --anchor the store is held against what the anchor knows, at each open.
 *
 * Opening a store for writing writes a root. So that a refused command changes not one byte, a verb
 * that writes opens for reading first, checks all it can, and then goes on to write.
 *
 * Functions report their own failures and return an exit code. One thread.
 */
#ifndef COF_TOOLS_COFFER_SESSION_H
#define COF_TOOLS_COFFER_SESSION_H

#include "address.h"
#include "anchor.h"
#include "common/args.h"
#include "common/error.h"
#include "common/kms_args.h"
#include "pins.h"
#include <coffer/coffer.h>

/* Options of verbs that open a store, and of those that open a volume. */
#define CLI_STORE_NAMES "store buffered anchor accept-rollback"
#define CLI_KEY_NAMES COF_KMS_NAMES " " COF_ENGINE_NAMES
#define CLI_STORE_ROWS                                                                             \
    {"store", COF_TOOL_FILE, "STORE", "the store, when the operand leaves it out (COFFER_STORE)"}, \
    {"buffered", COF_TOOL_FLAG, NULL, "through the page cache, where O_DIRECT is refused"},        \
    {"anchor", COF_TOOL_FILE, "FILE", "file elsewhere that shows a rollback (COFFER_ANCHOR)"},     \
    {"accept-rollback", COF_TOOL_FLAG, NULL, "take a state that the anchor does not know"}
#define CLI_VOLUME_ROWS                                                                            \
    CLI_STORE_ROWS,                                                                                \
    {"no-pin", COF_TOOL_FLAG, NULL, "neither check nor make the volume's pin"},                    \
    {"allow-plain", COF_TOOL_FLAG, NULL, "open the volume although it is not encrypted"}
#define CLI_VOLUME_NAMES CLI_STORE_NAMES " " CLI_KEY_NAMES " no-pin allow-plain"
/* Options of a session that serves, beside those. */
#define CLI_SERVE_ROWS                                                                             \
    {"node-cache", COF_TOOL_SIZE, "SIZE", "memory for map nodes (64M)"},                           \
    {"tag-cache", COF_TOOL_SIZE, "SIZE", "memory for pages' tags, 32 bytes a page (64M)"},         \
    {"lease", COF_TOOL_NUMBER, "SECONDS", "longest time without word of the key service (300)"}
#define CLI_SERVE_NAMES CLI_VOLUME_NAMES " node-cache tag-cache lease"
/* By NBD alone. */
#define CLI_WRITE_BACK_ROW                                                                         \
    {"write-back", COF_TOOL_FLAG, NULL, "answer writes from memory: a kill takes what no flush has"}
#define CLI_WRITE_BACK_NAME "write-back"

struct cli_session {
    const struct cof_tool_call *call;
    struct cli_address address;
    struct cof_tool_kms kms;
    struct coffer_key_provider provider; /* the engine's, or who there is */
    struct coffer_key_provider caller;   /* the caller's, where the engine has another */
    bool has_keys, has_caller;
    struct cli_session *lender; /* whose key store it uses; NULL: its own */
    struct cli_anchor anchor;
    uint32_t cipher_backend; /* enum coffer_cipher_backend that was asked for */
    struct coffer_store *store;
    struct coffer_store_info store_info; /* at open */
    bool writes;                         /* the store is open for writing */
    bool uses_data;   /* a volume whose key is refused is noted as lost */
    bool serves;      /* open for long: runs what is due by itself, takes CLI_SERVE_ROWS */
    bool stopped_too; /* a volume that is stopped is none to open, but one to work on, closed */
    bool warned_of_space;
    struct coffer_volume *volume;
    struct coffer_volume_info volume_info; /* at open, and after cli_session_refresh */
};

/* A fault with no place in it: the library fills it only on failure. */
struct coffer_fault cli_no_fault(void);

/* What COFFER_CIPHER_BACKEND asks for: 0, or 2 after a sentence. */
int cli_cipher_take(const struct cof_tool_call *call, uint32_t *ret_backend);

/* Take the address apart (word NULL: the default store) and read the options; opens nothing. */
int cli_session_begin(struct cli_session *session, const struct cof_tool_call *call,
                      enum cli_what what, const char *word);

/* kms_flags: enum coffer_keystore_flags for when the key store is opened. No keys without it. */
void cli_session_use_keys(struct cli_session *session, unsigned kms_flags);

/* For a session that reads what another writes: the key store of the source, which may be the
 * other's (lent, so that there is one provider). */
void cli_session_use_source_keys(struct cli_session *session, unsigned kms_flags);
void cli_session_lend_keys(struct cli_session *lender, struct cli_session *session);

/* The caller's provider for what makes or changes something; NULL when the engine's is the same. */
const struct coffer_key_provider *cli_session_caller(const struct cli_session *session);
/* That, or who there is: whose rights say what may be done. */
const struct coffer_key_provider *cli_session_asker(const struct cli_session *session);

/* flags: enum coffer_open_flags; --buffered adds BUFFERED, --accept-rollback ACCEPT_ROLLBACK. */
int cli_session_open_store(struct cli_session *session, unsigned flags);
/* The same, but a failure is not reported: a library error. */
COFFER_MUST_CHECK int cli_session_try_store(struct cli_session *session, unsigned flags,
                                            struct coffer_fault *fault);
/* Note on standard error, once, that more lives than the store warns of, as of store_info. Opening
 * for writing does, and ending a session in which that became so. */
void cli_session_warn_of_space(struct cli_session *session);
/* What lives, in percent of what may; rounded down. */
unsigned cli_used_percent(const struct coffer_store_info *info);

/* Opens the store first. flags: enum coffer_volume_flags; READ_ONLY opens the store so, too. */
int cli_session_open_volume(struct cli_session *session, unsigned flags);
/* The same without the store, which is open. */
int cli_session_open_named(struct cli_session *session, unsigned flags);
/* Close what was opened for reading, and open it for writing: the store, and the volume if one was
 * open. */
int cli_session_go_on(struct cli_session *session);
/* The same for a verb that works on what is closed: the volume or snapshot is opened for reading in
 * the store that is open for writing, so that its pin is checked there too, and closed again. */
int cli_session_go_on_closed(struct cli_session *session);
/* Whether the open store has a volume or snapshot of the session's name: a library error,
 * NOT_FOUND when it has not. Nothing is pinned and nothing reported. */
COFFER_MUST_CHECK int cli_session_probe(struct cli_session *session, struct coffer_fault *fault);
/* Read volume_info again. */
int cli_session_refresh(struct cli_session *session);

/* What --no-pin, --allow-plain and the pin file say on the volume. */
int cli_session_expect(struct cli_session *session, struct coffer_volume_open_opts *opts,
                       struct cli_pin *pin, bool *ret_pinned);
/* Report that the engine refused the volume for its pin: what differs, and what to do. */
int cli_session_fail_pin(struct cli_session *session, const struct coffer_volume_open_opts *opts,
                         const struct cli_pin *pin, const struct coffer_fault *fault,
                         const char *what);
/* Remember the open volume. */
int cli_session_pin(struct cli_session *session);

/* Put into the audit trail of the key store that the open volume's plaintext goes to destination,
 * and who takes it; before the first byte. A plain volume has no key and leaves no record. */
int cli_session_record_export(struct cli_session *session, const char *destination);

int cli_session_close_volume(struct cli_session *session);
/* Close everything; exit_code is returned unless it was 0 and closing failed. */
int cli_session_end(struct cli_session *session, int exit_code);

/* Report error: the key store's own words when it was what failed. */
int cli_session_fail(struct cli_session *session, int error, const struct coffer_fault *fault,
                     const char *todo, const char *what, ...) __attribute__((format(printf, 5, 6)));

/* What the session addresses, for messages: "STORE", "STORE:VOLUME" or "STORE:VOLUME@SNAPSHOT". */
const char *cli_session_name(const struct cli_session *session);

#endif
