/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/testhook.h - hooks of the test build: a recorder of seals, and ways to break the engine.
 *
 * Compiled only with COF_TEST_HOOKS, which the installed library never has: there the macros are
 * constants and no key byte has a way out. Each harness must catch each break it is meant for.
 */
#ifndef COF_BASE_TESTHOOK_H
#define COF_BASE_TESTHOOK_H

#include <stdint.h>

enum cof_break {
    COF_BREAK_NONE = 0,
    COF_BREAK_DROP_FLUSH,      /* a flush succeeds without a sync of the device      */
    COF_BREAK_FLUSH_REACHED,   /* a flush covers only what is on the device already  */
    COF_BREAK_WRITE_BACK,      /* every write completes in the log's memory          */
    COF_BREAK_SKIP_TAG,        /* a page whose tag is wrong is returned all the same */
    COF_BREAK_REUSE_NONCE,     /* each extent has the same uuid and number in its subkey */
    COF_BREAK_IGNORE_IO_ERROR, /* a failed log write counts as done                  */
    COF_BREAK_SKIP_CHAIN,      /* replay does not check the volume's chain           */
    COF_BREAK_TRUST_EPOCH,     /* the anchor takes any root of a higher epoch for newer */
    COF_BREAK_EARLY_FREE,      /* segments are reused before the next root is durable */
    COF_BREAK_SKIP_CUT,        /* what a snapshot holds dies when the volume overwrites it */
    COF_BREAK_COPY_SHORT,      /* a copy leaves out the first extent behind its base's cut */
    COF_BREAK_COPY_GREEDY,     /* a copy takes the segments that checkpoints need, too */
    COF_BREAK_KEEP_INTERIM,    /* what an interrupted re-sealing left stays */
    COF_BREAK_CLEAN_EARLY,     /* moved pages are published before the device has them */
    COF_BREAK_CLEAN_FREE,      /* a victim is used again before a root let it go */
    COF_BREAK_CLEAN_LOSE,      /* a move leaves out a page that lives */
    COF_BREAK_MISCOUNT,        /* a move counts a block too many for each page */
    COF_BREAK_SHRINK_EARLY,    /* the device is cut before the smaller store's root is durable */
    COF_BREAK_KEEP_LEAVING,    /* a deep re-encrypt leaves the old data keys in the tables */
    COF_BREAK_UNLISTED,        /* it seals under data keys that no table has */
    COF_BREAK_SAME_UUID,       /* what it seals anew keeps its extent uuid */
    COF_BREAK_COPY_STALE,      /* a copy takes a base whose pages were sealed anew */
    COF_BREAK_KNOWN_ANSWER,    /* ipsec-mb's known answers differ */
    COF_BREAK_STOP_EARLY       /* a volume that loses its key stops without a checkpoint */
};

/* What stands in the place of the choice by the processor; NARROW is ipsec-mb with its 256-bit
 * code, whatever else the processor could. Set before the first store of the process. */
enum cof_test_cipher {
    COF_TEST_CIPHER_AUTO = 0,
    COF_TEST_CIPHER_EVP,
    COF_TEST_CIPHER_IPSEC_MB,
    COF_TEST_CIPHER_NARROW
};

#ifdef COF_TEST_HOOKS
extern enum cof_test_cipher cof_test_cipher;
#define COF_TEST_CIPHER cof_test_cipher
extern enum cof_break cof_test_break;
/* Called for every AES-GCM seal of any kind, with the key and the whole nonce. NULL: none. */
extern void (*cof_test_on_seal)(const uint8_t key[32], const uint8_t nonce[12]);
#define COF_BROKEN(what) (cof_test_break == COF_BREAK_##what)
#else
#define COF_TEST_CIPHER COF_TEST_CIPHER_AUTO
#define COF_BROKEN(what) (0)
#endif

#endif
