# SPDX-License-Identifier: Apache-2.0
"""Running a program that prints one JSON object, and saying in one sentence why it did not."""
import json
import subprocess


class Failed(Exception):
    """A run that gave no figures; its text is for people."""


def run_json(command, may_be_killed=False, timeout=900):
    """The object that command prints. may_be_killed: SIGKILL is how it is meant to end."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except FileNotFoundError as error:
        raise Failed(f"{command[0]} is not there: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise Failed(f"no answer within {timeout} s: {' '.join(command)}") from error
    if done.returncode != 0 and not (may_be_killed and done.returncode == -9):
        raise Failed(f"exit {done.returncode}: {' '.join(command)}\n{done.stderr.strip()}")
    start = done.stdout.find("{")  # fio may say a word about itself before the object
    try:
        return json.loads(done.stdout[start:])
    except (ValueError, IndexError) as error:
        raise Failed(f"no JSON from: {' '.join(command)}\n{done.stderr.strip()}") from error
