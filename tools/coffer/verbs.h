/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/verbs.h - the verbs: each takes what the line said and returns an exit code, having
 * reported any failure and closed what it opened. main.c has the table that they stand in.
 */
#ifndef COF_TOOLS_COFFER_VERBS_H
#define COF_TOOLS_COFFER_VERBS_H

struct cof_tool_call;

int cli_store_create(struct cof_tool_call *call);
int cli_store_describe(struct cof_tool_call *call);
int cli_store_grow(struct cof_tool_call *call);
int cli_store_shrink(struct cof_tool_call *call);

int cli_volume_create(struct cof_tool_call *call);
int cli_volume_describe(struct cof_tool_call *call);
int cli_volume_list(struct cof_tool_call *call);
int cli_volume_modify(struct cof_tool_call *call);
int cli_volume_resize(struct cof_tool_call *call);
int cli_volume_delete(struct cof_tool_call *call);
int cli_volume_start(struct cof_tool_call *call);
int cli_volume_stop(struct cof_tool_call *call);
int cli_volume_pin(struct cof_tool_call *call);
int cli_volume_import(struct cof_tool_call *call);
int cli_volume_export(struct cof_tool_call *call);
int cli_volume_read(struct cof_tool_call *call);
int cli_volume_write(struct cof_tool_call *call);

int cli_snapshot_create(struct cof_tool_call *call);
int cli_snapshot_list(struct cof_tool_call *call);
int cli_snapshot_describe(struct cof_tool_call *call);
int cli_snapshot_wait(struct cof_tool_call *call);
int cli_snapshot_diff(struct cof_tool_call *call);
int cli_snapshot_restore(struct cof_tool_call *call);
int cli_snapshot_delete(struct cof_tool_call *call);
int cli_snapshot_copy(struct cof_tool_call *call);
int cli_snapshot_add_recipient(struct cof_tool_call *call);
int cli_snapshot_remove_recipient(struct cof_tool_call *call);

int cli_tag_set(struct cof_tool_call *call);
int cli_tag_remove(struct cof_tool_call *call);
int cli_tag_list(struct cof_tool_call *call);

int cli_key_usage(struct cof_tool_call *call);

int cli_rekey(struct cof_tool_call *call);

int cli_check(struct cof_tool_call *call);
int cli_check_nonces(struct cof_tool_call *call); /* check --nonces */
int cli_scrub(struct cof_tool_call *call);
int cli_dump(struct cof_tool_call *call);
int cli_serve(struct cof_tool_call *call);
int cli_bench(struct cof_tool_call *call);

#endif
