#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The conformance suite: one list of cases against `cofferkms serve`, by each client, as one table.

usage: conform.py --server PROGRAM [--js FOLDER] [--clients raw,cli,boto3,js] [--all-by-cli]
                  [--only REGEX] [--list] [--expect-failures]

  --server PROGRAM   kms_conform_server: cofferkms, but for its clock (clock.c)
  --js FOLDER        where driver.mjs and its node_modules are
  --all-by-cli       every case by the AWS command line, too: half a second a call
  --expect-failures  the negative control: exit 0 if cases that are about states fail, else 1
  --list             print the list as JSON and stop

The exit code is 0 when nothing failed. A case that a client's version can't say is not a failure.
"""
import argparse
import json
import os
import re
import sys
import time

import language
import cases_crypto    # noqa: F401  each adds its cases to the list
import cases_keys      # noqa: F401
import cases_policy    # noqa: F401
import cases_grant     # noqa: F401
import cases_state     # noqa: F401
import cases_wire      # noqa: F401
import cases_material  # noqa: F401

import runner

HERE = os.path.dirname(os.path.abspath(__file__))
LEAST_ASSERTIONS = 600


def arguments():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1])
    parser.add_argument("--server")
    parser.add_argument("--js", default=os.path.join(HERE, "js"))
    parser.add_argument("--clients", default="raw,cli,boto3,js")
    parser.add_argument("--all-by-cli", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--expect-failures", action="store_true")
    return parser.parse_args()


def make_clients(world, names, js):
    import clients
    clients.follow_clock(world.clock)
    made = [clients.Raw(world)]
    kinds = {"raw": lambda: made[0], "cli": lambda: clients.Cli(world),
             "boto3": lambda: clients.Boto(world),
             "js": lambda: clients.Js(world, js)}
    return made[0], [kinds[name]() for name in names]


def cell(result):
    if result is None:
        return "-"
    if result.failed:
        return f"FAIL {result.failed}/{result.passed + result.failed}"
    return f"pass {result.passed}" if result.passed else "n/s"


def left_out(one, client, chosen):
    if client.name == "aws cli" and one["name"] not in chosen:
        return True
    return runner.has(one, "raw") and client.name != "raw"


def run_all(world, raw, tested, cases, everything_by_cli):
    """(case, {client: Result or None}) for each case, as they are done."""
    chosen = {one["name"] for one in cases if not runner.has(one, "travel")}
    for client in tested:
        if client.name == "aws cli" and not everything_by_cli:
            chosen = runner.each_operation_once(cases, client)
    for one in cases:
        results = {}
        for client in tested:
            out = left_out(one, client, chosen)
            results[client.name] = None if out else runner.Run(world, client, raw).case(one)
        yield one, results


def print_table(rows, tested):
    width = min(72, max(len(one["name"]) for one, _ in rows))
    print(f"{'case':<{width}}" + "".join(f"  {client.name:>10}" for client in tested))
    for one, results in rows:
        print(f"{one['name'][:width]:<{width}}"
              + "".join(f"  {cell(results[client.name]):>10}" for client in tested))


def print_totals(rows, tested):
    total = 0
    print()
    for client in tested:
        found = [results[client.name] for _, results in rows if results[client.name]]
        passed, failed = sum(r.passed for r in found), sum(r.failed for r in found)
        unsupported = sum(r.unsupported for r in found)
        version = f" {client.version}" if hasattr(client, "version") else ""
        print(f"{client.name + version:<20} {len(found):4} cases {passed:5} passed {failed:4} "
              f"failed {unsupported:4} not supported by this version")
        total += passed + failed
    return total


def print_failures(rows, tested):
    count = 0
    for one, results in rows:
        for client in tested:
            result = results[client.name]
            for note in result.notes if result else ():
                print(f"FAILED {one['name']} ({client.name}): {note}")
                count += 1
    return count


def main():
    options = arguments()
    cases = [one for one in language.CASES if re.search(options.only, one["name"])]
    if options.list:
        json.dump(cases, sys.stdout, indent=1)
        return 0
    import world as world_of
    began = time.monotonic()
    with world_of.World(options.server) as world:
        cases = [one for one in cases if set(one["needs"]) <= world.has]
        raw, tested = make_clients(world, options.clients.split(","), options.js)
        rows = list(run_all(world, raw, tested, cases, options.all_by_cli))
        world.alive()
    print_table(rows, tested)
    total = print_totals(rows, tested)
    print()
    failures = print_failures(rows, tested)
    print(f"{len(cases)} cases, {sum(runner.assertions(one) for one in cases)} assertions in the "
          f"list, {total} made, {failures} failed, {time.monotonic() - began:.0f} s")
    if options.expect_failures:
        about_states = [one["name"] for one, results in rows if " in state " in one["name"]
                        and any(r and r.failed for r in results.values())]
        print(f"negative control: {len(about_states)} cases about states failed")
        return 0 if about_states else 1
    if not options.only and total < LEAST_ASSERTIONS:
        print(f"fewer than {LEAST_ASSERTIONS} assertions were made")
        return 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
