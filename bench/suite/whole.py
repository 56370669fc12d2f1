# SPDX-License-Identifier: Apache-2.0
"""All that a run may be asked for, by name: groups of rows and who runs them, and the parts that
are no race. What cannot be run here is left out with a sentence, never silently."""
import importlib.util
import os

from suite import (contenders, extra, files, peers, race, scaling, snapshot_report, snapshots,
                   steady)
from suite.process import Failed
from suite.report import memory_table, recovery_table
from suite.rows import GIB, GROUPS, ROWS

RESULTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "results")
RAM_TIMES = 15  # the size in memory: store, raw file and the peers' images
TABLES = {"memory": memory_table, "recovery": recovery_table, "snapshots": snapshot_report.tables,
          "steady": steady.table, "scaling": scaling.table}
PARTS = (*TABLES, "sqlite")


def room_bytes(settings):
    """The most that lies on the disk at once."""
    race_bytes = (contenders.STORE_TIMES + 6) * settings.size
    return GIB // 2 + max(race_bytes, snapshots.room_bytes(settings), steady.room_bytes(settings),
                          6 * settings.size + 2 * settings.log)


def sqlite_part():
    """The module of bench/run-sqlite, or None where the tree has none."""
    if importlib.util.find_spec("suite.sqlite") is None:
        return None
    return importlib.import_module("suite.sqlite")


def tables(name, part):
    return [sqlite_part().markdown(part)] if name == "sqlite" else TABLES[name](part)


class Whole:
    """ram is a directory on a tmpfs, or a sentence why there is none."""

    def __init__(self, directory, ram, programs, settings, say):
        self.directory, self.ram = directory, ram
        self.programs, self.settings, self.say = programs, settings, say
        self.volume = os.path.join(programs, "bench_volume")

    # ---- who runs the rows ----

    def library(self, in_memory=False):
        """Coffer's contenders, on one store."""
        directory = self.ram if in_memory else self.directory
        size = self.settings.ram_size if in_memory else self.settings.size
        store = contenders.Store(directory, size, self.volume, in_memory)
        return [contenders.Coffer("coffer", "the library, cipher code chosen by the processor",
                                  store, self.settings),
                contenders.Coffer("coffer-evp", "the same, always OpenSSL", store, self.settings,
                                  ("--cipher", "evp")),
                contenders.Coffer("plain", "the same, an unencrypted volume", store,
                                  self.settings, plain=True)]

    def disk(self):
        directory, settings = self.directory, self.settings
        return [contenders.Raw(directory, settings.size, settings, self.volume),
                *self.library(),
                *(kind(directory, settings.size, settings)
                  for kind in (peers.QemuLuks, peers.NbdkitLuks, peers.Gocryptfs))]

    def memory(self):
        return [contenders.Raw(self.ram, self.settings.ram_size, self.settings, self.volume),
                *self.library(in_memory=True)]

    def nbd(self):
        ram, size, settings = self.ram, self.settings.ram_size, self.settings
        library = self.library(in_memory=True)[0]
        return [peers.NbdkitPlain(ram, size, settings),
                peers.CofferNbd(ram, size, settings, library, self.programs),
                peers.NbdkitLuks(ram, size, settings), peers.QemuLuks(ram, size, settings)]

    def group(self, name, rows, only):
        """only: names of contenders besides the first, or None."""
        if name != "disk" and not os.path.isdir(self.ram):
            return {"absent": self.ram}
        field = {"disk": self.disk, "ram": self.memory, "nbd": self.nbd}[name]()
        field = [field[0], *(one for one in field[1:] if only is None or one.name in only)]
        try:
            return race.run(rows, field, self.settings, lambda what: self.say(f"{name}: {what}"))
        except Failed as error:
            if name == "disk":
                raise
            return {"absent": " ".join(str(error).split())[:race.WHY_MAX]}

    # ---- what is no race ----

    def coffer(self):
        return self.library()[0]

    def scaling(self):
        ram = tuple(self.memory()[:2]) if os.path.isdir(self.ram) else self.ram
        return scaling.measure(tuple(self.disk()[:2]), ram, self.programs, self.settings, RESULTS,
                               lambda what: self.say(f"scaling: {what}"))

    def sqlite(self):
        module = sqlite_part()
        program = os.path.join(self.programs, "bench_sqlite")
        if module is None or not os.path.exists(program):
            raise Failed("bench_sqlite is not built: the SQLite VFS is not in this tree, or "
                         "SQLite's headers were not found")
        settings = {**self.settings.sqlite, "rounds": self.settings.rounds}
        return {"rows": module.measure(program, self.directory, settings,
                                       lambda what: self.say(f"sqlite: {what}"))}

    def part(self, name):
        def say(what):
            self.say(f"{name}: {what}")
        where = (self.directory, self.settings, self.programs)
        if name == "snapshots":
            ram = self.ram if os.path.isdir(self.ram) else None
            return snapshots.Scene(*where, ram).measure(say)
        if name == "steady":
            return steady.Steady(*where).measure(say)
        self.say(name)
        return {"memory": lambda: extra.memory(self.coffer()),
                "recovery": lambda: extra.recovery(self.coffer()),
                "scaling": self.scaling, "sqlite": self.sqlite}[name]()

    def measure(self, wanted, only):
        """groups, parts and what is absent; wanted: names of rows and parts."""
        result = {"groups": {}, "absent": {}, "wanted": list(wanted)}
        for name in GROUPS:
            rows = [row for row in ROWS if row.group == name and row.name in wanted]
            if rows:
                result["groups"][name] = self.group(name, rows, only)
        for name in PARTS:
            if name not in wanted:
                continue
            try:
                result[name] = self.part(name)
            except Failed as error:
                if name != "sqlite":
                    raise
                result["absent"][name] = str(error)
        return result


def names(text):
    """The rows and parts that --only's words stand for: all when there are none."""
    everything = [row.name for row in ROWS] + list(PARTS)
    if not text:
        return everything
    wanted = []
    for word in text.split(","):
        found = [row.name for row in ROWS if word in (row.name, row.group)]
        found += [word] if word in PARTS else []
        if not found:
            raise Failed(f"no such row, group or part: {word}")
        wanted += found
    return [name for name in everything if name in wanted]


def ram_directory(parent, settings):
    """parent, or a sentence why nothing can be measured there."""
    return files.why_not_direct(parent, RAM_TIMES * settings.ram_size) or parent


def grown():
    """How many times the cost of a page of 10 GiB a page of 1 TiB has, in the newest run-scale."""
    found = {}
    for kind in ("plain", "encrypted"):
        kept = scaling.newest(RESULTS, kind == "encrypted")
        if kept is None:
            continue
        date, runs = kept
        small = min(runs, key=lambda run: run["size_bytes"])
        large = max(runs, key=lambda run: run["size_bytes"])
        found[kind] = {"from": date, **{
            span: large[span]["engine_cpu_ns_page"] / small[span]["engine_cpu_ns_page"]
            for span in ("fill", "overwrite")}}
    return found
