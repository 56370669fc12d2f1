/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets of accounts: bursts, rates, clocks that jump, and a full table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "throttle.h"

#define SECOND UINT64_C(1000000000)
#define START (UINT64_C(1700000000) * SECOND)
#define ALICE "111111111111"
#define BOB "222222222222"

static struct cof_throttle throttle;

static void begin(uint32_t per_second, uint32_t burst)
{
    const struct coffer_kms_rates rates = {sizeof(rates), per_second, burst};

    cof_throttle_init(&throttle);
    assert_int_equal(cof_throttle_set(&throttle, &rates), 0);
}

static unsigned taken(const char *account, unsigned tries, uint64_t now_ns)
{
    unsigned count = 0;

    while (tries-- > 0) {
        count += cof_throttle_take(&throttle, account, now_ns);
    }
    return count;
}

static void a_burst_is_let_through_and_then_the_rate(void **state)
{
    (void)state;
    begin(10, 25);
    assert_int_equal(taken(ALICE, 100, START), 25);
    assert_int_equal(taken(ALICE, 100, START + SECOND / 10 - 1), 0);
    assert_int_equal(taken(ALICE, 100, START + SECOND / 10), 1);
    assert_int_equal(taken(ALICE, 100, START + SECOND), 9);
    assert_int_equal(taken(ALICE, 100, START + 1000 * SECOND), 25);
    cof_throttle_done(&throttle);
}

static void accounts_have_buckets_of_their_own(void **state)
{
    (void)state;
    begin(1, 3);
    assert_int_equal(taken(ALICE, 9, START), 3);
    assert_int_equal(taken(BOB, 9, START), 3);
    assert_int_equal(taken(ALICE, 9, START), 0);
    cof_throttle_done(&throttle);
}

static void a_clock_that_is_put_back_locks_nobody_out(void **state)
{
    (void)state;
    begin(1, 3);
    assert_int_equal(taken(ALICE, 9, START), 3);
    assert_int_equal(taken(ALICE, 9, START - 1000 * SECOND), 0);
    assert_int_equal(taken(ALICE, 9, START - 999 * SECOND), 1);
    cof_throttle_done(&throttle);
}

static void without_a_rate_there_is_no_limit(void **state)
{
    (void)state;
    begin(0, 1);
    assert_int_equal(taken(ALICE, 1000, START), 1000);
    cof_throttle_done(&throttle);
}

/* Of a full table the bucket that is nearest to full goes; one that is empty stays. */
static void a_full_table_keeps_who_asked_most(void **state)
{
    char account[24];

    (void)state;
    begin(1, 5);
    assert_int_equal(taken(ALICE, 9, START), 5);
    for (unsigned i = 0; i < 3 * COF_THROTTLE_ACCOUNTS; i++) {
        (void)snprintf(account, sizeof(account), "%012u", i);
        assert_int_equal(taken(account, 1, START), 1);
    }
    assert_int_equal(taken(ALICE, 9, START), 0);
    cof_throttle_done(&throttle);
}

static void rates_have_bounds(void **state)
{
    static const struct coffer_kms_rates bad[] = {
        {sizeof(bad[0]), 1, 0}, {sizeof(bad[0]), 1000001, 1}, {sizeof(bad[0]), 1, 1000001}};

    (void)state;
    cof_throttle_init(&throttle);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(cof_throttle_set(&throttle, &bad[i]), COFFER_E_INVALID);
    }
    assert_int_equal(taken(ALICE, 20000, START), COF_THROTTLE_BURST);
    cof_throttle_done(&throttle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_is_let_through_and_then_the_rate),
        cmocka_unit_test(accounts_have_buckets_of_their_own),
        cmocka_unit_test(a_clock_that_is_put_back_locks_nobody_out),
        cmocka_unit_test(without_a_rate_there_is_no_limit),
        cmocka_unit_test(a_full_table_keeps_who_asked_most),
        cmocka_unit_test(rates_have_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
