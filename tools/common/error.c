/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/error.c - exit codes, the one line, the object. Questions and signals are in ask.c.
 */
#include "error.h"
#include "output.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_BYTES 1024

static FILE *elsewhere;

void cof_tool_reports_to(FILE *stream)
{
    elsewhere = stream;
}

static FILE *reports(void)
{
    return elsewhere != NULL ? elsewhere : stderr;
}

/* Exit code and advice of each error. Advice stands behind the why when the fault has no words of
 * its own; NULL says that nothing general can be said. */
struct outcome {
    int error;
    int exit_code;
    const char *advice;
};

static const struct outcome outcomes[] = {
    {COFFER_E_INVALID, COF_EXIT_USAGE, "see --help"},
    {COFFER_E_ALIGN, COF_EXIT_USAGE, "use multiples of 512"},
    {COFFER_E_RANGE, COF_EXIT_USAGE, "`volume describe` shows the size"},
    {COFFER_E_EXISTS, COF_EXIT_STATE, "choose another name, or delete what has it"},
    {COFFER_E_NOT_FOUND, COF_EXIT_NOT_FOUND, "check the name"},
    {COFFER_E_NO_MEMORY, COF_EXIT_FAILED, "free memory and try again"},
    {COFFER_E_IO, COF_EXIT_IO, "look at the system's log for the device"},
    {COFFER_E_NO_SPACE, COF_EXIT_IO, "grow the store, or delete volumes"},
    {COFFER_E_AGAIN, COF_EXIT_STATE, "try again"},
    {COFFER_E_BUSY, COF_EXIT_STATE, "close it there first"},
    {COFFER_E_READ_ONLY, COF_EXIT_STATE, "open it for writing"},
    {COFFER_E_FAILED, COF_EXIT_STATE, "run the command again; `check` tells what the store holds"},
    {COFFER_E_CORRUPT, COF_EXIT_INTEGRITY, "run `coffer check`, and restore what it names"},
    {COFFER_E_TAMPER, COF_EXIT_INTEGRITY, "somebody changed it: keep a copy and investigate"},
    {COFFER_E_ROLLBACK, COF_EXIT_INTEGRITY, "somebody put back an older state: investigate"},
    {COFFER_E_COMMIT, COF_EXIT_INTEGRITY, "somebody changed it: keep a copy and investigate"},
    {COFFER_E_PIN, COF_EXIT_INTEGRITY, "see docs/cli.md on pins before going on with --no-pin"},
    {COFFER_E_KEY_ACCESS, COF_EXIT_KEY, "ask the key's owner"},
    {COFFER_E_KEY_DISABLED, COF_EXIT_KEY, "`cofferkms enable-key` enables it"},
    {COFFER_E_KEY_NOT_FOUND, COF_EXIT_KEY, "`cofferkms list-keys` lists the keys"},
    {COFFER_E_KEY_STATE, COF_EXIT_KEY, "`cofferkms describe-key` shows its state"},
    {COFFER_E_KEY_UNREACHABLE, COF_EXIT_KEY, "check --kms and COFFER_KMS"},
    {COFFER_E_KEY_CIPHERTEXT, COF_EXIT_KEY, "check that --kms names the store's own key service"},
    {COFFER_E_NO_PROVIDER, COF_EXIT_KEY, "name the key store with --kms or COFFER_KMS"},
    {COFFER_E_PLAIN_REFUSED, COF_EXIT_INTEGRITY, "--allow-plain opens it, if it is meant to be"},
    {COFFER_E_NOT_A_STORE, COF_EXIT_FAILED, "check the path"},
    {COFFER_E_TOO_NEW, COF_EXIT_TOO_NEW, "use a newer version of this program"},
    {COFFER_E_LIMIT, COF_EXIT_IO, "docs/architecture.md lists the limits"},
    {COFFER_E_LOCKED_MEMORY, COF_EXIT_FAILED, "raise the limit on locked memory (ulimit -l)"},
    {COFFER_E_FORKED, COF_EXIT_FAILED, NULL},
    {COFFER_E_CANCELLED, COF_EXIT_FAILED, NULL},
    {COFFER_E_UNSUPPORTED, COF_EXIT_USAGE, "see --help"},
    {COFFER_E_CRYPTO, COF_EXIT_FAILED, NULL},
    {COFFER_E_PASSPHRASE, COF_EXIT_KEY, "check the passphrase, or the root key file"},
    {COFFER_E_TRUNCATED, COF_EXIT_INTEGRITY, "restore the missing part from a copy"},
    {COFFER_E_ACCESS, COF_EXIT_IO, "check the file's owner and mode"},
    {COFFER_E_INTERNAL, COF_EXIT_FAILED, "please report this"},
    {COFFER_E_KEY_USAGE, COF_EXIT_KEY, "`cofferkms describe-key` shows its usage and spec"},
    {COFFER_E_KEY_INCORRECT, COF_EXIT_KEY, "name the key that made the ciphertext, or none"},
    {COFFER_E_KEY_MATERIAL, COF_EXIT_KEY, "import the same material again"},
    {COFFER_E_DRY_RUN, COF_EXIT_STATE, "leave --dry-run out to do it"},
    {COFFER_E_CONFLICT, COF_EXIT_STATE, "try again when it is done"},
    {COFFER_E_THROTTLED, COF_EXIT_THROTTLED, "try again later"},
    {COFFER_E_TIMEOUT, COF_EXIT_THROTTLED, "try again later"},
    {COFFER_E_MARKER, COF_EXIT_USAGE, "give the marker that the last page ended with"},
    {COFFER_E_ALIAS_NAME, COF_EXIT_USAGE, "give alias/NAME"},
    {COFFER_E_ARN, COF_EXIT_USAGE, "check the ARN"},
    {COFFER_E_TAG, COF_EXIT_USAGE, "see --help"},
    {COFFER_E_POLICY, COF_EXIT_USAGE, "docs/kms.md describes policy documents"},
    {COFFER_E_GRANT_ID, COF_EXIT_USAGE, "`cofferkms list-grants` lists them"},
    {COFFER_E_GRANT_TOKEN, COF_EXIT_KEY, "give the token that create-grant gave"},
    {COFFER_E_IMPORT_TOKEN, COF_EXIT_KEY, "`cofferkms get-parameters-for-import` gives a new one"},
    {COFFER_E_IMPORT_EXPIRED, COF_EXIT_KEY,
     "`cofferkms get-parameters-for-import` gives a new one"},
    {COFFER_E_MAC_INVALID, COF_EXIT_INTEGRITY, "the message or its code was changed"},
    {COFFER_E_SIGNATURE_INVALID, COF_EXIT_INTEGRITY, "the message or its signature was changed"},
    {COFFER_E_KEY_STORE_NOT_FOUND, COF_EXIT_NOT_FOUND,
     "`cofferkms describe-custom-key-stores` lists them"},
    {COFFER_E_KEY_STORE_STATE, COF_EXIT_STATE, "`cofferkms describe-custom-key-stores` shows it"},
    {COFFER_E_KEY_STORE_IN_USE, COF_EXIT_STATE, "delete its keys first"},
    {COFFER_E_KEY_STORE_NAME, COF_EXIT_STATE, "choose another name"},
    {COFFER_E_AUTH_MISSING, COF_EXIT_KEY, "give an access key"},
    {COFFER_E_AUTH_INCOMPLETE, COF_EXIT_KEY, "check the client"},
    {COFFER_E_AUTH_UNKNOWN, COF_EXIT_KEY, "check the access key and the session token"},
    {COFFER_E_AUTH_SIGNATURE, COF_EXIT_KEY, "check the secret of the access key"},
    {COFFER_E_AUTH_EXPIRED, COF_EXIT_KEY, "check the clock, or get a new session token"},
    {COFFER_E_INACCESSIBLE_CREDENTIALS, COF_EXIT_STATE, "`volume describe` shows what it takes"},
    {COFFER_E_STOPPED, COF_EXIT_STATE, "`coffer volume start` starts it"},
};

static const struct outcome *outcome_of(int error)
{
    static const struct outcome other = {0, COF_EXIT_FAILED, NULL};
    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++) {
        if (outcomes[i].error == error) {
            return &outcomes[i];
        }
    }
    return &other;
}

int cof_tool_exit_of(int error)
{
    if (error == COFFER_OK) {
        return COF_EXIT_DONE;
    }
    if (error == COFFER_E_CANCELLED && cof_tool_interrupted()) {
        return COF_EXIT_INTERRUPTED;
    }
    return outcome_of(error)->exit_code;
}

/* ---- the line and the object ------------------------------------------------------------- */

struct report {
    const char *code;
    const char *cls;
    int exit_code;
    const char *what; /* may be NULL */
    const char *why;
    const char *todo; /* may be NULL */
    const struct coffer_fault *fault;
};

static const char *verb_words(const struct cof_tool_call *call, char words[96])
{
    words[0] = '\0';
    if (call->verb != NULL) {
        snprintf(words, 96, "%s%s%s", call->verb->noun ? call->verb->noun : "",
                 call->verb->noun ? " " : "", call->verb->name);
    }
    return words;
}

static void join_message(char *message, const struct report *report)
{
    snprintf(message, MESSAGE_BYTES, "%s%s%s%s%s", report->what ? report->what : "",
             report->what ? ": " : "", report->why, report->todo ? ": " : "",
             report->todo ? report->todo : "");
    /* One line whatever a file name holds: a newline in it must not fake a line of its own. */
    for (char *at = message; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            *at = '?';
        }
    }
}

static void add_number(json_t *object, const char *name, uint64_t value)
{
    if (value != COFFER_NOWHERE) {
        json_object_set_new(object, name, json_integer((json_int_t)value));
    }
}

static void add_place(json_t *object, const struct coffer_fault *fault)
{
    if (fault->volume[0] != '\0') {
        json_object_set_new(object, "volume", json_string(fault->volume));
    }
    add_number(object, "page", fault->page);
    add_number(object, "segment", fault->segment);
    add_number(object, "offset", fault->offset);
    if (fault->stage != COFFER_STAGE_NONE) {
        json_object_set_new(object, "stage", json_string(coffer_stage_name(fault->stage)));
    }
    if (fault->os_errno != 0) {
        json_object_set_new(object, "os_errno", json_integer(fault->os_errno));
    }
}

static void print_object(const struct cof_tool_call *call, const struct report *report,
                         const char *message)
{
    char words[96];
    json_t *object = json_pack("{s:i, s:s, s:s, s:s, s:s, s:i, s:s}", "version", 1, "program",
                               call->program->name, "verb", verb_words(call, words), "code",
                               report->code, "class", report->cls, "exit", report->exit_code,
                               "message", message);
    if (object == NULL) {
        /* Text that is not UTF-8, or no memory: the line is better than silence. */
        fprintf(reports(), "%s: %s: %s\n", call->program->name, words, message);
        return;
    }
    if (report->fault != NULL) {
        add_place(object, report->fault);
    }
    json_dumpf(object, reports(), JSON_COMPACT | JSON_ENSURE_ASCII);
    fputc('\n', reports());
    json_decref(object);
}

static void print_place(const struct coffer_fault *fault)
{
    const char *before = " (";
    if (fault->volume[0] != '\0') {
        fprintf(reports(), "%svolume %s", before, fault->volume);
        before = ", ";
    }
    if (fault->page != COFFER_NOWHERE) {
        fprintf(reports(), "%spage %llu", before, (unsigned long long)fault->page);
        before = ", ";
    }
    if (fault->segment != COFFER_NOWHERE) {
        fprintf(reports(), "%ssegment %llu", before, (unsigned long long)fault->segment);
        before = ", ";
    }
    if (fault->offset != COFFER_NOWHERE) {
        fprintf(reports(), "%soffset %llu", before, (unsigned long long)fault->offset);
        before = ", ";
    }
    if (fault->stage != COFFER_STAGE_NONE && fault->stage != COFFER_STAGE_IO) {
        fprintf(reports(), "%sstage %s", before, coffer_stage_name(fault->stage));
        before = ", ";
    }
    if (before[0] == ',') {
        fputc(')', reports());
    }
}

static int print_report(const struct cof_tool_call *call, const struct report *report)
{
    char message[MESSAGE_BYTES];
    char words[96];
    join_message(message, report);
    fflush(stdout);
    if (cof_tool_wants_json(call)) {
        print_object(call, report, message);
        return report->exit_code;
    }
    verb_words(call, words);
    fprintf(reports(), "%s: %s%s%s", call->program->name, words, words[0] ? ": " : "", message);
    if (report->fault != NULL) {
        print_place(report->fault);
    }
    fputc('\n', reports());
    return report->exit_code;
}

static const char *why_of(int error, const struct coffer_fault *fault, char why[320])
{
    if (fault != NULL && fault->detail[0] != '\0') {
        return fault->detail;
    }
    if (fault != NULL && fault->os_errno != 0) {
        snprintf(why, 320, "%s (%s)", coffer_error_sentence(error), strerror(fault->os_errno));
        return why;
    }
    return coffer_error_sentence(error);
}

int cof_tool_fail(const struct cof_tool_call *call, int error, const struct coffer_fault *fault,
                  const char *todo, const char *what, ...)
{
    char text[MESSAGE_BYTES];
    char why[320];
    va_list list;
    va_start(list, what);
    vsnprintf(text, sizeof text, what, list);
    va_end(list);
    bool interrupted = error == COFFER_E_CANCELLED && cof_tool_interrupted();
    bool worded = fault != NULL && fault->detail[0] != '\0';
    struct report report = {
        .code = interrupted ? "INTERRUPTED" : coffer_error_name(error),
        .cls = coffer_error_class_name(coffer_error_class_of(error)),
        .exit_code = cof_tool_exit_of(error),
        .what = text,
        .why = interrupted ? "interrupted" : why_of(error, fault, why),
        .todo = todo != NULL || worded ? todo : outcome_of(error)->advice,
        .fault = fault,
    };
    return print_report(call, &report);
}

int cof_tool_fail_named(const struct cof_tool_call *call, const char *code, const char *cls,
                        int exit_code, const char *message, const char *todo, const char *what, ...)
{
    char text[MESSAGE_BYTES];
    va_list list;
    va_start(list, what);
    vsnprintf(text, sizeof text, what, list);
    va_end(list);
    struct report report = {.code = code, .cls = cls, .exit_code = exit_code, .what = text,
                            .why = message, .todo = todo};
    return print_report(call, &report);
}

static int error_of_errno(int os_errno)
{
    switch (os_errno) {
    case ENOENT:
    case ENOTDIR:
        return COFFER_E_NOT_FOUND;
    case EEXIST:
        return COFFER_E_EXISTS;
    case EACCES:
    case EPERM:
        return COFFER_E_ACCESS;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return COFFER_E_NO_SPACE;
    case ENOMEM:
        return COFFER_E_NO_MEMORY;
    case EROFS:
    case ETXTBSY:
        return COFFER_E_READ_ONLY;
    default:
        return COFFER_E_IO;
    }
}

int cof_tool_fail_errno(const struct cof_tool_call *call, int os_errno, const char *todo,
                        const char *what, ...)
{
    char text[MESSAGE_BYTES];
    va_list list;
    va_start(list, what);
    vsnprintf(text, sizeof text, what, list);
    va_end(list);
    if (os_errno == EINTR && cof_tool_interrupted()) {
        return cof_tool_fail(call, COFFER_E_CANCELLED, NULL, NULL, "%s", text);
    }
    struct coffer_fault fault = {.os_errno = os_errno, .page = COFFER_NOWHERE,
                                 .segment = COFFER_NOWHERE, .offset = COFFER_NOWHERE};
    int error = error_of_errno(os_errno);
    struct report report = {.code = coffer_error_name(error),
                            .cls = coffer_error_class_name(coffer_error_class_of(error)),
                            .exit_code = cof_tool_exit_of(error), .what = text,
                            .why = strerror(os_errno), .todo = todo, .fault = &fault};
    if (os_errno == EPIPE) {
        /* Nothing is wrong with any device: the reader has gone. */
        report.exit_code = COF_EXIT_FAILED;
    }
    return print_report(call, &report);
}

int cof_tool_usage(const struct cof_tool_call *call, const char *code, const char *message, ...)
{
    char text[MESSAGE_BYTES];
    va_list list;
    va_start(list, message);
    vsnprintf(text, sizeof text, message, list);
    va_end(list);
    struct report report = {.code = code != NULL ? code : "Usage", .cls = "usage",
                            .exit_code = COF_EXIT_USAGE, .why = text};
    return print_report(call, &report);
}

void cof_tool_note(const struct cof_tool_call *call, const char *message, ...)
{
    char text[MESSAGE_BYTES];
    va_list list;
    va_start(list, message);
    vsnprintf(text, sizeof text, message, list);
    va_end(list);
    json_t *object = NULL;
    if (cof_tool_wants_json(call)) {
        object = json_pack("{s:i, s:s, s:s}", "version", 1, "program", call->program->name, "note",
                           text);
    }
    if (object != NULL) {
        json_dumpf(object, reports(), JSON_COMPACT | JSON_ENSURE_ASCII);
        fputc('\n', reports());
        json_decref(object);
    } else {
        fprintf(reports(), "%s: %s\n", call->program->name, text);
    }
}
