/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load/plan.c - see plan.h. The generator is SplitMix64 (Steele, Lea, Flood 2014): fast, with
 * one word of state, and good enough for offsets; nothing secret comes from it.
 */
#include "plan.h"
#include <string.h>

#define PAGE_BYTES 4096u

static uint64_t draw(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void cof_load_plan_init(struct cof_load_plan *plan, const struct cof_load_shape *shape,
                        uint64_t span_bytes, unsigned share, unsigned shares, uint64_t now_ns)
{
    memset(plan, 0, sizeof *plan);
    plan->block_bytes = shape->block_bytes;
    plan->block_count = span_bytes / shape->block_bytes / shares;
    plan->first_block = share * plan->block_count;
    plan->random_state = shape->seed + share;
    plan->random = cof_load_is_random(shape->rw);
    plan->mix_state = ~plan->random_state;
    plan->read_percent = cof_load_writes(shape->rw) ? 0 : 100;
    if (shape->rw == COF_LOAD_RANDRW) {
        plan->read_percent = shape->read_percent;
    }
    plan->left =
        shape->amount_bytes == 0 ? UINT64_MAX : shape->amount_bytes / shape->block_bytes / shares;
    plan->end_ns = shape->runtime_ns == 0 ? 0 : now_ns + shape->runtime_ns;
    plan->pace_ns = shape->rate == 0 ? 0 : 1000000000u * (uint64_t)shares / shape->rate;
    plan->due_ns = now_ns;
}

bool cof_load_plan_over(const struct cof_load_plan *plan, uint64_t now_ns)
{
    return plan->left == 0 || (plan->end_ns != 0 && now_ns >= plan->end_ns);
}

bool cof_load_plan_next(struct cof_load_plan *plan, uint64_t now_ns, uint64_t *ret_offset_bytes)
{
    if (cof_load_plan_over(plan, now_ns) || (plan->pace_ns != 0 && now_ns < plan->due_ns)) {
        return false;
    }
    plan->due_ns += plan->pace_ns;
    uint64_t block;
    if (plan->random) {
        block = draw(&plan->random_state) % plan->block_count;
    } else {
        block = plan->position;
        plan->position = block + 1 == plan->block_count ? 0 : block + 1;
    }
    plan->left -= plan->left == UINT64_MAX ? 0 : 1;
    *ret_offset_bytes = (plan->first_block + block) * plan->block_bytes;
    return true;
}

bool cof_load_plan_reads(struct cof_load_plan *plan)
{
    return plan->read_percent != 0 &&
           (plan->read_percent == 100 || draw(&plan->mix_state) % 100 < plan->read_percent);
}

void cof_load_fill(void *buffer, size_t bytes, uint64_t seed)
{
    uint8_t *at = buffer;
    for (size_t done = 0; done + 8 <= bytes; done += 8) {
        uint64_t word = draw(&seed);
        memcpy(at + done, &word, sizeof word);
    }
}

void cof_load_stamp(void *buffer, uint64_t offset_bytes, size_t bytes)
{
    uint8_t *at = buffer;
    for (size_t done = 0; done + PAGE_BYTES <= bytes; done += PAGE_BYTES) {
        uint64_t page = (offset_bytes + done) / PAGE_BYTES + 1;
        memcpy(at + done, &page, sizeof page);
    }
}

bool cof_load_stamped(const void *buffer, uint64_t offset_bytes, size_t bytes)
{
    const uint8_t *at = buffer;
    for (size_t done = 0; done + PAGE_BYTES <= bytes; done += PAGE_BYTES) {
        uint64_t page = (offset_bytes + done) / PAGE_BYTES + 1;
        if (memcmp(at + done, &page, sizeof page) != 0) {
            return false;
        }
    }
    return true;
}
