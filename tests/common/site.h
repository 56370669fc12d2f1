/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/site.h - several stores side by side, between which snapshots are copied, and what each of
 * them must hold.
 *
 * A site is a store on a simulated disk with a key service; its holdings are the volumes and
 * snapshots that it must have, with the version that each page must show. A version is written once
 * in a realm, so a page tells where it came from. Each site_ call does the operation and keeps the
 * holdings up to date; it returns the engine's error, and what may never be fails the case.
 *
 * What a power cut leaves is told from what is found: between site_mark and site_cut each operation
 * happened or did not, and a page of a volume is what was durable or was written since. One thread.
 */
#ifndef TESTS_COMMON_SITE_H
#define TESTS_COMMON_SITE_H

#include "common/data_keys.h"
#include "common/det_env.h"
#include "common/fake_kms.h"
#include "common/prng.h"
#include "common/sim_segdev.h"

#include <coffer/coffer.h>
#include <coffer/snapshot.h>

#define SITE_HOLDINGS_MAX 40u
#define SITE_PAGES_MAX 5200u /* more than the reserve of a store of 64 segments */
#define SITE_PENDING_MAX 1024u
#define SITE_SEGMENT_BYTES (1u << 20)
#define SITE_SEGMENTS 96u
#define SITE_NAME_BYTES 32u
#define SITE_EMPTY_PAGES_MAX 6u /* live pages of a store that everything was deleted from */
#define SITE_TIGHT_SEGMENTS 64u
#define SITE_BALLASTS 2u
#define SITES_MAX 3u
#define SERVICES 2u
#define SITE_NONE UINT32_MAX
#define SITE_OWN_KEY UINT32_MAX
#define SITE_STOPPED 77 /* what on_progress returns to stop a copy */

struct holding {
    bool used, snapshot, encrypted;
    bool copying, copyable;     /* not whole yet; may be found so: it came as a copy */
    char name[SITE_NAME_BYTES]; /* "v3" or "v3@s5"                              */
    uint64_t identity;          /* of a snapshot: the same for all copies of it */
    uint64_t family;            /* what is rekeyed together                     */
    unsigned key, recipients;   /* of the site's service; a bit each            */
    uint32_t pages;
    uint32_t versions[SITE_PAGES_MAX]; /* 0: never written, or discarded */
    struct coffer_volume *handle;      /* open for writing               */
};

/* What a volume wrote since it was durable: any of it may be lost. */
struct site_pending {
    unsigned holding;
    uint32_t page, before, version;
};

struct realm;

struct site {
    struct realm *realm;
    unsigned index;
    struct sim_disk *disk;
    struct det_env env;
    struct fake_kms *kms;
    struct coffer_store *store;
    struct coffer_fault fault;
    struct holding holdings[SITE_HOLDINGS_MAX];
    struct holding marked[SITE_HOLDINGS_MAX]; /* at site_mark */
    uint64_t marked_event;
    struct site_pending pending[SITE_PENDING_MAX];
    unsigned pending_count;
    char ballast[SITE_BALLASTS][SITE_NAME_BYTES]; /* of a tight store: volumes that fill it */
    bool squeezing;
    struct data_keys leaving; /* what a deep re-encrypt takes away */
    struct sim_image *kept;   /* an old image, to be put back, and what it held */
    struct holding *kept_holdings;
};

struct realm {
    uint64_t seed;
    uint64_t incarnations, identities, families, labels;
    uint32_t versions;
    struct prng prng;
    struct fake_kms services[SERVICES];
    struct coffer_key_provider others[SERVICES]; /* the same service as another object    */
    struct fake_kms_blind blind[SERVICES];       /* for a principal who may not decrypt   */
    struct site sites[SITES_MAX];
    unsigned site_count;
    bool tell;
    bool tight;  /* stores have next to no free segments; writes keep them so */
    bool within; /* a copy's progress is told: nothing is opened or flushed   */
};

void realm_init(struct realm *realm, uint64_t seed, unsigned site_count);
/* Closes what is open, and looks for leaks. */
void realm_done(struct realm *realm);
void realm_tell(const struct realm *realm, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
uint32_t realm_pick(struct realm *realm, uint32_t bound);
void site_must(const struct site *site, int error, const char *what);
#define must(site, call) site_must(site, call, #call)

/* ---- stores: site.c ---- */

/* An empty store at site `index`, of the service. */
void site_make(struct realm *realm, unsigned index, unsigned service);
int site_open(struct site *site);
int site_close(struct site *site);
int site_close_volumes(struct site *site);
void site_done(struct site *site);
/* The same content as `from`, which must be closed, byte for byte. */
void site_fork(struct site *site, const struct site *from);
/* Keep the closed store's image, to put it back later. */
void site_keep(struct site *site);
void site_put_back(struct site *site);
/* A site of its own on an image of `from`, which is left alone; not opened. */
void site_on_image(struct site *site, struct site *from, const struct sim_image *image);

/* Everything so far is durable; what comes is in doubt after site_cut. */
void site_mark(struct site *site);
/* The power goes at an event since site_mark; opened again, and settled. */
void site_cut(struct site *site, uint64_t event, enum sim_variant variant, uint64_t seed);
/* Find out which of what happened since site_mark is there. done: all of it must be. */
void site_settle(struct site *site, bool done);

/* ---- contents: site_volume.c ---- */

unsigned site_find(const struct site *site, const char *name);
unsigned site_free_holding(const struct site *site);
int site_volume_create(struct site *site, uint32_t pages, bool encrypted, unsigned key,
                       unsigned *ret_holding);
int site_volume_open(struct site *site, unsigned holding);
int site_volume_close(struct site *site, unsigned holding);
int site_write(struct site *site, unsigned holding, uint32_t page, uint32_t count);
int site_discard(struct site *site, unsigned holding, uint32_t page, uint32_t count);
int site_flush(struct site *site);
/* Fill a tight store that was just made (see tight.h); and, after each write, write some of that
 * over. */
void site_tighten(struct site *site);
int site_squeeze(struct site *site);
/* Which version a page shows; fails the case when it is none that was ever written. */
uint32_t site_page_version(const uint8_t *page);

/* ---- snapshots, copies, keys: site_snapshot.c ---- */

int site_snapshot(struct site *site, unsigned volume, unsigned *ret_holding);
int site_restore(struct site *site, unsigned snapshot, unsigned key, unsigned *ret_holding);
int site_delete(struct site *site, unsigned holding);
int site_rekey(struct site *site, unsigned holding, unsigned key, enum coffer_rekey_depth depth);
int site_recipient(struct site *site, unsigned snapshot, unsigned key, bool add);
/* Begin or go on with a deep re-encrypt (volumes are closed for that), or with the one that is
 * under way: so many steps. BUSY while an interrupted copy stands in the way. */
int site_reencrypt(struct site *site, unsigned holding, unsigned steps, bool *ret_over);

struct site_copy {
    const char *volume, *name; /* NULL: as the source's         */
    unsigned key;              /* SITE_OWN_KEY: the source's    */
    unsigned flags;
    bool keyed;                /* two provider objects, even where the service is one */
    bool blind;                /* keyless: without the right to decrypt               */
    uint64_t stop_at;          /* on_progress stops it at this call (from 1); 0: never */
    void (*during)(void *ctx); /* at each on_progress; may be NULL                     */
    void *ctx;
    uint64_t calls, done_bytes, total_bytes; /* out */
};

/* Copy a snapshot; the holdings follow for 0 and SITE_STOPPED. ret_holding may be NULL. */
int site_copy(struct site *from, unsigned snapshot, struct site *to, struct site_copy *how,
              unsigned *ret_holding);
/* A volume of the snapshot, called how->volume, under how->key. */
int site_restore_as(struct site *site, unsigned snapshot, struct site_copy *how,
                    unsigned *ret_holding);
/* After a copy that failed: the holding that it would be, for site_settle to find out. */
unsigned site_copy_doubtful(struct site *from, unsigned snapshot, struct site *to,
                            const struct site_copy *how);
/* What the copy must give: 0, or EXISTS. */
int site_copy_expected(const struct site *from, unsigned snapshot, const struct site *to,
                       const struct site_copy *how);

/* ---- looking: site_look.c ---- */

/* Every holding is there with its content and opens by its own key alone, and there is no other. */
void site_look(struct site *site);
/* One holding: 0, or the error of the open or of the first read. Wrong data fails the case. */
int site_look_one(struct site *site, unsigned holding, bool own_key_alone);
/* Volumes are closed for it. */
void site_check(struct site *site, unsigned flags);
void site_delete_all(struct site *site);
enum site_presence { SITE_ABSENT, SITE_WHOLE, SITE_COPYING };
enum site_presence site_probe(struct site *site, const struct holding *holding);
/* Whether only this key of the service opens it. */
bool site_opens_by(struct site *site, const struct holding *holding, unsigned key);

#endif
