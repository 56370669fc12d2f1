# SPDX-License-Identifier: Apache-2.0
"""References and matchers: what a case's "${...}" stands for, and whether an answer fits."""
import base64
import re

import values

REFERENCE = re.compile(r"\$\{([\w.]+)\}")
NOTHING = object()


def at(value, path):
    """The member of an answer that a dotted path names; NOTHING when there is none."""
    for part in path.split("."):
        if isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, dict) and part in value:
            value = value[part]
        else:
            return NOTHING
    return value


def resolve(value, names, now):
    """A copy with references followed and values worked out. Matchers stay."""
    if isinstance(value, str):
        whole = REFERENCE.fullmatch(value)
        if whole:
            return look_up(whole.group(1), names)
        return REFERENCE.sub(lambda hit: str(look_up(hit.group(1), names)), value)
    if isinstance(value, list):
        return [resolve(item, names, now) for item in value]
    if isinstance(value, dict):
        done = {key: resolve(item, names, now) for key, item in value.items()}
        if "?do" in done:
            return values.FUNCTIONS[done.pop("?do")](**done)
        if "?now" in done:
            return round(now + done["?now"])
        return done
    return value


def look_up(path, names):
    found = at(names, path)
    if found is NOTHING:
        raise KeyError(f"nothing is saved as {path}")
    return found


def fits(entry, wanted, now):
    """Whether an entry has every wanted member."""
    return isinstance(entry, dict) and all(matches(at(entry, path), want, now)
                                           for path, want in wanted.items())


MATCHERS = {
    "?absent": lambda got, want, now: got is NOTHING,
    "?present": lambda got, want, now: got is not NOTHING,
    "?not": lambda got, want, now: got is not NOTHING and got != want,
    "?re": lambda got, want, now: isinstance(got, str) and re.search(want, got) is not None,
    "?bytes": lambda got, want, now: isinstance(got, str)
    and want[0] <= len(base64.b64decode(got)) <= want[1],
    "?near": lambda got, want, now: isinstance(got, (int, float)) and not isinstance(got, bool)
    and abs(got - (now + want)) < 120,
    "?count": lambda got, want, now: isinstance(got, list) and len(got) == want,
    "?set": lambda got, want, now: isinstance(got, list) and sorted(got) == sorted(want),
    "?having": lambda got, want, now: isinstance(got, list)
    and all(any(fits(entry, one, now) for entry in got) for one in want),
    "?lacking": lambda got, want, now: isinstance(got, list)
    and not any(fits(entry, one, now) for entry in got for one in want),
}


def matches(got, want, now):
    if isinstance(want, dict) and len(want) == 1:
        name, argument = next(iter(want.items()))
        if name in MATCHERS:
            return MATCHERS[name](got, argument, now)
    if isinstance(want, dict) and isinstance(got, dict):
        return want.keys() == got.keys() and all(matches(got[k], want[k], now) for k in want)
    if isinstance(want, (int, float)) and isinstance(got, (int, float)) \
            and isinstance(want, bool) == isinstance(got, bool):
        return abs(got - want) < 0.01
    return got is not NOTHING and got == want
