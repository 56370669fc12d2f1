# SPDX-License-Identifier: Apache-2.0
"""A group of rows: every contender runs each of them, in rounds, one right after the other, in
turned order each second round, so that a drift of the machine favours none."""
import statistics

from suite.process import Failed

WHY_MAX = 300  # of the letters that a sentence about a failure has
FIGURES = ("rate", "cpu", "p50_us", "p99_us", "p999_us", "memory_bytes")


def middle(values):
    """The median of those that there are, or None."""
    found = [value for value in values if value is not None]
    return statistics.median(found) if found else None


def ratios(rounds, name, base, figure):
    return [one[name][figure] / one[base][figure] for one in rounds
            if one[name].get(figure) and one[base].get(figure)]


def summary(rounds, name, base):
    """A contender's medians over the rounds; spread is the widest difference of two rounds' rates
    to the median; a ratio is the median of those to the base of the same round."""
    own = [one[name] for one in rounds]
    rates = [figures["rate"] for figures in own]
    found = {figure: middle([figures.get(figure) for figures in own]) for figure in FIGURES}
    ratio = ratios(rounds, name, base, "rate")
    found.update(spread=(max(rates) - min(rates)) / found["rate"], ratio=middle(ratio),
                 ratio_min=min(ratio), ratio_max=max(ratio),
                 ratio_p99=middle(ratios(rounds, name, base, "p99_us")))
    if "rate_with_checkpoint" in own[0]:
        found["ratio_with_checkpoint"] = statistics.median(
            one[name]["rate_with_checkpoint"] / one[base]["rate"] for one in rounds)
    return {**found, "rounds": own}


def summarise(row, base, rounds):
    """One row's result: rounds is a list of {contender: figures}."""
    return {"name": row.name, "text": row.text.strip(), "indent": row.text, "unit": row.unit,
            "raw_text": row.raw_text,
            "contenders": {name: summary(rounds, name, base) for name in rounds[0]}}


def gather(field, say):
    """(those that are ready, {name: why not}). What is needed and fails ends the run."""
    ready, absent = [], {}
    for contender in field:
        why = contender.missing()
        if not why:
            say(f"laying out: {contender.name}")
            try:
                contender.prepare()
                ready.append(contender)
                continue
            except (Failed, OSError) as error:
                contender.close()
                if contender.needed:
                    raise
                why = str(error)
        absent[contender.name] = " ".join(why.split())[:WHY_MAX]
    return ready, absent


def run_rounds(rows, ready, base, settings, say):
    found = {row.name: [] for row in rows}
    for number in range(settings.rounds):
        for row in rows:
            figures = {}
            for contender in (ready if number % 2 == 0 else reversed(ready)):
                if contender.runs(row):
                    say(f"round {number + 1}/{settings.rounds}: {row.name}: {contender.name}")
                    figures[contender.name] = contender.run(row)
            found[row.name].append({one.name: figures[one.name] for one in ready
                                    if one.name in figures})
    return [summarise(row, base, found[row.name]) for row in rows]


def run(rows, field, settings, say):
    """The group's result; the first contender is the base of all ratios."""
    base = field[0].name
    try:
        ready, absent = gather(field, say)
        if base in absent:
            raise Failed(f"{base}: {absent[base]}")
        entries = run_rounds(rows, ready, base, settings, say)
    finally:
        for contender in field:
            contender.close()
    return {"base": base, "absent": absent, "rows": entries,
            "contenders": {one.name: {"text": one.text, "commands": list(one.commands),
                                      "page_cache": one.page_cache} for one in ready}}
