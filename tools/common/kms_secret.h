/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/kms_secret.h - where a passphrase comes from: a file, a descriptor, a command, a prompt.
 *
 * Bytes go by read(2) into locked memory and nowhere else. One thread.
 */
#ifndef COF_TOOLS_COMMON_KMS_SECRET_H
#define COF_TOOLS_COMMON_KMS_SECRET_H

#include <coffer/keystore.h>

/* At most one member of file, fd and command is set; none means the prompt. */
struct cof_tool_secret_source {
    const char *prompt;  /* the program's name */
    const char *path;    /* of the key store, for the prompt */
    const char *file;
    int fd;              /* -1: none           */
    const char *command;
    const char *root_key_file;
    struct coffer_fault *fault; /* filled with a sentence on failure */
};

/* A coffer_passphrase_fn; ctx is a struct cof_tool_secret_source. */
int cof_tool_secret_read(void *ctx, int creating, uint8_t *buffer, size_t capacity,
                         size_t *ret_bytes);

/* Whether there is a terminal that a prompt could use. */
int cof_tool_secret_terminal(void);

/* Fill fault with error and a sentence, and return error. */
int cof_tool_secret_fail(struct coffer_fault *fault, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
