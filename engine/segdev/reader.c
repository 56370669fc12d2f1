/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segdev/reader.c - reads that are begun ahead and waited for later.
 *
 * A request is the device's until poll has returned it, so nothing here gives memory back before:
 * a poll that fails is tried again, and when it never succeeds the channel is given up.
 */
#include "segdev/reader.h"

#include <string.h>

#define POLLS_MAX 1000u
/* Larger requests gain nothing, and a device serves the halves of one at once. */
#define REQUEST_BYTES_MAX (1u << 20)

int cof_reader_init(struct cof_reader *reader, struct coffer_segdev *dev, unsigned reads_max)
{
    memset(reader, 0, sizeof *reader);
    reader->dev = dev;
    return dev->ops->channel_open(dev, reads_max * COF_READ_RUNS_MAX, &reader->channel);
}

/* Push what was submitted, take what has come. */
static int collect(struct cof_reader *reader, unsigned least)
{
    struct coffer_segdev_request *list = NULL;
    int got = reader->dev->ops->poll(reader->channel, least, &list);
    for (; got > 0 && list != NULL; list = list->next) {
        struct cof_read *read = list->user;
        read->flying--;
        reader->flying--;
        if (read->error == 0) {
            read->error = list->result;
        }
    }
    return got;
}

static void collect_one(struct cof_reader *reader)
{
    for (unsigned i = 0; i < POLLS_MAX; i++) {
        if (collect(reader, 1) > 0) {
            return;
        }
    }
    reader->broken = true;
}

void cof_reader_done(struct cof_reader *reader)
{
    if (reader->channel == NULL) {
        return;
    }
    while (reader->flying > 0 && !reader->broken) {
        collect_one(reader);
    }
    reader->dev->ops->channel_close(reader->channel);
    reader->channel = NULL;
}

static int submit(struct cof_reader *reader, struct cof_read *read, unsigned i,
                  const struct cof_block_run *run)
{
    struct coffer_segdev_request *request = &read->requests[i];
    int err;
    memset(request, 0, sizeof *request);
    request->op = COFFER_SEGDEV_READ;
    request->segment = run->segment;
    request->offset = run->block * COFFER_BLOCK_BYTES;
    request->buffer_index = -1;
    request->user = read;
    request->iov = &read->iov[i];
    request->iov_count = 1;
    read->iov[i].iov_base = run->bytes;
    read->iov[i].iov_len = (size_t)run->blocks * COFFER_BLOCK_BYTES;
    err = reader->dev->ops->submit(reader->channel, request);
    while (err == COFFER_E_AGAIN && reader->flying > 0 && !reader->broken) {
        collect_one(reader);
        err = reader->dev->ops->submit(reader->channel, request);
    }
    if (err == 0) {
        read->flying++;
        reader->flying++;
        reader->requests++;
        reader->bytes += read->iov[i].iov_len;
    }
    return err;
}

static bool continues(const struct cof_block_run *run, const struct cof_block_run *next)
{
    return next->segment == run->segment && next->block == run->block + run->blocks &&
           next->bytes == run->bytes + (size_t)run->blocks * COFFER_BLOCK_BYTES &&
           run->blocks + next->blocks <= REQUEST_BYTES_MAX / COFFER_BLOCK_BYTES;
}

void cof_reader_start(struct cof_reader *reader, struct cof_read *read,
                      const struct cof_block_run *runs, unsigned count)
{
    unsigned requests = 0;
    int err = reader->broken ? COFFER_E_IO : count > COF_READ_RUNS_MAX ? COFFER_E_INVALID : 0;
    read->flying = 0;
    read->error = 0;
    for (unsigned i = 0; err == 0 && i < count;) {
        struct cof_block_run run = runs[i++];
        while (i < count && continues(&run, &runs[i])) {
            run.blocks += runs[i++].blocks;
        }
        err = submit(reader, read, requests++, &run);
    }
    if (err != 0) {
        read->error = err;
    }
    (void)collect(reader, 0); /* a poll that fails does so again in wait */
}

int cof_reader_wait(struct cof_reader *reader, struct cof_read *read)
{
    while (read->flying > 0 && !reader->broken) {
        collect_one(reader);
    }
    return read->flying > 0 ? COFFER_E_IO : read->error;
}
