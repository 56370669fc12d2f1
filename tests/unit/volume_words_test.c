/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit/volume_words_test.c - a log that names pages no volume can have is refused, whoever wrote
 * it; a discard of all that one can have takes little memory.
 */
#include "volume_fixture.h"

#include "volume/store.h"

#define PAGES 700u
#define MOST (COFFER_VOLUME_BYTES_MAX / PAGE)

static struct volume_fixture f;

/* Into the log as they are, sealed as any. */
static void place(struct coffer_volume *volume, const uint64_t *words, unsigned count)
{
    static const uint8_t zeros[PAGE];
    struct coffer_store *store = volume->store;
    bool discard = count == 2;
    struct cof_extent *extent;
    struct cof_batch *batch;
    unsigned slot, at;
    pthread_mutex_lock(&store->lock);
    assert_int_equal(cof_extent_prepare(volume, false, &extent), 0);
    batch = store->lane.open_batch;
    assert_int_equal(cof_extent_place(extent, &store->lane, words, count, discard, &slot, &at), 0);
    if (!discard) {
        assert_int_equal(cof_protect_page(store->aead, extent, COF_PAGE_DATA, slot,
                                          cof_word_value(words[0]), zeros,
                                          cof_batch_page(batch, at), batch->entries[at]),
                         0);
        cof_lane_sealed(&store->lane, batch, at, 1);
    }
    pthread_mutex_unlock(&store->lock);
}

/* What an open after a crash says of a log with these words in it. */
static int open_with(const uint64_t *words, unsigned count, int plain)
{
    struct coffer_volume_open_opts opts;
    struct coffer_volume *volume;
    int err;
    fixture_make(&f, 5);
    make_volume(&f, "v", PAGES, plain);
    volume = open_volume(&f, "v");
    write_page(volume, 1, 7);
    place(volume, words, count);
    write_page(volume, PAGES - 1u, 8);
    assert_int_equal(coffer_volume_flush(volume, &f.fault), 0);
    fixture_crash(&f, SIM_CUT_NONE, 3);
    opts = open_opts(&f, "v");
    err = coffer_volume_open(f.store, &opts, &volume, &f.fault);
    if (err == 0) {
        assert_true(volume->active.count <= 2u * COF_NODE_FANOUT * COF_MAP_LEVELS_MAX);
        check_page(volume, 1, words[0] == cof_word(COF_WORD_DISCARD_START, 0) ? 0 : 7);
        check_page(volume, PAGES - 1u, 8);
        assert_int_equal(coffer_store_checkpoint(f.store, &f.fault), 0);
        check_page(volume, PAGES - 1u, 8);
        assert_int_equal(coffer_volume_close(volume), 0);
    }
    fixture_done(&f);
    return err;
}

static void pages_that_no_volume_has_are_refused(void **state)
{
    static const uint64_t pages[] = {MOST, UINT64_C(1) << 45, UINT64_C(1) << 58,
                                     (UINT64_C(1) << 60) - 1u};
    (void)state;
    for (unsigned i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        for (int plain = 0; plain < 2; plain++) {
            uint64_t word = cof_word(COF_WORD_PAGE, pages[i]);
            uint64_t from[2] = {cof_word(COF_WORD_DISCARD_START, pages[i]),
                                cof_word(COF_WORD_DISCARD_LENGTH, 1)};
            uint64_t length[2] = {cof_word(COF_WORD_DISCARD_START, 1),
                                  cof_word(COF_WORD_DISCARD_LENGTH, pages[i])};
            assert_int_equal(open_with(&word, 1, plain), COFFER_E_TAMPER);
            assert_int_equal(open_with(from, 2, plain), COFFER_E_TAMPER);
            assert_int_equal(open_with(length, 2, plain), COFFER_E_TAMPER);
        }
    }
}

static void words_beyond_the_end_of_a_volume_are_taken(void **state)
{
    uint64_t word = cof_word(COF_WORD_PAGE, MOST - 1u);
    uint64_t all[2] = {cof_word(COF_WORD_DISCARD_START, 0),
                       cof_word(COF_WORD_DISCARD_LENGTH, MOST)};
    uint64_t odd[2] = {cof_word(COF_WORD_DISCARD_START, 3),
                       cof_word(COF_WORD_DISCARD_LENGTH, MOST - 4u)};
    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        assert_int_equal(open_with(&word, 1, plain), 0);
        assert_int_equal(open_with(all, 2, plain), 0);
        assert_int_equal(open_with(odd, 2, plain), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_that_no_volume_has_are_refused),
        cmocka_unit_test(words_beyond_the_end_of_a_volume_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
