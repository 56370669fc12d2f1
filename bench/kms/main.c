/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/main.c - one load on a key service that runs: requests a second and what each took, as JSON.
 *
 * Every connection makes a first request that is not measured, so that handshakes are apart. Exit
 * status 1 when a request failed: speed is never judged.
 */
#include "common/args.h"
#include "common/target.h"
#include "kms/client.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define USAGE                                                   \
    "usage: bench_kms --url URL --operation NAME [OPTION]...\n" \
    "One load on a key service, and what came of it, as JSON.\n"
#define PLACE(member) offsetof(struct cof_bench_kms_options, member)

static const struct cof_bench_arg args[] = {
    {"url", COF_BENCH_TEXT, PLACE(url), "http://HOST:PORT/ or https://HOST:PORT/", NULL},
    {"unix", COF_BENCH_TEXT, PLACE(unix_path), "unix socket to connect to instead", NULL},
    {"ca", COF_BENCH_TEXT, PLACE(ca_file), "PEM file of the certificate to trust", NULL},
    {"region", COF_BENCH_TEXT, PLACE(region), "region to sign for [local-1]", NULL},
    {"operation", COF_BENCH_TEXT, PLACE(operation), "Decrypt, ...; or a path to GET", NULL},
    {"body", COF_BENCH_TEXT, PLACE(body_file), "file with the request's JSON", NULL},
    {"secret", COF_BENCH_TEXT, PLACE(secret_file), "file: access key id, secret", NULL},
    {"connections", COF_BENCH_SIZE, PLACE(connections), "[16]", NULL},
    {"seconds", COF_BENCH_SECONDS, PLACE(duration_ns), "measured time; 0: one request each", NULL},
    {"pid", COF_BENCH_SIZE, PLACE(hold_pid), "the server: tell its memory at the end", NULL},
};

/* Kilobytes, or 0. */
static uint64_t resident_kib(uint64_t pid)
{
    char path[64], line[256];
    unsigned long long kib = 0;
    snprintf(path, sizeof path, "/proc/%llu/status", (unsigned long long)pid);
    FILE *stream = fopen(path, "re");
    while (stream != NULL && fgets(line, sizeof line, stream) != NULL) {
        if (sscanf(line, "VmRSS: %llu", &kib) == 1) {
            break;
        }
    }
    if (stream != NULL) {
        fclose(stream);
    }
    return kib;
}

static json_int_t us(const struct cof_load_latency *latency, double fraction)
{
    return (json_int_t)(cof_load_latency_percentile(latency, fraction) / 1000u);
}

static int report(const struct cof_bench_kms_client *client, uint64_t took_ns)
{
    const struct cof_bench_kms_options *options = client->options;
    const struct cof_load_latency *latency = &client->latency;
    json_t *result = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "operation", options->operation,
        "connections", (json_int_t)options->connections, "done", (json_int_t)client->done, "failed",
        (json_int_t)client->failed, "connects", (json_int_t)client->connects, "ns",
        (json_int_t)took_ns, "p50_us", us(latency, 0.5), "p99_us", us(latency, 0.99), "p999_us",
        us(latency, 0.999), "max_us", (json_int_t)(latency->max_ns / 1000u), "server_kib",
        (json_int_t)(options->hold_pid == 0 ? 0 : resident_kib(options->hold_pid)));
    int status = result == NULL ? -1 : json_dumpf(result, stdout, JSON_INDENT(1));
    json_decref(result);
    return status == 0 && puts("") >= 0 && fflush(stdout) == 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct cof_bench_kms_options options = {.region = COFFER_REGION_DEFAULT, .connections = 16};
    static struct cof_bench_kms_client client;
    struct rlimit files;
    int status =
        cof_bench_args_parse(argc, argv, USAGE, args, sizeof args / sizeof args[0], &options);
    if (status == 0 && (options.url == NULL || options.operation == NULL ||
                        options.connections == 0 || options.connections > 100000)) {
        status = cof_bench_args_refuse("give --url, --operation and 1 to 100000 --connections");
    }
    if (status != 0) {
        return status > 0 ? 0 : 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    status = cof_bench_kms_client_init(&client, &options);
    if (status == 0) {
        status = cof_bench_kms_client_run(&client, 0);
    }
    uint64_t begin_ns = cof_load_now_ns();
    uint64_t failed = client.failed;
    if (status == 0 && options.duration_ns > 0 && failed == 0) {
        cof_bench_kms_client_reset(&client);
        status = cof_bench_kms_client_run(&client, begin_ns + options.duration_ns);
    }
    if (status == 0) {
        status = report(&client, cof_load_now_ns() - begin_ns);
        failed += client.failed;
    }
    cof_bench_kms_client_done(&client);
    return status == 0 && failed == 0 ? 0 : 1;
}
