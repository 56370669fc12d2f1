/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/site_tight.c - sites whose stores have next to no free segments; see tight.h and site.h.
 */
#include "common/harness.h"
#include "common/site.h"

#include <string.h>

#define SEGMENT_PAGES 250u /* about as many as the log has room for     */
#define HOT_PAGES 100u     /* of each ballast volume, at its beginning  */
#define COLD_PAGES 40u     /* written once, in each segment             */
#define FREE_SEGMENTS 9u   /* and the cleaner begins                    */
#define RUN_PAGES 24u

static struct coffer_store_info info_of(struct site *site)
{
    struct coffer_store_info info = {.size = sizeof info};
    must(site, coffer_store_info_get(site->store, &info));
    return info;
}

static void write_stretch(struct site *site, unsigned volume, uint32_t first)
{
    uint32_t cold = COLD_PAGES, hot = SEGMENT_PAGES - COLD_PAGES;
    while (cold > 0 || hot > 0) {
        uint32_t count = 1 + realm_pick(site->realm, RUN_PAGES);
        if (cold > 0 && realm_pick(site->realm, SEGMENT_PAGES) < COLD_PAGES) {
            count = count < cold ? count : cold;
            must(site, site_write(site, volume, first + COLD_PAGES - cold, count));
            cold -= count;
        } else if (hot > 0) {
            count = count < hot ? count : hot;
            must(site, site_write(site, volume, realm_pick(site->realm, HOT_PAGES - count), count));
            hot -= count;
        }
    }
}

void site_tighten(struct site *site)
{
    unsigned volumes[SITE_BALLASTS];
    site->squeezing = true;
    for (unsigned i = 0; i < SITE_BALLASTS; i++) {
        must(site, site_volume_create(site, SITE_PAGES_MAX, i == 0, 1, &volumes[i]));
        memcpy(site->ballast[i], site->holdings[volumes[i]].name, SITE_NAME_BYTES);
    }
    for (uint32_t i = 0;
         info_of(site).segments_free > FREE_SEGMENTS && info_of(site).cleaned_segments == 0; i++) {
        uint32_t first = HOT_PAGES + i / SITE_BALLASTS * COLD_PAGES;
        harness_require(first + COLD_PAGES <= SITE_PAGES_MAX, "site: the store is never tight");
        write_stretch(site, volumes[i % SITE_BALLASTS], first);
    }
    must(site, site_flush(site));
    site->squeezing = false;
}

int site_squeeze(struct site *site)
{
    unsigned at = site_find(site, site->ballast[realm_pick(site->realm, SITE_BALLASTS)]);
    int error;
    if (at == SITE_NONE || site->holdings[at].snapshot) {
        return 0;
    }
    if (site->realm->within && (site->holdings[at].handle == NULL ||
                                site->pending_count + RUN_PAGES > SITE_PENDING_MAX)) {
        return 0;
    }
    site->squeezing = true;
    error = site_write(site, at, realm_pick(site->realm, HOT_PAGES - RUN_PAGES), RUN_PAGES);
    site->squeezing = false;
    return error;
}
