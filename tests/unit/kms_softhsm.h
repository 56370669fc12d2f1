/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms_softhsm.h - PKCS#11 tokens by SoftHSM, in a directory of their own, which can be taken away
 * and put back.
 */
#ifndef KMS_SOFTHSM_H
#define KMS_SOFTHSM_H

#include "kms_openssl.h"

struct softhsm {
    struct kms_openssl *o; /* the directory */
    const char *module;    /* NULL: not installed */
    char uri[600];
};

static inline const char *softhsm_module(void)
{
    static const char *const places[] = {"/usr/lib/softhsm/libsofthsm2.so",
                                         "/usr/lib64/softhsm/libsofthsm2.so",
                                         "/usr/lib/pkcs11/libsofthsm2.so"};
    size_t i;

    if (getenv("SOFTHSM2_MODULE") != NULL) {
        return getenv("SOFTHSM2_MODULE");
    }
    for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (access(places[i], R_OK) == 0) {
            return places[i];
        }
    }
    return NULL;
}

/* A token `label` whose PIN is 12345678, named by h->uri with that object. */
static inline void softhsm_token(struct softhsm *h, const char *label, const char *object)
{
    openssl_run(h->o, "softhsm2-util --init-token --free --label %s --pin 12345678 --so-pin 4321",
                label);
    snprintf(h->uri, sizeof(h->uri),
             "pkcs11:token=%s;object=%s?module-path=%s&pin-source=file:%s/pin", label, object,
             h->module, h->o->directory);
}

static inline void softhsm_setup(struct softhsm *h)
{
    char path[160], text[300];
    void *part = NULL;

    memset(h, 0, sizeof(*h));
    openssl_setup(&part);
    h->o = part;
    h->module = softhsm_module();
    if (h->module == NULL || system("softhsm2-util --version >/dev/null 2>&1") != 0) {
        h->module = NULL;
        return;
    }
    openssl_path(h->o, "conf", path);
    snprintf(text, sizeof(text), "directories.tokendir = %s/tokens\nlog.level = ERROR\n",
             h->o->directory);
    openssl_write(h->o, "conf", text, strlen(text));
    openssl_run(h->o, "mkdir tokens");
    setenv("SOFTHSM2_CONF", path, 1);
    openssl_write(h->o, "pin", "12345678\n", 9);
    openssl_run(h->o, "chmod 600 pin");
}

static inline void softhsm_teardown(struct softhsm *h)
{
    void *part = h->o;

    (void)openssl_try(h->o, "rm -rf tokens away");
    openssl_teardown(&part);
}

static inline void softhsm_take_away(struct softhsm *h)
{
    openssl_run(h->o, "mv tokens away && mkdir tokens");
}

static inline void softhsm_put_back(struct softhsm *h)
{
    openssl_run(h->o, "rmdir tokens && mv away tokens");
}

/* At the beginning of a case. */
#define SOFTHSM_OR_SKIP(h)                                                   \
    do {                                                                     \
        if ((h)->module == NULL) {                                           \
            print_message("skipped: SoftHSM (softhsm2) is not installed\n"); \
            skip();                                                          \
        }                                                                    \
    } while (0)

#endif
