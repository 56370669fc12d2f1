/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash/kms - the key store dies: kill -9 at any moment, and the power cut at any event.
 *
 * Random operations (keys made, rotated, given material, robbed of it, disabled, described, tagged,
 * granted, named, scheduled for deletion, destroyed) are done one by one. After a death the store
 * is opened: it holds together (coffer_keystore_check: every row's MAC, the audit trail's chain),
 * shows everything that was acknowledged, what was under way whole or not at all, opens what it
 * sealed, and has nothing that was destroyed; nor has an older copy of it that is opened by its
 * ledger.
 *
 * With --whole, a backup, a restore and a change of the root secret are killed before each write
 * that they do, and have been done or not.
 *
 * Without --cuts, a child is killed; with it, the power is cut so often for each story of --length
 * operations, and an older copy is opened by the ledger that the cut left. --break LAZY_SYNC or
 * LAZY_LEDGER plants a store or ledger that acknowledges what it hasn't synced, EARLY_ANSWER a call
 * that doesn't wait for its batch's commit, --lie a child that acknowledges what it never did.
 * --break LATE_NOTE (with --whole) notes a restore when it is done.
 *
 * With --crowd, threads call at once, so that their calls share commits.
 */
#include "common/harness.h"
#include "kms/runs.h"
#include "kms/testhook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void tell(const char *what, const struct run_counts *counts, double start)
{
    printf("kms: %llu %s, %llu operations acknowledged, %llu rows checked, %llu older copies, "
           "%.1f s\nkms:",
           (unsigned long long)counts->deaths, what, (unsigned long long)counts->steps,
           (unsigned long long)counts->rows, (unsigned long long)counts->olds,
           harness_seconds() - start);
    for (unsigned i = 1; i < OP_KINDS; i++) {
        printf(" %s %llu", op_names[i], (unsigned long long)counts->by_op[i]);
    }
    printf("\n");
}

static const char *plant(const char *name)
{
    static const struct {
        const char *name;
        enum cof_kms_break fault;
    } faults[] = {{"LAZY_SYNC", COF_KMS_BREAK_LAZY_SYNC},
                  {"LAZY_LEDGER", COF_KMS_BREAK_LAZY_LEDGER},
                  {"EARLY_ANSWER", COF_KMS_BREAK_EARLY_ANSWER},
                  {"LATE_NOTE", COF_KMS_BREAK_LATE_NOTE}};
    for (size_t i = 0; name != NULL && i < sizeof faults / sizeof faults[0]; i++) {
        if (strcmp(name, faults[i].name) == 0) {
            cof_kms_test_break = faults[i].fault;
        }
    }
    if (name != NULL && cof_kms_test_break == COF_KMS_BREAK_NONE) {
        fprintf(stderr, "there is no fault %s: LAZY_SYNC, LAZY_LEDGER, EARLY_ANSWER, LATE_NOTE\n",
                name);
        exit(2);
    }
    return name;
}

int main(int argc, char **argv)
{
    static struct run_counts counts;
    uint64_t seed = 1, steps = 0, length = 60, cuts = 0, event = UINT64_MAX, variant = 0,
             rounds = 6;
    const char *directory = NULL, *fault = NULL, *broken;
    bool lie = false, whole = false, threads = false;
    double start = harness_seconds();
    char work[] = "/tmp/coffer-crash-kms-XXXXXX", command[64];
    const struct harness_option options[] = {
        {"--seed", &seed, NULL, NULL, "first seed [1]"},
        {"--steps", &steps, NULL, NULL, "operations in all [1500; with --cuts 300]"},
        {"--cuts", &cuts, NULL, NULL, "power cuts of each story, instead of kills"},
        {"--length", &length, NULL, NULL, "operations of a story [60]"},
        {"--event", &event, NULL, NULL, "one cut after so many events of the story --seed"},
        {"--variant", &variant, NULL, NULL, "its kind: 0 all, 1 none, 2 subset, 3 torn"},
        {"--directory", NULL, &directory, NULL, "where the files go [a new one in /tmp]"},
        {"--crowd", NULL, NULL, &threads, "threads that share commits, --rounds of stories"},
        {"--rounds", &rounds, NULL, NULL, "of --crowd [6]"},
        {"--whole", NULL, NULL, &whole, "kill backup, restore and rekey-root before each write"},
        {"--break", NULL, &fault, NULL, "plant LAZY_SYNC, LAZY_LEDGER, EARLY_ANSWER or LATE_NOTE"},
        {"--lie", NULL, NULL, &lie, "negative control: the child claims what it never did"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    harness_options(argc, argv, options, "the key store dies at any moment");
    broken = plant(fault);
    harness_quiet(lie || broken != NULL);
    if (directory == NULL) {
        directory = mkdtemp(work);
        harness_require(directory != NULL, "no directory");
    }
    if (event != UINT64_MAX) {
        cut_replay(directory, seed, length, event, (unsigned)variant);
        counts.deaths = 1;
    } else if (threads) {
        crowd_run(directory, seed, rounds, length, cuts, &counts);
    } else if (whole) {
        step_run(directory, lie, &counts);
    } else if (cuts > 0) {
        cut_run(directory, seed, steps != 0 ? steps : 300, length, cuts, &counts);
    } else {
        kill_run(directory, seed, steps != 0 ? steps : 1500, lie, &counts);
    }
    tell(cuts > 0 ? "power cuts" : "kills", &counts, start);
    if (directory == work) {
        snprintf(command, sizeof command, "rm -rf -- '%s'", work);
        harness_require(system(command) == 0, "%s", command);
    }
    return harness_close("kms", counts.deaths, lie ? "a claim of what was never done" : broken);
}
