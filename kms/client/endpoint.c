/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client/endpoint.c - where a key service is: the three forms of URL, and nothing else of a URL.
 *
 * Invariant: a URL without TLS leads to this machine. What is loopback is decided by the address as
 * it is written; `localhost` alone is a name, which libcurl never asks a resolver for. Pure.
 */
#include "client/client.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int refuse(struct coffer_fault *fault, const char *why)
{
    return cof_kms_fault(fault, COFFER_E_INVALID, "the key service's URL %s", why);
}

static bool loopback(const char *host)
{
    struct in_addr four;
    struct in6_addr six;

    if (strcmp(host, "localhost") == 0) {
        return true;
    }
    if (inet_pton(AF_INET, host, &four) == 1) {
        return *(const uint8_t *)&four == 127; /* in network order */
    }
    return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

/* Letters, digits, dots and hyphens, or an IPv6 address: nothing that could end a header. */
static bool good_host(const char *host, bool bracketed)
{
    struct in6_addr six;

    if (bracketed) {
        return inet_pton(AF_INET6, host, &six) == 1;
    }
    return host[0] != '\0' && host[0] != '.' && host[0] != '-' &&
           host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "0123456789.-")] == '\0';
}

static bool good_port(const char *port)
{
    size_t digits = strspn(port, "0123456789");
    long number = strtol(port, NULL, 10);

    return digits >= 1 && digits <= 5 && port[digits] == '\0' && number >= 1 && number <= 65535;
}

/* "kms.eu-west-1.example.com": the second label. */
static void guess_region(struct cof_client_endpoint *endpoint, const char *host)
{
    const char *label = strncmp(host, "kms.", 4) == 0         ? host + 4
                        : strncmp(host, "kms-fips.", 9) == 0 ? host + 9
                                                             : NULL;
    size_t length = label == NULL ? 0 : strcspn(label, ".");

    if (length > 0 && length < sizeof(endpoint->region) && label[length] == '.') {
        (void)snprintf(endpoint->region, sizeof(endpoint->region), "%.*s", (int)length, label);
    }
}

/* authority: HOST[:PORT], [ADDRESS][:PORT]. */
static int read_authority(char *authority, struct cof_client_endpoint *endpoint,
                          struct coffer_fault *fault)
{
    bool bracketed = authority[0] == '[';
    char *host = bracketed ? authority + 1 : authority;
    char *end = bracketed ? strchr(host, ']') : host + strcspn(host, ":");
    const char *port = NULL;

    if (end == NULL) {
        return refuse(fault, "has no ] behind its address");
    }
    if (bracketed) {
        *end++ = '\0';
    }
    if (*end == ':') {
        port = end + 1;
        *end = '\0';
    } else if (*end != '\0') {
        return refuse(fault, "has something behind its address");
    }
    if (!good_host(host, bracketed) || (port != NULL && !good_port(port))) {
        return refuse(fault, "has no host and port that can be: https://HOST[:PORT]");
    }
    if (!endpoint->tls && !loopback(host)) {
        return refuse(fault, "must begin with https://, since its host is not this machine");
    }
    guess_region(endpoint, host);
    if ((size_t)snprintf(endpoint->host, sizeof(endpoint->host), "%s%s%s%s%s", bracketed ? "[" : "",
                         host, bracketed ? "]" : "", port != NULL ? ":" : "",
                         port != NULL ? port : "") >= sizeof(endpoint->host)) {
        return refuse(fault, "is too long");
    }
    return 0;
}

static int read_tcp(const char *rest, struct cof_client_endpoint *endpoint,
                    struct coffer_fault *fault)
{
    char authority[COF_CLIENT_HOST_BYTES_MAX - 2];
    size_t length = strcspn(rest, "/?#");
    int error;

    if (length >= sizeof(authority)) {
        return refuse(fault, "is too long");
    }
    if (strcmp(rest + length, "") != 0 && strcmp(rest + length, "/") != 0) {
        return refuse(fault, "has a path or a query, which no key service has");
    }
    if (memchr(rest, '@', length) != NULL) {
        return refuse(fault, "holds a user: credentials come from the environment");
    }
    memcpy(authority, rest, length);
    authority[length] = '\0';
    error = read_authority(authority, endpoint, fault);
    if (error == 0) {
        (void)snprintf(endpoint->url, sizeof(endpoint->url), "%s://%s/",
                       endpoint->tls ? "https" : "http", endpoint->host);
    }
    return error;
}

static int read_unix(const char *path, struct cof_client_endpoint *endpoint,
                     struct coffer_fault *fault)
{
    if (path[0] != '/' || strlen(path) >= sizeof(endpoint->unix_path)) {
        return refuse(fault, "names no socket: unix:/PATH, up to 107 bytes");
    }
    (void)snprintf(endpoint->unix_path, sizeof(endpoint->unix_path), "%s", path);
    (void)snprintf(endpoint->host, sizeof(endpoint->host), "localhost");
    (void)snprintf(endpoint->url, sizeof(endpoint->url), "http://localhost/");
    return 0;
}

int cof_client_endpoint_parse(const char *url, struct cof_client_endpoint *ret_endpoint,
                              struct coffer_fault *fault)
{
    struct cof_client_endpoint endpoint;
    int error;

    memset(&endpoint, 0, sizeof(endpoint));
    endpoint.tls = strncmp(url, "https://", 8) == 0;
    if (endpoint.tls) {
        error = read_tcp(url + 8, &endpoint, fault);
    } else if (strncmp(url, "http://", 7) == 0) {
        error = read_tcp(url + 7, &endpoint, fault);
    } else if (strncmp(url, "unix:", 5) == 0) {
        error = read_unix(url + 5, &endpoint, fault);
    } else {
        error = refuse(fault, "must begin with https://, http:// or unix:");
    }
    if (error == 0) {
        *ret_endpoint = endpoint;
    }
    return error;
}
