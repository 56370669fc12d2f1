/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/wire/authenticate.h - who signed a request.
 */
#ifndef COF_KMS_WIRE_AUTHENTICATE_H
#define COF_KMS_WIRE_AUTHENTICATE_H

#include "identity/identity.h"
#include "sigv4/sigv4.h"

/*
 * Verify the request's signature by the store's access keys and now. 0: ret_result has the verdict,
 * and, when it is GOOD, ret_caller who it is. Takes the store's lock by itself, for a moment.
 * A refusal of a key that exists is put on record, under the name of its owner; that takes the
 * announcement (batch.h), which the thread must have made.
 */
COFFER_MUST_CHECK int cof_identity_authenticate(struct coffer_keystore *ks,
                                                const struct coffer_kms_http_request *request,
                                                bool *announced,
                                                struct cof_identity_caller *ret_caller,
                                                struct cof_sigv4_result *ret_result);

#endif
