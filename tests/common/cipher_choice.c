/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/cipher_choice.c - COFFER_TEST_CIPHER: which back end any test program runs its pages by.
 *
 * evp, ipsec-mb, or narrow: ipsec-mb with its 256-bit code. Linked into every test program, and
 * read before main; another word ends the program. Where ipsec-mb isn't built in, or the processor
 * can't run it, the program runs with EVP all the same.
 */
#include "base/testhook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((constructor)) static void choose(void)
{
    static const char *const words[] = {"auto", "evp", "ipsec-mb", "narrow"};
    const char *word = getenv("COFFER_TEST_CIPHER");
    unsigned i = 0;
    if (word == NULL) {
        return;
    }
    while (i < sizeof words / sizeof words[0] && strcmp(word, words[i]) != 0) {
        i++;
    }
    if (i == sizeof words / sizeof words[0]) {
        fprintf(stderr, "COFFER_TEST_CIPHER: %s is none of auto, evp, ipsec-mb, narrow\n", word);
        exit(2);
    }
    cof_test_cipher = (enum cof_test_cipher)i;
}
