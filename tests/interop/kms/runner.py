# SPDX-License-Identifier: Apache-2.0
"""Runs cases against a server by one client, and counts assertions: passed, failed, and what the
client's version cannot say."""
import email.utils
import uuid
from dataclasses import dataclass, field

import match


@dataclass
class Result:
    passed: int = 0
    failed: int = 0
    unsupported: int = 0
    notes: list = field(default_factory=list)

    def say(self, good, what):
        if good:
            self.passed += 1
        else:
            self.failed += 1
            self.notes.append(what)


class Broken(Exception):
    """A step that prepares failed: the rest of the case can't be judged."""


def short(value):
    text = repr(value)
    return text if len(text) <= 160 else text[:157] + "..."


def as_list(value):
    return [value] if isinstance(value, str) else list(value)


class Run:
    def __init__(self, world, client, raw):
        self.world, self.client, self.raw = world, client, raw
        self.result = Result()
        self.names = {}

    def case(self, one):
        """A Result; assertions of steps that could not be reached count as failed."""
        self.result = Result()
        self.names = {**self.world.names(), "unique": uuid.uuid4().hex[:12]}
        travelled = False
        try:
            for step in one["steps"]:
                travelled = travelled or step["kind"] == "travel"
                getattr(self, "step_" + step["kind"])(step)
        except Broken as broken:
            self.result.say(False, str(broken))
        finally:
            if travelled:
                self.world.set_clock(0)
        return self.result

    def now(self):
        return self.world.clock.now()

    def resolved(self, value):
        try:
            return match.resolve(value, self.names, self.now())
        except (KeyError, ValueError, IndexError, RuntimeError) as wrong:
            raise Broken(f"cannot prepare: {wrong}") from wrong

    def step_travel(self, step):
        self.world.set_clock(self.world.clock.ahead_s + step["seconds"])

    def step_let(self, step):
        self.names[step["save"]] = self.resolved({"?do": step["function"], **step["values"]})

    def step_do(self, step):
        answer = self.raw.call(step["op"], self.resolved(step["params"]), step["who"],
                               step["region"])
        if answer.error or answer.status != 200:
            raise Broken(f"preparing {step['op']}: {answer.error} {short(answer.message)}")
        if step["save"]:
            self.names[step["save"]] = answer.body

    def step_check(self, step):
        params = self.resolved(step["params"])
        client = self.client
        if not client.supports(step["op"], params):
            self.result.unsupported += 1
            client = self.raw
            if not step["save"] and not changes(step["op"]):
                return
        answer = client.call(step["op"], params, step["who"], step["region"])
        if client is not self.client:
            if step["save"] and not answer.error:
                self.names[step["save"]] = answer.body
            return
        self.judge(step, answer)
        if step["save"] and not answer.error:
            self.names[step["save"]] = self.whole(step, answer)

    def whole(self, step, answer):
        """What later steps see: an old client leaves members out that the wire has."""
        if self.client is self.raw or step["op"] not in ("CreateKey", "DescribeKey"):
            return answer.body
        again = self.raw.call("DescribeKey", {"KeyId": answer.body["KeyMetadata"]["Arn"]},
                              step["who"], step["region"])
        return answer.body if again.error else again.body

    def judge(self, step, answer):
        call = f"{step['op']} by {step['who']}"
        if step["error"]:
            wanted = as_list(step["error"])
            self.result.say(answer.error in wanted, f"{call}: wanted {' or '.join(wanted)}, got "
                            f"{answer.error or 'success'} {short(answer.message)}")
            if step["message"]:
                self.result.say(match.matches(answer.message, {"?re": step["message"]}, 0),
                                f"{call}: message {short(answer.message)} is not like "
                                f"{step['message']}")
            return
        self.result.say(answer.error == "", f"{call}: wanted success, got {answer.error} "
                        f"{short(answer.message)}")
        if answer.error:
            self.result.failed += len(step["expect"])
            return
        for path, want in step["expect"].items():
            if not self.client.knows(step["op"], path):
                self.result.unsupported += 1
                continue
            want = self.resolved(want)
            got = match.at(answer.body, path)
            self.result.say(match.matches(got, want, self.now()),
                            f"{call}: {path} wanted {short(want)}, got "
                            f"{'nothing' if got is match.NOTHING else short(got)}")

    def step_pages(self, step):
        params = self.resolved(step["params"])
        if not self.client.supports(step["op"], params):
            self.result.unsupported += 4
            return
        entries, sizes, marker, good = [], [], None, True
        for _ in range(2000):
            more = {"Marker": marker} if marker else {}
            answer = self.client.call(step["op"], {**params, "Limit": step["limit"], **more},
                                      step["who"], step["region"])
            if answer.error:
                self.result.say(False, f"{step['op']} page: {answer.error}")
                return
            page = answer.body.get(step["field"], [])
            entries += page
            sizes.append(len(page))
            truncated, marker = answer.body.get("Truncated"), answer.body.get("NextMarker")
            good = good and truncated is (marker is not None)
            if not marker:
                break
        self.result.say(good and not marker, f"{step['op']}: Truncated and NextMarker disagree")
        self.result.say(max(sizes) <= step["limit"], f"{step['op']}: pages of {sizes}")
        self.result.say(len({repr(entry) for entry in entries}) == len(entries),
                        f"{step['op']}: an entry is listed twice")
        wanted = self.resolved(step["includes"])
        found = match.matches(entries, {"?having": wanted}, self.now())
        fitting = step["count"] is None or len(entries) == step["count"]
        self.result.say(found and fitting, f"{step['op']}: {len(entries)} entries, wanted "
                        f"{step['count'] or 'some'} with {short(wanted)}")

    def step_raw(self, step):
        if self.client is not self.raw:
            return
        answer = self.raw.odd(**step["change"])
        wanted = step["status"] if isinstance(step["status"], tuple) else (step["status"],)
        self.result.say(answer.status in wanted,
                        f"{step['what']}: HTTP {answer.status} {answer.error}, wanted {wanted}")
        if step["error"]:
            self.result.say(answer.error in step["error"], f"{step['what']}: wanted "
                            f"{' or '.join(step['error'])}, got {answer.error or 'no name'}")
        header = step["change"].get("wants_header")
        if header:
            self.result.say(bool(answer.headers.get(header.lower())),
                            f"{step['what']}: no header {header}")
        if step["change"].get("wants_date"):
            date = answer.headers.get("date", "")
            self.result.say(is_near(date, self.now()), f"{step['what']}: dated {date or 'never'}")


def is_near(date, now):
    """Whether an HTTP date is that time, give or take two minutes."""
    try:
        return abs(email.utils.parsedate_to_datetime(date).timestamp() - now) < 120
    except (TypeError, ValueError):
        return False


def changes(op):
    """Whether later steps may depend on what the operation does."""
    return not op.startswith(("Describe", "Get", "List", "Encrypt", "Decrypt", "Generate", "Sign",
                              "Verify"))


def assertions(one):
    """How many assertions a case has."""
    total = 0
    for step in one["steps"]:
        if step["kind"] == "check":
            total += (1 + bool(step["message"])) if step["error"] else 1 + len(step["expect"])
        elif step["kind"] == "pages":
            total += 4
        elif step["kind"] == "raw":
            total += (1 + bool(step["error"]) + bool(step["change"].get("wants_header"))
                      + bool(step["change"].get("wants_date")))
    return total


def has(one, kind):
    return any(step["kind"] == kind for step in one["steps"])


def each_operation_once(cases, client):
    """Names of cases that between them do each operation of the list that the client has, with
    success, and meet each error by name; none that moves the clock."""
    chosen, seen = set(), set()
    for one in cases:
        if has(one, "travel"):
            continue
        new = set()
        for step in one["steps"]:
            if step["kind"] == "check" and client.supports(step["op"], step["params"]):
                new.add(step["op"] if not step["error"] else as_list(step["error"])[0])
            elif step["kind"] == "check":
                break
        else:
            if new - seen:
                chosen.add(one["name"])
                seen |= new
    return chosen
