#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The conformance suite: one list of cases against `cofferkms serve`, by each client, as one table.

usage: conform.py --server PROGRAM [--js FOLDER] [--clients raw,cli,boto3,js] [--all-by-cli]
                  [--only REGEX] [--list] [--expect-failures]

  --server PROGRAM   kms_conform_server: cofferkms, but for its clock (clock.c)
  --js FOLDER        where driver.mjs and its node_modules are
  --all-by-cli       every case by the AWS command line, too: half a second a call
  --expect-failures  the negative control: exit 0 when something failed, else 1
  --list             print the list as JSON and stop

The exit code is 0 when nothing failed. A case that a client's version can't say is not a failure.
"""
import argparse
import concurrent.futures
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
import cases_agree     # noqa: F401
import cases_usage     # noqa: F401
import cases_material  # noqa: F401

import clients
import runner
import world as world_of

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


def client_of(name, world, raw, js):
    return {"raw": lambda: raw, "cli": lambda: clients.Cli(world),
            "boto3": lambda: clients.Boto(world), "js": lambda: clients.Js(world, js)}[name]()


def left_out(one, client, chosen):
    if client.name == "aws cli" and one["name"] not in chosen:
        return True
    return runner.has(one, "raw") and client.name != "raw"


def run_client(name, options):
    """A process of its own, with a world of its own: what the client is called, and for each case
    a Result, or None where it was left out."""
    with world_of.World(options.server) as world:
        clients.follow_clock(world.clock)
        raw = clients.Raw(world)
        client = client_of(name, world, raw, options.js)
        cases = selected(options)
        # The command line's clock cannot be shifted.
        chosen = {one["name"] for one in cases if not runner.has(one, "travel")}
        if name == "cli" and not options.all_by_cli:
            chosen = runner.each_operation_once(cases, client)
        results = []
        for one in cases:
            absent = set(one["needs"]) - world.has
            results.append(None if absent or left_out(one, client, chosen)
                           else runner.Run(world, client, raw).case(one))
        world.alive()
        return (client.name, getattr(client, "version", "")), results


def selected(options):
    return [one for one in language.CASES if re.search(options.only, one["name"])]


def run_all(names, options):
    """The clients beside each other; what run_client says of each."""
    with concurrent.futures.ProcessPoolExecutor(max_workers=len(names)) as pool:
        return list(pool.map(run_client, names, [options] * len(names)))


def cell(result):
    if result is None:
        return "-"
    if result.failed:
        return f"FAIL {result.failed}/{result.passed + result.failed}"
    return f"pass {result.passed}" if result.passed else "n/s"


def print_table(cases, done):
    width = min(72, max(len(one["name"]) for one in cases))
    print(f"{'case':<{width}}" + "".join(f"  {name:>10}" for (name, _), _ in done))
    for number, one in enumerate(cases):
        print(f"{one['name'][:width]:<{width}}"
              + "".join(f"  {cell(results[number]):>10}" for _, results in done))


def print_totals(done):
    total = 0
    print()
    for (name, version), results in done:
        found = [result for result in results if result]
        passed, failed = sum(r.passed for r in found), sum(r.failed for r in found)
        unsupported = sum(r.unsupported for r in found)
        print(f"{name + ' ' + version:<20} {len(found):4} cases {passed:5} passed {failed:4} "
              f"failed {unsupported:4} not supported by this version")
        total += passed + failed
    return total


def print_failures(cases, done):
    for number, one in enumerate(cases):
        for (name, _), results in done:
            for note in results[number].notes if results[number] else ():
                print(f"FAILED {one['name']} ({name}): {note}")
    return sum(result.failed for _, results in done for result in results if result)


def verdict(options, cases, done, total, failures):
    """The exit code."""
    if options.expect_failures:
        caught = [one["name"] for number, one in enumerate(cases)
                  if any(results[number] and results[number].failed for _, results in done)]
        print(f"negative control: {len(caught)} of {len(cases)} cases failed")
        return 0 if caught else 1
    if not options.only and total < LEAST_ASSERTIONS:
        print(f"fewer than {LEAST_ASSERTIONS} assertions were made")
        return 1
    return 1 if failures else 0


def main():
    options = arguments()
    cases = selected(options)
    if options.list:
        json.dump(cases, sys.stdout, indent=1)
        return 0
    began = time.monotonic()
    done = run_all(options.clients.split(","), options)
    print_table(cases, done)
    total = print_totals(done)
    print()
    failures = print_failures(cases, done)
    print(f"{len(cases)} cases, {sum(runner.assertions(one) for one in cases)} assertions in the "
          f"list, {total} made, {failures} failed, {time.monotonic() - began:.0f} s")
    return verdict(options, cases, done, total, failures)


if __name__ == "__main__":
    sys.exit(main())
