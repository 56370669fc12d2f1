/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/thread.c - see thread.h.
 */
#include "base/thread.h"

#include <signal.h>

int cof_thread_start(pthread_t *ret_thread, void *(*run)(void *), void *arg)
{
    sigset_t all, before;
    int failed;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(ret_thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed == 0 ? 0 : COFFER_E_NO_MEMORY;
}
