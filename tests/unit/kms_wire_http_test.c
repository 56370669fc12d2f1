/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service behind HTTP: signatures, regions, targets, content types, rates, health, headers.
 */
#include "wire_fixture.h"

#include "identity/identity.h"
#include "kms.h"

#define NOW UINT64_C(1700000000)

struct http_fixture {
    struct wire_fixture wire;
    struct coffer_env env;
    char key_id[COF_KMS_ACCESS_KEY_ID_BYTES_MAX];
    char secret[COF_IDENTITY_SECRET_BYTES];
    struct coffer_kms_http_response response;
};

static uint64_t now_seconds = NOW;

static uint64_t wall(void *ctx)
{
    (void)ctx;
    return now_seconds * UINT64_C(1000000000);
}

static unsigned allocations, fails_at;

static void *alloc_or_fail(void *ctx, size_t bytes)
{
    (void)ctx;
    return ++allocations == fails_at ? NULL : malloc(bytes);
}

static void dealloc(void *ctx, void *memory)
{
    (void)ctx;
    free(memory);
}

/* An access key of the root of the store's account. */
static void make_access_key(struct http_fixture *f)
{
    struct cof_kms_access_key_row row;
    const char *secret = NULL;
    struct cof_kms_call call;
    int error;

    assert_int_equal(cof_kms_call_begin(&call, f->wire.kms.store, "CreateAccessKey",
                                        COF_KMS_CHANGES, &f->wire.kms.fault),
                     0);
    error = cof_identity_key_create(&call, "root", &row, &secret);
    assert_int_equal(error, 0);
    snprintf(f->key_id, sizeof(f->key_id), "%s", row.access_key_id);
    snprintf(f->secret, sizeof(f->secret), "%s", secret);
    assert_int_equal(cof_kms_call_settle(&call, error), 0);
    cof_kms_call_leave(&call);
}

static int setup(void **state)
{
    struct http_fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    now_seconds = NOW;
    fails_at = 0;
    f->env = (struct coffer_env){
        .size = sizeof(f->env), .wall_ns = wall, .alloc = alloc_or_fail, .dealloc = dealloc};
    fixture_init(&f->wire.kms);
    f->wire.kms.opts.env = &f->env;
    assert_int_equal(fixture_open(&f->wire.kms), 0);
    memcpy(f->wire.key_id, fixture_key(&f->wire.kms)->key_id, sizeof(f->wire.key_id));
    make_access_key(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct http_fixture *f = *state;

    coffer_kms_http_response_done(&f->response);
    fixture_done(&f->wire.kms);
    free(f);
    return 0;
}

static const char *header(const struct http_fixture *f, const char *name)
{
    for (unsigned i = 0; i < f->response.header_count; i++) {
        if (strcasecmp(f->response.headers[i].name, name) == 0) {
            return f->response.headers[i].value;
        }
    }
    return "";
}

/* The status, or a negative error. */
static int try_request(struct http_fixture *f, const struct coffer_kms_http_request *request)
{
    int error;

    coffer_kms_http_response_done(&f->response);
    f->response.size = sizeof(f->response);
    error = coffer_kms_http(f->wire.kms.store, request, &f->response);
    return error == 0 ? f->response.status : error;
}

static int send_request(struct http_fixture *f, const struct coffer_kms_http_request *request)
{
    assert_true(try_request(f, request) > 0);
    assert_int_equal(strlen(header(f, "x-amzn-RequestId")), 36);
    return f->response.status;
}

struct post {
    const char *target; /* X-Amz-Target; NULL: TrentService.DescribeKey of the fixture's key */
    const char *type;   /* NULL: the right one */
    const char *body;
    const char *region; /* NULL: local-1       */
    const char *secret; /* NULL: the right one */
    bool unsigned_;
    bool may_fail; /* for want of memory; then the response is none */
};

/* Sign and send; the status. */
static int post(struct http_fixture *f, const struct post *what)
{
    char body[1024];
    struct coffer_kms_header headers[16] = {
        {"Host", "kms.local"},
        {"Content-Type", what->type != NULL ? what->type : COFFER_KMS_CONTENT_TYPE},
        {"X-Amz-Target", what->target != NULL ? what->target : "TrentService.DescribeKey"}};
    struct coffer_kms_http_request request = {.size = sizeof(request),
                                              .method = "POST",
                                              .target = "/",
                                              .headers = headers,
                                              .header_count = 3,
                                              .body = (const uint8_t *)body,
                                              .peer = "192.0.2.1"};
    struct coffer_kms_signing signing = {.size = sizeof(signing),
                                         .access_key_id = f->key_id,
                                         .secret = what->secret != NULL ? what->secret : f->secret,
                                         .region = what->region != NULL ? what->region
                                                                        : COFFER_REGION_DEFAULT,
                                         .service = COFFER_KMS_SIGNING_NAME};
    struct coffer_kms_signed made = {.size = sizeof(made)};
    struct coffer_env signer = {.size = sizeof(signer), .wall_ns = wall};
    int status;

    fill_in(&f->wire, what->body != NULL ? what->body : "{\"KeyId\":\"%K\"}", body, sizeof(body));
    request.body_bytes = strlen(body);
    if (!what->unsigned_) {
        assert_int_equal(coffer_kms_sign(&signer, &request, &signing, &made, NULL), 0);
        for (unsigned i = 0; i < made.header_count; i++) {
            headers[request.header_count++] = made.headers[i];
        }
    }
    status = what->may_fail ? try_request(f, &request) : send_request(f, &request);
    coffer_kms_signed_done(&made);
    return status;
}

static void a_signed_request_is_answered(void **state)
{
    struct http_fixture *f = *state;

    assert_int_equal(post(f, &(struct post){0}), 200);
    assert_string_equal(header(f, "Content-Type"), COFFER_KMS_CONTENT_TYPE);
    assert_string_equal(header(f, "x-amzn-ErrorType"), "");
    assert_non_null(strstr((const char *)f->response.body, f->wire.key_id));
    assert_int_equal(post(f, &(struct post){.type = "application/x-amz-json-1.0; charset=utf-8"}),
                     200);
    assert_int_equal(
        post(f, &(struct post){.target = "CofferIdentity.GetCallerIdentity", .body = "{}"}), 200);
    assert_non_null(strstr((const char *)f->response.body, ":root"));
}

static void refusals_have_names_and_statuses(void **state)
{
    static const struct {
        struct post what;
        int status;
        const char *error;
    } rows[] = {
        {{.unsigned_ = true}, 403, "MissingAuthenticationToken"},
        {{.secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}, 403, "SignatureDoesNotMatch"},
        {{.type = "application/json"}, 400, "UnknownOperationException"},
        {{.type = "application/x-amz-json-1.11"}, 400, "UnknownOperationException"},
        {{.target = "DynamoDB.ListTables"}, 400, "UnknownOperationException"},
        {{.target = "TrentService.NoSuchThing"}, 400, "UnknownOperationException"},
        {{.target = "TrentService."}, 400, "UnknownOperationException"},
        {{.target = "CofferIdentity.DescribeKey"}, 400, "UnknownOperationException"},
        {{.target = "TrentService.GetCallerIdentity"}, 400, "UnknownOperationException"},
        {{.body = "{"}, 400, "SerializationException"},
        {{.body = "{}"}, 400, "ValidationException"},
        {{.region = "other-1"}, 400, "NotFoundException"},
    };
    struct http_fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int status = post(f, &rows[i].what);

        if (status != rows[i].status || strcmp(header(f, "x-amzn-ErrorType"), rows[i].error) != 0) {
            fail_msg("row %zu: %d %.300s", i, status, (const char *)f->response.body);
        }
    }
}

/* Without a signature nobody learns which operations there are. */
static void an_unsigned_request_learns_nothing(void **state)
{
    struct http_fixture *f = *state;

    assert_int_equal(post(f, &(struct post){.unsigned_ = true, .target = "TrentService.NoSuch"}),
                     403);
    assert_string_equal(header(f, "x-amzn-ErrorType"), "MissingAuthenticationToken");
}

static void other_methods_and_paths_are_unknown(void **state)
{
    static const struct {
        const char *method, *target;
        int status;
    } rows[] = {
        {"GET", "/", 404},         {"POST", "/x", 404},        {"PUT", "/", 404},
        {"GET", "/healthz", 200},  {"GET", "/healthz?a", 200}, {"POST", "/healthz", 404},
        {"GET", "/healthzz", 404},
    };
    struct http_fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct coffer_kms_http_request request = {
            .size = sizeof(request), .method = rows[i].method, .target = rows[i].target};

        assert_int_equal(send_request(f, &request), rows[i].status);
    }
}

static void health_leaves_no_record(void **state)
{
    struct http_fixture *f = *state;
    struct coffer_kms_http_request request = {
        .size = sizeof(request), .method = "GET", .target = "/healthz"};
    int64_t before = fixture_number(&f->wire.kms, "SELECT count(*) FROM audit");

    assert_int_equal(send_request(f, &request), 200);
    assert_string_equal((const char *)f->response.body, "{\"status\":\"ready\"}");
    assert_int_equal(fixture_number(&f->wire.kms, "SELECT count(*) FROM audit"), before);
}

static void a_large_request_is_refused_before_it_is_read(void **state)
{
    struct http_fixture *f = *state;
    struct coffer_kms_http_request request = {.size = sizeof(request),
                                              .method = "POST",
                                              .target = "/",
                                              .body = (const uint8_t *)"",
                                              .body_bytes = COFFER_KMS_BODY_BYTES_MAX + 1};

    assert_int_equal(send_request(f, &request), 413);
    assert_string_equal(header(f, "x-amzn-ErrorType"), "RequestEntityTooLargeException");
}

static void an_account_that_asks_too_much_is_throttled(void **state)
{
    struct http_fixture *f = *state;
    const struct coffer_kms_rates rates = {sizeof(rates), 1, 2};

    assert_int_equal(coffer_kms_rates_set(f->wire.kms.store, &rates), 0);
    assert_int_equal(post(f, &(struct post){0}), 200);
    assert_int_equal(post(f, &(struct post){0}), 200);
    assert_int_equal(post(f, &(struct post){0}), 400);
    assert_string_equal(header(f, "x-amzn-ErrorType"), "ThrottlingException");
    /* One who can't prove to be of the account takes nothing from its bucket. */
    now_seconds++;
    assert_int_equal(post(f, &(struct post){.secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}),
                     403);
    assert_int_equal(post(f, &(struct post){0}), 200);
    assert_int_equal(coffer_kms_rates_set(f->wire.kms.store, NULL), COFFER_E_INVALID);
}

static void an_inner_fault_is_not_told_to_the_network(void **state)
{
    struct http_fixture *f = *state;

    fixture_sql(&f->wire.kms, "UPDATE key SET description = 'other'");
    assert_int_equal(post(f, &(struct post){0}), 500);
    assert_string_equal(header(f, "x-amzn-ErrorType"), "KMSInternalException");
    assert_null(strstr((const char *)f->response.body, f->wire.key_id));
    assert_non_null(strstr((const char *)f->response.body, "its log has the reason"));
}

/* The secret of an access key is told once: without its answer there must be no key. */
static void an_access_key_without_an_answer_is_not_made(void **state)
{
    static const char target[] = "CofferIdentity.CreateAccessKey";
    static const char body[] = "{\"UserName\":\"root\"}";
    struct http_fixture *f = *state;
    const char keys[] = "SELECT count(*) FROM access_key";
    unsigned failures = 0;

    assert_int_equal(fixture_number(&f->wire.kms, keys), 1);
    do {
        allocations = 0;
        fails_at = failures + 1;
        post(f, &(struct post){.target = target, .body = body, .may_fail = true});
        if (allocations >= fails_at) {
            failures++;
            if (fixture_number(&f->wire.kms, keys) != 1) {
                fail_msg("allocation %u failed, and left a key that nobody has", failures);
            }
        }
    } while (allocations >= fails_at);
    assert_true(failures > 4);
    assert_int_equal(fixture_number(&f->wire.kms, keys), 2);
    assert_non_null(strstr((const char *)f->response.body, "SecretAccessKey"));
    fails_at = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        CASE(a_signed_request_is_answered),
        CASE(refusals_have_names_and_statuses),
        CASE(an_unsigned_request_learns_nothing),
        CASE(other_methods_and_paths_are_unknown),
        CASE(health_leaves_no_record),
        CASE(a_large_request_is_refused_before_it_is_read),
        CASE(an_account_that_asks_too_much_is_throttled),
        CASE(an_inner_fault_is_not_told_to_the_network),
        CASE(an_access_key_without_an_answer_is_not_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
