/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/output.h - results on standard output, as --output and --query ask.
 *
 *   json   indented, keys in the order they were made, numbers exact
 *   text   tab separated, objects' scalars in the order of their names, TRUE, FALSE, None;
 *          nested objects and lists on lines of their own that begin with their name
 *   table  for people: "Name: value" lines for an object, columns for a list of objects
 *
 * Without --output it is table, or text when --query is given. A byte count is shown to people as
 * KiB, MiB and so on when its name is one of view->byte_fields; json and text keep the number.
 *
 * A reading verb has one versioned schema: view->schema_version puts "Version" first in the json
 * object; 0 prints the value as it is (the AWS shapes of cofferkms). A list is printed as
 * {"Version": 1, NAME: [...]}. A query on a list that begins with '[' sees the list, any other the
 * object around it; on a single object, one that begins with '*' or with NAME sees {NAME: [object]}
 * (so that the reference documents' `*[].{A:A}` works on describe), any other the object.
 */
#ifndef COF_TOOLS_COMMON_OUTPUT_H
#define COF_TOOLS_COMMON_OUTPUT_H

#include "args.h"
#include <jansson.h>

struct cof_tool_view {
    unsigned schema_version;   /* 0: none                                                       */
    const char *list_name;     /* NULL: the value is no member of a list                        */
    const char *columns;       /* columns of a table of objects, separated by blanks; NULL: all */
    const char *byte_fields;   /* names whose numbers are bytes, separated by blanks; or NULL   */
    const char *form;          /* without --output and --query; NULL: table                     */
    json_t *people;            /* lines or rows for table output in place of value; or NULL.
                                * Stolen. Not used when --query is given.                       */
};

/* Print value (stolen; NULL is reported as no memory); returns the exit code. view may be NULL. */
int cof_tool_print(const struct cof_tool_call *call, json_t *value,
                   const struct cof_tool_view *view);

/* Whether --output json was asked for. */
bool cof_tool_wants_json(const struct cof_tool_call *call);

/* Flush standard output and report a failure to write it (a full disk behind a redirect). */
int cof_tool_finish_output(const struct cof_tool_call *call);

/* `1.5 GiB`; buffer has room for 32 bytes. Returns buffer. */
const char *cof_tool_people_bytes(uint64_t bytes, char buffer[32]);

#endif
