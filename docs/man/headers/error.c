/* SPDX-License-Identifier: Apache-2.0 */
/* The example of coffer_error.h(3): not linked, but compiled by tests/cli/man_pages.sh. */

#include <coffer/error.h>
#include <inttypes.h>
#include <stdio.h>

/* What to do about an error, by its class; where it was, by the fault. */
int explain(int error, const struct coffer_fault *fault)
{
    enum coffer_error_class cls = coffer_error_class_of(error);

    fprintf(stderr, "%s (%s): %s\n", coffer_error_name(error), coffer_error_class_name(cls),
            fault->detail);
    if (fault->page != COFFER_NOWHERE) {
        fprintf(stderr, "page %" PRIu64 " of %s, found by its %s\n", fault->page, fault->volume,
                coffer_stage_name(fault->stage));
    }
    switch (cls) {
    case COFFER_CLASS_RETRY:
        return 1; /* again, later */
    case COFFER_CLASS_TAMPER:
        fprintf(stderr, "somebody has changed the store\n");
        return 0;
    default:
        return 0;
    }
}
