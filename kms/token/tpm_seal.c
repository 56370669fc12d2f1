/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/token/tpm_seal.c - sealing and unsealing by a TPM 2.0, through tpm2-tss's ESYS.
 *
 * Invariants: the secret and the auth value cross the bus in a session that encrypts them, salted
 * by the primary; what the library holds of them is overwritten before it is freed, since it does
 * not wipe; objects and sessions are flushed on every path. One thread at a time.
 */
#include "tpm_internal.h"

#include "kms/secret.h"

#include <string.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>

#define NO_SESSIONS ESYS_TR_NONE, ESYS_TR_NONE
#define SWEEP_BYTES 48u /* covers the answer of an unseal */
#define FORMAT_ONE 0x80u
#define FORMAT_ONE_MASK 0xbfu

struct tpm {
    TSS2_TCTI_CONTEXT *tcti;
    ESYS_CONTEXT *esys;
    ESYS_TR primary;
    ESYS_TR session;
    ESYS_TR object;
};

/* Owner's primary: a storage key on P-256. Another template would be another key. */
static const TPM2B_PUBLIC primary_template = {
    .publicArea = {
        .type = TPM2_ALG_ECC,
        .nameAlg = TPM2_ALG_SHA256,
        .objectAttributes = TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_RESTRICTED |
                            TPMA_OBJECT_DECRYPT | TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                            TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_NODA,
        .parameters.eccDetail = {.symmetric = {.algorithm = TPM2_ALG_AES,
                                               .keyBits.aes = 128,
                                               .mode.aes = TPM2_ALG_CFB},
                                 .scheme.scheme = TPM2_ALG_NULL,
                                 .curveID = TPM2_ECC_NIST_P256,
                                 .kdf.scheme = TPM2_ALG_NULL},
    }};

/* Guesses of the auth value count against the TPM's lockout, as NODA is not set. */
static const TPM2B_PUBLIC sealed_template = {
    .publicArea = {.type = TPM2_ALG_KEYEDHASH,
                   .nameAlg = TPM2_ALG_SHA256,
                   .objectAttributes =
                       TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT,
                   .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL}};

/* ---- faults ------------------------------------------------------------------------------ */

static int error_of(TSS2_RC rc)
{
    TSS2_RC code = rc & 0xfffu;

    if ((rc & TSS2_RC_LAYER_MASK) != TSS2_TPM_RC_LAYER) {
        return COFFER_E_KEY_UNREACHABLE;
    }
    if ((code & FORMAT_ONE) != 0) {
        code &= FORMAT_ONE_MASK;
    }
    switch (code) {
    case TPM2_RC_AUTH_FAIL:
    case TPM2_RC_BAD_AUTH:
    case TPM2_RC_LOCKOUT:
        return COFFER_E_PASSPHRASE;
    case TPM2_RC_INTEGRITY:
        return COFFER_E_TAMPER;
    default:
        return COFFER_E_KEY_UNREACHABLE;
    }
}

static int say(struct coffer_fault *fault, TSS2_RC rc, const char *what)
{
    return rc == TSS2_RC_SUCCESS ? 0
                                 : cof_kms_fault(fault, error_of(rc), "the TPM did not %s: %s",
                                                 what, Tss2_RC_Decode(rc));
}

/* ---- the TPM ----------------------------------------------------------------------------- */

static TSS2_RC make_primary(struct tpm *tpm)
{
    TPM2B_SENSITIVE_CREATE sensitive = {0};
    TPM2B_DATA outside = {0};
    TPML_PCR_SELECTION pcrs = {0};
    TPM2B_PUBLIC *public_half = NULL;
    TPM2B_CREATION_DATA *data = NULL;
    TPM2B_DIGEST *hash = NULL;
    TPMT_TK_CREATION *ticket = NULL;
    TSS2_RC rc = Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, NO_SESSIONS,
                                    &sensitive, &primary_template, &outside, &pcrs, &tpm->primary,
                                    &public_half, &data, &hash, &ticket);

    Esys_Free(public_half);
    Esys_Free(data);
    Esys_Free(hash);
    Esys_Free(ticket);
    return rc;
}

/* A session that authorizes and encrypts the first parameter of both ways. */
static TSS2_RC start_session(struct tpm *tpm)
{
    const TPMT_SYM_DEF cipher = {
        .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
    const TPMA_SESSION attributes =
        TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT | TPMA_SESSION_CONTINUESESSION;
    TSS2_RC rc =
        Esys_StartAuthSession(tpm->esys, tpm->primary, ESYS_TR_NONE, ESYS_TR_NONE, NO_SESSIONS,
                              NULL, TPM2_SE_HMAC, &cipher, TPM2_ALG_SHA256, &tpm->session);

    return rc == TSS2_RC_SUCCESS
               ? Esys_TRSess_SetAttributes(tpm->esys, tpm->session, attributes, 0xff)
               : rc;
}

static void leave(struct tpm *tpm)
{
    if (tpm->object != ESYS_TR_NONE) {
        (void)Esys_FlushContext(tpm->esys, tpm->object);
    }
    if (tpm->session != ESYS_TR_NONE) {
        (void)Esys_FlushContext(tpm->esys, tpm->session);
    }
    if (tpm->primary != ESYS_TR_NONE) {
        (void)Esys_FlushContext(tpm->esys, tpm->primary);
    }
    Esys_Finalize(&tpm->esys);
    Tss2_TctiLdr_Finalize(&tpm->tcti);
}

/* Nothing is held on failure. */
static int reach(const char *tcti, struct tpm *tpm, struct coffer_fault *fault)
{
    TSS2_RC rc;

    memset(tpm, 0, sizeof(*tpm));
    tpm->primary = tpm->session = tpm->object = ESYS_TR_NONE;
    rc = Tss2_TctiLdr_Initialize(tcti, &tpm->tcti);
    if (rc != TSS2_RC_SUCCESS) {
        return say(fault, rc, "answer");
    }
    rc = Esys_Initialize(&tpm->esys, tpm->tcti, NULL);
    if (rc == TSS2_RC_SUCCESS) {
        rc = make_primary(tpm);
    }
    if (rc == TSS2_RC_SUCCESS) {
        rc = start_session(tpm);
    }
    if (rc != TSS2_RC_SUCCESS) {
        leave(tpm);
    }
    return say(fault, rc, "make its primary key");
}

/* ---- sealing ----------------------------------------------------------------------------- */

static void take_auth(TPM2B_AUTH *to, struct cof_kms_bytes auth)
{
    to->size = (UINT16)auth.length_bytes;
    memcpy(to->buffer, auth.at, auth.length_bytes);
}

static TSS2_RC create(struct tpm *tpm, const TPM2B_SENSITIVE_CREATE *sensitive,
                      TPM2B_PUBLIC **ret_public, TPM2B_PRIVATE **ret_private)
{
    TPM2B_DATA outside = {0};
    TPML_PCR_SELECTION pcrs = {0};
    TPM2B_CREATION_DATA *data = NULL;
    TPM2B_DIGEST *hash = NULL;
    TPMT_TK_CREATION *ticket = NULL;
    TSS2_RC rc =
        Esys_Create(tpm->esys, tpm->primary, tpm->session, NO_SESSIONS, sensitive, &sealed_template,
                    &outside, &pcrs, ret_private, ret_public, &data, &hash, &ticket);

    Esys_Free(data);
    Esys_Free(hash);
    Esys_Free(ticket);
    return rc;
}

/* The library keeps its last input: another one of the same size takes its place. */
static void forget_input(struct tpm *tpm, TPM2B_SENSITIVE_CREATE *sensitive)
{
    TPM2B_PUBLIC *public_half = NULL;
    TPM2B_PRIVATE *private_half = NULL;

    memset(sensitive->sensitive.userAuth.buffer, 0, sizeof(sensitive->sensitive.userAuth.buffer));
    memset(sensitive->sensitive.data.buffer, 0, sizeof(sensitive->sensitive.data.buffer));
    (void)create(tpm, sensitive, &public_half, &private_half);
    Esys_Free(public_half);
    Esys_Free(private_half);
}

static TSS2_RC marshal(const TPM2B_PUBLIC *public_half, const TPM2B_PRIVATE *private_half,
                       uint8_t *sealed, size_t *bytes)
{
    size_t at = 0;
    TSS2_RC rc = Tss2_MU_TPM2B_PUBLIC_Marshal(public_half, sealed, COF_TPM_SEALED_BYTES_MAX, &at);

    if (rc == TSS2_RC_SUCCESS) {
        rc = Tss2_MU_TPM2B_PRIVATE_Marshal(private_half, sealed, COF_TPM_SEALED_BYTES_MAX, &at);
    }
    *bytes = at;
    return rc;
}

int cof_tpm_seal(const char *tcti, struct cof_kms_bytes auth,
                 const uint8_t secret[COF_TPM_SECRET_BYTES],
                 uint8_t ret_sealed[COF_TPM_SEALED_BYTES_MAX], size_t *ret_sealed_bytes,
                 struct coffer_fault *fault)
{
    TPM2B_SENSITIVE_CREATE sensitive = {.sensitive.data.size = COF_TPM_SECRET_BYTES};
    TPM2B_PUBLIC *public_half = NULL;
    TPM2B_PRIVATE *private_half = NULL;
    struct tpm tpm;
    TSS2_RC rc;
    int error = reach(tcti, &tpm, fault);

    if (error != 0) {
        return error;
    }
    take_auth(&sensitive.sensitive.userAuth, auth);
    memcpy(sensitive.sensitive.data.buffer, secret, COF_TPM_SECRET_BYTES);
    rc = create(&tpm, &sensitive, &public_half, &private_half);
    forget_input(&tpm, &sensitive);
    if (rc == TSS2_RC_SUCCESS) {
        rc = marshal(public_half, private_half, ret_sealed, ret_sealed_bytes);
    }
    Esys_Free(public_half);
    Esys_Free(private_half);
    leave(&tpm);
    return say(fault, rc, "seal");
}

/* ---- unsealing --------------------------------------------------------------------------- */

static int load(struct tpm *tpm, struct cof_kms_bytes sealed, struct coffer_fault *fault)
{
    TPM2B_PUBLIC public_half = {0};
    TPM2B_PRIVATE private_half = {0};
    size_t at = 0;
    TSS2_RC rc = Tss2_MU_TPM2B_PUBLIC_Unmarshal(sealed.at, sealed.length_bytes, &at, &public_half);

    if (rc == TSS2_RC_SUCCESS) {
        rc = Tss2_MU_TPM2B_PRIVATE_Unmarshal(sealed.at, sealed.length_bytes, &at, &private_half);
    }
    if (rc != TSS2_RC_SUCCESS || at != sealed.length_bytes) {
        return cof_kms_fault(fault, COFFER_E_TAMPER, "what the TPM sealed was altered");
    }
    rc = Esys_Load(tpm->esys, tpm->primary, tpm->session, NO_SESSIONS, &private_half, &public_half,
                   &tpm->object);
    if (rc != TSS2_RC_SUCCESS && error_of(rc) == COFFER_E_TAMPER) {
        return cof_kms_fault(fault, COFFER_E_TAMPER,
                             "this is not what this TPM sealed: another TPM's, or altered");
    }
    return say(fault, rc, "load what it sealed");
}

/* The answer lies in the library's buffer: random bytes take its place. */
static void forget_output(struct tpm *tpm)
{
    TPM2B_DIGEST *random = NULL;

    (void)Esys_GetRandom(tpm->esys, ESYS_TR_NONE, NO_SESSIONS, SWEEP_BYTES, &random);
    Esys_Free(random);
}

/* The session keeps the auth value behind its own key: zeros, authorizing the primary, take its
 * place. To an HMAC trailing zeros are no part of a key, so the TPM finds nothing wrong. */
static void forget_auth(struct tpm *tpm)
{
    const TPM2B_AUTH zeros = {.size = COF_TPM_AUTH_BYTES_MAX};
    TPM2B_SENSITIVE_CREATE nothing = {.sensitive.data.size = COF_TPM_SECRET_BYTES};

    (void)Esys_TR_SetAuth(tpm->esys, tpm->primary, &zeros);
    forget_input(tpm, &nothing);
}

static TSS2_RC unseal(struct tpm *tpm, struct cof_kms_bytes auth, uint8_t *ret_secret)
{
    TPM2B_SENSITIVE_DATA *data = NULL;
    TPM2B_AUTH value = {0};
    TSS2_RC rc;

    take_auth(&value, auth);
    rc = Esys_TR_SetAuth(tpm->esys, tpm->object, &value);
    if (rc == TSS2_RC_SUCCESS) {
        rc = Esys_Unseal(tpm->esys, tpm->object, tpm->session, NO_SESSIONS, &data);
    }
    cof_kms_wipe(&value, sizeof(value));
    (void)Esys_TR_SetAuth(tpm->esys, tpm->object, &value);
    forget_auth(tpm);
    forget_output(tpm);
    if (rc == TSS2_RC_SUCCESS && data->size == COF_TPM_SECRET_BYTES) {
        memcpy(ret_secret, data->buffer, COF_TPM_SECRET_BYTES);
    } else if (rc == TSS2_RC_SUCCESS) {
        rc = TPM2_RC_INTEGRITY;
    }
    if (data != NULL) {
        cof_kms_wipe(data, sizeof(*data));
    }
    Esys_Free(data);
    return rc;
}

int cof_tpm_unseal(const char *tcti, struct cof_kms_bytes auth, struct cof_kms_bytes sealed,
                   uint8_t ret_secret[COF_TPM_SECRET_BYTES], struct coffer_fault *fault)
{
    struct tpm tpm;
    int error = reach(tcti, &tpm, fault);

    if (error != 0) {
        return error;
    }
    error = load(&tpm, sealed, fault);
    if (error == 0) {
        error = say(fault, unseal(&tpm, auth, ret_secret), "unseal");
    }
    leave(&tpm);
    return error;
}
