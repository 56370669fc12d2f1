/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server/harden.c - what a process that holds keys for others gives up before it opens them.
 */
#include "server/server.h"

#include <linux/capability.h>
#include <malloc.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RECORD_BYTES 12000 /* what is larger are records   */
#define OTHER_FILES 512u   /* the store's, the system's, and sockets that are being refused */

/* With a finite limit MCL_FUTURE would make allocations fail once it is reached, at a time that
 * clients choose; a capable process has no limit. */
static bool may_lock_all(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    struct rlimit limit;
    memset(data, 0, sizeof data);
    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY) {
        return true;
    }
    return syscall(SYS_capget, &header, data) == 0 &&
           (data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective & CAP_TO_MASK(CAP_IPC_LOCK)) != 0;
}

static bool raise_files(rlim_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return false;
    }
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur >= wanted;
}

const char *cof_server_harden(unsigned connections_max)
{
    struct rlimit none = {0, 0};
    const char *missing = NULL;
    (void)umask(077);
    (void)setrlimit(RLIMIT_CORE, &none);
    /* OpenSSL takes a buffer of 16 KiB for each record and gives it back: in the heap, between what
     * stays, 10,000 handshakes leave half of it in holes. */
    (void)mallopt(M_MMAP_THRESHOLD, RECORD_BYTES);
    if (!may_lock_all() || mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) {
        missing =
            "memory other than that of keys may be swapped: LimitMEMLOCK=infinity prevents it";
    }
    if (!raise_files((rlim_t)connections_max + OTHER_FILES)) {
        missing = "the limit on open files is below --max-connections: fewer are served at a time";
    }
    return missing;
}
