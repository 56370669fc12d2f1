/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coffer/volume.h - what volume create and import --create share, and how a volume is shown.
 */
#ifndef COF_TOOLS_COFFER_VOLUME_H
#define COF_TOOLS_COFFER_VOLUME_H

#include "session.h"
#include <coffer/keys.h>
#include <jansson.h>

/* Refuse --kms-key-id with --no-storage-encrypted and the like, and a size that no volume can
 * have. Changes nothing. */
int cli_volume_check_kind(const struct cof_tool_call *call);
int cli_volume_check_size(const struct cof_tool_call *call, uint64_t size_bytes);

/* The name is free, and the key can be used, as far as can be told from the store, which is open
 * for reading; or both. key: NULL is the managed default. */
int cli_volume_check_name(struct cli_session *session);
int cli_volume_check_key(struct cli_session *session, const char *key,
                         struct coffer_key_info *ret_key);
int cli_volume_check_new(struct cli_session *session);
/* Make the volume in the open store with these tags (NULL: none), open it with open_flags, pin it.
 * On failure there is none. */
struct cli_tags;
int cli_volume_make(struct cli_session *session, uint64_t size_bytes, const struct cli_tags *tags,
                    unsigned open_flags);
/* Open the volume that was just made as encrypted or not, and pin it; or delete it again. */
int cli_volume_adopt(struct cli_session *session, bool encrypted, unsigned open_flags);
/* Close and delete the volume that this session made, with its pin. Reports nothing: the reason
 * for it has been reported. Returns a library error. */
int cli_volume_unmake(struct cli_session *session);

/* The volume is there, is the one that was pinned, and its key can be had. Opened and closed. */
int cli_volume_check_deletion(struct cli_session *session);

/* "available" and so on, as of the key service's answer now and what the store says. */
const char *cli_volume_status(const struct coffer_volume_info *info);
/* Whether a volume (no snapshot) could not be opened because its key may not be used now. */
bool cli_volume_is_lost(const struct cli_session *session, int error);
/* Note that in the store, which is opened for writing if it can be: a library error. */
COFFER_MUST_CHECK int cli_volume_note_loss(struct cli_session *session);

/* The reference documents' fields, and the lines that people see. */
json_t *cli_volume_fields(const struct cli_session *session, const struct coffer_volume_info *info);
json_t *cli_volume_lines(const struct cli_session *session, const struct coffer_volume_info *info);
/* Print a volume that a verb has made or looked at, with its tags. */
int cli_volume_print(struct cli_session *session, const struct coffer_volume_info *info);

#define CLI_VOLUME_BYTE_FIELDS "Size MappedBytes Data DataKeyBytes DataKeyBytesMax NewSize"

#endif
