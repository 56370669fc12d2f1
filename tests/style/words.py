#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A line knows its room: each outside library, and each side effect that a library must not have,
is spelt in one room only. Comments and string literals do not count."""
import functools
import re
import sys

import tree

RULES = [
    # what, where it may stand, the words
    ("OpenSSL", r"engine/crypto/|kms/(?:seal|pair/|token/|server/tls|client/tls)",
     r"\bEVP_\w+|\bOPENSSL_\w+|\bRAND_\w+|\bHMAC\b|<openssl/"),
    ("intel-ipsec-mb", r"engine/crypto/ipsec_mb\.c$",
     r"\bIMB_\w+|\bimb_\w+|\binit_mb_mgr_\w+|\balloc_mb_mgr\b|<intel-ipsec-mb\.h>"),
    ("io_uring", r"engine/ring/", r"\bio_uring_\w+|<liburing\.h>|\bIORING_\w+"),
    ("xxHash", r"engine/base/", r"\bXXH\w*|<xxhash\.h>"),
    ("SQLite", r"kms/store|tools/sqlite/|bench/sqlite", r"\bsqlite3\w*|<sqlite3\.h>|\bSQLITE_\w+"),
    ("Argon2", r"kms/(?:root|seal)",
     r"\bargon2(?:i|d|id)?_(?:hash|ctx|verify)\w*|\bArgon2_\w+|<argon2\.h>"),
    ("libevent", r"kms/server/",
     r"\b(?:evhttp|evbuffer|bufferevent|evconnlistener|evutil|event_base)_\w+|<event2/"),
    ("libcurl", r"kms/client/|bench/kms/", r"\bcurl_\w+|\bCURL\w+|<curl/"),
    ("endian conversion", r"engine/format/",
     r"\bhto[lb]e\d+\b|\b[lb]e\d+toh\b|\bhton[ls]\b|\bntoh[ls]\b|__builtin_bswap\d+|<endian\.h>"),
    ("printing and exiting", r"tools/|bench/",
     r"\bstd(?:err|out)\b|\b_?exit\s*\(|\b(?:v?f?printf|vdprintf|dprintf|puts|perror)\s*\("),
    ("the environment", r"tools/|bench/", r"\b(?:secure_)?getenv\s*\("),
    ("the heap", r"engine/base/|kms/|tools/|bench/",
     r"\b(?:malloc|calloc|realloc|strdup|strndup|aligned_alloc|posix_memalign)\s*\("),
]
RULES = [(what, re.compile(where), re.compile(words)) for what, where, words in RULES]


@functools.lru_cache(maxsize=None)  # each control looks at all of the other files again
def strangers(path, text):
    source = tree.code(text)
    found = []
    for what, where, words in RULES:
        if where.match(path):
            continue
        for match in words.finditer(source):
            line = source.count("\n", 0, match.start()) + 1
            found.append(f"{path}:{line}: {what} does not belong here: {match.group(0)}")
    return found


def check(root):
    found = []
    for path in tree.files(root, ("engine", "kms", "tools", "bench"), (".c", ".h")):
        found += strangers(path, tree.text(root, path))
    return found


SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
CONTROLS = [
    ("engine/lane/planted.c", SPDX + "int f(void) { return EVP_CIPHER_CTX_new() != 0; }\n"),
    ("engine/volume/planted.h", SPDX + "#include <openssl/evp.h>\n"),
    ("engine/crypto/planted.c", SPDX + "#include <intel-ipsec-mb.h>\n"),
    ("engine/segdev/planted.c", SPDX + "void f(void) { io_uring_submit(0); }\n"),
    ("engine/lane/planted2.c", SPDX + "long f(void) { return XXH3_64bits(0, 0); }\n"),
    ("kms/client_planted.c", SPDX + "void f(void) { sqlite3_close(0); }\n"),
    ("kms/planted3.c", SPDX + "void f(void) { evbuffer_new(); }\n"),
    ("kms/wire/planted.c", SPDX + "void f(void) { curl_easy_init(); }\n"),
    ("kms/planted.c", SPDX + "void f(void) { argon2id_hash_raw(); }\n"),
    ("engine/map/planted.c", SPDX + "long f(long x) { return htole64(x); }\n"),
    ("engine/base/planted.c", SPDX + 'void f(void) { fprintf(stderr, "x"); }\n'),
    ("kms/planted2.c", SPDX + "void f(void) { exit(1); }\n"),
    ("engine/base/planted3.c", SPDX + 'char *f(void) { return getenv("X"); }\n'),
    ("engine/ring/planted.c", SPDX + "void *f(void) { return malloc(1); }\n"),
]

if __name__ == "__main__":
    sys.exit(tree.main(check, CONTROLS, (("engine", "kms", "tools"), (".c", ".h"), 20)))
