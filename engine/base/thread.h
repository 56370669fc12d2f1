/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/thread.h - threads of the library's own: they leave all signals to the program's.
 */
#ifndef COF_BASE_THREAD_H
#define COF_BASE_THREAD_H

#include <coffer/coffer.h>
#include <pthread.h>

/* Begin a thread with all signals blocked; the caller joins it. NO_MEMORY: there is none. */
COFFER_MUST_CHECK int cof_thread_start(pthread_t *ret_thread, void *(*run)(void *), void *arg);

#endif
