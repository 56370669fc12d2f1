/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/root.c - from a root secret, which is a passphrase, a key file, a token's or a TPM's, to the
 * store root key.
 *
 * Invariants: secrets go straight into locked pages; a cost from disk is bounded before it is
 * spent; Argon2's memory is never dumped and is wiped. Any thread; may take as long as Argon2 does.
 */
#include "root.h"

#include "pack.h"
#include "secret.h"

#include <argon2.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LABEL "coffer/kms/root/1"
#define ARGON2_KIB_DEFAULT 65536u
#define ARGON2_PASSES_DEFAULT 3u
#define ARGON2_LANES_DEFAULT 1u
#define KEY_FILE_HEX_BYTES 64u
#define KEY_FILE_BYTES_MAX 66u /* hex digits and a line end */

/* ---- reading the secret ------------------------------------------------------------------ */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* 64 hex digits, one line end allowed, to 32 bytes in place; false for anything else. */
static bool decode_hex(uint8_t *bytes, size_t count)
{
    size_t i;

    if (count == KEY_FILE_HEX_BYTES + 1 && bytes[KEY_FILE_HEX_BYTES] == '\n') {
        count--;
    }
    if (count != KEY_FILE_HEX_BYTES) {
        return false;
    }
    for (i = 0; i < COF_KMS_KEY_BYTES; i++) {
        int high = hex_digit(bytes[2 * i]);
        int low = hex_digit(bytes[2 * i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* systemd's credentials are root's, with mode 0440 where an access list lets the service's user
 * read them: the group's bits are the list's mask then, and the group is root's. */
static bool open_to_others(const struct stat *about)
{
    bool credential =
        about->st_uid == 0 && about->st_gid == 0 && (about->st_mode & 07777) == 0440;
    return (about->st_mode & 077) != 0 && !credential;
}

static int check_key_file(int fd, const char *path, struct coffer_fault *fault)
{
    struct stat about;

    if (fstat(fd, &about) != 0) {
        return cof_kms_fault(fault, COFFER_E_IO, "root key file %.80s: %s", path, strerror(errno));
    }
    if (!S_ISREG(about.st_mode)) {
        return cof_kms_fault(fault, COFFER_E_INVALID, "root key file %.80s is not a file", path);
    }
    if (open_to_others(&about)) {
        return cof_kms_fault(fault, COFFER_E_ACCESS,
                             "root key file %.60s is open to others (mode %03o): chmod 600 it",
                             path, (unsigned)about.st_mode & 0777u);
    }
    if (about.st_uid != geteuid() && about.st_uid != 0) {
        return cof_kms_fault(fault, COFFER_E_ACCESS,
                             "root key file %.70s belongs to another user: own it", path);
    }
    return 0;
}

static int read_key_file(int fd, const char *path, struct cof_kms_root_secret *secret,
                         struct coffer_fault *fault)
{
    size_t have = 0;
    int error = check_key_file(fd, path, fault);

    while (error == 0 && have < KEY_FILE_BYTES_MAX) {
        ssize_t got = read(fd, secret->bytes + have, KEY_FILE_BYTES_MAX - have);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return cof_kms_fault(fault, COFFER_E_IO, "root key file %.80s: %s", path,
                                 strerror(errno));
        }
        if (got == 0) {
            break;
        }
        have += (size_t)got;
    }
    if (error == 0 && have != COF_KMS_KEY_BYTES && !decode_hex(secret->bytes, have)) {
        return cof_kms_fault(fault, COFFER_E_INVALID,
                             "root key file %.50s must hold 32 raw bytes or 64 hex digits", path);
    }
    secret->length_bytes = COF_KMS_KEY_BYTES;
    return error;
}

static int get_key_file(const char *path, struct cof_kms_root_secret *secret,
                        struct coffer_fault *fault)
{
    /* NONBLOCK, so that a FIFO in its place is refused rather than waited for. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int error;

    if (fd < 0) {
        return cof_kms_fault(fault, errno == ENOENT ? COFFER_E_NOT_FOUND : COFFER_E_ACCESS,
                             "root key file %.80s: %s", path, strerror(errno));
    }
    error = read_key_file(fd, path, secret, fault);
    (void)close(fd);
    return error;
}

static int get_passphrase(const struct coffer_keystore_opts *opts, int creating,
                          struct cof_kms_root_secret *secret, struct coffer_fault *fault)
{
    size_t bytes = 0;
    int error = opts->passphrase(opts->passphrase_ctx, creating, secret->bytes,
                                 COFFER_PASSPHRASE_BYTES_MAX, &bytes);

    if (error != 0) {
        return cof_kms_fault(fault, error, "the passphrase could not be read: %s",
                             coffer_error_sentence(error));
    }
    if (bytes == 0 || bytes > COFFER_PASSPHRASE_BYTES_MAX) {
        return cof_kms_fault(fault, COFFER_E_PASSPHRASE,
                             "the passphrase is empty or too long: give 1 to %u bytes",
                             COFFER_PASSPHRASE_BYTES_MAX);
    }
    secret->length_bytes = bytes;
    return 0;
}

int cof_kms_root_secret_get(const struct coffer_keystore_opts *opts, int creating,
                            struct cof_kms_root_secret *ret_secret, struct coffer_fault *fault)
{
    struct cof_kms_root_secret secret = {cof_kms_root_kind(opts), NULL, 0};
    int error = coffer_keystore_secret_new(COFFER_PASSPHRASE_BYTES_MAX, &secret.bytes);

    if (error != 0) {
        return cof_kms_fault(fault, error, NULL);
    }
    if (secret.kind == COFFER_ROOT_PASSPHRASE) {
        error = get_passphrase(opts, creating, &secret, fault);
    } else if (secret.kind == COFFER_ROOT_KEY_FILE) {
        error = get_key_file(opts->root_key_file, &secret, fault);
    } else {
        error = cof_kms_root_token_get(opts, creating, &secret, fault);
    }
    if (error != 0) {
        cof_kms_root_secret_free(&secret);
        return error;
    }
    *ret_secret = secret;
    return 0;
}

void cof_kms_root_secret_free(struct cof_kms_root_secret *secret)
{
    coffer_keystore_secret_free(secret->bytes);
    secret->bytes = NULL;
    secret->length_bytes = 0;
}

/* ---- Argon2id ---------------------------------------------------------------------------- */

static int argon2_take(uint8_t **memory, size_t bytes)
{
    return cof_kms_scratch_new(bytes, memory) == 0 ? ARGON2_OK : ARGON2_MEMORY_ALLOCATION_ERROR;
}

static void argon2_give(uint8_t *memory, size_t bytes)
{
    (void)bytes;
    coffer_keystore_secret_free(memory);
}

static int stretch(const struct cof_kms_header *header, const struct cof_kms_root_secret *secret,
                   uint8_t *ret_key, struct coffer_fault *fault)
{
    uint8_t salt[COF_KMS_SALT_BYTES];
    argon2_context ctx;
    int result;

    memcpy(salt, header->salt, sizeof(salt));
    memset(&ctx, 0, sizeof(ctx));
    ctx.out = ret_key;
    ctx.outlen = COF_KMS_KEY_BYTES;
    ctx.pwd = secret->bytes;
    ctx.pwdlen = (uint32_t)secret->length_bytes;
    ctx.salt = salt;
    ctx.saltlen = sizeof(salt);
    ctx.t_cost = header->argon2_passes;
    ctx.m_cost = header->argon2_memory_kib;
    ctx.lanes = header->argon2_lanes;
    ctx.threads = 1;
    ctx.version = ARGON2_VERSION_13;
    ctx.allocate_cbk = argon2_take;
    ctx.free_cbk = argon2_give;
    ctx.flags = ARGON2_DEFAULT_FLAGS;
    result = argon2id_ctx(&ctx);
    if (result == ARGON2_MEMORY_ALLOCATION_ERROR) {
        return cof_kms_fault(fault, COFFER_E_NO_MEMORY,
                             "%u KiB for the passphrase's Argon2id could not be had",
                             header->argon2_memory_kib);
    }
    return result == ARGON2_OK ? 0 : cof_kms_fault(fault, COFFER_E_CRYPTO, NULL);
}

static bool cost_ok(const struct cof_kms_header *header)
{
    return header->argon2_memory_kib >= COF_KMS_ARGON2_KIB_MIN &&
           header->argon2_memory_kib <= COF_KMS_ARGON2_KIB_MAX && header->argon2_passes >= 1 &&
           header->argon2_passes <= COF_KMS_ARGON2_PASSES_MAX && header->argon2_lanes >= 1 &&
           header->argon2_lanes <= COF_KMS_ARGON2_LANES_MAX &&
           header->argon2_memory_kib >= 8 * header->argon2_lanes;
}

const char *coffer_keystore_root_kind_name(enum coffer_root_kind kind)
{
    switch (kind) {
    case COFFER_ROOT_PASSPHRASE:
        return "PASSPHRASE";
    case COFFER_ROOT_KEY_FILE:
        return "ROOT_KEY_FILE";
    case COFFER_ROOT_TOKEN:
        return "PKCS11_TOKEN";
    case COFFER_ROOT_TPM:
        return "TPM";
    }
    return "UNKNOWN";
}

int cof_kms_root_kind_set(struct cof_kms_header *header, enum coffer_root_kind kind,
                          uint32_t memory_kib, uint32_t passes, uint32_t lanes,
                          struct coffer_fault *fault)
{
    bool passphrase = kind == COFFER_ROOT_PASSPHRASE;

    header->root_kind = kind;
    header->argon2_memory_kib = header->argon2_passes = header->argon2_lanes = 0;
    if (passphrase) {
        header->argon2_memory_kib = memory_kib != 0 ? memory_kib : ARGON2_KIB_DEFAULT;
        header->argon2_passes = passes != 0 ? passes : ARGON2_PASSES_DEFAULT;
        header->argon2_lanes = lanes != 0 ? lanes : ARGON2_LANES_DEFAULT;
    }
    if (passphrase && !cost_ok(header)) {
        return cof_kms_fault(fault, COFFER_E_INVALID, "the cost of Argon2id is out of bounds");
    }
    return 0;
}

/* The key that seals the root key, into kek. */
static int derive_kek(const struct cof_kms_header *header,
                      const struct cof_kms_root_secret *secret, uint8_t *kek,
                      struct coffer_fault *fault)
{
    if (secret->kind != COFFER_ROOT_PASSPHRASE) {
        memcpy(kek, secret->bytes, COF_KMS_KEY_BYTES);
        return 0;
    }
    if (!cost_ok(header)) {
        return cof_kms_fault(fault, COFFER_E_TAMPER,
                             "the key store's Argon2id cost is out of bounds: it was altered");
    }
    return stretch(header, secret, kek, fault);
}

/* ---- the root key ------------------------------------------------------------------------ */

/* Everything that is known before the root key is bound to it. */
static struct cof_kms_bytes pack_header(const struct cof_kms_header *header, uint8_t *buffer,
                                        size_t capacity)
{
    struct cof_kms_pack pack = cof_kms_pack_into(buffer, capacity);

    cof_kms_pack_text(&pack, LABEL);
    cof_kms_pack_bytes(&pack, header->uuid, sizeof(header->uuid));
    cof_kms_pack_text(&pack, header->owner.account);
    cof_kms_pack_text(&pack, header->owner.region);
    cof_kms_pack_u64(&pack, header->created_ns);
    cof_kms_pack_u32(&pack, (uint32_t)header->root_kind);
    cof_kms_pack_u32(&pack, header->argon2_memory_kib);
    cof_kms_pack_u32(&pack, header->argon2_passes);
    cof_kms_pack_u32(&pack, header->argon2_lanes);
    return cof_kms_packed(&pack);
}

static struct cof_kms_sealed_place root_place(const struct cof_kms_header *header,
                                              struct cof_kms_bytes aad)
{
    struct cof_kms_sealed_place place = {
        LABEL, {header->salt, sizeof(header->salt)}, {header->uuid, sizeof(header->uuid)}, aad};

    return place;
}

int cof_kms_root_seal(struct cof_kms_env *env, struct cof_kms_header *header,
                      const struct cof_kms_root_secret *secret, uint8_t *scratch,
                      const uint8_t *root_key, struct coffer_fault *fault)
{
    uint8_t aad[256];
    struct cof_kms_sealed_place place;
    int error = cof_kms_random(env, header->salt, sizeof(header->salt));

    if (error != 0) {
        return cof_kms_fault(fault, error, "no random numbers for the root key");
    }
    error = derive_kek(header, secret, scratch, fault);
    if (error != 0) {
        return error;
    }
    place = root_place(header, pack_header(header, aad, sizeof(aad)));
    error = cof_kms_sealed_make(env, scratch, &place,
                                (struct cof_kms_bytes){root_key, COF_KMS_KEY_BYTES},
                                scratch + COF_KMS_KEY_BYTES, header->sealed_root);
    cof_kms_wipe(scratch, COF_KMS_KEY_BYTES);
    return error == 0 ? 0 : cof_kms_fault(fault, error, NULL);
}

static const char *kind_name(enum coffer_root_kind kind)
{
    switch (kind) {
    case COFFER_ROOT_PASSPHRASE:
        return "passphrase";
    case COFFER_ROOT_KEY_FILE:
        return "root key file";
    case COFFER_ROOT_TOKEN:
        return "PKCS#11 token";
    case COFFER_ROOT_TPM:
        return "TPM";
    }
    return "secret of an unknown kind";
}

int cof_kms_root_open(const struct cof_kms_header *header, const struct cof_kms_root_secret *secret,
                      uint8_t *scratch, uint8_t *root_key, struct coffer_fault *fault)
{
    uint8_t aad[256];
    struct cof_kms_sealed_place place = root_place(header, pack_header(header, aad, sizeof(aad)));
    int error;

    if (secret->kind != header->root_kind) {
        return cof_kms_fault(fault, COFFER_E_PASSPHRASE,
                             "the key store is sealed by a %s: give that, not a %s",
                             kind_name(header->root_kind), kind_name(secret->kind));
    }
    error = derive_kek(header, secret, scratch, fault);
    if (error != 0) {
        return error;
    }
    error = cof_kms_sealed_open(
        scratch, &place,
        (struct cof_kms_bytes){header->sealed_root, sizeof(header->sealed_root)},
        scratch + COF_KMS_KEY_BYTES, root_key);
    cof_kms_wipe(scratch, COF_KMS_KEY_BYTES);
    if (error == COFFER_E_COMMIT) {
        return cof_kms_fault(fault, COFFER_E_PASSPHRASE, "the %s does not open the key store",
                             kind_name(secret->kind));
    }
    if (error == COFFER_E_TAMPER) {
        return cof_kms_fault(fault, error,
                             "the key store's header was altered: restore the file from a copy");
    }
    return error == 0 ? 0 : cof_kms_fault(fault, error, NULL);
}
