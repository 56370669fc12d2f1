/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/query.h - the part of JMESPath that --query takes.
 *
 *   a.b  "quoted name"  [0]  [-1]  [*]  []  *  @            paths, indexes, projections, flatten
 *   [a, b.c]  {Name: a, Other: b}                            multiselect list and hash
 *   [?a == 'x' && !(b > `3`)]                                filters: == != < <= > >= && || !
 *   'raw text'  `json`                                       literals
 *   a | b                                                    pipe: ends a projection
 *   length() keys() values() contains() starts_with() ends_with() sort() join() to_string()
 *   not_null()
 *
 * Meaning as jmespath.org has it; slices, expression references and the other functions are refused
 * with a sentence. Parsing and evaluating both bound their depth, so no query exhausts the stack.
 */
#ifndef COF_TOOLS_COMMON_QUERY_H
#define COF_TOOLS_COMMON_QUERY_H

#include <jansson.h>

#define COF_QUERY_DEPTH_MAX 64

/* A new reference to what query finds in document (JSON null when nothing), or NULL with a
 * sentence in why, which has room for 160 bytes. */
json_t *cof_tool_query(const char *query, json_t *document, char why[160]);

#endif
