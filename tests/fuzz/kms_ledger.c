/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/kms_ledger - ledger files, with MACs that were made for them, so that the parser behind the
 * MACs meets what is mutated; then damaged, as a power cut or a stranger does.
 *
 * An input is a byte of flags, four of damage, and records: kind, u16 length, payload. What the
 * ledger then has is compared with a reading of the same records by plainer means. With the flag
 * RAW the rest stands behind a sound header as it is.
 */
#include "fuzz/fuzz_directory.h"
#include "fuzz/fuzz_driver.h"

#include "kms/ledger_parts.h"
#include "kms/testhook.h"

#define RAW 1u    /* the rest as it is               */
#define EDIT 2u   /* change a byte                   */
#define CUT 4u    /* the file ends early             */
#define ERASE 8u  /* zeros from a sector's beginning */
#define WRITE 16u /* open to write, and note a death */

#define HEADER_BYTES (21u + COF_KMS_MAC_BYTES)
#define FILE_BYTES_MAX (64u * 1024u)
#define DEAD_MAX 2000u
#define RECORDS_MAX 2000u

static struct cof_kms_env env;
static const uint8_t mac_key[COF_KMS_KEY_BYTES] = {3, 1, 4};
static const uint8_t uuid[16] = {1, 5, 9};

/* ---- what the ledger should say ---------------------------------------------------------- */

struct says {
    struct {
        char arn[COFFER_KEY_ARN_BYTES_MAX];
        uint8_t id[COF_KMS_MATERIAL_ID_BYTES];
    } dead[DEAD_MAX];
    size_t dead_count;
    /* The trail's head, and those of the copies that were put back since: the last ones count. */
    bool has_head;
    struct cof_kms_audit_head head, copies[RECORDS_MAX];
    size_t copy_count;
};

static size_t place_of(const struct says *says, const char *arn, const uint8_t *id)
{
    size_t i = 0;
    while (i < says->dead_count && (strcmp(says->dead[i].arn, arn) != 0 ||
                                    memcmp(says->dead[i].id, id, sizeof says->dead[i].id) != 0)) {
        i++;
    }
    return i;
}

static void apply_death(struct says *says, bool back, const char *arn, const uint8_t *id)
{
    size_t at = place_of(says, arn, id);
    if (back && at < says->dead_count) {
        says->dead[at] = says->dead[--says->dead_count];
    } else if (!back && at == says->dead_count && at < DEAD_MAX) {
        snprintf(says->dead[at].arn, sizeof says->dead[at].arn, "%s", arn);
        memcpy(says->dead[at].id, id, sizeof says->dead[at].id);
        says->dead_count++;
    }
}

static uint32_t number32(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* False when the payload is none that may be. */
static bool apply(struct says *says, unsigned kind, const uint8_t *at, size_t count)
{
    char arn[COFFER_KEY_ARN_BYTES_MAX] = "";
    uint32_t arn_bytes = count >= 4 ? number32(at) : UINT32_MAX;
    size_t fixed = 4u + COF_KMS_MATERIAL_ID_BYTES;
    struct cof_kms_audit_head head;
    if (kind == COF_LEDGER_HEAD || kind == COF_LEDGER_RESTORE) {
        if (count < 40) {
            return false;
        }
        head.records = number32(at) | (uint64_t)number32(at + 4) << 32;
        memcpy(head.mac, at + 8, sizeof head.mac);
        if (kind == COF_LEDGER_RESTORE) {
            says->has_head = true; /* of nothing, if none was noted */
            harness_require(says->copy_count < RECORDS_MAX, "more records than there are");
            says->copies[says->copy_count++] = head;
        } else if (!says->has_head || says->copy_count > 0 || head.records > says->head.records) {
            says->has_head = true;
            says->head = head;
            says->copy_count = 0;
        }
        return true;
    }
    if (kind != COF_LEDGER_DEAD && kind != COF_LEDGER_BACK) {
        return true;
    }
    if (arn_bytes >= sizeof arn || count < fixed + arn_bytes) {
        return false;
    }
    memcpy(arn, at + 4, arn_bytes);
    if (kind == COF_LEDGER_DEAD) {
        size_t rest = count - fixed - arn_bytes;
        const uint8_t *id = at + fixed + arn_bytes;
        if (rest < 12 || number32(id) >= COFFER_KEY_ID_BYTES || rest < 12 + number32(id)) {
            return false;
        }
    }
    apply_death(says, kind == COF_LEDGER_BACK, arn, at + 4 + arn_bytes);
    return true;
}

static int compare_dead(void *ctx, const struct cof_kms_tombstone_row *dead)
{
    const struct says *says = ctx;
    harness_require(memchr(dead->arn, '\0', sizeof dead->arn) != NULL &&
                        memchr(dead->key_id, '\0', sizeof dead->key_id) != NULL,
                    "a text without an end");
    harness_require(place_of(says, dead->arn, dead->material_id) < says->dead_count,
                    "the ledger has a death that was not noted");
    return 0;
}

static int count_dead(void *ctx, const struct cof_kms_tombstone_row *dead)
{
    (void)dead;
    ++*(size_t *)ctx;
    return 0;
}

static bool same_head(const struct cof_kms_audit_head *a, const struct cof_kms_audit_head *b)
{
    return a->records == b->records && memcmp(a->mac, b->mac, sizeof a->mac) == 0;
}

static void compare_heads(struct cof_kms_ledger *ledger, const struct says *says)
{
    const struct cof_kms_audit_head *heads;
    size_t most = COF_LEDGER_HEADS_MAX - 1u;
    size_t copies = says->copy_count < most ? says->copy_count : most;
    unsigned count = cof_kms_ledger_heads(ledger, &heads);
    harness_require(count == (says->has_head ? copies + 1u : 0u), "%u heads", count);
    harness_require(count == 0 || same_head(&heads[0], &says->head), "another head");
    for (size_t i = 0; i < copies; i++) {
        harness_require(same_head(&heads[i + 1u], &says->copies[says->copy_count - copies + i]),
                        "another copy's head");
    }
}

static void compare(struct cof_kms_ledger *ledger, struct says *says)
{
    size_t count = 0;
    (void)cof_kms_ledger_each(ledger, count_dead, &count);
    (void)cof_kms_ledger_each(ledger, compare_dead, says);
    harness_require(count == says->dead_count, "%zu deaths of %zu", count, says->dead_count);
    compare_heads(ledger, says);
}

/* ---- the file ---------------------------------------------------------------------------- */

struct file {
    uint8_t bytes[FILE_BYTES_MAX];
    size_t count;
    size_t ends[RECORDS_MAX]; /* where each record ends */
    size_t record_count;
};

static void mac_of(const uint8_t *bytes, size_t count, uint8_t *ret_mac)
{
    harness_require(cof_kms_mac(mac_key, (struct cof_kms_bytes){bytes, count}, ret_mac) == 0,
                    "no MAC");
}

static void add_header(struct file *file)
{
    uint8_t input[64] = {19, 0, 0, 0};
    memcpy(input + 4, "coffer/kms/ledger/1", 19);
    memcpy(input + 23, uuid, sizeof uuid);
    memcpy(file->bytes, "CfKL\x01", 5);
    memcpy(file->bytes + 5, uuid, sizeof uuid);
    mac_of(input, 39, file->bytes + 21);
    file->count = HEADER_BYTES;
    file->record_count = 0;
}

static void add_record(struct file *file, unsigned kind, const uint8_t *payload, size_t count)
{
    uint8_t input[COF_KMS_MAC_BYTES + 5 + COF_LEDGER_PAYLOAD_BYTES_MAX];
    uint8_t *at = file->bytes + file->count;
    memcpy(input, at - COF_KMS_MAC_BYTES, COF_KMS_MAC_BYTES);
    memcpy(at, (uint8_t[]){(uint8_t)count, (uint8_t)(count >> 8), 0, 0, (uint8_t)kind}, 5);
    memcpy(at + 5, payload, count);
    memcpy(input + COF_KMS_MAC_BYTES, at, 5 + count);
    mac_of(input, COF_KMS_MAC_BYTES + 5 + count, at + 5 + count);
    file->count += 5 + count + COF_KMS_MAC_BYTES;
    file->ends[file->record_count++] = file->count;
}

static void add_records(struct file *file, const uint8_t *data, size_t size)
{
    while (size >= 3 && file->record_count < RECORDS_MAX) {
        size_t count = data[1] | (size_t)data[2] << 8;
        count = count < size - 3 ? count : size - 3;
        count = count < COF_LEDGER_PAYLOAD_BYTES_MAX ? count : COF_LEDGER_PAYLOAD_BYTES_MAX;
        if (file->count + 5 + count + COF_KMS_MAC_BYTES > sizeof file->bytes) {
            return;
        }
        add_record(file, data[0], data + 3, count);
        data += 3 + count;
        size -= 3 + count;
    }
}

/* Where the file was first changed; its length when it was not. */
static size_t damage(struct file *file, unsigned flags, const uint8_t how[4])
{
    size_t at = HEADER_BYTES + (how[0] | (size_t)how[1] << 8) % (file->count - HEADER_BYTES + 1);
    uint8_t before[512];
    if ((flags & ERASE) != 0) {
        size_t sector = at / 512 * 512 < HEADER_BYTES ? HEADER_BYTES : at / 512 * 512;
        size_t count = (at / 512 + 1) * 512 - sector;
        count = count < file->count - sector ? count : file->count - sector;
        memcpy(before, file->bytes + sector, count);
        memset(file->bytes + sector, 0, count);
        return memcmp(before, file->bytes + sector, count) == 0 ? file->count : sector;
    }
    if ((flags & EDIT) != 0 && at < file->count) {
        file->bytes[at] ^= how[2];
        return how[2] == 0 ? file->count : at;
    }
    if ((flags & CUT) != 0) {
        file->count = at;
    }
    return file->count;
}

static int open_ledger(const char *path, bool read_only, struct cof_kms_ledger **ret_ledger)
{
    struct coffer_fault fault = {0};
    int error = cof_kms_ledger_open(&env, path, uuid, mac_key, read_only, ret_ledger, &fault);
    harness_require(error == 0 || (error == COFFER_E_TAMPER && fault.detail[0] != '\0'),
                    "error %s: %s", coffer_error_name(error), fault.detail);
    return error;
}

/* ---- the target -------------------------------------------------------------------------- */

/* What is noted behind damage that a power cut does is there with all before it. */
static void note_more(const char *path, struct says *says)
{
    static const struct cof_kms_tombstone_row dead = {.arn = "arn:another", .deleted_ns = 5};
    struct cof_kms_ledger *ledger = NULL;
    struct coffer_fault fault;
    harness_require(open_ledger(path, false, &ledger) == 0, "readable, but not to be written");
    harness_require(cof_kms_ledger_bury(ledger, &dead, &fault) == 0, "no death can be noted");
    cof_kms_ledger_close(ledger);
    apply_death(says, false, dead.arn, dead.material_id);
    harness_require(open_ledger(path, true, &ledger) == 0, "unreadable once written to");
    compare(ledger, says);
    cof_kms_ledger_close(ledger);
}

/* The records that end before `whole`, applied; false when one of them may not be. */
static bool read_plainly(const struct file *file, const uint8_t *sound, size_t whole,
                         struct says *says)
{
    size_t from = HEADER_BYTES;
    for (size_t i = 0; i < file->record_count && file->ends[i] <= whole; i++) {
        const uint8_t *record = sound + from;
        if (!apply(says, record[4], record + 5, number32(record))) {
            return false;
        }
        from = file->ends[i];
    }
    return true;
}

static int open_raw(const char *path, struct file *file, const uint8_t *data, size_t size)
{
    struct cof_kms_ledger *ledger = NULL;
    struct coffer_fault fault;
    memcpy(file->bytes + file->count, data, size);
    fuzz_write(path, file->bytes, file->count + size);
    if (open_ledger(path, true, &ledger) != 0) {
        return 0;
    }
    /* No MAC is guessed: nothing is there but what a power cut leaves. */
    harness_require(ledger->dead_count == 0 && ledger->head_count == 0, "bytes became records");
    harness_require(cof_ledger_catch_up(ledger, &fault) == 0, "read, and then not");
    cof_kms_ledger_close(ledger);
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct file file;
    static struct says says;
    static uint8_t sound[FILE_BYTES_MAX];
    struct cof_kms_ledger *ledger = NULL;
    char path[320];
    size_t whole;
    bool good;
    if (size < 5 || size > FUZZ_ROOM) {
        return 0;
    }
    cof_kms_env_init(&env, NULL);
    (void)fuzz_path("ledger", path);
    add_header(&file);
    if ((data[0] & RAW) != 0) {
        return open_raw(path, &file, data + 5, size - 5);
    }
    memset(&says, 0, sizeof says);
    add_records(&file, data + 5, size - 5);
    memcpy(sound, file.bytes, file.count);
    whole = damage(&file, data[0], data + 1);
    fuzz_write(path, file.bytes, file.count);
    good = read_plainly(&file, sound, whole, &says);
    if (open_ledger(path, true, &ledger) != 0) {
        harness_require(!good || whole < file.count, "a sound ledger was refused");
        return 0;
    }
    harness_require(good, "a record that may not be was taken");
    compare(ledger, &says);
    cof_kms_ledger_close(ledger);
    if ((data[0] & WRITE) != 0 && says.dead_count < DEAD_MAX) {
        note_more(path, &says);
    }
    return 1;
}

void fuzz_plant(void)
{
    cof_kms_test_break = COF_KMS_BREAK_LONG_TEXT;
}

static size_t seed_record(uint8_t *at, unsigned kind, const char *arn)
{
    struct cof_kms_pack pack = cof_kms_pack_into(at + 3, 512);
    if (kind == COF_LEDGER_HEAD || kind == COF_LEDGER_RESTORE) {
        cof_kms_pack_u64(&pack, strlen(arn));
        cof_kms_pack_bytes(&pack, mac_key, 32);
    } else {
        cof_kms_pack_text(&pack, arn);
        cof_kms_pack_bytes(&pack, mac_key, 32);
    }
    if (kind == COF_LEDGER_DEAD) {
        cof_kms_pack_text(&pack, "00000000-0000-4000-8000-000000000000");
        cof_kms_pack_u64(&pack, 77);
    }
    memcpy(at, (uint8_t[]){(uint8_t)kind, (uint8_t)pack.length_bytes, 0}, 3);
    return 3 + pack.length_bytes;
}

size_t fuzz_seed(unsigned number, uint8_t *bytes, size_t room)
{
    static const uint8_t flags[] = {WRITE, 0, CUT, RAW, EDIT, WRITE | CUT};
    static const uint8_t kinds[] = {1, 1, 3, 2, 1, 4, 3, 9};
    static const char *const arns[] = {"arn:a", "arn:b", "four", "arn:a", "arn:a", "x", "six", ""};
    size_t size = 5;
    if (number >= sizeof flags || room < 4096) {
        return 0;
    }
    memset(bytes, 0, 5);
    bytes[0] = flags[number];
    for (unsigned i = 0; (flags[number] & RAW) == 0 && i < sizeof kinds; i++) {
        size += seed_record(bytes + size, kinds[i], arns[i]);
    }
    /* A file that ends within its last record. */
    if ((flags[number] & CUT) != 0) {
        size_t end = HEADER_BYTES + (size - 5) + sizeof kinds * (2 + COF_KMS_MAC_BYTES) - 9;
        bytes[1] = (uint8_t)(end - HEADER_BYTES);
        bytes[2] = (uint8_t)((end - HEADER_BYTES) >> 8);
    }
    return size;
}

FUZZ_MAIN("fuzz_kms_ledger", 30000)
