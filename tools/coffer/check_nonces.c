/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/check_nonces.c - `coffer check --nonces`: no (key, nonce) pair twice, in any set of
 * stores, from their bytes alone.
 *
 * The library visits what each store's bytes name as sealed; two facts of each seal go into one
 * external sort. A name with two ciphertexts is a pair that was used twice. A ciphertext under two
 * names is one as well: equal bytes come from different keys or nonces only by a chance of 2^-128,
 * so the two names hide one key. A seal that is met again, in a copy or in an older block, is the
 * same fact. No key is asked for.
 *
 * Findings go to standard output as they come; with --output json they are collected, at most
 * FINDINGS_KEPT of them. Exit code 4 for a pair that was used twice, 8 when all there is are bytes
 * that could not be read: of those nothing is known.
 */
#include "check_pairs.h"
#include "common/output.h"
#include "common/progress.h"
#include "session.h"
#include "verbs.h"
#include <coffer/audit.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FINDINGS_KEPT 10000u
#define MEMORY_BYTES (64u << 20)

struct audit {
    struct cof_tool_call *call;
    struct cli_session session;
    struct cof_tool_progress progress;
    struct cli_pairs *pairs;
    uint32_t store; /* number of the one at hand */
    json_t *stores;
    json_t *findings; /* JSON or query wanted; NULL: lines */
    uint64_t finding_count, twice, twice_by_name, seals, unreadable_bytes, done_bytes;
    int sort_error; /* errno */
};

/* ---- findings ---------------------------------------------------------------------------- */

static const char *kind_name(uint32_t kind)
{
    static const char *const names[] = {"page", "list", "wrap", "record"};
    return names[kind % (sizeof names / sizeof names[0])];
}

static const char *store_name(const struct audit *audit, uint32_t store)
{
    return json_string_value(json_object_get(json_array_get(audit->stores, store), "Store"));
}

static json_t *place_json(const struct audit *audit, const struct cli_place *place)
{
    bool by_extent = place->kind == COFFER_SEAL_PAGE || place->kind == COFFER_SEAL_LIST;
    return json_pack("{s:s, s:I, s:I, s:s, s:o, s:o, s:o, s:o}", "Store",
                     store_name(audit, place->store), "Segment", (json_int_t)place->segment,
                     "Offset", (json_int_t)place->offset, "Kind", kind_name(place->kind), "Extent",
                     by_extent ? json_integer((json_int_t)place->extent) : json_null(), "Slot",
                     by_extent ? json_integer(place->slot) : json_null(), "VolumeNumber",
                     by_extent ? json_null() : json_integer((json_int_t)place->extent), "DataKey",
                     place->kind == COFFER_SEAL_WRAP ? json_integer(place->slot) : json_null());
}

static void print_place(const struct audit *audit, const struct cli_place *place)
{
    printf(" %s segment %llu offset %llu", store_name(audit, place->store),
           (unsigned long long)place->segment, (unsigned long long)place->offset);
    if (place->kind == COFFER_SEAL_PAGE || place->kind == COFFER_SEAL_LIST) {
        printf(" extent %llu slot %u", (unsigned long long)place->extent, place->slot);
    } else {
        printf(" volume number %llu", (unsigned long long)place->extent);
    }
    if (place->kind == COFFER_SEAL_WRAP) {
        printf(" data key %u", place->slot);
    }
}

static void keep_finding(struct audit *audit, json_t *finding)
{
    audit->finding_count++;
    if (audit->findings != NULL && json_array_size(audit->findings) < FINDINGS_KEPT) {
        json_array_append_new(audit->findings, finding);
    } else {
        json_decref(finding);
    }
}

static int on_twice(void *ctx, enum cli_rule rule, const struct cli_place *first,
                    const struct cli_place *second)
{
    static const char *const codes[] = {"PAIR_USED_TWICE", "CIPHERTEXT_UNDER_TWO_NAMES"};
    struct audit *audit = ctx;
    audit->twice++;
    audit->twice_by_name += rule == CLI_RULE_NAME ? 1u : 0u;
    if (audit->findings == NULL) {
        printf("%s (%s):", codes[rule], kind_name(second->kind));
        print_place(audit, first);
        printf(" and");
        print_place(audit, second);
        printf("\n");
    }
    keep_finding(audit, json_pack("{s:s, s:n, s:[o, o]}", "Finding", codes[rule], "Error", "Places",
                                  place_json(audit, first), place_json(audit, second)));
    return cof_tool_interrupted() ? COFFER_E_CANCELLED : 0;
}

static int on_unreadable(void *ctx, int error, uint64_t segment, uint64_t offset_bytes,
                         uint64_t length_bytes)
{
    struct audit *audit = ctx;
    const char *store = audit->session.address.store;
    audit->unreadable_bytes += length_bytes;
    if (audit->findings == NULL) {
        printf("UNREADABLE (%s): %s segment %llu offset %llu: %llu bytes\n",
               coffer_error_name(error), store, (unsigned long long)segment,
               (unsigned long long)offset_bytes, (unsigned long long)length_bytes);
    }
    keep_finding(audit, json_pack("{s:s, s:s, s:[{s:s, s:I, s:I, s:I}]}", "Finding", "UNREADABLE",
                                  "Error", coffer_error_name(error), "Places", "Store", store,
                                  "Segment", (json_int_t)segment, "Offset",
                                  (json_int_t)offset_bytes, "Length", (json_int_t)length_bytes));
    return 0;
}

/* ---- one store --------------------------------------------------------------------------- */

static int on_seal(void *ctx, const struct coffer_seal *seal)
{
    struct audit *audit = ctx;
    struct cli_place place = {.store = audit->store,
                              .kind = (uint32_t)seal->kind,
                              .segment = seal->segment,
                              .offset = seal->offset,
                              .extent = seal->extent,
                              .slot = seal->slot};
    int error = cli_pairs_add(audit->pairs, CLI_RULE_NAME, seal->name, seal->ciphertext, &place);
    if (error == 0) {
        error =
            cli_pairs_add(audit->pairs, CLI_RULE_CIPHERTEXT, seal->ciphertext, seal->name, &place);
    }
    audit->sort_error = error;
    audit->seals++;
    return error != 0 ? COFFER_E_CANCELLED : 0;
}

static int on_progress(void *ctx, uint64_t done_bytes, uint64_t total_bytes)
{
    struct audit *audit = ctx;
    audit->progress.total_bytes = total_bytes;
    audit->done_bytes = done_bytes;
    cof_tool_progress_step(&audit->progress, done_bytes);
    return cof_tool_interrupted() ? COFFER_E_CANCELLED : 0;
}

static int fail_sort(const struct audit *audit)
{
    if (audit->sort_error == ENOMEM) {
        return cof_tool_fail_errno(audit->call, ENOMEM, "give it less with --memory",
                                   "cannot sort what was sealed");
    }
    return cof_tool_fail_errno(audit->call, audit->sort_error,
                               "name a directory with room in TMPDIR; it takes 80 bytes for each "
                               "sealed page",
                               "cannot sort what was sealed in %s", cli_pairs_directory());
}

static json_t *store_json(const struct audit *audit, const struct coffer_seals_summary *summary)
{
    char uuid[CLI_UUID_TEXT_BYTES];
    uint64_t seals = summary->pages + summary->lists + summary->wraps + summary->records;
    return json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "Store",
        audit->session.address.store, "Uuid", cli_uuid_text(&audit->session.store_info.uuid, uuid),
        "BatchHeaders", (json_int_t)summary->headers, "Seals", (json_int_t)seals, "Pages",
        (json_int_t)summary->pages, "Lists", (json_int_t)summary->lists, "Wraps",
        (json_int_t)summary->wraps, "Records", (json_int_t)summary->records, "PlainPages",
        (json_int_t)summary->plain_pages, "RecordsLost", (json_int_t)summary->records_lost,
        "UnreadableBytes", (json_int_t)summary->unreadable_bytes, "BytesRead",
        (json_int_t)summary->bytes_read);
}

static int visit_store(struct audit *audit)
{
    struct cli_session *session = &audit->session;
    struct coffer_fault fault = cli_no_fault();
    struct coffer_seals_summary summary;
    struct coffer_seals_opts opts = {.size = sizeof opts,
                                     .on_seal = on_seal,
                                     .on_unreadable = on_unreadable,
                                     .on_progress = on_progress,
                                     .ctx = audit};
    int exit_code = cli_session_open_store(session, COFFER_OPEN_READ_ONLY);
    if (exit_code != 0) {
        return exit_code;
    }
    cof_tool_progress_begin(&audit->progress, audit->call, "check", 0);
    int error = coffer_store_visit_seals(session->store, &opts, &summary, &fault);
    cof_tool_progress_end(&audit->progress, audit->done_bytes);
    if (error != 0) {
        return audit->sort_error != 0 ? fail_sort(audit)
                                      : cli_session_fail(session, error, &fault, NULL,
                                                         "cannot audit %s", session->address.store);
    }
    json_array_append_new(audit->stores, store_json(audit, &summary));
    return 0;
}

static int audit_store(struct audit *audit, const char *word)
{
    int exit_code = cli_session_begin(&audit->session, audit->call, CLI_STORE, word);
    if (exit_code != 0) {
        return exit_code;
    }
    audit->session.anchor.file = NULL; /* older states are what an audit is about */
    return cli_session_end(&audit->session, visit_store(audit));
}

/* ---- all of them ------------------------------------------------------------------------- */

static int on_step(void *ctx, uint64_t done_bytes, uint64_t total_bytes)
{
    return on_progress(ctx, done_bytes, total_bytes);
}

static int merge(struct audit *audit, uint64_t *ret_pairs)
{
    const struct cli_pairs_ops ops = {.ctx = audit, .twice = on_twice, .step = on_step};
    int stop = 0;
    audit->done_bytes = 0;
    cof_tool_progress_begin(&audit->progress, audit->call, "sort", 0);
    audit->sort_error = cli_pairs_finish(audit->pairs, &ops, ret_pairs, &stop);
    cof_tool_progress_end(&audit->progress, audit->done_bytes);
    if (audit->sort_error != 0) {
        return fail_sort(audit);
    }
    return stop != 0 ? cof_tool_fail(audit->call, stop, NULL, NULL, "cannot finish the audit") : 0;
}

static json_t *number_of(const json_t *store, const char *name)
{
    return json_object_get(store, name);
}

/* Seals of a pair and a ciphertext that were met before. */
static uint64_t copies_of(const struct audit *audit, uint64_t pairs)
{
    return audit->seals - pairs - audit->twice_by_name;
}

static json_t *lines_of(const struct audit *audit, uint64_t pairs)
{
    json_t *lines = json_array();
    size_t i;
    json_t *store;
    json_array_foreach(audit->stores, i, store)
    {
        json_array_append_new(
            lines,
            json_sprintf("%s: %lld batch headers, %lld pages, %lld lists, %lld wraps, %lld records "
                         "sealed; %lld plain pages, %lld bytes unreadable",
                         store_name(audit, (uint32_t)i),
                         (long long)json_integer_value(number_of(store, "BatchHeaders")),
                         (long long)json_integer_value(number_of(store, "Pages")),
                         (long long)json_integer_value(number_of(store, "Lists")),
                         (long long)json_integer_value(number_of(store, "Wraps")),
                         (long long)json_integer_value(number_of(store, "Records")),
                         (long long)json_integer_value(number_of(store, "PlainPages")),
                         (long long)json_integer_value(number_of(store, "UnreadableBytes"))));
    }
    json_array_append_new(lines,
                          json_sprintf("%llu seals of %llu pairs; %llu are copies",
                                       (unsigned long long)audit->seals, (unsigned long long)pairs,
                                       (unsigned long long)copies_of(audit, pairs)));
    json_array_append_new(lines,
                          json_sprintf("%llu pairs used twice", (unsigned long long)audit->twice));
    return lines;
}

static int print_result(struct audit *audit, uint64_t pairs)
{
    struct cof_tool_view view = {
        .schema_version = 1, .list_name = "Audits", .people = lines_of(audit, pairs)};
    json_t *findings = audit->findings != NULL ? json_incref(audit->findings) : json_array();
    int exit_code = cof_tool_print(
        audit->call,
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:O, s:o, s:b}", "PairsUsedTwice",
                  (json_int_t)audit->twice, "Pairs", (json_int_t)pairs, "Seals",
                  (json_int_t)audit->seals, "Copies", (json_int_t)copies_of(audit, pairs),
                  "UnreadableBytes", (json_int_t)audit->unreadable_bytes, "Stores", audit->stores,
                  "Findings", findings, "Truncated",
                  audit->finding_count > json_array_size(findings)),
        &view);
    if (exit_code != 0 || audit->finding_count == 0) {
        return exit_code;
    }
    if (audit->twice == 0) {
        return cof_tool_fail_named(
            audit->call, "UNREADABLE", "io", COF_EXIT_IO, "nothing is known of what lies there",
            "read the stores from a copy of the medium", "%llu bytes could not be read",
            (unsigned long long)audit->unreadable_bytes);
    }
    return cof_tool_fail_named(audit->call, "NONCE_REUSED", "tamper", COF_EXIT_INTEGRITY,
                               "what these pages held, and what else their keys sealed, is not "
                               "safe from one who has the stores",
                               "keep a copy of the stores and report it; then copy the data out "
                               "into a new store",
                               "%llu pairs of key and nonce were used twice",
                               (unsigned long long)audit->twice);
}

static int run(struct audit *audit)
{
    uint64_t pairs;
    int exit_code = 0;
    do {
        const char *word =
            audit->call->operand_count > 0 ? audit->call->operands[audit->store] : NULL;
        exit_code = audit_store(audit, word);
        audit->store++;
    } while (exit_code == 0 && audit->store < audit->call->operand_count);
    if (exit_code == 0) {
        exit_code = merge(audit, &pairs);
    }
    return exit_code == 0 ? print_result(audit, pairs) : exit_code;
}

int cli_check_nonces(struct cof_tool_call *call)
{
    static struct audit audit;
    uint64_t memory_bytes = cof_tool_size(call, "memory", MEMORY_BYTES);
    if (memory_bytes < CLI_PAIRS_MEMORY_MIN || memory_bytes > SIZE_MAX / 4u) {
        return cof_tool_usage(call, NULL, "--memory is 64K or more");
    }
    audit.call = call;
    audit.pairs = cli_pairs_new((size_t)memory_bytes);
    audit.stores = json_array();
    if (audit.pairs == NULL || audit.stores == NULL) {
        audit.sort_error = ENOMEM;
        cli_pairs_free(audit.pairs);
        json_decref(audit.stores);
        return fail_sort(&audit);
    }
    if (cof_tool_given(call, "query") ||
        strcmp(cof_tool_text(call, "output", "table"), "table") != 0) {
        audit.findings = json_array();
    }
    int exit_code = run(&audit);
    cli_pairs_free(audit.pairs);
    json_decref(audit.stores);
    json_decref(audit.findings);
    return exit_code;
}
