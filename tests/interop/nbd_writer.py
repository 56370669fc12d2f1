# SPDX-License-Identifier: Apache-2.0
"""Writes by NBD until the server is killed, and tells afterwards whether what it promised is there.

  nbd_writer.py write URI STATE --seed N --requests N --kill PID...
  nbd_writer.py verify URI STATE --promise answered|durable

Each page holds its number and the number of its last write. `write` keeps, of each page, the writes
it sent in order, up to which they were answered, and up to which a flush or FUA made them durable;
the processes are killed while requests are under way. Then a page may hold any write from the one
that was promised on, and no other: `answered` is what the death of the server leaves, `durable`
what a loss of power does.
"""
import argparse
import json
import os
import random
import signal
import struct
import sys

import nbd  # pylint: disable=import-error

PAGE = 4096
PAGES = 2048
CONNECTIONS = 3
DEPTH = 8


def contents(page, tag):
    return bytes(PAGE) if tag == 0 else struct.pack("<QQ", page, tag) * (PAGE // 16)


class Page:
    """What was written to it: tags, oldest first; 0 is zeros."""

    def __init__(self):
        self.tags = [0]
        self.answered = 0
        self.durable = 0
        self.busy = False


class Writer:
    def __init__(self, uri, seed):
        self.random = random.Random(seed)
        self.pages = [Page() for _ in range(PAGES)]
        self.tag = 0
        self.answered = 0
        self.links = []
        for _ in range(CONNECTIONS):
            link = nbd.NBD()
            link.connect_uri(uri)
            self.links.append((link, {}))

    def choose(self):
        """A free range: pages and how many, or None."""
        count = self.random.choice((1, 1, 1, 2, 4, 16))
        first = self.random.randrange(PAGES - count)
        if any(self.pages[n].busy for n in range(first, first + count)):
            return None
        return first, count

    def change(self, link):
        chosen = self.choose()
        if chosen is None:
            return None
        first, count = chosen
        kind = self.random.random()
        fua = self.random.random() < 0.05
        flags = nbd.CMD_FLAG_FUA if fua else 0
        body = []
        for number in range(first, first + count):
            self.tag += 1
            page = self.pages[number]
            page.busy = True
            page.tags.append(0 if kind < 0.1 else self.tag)
            body.append(contents(number, page.tags[-1]))
        if kind < 0.05:
            cookie = link.aio_trim(count * PAGE, first * PAGE, flags=flags)
        elif kind < 0.1:
            cookie = link.aio_zero(count * PAGE, first * PAGE, flags=flags)
        else:
            buffer = nbd.Buffer.from_bytearray(bytearray(b"".join(body)))
            cookie = link.aio_pwrite(buffer, first * PAGE, flags=flags)
        return cookie, lambda: self.was_answered(first, count, fua)

    def was_answered(self, first, count, fua):
        for page in self.pages[first:first + count]:
            page.busy = False
            page.answered = len(page.tags) - 1
            if fua:
                page.durable = page.answered

    def flush(self, link):
        before = [page.answered for page in self.pages]
        return link.aio_flush(), lambda: self.was_flushed(before)

    def was_flushed(self, before):
        for page, answered in zip(self.pages, before):
            page.durable = max(page.durable, answered)

    def submit(self):
        for link, waiting in self.links:
            while len(waiting) < DEPTH:
                sent = self.flush(link) if self.random.random() < 0.01 else self.change(link)
                if sent is not None:
                    waiting[sent[0]] = sent[1]

    def collect(self):
        for link, waiting in self.links:
            link.poll(1 if link is self.links[0][0] else 0)
            for cookie in list(waiting):
                if link.aio_command_completed(cookie):
                    waiting.pop(cookie)()
                    self.answered += 1

    def run(self, requests, victims):
        """Until the server is gone."""
        alive = True
        try:
            while True:
                self.submit()
                if alive and self.answered >= requests:
                    alive = False
                    for victim in victims:
                        os.kill(victim, signal.SIGKILL)
                self.collect()
        except nbd.Error as error:
            if alive:
                raise SystemExit(f"before it was killed: {error}") from error


def save(writer, path):
    with open(path, "w", encoding="ascii") as out:
        json.dump([[page.tags, page.answered, page.durable] for page in writer.pages], out)
    behind = sum(page.answered > page.durable for page in writer.pages)
    print(f"{writer.answered} requests answered, {behind} pages not durable yet")


def verify(uri, path, promise):
    with open(path, encoding="ascii") as lines:
        state = json.load(lines)
    link = nbd.NBD()
    link.connect_uri(uri)
    wrong = 0
    for number, (tags, answered, durable) in enumerate(state):
        since = answered if promise == "answered" else durable
        found = link.pread(PAGE, number * PAGE)
        if all(found != contents(number, tag) for tag in tags[since:]):
            wrong += 1
            if wrong <= 5:
                print(f"page {number}: {bytes(found[:16]).hex()} is none of {tags[since:]}")
    link.shutdown()
    print(f"{len(state)} pages, {wrong} wrong")
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=("write", "verify"))
    parser.add_argument("uri")
    parser.add_argument("state")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--kill", type=int, nargs="*", default=[])
    parser.add_argument("--promise", choices=("answered", "durable"), default="durable")
    args = parser.parse_args()
    if args.verb == "verify":
        return verify(args.uri, args.state, args.promise)
    writer = Writer(args.uri, args.seed)
    writer.run(args.requests, args.kill)
    save(writer, args.state)
    return 0


if __name__ == "__main__":
    sys.exit(main())
