# SPDX-License-Identifier: Apache-2.0
"""What a result's JSON must hold: shapes by type, and that nothing that was asked for is missing
without a sentence why."""
from suite.goals import GOALS
from suite.rows import GROUPS, ROWS

NUMBER = (int, float)
NONE = type(None)
TOP = {"schema": int, "date": str, "commit": str, "dirty": bool, "quick": bool, "machine": dict,
       "load": list, "settings": dict, "groups": dict, "absent": dict, "goals": list,
       "wanted": list}
ENTRY = {"name": str, "text": str, "unit": str, "raw_text": str, "contenders": dict}
SUMMARY = {"rate": NUMBER, "spread": NUMBER, "ratio": NUMBER, "ratio_min": NUMBER,
           "ratio_max": NUMBER, "cpu": NUMBER, "p50_us": (*NUMBER, NONE), "p99_us": (*NUMBER, NONE),
           "p999_us": (*NUMBER, NONE), "memory_bytes": (*NUMBER, NONE), "rounds": list}
GOAL = {"name": str, "text": str, "want": str, "found": str, "values": list,
        "meets": (bool, NONE), "why": str}
MEMBERS = {"memory": ("text", "budget_bytes", "memory_bytes_max"),
           "recovery": ("text", "log_gib", "open_ms"),
           "snapshots": ("create", "delete", "rekey", "copy", "peers"),
           "steady": ("writes", "reads", "goal"), "scaling": ("curves", "absent"),
           "sqlite": ("rows",)}


def shape(where, value, wanted):
    """Sentences about members that are missing or of another kind."""
    if not isinstance(value, dict):
        return [f"{where} is no object"]
    found = [f"{where}.{name} is missing" for name in wanted if name not in value]
    return found + [f"{where}.{name} is a {type(value[name]).__name__}" for name, kind in
                    wanted.items() if name in value and not isinstance(value[name], kind)]


def check_row(where, entry, group):
    found = shape(where, entry, ENTRY)
    own = entry.get("contenders", {})
    found += [f"{where} has no {name}" for name in (group.get("base"), "coffer")
              if name not in own and name not in group["absent"]]
    for name, summary in own.items():
        found += shape(f"{where}.{name}", summary, SUMMARY)
        if isinstance(summary.get("rate"), NUMBER) and summary["rate"] <= 0:
            found.append(f"{where}.{name} has no rate")
    return found


def check_group(name, group, wanted):
    if "rows" not in group:
        return [] if isinstance(group.get("absent"), str) else [f"{name}: neither rows nor a why"]
    there = {entry.get("name"): entry for entry in group["rows"]}
    found = [f"{name}: the row {row} is missing" for row in wanted if row not in there]
    for row, entry in there.items():
        found += check_row(f"{name}.{row}", entry, group)
    found += [f"{name}.{peer}: absent without a why" for peer, why in group["absent"].items()
              if not why]
    return found


def check_part(name, value, members):
    entries = value if isinstance(value, list) else [value]
    if not entries:
        return [f"{name} is empty"]
    return [f"{name}: {member} is missing" for entry in entries
            for member in members if member not in entry]


def check(result):
    """Sentences, none when the result is whole."""
    found = shape("result", result, TOP)
    if found:
        return found
    if result["schema"] != 2:
        return [f"schema {result['schema']} is not 2"]
    for name in GROUPS:
        rows = [row.name for row in ROWS if row.group == name and row.name in result["wanted"]]
        if rows and name not in result["groups"]:
            found.append(f"the group {name} is missing")
        elif rows:
            found += check_group(name, result["groups"][name], rows)
    for name, members in MEMBERS.items():
        if name in result:
            found += check_part(name, result[name], members)
        elif name in result["wanted"] and not result["absent"].get(name):
            found.append(f"{name}: neither measured nor a why")
    found += [sentence for place, entry in enumerate(result["goals"])
              for sentence in shape(f"goals[{place}]", entry, GOAL)]
    judged = {entry.get("name") for entry in result["goals"] if isinstance(entry, dict)}
    return found + [f"the goal {goal.name} is missing" for goal in GOALS
                    if goal.name not in judged]
