/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key agreement: both sides come to one secret, a public half that is none or of another curve
 * never does, and no copy of a secret stays in the process. Against openssl it is tested by the
 * conformance list (tests/interop/kms/cases_agree.py).
 */
#include "kms/pair/pair.h"
#include "kms_fixture.h"
#include "kms_search.h"

#define SECRET_BYTES_MAX 66u

static const char *const curves[] = {"ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521"};
#define CURVES (sizeof(curves) / sizeof(curves[0]))

struct side {
    const struct cof_kms_spec *spec;
    uint8_t *private_half; /* secret memory, and the secret behind it */
    uint8_t *secret;
    size_t secret_bytes, public_bytes;
    uint8_t public_half[COF_PAIR_PUBLIC_BYTES_MAX];
};

static void make(struct side *side, const char *curve)
{
    memset(side, 0, sizeof(*side));
    side->spec = cof_kms_spec_find(curve);
    assert_int_equal(coffer_keystore_secret_new(COF_PAIR_BYTES_MAX, &side->private_half), 0);
    assert_int_equal(coffer_keystore_secret_new(SECRET_BYTES_MAX, &side->secret), 0);
    assert_int_equal(cof_pair_generate(side->spec, side->private_half), 0);
    assert_int_equal(
        cof_pair_public(side->spec, side->private_half, side->public_half, &side->public_bytes), 0);
}

static void done(struct side *side)
{
    coffer_keystore_secret_free(side->private_half);
    coffer_keystore_secret_free(side->secret);
}

static int agree(struct side *side, const uint8_t *peer, size_t bytes)
{
    struct cof_kms_bytes peer_half = {peer, bytes};

    return cof_pair_agree(side->spec, side->private_half, peer_half, side->secret,
                          &side->secret_bytes);
}

static void both_sides_come_to_one_secret_of_the_curve_s_width(void **state)
{
    static const size_t widths[] = {32, 48, 66};
    struct side ours, theirs, another;
    size_t i;

    (void)state;
    for (i = 0; i < CURVES; i++) {
        make(&ours, curves[i]);
        make(&theirs, curves[i]);
        make(&another, curves[i]);
        assert_int_equal(agree(&ours, theirs.public_half, theirs.public_bytes), 0);
        assert_int_equal(agree(&theirs, ours.public_half, ours.public_bytes), 0);
        assert_int_equal(agree(&another, ours.public_half, ours.public_bytes), 0);
        assert_int_equal(ours.secret_bytes, widths[i]);
        assert_int_equal(theirs.secret_bytes, widths[i]);
        assert_memory_equal(ours.secret, theirs.secret, widths[i]);
        assert_memory_not_equal(ours.secret, another.secret, widths[i]);
        done(&ours);
        done(&theirs);
        done(&another);
    }
}

static void what_is_no_public_half_of_the_curve_gives_nothing(void **state)
{
    static const uint8_t zeros[SECRET_BYTES_MAX];
    struct side ours, stranger, theirs;
    uint8_t grown[COF_PAIR_PUBLIC_BYTES_MAX + 1] = {0};
    size_t i, refused = 0;

    (void)state;
    make(&ours, "ECC_NIST_P256");
    make(&theirs, "ECC_NIST_P256");
    make(&stranger, "ECC_NIST_P384");
    assert_int_equal(agree(&ours, stranger.public_half, stranger.public_bytes), COFFER_E_INVALID);
    memcpy(grown, theirs.public_half, theirs.public_bytes);
    assert_int_equal(agree(&ours, grown, theirs.public_bytes + 1), COFFER_E_INVALID);
    for (i = 0; i < theirs.public_bytes; i++) {
        assert_int_equal(agree(&ours, theirs.public_half, i), COFFER_E_INVALID);
    }
    /* A changed byte of the point leaves the curve; of the head, it is no key. */
    for (i = 0; i < theirs.public_bytes; i++) {
        theirs.public_half[i] ^= 1;
        refused += agree(&ours, theirs.public_half, theirs.public_bytes) == COFFER_E_INVALID;
        theirs.public_half[i] ^= 1;
    }
    assert_int_equal(refused, theirs.public_bytes);
    assert_memory_equal(ours.secret, zeros, sizeof(zeros));
    assert_int_equal(ours.secret_bytes, 0);
    assert_int_equal(agree(&ours, theirs.public_half, theirs.public_bytes), 0);
    done(&ours);
    done(&stranger);
    done(&theirs);
}

static void no_copy_of_a_secret_stays(void **state)
{
    static uint8_t masked[CURVES][SEARCH_BYTES];
    unsigned found[CURVES];
    struct side ours, theirs;
    size_t i;

    (void)state;
    for (i = 0; i < CURVES; i++) {
        make(&ours, curves[i]);
        make(&theirs, curves[i]);
        assert_int_equal(agree(&ours, theirs.public_half, theirs.public_bytes), 0);
        search_mask(ours.secret, masked[i]);
        search_memory(masked, (unsigned)i + 1, found);
        assert_int_equal(found[i], 1); /* where it was asked for, and the search finds it */
        done(&ours);
        done(&theirs);
    }
    search_memory(masked, CURVES, found);
    for (i = 0; i < CURVES; i++) {
        assert_int_equal(found[i], 0);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_come_to_one_secret_of_the_curve_s_width),
        cmocka_unit_test(what_is_no_public_half_of_the_curve_gives_nothing),
        cmocka_unit_test(no_copy_of_a_secret_stays)};

    return cmocka_run_group_tests_name("kms agree", tests, NULL, NULL);
}
