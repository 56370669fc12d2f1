# SPDX-License-Identifier: Apache-2.0
"""What is not a race: memory at 64 TiB, and opening after a crash."""
import os
import statistics

from suite.rows import GIB, MIB

TIB = 1 << 40
# Of coffer/coffer.h: what each budget is when it is not given.
DEFAULTS = {"staging": 16 * MIB, "node-cache": 64 * MIB, "tag-cache": 64 * MIB,
            "placement": 64 * MIB, "key-arena": 1 * MIB, "delta-entries": 4 * MIB}
SMALL = {"staging": 4 * MIB, "node-cache": 8 * MIB, "tag-cache": 8 * MIB,
         "placement": 8 * MIB, "key-arena": 1 * MIB, "delta-entries": 65536}
# A dirty map entry costs 16 bytes in a table at least 3/8 full, and a checkpoint sorts a copy of
# 16 bytes more; 48 with some room (engine/map/delta.c). What is written meanwhile comes on top.
DELTA_ENTRY_BYTES = 48


def budget_bytes(budgets):
    return sum(value * (DELTA_ENTRY_BYTES if name == "delta-entries" else 1)
               for name, value in budgets.items())


def scattered(coffer, text, budgets):
    """Writes, then reads, all over a volume of 64 TiB that has nothing else in it."""
    store = os.path.join(coffer.store.directory, "wide.store")
    words = ["--bs", 4096, "--depth", 32, "--amount", 4096 * coffer.settings.scattered]
    for name, value in budgets.items():
        words += [f"--{name}", value]
    try:
        create = ["--create", "--store-size", 64 * GIB, "--size", 64 * TIB]
        write = coffer.volume("--rw", "randwrite", *create, *words, store=store)
        read = coffer.volume("--rw", "randread", *words, store=store)
        return {
            "text": text,
            "budgets": budgets,
            "budget_bytes": budget_bytes(budgets),
            "memory_bytes_max": max(write["memory_bytes_max"], read["memory_bytes_max"]),
            "resident_bytes_max": max(write["resident_bytes_max"], read["resident_bytes_max"]),
            "write_iops": write["iops"],
            "read_iops": read["iops"],
            "checkpoint_ns": write["checkpoint_ns"],
            "store_used_bytes": os.stat(store).st_blocks * 512,
            "write": write,
            "read": read,
        }
    finally:
        if os.path.exists(store):
            os.unlink(store)


def memory(coffer):
    return [scattered(coffer, "64 TiB sparse, default budgets", DEFAULTS),
            scattered(coffer, "64 TiB sparse, small budgets", SMALL)]


def crash(coffer, text, words):
    """A load that ends by kill -9 with no checkpoint since it began, and the next open."""
    store = os.path.join(coffer.store.directory, "crash.store")
    size = coffer.settings.log
    # A checkpoint also runs when the log since the last one is 1/32 of the store.
    create = ["--create", "--store-size", max(64 * size, 16 * GIB), "--size", size]
    never = ["--checkpoint-every", "1e6", "--delta-entries", 64 * MIB]
    opens = []
    try:
        for _ in range(coffer.settings.rounds):
            load = coffer.volume(*create, *never, *words, "--kill-at-end", store=store,
                                 may_be_killed=True)
            opened = coffer.volume("--rw", "none", store=store)
            os.unlink(store)
            opens.append({
                "log_bytes": opened["recovered_log_bytes"],
                "written_bytes": load["bytes"],
                "writes": load["operations"],
                "checkpoints_before": load["checkpoints"],
                "recovery_ms": opened["recovery_ns"] / 1e6,
                "open_ms": (opened["store_open_ns"] + opened["volume_open_ns"]) / 1e6,
            })
    finally:
        if os.path.exists(store):
            os.unlink(store)
    log_gib = statistics.median(one["log_bytes"] for one in opens) / GIB
    recovery = statistics.median(one["recovery_ms"] for one in opens)
    return {
        "text": text,
        "log_gib": log_gib,
        "writes": opens[0]["writes"],
        "open_ms": statistics.median(one["open_ms"] for one in opens),
        "recovery_ms": recovery,
        "ms_per_gib": recovery / log_gib if log_gib else None,
        "rounds": opens,
    }


def recovery(coffer):
    log = coffer.settings.log
    return [
        crash(coffer, "log of 1 MiB writes",
              ["--rw", "write", "--bs", "1M", "--depth", 8, "--amount", log]),
        crash(coffer, "log of 4 KiB random writes, depth 32",
              ["--rw", "randwrite", "--bs", "4K", "--depth", 32, "--amount", log]),
        crash(coffer, "log of lone durable 4 KiB writes",
              ["--rw", "randwrite", "--bs", "4K", "--durable", "flush",
               "--amount", 4096 * coffer.settings.commits]),
    ]
