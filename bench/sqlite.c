/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench/sqlite - one load on SQLite: in a file, on a volume, or by SQLCipher; prints a JSON object.
 *
 *     bench_sqlite ENGINE LOAD MODE DIRECTORY SECONDS ROWS
 *
 * ENGINE is plain, coffer, coffer-buffered (ciphertext through the page cache, as the other two
 * have it) or sqlcipher, whose library is loaded beside SQLite's. LOAD is insert (a transaction
 * for each row), batch (1000 rows each), point (a row by its number, at random) or scan (all
 * rows). MODE is wal or delete. synchronous=FULL, pages of 4 KiB, SQLite's own page cache of
 * 2 MiB. The table has ROWS rows of 200 bytes before insert, point and scan begin. One thread; it
 * judges nothing.
 */
#include <coffer/coffer.h>
#include <coffer/keystore.h>
#include <coffer/sqlite.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define BATCH_ROWS 1000u
#define VOLUME_BYTES (1ull << 40)
#define STORE_BYTES (8ull << 30)

/* SQLite's functions, of either library. */
static struct {
    int (*open)(const char *, sqlite3 **, int, const char *);
    int (*close)(sqlite3 *);
    int (*exec)(sqlite3 *, const char *, int (*)(void *, int, char **, char **), void *, char **);
    int (*prepare)(sqlite3 *, const char *, int, sqlite3_stmt **, const char **);
    int (*bind)(sqlite3_stmt *, int, sqlite3_int64);
    int (*step)(sqlite3_stmt *);
    int (*reset)(sqlite3_stmt *);
    int (*finalize)(sqlite3_stmt *);
    sqlite3_int64 (*column)(sqlite3_stmt *, int);
    const char *(*message)(sqlite3 *);
    const char *(*version)(void);
} sql;

struct bench {
    const char *engine, *load, *mode, *directory;
    double seconds;
    uint64_t rows;
    sqlite3 *db;
    struct coffer_keystore *keys;
    struct coffer_store *store;
    struct coffer_volume *volume;
    uint64_t operations, bytes;
    double elapsed, cpu;
};

static struct coffer_fault fault;
static uint64_t random_state = 88172645463325252ull;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_sqlite: %s: %s\n", what, why);
    exit(1);
}

static void must(int error, const char *what)
{
    if (error != 0) {
        die(what, fault.error == error ? fault.detail : coffer_error_sentence(error));
    }
}

static void run(struct bench *bench, const char *text)
{
    if (sql.exec(bench->db, text, NULL, NULL, NULL) != SQLITE_OK) {
        die(text, sql.message(bench->db));
    }
}

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static double clock_seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- libraries --------------------------------------------------------------------------- */

static void use_sqlite(void)
{
    sql.open = sqlite3_open_v2;
    sql.close = sqlite3_close;
    sql.exec = sqlite3_exec;
    sql.prepare = sqlite3_prepare_v2;
    sql.bind = sqlite3_bind_int64;
    sql.step = sqlite3_step;
    sql.reset = sqlite3_reset;
    sql.finalize = sqlite3_finalize;
    sql.column = sqlite3_column_int64;
    sql.message = sqlite3_errmsg;
    sql.version = sqlite3_libversion;
}

static void take(void *library, const char *name, void *slot)
{
    void *symbol = dlsym(library, name);
    if (symbol == NULL) {
        die(name, "not in libsqlcipher");
    }
    memcpy(slot, &symbol, sizeof symbol);
}

static void use_sqlcipher(void)
{
    void *library = dlopen("libsqlcipher.so.0", RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    if (library == NULL) {
        die("libsqlcipher.so.0", dlerror());
    }
    take(library, "sqlite3_open_v2", &sql.open);
    take(library, "sqlite3_close", &sql.close);
    take(library, "sqlite3_exec", &sql.exec);
    take(library, "sqlite3_prepare_v2", &sql.prepare);
    take(library, "sqlite3_bind_int64", &sql.bind);
    take(library, "sqlite3_step", &sql.step);
    take(library, "sqlite3_reset", &sql.reset);
    take(library, "sqlite3_finalize", &sql.finalize);
    take(library, "sqlite3_column_int64", &sql.column);
    take(library, "sqlite3_errmsg", &sql.message);
    take(library, "sqlite3_libversion", &sql.version);
}

/* ---- databases --------------------------------------------------------------------------- */

static void make_root_key(const char *path)
{
    unsigned char key[32];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || getrandom(key, sizeof key, 0) != (ssize_t)sizeof key ||
        write(fd, key, sizeof key) != (ssize_t)sizeof key || close(fd) != 0) {
        die(path, "cannot be written");
    }
    explicit_bzero(key, sizeof key);
}

static void open_store(struct bench *bench, const char *path, struct coffer_key_provider *provider)
{
    const struct coffer_store_create_opts create = {
        .size = sizeof create, .path = path, .size_bytes = STORE_BYTES};
    struct coffer_store_opts opts = {.size = sizeof opts, .path = path};
    const struct coffer_volume_create_opts volume = {
        .size = sizeof volume, .name = "db", .size_bytes = VOLUME_BYTES, .provider = provider};
    const struct coffer_volume_open_opts open = {
        .size = sizeof open, .name = "db", .provider = provider};
    opts.flags = strcmp(bench->engine, "coffer-buffered") == 0 ? COFFER_OPEN_BUFFERED : 0u;
    must(coffer_store_create(&create, &fault), "create the store");
    must(coffer_store_open(&opts, &bench->store, &fault), "open the store");
    must(coffer_volume_create(bench->store, &volume, &fault), "create the volume");
    must(coffer_volume_open(bench->store, &open, &bench->volume, &fault), "open the volume");
}

static void lend(struct bench *bench)
{
    char root[512], keys[512], store[512];
    struct coffer_key_provider provider;
    snprintf(root, sizeof root, "%s/root.key", bench->directory);
    snprintf(keys, sizeof keys, "%s/keys", bench->directory);
    snprintf(store, sizeof store, "%s/bench.coffer", bench->directory);
    make_root_key(root);
    const struct coffer_keystore_opts opts = {
        .size = sizeof opts, .path = keys, .root_key_file = root, .flags = COFFER_KEYSTORE_CREATE};
    must(coffer_keystore_open(&opts, &bench->keys, &fault), "open the key store");
    must(coffer_keystore_provider(bench->keys, &provider), "the provider");
    open_store(bench, store, &provider);
    const struct coffer_sqlite_opts lent = {
        .size = sizeof lent, .name = "db", .store = bench->store, .volume = bench->volume};
    must(coffer_sqlite_register(&lent, &fault), "lend the volume");
}

static void open_database(struct bench *bench)
{
    char path[512], pragma[64];
    bool on_volume = strncmp(bench->engine, "coffer", 6) == 0;
    snprintf(path, sizeof path, "%s/bench.db", bench->directory);
    if (strcmp(bench->engine, "sqlcipher") == 0) {
        use_sqlcipher();
    } else {
        use_sqlite();
    }
    if (on_volume) {
        lend(bench);
    }
    if (sql.open(on_volume ? "db" : path, &bench->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                 on_volume ? COFFER_SQLITE_VFS : NULL) != SQLITE_OK) {
        die("open", sql.message(bench->db));
    }
    if (strcmp(bench->engine, "sqlcipher") == 0) {
        run(bench, "PRAGMA key = \"x'00112233445566778899aabbccddeeff"
                   "00112233445566778899aabbccddeeff'\"");
        run(bench, "PRAGMA cipher_page_size = 4096");
    }
    run(bench, "PRAGMA page_size = 4096; PRAGMA cache_size = -2000; PRAGMA synchronous = FULL");
    snprintf(pragma, sizeof pragma, "PRAGMA journal_mode = %s", bench->mode);
    run(bench, pragma);
    run(bench, "CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)");
}

static void close_all(struct bench *bench)
{
    if (sql.close(bench->db) != SQLITE_OK) {
        die("close", "statements are left");
    }
    if (bench->store != NULL) {
        must(coffer_sqlite_unregister("db", &fault), "take the volume back");
        must(coffer_volume_close(bench->volume), "close the volume");
        must(coffer_store_close(bench->store), "close the store");
        coffer_keystore_close(bench->keys);
    }
}

/* ---- loads ------------------------------------------------------------------------------- */

static sqlite3_stmt *prepare(struct bench *bench, const char *text)
{
    sqlite3_stmt *statement = NULL;
    if (sql.prepare(bench->db, text, -1, &statement, NULL) != SQLITE_OK) {
        die(text, sql.message(bench->db));
    }
    return statement;
}

static void step(struct bench *bench, sqlite3_stmt *statement, int expected)
{
    if (sql.step(statement) != expected) {
        die("step", sql.message(bench->db));
    }
}

static void insert_rows(struct bench *bench, uint64_t rows)
{
    sqlite3_stmt *insert = prepare(bench, "INSERT INTO t(v) VALUES(randomblob(200))");
    run(bench, "BEGIN");
    for (uint64_t i = 0; i < rows; i++) {
        step(bench, insert, SQLITE_DONE);
        sql.reset(insert);
    }
    run(bench, "COMMIT");
    sql.finalize(insert);
}

static void load_insert(struct bench *bench)
{
    sqlite3_stmt *insert = prepare(bench, "INSERT INTO t(v) VALUES(randomblob(200))");
    double end = clock_seconds(CLOCK_MONOTONIC) + bench->seconds;
    while (clock_seconds(CLOCK_MONOTONIC) < end) {
        step(bench, insert, SQLITE_DONE);
        sql.reset(insert);
        bench->operations++;
    }
    sql.finalize(insert);
}

static void load_batch(struct bench *bench)
{
    double end = clock_seconds(CLOCK_MONOTONIC) + bench->seconds;
    while (clock_seconds(CLOCK_MONOTONIC) < end) {
        insert_rows(bench, BATCH_ROWS);
        bench->operations += BATCH_ROWS;
    }
}

static void load_point(struct bench *bench)
{
    sqlite3_stmt *get = prepare(bench, "SELECT length(v) FROM t WHERE id = ?");
    double end = clock_seconds(CLOCK_MONOTONIC) + bench->seconds;
    while (clock_seconds(CLOCK_MONOTONIC) < end) {
        sql.bind(get, 1, (sqlite3_int64)(1 + next_random() % bench->rows));
        step(bench, get, SQLITE_ROW);
        bench->bytes += (uint64_t)sql.column(get, 0);
        sql.reset(get);
        bench->operations++;
    }
    sql.finalize(get);
}

static void load_scan(struct bench *bench)
{
    double end = clock_seconds(CLOCK_MONOTONIC) + bench->seconds;
    do {
        sqlite3_stmt *scan = prepare(bench, "SELECT sum(length(v)) FROM t");
        step(bench, scan, SQLITE_ROW);
        bench->bytes += (uint64_t)sql.column(scan, 0);
        sql.finalize(scan);
        bench->operations += bench->rows;
    } while (clock_seconds(CLOCK_MONOTONIC) < end);
}

static void measure(struct bench *bench, void (*load)(struct bench *))
{
    double cpu = clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
    double start = clock_seconds(CLOCK_MONOTONIC);
    load(bench);
    bench->elapsed = clock_seconds(CLOCK_MONOTONIC) - start;
    bench->cpu = clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
}

static void report(const struct bench *bench)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"engine\": \"%s\", \"load\": \"%s\", \"mode\": \"%s\", \"sqlite\": \"%s\", "
           "\"rows\": %llu, \"operations\": %llu, \"seconds\": %.6f, \"per_second\": %.1f, "
           "\"cpu_us_per_operation\": %.2f, \"resident_bytes_max\": %llu}\n",
           bench->engine, bench->load, bench->mode, sql.version(), (unsigned long long)bench->rows,
           (unsigned long long)bench->operations, bench->elapsed,
           (double)bench->operations / bench->elapsed, bench->cpu * 1e6 / (double)bench->operations,
           (unsigned long long)usage.ru_maxrss * 1024ull);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*load)(struct bench *);
        bool filled;
    } loads[] = {{"insert", load_insert, true},
                 {"batch", load_batch, false},
                 {"point", load_point, true},
                 {"scan", load_scan, true}};
    struct bench bench = {0};
    if (argc != 7) {
        fprintf(stderr, "usage: bench_sqlite plain|coffer|coffer-buffered|sqlcipher "
                        "insert|batch|point|scan wal|delete DIRECTORY SECONDS ROWS\n");
        return 2;
    }
    bench = (struct bench){.engine = argv[1],
                           .load = argv[2],
                           .mode = argv[3],
                           .directory = argv[4],
                           .seconds = strtod(argv[5], NULL),
                           .rows = strtoull(argv[6], NULL, 10)};
    for (unsigned i = 0; i < sizeof loads / sizeof loads[0]; i++) {
        if (strcmp(loads[i].name, bench.load) == 0) {
            open_database(&bench);
            if (loads[i].filled && bench.rows > 0) {
                insert_rows(&bench, bench.rows);
            }
            measure(&bench, loads[i].load);
            report(&bench);
            close_all(&bench);
            return 0;
        }
    }
    die(bench.load, "there is no such load");
}
