/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/tag.h - tags as they are given on the line, and as they are shown.
 */
#ifndef COF_TOOLS_COFFER_TAG_H
#define COF_TOOLS_COFFER_TAG_H

#include "session.h"
#include <jansson.h>

#define CLI_TAGS_MAX COF_TOOL_OPERANDS_MAX /* of one line; more than a volume can have */

struct cli_tags {
    struct coffer_tag tags[CLI_TAGS_MAX]; /* they point into keys, and into the line */
    size_t count;
    char keys[CLI_TAGS_MAX][4 * COFFER_TAG_KEY_CHARACTERS_MAX + 1];
};

/* KEY=VALUE each; the first = divides. The tags are such as the library takes. Reports what is
 * wrong; nothing has been opened then. */
int cli_tags_take(const struct cof_tool_call *call, const char *const *words, size_t count,
                  struct cli_tags *tags);
/* Those of --tag. */
int cli_tags_given(const struct cof_tool_call *call, struct cli_tags *tags);

/* A TagList, [{"Key":..., "Value":...}], of a volume or snapshot in the open store, by its full
 * name. Null, with a note, where they do not read. */
json_t *cli_tags_shown(struct cli_session *session, const char *name);
/* An object of the tags, for people; NULL when there are none. */
json_t *cli_tags_lines(const json_t *list);

#endif
