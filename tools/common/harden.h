/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/harden.h - what a process does before keys are in it.
 */
#ifndef COF_TOOLS_COMMON_HARDEN_H
#define COF_TOOLS_COMMON_HARDEN_H

/* Keys will be in this process: no core dump, no tracer of the same user, and as much locked
 * memory as the hard limit gives. A limit that can't be raised shows when memory is locked. To be
 * done again after a change of user. */
void cof_tool_harden(void);

#endif
