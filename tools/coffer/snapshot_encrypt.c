/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/snapshot_encrypt.c - snapshot restore of an unencrypted snapshot under a key.
 *
 * Nothing can be shared here, since what is there is in the clear: a new encrypted volume is made
 * and every page that holds data is written into it. It is flushed before it is reported. When
 * anything fails or the user interrupts, the new volume is deleted again; a run that is killed
 * leaves it behind unfinished, under its name. Buffers that held plaintext are wiped.
 */
#include "common/progress.h"
#include "snapshots.h"
#include "volume.h"
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES ((size_t)4 << 20)

struct encrypting {
    struct cli_session *session;
    struct coffer_volume *source;
    const char *source_name;
    uint8_t *buffer;
    uint64_t size_bytes;
    struct cof_tool_progress progress;
};

static int fail(const struct encrypting *encrypting, int error, const struct coffer_fault *fault)
{
    return cli_session_fail(encrypting->session, error, fault, NULL, "cannot restore %s as %s",
                            encrypting->source_name, encrypting->session->address.name);
}

static int copy_run(struct encrypting *encrypting, uint64_t at_bytes, uint64_t end_bytes)
{
    while (at_bytes < end_bytes) {
        struct coffer_fault fault = cli_no_fault();
        uint64_t left = end_bytes - at_bytes;
        size_t length = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
        int error = cof_tool_interrupted()
                        ? COFFER_E_CANCELLED
                        : coffer_volume_read(encrypting->source, encrypting->buffer, at_bytes,
                                             length, &fault);
        if (error == 0) {
            error = coffer_volume_write(encrypting->session->volume, encrypting->buffer, at_bytes,
                                        length, 0, &fault);
        }
        if (error != 0) {
            return fail(encrypting, error, &fault);
        }
        at_bytes += length;
        cof_tool_progress_step(&encrypting->progress, at_bytes);
    }
    return 0;
}

static int copy(struct encrypting *encrypting)
{
    struct coffer_fault fault = cli_no_fault();
    uint64_t at = 0;
    while (at < encrypting->size_bytes) {
        uint64_t length = 0;
        int error = coffer_volume_next_data(encrypting->source, &at, &length, &fault);
        if (error != 0) {
            return fail(encrypting, error, &fault);
        }
        if (length == 0) {
            break;
        }
        int exit_code = copy_run(encrypting, at, at + length);
        if (exit_code != 0) {
            return exit_code;
        }
        at += length;
    }
    int error = coffer_volume_flush(encrypting->session->volume, &fault);
    return error != 0 ? fail(encrypting, error, &fault) : 0;
}

static int open_source(struct encrypting *encrypting, const char *name)
{
    struct coffer_fault fault = cli_no_fault();
    struct coffer_volume_open_opts opts = {
        .size = sizeof opts,
        .name = name,
        .flags = COFFER_VOLUME_READ_ONLY | COFFER_VOLUME_ALLOW_PLAIN,
        .provider = &encrypting->session->provider,
        .pin = {.use_encrypted = 1, .encrypted = 0},
    };
    int error = coffer_volume_open(encrypting->session->store, &opts, &encrypting->source, &fault);
    return error != 0 ? fail(encrypting, error, &fault) : 0;
}

static int make_and_copy(struct encrypting *encrypting)
{
    struct cli_session *session = encrypting->session;
    int exit_code = cli_volume_make(session, encrypting->size_bytes, 0);
    if (exit_code != 0) {
        return exit_code;
    }
    cof_tool_progress_begin(&encrypting->progress, session->call, "restore",
                            encrypting->size_bytes);
    exit_code = copy(encrypting);
    cof_tool_progress_end(&encrypting->progress, encrypting->size_bytes);
    if (exit_code == 0) {
        return cli_session_refresh(session);
    }
    int undone = cli_volume_unmake(session);
    (void)undone; /* noted there */
    return exit_code;
}

int cli_snapshot_encrypt(struct cli_session *session, const char *source, uint64_t size_bytes)
{
    struct encrypting encrypting = {
        .session = session, .source_name = source, .size_bytes = size_bytes};
    int exit_code = open_source(&encrypting, source);
    if (exit_code != 0) {
        return exit_code;
    }
    encrypting.buffer = aligned_alloc(COFFER_PAGE_BYTES, CHUNK_BYTES);
    exit_code = encrypting.buffer == NULL ? fail(&encrypting, COFFER_E_NO_MEMORY, NULL)
                                          : make_and_copy(&encrypting);
    if (encrypting.buffer != NULL) {
        explicit_bzero(encrypting.buffer, CHUNK_BYTES);
    }
    free(encrypting.buffer);
    int error = coffer_volume_close(encrypting.source);
    return exit_code == 0 && error != 0 ? fail(&encrypting, error, NULL) : exit_code;
}
