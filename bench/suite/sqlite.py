# SPDX-License-Identifier: Apache-2.0
"""SQLite's loads in a file, on a volume, and by SQLCipher: the rounds, medians and tables."""
import os
import shutil
import statistics
import tempfile

from suite.process import Failed, run_json

ENGINES = ("plain", "coffer", "coffer-buffered", "sqlcipher")
LOADS = (("insert", "a row, a commit"), ("batch", "1000 rows a commit"), ("point", "point read"),
         ("scan", "scan"))
MODES = ("wal", "delete")


def one(program, engine, load, mode, directory, settings):
    place = tempfile.mkdtemp(prefix="sqlite.", dir=directory)
    try:
        return run_json([program, engine, load, mode, place, str(settings["seconds"]),
                         str(settings["rows"])])
    finally:
        shutil.rmtree(place, ignore_errors=True)


def engines_here(program, directory, say):
    """Those that run on this machine; the first has to."""
    found = []
    for engine in ENGINES:
        try:
            one(program, engine, "point", "wal", directory, {"seconds": 0.01, "rows": 10})
            found.append(engine)
        except Failed as error:
            if engine in ENGINES[:2]:
                raise
            say(f"without {engine}: {str(error).splitlines()[-1]}")
    return found


def measure(program, directory, settings, say):
    """Rows of {load, mode, engines: {name: {per_second, cpu_us, rounds}}}; each round runs all
    engines beside each other, in turned order each second time."""
    engines = engines_here(program, directory, say)
    rows = []
    for load, text in LOADS:
        for mode in MODES if load in ("insert", "batch") else MODES[:1]:
            runs = {engine: [] for engine in engines}
            for number in range(settings["rounds"]):
                order = engines if number % 2 == 0 else engines[::-1]
                for engine in order:
                    runs[engine].append(one(program, engine, load, mode, directory, settings))
            rows.append({"load": load, "mode": mode, "text": f"{text}, {mode}",
                         "engines": {name: summary(results, runs["plain"])
                                     for name, results in runs.items()}})
            say(line(rows[-1]))
    return rows


def summary(results, base):
    figures = [result["per_second"] for result in results]
    ratios = [result["per_second"] / other["per_second"] for result, other in zip(results, base)]
    return {"per_second": statistics.median(figures), "rounds": figures,
            "ratio": statistics.median(ratios), "ratio_min": min(ratios),
            "ratio_max": max(ratios), "sqlite": results[0]["sqlite"],
            "cpu_us": statistics.median(r["cpu_us_per_operation"] for r in results),
            "resident_bytes_max": max(r["resident_bytes_max"] for r in results)}


def line(row):
    parts = [f"{name} {entry['per_second']:,.0f}/s ({entry['ratio']:.2f})"
             for name, entry in row["engines"].items()]
    return f"{row['text']}: {', '.join(parts)}"


def markdown(result):
    """One table: rows a second, and the ratio to SQLite in a file of the same round."""
    names = [name for name in ENGINES if name in result["rows"][0]["engines"]]
    lines = ["| load | " + " | ".join(names) + " |",
             "| --- |" + " ---: |" * len(names)]
    for row in result["rows"]:
        cells = []
        for name in names:
            entry = row["engines"][name]
            share = "" if name == names[0] else f"; {entry['ratio']:.2f}"
            cells.append(f"{entry['per_second']:,.0f}{share}")
        lines.append(f"| {row['text']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def program_of(build):
    return os.path.join(build, "bin", "bench_sqlite")
