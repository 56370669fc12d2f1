/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms/client.c - see client.h.
 */
#include "kms/client.h"
#include "common/target.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_BYTES_MAX (1u << 20)
#define RECEIVE_BYTES 4096L
#define CONNECTING_MAX 256u /* handshakes at a time: one thread that makes 10,000 is late for all */

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "bench_kms: %s: %s\n", what, why);
    return -1;
}

/* ---- preparing --------------------------------------------------------------------------- */

static char *read_text(const char *file)
{
    FILE *stream = fopen(file, "re");
    char *text = malloc(BODY_BYTES_MAX + 1);
    if (stream == NULL || text == NULL) {
        free(text);
        text = NULL;
    } else {
        text[fread(text, 1, BODY_BYTES_MAX, stream)] = '\0';
    }
    if (stream != NULL) {
        fclose(stream);
    }
    return text;
}

static int read_secret(struct cof_bench_kms_client *client, const char *file)
{
    FILE *stream = fopen(file, "re");
    int found = stream == NULL ? 0 : fscanf(stream, "%128s %128s", client->key_id, client->secret);
    if (stream != NULL) {
        fclose(stream);
    }
    return found == 2 ? 0 : complain(file, "holds no access key id and secret");
}

static int find_host(struct cof_bench_kms_client *client)
{
    CURLU *url = curl_url();
    char *host = NULL, *port = NULL;
    int status = -1;
    if (curl_url_set(url, CURLUPART_URL, client->options->url, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
        (void)curl_url_get(url, CURLUPART_PORT, &port, 0);
        snprintf(client->host, sizeof client->host, port == NULL ? "%s" : "%s:%s", host, port);
        status = 0;
    }
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
    return status == 0 ? 0 : complain(client->options->url, "is no URL");
}

static int fill_request(struct cof_bench_kms_client *client)
{
    static char target[128];
    const struct cof_bench_kms_options *options = client->options;
    bool get = options->operation[0] == '/';
    if (options->body_file != NULL) {
        client->body = read_text(options->body_file);
        if (client->body == NULL) {
            return complain(options->body_file, "could not be read");
        }
    }
    snprintf(target, sizeof target, "%s%s", COFFER_KMS_TARGET_PREFIX, options->operation);
    client->headers[0] = (struct coffer_kms_header){"Host", client->host};
    client->headers[1] = (struct coffer_kms_header){"Content-Type", COFFER_KMS_CONTENT_TYPE};
    client->headers[2] = (struct coffer_kms_header){"X-Amz-Target", target};
    client->request = (struct coffer_kms_http_request){
        .size = sizeof client->request,
        .method = get ? "GET" : "POST",
        .target = get ? options->operation : "/",
        .headers = client->headers,
        .header_count = get ? 1 : 3,
        .body = (const uint8_t *)client->body,
        .body_bytes = client->body == NULL ? 0 : strlen(client->body),
    };
    client->signing = (struct coffer_kms_signing){
        .size = sizeof client->signing,
        .access_key_id = client->key_id,
        .secret = client->secret,
        .region = options->region,
    };
    return options->secret_file == NULL ? 0 : read_secret(client, options->secret_file);
}

static size_t swallow(char *data, size_t size, size_t count, void *ctx)
{
    struct cof_bench_kms_client *client = ctx;
    /* Kept for the sentence about the first failure, which the status decides later. */
    if (client->failed == 0 && size * count < sizeof client->first_failure) {
        memcpy(client->first_failure, data, size * count);
        client->first_failure[size * count] = '\0';
    }
    return size * count;
}

static int make_connection(struct cof_bench_kms_client *client,
                           struct cof_bench_kms_connection *connection)
{
    const struct cof_bench_kms_options *options = client->options;
    char url[512];
    CURL *easy = curl_easy_init();
    if (easy == NULL) {
        return complain("a connection", "no memory");
    }
    connection->easy = easy;
    snprintf(url, sizeof url, "%s%s", options->url,
             options->operation[0] == '/' ? options->operation + 1 : "");
    (void)curl_easy_setopt(easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, connection);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, swallow);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, client);
    (void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    if (options->ca_file != NULL) {
        (void)curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file);
    }
    if (options->unix_path != NULL) {
        (void)curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, options->unix_path);
    }
    if (options->operation[0] != '/') {
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, client->body == NULL ? "" : client->body);
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)client->request.body_bytes);
    }
    return 0;
}

int cof_bench_kms_client_init(struct cof_bench_kms_client *client,
                              const struct cof_bench_kms_options *options)
{
    memset(client, 0, sizeof *client);
    client->options = options;
    cof_load_latency_init(&client->latency);
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    client->multi = curl_multi_init();
    client->connections = calloc(options->connections, sizeof *client->connections);
    if (client->multi == NULL || client->connections == NULL) {
        return complain("a client", "no memory");
    }
    (void)curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)options->connections + 1);
    int status = find_host(client);
    if (status == 0) {
        status = fill_request(client);
    }
    for (uint64_t i = 0; status == 0 && i < options->connections; i++) {
        status = make_connection(client, &client->connections[i]);
    }
    return status;
}

/* ---- running ----------------------------------------------------------------------------- */

static int add_header(struct cof_bench_kms_connection *connection,
                      const struct coffer_kms_header *header)
{
    char line[4096];
    struct curl_slist *longer;
    snprintf(line, sizeof line, "%s: %s", header->name, header->value);
    longer = curl_slist_append(connection->headers, line);
    connection->headers = longer == NULL ? connection->headers : longer;
    return longer == NULL ? complain("a header", "no memory") : 0;
}

static int sign(struct cof_bench_kms_client *client, struct cof_bench_kms_connection *connection)
{
    struct coffer_kms_signed made = {.size = sizeof made};
    struct coffer_fault fault;
    int status = 0;
    curl_slist_free_all(connection->headers);
    connection->headers = NULL;
    for (unsigned i = 0; i < client->request.header_count && status == 0; i++) {
        status = add_header(connection, &client->headers[i]);
    }
    if (status == 0 && client->options->secret_file != NULL) {
        int error = coffer_kms_sign(NULL, &client->request, &client->signing, &made, &fault);
        status = error == 0 ? 0 : complain("signing", fault.detail);
        for (unsigned i = 0; status == 0 && i < made.header_count; i++) {
            status = add_header(connection, &made.headers[i]);
        }
        coffer_kms_signed_done(&made);
    }
    (void)curl_easy_setopt(connection->easy, CURLOPT_HTTPHEADER, connection->headers);
    return status;
}

static int start(struct cof_bench_kms_client *client, struct cof_bench_kms_connection *connection)
{
    int status = sign(client, connection);
    if (status == 0 && curl_multi_add_handle(client->multi, connection->easy) != CURLM_OK) {
        status = complain("a request", "libcurl does not take it");
    }
    return status;
}

static void count(struct cof_bench_kms_client *client, CURL *easy, CURLcode code)
{
    long http_status = 0, connects = 0;
    curl_off_t us = 0;
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &http_status);
    (void)curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connects);
    (void)curl_easy_getinfo(easy, CURLINFO_TOTAL_TIME_T, &us);
    client->connects += (uint64_t)connects;
    if (code == CURLE_OK && http_status == 200) {
        client->done++;
        cof_load_latency_add(&client->latency, (uint64_t)us * 1000u);
        return;
    }
    if (client->failed++ == 0) {
        fprintf(stderr, "bench_kms: status %ld: %s: %s\n", http_status, curl_easy_strerror(code),
                client->first_failure);
    }
}

/* Count what has ended and start the next on the same connection; how many were started. */
static int take_ended(struct cof_bench_kms_client *client, uint64_t end_ns, uint64_t *running)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        CURL *easy = message->easy_handle;
        struct cof_bench_kms_connection *connection = NULL;
        CURLcode code = message->data.result;
        (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&connection);
        count(client, easy, code);
        (void)curl_multi_remove_handle(client->multi, easy);
        --*running;
        if (cof_load_now_ns() < end_ns) {
            if (start(client, connection) != 0) {
                return -1;
            }
            ++*running;
        }
    }
    return 0;
}

int cof_bench_kms_client_run(struct cof_bench_kms_client *client, uint64_t end_ns)
{
    uint64_t running = 0, started = 0, all = client->options->connections;
    uint64_t limit = end_ns == 0 ? CONNECTING_MAX : all;
    while (running > 0 || started < all) {
        int active = 0;
        while (started < all && running < limit) {
            /* Else libcurl takes the connection of one that has ended. */
            (void)curl_easy_setopt(client->connections[started].easy, CURLOPT_FRESH_CONNECT,
                                   end_ns == 0 ? 1L : 0L);
            if (start(client, &client->connections[started++]) != 0) {
                return -1;
            }
            running++;
        }
        if (curl_multi_perform(client->multi, &active) != CURLM_OK ||
            take_ended(client, end_ns, &running) != 0) {
            return complain("a load", "libcurl failed");
        }
        if (running > 0 && curl_multi_poll(client->multi, NULL, 0, 1000, NULL) != CURLM_OK) {
            return complain("a load", "libcurl failed");
        }
    }
    return 0;
}

void cof_bench_kms_client_reset(struct cof_bench_kms_client *client)
{
    cof_load_latency_init(&client->latency);
    client->done = 0;
    client->failed = 0;
    client->connects = 0;
}

void cof_bench_kms_client_done(struct cof_bench_kms_client *client)
{
    for (uint64_t i = 0; client->connections != NULL && i < client->options->connections; i++) {
        curl_easy_cleanup(client->connections[i].easy);
        curl_slist_free_all(client->connections[i].headers);
    }
    curl_multi_cleanup(client->multi);
    free(client->connections);
    free(client->body);
    explicit_bzero(client->secret, sizeof client->secret);
    curl_global_cleanup();
}
