/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/snapshot_copy.c - snapshot copy: into another store, or within one, under this or another
 * key.
 *
 * All that can be checked is checked with both stores open for reading, so that a refused copy
 * changes neither; then the destination alone is opened for writing. Within one key service both
 * sides get one provider: that is what lets the library copy without the right to decrypt.
 *
 * A copy that is stopped or killed stays in the destination as far as it came, with the status
 * copying, and the same line goes on with it.
 */
#include "common/output.h"
#include "common/progress.h"
#include "copy_side.h"
#include "pins.h"
#include "show.h"
#include "verbs.h"
#include "volume.h"
#include <stdio.h>
#include <string.h>

struct copying {
    struct cli_session goal;  /* the destination */
    struct cli_session other; /* the source, if it is another store */
    struct cli_session *from; /* one of the two: whose store has the source */
    struct cli_address source_address;
    struct cli_copy_source source;
    struct coffer_key_info key; /* of the copy; empty for a plain one */
    struct cli_copy_census before;
    struct cof_tool_progress progress;
    uint64_t begin_ns, first_bytes, done_bytes;
    bool two_services, reencrypt, begun, started;
};

/* ---- what the line says ------------------------------------------------------------------ */

static int begin(struct copying *copying, const struct cof_tool_call *call)
{
    bool two_stores;
    int exit_code = cli_session_begin(&copying->other, call, CLI_SNAPSHOT, call->operands[0]);
    if (exit_code == 0) {
        exit_code = cli_session_begin(&copying->goal, call, CLI_SNAPSHOT, call->operands[1]);
    }
    if (exit_code != 0) {
        return exit_code;
    }
    copying->source_address = copying->other.address;
    two_stores = !cli_address_same_store(&copying->other.address, &copying->goal.address);
    copying->from = two_stores ? &copying->other : &copying->goal;
    copying->two_services = cof_tool_kms_two(call);
    copying->reencrypt = cof_tool_given(call, "reencrypt");
    if (!two_stores && copying->two_services) {
        return cof_tool_usage(call, "InvalidParameterCombination",
                              "a copy within one store is made with one key service: leave "
                              "--source-kms out, or copy into another store");
    }
    cli_session_use_keys(&copying->goal, 0);
    if (two_stores && copying->two_services) {
        cli_session_use_source_keys(&copying->other, 0);
    } else if (two_stores) {
        cli_session_lend_keys(&copying->goal, &copying->other);
    }
    return 0;
}

/* ---- what can be checked before ---------------------------------------------------------- */

static int find_source(struct copying *copying)
{
    struct cli_session *from = copying->from;
    struct cli_address goal = copying->goal.address;
    /* Where the right to decrypt is needed anyway, the source is opened. */
    bool by_name = copying->reencrypt || copying->two_services || from == &copying->goal;
    from->address = copying->source_address;
    int exit_code = cli_copy_find_source(from, by_name, &copying->source);
    copying->goal.address = goal;
    return exit_code;
}

static int check_plain(struct copying *copying)
{
    const struct cof_tool_call *call = copying->goal.call;
    if (cof_tool_given(call, "kms-key-id") || copying->reencrypt) {
        return cof_tool_usage(call, "InvalidParameterCombination",
                              "%s is not encrypted, and neither will its copy be; `coffer snapshot "
                              "restore --kms-key-id KEY` makes an encrypted volume of it, and a "
                              "snapshot of that can be copied",
                              copying->source_address.name);
    }
    return 0;
}

/* arn:P:kms:REGION:... */
static bool region_is(const char *arn, const char *region)
{
    size_t length = strlen(region);
    for (unsigned colons = 0; colons < 3 && arn != NULL; colons++) {
        arn = strchr(arn, ':');
        arn = arn != NULL ? arn + 1 : NULL;
    }
    return arn != NULL && strncmp(arn, region, length) == 0 && arn[length] == ':';
}

/* A key is of the region in which it was made: another region's copy names one of its own. */
static int check_region(struct copying *copying)
{
    char region[33];
    struct cli_session *goal = &copying->goal;
    const char *arn = copying->source.key_arn;
    int error = cof_tool_kms_open(&goal->kms);
    if (error == 0) {
        error = cof_tool_kms_region(&goal->kms, region);
    }
    if (error != 0) {
        return cli_session_fail(goal, error, &goal->kms.fault, NULL, "cannot copy %s:%s",
                                copying->source_address.store, copying->source_address.name);
    }
    if (arn[0] == '\0' || region_is(arn, region)) {
        return 0;
    }
    return cof_tool_usage(goal->call, "InvalidParameterCombination",
                          "the snapshot's key %s is of another region than the destination's key "
                          "service, %s: name a key of that region with --kms-key-id KEY",
                          arn, region);
}

static int check_keys(struct copying *copying)
{
    struct cli_session *goal = &copying->goal;
    const char *key = cof_tool_text(goal->call, "kms-key-id", NULL);
    const char *old = copying->source.key_arn;
    struct coffer_key_info source_key;
    int exit_code = 0;
    if (!copying->source.encrypted) {
        return check_plain(copying);
    }
    if (key == NULL) {
        exit_code = check_region(copying);
        key = old[0] != '\0' ? old : NULL;
    }
    if (exit_code == 0 && old[0] != '\0') {
        exit_code = cli_volume_check_key(copying->from, old, &source_key);
    }
    if (exit_code == 0 && key != NULL) {
        exit_code = cli_volume_check_key(goal, key, &copying->key);
    }
    return exit_code;
}

static int check(struct copying *copying)
{
    int exit_code = cli_session_open_store(copying->from, COFFER_OPEN_READ_ONLY);
    if (exit_code == 0 && copying->from != &copying->goal) {
        exit_code = cli_session_open_store(&copying->goal, COFFER_OPEN_READ_ONLY);
    }
    if (exit_code == 0) {
        exit_code = find_source(copying);
    }
    if (exit_code == 0) {
        exit_code = check_keys(copying);
    }
    if (exit_code == 0) {
        exit_code = cli_copy_check_goal(&copying->goal, copying->key.arn, &copying->begun);
    }
    return exit_code;
}

/* ---- the copy ---------------------------------------------------------------------------- */

static int go_on(void *ctx, uint64_t done_bytes, uint64_t total_bytes)
{
    struct copying *copying = ctx;
    if (!copying->started) {
        cof_tool_progress_begin(&copying->progress, copying->goal.call, "copy", total_bytes);
        copying->started = true;
    }
    copying->done_bytes = done_bytes;
    cof_tool_progress_step(&copying->progress, done_bytes);
    return cof_tool_interrupted() && done_bytes != total_bytes ? COFFER_E_CANCELLED : 0;
}

static int fail_copy(struct copying *copying, int error, const struct coffer_fault *fault)
{
    const struct cli_address *source = &copying->source_address;
    const struct cli_address *goal = &copying->goal.address;
    struct coffer_fault key_fault = cli_no_fault();
    const char *todo = error == COFFER_E_CANCELLED && !copying->reencrypt
                           ? "the same command goes on where it was"
                           : NULL;
    if (error == COFFER_E_EXISTS) {
        return cof_tool_fail_named(copying->goal.call, "SnapshotAlreadyExists", "usage",
                                   COF_EXIT_USAGE, coffer_error_sentence(error),
                                   "choose another name, or delete what has it",
                                   "cannot copy to %s:%s", goal->store, goal->name);
    }
    if (copying->other.has_keys && copying->other.lender == NULL) {
        cof_tool_kms_fault(&copying->other.kms, &key_fault);
    }
    return cli_session_fail(key_fault.error == error ? &copying->other : &copying->goal, error,
                            fault, todo, "cannot copy %s:%s to %s:%s", source->store, source->name,
                            goal->store, goal->name);
}

static int copy(struct copying *copying)
{
    struct cli_session *goal = &copying->goal;
    struct coffer_fault fault = cli_no_fault();
    const struct coffer_key_provider *provider =
        cli_session_asker(copying->two_services ? &copying->other : goal);
    struct coffer_copy_opts opts = {
        .size = sizeof opts,
        .flags =
            (copying->reencrypt ? (unsigned)(COFFER_COPY_REENCRYPT | COFFER_COPY_THREAD) : 0u) |
            (cof_tool_given(goal->call, "copy-tags") ? (unsigned)COFFER_COPY_TAGS : 0u),
        .source = {.size = sizeof opts.source,
                   .volume = copying->source.volume,
                   .name = copying->source.name,
                   .provider = provider},
        .volume = goal->address.volume,
        .name = goal->address.snapshot,
        .kms_key_id = copying->key.arn[0] != '\0' ? copying->key.arn : NULL,
        .provider = &goal->provider,
        .caller = cli_session_caller(goal),
        .on_progress = go_on,
        .ctx = copying,
    };
    if (!cof_tool_wants_json(goal->call)) {
        cof_tool_note(goal->call, "Copying %s to %s:%s%s", copying->source_address.name,
                      goal->address.store, goal->address.name,
                      copying->begun ? ", going on where it was" : "");
    }
    int error = coffer_snapshot_copy(copying->from->store, goal->store, &opts, &fault);
    if (copying->started) {
        cof_tool_progress_end(&copying->progress, copying->done_bytes);
    }
    return error != 0 ? fail_copy(copying, error, &fault) : 0;
}

/* ---- afterwards -------------------------------------------------------------------------- */

static int pin(struct copying *copying, const struct coffer_snapshot_info *info)
{
    struct cli_session *goal = &copying->goal;
    struct cli_pin pin = {.store_uuid = goal->store_info.uuid,
                          .volume_uuid = info->uuid,
                          .encrypted = copying->source.encrypted,
                          .path = goal->address.store};
    if (cof_tool_given(goal->call, "no-pin") ||
        (copying->source.encrypted && copying->key.arn[0] == '\0')) {
        return 0; /* by its id, under a key that nobody named: pinned when it is first opened */
    }
    snprintf(pin.volume, sizeof pin.volume, "%s", goal->address.name);
    snprintf(pin.key_arn, sizeof pin.key_arn, "%s", copying->key.arn);
    return cli_pins_put(goal->call, &pin);
}

static int print(const struct copying *copying, const struct coffer_snapshot_info *info)
{
    struct cof_tool_view view = {.schema_version = 1, .byte_fields = "Bytes"};
    double seconds = (double)(cof_tool_now_ns() - copying->begin_ns) / 1e9;
    double rate = seconds > 0 ? (double)copying->done_bytes / seconds : 0;
    return cof_tool_print(
        copying->goal.call,
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:o, s:b, s:I, s:f, s:I}", "SnapshotName",
                  copying->goal.address.snapshot, "VolumeName", copying->goal.address.volume,
                  "Store", copying->goal.address.store, "ResourceId", info->resource_id,
                  "SourceSnapshot", copying->source_address.name, "StorageEncrypted",
                  copying->source.encrypted, "KmsKeyId", cli_show_text(copying->key.arn), "Resumed",
                  copying->begun, "Bytes", (json_int_t)copying->done_bytes, "Seconds", seconds,
                  "BytesPerSecond", (json_int_t)rate),
        &view);
}

static int write_copy(struct copying *copying)
{
    struct cli_session *goal = &copying->goal;
    struct coffer_snapshot_info info;
    int exit_code = cli_session_go_on(goal);
    if (exit_code != 0) {
        return exit_code;
    }
    int error = cli_copy_count(goal, &copying->before);
    if (error != 0) {
        return fail_copy(copying, error, NULL);
    }
    exit_code = copy(copying);
    if (exit_code != 0) {
        return exit_code;
    }
    if (!cli_copy_find_new(goal, &copying->before, &info)) {
        return fail_copy(copying, COFFER_E_INTERNAL, NULL);
    }
    exit_code = pin(copying, &info);
    return exit_code == 0 && cli_show_result(goal->call) ? print(copying, &info) : exit_code;
}

int cli_snapshot_copy(struct cof_tool_call *call)
{
    static struct copying copying;
    copying.begin_ns = cof_tool_now_ns();
    int exit_code = begin(&copying, call);
    if (exit_code != 0) {
        return exit_code;
    }
    exit_code = check(&copying);
    if (exit_code == 0) {
        exit_code = write_copy(&copying);
    }
    if (copying.from != &copying.goal) {
        exit_code = cli_session_end(&copying.other, exit_code);
    }
    return cli_session_end(&copying.goal, exit_code);
}
