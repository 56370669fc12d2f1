/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/kms/disk.c - the recorder, and the images.
 *
 * A file's bytes are durable when it is synced after them; that it exists, or is gone, when its
 * directory is. What isn't durable may be there or not, each event for itself, in order.
 */
#include "disk.h"

#include "common/harness.h"
#include "common/prng.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const cut_names[CUT_VARIANTS] = {"all", "none", "subset", "torn"};

#define FILES_MAX 16u
#define EVENTS_MAX (1u << 20)
#define PIECE 512u /* a sector */

enum kind { CREATED, WRITTEN, CUT_SHORT, UNLINKED, SYNCED, DIRECTORY_SYNCED };

struct event {
    enum kind kind;
    unsigned file;
    uint64_t offset, length; /* CUT_SHORT: length */
    uint8_t *bytes;
};

static struct {
    bool on;
    char directory[PATH_MAX];
    char names[FILES_MAX][64];
    uint8_t *bytes[FILES_MAX]; /* as they were at the beginning; NULL: it wasn't there */
    uint64_t length[FILES_MAX];
    bool began[FILES_MAX];
    unsigned files;
    struct event *events;
    uint64_t count;
} disk;

/* ---- recording --------------------------------------------------------------------------- */

/* The file's number, or FILES_MAX for one that is none of ours. */
static unsigned file_of(const char *path)
{
    size_t length = strlen(disk.directory);
    const char *name = path + length + 1;
    if (!disk.on || strncmp(path, disk.directory, length) != 0 || path[length] != '/' ||
        strchr(name, '/') != NULL || strstr(name, "-shm") != NULL) {
        return FILES_MAX;
    }
    for (unsigned i = 0; i < disk.files; i++) {
        if (strcmp(disk.names[i], name) == 0) {
            return i;
        }
    }
    harness_require(disk.files < FILES_MAX && strlen(name) < sizeof disk.names[0],
                    "too many files: %s", name);
    strcpy(disk.names[disk.files], name);
    return disk.files++;
}

static bool path_of(int fd, char path[PATH_MAX])
{
    char link[64];
    ssize_t length;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = '\0';
    return length > 0;
}

static void note(enum kind kind, unsigned file, uint64_t offset, uint64_t length, const void *bytes)
{
    struct event *event = &disk.events[disk.count];
    harness_require(disk.count < EVENTS_MAX, "too many events");
    *event = (struct event){kind, file, offset, length, NULL};
    if (bytes != NULL) {
        event->bytes = malloc(length + 1);
        harness_require(event->bytes != NULL, "no memory");
        memcpy(event->bytes, bytes, length);
    }
    disk.count++;
}

static void note_fd(enum kind kind, int fd, uint64_t offset, uint64_t length, const void *bytes)
{
    char path[PATH_MAX];
    unsigned file;
    if (!disk.on || !path_of(fd, path)) {
        return;
    }
    if (kind == SYNCED && strcmp(path, disk.directory) == 0) {
        note(DIRECTORY_SYNCED, FILES_MAX, 0, 0, NULL);
        return;
    }
    file = file_of(path);
    if (file < FILES_MAX) {
        note(kind, file, offset, length, bytes);
    }
}

/* ---- dying ------------------------------------------------------------------------------- */

static struct {
    bool armed;
    uint64_t left;
} death;

void disk_die_after(uint64_t writes)
{
    death.armed = true;
    death.left = writes;
}

static void come_by(void)
{
    if (death.armed && death.left-- == 0) {
        (void)kill(getpid(), SIGKILL);
    }
}

/* ---- taking over ------------------------------------------------------------------------- */

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL) {
        abort();
    }
    return found;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset);
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset);
int ftruncate64(int fd, off64_t length);
int open64(const char *path, int flags, ...);

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset)
{
    static ssize_t (*next)(int, const void *, size_t, off64_t);
    if (next == NULL) {
        *(void **)&next = real("pwrite64");
    }
    come_by();
    ssize_t done = next(fd, bytes, count, offset);
    if (done > 0) {
        note_fd(WRITTEN, fd, (uint64_t)offset, (uint64_t)done, bytes);
    }
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    return pwrite64(fd, bytes, count, offset);
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    static ssize_t (*next)(int, const void *, size_t);
    if (next == NULL) {
        *(void **)&next = real("write");
    }
    off_t at = disk.on ? lseek(fd, 0, SEEK_CUR) : 0;
    if (disk.on && (fcntl(fd, F_GETFL) & O_APPEND) != 0) {
        at = lseek(fd, 0, SEEK_END);
    }
    come_by();
    ssize_t done = next(fd, bytes, count);
    if (done > 0 && at >= 0) {
        note_fd(WRITTEN, fd, (uint64_t)at, (uint64_t)done, bytes);
    }
    return done;
}

int ftruncate64(int fd, off64_t length)
{
    static int (*next)(int, off64_t);
    if (next == NULL) {
        *(void **)&next = real("ftruncate64");
    }
    come_by();
    int result = next(fd, length);
    if (result == 0) {
        note_fd(CUT_SHORT, fd, 0, (uint64_t)length, NULL);
    }
    return result;
}

int ftruncate(int fd, off_t length)
{
    return ftruncate64(fd, length);
}

/* Syncing costs much, and the files are real only so that SQLite can work. */
int fsync(int fd)
{
    come_by();
    note_fd(SYNCED, fd, 0, 0, NULL);
    return 0;
}

int fdatasync(int fd)
{
    come_by();
    note_fd(SYNCED, fd, 0, 0, NULL);
    return 0;
}

int unlink(const char *path)
{
    static int (*next)(const char *);
    if (next == NULL) {
        *(void **)&next = real("unlink");
    }
    come_by();
    int result = next(path);
    unsigned file = result == 0 && disk.on ? file_of(path) : FILES_MAX;
    if (file < FILES_MAX) {
        note(UNLINKED, file, 0, 0, NULL);
    }
    return result;
}

int link(const char *from, const char *to)
{
    static int (*next)(const char *, const char *);
    if (next == NULL) {
        *(void **)&next = real("link");
    }
    come_by();
    return next(from, to);
}

int rename(const char *from, const char *to)
{
    static int (*next)(const char *, const char *);
    if (next == NULL) {
        *(void **)&next = real("rename");
    }
    come_by();
    return next(from, to);
}

int open64(const char *path, int flags, ...)
{
    static int (*next)(const char *, int, ...);
    struct stat about;
    va_list list;
    va_start(list, flags);
    unsigned mode = (flags & O_CREAT) != 0 ? va_arg(list, unsigned) : 0;
    va_end(list);
    if (next == NULL) {
        *(void **)&next = real("open64");
    }
    if ((flags & O_CREAT) != 0) {
        come_by();
    }
    bool makes = disk.on && (flags & O_CREAT) != 0 && stat(path, &about) != 0;
    int fd = next(path, flags, mode);
    if (fd >= 0 && makes) {
        note_fd(CREATED, fd, 0, 0, NULL);
    }
    return fd;
}

int open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    unsigned mode = (flags & O_CREAT) != 0 ? va_arg(list, unsigned) : 0;
    va_end(list);
    return open64(path, flags, mode);
}

/* ---- beginning and end ------------------------------------------------------------------- */

static void take_in(const char *name)
{
    char path[PATH_MAX + 300];
    struct stat about;
    snprintf(path, sizeof path, "%s/%s", disk.directory, name);
    unsigned file = file_of(path);
    int fd = file < FILES_MAX ? open64(path, O_RDONLY) : -1;
    if (fd < 0) {
        return;
    }
    harness_require(fstat(fd, &about) == 0, "%s", path);
    disk.length[file] = (uint64_t)about.st_size;
    disk.bytes[file] = malloc((size_t)about.st_size + 1);
    disk.began[file] = true;
    harness_require(disk.bytes[file] != NULL &&
                        read(fd, disk.bytes[file], (size_t)about.st_size) == about.st_size,
                    "%s: %s", path, strerror(errno));
    close(fd);
}

void disk_record(const char *directory)
{
    for (uint64_t i = 0; i < disk.count; i++) {
        free(disk.events[i].bytes);
    }
    for (unsigned i = 0; i < disk.files; i++) {
        free(disk.bytes[i]);
    }
    struct event *events =
        disk.events != NULL ? disk.events : malloc(EVENTS_MAX * sizeof *disk.events);
    memset(&disk, 0, sizeof disk);
    disk.events = events;
    harness_require(events != NULL && realpath(directory, disk.directory) != NULL, "%s", directory);
    DIR *open_directory = opendir(directory);
    struct dirent *entry;
    disk.on = true;
    while ((entry = readdir(open_directory)) != NULL) {
        if (entry->d_type == DT_REG) {
            take_in(entry->d_name);
        }
    }
    closedir(open_directory);
}

void disk_stop(void)
{
    disk.on = false;
}

uint64_t disk_events(void)
{
    return disk.count;
}

bool disk_is_sync(uint64_t event)
{
    return disk.events[event].kind == SYNCED || disk.events[event].kind == DIRECTORY_SYNCED;
}

/* ---- images ------------------------------------------------------------------------------ */

struct file_image {
    bool there;
    uint8_t *bytes;
    uint64_t length, capacity;
};

static void reserve(struct file_image *image, uint64_t length)
{
    if (length > image->capacity) {
        uint64_t capacity = length * 2;
        image->bytes = realloc(image->bytes, capacity);
        harness_require(image->bytes != NULL, "no memory");
        image->capacity = capacity;
    }
    if (length > image->length) {
        memset(image->bytes + image->length, 0, length - image->length);
        image->length = length;
    }
}

/* The number of the last sync of each file, and of the directory, before the cut. */
static void find_syncs(uint64_t events, uint64_t syncs[FILES_MAX + 1])
{
    memset(syncs, 0, (FILES_MAX + 1) * sizeof syncs[0]);
    for (uint64_t i = 0; i < events; i++) {
        if (disk_is_sync(i)) {
            syncs[disk.events[i].file] = i + 1;
        }
    }
}

static void write_in(struct file_image *image, const struct event *event, bool torn,
                     struct prng *prng)
{
    uint64_t length;
    for (uint64_t at = 0; at < event->length; at += length) {
        length = PIECE - (event->offset + at) % PIECE;
        length = event->length - at < length ? event->length - at : length;
        if (!torn || prng_chance(prng, 1, 2)) {
            reserve(image, event->offset + at + length);
            memcpy(image->bytes + event->offset + at, event->bytes + at, length);
        }
    }
}

static void apply(struct file_image *image, const struct event *event, bool torn, struct prng *prng)
{
    switch (event->kind) {
    case CREATED:
        image->there = true;
        image->length = 0;
        break;
    case WRITTEN:
        write_in(image, event, torn, prng);
        break;
    case CUT_SHORT:
        reserve(image, event->length);
        image->length = event->length;
        break;
    case UNLINKED:
        image->there = false;
        image->length = 0;
        break;
    default:
        break;
    }
}

/* Whether what isn't durable is there. */
static bool comes(enum cut_variant variant, struct prng *prng)
{
    return variant == CUT_ALL || (variant != CUT_NONE && prng_chance(prng, 1, 2));
}

static void put(const struct file_image *image, const char *to, const char *name)
{
    char path[PATH_MAX + 300];
    snprintf(path, sizeof path, "%s/%s", to, name);
    (void)unlink(path);
    if (!image->there) {
        return;
    }
    int fd = open64(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    harness_require(fd >= 0 && (image->length == 0 ||
                                write(fd, image->bytes, image->length) == (ssize_t)image->length),
                    "%s: %s", path, strerror(errno));
    close(fd);
}

void disk_image(uint64_t events, enum cut_variant variant, uint64_t seed, const char *to)
{
    struct prng prng = {prng_mix(seed, events * CUT_VARIANTS + (uint64_t)variant)};
    static struct file_image images[FILES_MAX];
    uint64_t syncs[FILES_MAX + 1];
    find_syncs(events, syncs);
    for (unsigned i = 0; i < disk.files; i++) {
        images[i].length = 0;
        images[i].there = disk.began[i];
        reserve(&images[i], disk.length[i]);
        if (disk.length[i] > 0) {
            memcpy(images[i].bytes, disk.bytes[i], disk.length[i]);
        }
    }
    for (uint64_t i = 0; i < events; i++) {
        const struct event *event = &disk.events[i];
        bool names = event->kind == CREATED || event->kind == UNLINKED;
        if (disk_is_sync(i)) {
            continue;
        }
        bool durable = i < syncs[names ? FILES_MAX : event->file];
        if (durable || comes(variant, &prng)) {
            apply(&images[event->file], event, !durable && variant == CUT_TORN, &prng);
        }
    }
    for (unsigned i = 0; i < disk.files; i++) {
        put(&images[i], to, disk.names[i]);
    }
}
