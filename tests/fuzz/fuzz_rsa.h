/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz/fuzz_rsa.h - a private key of RSA_2048 that was drawn for these tests: what an input of one
 * process was wrapped for, the next has to open, too.
 */
#ifndef TESTS_FUZZ_FUZZ_RSA_H
#define TESTS_FUZZ_FUZZ_RSA_H

#include "common/harness.h"
#include "kms/base64.h"
#include "kms/pair/pair.h"

static const char fuzz_rsa_pkcs8[] =
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCfpo7vaKwnruYhQ0rA7MOcy9/tGAlFyp2YddHJ6S"
    "jg1k2dfRheBRfdEO8EalWAF3yTA5S5bUuowxtPEA8JdV08HfpvKnz4gfI1QKl35EMTNZpUqKNqhS1PE4ny5Zd1DQwJ"
    "cpNIALbrEqtbfc3bdj4AUYeBHAi2/kwRwgj/flP+nwHSVEs7FmZLoqtqW91QPqPch8h/VthR9iUVteFeYnGY2odE/Q"
    "q7QnABidwk1VJmRWWwEO5jZAJuP23BP6zk2C+ppQxfZmqxpbohE2AJtcyo6o7v6H+qNhodQ5rkzTYAjddbXbUuS14E"
    "OSwjNG3a3t87k7eui0NblBl0C+Ab/CMrAgMBAAECggEAFbN3OcBu/j8+QDE8cmL8kqNSfzua2btulpsVTC5/BFOSXf"
    "ZIyfxD6nnIc5Tcpbpg5ZRBXWnSNKYTX+OH7Q+LVTD3VLBgJ7YfgpuVLZsqfuxKBnicgKM1AyBdylWTs9vKfLzv8NlK"
    "rpjCutSr7HPzKOnsKGGeJvmuxLnXrUWyYdQWJF/vq++1OPqMAOYUGLwEXFiakrNhaY8JkLMzSlecahOdfWoaalxyyk"
    "bgUJwNQt1PqBWxaawkUe3bZ0EheNxdehkF+vNSmlwQSD29W8/BD17HSRgfJIv1h1IVV6s+y+q6HJmbMaqPEYqyt2L8"
    "UFAN3h2CjH1BwEXDOMX+SOQYYQKBgQDdX7GgbqgqYHVGzSeDu4mCrgl9RrBYN+cCsV7Kl2261717PeLwB6fczgIdLC"
    "bd+9T5kBlDi+nqRU1YFyt/F76IPXQKJAKOtW91khcbYxzd2udq5PM+VWasV+tT331yUGCK31cE4e2bg49z3owfKCN0"
    "NqrygOGnrIfuxCdkNsT3kQKBgQC4n1Q5GVRxVLJ3NCr7VBWC4KBUnA2xNKqW0EsO1vcgDmMD5O+FUAYiPlXeuyxnXK"
    "hZWSAJzrSrowtuSVgGi+Z7i/+nvU/Bk0h6cQWDjNOWyfSUuYspE7ykYe9gnQ42ESFt9C8oDqpGdewHMnTMx1EEtcj6"
    "OiZNHtH6n4jvc2Lo+wKBgDMiQYNPTCTNtwktpiz1iqPW03ZOd7lI4GFs2vps0/nOj4QCHYNYIVwNccuPQUMRQnaK5G"
    "sHzHZCn8TzRSbMM0SA/WbCPpz8J8y+e/vlfut3/vBgBhel3lt8y2zKOM3I5yPsxsrn7Nx5HQ+knjUsLlRPtFjjkDwM"
    "zDFIudiaFhEhAoGAd/Qlj9fSUrQ6JFND3foa4+c4pOCj0NAsSkLZkbG/7RcL5FrZ+R8ubQ9dUZMBXcMJKsxKkbS5FI"
    "+h/K0wwUgin4EtwXmyGU6tl8hZUcitLVrYS81mCnFlbtSm6HoC4sQsmTk/bmJg5dj2WxLAatDR5iKKi3I+snrk6VbA"
    "bPvmdwMCgYEAuKIu9p5WU+0jQgaLTq3saeMfI7bGqu8KL0w1GvJPA5pgO0o/RloFtFlAMjTfldSj3f3sseoF2HPGME"
    "OlV3GMmIIYC3MJEDVdFYQNXBTv6FLoU34/SWsDGs6CNYjnNTCk6CCQlzT3Wn5NLPudTTGT2VsmtNhFZ0NRamHhBIv7"
    "lSg=";

static inline void fuzz_rsa_half(uint8_t half[COF_PAIR_BYTES_MAX])
{
    uint8_t der[sizeof fuzz_rsa_pkcs8];
    size_t count = 0;
    harness_require(cof_kms_base64_decode(fuzz_rsa_pkcs8, sizeof fuzz_rsa_pkcs8 - 1, der, &count) ==
                            0 &&
                        cof_pair_from_pkcs8(cof_kms_spec_find("RSA_2048"),
                                            (struct cof_kms_bytes){der, count}, half) == 0,
                    "no wrapping key");
}

#endif
