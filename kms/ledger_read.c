/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/ledger_read.c - the ledger's records, read and kept in memory; ledger.h has its bytes.
 *
 * Invariants: a record counts only after its MAC was checked; what was read reaches to `offset`,
 * where the chain stands at `mac`. The dead are kept in the order in which they came. Under the
 * store's lock, or before the store is shared.
 */
#include "ledger_parts.h"
#include "testhook.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR_BYTES 512u /* the least that a power cut keeps or loses */

/* ---- the dead ---------------------------------------------------------------------------- */

static size_t find(const struct cof_kms_ledger *ledger, const char *arn, const uint8_t *material_id)
{
    size_t i;

    for (i = 0; i < ledger->dead_count; i++) {
        if (strcmp(ledger->dead[i].arn, arn) == 0 &&
            memcmp(ledger->dead[i].material_id, material_id, COF_KMS_MATERIAL_ID_BYTES) == 0) {
            break;
        }
    }
    return i;
}

bool cof_kms_ledger_has(const struct cof_kms_ledger *ledger, const char *arn,
                        const uint8_t *material_id)
{
    return find(ledger, arn, material_id) < ledger->dead_count;
}

static int add_dead(struct cof_kms_ledger *ledger, const struct cof_kms_tombstone_row *dead)
{
    if (cof_kms_ledger_has(ledger, dead->arn, dead->material_id)) {
        return 0;
    }
    if (ledger->dead_count == ledger->dead_room) {
        size_t room = ledger->dead_room == 0 ? 16 : 2 * ledger->dead_room;
        struct cof_kms_tombstone_row *more = cof_kms_alloc(ledger->env, room * sizeof(*more));

        if (more == NULL) {
            return COFFER_E_NO_MEMORY;
        }
        if (ledger->dead_count > 0) {
            memcpy(more, ledger->dead, ledger->dead_count * sizeof(*more));
        }
        cof_kms_free(ledger->env, ledger->dead);
        ledger->dead = more;
        ledger->dead_room = room;
    }
    ledger->dead[ledger->dead_count++] = *dead;
    return 0;
}

static void drop_dead(struct cof_kms_ledger *ledger, const char *arn, const uint8_t *material_id)
{
    size_t at = find(ledger, arn, material_id);

    if (at < ledger->dead_count) {
        ledger->dead_count--;
        memmove(&ledger->dead[at], &ledger->dead[at + 1],
                (ledger->dead_count - at) * sizeof(ledger->dead[0]));
    }
}

int cof_kms_ledger_each(const struct cof_kms_ledger *ledger,
                        int (*visit)(void *ctx, const struct cof_kms_tombstone_row *dead),
                        void *ctx)
{
    size_t i;
    int error = 0;

    for (i = 0; error == 0 && i < ledger->dead_count; i++) {
        error = visit(ctx, &ledger->dead[i]);
    }
    return error;
}

unsigned cof_kms_ledger_heads(const struct cof_kms_ledger *ledger,
                              const struct cof_kms_audit_head **ret_heads)
{
    *ret_heads = ledger->heads;
    return ledger->head_count;
}

/* ---- reading ----------------------------------------------------------------------------- */

struct reader {
    const uint8_t *at, *end;
    bool bad;
};

static void read_text(struct reader *reader, char *ret_text, size_t capacity)
{
    size_t bytes = 0;

    if (reader->end - reader->at >= 4) {
        bytes = (size_t)cof_kms_unpack_number(reader->at, 4);
        reader->at += 4;
    } else {
        reader->bad = true;
    }
    if (reader->bad || (bytes >= capacity && !COF_KMS_BROKEN(LONG_TEXT)) ||
        (size_t)(reader->end - reader->at) < bytes) {
        reader->bad = true;
        return;
    }
    memcpy(ret_text, reader->at, bytes);
    ret_text[bytes] = '\0';
    reader->at += bytes;
}

static void read_bytes(struct reader *reader, uint8_t *ret_bytes, size_t bytes)
{
    if (reader->bad || (size_t)(reader->end - reader->at) < bytes) {
        reader->bad = true;
        return;
    }
    memcpy(ret_bytes, reader->at, bytes);
    reader->at += bytes;
}

/* A head that was seen leaves no doubt; one of a copy adds to what may be. What was sure stays
 * first. */
static void take_head(struct cof_kms_ledger *ledger, const struct cof_kms_audit_head *head,
                      bool of_copy)
{
    if (!of_copy) {
        if (ledger->head_count != 1 || head->records > ledger->heads[0].records) {
            ledger->heads[0] = *head;
            ledger->head_count = 1;
        }
        return;
    }
    if (ledger->head_count == 0) {
        memset(&ledger->heads[ledger->head_count++], 0, sizeof(ledger->heads[0]));
    }
    if (ledger->head_count == COF_LEDGER_HEADS_MAX) {
        memmove(&ledger->heads[1], &ledger->heads[2],
                (COF_LEDGER_HEADS_MAX - 2) * sizeof(ledger->heads[0]));
        ledger->head_count--;
    }
    ledger->heads[ledger->head_count++] = *head;
}

/* Take one valid record into memory; of a kind that a newer program knows, nothing. */
static int take_record(struct cof_kms_ledger *ledger, unsigned kind, struct cof_kms_bytes payload)
{
    struct reader reader = {payload.at, payload.at + payload.length_bytes, false};
    struct cof_kms_tombstone_row dead;
    struct cof_kms_audit_head head;
    uint8_t number[8];

    memset(&dead, 0, sizeof(dead));
    if (kind == COF_LEDGER_DEAD || kind == COF_LEDGER_BACK) {
        read_text(&reader, dead.arn, sizeof(dead.arn));
        read_bytes(&reader, dead.material_id, sizeof(dead.material_id));
    }
    if (kind == COF_LEDGER_DEAD) {
        read_text(&reader, dead.key_id, sizeof(dead.key_id));
    }
    if (kind == COF_LEDGER_DEAD || kind == COF_LEDGER_HEAD || kind == COF_LEDGER_RESTORE) {
        read_bytes(&reader, number, sizeof(number));
    }
    if (kind == COF_LEDGER_HEAD || kind == COF_LEDGER_RESTORE) {
        read_bytes(&reader, head.mac, sizeof(head.mac));
    }
    if (reader.bad) {
        return COFFER_E_TAMPER;
    }
    if (kind == COF_LEDGER_HEAD || kind == COF_LEDGER_RESTORE) {
        head.records = cof_kms_unpack_number(number, 8);
        take_head(ledger, &head, kind == COF_LEDGER_RESTORE);
    } else if (kind == COF_LEDGER_BACK) {
        drop_dead(ledger, dead.arn, dead.material_id);
    } else if (kind == COF_LEDGER_DEAD) {
        dead.deleted_ns = cof_kms_unpack_number(number, 8);
        return add_dead(ledger, &dead);
    }
    return 0;
}

/* The MAC of a record whose first bytes (length, kind, payload) are given. */
int cof_ledger_chain(const struct cof_kms_ledger *ledger, struct cof_kms_bytes record,
                     uint8_t ret_mac[COF_KMS_MAC_BYTES])
{
    uint8_t input[COF_KMS_MAC_BYTES + 5 + COF_LEDGER_PAYLOAD_BYTES_MAX];
    struct cof_kms_pack pack = cof_kms_pack_into(input, sizeof(input));

    cof_kms_pack_bytes(&pack, ledger->mac, sizeof(ledger->mac));
    cof_kms_pack_bytes(&pack, record.at, record.length_bytes);
    return pack.overflowed ? COFFER_E_TAMPER
                           : cof_kms_mac(ledger->key, cof_kms_packed(&pack), ret_mac);
}

static bool all_zero(const uint8_t *bytes, size_t count)
{
    while (count > 0 && bytes[count - 1] == 0) {
        count--;
    }
    return count == 0;
}

/* Whether bytes, the file's end, can be a record of which a power cut kept a part of the sectors:
 * those that it lost are zeros, and no sector of a record is. An edited record is none. */
static bool is_torn(const struct cof_kms_ledger *ledger, const uint8_t *bytes, size_t count)
{
    size_t at = 0;

    if (count > COF_LEDGER_RECORD_OVERHEAD_BYTES + COF_LEDGER_PAYLOAD_BYTES_MAX) {
        return false;
    }
    while (at < count) {
        size_t left = SECTOR_BYTES - (size_t)(ledger->offset + (off_t)at) % SECTOR_BYTES;
        size_t piece = count - at < left ? count - at : left;

        if (all_zero(bytes + at, piece)) {
            return true;
        }
        at += piece;
    }
    return false;
}

/* Take the records of bytes, which lie at ledger->offset, up to the last whole one. */
static int take_records(struct cof_kms_ledger *ledger, const uint8_t *bytes, size_t count)
{
    uint8_t mac[COF_KMS_MAC_BYTES];

    while (count >= COF_LEDGER_RECORD_OVERHEAD_BYTES) {
        size_t payload_bytes = (size_t)cof_kms_unpack_number(bytes, 4);
        struct cof_kms_bytes record = {bytes, 5 + payload_bytes};
        struct cof_kms_bytes payload = {bytes + 5, payload_bytes};
        int error;

        if (payload_bytes > COF_LEDGER_PAYLOAD_BYTES_MAX) {
            return is_torn(ledger, bytes, count) ? 0 : COFFER_E_TAMPER;
        }
        if (count < COF_LEDGER_RECORD_OVERHEAD_BYTES + payload_bytes) {
            break;
        }
        error = cof_ledger_chain(ledger, record, mac);
        if (error == 0 && !cof_kms_equal(mac, bytes + record.length_bytes, sizeof(mac))) {
            return is_torn(ledger, bytes, count) ? 0 : COFFER_E_TAMPER;
        }
        if (error == 0) {
            error = take_record(ledger, bytes[4], payload);
        }
        if (error != 0) {
            return error;
        }
        memcpy(ledger->mac, mac, sizeof(mac));
        bytes += COF_LEDGER_RECORD_OVERHEAD_BYTES + payload_bytes;
        count -= COF_LEDGER_RECORD_OVERHEAD_BYTES + payload_bytes;
        ledger->offset += (off_t)(COF_LEDGER_RECORD_OVERHEAD_BYTES + payload_bytes);
    }
    return 0;
}

int cof_ledger_read_all(const struct cof_kms_ledger *ledger, uint8_t *bytes, size_t count)
{
    size_t have = 0;

    while (have < count) {
        ssize_t got = pread(ledger->fd, bytes + have, count - have, ledger->offset + (off_t)have);

        if (got <= 0 && !(got < 0 && errno == EINTR)) {
            return -1;
        }
        have += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

/* Read what is behind offset: what this process has not seen. */
int cof_ledger_catch_up(struct cof_kms_ledger *ledger, struct coffer_fault *fault)
{
    struct stat about;
    uint8_t *bytes;
    size_t count;
    int error;

    if (fstat(ledger->fd, &about) != 0) {
        return cof_ledger_io_fail(ledger, fault);
    }
    if (about.st_size < ledger->offset || about.st_size > COF_LEDGER_FILE_BYTES_MAX) {
        return cof_ledger_altered(ledger, fault);
    }
    count = (size_t)(about.st_size - ledger->offset);
    if (count == 0) {
        return 0;
    }
    bytes = cof_kms_alloc(ledger->env, count);
    if (bytes == NULL) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    error = cof_ledger_read_all(ledger, bytes, count) == 0 ? take_records(ledger, bytes, count)
                                                           : cof_ledger_io_fail(ledger, fault);
    cof_kms_free(ledger->env, bytes);
    return error == COFFER_E_TAMPER ? cof_ledger_altered(ledger, fault) : error;
}
