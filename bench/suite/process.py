# SPDX-License-Identifier: Apache-2.0
"""Running programs: one that prints a JSON object, one that is timed, one that serves meanwhile;
and saying in one sentence why it did not go."""
import json
import os
import signal
import subprocess
import tempfile
import time

TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
START_SECONDS = 30  # after which a server that does not answer has failed


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


def run_timed(command):
    """What command took, with the processes that it waited for: seconds, processor seconds, and
    the most memory that one of them had resident."""
    with tempfile.TemporaryFile("w+") as errors:
        start = time.monotonic()
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=errors)
        except FileNotFoundError as error:
            raise Failed(f"{command[0]} is not there: {error.strerror}") from error
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - start
        errors.seek(0)
        if process.returncode != 0:
            raise Failed(f"{' '.join(command)}: {errors.read().strip()}")
    return {"seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "resident_bytes_max": usage.ru_maxrss * 1024}


def family(pid):
    """pid and the processes below it."""
    pids = [pid]
    for task in pids:
        try:
            with open(f"/proc/{task}/task/{task}/children", encoding="ascii") as handle:
                pids += [int(word) for word in handle.read().split()]
        except OSError:
            continue  # it ended meanwhile
    return pids


class Server:
    """A program that runs beside the loads, until stop; its processor time and memory are read
    from /proc, of all processes below it together."""

    def __init__(self, command, ready, environment=None):
        """ready() says whether it serves."""
        self.command = command
        self.errors = tempfile.TemporaryFile("w+")
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.errors,
                                            stderr=self.errors, env=environment)
        except FileNotFoundError as error:
            self.errors.close()
            raise Failed(f"{command[0]} is not there: {error.strerror}") from error
        end = time.monotonic() + START_SECONDS
        while not ready():
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise Failed(f"it does not serve: {' '.join(command)}: {self.said}")
            time.sleep(0.02)

    def cpu_seconds(self):
        ticks = 0
        for pid in family(self.process.pid):
            try:
                with open(f"/proc/{pid}/stat", encoding="utf-8") as handle:
                    words = handle.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            ticks += int(words[11]) + int(words[12])
        return ticks * TICK_SECONDS

    def resident_bytes_max(self):
        total = 0
        for pid in family(self.process.pid):
            try:
                with open(f"/proc/{pid}/status", encoding="utf-8") as handle:
                    lines = handle.read().splitlines()
            except OSError:
                continue
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
        return total

    def stop(self):
        """End it and wait. What it said last is in self.said."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.errors.seek(0)
        self.said = self.errors.read().strip()[-500:]
        self.errors.close()
