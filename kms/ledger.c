/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/ledger.c - the ledger beside the store: opened, made, appended to; ledger.h has its bytes.
 *
 * Invariants: nothing is written but behind the last valid record, under the file's lock; a record
 * is on the medium before its append returns. The file is made when there is something to note.
 * Under the store's lock, or before the store is shared.
 */
#include "ledger_parts.h"
#include "testhook.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "CfKL"
#define FORMAT 1u
#define HEADER_BYTES (4u + 1u + 16u + COF_KMS_MAC_BYTES)

int cof_ledger_io_fail(const struct cof_kms_ledger *ledger, struct coffer_fault *fault)
{
    int saved = errno;
    int error = saved == ENOSPC || saved == EDQUOT                    ? COFFER_E_NO_SPACE
                : saved == EACCES || saved == EPERM || saved == EROFS ? COFFER_E_ACCESS
                                                                      : COFFER_E_IO;

    return cof_kms_fault(fault, error, "ledger %.110s: %s", ledger->path, strerror(saved));
}

int cof_ledger_altered(const struct cof_kms_ledger *ledger, struct coffer_fault *fault)
{
    return cof_kms_fault(fault, COFFER_E_TAMPER,
                         "ledger %.90s was altered, or is of another store: restore it from a copy",
                         ledger->path);
}

/* ---- the file ---------------------------------------------------------------------------- */

static int write_at_end(struct cof_kms_ledger *ledger, const uint8_t *bytes, size_t count,
                        struct coffer_fault *fault)
{
    size_t done = 0;
    int error, cut;

    /* What a crash left there goes first, so that the two never mix. */
    if (lseek(ledger->fd, 0, SEEK_END) > ledger->offset &&
        (ftruncate(ledger->fd, ledger->offset) != 0 || fsync(ledger->fd) != 0)) {
        return cof_ledger_io_fail(ledger, fault);
    }
    while (done < count) {
        ssize_t put = pwrite(ledger->fd, bytes + done, count - done, ledger->offset + (off_t)done);

        if (put < 0 && errno != EINTR) {
            break;
        }
        done += put > 0 ? (size_t)put : 0;
    }
    if (done == count && ftruncate(ledger->fd, ledger->offset + (off_t)count) == 0 &&
        (COF_KMS_BROKEN(LAZY_LEDGER) || fsync(ledger->fd) == 0)) {
        return 0;
    }
    error = cof_ledger_io_fail(ledger, fault);
    cut = ftruncate(ledger->fd, ledger->offset);
    (void)cut; /* nothing more can be done, and the first failure is what is told */
    return error;
}

/* The header as it must stand, which begins the chain. */
static int make_header(struct cof_kms_ledger *ledger, uint8_t header[HEADER_BYTES])
{
    uint8_t input[64];
    struct cof_kms_pack label = cof_kms_pack_into(input, sizeof(input));
    struct cof_kms_pack pack = cof_kms_pack_into(header, HEADER_BYTES);
    int error;

    cof_kms_pack_text(&label, "coffer/kms/ledger/1");
    cof_kms_pack_bytes(&label, ledger->uuid, sizeof(ledger->uuid));
    error = cof_kms_mac(ledger->key, cof_kms_packed(&label), ledger->mac);
    cof_kms_pack_bytes(&pack, MAGIC, 4);
    cof_kms_pack_u8(&pack, FORMAT);
    cof_kms_pack_bytes(&pack, ledger->uuid, sizeof(ledger->uuid));
    cof_kms_pack_bytes(&pack, ledger->mac, sizeof(ledger->mac));
    return error;
}

static int start(struct cof_kms_ledger *ledger, struct coffer_fault *fault)
{
    uint8_t expected[HEADER_BYTES], found[HEADER_BYTES];
    struct stat about;
    int error = make_header(ledger, expected);

    if (error != 0) {
        return cof_kms_fault(fault, error, NULL);
    }
    if (fstat(ledger->fd, &about) != 0) {
        return cof_ledger_io_fail(ledger, fault);
    }
    if (about.st_size == (off_t)sizeof(expected) &&
        cof_ledger_read_all(ledger, found, sizeof(found)) == 0 &&
        cof_kms_equal(found, (uint8_t[HEADER_BYTES]){0}, sizeof(found))) {
        about.st_size = 0;
    }
    if (about.st_size < (off_t)sizeof(expected)) {
        /* A crash cut its making off before anything was noted. */
        error = ledger->read_only ? 0 : write_at_end(ledger, expected, sizeof(expected), fault);
        ledger->offset = ledger->read_only ? about.st_size : (off_t)sizeof(expected);
        return error;
    }
    if (cof_ledger_read_all(ledger, found, sizeof(found)) != 0) {
        return cof_ledger_io_fail(ledger, fault);
    }
    if (!cof_kms_equal(expected, found, sizeof(expected))) {
        return cof_ledger_altered(ledger, fault);
    }
    ledger->offset = (off_t)sizeof(expected);
    return cof_ledger_catch_up(ledger, fault);
}

/* Open the file when it is there, or may be made, and read it. */
static int reach(struct cof_kms_ledger *ledger, bool make, struct coffer_fault *fault)
{
    int flags = ledger->read_only ? O_RDONLY : O_RDWR | (make ? O_CREAT : 0);
    int fd = open(ledger->path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    int error;

    if (fd < 0) {
        return errno == ENOENT && !make ? 0 : cof_ledger_io_fail(ledger, fault);
    }
    ledger->fd = fd;
    if (flock(fd, ledger->read_only ? LOCK_SH : LOCK_EX) != 0) {
        return cof_ledger_io_fail(ledger, fault);
    }
    error = start(ledger, fault);
    (void)flock(fd, LOCK_UN);
    if (error == 0 && make) {
        error = cof_kms_sync_directory_of(ledger->path, fault);
    }
    return error;
}

/* ---- writing ----------------------------------------------------------------------------- */

static int append_locked(struct cof_kms_ledger *ledger, enum cof_ledger_kind kind,
                         struct cof_kms_bytes payload, struct coffer_fault *fault)
{
    uint8_t record[COF_LEDGER_RECORD_OVERHEAD_BYTES + COF_LEDGER_PAYLOAD_BYTES_MAX],
        mac[COF_KMS_MAC_BYTES];
    struct cof_kms_pack pack = cof_kms_pack_into(record, sizeof(record));
    int error = cof_ledger_catch_up(ledger, fault);

    if (error != 0) {
        return error;
    }
    cof_kms_pack_u32(&pack, (uint32_t)payload.length_bytes);
    cof_kms_pack_u8(&pack, (uint8_t)kind);
    cof_kms_pack_bytes(&pack, payload.at, payload.length_bytes);
    error = cof_ledger_chain(ledger, cof_kms_packed(&pack), mac);
    cof_kms_pack_bytes(&pack, mac, sizeof(mac));
    if (error != 0 || pack.overflowed) {
        return cof_kms_fault(fault, error != 0 ? error : COFFER_E_INTERNAL, NULL);
    }
    error = write_at_end(ledger, record, pack.length_bytes, fault);
    return error == 0 ? cof_ledger_catch_up(ledger, fault) : error;
}

static int append(struct cof_kms_ledger *ledger, enum cof_ledger_kind kind,
                  const struct cof_kms_pack *payload, struct coffer_fault *fault)
{
    int error = payload->overflowed ? cof_kms_fault(fault, COFFER_E_INTERNAL, NULL) : 0;

    if (error == 0 && ledger->fd < 0) {
        error = reach(ledger, true, fault);
    }
    if (error != 0) {
        return error;
    }
    if (flock(ledger->fd, LOCK_EX) != 0) {
        return cof_ledger_io_fail(ledger, fault);
    }
    error = append_locked(ledger, kind, cof_kms_packed(payload), fault);
    (void)flock(ledger->fd, LOCK_UN);
    return error;
}

int cof_kms_ledger_bury(struct cof_kms_ledger *ledger, const struct cof_kms_tombstone_row *dead,
                        struct coffer_fault *fault)
{
    uint8_t payload[COF_LEDGER_PAYLOAD_BYTES_MAX];
    struct cof_kms_pack pack = cof_kms_pack_into(payload, sizeof(payload));

    if (cof_kms_ledger_has(ledger, dead->arn, dead->material_id)) {
        return 0;
    }
    cof_kms_pack_text(&pack, dead->arn);
    cof_kms_pack_bytes(&pack, dead->material_id, sizeof(dead->material_id));
    cof_kms_pack_text(&pack, dead->key_id);
    cof_kms_pack_u64(&pack, dead->deleted_ns);
    return append(ledger, COF_LEDGER_DEAD, &pack, fault);
}

int cof_kms_ledger_raise(struct cof_kms_ledger *ledger, const char *arn, const uint8_t *material_id,
                         struct coffer_fault *fault)
{
    uint8_t payload[COF_LEDGER_PAYLOAD_BYTES_MAX];
    struct cof_kms_pack pack = cof_kms_pack_into(payload, sizeof(payload));

    if (!cof_kms_ledger_has(ledger, arn, material_id)) {
        return 0;
    }
    cof_kms_pack_text(&pack, arn);
    cof_kms_pack_bytes(&pack, material_id, COF_KMS_MATERIAL_ID_BYTES);
    return append(ledger, COF_LEDGER_BACK, &pack, fault);
}

static int append_head(struct cof_kms_ledger *ledger, enum cof_ledger_kind kind,
                       const struct cof_kms_audit_head *head, struct coffer_fault *fault)
{
    uint8_t payload[COF_LEDGER_PAYLOAD_BYTES_MAX];
    struct cof_kms_pack pack = cof_kms_pack_into(payload, sizeof(payload));

    cof_kms_pack_u64(&pack, head->records);
    cof_kms_pack_bytes(&pack, head->mac, sizeof(head->mac));
    return append(ledger, kind, &pack, fault);
}

int cof_kms_ledger_note_head(struct cof_kms_ledger *ledger, const struct cof_kms_audit_head *head,
                             struct coffer_fault *fault)
{
    return ledger->head_count == 1 && head->records <= ledger->heads[0].records
               ? 0
               : append_head(ledger, COF_LEDGER_HEAD, head, fault);
}

int cof_kms_ledger_note_restore(struct cof_kms_ledger *ledger,
                                const struct cof_kms_audit_head *head, struct coffer_fault *fault)
{
    return append_head(ledger, COF_LEDGER_RESTORE, head, fault);
}

/* ---- open and close ---------------------------------------------------------------------- */

int cof_kms_ledger_open(struct cof_kms_env *env, const char *path, const uint8_t uuid[16],
                        const uint8_t *mac_key, bool read_only, struct cof_kms_ledger **ret_ledger,
                        struct coffer_fault *fault)
{
    struct cof_kms_ledger *ledger = cof_kms_alloc(env, sizeof(*ledger));
    int error;

    if (ledger == NULL) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY, NULL);
    }
    ledger->env = env;
    ledger->key = mac_key;
    ledger->read_only = read_only;
    ledger->fd = -1;
    memcpy(ledger->uuid, uuid, sizeof(ledger->uuid));
    (void)snprintf(ledger->path, sizeof(ledger->path), "%s", path);
    error = reach(ledger, false, fault);
    if (error != 0) {
        cof_kms_ledger_close(ledger);
        return error;
    }
    *ret_ledger = ledger;
    return 0;
}

bool cof_kms_ledger_is_there(const struct cof_kms_ledger *ledger)
{
    return ledger->fd >= 0;
}

void cof_kms_ledger_close(struct cof_kms_ledger *ledger)
{
    if (ledger == NULL) {
        return;
    }
    if (ledger->fd >= 0) {
        (void)close(ledger->fd);
    }
    cof_kms_free(ledger->env, ledger->dead);
    cof_kms_free(ledger->env, ledger);
}
