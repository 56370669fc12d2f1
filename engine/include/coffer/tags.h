/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/tags.h - tags of volumes and snapshots: pairs of a key and a value that people give them.
 *
 * A key is 1 to 128 characters, a value up to 256, in UTF-8 (characters are code points), without
 * control characters. Keys are compared byte by byte, upper and lower case differ, and no two tags
 * of one volume or snapshot have the same. Keys that begin with "aws:", in whatever case, are
 * refused. The tags of what is encrypted are sealed under its volume key, as its name is.
 *
 * A change is one root: before it is durable nothing has changed, after it all has. Included by
 * coffer/coffer.h.
 */
#ifndef COFFER_TAGS_H
#define COFFER_TAGS_H

#include <coffer/error.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COFFER_TAGS_MAX 50 /* of one volume or snapshot */
#define COFFER_TAG_KEY_CHARACTERS_MAX 128
#define COFFER_TAG_VALUE_CHARACTERS_MAX 256

struct coffer_store;
struct coffer_key_provider;

struct coffer_tag {
    const char *key, *value; /* value NULL: as "" */
};

/* Whose tags. */
struct coffer_tags_opts {
    size_t size;
    const char *name;                           /* "VOLUME" or "VOLUME@SNAPSHOT"; open or not */
    const struct coffer_key_provider *provider; /* NULL only for unencrypted ones */
};

/* Whether these are tags, and not too many: INVALID, LIMIT. Of no store; fault says which. */
COFFER_MUST_CHECK int coffer_tags_check(const struct coffer_tag *tags, size_t count,
                                        struct coffer_fault *fault);

/* Add tags; one whose key is there already gets the new value, and where a key is given twice the
 * last one counts. INVALID: a tag is none; LIMIT: more than COFFER_TAGS_MAX; NOT_FOUND; BUSY: a
 * copy that is not whole; READ_ONLY; NO_SPACE; or why its key can't be had. */
COFFER_MUST_CHECK int coffer_tags_set(struct coffer_store *store,
                                      const struct coffer_tags_opts *opts,
                                      const struct coffer_tag *tags, size_t count,
                                      struct coffer_fault *fault);

/* Take the tags of these keys away; a key that is not there is no error. With count 0 all go, also
 * those that are damaged and can't be read. */
COFFER_MUST_CHECK int coffer_tags_remove(struct coffer_store *store,
                                         const struct coffer_tags_opts *opts,
                                         const char *const *keys, size_t count,
                                         struct coffer_fault *fault);

/* Visit the tags in the order of their keys' bytes. CORRUPT or TAMPER when they are damaged, are
 * another's, or are older than the volume or snapshot says. visit may call anything of the store;
 * a non-zero return stops and is returned. */
COFFER_MUST_CHECK int coffer_tags_visit(struct coffer_store *store,
                                        const struct coffer_tags_opts *opts,
                                        int (*visit)(void *ctx, const struct coffer_tag *tag),
                                        void *ctx, struct coffer_fault *fault);

#ifdef __cplusplus
}
#endif
#endif
