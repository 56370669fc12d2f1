/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/audit.h - every seal that the bytes of a store still name, for an audit without keys.
 *
 * AES-GCM is safe only while no (key, nonce) pair seals twice. Which pair sealed a thing stands on
 * disk in the clear: a page's and a list's subkey by the uuid of the extent, their nonce by kind
 * and slot (docs/format.md, section 8); the nonces of wraps and records as they are. So whoever has
 * the bytes of all stores that share a past (copies, images that were put back, backups) can look
 * for a pair that was used twice: the same name with another ciphertext. docs/crypto.md, 2.5, says
 * what that proves and what it does not.
 *
 * Names are stricter than pairs, never laxer: the extent's uuid alone stands for its subkey (the
 * lineage, the extent's number and the data key are left out), and a nonce of 96 random bits for
 * itself under whatever volume key. All of these are drawn at random, so none of them comes twice
 * by right.
 */
#ifndef COFFER_AUDIT_H
#define COFFER_AUDIT_H

#include <coffer/coffer.h>

#ifdef __cplusplus
extern "C" {
#endif

enum coffer_seal_kind {
    COFFER_SEAL_PAGE = 0, /* a data page, map node or summary, under an extent's subkey */
    COFFER_SEAL_LIST,     /* the sealed list of a run, under the same                   */
    COFFER_SEAL_WRAP,     /* a data key, under a volume key                             */
    COFFER_SEAL_RECORD    /* a root record or a list of tags, under a volume key        */
};

struct coffer_seal {
    enum coffer_seal_kind kind;
    uint8_t name[16];              /* XXH3-128 of what stands for (key, nonce)                */
    uint8_t ciphertext[16];        /* XXH3-128 of what was sealed, its tag included           */
    struct coffer_uuid store_uuid; /* that the header names                                   */
    struct coffer_uuid uuid;       /* the extent's; zeros for WRAP and RECORD                 */
    uint64_t extent;               /* its number; for WRAP and RECORD: the volume's number    */
    uint32_t slot;                 /* PAGE: its slot, LIST: the first, WRAP: the data key's id */
    uint64_t segment, offset;      /* of the header, or of the catalogue record, in bytes         */
};

struct coffer_seals_opts {
    size_t size;
    /* Each returns non-zero to stop; that is then returned. All but on_seal may be NULL. */
    int (*on_seal)(void *ctx, const struct coffer_seal *seal);
    /* Blocks that the device does not give: the audit goes on, and knows nothing of them. */
    int (*on_unreadable)(void *ctx, int error, uint64_t segment, uint64_t offset_bytes,
                         uint64_t length_bytes);
    int (*on_progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
    void *ctx;
};

struct coffer_seals_summary {
    uint64_t headers;                      /* batch headers of whatever session and store  */
    uint64_t pages, lists, wraps, records; /* seals of each kind that were visited         */
    uint64_t plain_pages;                  /* of unencrypted volumes: no key, no nonce     */
    uint64_t records_lost;                 /* of the catalogue: named, overwritten since;
                                              of the placement table: damaged              */
    uint64_t unreadable_bytes;
    uint64_t bytes_read;
};

/* Read every block of a store that was opened READ_ONLY (INVALID else), and visit the seals that
 * batch headers with a right checksum name: of whatever session, store or age, in free segments
 * and behind a lost tail too; and those of live pages that the cleaner moved. The same seal as
 * often as it stands there. No key is asked for.
 * Bounded memory; time in proportion to the device's size. One thread. */
COFFER_MUST_CHECK int coffer_store_visit_seals(struct coffer_store *store,
                                               const struct coffer_seals_opts *opts,
                                               struct coffer_seals_summary *ret_summary,
                                               struct coffer_fault *fault);

#ifdef __cplusplus
}
#endif
#endif
