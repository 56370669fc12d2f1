#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The server's sockets, TLS, HTTP and threads, by clients that behave and clients that do not.

usage: kms_server.py ECHO [--connections N] [--garbage N] [CASE...]

ECHO is kms_server_echo. --connections is the size of the crowd (1000; --connections 10000 is the
long form, which prints the server's memory), --garbage how many requests are mutated (1000; their
seed is printed when one is answered wrongly). Nothing waits for a time to pass: tests wait for what
the other side does, and the server's own limits are set so low that they come at once. Each check
of a bound has a control beside it that stays within.
"""
import contextlib
import http.client
import os
import random
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

ECHO = sys.argv[1]
CROWD = 1000
GARBAGE = 1000
LIMIT = 120  # seconds until a test that hangs fails; nothing that holds comes near
CHECKS = 0


def check(condition, what):
    global CHECKS
    CHECKS += 1
    if not condition:
        raise AssertionError(what)


class Server:
    """kms_server_echo, with what it says; closed by SIGTERM and judged by its exit status."""

    def __init__(self, *options, env=None, listen="127.0.0.1:0", fails=False):
        self.directory = tempfile.mkdtemp(prefix="kms-server-")
        self.ledger_path = os.path.join(self.directory, "ledger")
        command = [ECHO, "--ledger", self.ledger_path, *options]
        command += ["--listen", listen] if listen else []
        self.lines, self.ports = [], []
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True,
                                        errors="replace", env=dict(os.environ, **(env or {})))
        self.ready, self.changed = threading.Event(), threading.Condition()
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        if fails:
            return
        check(self.ready.wait(LIMIT) and self.process.poll() is None, f"no start: {self.lines}")

    def read(self):
        for line in self.process.stderr:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()
            place = re.match(r"listening on https?://.*:(\d+)$", line)
            if place:
                self.ports.append(int(place[1]))
            if line.startswith("ready"):
                self.ready.set()
        self.ready.set()

    def said(self, text, times=1):
        """Wait until that many lines hold text."""
        with self.changed:
            return self.changed.wait_for(
                lambda: sum(text in line for line in self.lines) >= times, LIMIT)

    def refused(self):
        """The exit status and the last line of a server that must not start."""
        status = self.process.wait(LIMIT)
        self.reader.join(LIMIT)
        self.clean()
        return status, self.lines[-1] if self.lines else ""

    def ledger(self):
        with open(self.ledger_path, encoding="ascii") as ledger:
            return [line for line in ledger.read().splitlines() if line != "tick"]

    def rss_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])

    def clean(self):
        subprocess.run(["rm", "-rf", self.directory], check=True)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self):
        status = self.process.wait(LIMIT)
        self.reader.join(LIMIT)
        self.process.stderr.close()
        return status

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            if kind is not None:
                self.process.kill()
            status = self.stop() if kind is None else self.wait()
            if kind is None:
                check(status == 0, f"the server ended with {status}: {self.lines[-3:]}")
        self.clean()

    # --- clients

    def connect(self):
        sock = socket.create_connection(("127.0.0.1", self.ports[0]), LIMIT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def raw(self, data):
        """Send bytes; all that comes until the other side closes, b"" for a reset."""
        with self.connect() as sock:
            with contextlib.suppress(ConnectionError):
                sock.sendall(data)
            return read_all(sock)

    def call(self, operation, body=b"", connection=None):
        connection = connection or http.client.HTTPConnection("127.0.0.1", self.ports[0],
                                                              timeout=LIMIT)
        connection.request("POST", "/", body, {"X-Amz-Target": f"TrentService.{operation}"})
        answer = connection.getresponse()
        return answer.status, answer.read()

    def lives(self):
        """It answers. While what came before still fills its queue it may say 503 first; and where
        its deadlines are low, a client that the machine held up meanwhile is dropped."""
        end, answer = time.monotonic() + LIMIT, None
        while answer != (200, b"alive") and time.monotonic() < end and self.process.poll() is None:
            try:
                answer = self.call("Echo", b"alive")
            except (OSError, http.client.HTTPException) as error:
                answer = (503, error)
            if answer[0] != 503:
                break
        check(answer == (200, b"alive"), f"the server does not answer: {answer}")

    def served_idle(self):
        """A connection that was answered once; as above, dropped ones don't count."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            sock = self.connect()
            with contextlib.suppress(ConnectionError):
                sock.sendall(request(b"Echo", b"x"))
                if read_answer(sock)[0] == 200:
                    return sock
            sock.close()
        raise AssertionError("no answer")


def read_all(sock):
    data = b""
    with contextlib.suppress(ConnectionError):
        while more := sock.recv(65536):
            data += more
    return data


def read_answer(sock, data=b""):
    """One answer: status, body, and what was read beyond it."""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return 0, b"", data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    length = int(length[1]) if length else 0
    while len(body) < length:
        more = sock.recv(65536)
        if not more:
            break
        body += more
    return int(head.split()[1]), body[:length], body[length:]


def request(operation, body=b"", extra=b"", method=b"POST", target=b"/", version=b"HTTP/1.1"):
    head = b"%s %s %s\r\nHost: kms\r\n" % (method, target, version)
    head += b"X-Amz-Target: TrentService.%s\r\n" % operation if operation else b""
    if method == b"POST" and b"ength:" not in extra and b"ncoding:" not in extra:
        head += b"Content-Length: %d\r\n" % len(body)
    return head + extra + b"\r\n" + body


LAST = b"Connection: close\r\n"


def answers_in(data):
    return len(re.findall(rb"HTTP/1\.\d \d\d\d ", data))


def status_of(answer):
    return int(answer.split()[1]) if answer.startswith(b"HTTP/") else 0


def make_certificate(directory, name, *subject):
    key, cert = (os.path.join(directory, f"{name}.{end}") for end in ("key", "crt"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                    f"/CN={subject[0] if subject else name}", "-addext",
                    "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    os.chmod(key, 0o600)
    return cert, key


# ---- HTTP ------------------------------------------------------------------------------------

def case_answers():
    with Server() as server:
        check(server.call("Echo", b"hello") == (200, b"hello"), "an echo")
        check(server.call("Echo") == (200, b""), "an empty one")
        big = bytes(range(256)) * 4096
        check(server.call("Echo", big) == (200, big), "the largest body, 1 MiB")
        check(server.call("Fail")[0] == 500, "no answer is a status of 500")
        answer = server.raw(request(b"", method=b"GET", target=b"/healthz", extra=LAST))
        check(status_of(answer) == 200 and answer.endswith(b"ok\n"), "health")
        answer = server.raw(request(b"Echo", b"x", LAST))
        check(b"X-Peer: 127.0.0.1\r\n" in answer, "the peer's address")
        check(b"x-amzn-RequestId: " in answer, "the request's id")
        chunks = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        answer = server.raw(request(b"Echo", chunks, b"Transfer-Encoding: chunked\r\n" + LAST))
        check(answer.endswith(b"\r\n\r\nabcde"), "chunks")
        check(server.said("operation=Echo status=200"), "an access line")


def case_malformed():
    good = request(b"Echo", b"ab", LAST)
    wrong = {
        "not HTTP": b"garbage\r\n\r\n",
        "zeros": bytes(4096) + b"\r\n\r\n",
        "TLS on a plain port": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(512),
        "no host": good.replace(b"Host: kms\r\n", b""),
        "two hosts": good.replace(b"Host: kms\r\n", b"Host: kms\r\nHost: other\r\n"),
        "two authorizations": request(b"Echo", b"", b"Authorization: a\r\nauthorization: b\r\n"),
        "two targets": request(b"Echo", b"", b"x-amz-target: TrentService.Note\r\n"),
        "two lengths": request(b"Echo", b"ab", b"Content-Length: 2\r\nContent-Length: 1\r\n"),
        "the same length twice": request(b"Echo", b"a", b"Content-Length: 1\r\n" * 2),
        "lengths in one line": request(b"Echo", b"ab", b"Content-Length: 2, 2\r\n"),
        "length and chunks": request(b"Echo", b"0\r\n\r\n",
                                     b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        "another coding": request(b"Echo", b"0\r\n\r\n", b"Transfer-Encoding: gzip\r\n"
                                  b"Content-Length: 5\r\n"),
        "a signed length": request(b"Echo", b"a", b"Content-Length: +1\r\n"),
        "a negative length": request(b"Echo", b"a", b"Content-Length: -1\r\n"),
        "a hexadecimal length": request(b"Echo", b"a", b"Content-Length: 0x1\r\n"),
        "a huge length": request(b"Echo", b"a", b"Content-Length: 99999999999999999999\r\n"),
        "a length beyond the bound": request(b"Echo", b"", b"Content-Length: 1048577\r\n"),
        "a chunk beyond the bound": request(b"Echo", b"100001\r\n",
                                            b"Transfer-Encoding: chunked\r\n"),
        "a chunk that is none": request(b"Echo", b"xyz\r\n", b"Transfer-Encoding: chunked\r\n"),
        "a blank before the colon": request(b"Echo", b"", b"X-Header : x\r\n"),
        "a control character": request(b"Echo", b"", b"X-Header: a\x01b\r\n"),
        "no colon": request(b"Echo", b"", b"nonsense\r\n"),
        "an empty name": request(b"Echo", b"", b": x\r\n"),
        "HTTP/1.0": request(b"Echo", b"", version=b"HTTP/1.0"),
        "HTTP/2.0": request(b"Echo", b"", version=b"HTTP/2.0"),
        "another method": request(b"Echo", b"", method=b"PUT"),
        "a proxy's target": request(b"Echo", b"", target=b"http://kms/"),
        "GET with a body": request(b"Echo", b"ab", b"Content-Length: 2\r\n", method=b"GET"),
        "a header of 17 KiB": request(b"Echo", b"", b"X: " + b"y" * 17408 + b"\r\n"),
        "headers of 17 KiB": request(b"Echo", b"", b"X: y\r\n" * 5000),
        "a line of 17 KiB": request(b"Echo", b"", target=b"/" + b"y" * 17408),
        "another expectation": request(b"Echo", b"", b"Expect: wonders\r\n"),
    }
    with Server() as server:
        check(status_of(server.raw(good)) == 200, "the control")
        check(status_of(server.raw(request(b"Echo", b"", b"X: " + b"y" * 15000 + b"\r\n" + LAST)))
              == 200, "a header within the bound")
    with Server("--request-ms", "3000") as server:
        for name, data in wrong.items():
            answer = server.raw(data)
            # A refusal, and the end of the connection: raw() reads to it.
            check(status_of(answer) in (0, 400, 413, 414, 417, 431, 501, 505), f"{name}: {answer}")
            check(answers_in(answer) <= 1, f"{name} was answered twice: {answer}")
        server.lives()
        check("garbage" not in "".join(server.lines), "what was sent stands in the log")


def case_pipelining():
    with Server() as server:
        with server.connect() as sock:
            rest = b""
            sock.sendall(b"".join(request(b"Echo", b"%d" % i) for i in range(200)))
            for i in range(200):
                status, body, rest = read_answer(sock, rest)
                check((status, body) == (200, b"%d" % i), f"answer {i}: {status} {body}")
        # Refusing one means that what follows it is not looked at.
        smuggled = request(b"Echo", request(b"Note", b"smuggled", LAST),
                           b"Content-Length: 0\r\nContent-Length: 9\r\n")
        check(answers_in(server.raw(smuggled)) == 1, "a request was smuggled")
        answer = server.raw(request(b"", b"", b"Content-Length: 60\r\n", method=b"GET") +
                            request(b"Note", b"smuggled", LAST))
        check(answers_in(answer) == 1 and server.ledger() == [], "a GET smuggled one")
        check(b"400" in server.raw(request(b"Echo", b"a") + b"\x00garbage\r\n\r\n" * 99), "garbage")
        server.lives()


def case_expect():
    with Server() as server, server.connect() as sock:
        sock.sendall(request(b"Echo", b"", b"Content-Length: 2\r\nExpect: 100-continue\r\n"))
        check(sock.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n", "100 Continue")
        sock.sendall(b"ab")
        check(read_answer(sock)[:2] == (200, b"ab"), "the answer after it")
        answer = server.raw(request(b"Echo", b"", b"Content-Length: 9999999\r\n"
                                    b"Expect: 100-continue\r\n"))
        check(status_of(answer) == 413, f"too large to be continued: {answer}")


def case_keepalive():
    with Server("--requests", "3") as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.ports[0], timeout=LIMIT)
        for i in range(2):
            check(server.call("Echo", b"%d" % i, connection) == (200, b"%d" % i), "kept alive")
            check(connection.sock is not None, "the connection was closed early")
        server.call("Echo", b"", connection)
        check(connection.sock is None, "the third request ends the connection")


def case_slow():
    """A byte now and then moves no deadline; what is quiet goes; neither stops the others."""
    with Server("--request-ms", "400", "--idle-ms", "200") as server:
        with server.connect() as slow, server.connect() as silent, server.served_idle() as idle:
            slow.settimeout(0.02)
            sent, ended = 0, False
            data = request(b"Echo", b"x" * 4000)
            while not ended and sent < len(data):
                try:
                    slow.sendall(data[sent:sent + 1])
                    sent += 1
                    ended = slow.recv(1) == b""
                except socket.timeout:
                    pass
                except ConnectionError:
                    ended = True
            check(ended, "a slow sender of bytes was served for ever")
            check(read_all(silent) == b"" and read_all(idle) == b"", "quiet connections stay")
        server.lives()
    with Server("--request-ms", "400") as server, server.connect() as sock:
        # It asks for much and reads nothing.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.sendall(request(b"Large", b"50000000"))
        check(server.said("operation=Large"), "the large answer")
        server.lives()
        with server.connect() as other:
            check(read_all(other) == b"", "a silent one goes")
        data = read_all(sock)
        check(0 < len(data) < 50000000, f"{len(data)} bytes of an answer that nobody read")


def case_memory():
    """A crowd of unfinished requests costs what the bound says; the largest go first."""
    bound_kib = 8192
    with Server("--memory-kib", str(bound_kib), "--request-ms", "600000") as server:
        server.lives()
        before = server.rss_kib()
        small = server.connect()
        small.sendall(request(b"Echo", b"xx")[:-1])
        half = request(b"Echo", b"x" * 1000000)[:-1]
        held = []
        for _ in range(60):
            sock = server.connect()
            with contextlib.suppress(ConnectionError):
                sock.sendall(half)
            held.append(sock)
        for _ in range(40):  # short headers, which take most for what they send
            sock = server.connect()
            with contextlib.suppress(ConnectionError):
                sock.sendall(b"POST / HTTP/1.1\r\n" + b"a:\r\n" * 3000)
            held.append(sock)
        server.lives()
        grown = server.rss_kib() - before
        small.sendall(b"x")
        check(read_answer(small)[:2] == (200, b"xx"), "the small one was crowded out")
        small.close()
        for sock in held:
            sock.close()
        sanitized = bool(os.environ.get("COFFER_SANITIZE"))
        check(grown < 4 * bound_kib or sanitized, f"{grown} KiB for a bound of {bound_kib}")
        check(grown > 1024, f"only {grown} KiB: nothing was held")
        print(f"  memory: {grown} KiB more with a bound of {bound_kib} KiB")


def case_chunk_line():
    """A chunk's size that never ends is read to a bound, then to the deadline."""
    with Server("--request-ms", "700") as server, server.connect() as sock:
        sock.sendall(request(b"Echo", b"", b"Transfer-Encoding: chunked\r\n"))
        sent = 0
        with contextlib.suppress(ConnectionError, socket.timeout):
            while sent < 64 << 20:
                sent += sock.send(b"0" * 65536)
        check(sent < 64 << 20, "it took 64 MiB of one line")
        server.lives()


def case_hostile():
    """Connections that are cut, at each byte of a request and in the middle of answers."""
    data = request(b"Echo", b"0123456789")
    with Server("--workers", "2", "--queue", "8") as server:
        for cut in range(0, len(data), 3):
            with server.connect() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                sock.sendall(data[:cut])
        for _ in range(50):
            with server.connect() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                sock.sendall(request(b"Large", b"3000000") * 2)
        for _ in range(20):  # half closed: the answer still comes
            with server.connect() as sock:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                read_all(sock)
        server.lives()


def mutate(rng, data):
    data = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        at, end = rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)
        piece = rng.choice((b"\r\n", b"\n", b"\0", b":", b" ", b"\r\n\r\n", b"99999999999", b"-1",
                            b"chunked", b"HTTP/1.1", b"Transfer-Encoding: chunked\r\n",
                            b"Content-Length: 3\r\n", bytes(data[at:end]), rng.randbytes(3)))
        data[at:at if rng.random() < 0.5 else at + len(piece)] = piece
        if rng.random() < 0.1:
            del data[min(at, end):max(at, end)]
    return bytes(data)


def case_garbage():
    """Mutated requests, several on a connection: an answer or none for each, and it lives."""
    base = (request(b"Echo", b"0123456789"), request(b"", method=b"GET", target=b"/healthz"),
            request(b"Echo", b"5\r\nabcde\r\n0\r\n\r\n", b"Transfer-Encoding: chunked\r\n"),
            request(b"Echo", b"ab", b"Expect: 100-continue\r\nContent-Length: 2\r\n"))
    with Server("--request-ms", "5000") as server:
        served = 0
        for seed in range(GARBAGE):
            rng = random.Random(seed)
            data = b"".join(mutate(rng, rng.choice(base)) for _ in range(rng.randrange(1, 4)))
            with server.connect() as sock:
                with contextlib.suppress(ConnectionError, OSError):
                    sock.sendall(data)
                    sock.shutdown(socket.SHUT_WR)
                answer = read_all(sock)
            check(answer == b"" or status_of(answer) >= 100, f"seed {seed}: {answer[:200]}")
            # A refusal is the last word: nothing behind what was not understood is a request.
            statuses = re.findall(rb"HTTP/-?\d+\.-?\d+ (\d\d\d) [A-Z]", answer)
            check(set(statuses[:-1]) <= {b"100", b"200"}, f"seed {seed}: {statuses} {data}")
            served += b"HTTP/1.1 200 OK" in answer
        check(0 < served < GARBAGE, f"{served} of {GARBAGE} were served")
        server.lives()
        print(f"  garbage: {served} of {GARBAGE} were served")


def case_shed():
    """A full queue answers 503 and goes on; nothing is lost of what was taken."""
    with Server("--workers", "1", "--queue", "2") as server:
        fifo = os.path.join(server.directory, "fifo")
        os.mkfifo(fifo)
        socks = [server.connect() for _ in range(8)]
        socks[0].sendall(request(b"Hold", fifo.encode()))
        while not server.ledger():
            pass  # until the only worker has it
        for sock in socks[1:]:
            sock.sendall(request(b"Note", b"n"))
        check(server.said("status=503", 5), "not all but two were refused")
        with server.connect() as health:
            health.sendall(request(b"", method=b"GET", target=b"/healthz"))
            check(read_answer(health)[0] == 200, "health asks no worker")
        with open(fifo, "wb") as end:
            end.write(b"x")
        statuses = [read_answer(sock)[0] for sock in socks]
        refused = statuses.count(503)
        check(refused == 5 and statuses.count(200) == 3, f"statuses {statuses}")
        check(server.ledger().count("n") == 2, "what was refused was done, or the reverse")
        for sock in socks:
            sock.close()
        server.lives()


# ---- sockets and TLS -------------------------------------------------------------------------

def case_places():
    for place, why in (("0.0.0.0:0", "loopback"), ("[::]:0", "loopback"), ("nonsense", "HOST:PORT"),
                       ("127.0.0.1:x", "HOST:PORT"), ("::1:80", "HOST:PORT"),
                       ("127.0.0.1:99999", ""), ("no such host.invalid:1", "no address")):
        status, line = Server(listen=place, fails=True).refused()
        check(status == 1 and why in line, f"{place}: {status} {line}")
    with Server(listen="localhost:0") as server:
        server.lives()
        check(len(set(server.ports)) == 1, f"one port for all addresses of a name: {server.ports}")
        status, line = Server(listen=f"127.0.0.1:{server.ports[0]}", fails=True).refused()
        check(status == 1 and "BUSY" in line, f"a port in use: {line}")
    status, line = Server(listen=None, fails=True).refused()
    check(status == 1 and "--listen" in line, f"nothing to listen on: {line}")


def unix_call(path, body):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(LIMIT)
        sock.connect(path)
        sock.sendall(request(b"Note", body, LAST))
        return read_all(sock)


def case_unix():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "kms")
        with Server("--unix", path, listen=None) as server:
            check(os.stat(path).st_mode & 0o777 == 0o600, "the socket is its owner's alone")
            answer = unix_call(path, b"one")
            check(status_of(answer) == 200 and b"X-Peer: -\r\n" in answer, f"an answer: {answer}")
            status, line = Server("--unix", path, listen=None, fails=True).refused()
            check(status == 1 and "another server listens" in line, f"a live one: {line}")
            check(status_of(unix_call(path, b"two")) == 200, "the live one was disturbed")
            server.process.kill()
            server.wait()
        check(os.path.exists(path), "the control: kill -9 leaves the socket")
        with Server("--unix", path, listen=None):
            check(status_of(unix_call(path, b"three")) == 200, "a stale socket is replaced")
        check(not os.path.exists(path), "a graceful stop removes the socket")
        with socket.socket(socket.AF_UNIX) as foreign:  # a server that knows of no lock
            foreign.bind(path)
            foreign.listen(1)
            status, line = Server("--unix", path, listen=None, fails=True).refused()
            check(status == 1 and "another server listens" in line, f"a foreign one: {line}")
        os.unlink(path)
        with open(path, "w", encoding="ascii") as file:
            file.write("precious")
        status, line = Server("--unix", path, listen=None, fails=True).refused()
        with open(path, encoding="ascii") as file:
            check(status == 1 and file.read() == "precious", f"a file is no socket: {line}")


def tls_context(cert, highest=ssl.TLSVersion.TLSv1_3):
    context = ssl.create_default_context(cafile=cert)
    context.minimum_version = min(highest, ssl.TLSVersion.TLSv1_2)
    context.maximum_version = highest
    return context


def tls_call(server, context, protocols=None):
    if protocols:
        context.set_alpn_protocols(protocols)
    with context.wrap_socket(server.connect(), server_hostname="127.0.0.1") as sock:
        sock.sendall(request(b"Echo", b"x" * 70000, LAST))
        return sock.version(), sock.selected_alpn_protocol(), read_all(sock)


def case_tls():
    with tempfile.TemporaryDirectory() as directory:
        cert, key = make_certificate(directory, "one")
        other_cert, other_key = make_certificate(directory, "two")
        with Server("--tls-cert", cert, "--tls-key", key, listen="0.0.0.0:0") as server:
            version, _, answer = tls_call(server, tls_context(cert))
            check(version == "TLSv1.3" and answer.endswith(b"\r\n\r\n" + b"x" * 70000), "TLS 1.3")
            check(tls_call(server, tls_context(cert), ["h2", "http/1.1"])[1] == "http/1.1", "ALPN")
            for what, context in (("TLS 1.2", tls_context(cert, ssl.TLSVersion.TLSv1_2)),
                                  ("another certificate", tls_context(other_cert))):
                try:
                    tls_call(server, context)
                    check(False, f"{what} was accepted")
                except ssl.SSLError:
                    check(True, what)
            check(status_of(server.raw(request(b"Echo", b"plain"))) == 0, "plain HTTP was served")
            # Half a handshake, and none.
            with server.connect() as half:
                half.sendall(b"\x16\x03\x01")
                check(tls_call(server, tls_context(cert))[0] == "TLSv1.3", "beside a half one")
            os.replace(other_cert, cert)
            server.process.send_signal(signal.SIGHUP)
            check(server.said("stays as it was"), "a key that does not fit")
            check(tls_call(server, tls_context_loose())[0] == "TLSv1.3", "the old one serves on")
            os.replace(other_key, key)
            server.process.send_signal(signal.SIGHUP)
            check(server.said("was read again"), "a new certificate")
            check(tls_call(server, tls_context(cert))[0] == "TLSv1.3", "the new one serves")
        os.chmod(key, 0o640)
        status, line = Server("--tls-cert", cert, "--tls-key", key, fails=True).refused()
        check(status == 1 and "others may use" in line, f"a key that others may read: {line}")
        os.chmod(key, 0o600)
        for options in (("--tls-cert", cert), ("--tls-cert", key, "--tls-key", key),
                        ("--tls-cert", cert, "--tls-key", cert),
                        ("--tls-cert", cert, "--tls-key", os.path.join(directory, "none"))):
            status, line = Server(*options, fails=True).refused()
            check(status == 1 and "PRIVATE" not in line, f"{options}: {line}")


def tls_context_loose():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


# ---- life ------------------------------------------------------------------------------------

def case_notify():
    with tempfile.TemporaryDirectory() as directory, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        path = os.path.join(directory, "notify")
        manager.bind(path)
        manager.settimeout(LIMIT)
        with Server(env={"NOTIFY_SOCKET": path}) as server:
            check(manager.recv(100) == b"READY=1", "readiness")
            server.lives()
        check(manager.recv(100) == b"STOPPING=1", "the stop")


def case_tick():
    with Server("--tick-ms", "20") as server:
        ticks = 0
        while ticks < 3:
            with open(server.ledger_path, encoding="ascii") as ledger:
                ticks = ledger.read().count("tick\n")
        check(True, "ticks go on")


def case_graceful():
    """SIGTERM while calls run: each that was answered is in the ledger, each that began is."""
    with Server("--workers", "4") as server:
        fifo = os.path.join(server.directory, "fifo")
        os.mkfifo(fifo)
        held, reading, idle = server.connect(), server.connect(), server.connect()
        held.sendall(request(b"Hold", fifo.encode()))
        reading.sendall(request(b"Note", b"read later")[:-4])
        idle.sendall(request(b"Echo", b"x"))
        check(read_answer(idle)[0] == 200, "an idle connection")
        while not server.ledger():
            pass
        server.process.send_signal(signal.SIGTERM)
        check(server.said("stopping"), "it says so")
        check(read_all(idle) == b"", "the idle one is closed")
        try:
            server.connect().close()
            check(False, "a new connection was taken")
        except ConnectionError:
            check(True, "no new connection")
        reading.sendall(b"ater")
        answer = read_all(reading)
        check(status_of(answer) == 200 and b"Connection: close" in answer, f"read: {answer}")
        check(server.process.poll() is None, "it did not wait for the call that runs")
        with open(fifo, "wb") as end:
            end.write(b"x")
        check(status_of(read_all(held)) == 200, "the call that ran was answered")
        check(server.wait() == 0, "the exit status")
        check(server.ledger() == [fifo, "read later"], f"the ledger: {server.ledger()}")
        for sock in (held, reading, idle):
            sock.close()


def case_stop_under_load():
    for stop in (signal.SIGTERM, signal.SIGINT):
        with Server("--workers", "2") as server:
            acknowledged, threads = [], []

            def client(number, server=server, acknowledged=acknowledged):
                connection = http.client.HTTPConnection("127.0.0.1", server.ports[0],
                                                        timeout=LIMIT)
                for i in range(100000):
                    body = b"%d.%d" % (number, i)
                    try:
                        if server.call("Note", body, connection)[0] != 200:
                            return
                    except (OSError, http.client.HTTPException):
                        return
                    acknowledged.append(body.decode())

            for number in range(8):
                threads.append(threading.Thread(target=client, args=(number,)))
                threads[-1].start()
            while len(acknowledged) < 100 and any(thread.is_alive() for thread in threads):
                pass
            check(len(acknowledged) >= 100, "the clients were refused")
            server.process.send_signal(stop)
            check(server.wait() == 0, "the exit status")
            for thread in threads:
                thread.join(LIMIT)
            ledger = server.ledger()
            check(set(acknowledged) <= set(ledger), "an acknowledged call was lost")
            # What was done and could not be told: at most one of each client.
            check(len(ledger) - len(acknowledged) <= 8, f"{len(ledger)} {len(acknowledged)}")


def case_forced_stop():
    with Server("--stop-ms", "100", "--workers", "1") as server:
        fifo = os.path.join(server.directory, "fifo")
        os.mkfifo(fifo)
        held, waiting, reading = server.connect(), server.connect(), server.connect()
        held.sendall(request(b"Hold", fifo.encode()))
        while not server.ledger():
            pass
        waiting.sendall(request(b"Note", b"never"))
        reading.sendall(b"POST / HTTP/1.1\r\n")
        # Both were read by the loop before this was.
        check(status_of(server.raw(request(b"", method=b"GET", target=b"/healthz", extra=LAST)))
              == 200, "health")
        server.process.send_signal(signal.SIGTERM)
        check(status_of(read_all(waiting)) == 503, "what waits for a worker is refused")
        check(read_all(reading) == b"", "what is being read is dropped")
        check(server.process.poll() is None, "what runs is waited for")
        with open(fifo, "wb") as end:
            end.write(b"x")
        check(status_of(read_all(held)) == 200, "and answered")
        check(server.wait() == 0 and "never" not in server.ledger(), "the end")
        for sock in (held, waiting, reading):
            sock.close()


def case_limit():
    """Beyond --connections the others wait in the backlog, and are served when one goes."""
    with Server("--connections", "16") as server:
        socks = [server.connect() for _ in range(16)]
        for sock in socks:
            sock.sendall(request(b"Echo", b"x"))
            check(read_answer(sock)[0] == 200, "one of sixteen")
        with server.connect() as late:
            late.sendall(request(b"Echo", b"late", LAST))
            late.settimeout(0.2)
            try:
                check(late.recv(1) == b"?", "the seventeenth was served")
            except socket.timeout:
                check(True, "it waits")
            socks.pop().close()
            late.settimeout(LIMIT)
            check(read_all(late).endswith(b"late"), "it is served when another goes")
        for sock in socks:
            sock.close()


def case_crowd():
    """CROWD connections at once, each with a request, then each with another."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    crowd = min(CROWD, hard - 600)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as directory:
        cert, key = make_certificate(directory, "crowd")
        for tls in (False, True):
            options = ("--tls-cert", cert, "--tls-key", key) if tls else ()
            with Server("--queue", "20000", "--idle-ms", "600000", "--request-ms",
                        "600000", *options) as server:
                # The server was asked to raise its own limit.
                before, context, socks = server.rss_kib(), tls_context(cert), []
                for _ in range(crowd):
                    sock = server.connect()
                    socks.append(context.wrap_socket(sock, server_hostname="127.0.0.1")
                                 if tls else sock)
                for turn in range(2):
                    for i, sock in enumerate(socks):
                        sock.sendall(request(b"Echo", b"%d.%d" % (turn, i)))
                    for i, sock in enumerate(socks):
                        check(read_answer(sock)[:2] == (200, b"%d.%d" % (turn, i)), f"client {i}")
                rss = server.rss_kib()
                print(f"  {crowd} connections{' by TLS' if tls else ''}: {rss} KiB, "
                      f"{(rss - before) * 1024 // crowd} bytes each")
                for sock in socks:
                    sock.close()


def main():
    global CROWD, GARBAGE
    arguments = sys.argv[2:]
    if "--connections" in arguments:
        at = arguments.index("--connections")
        CROWD = int(arguments[at + 1])
        del arguments[at:at + 2]
    if "--garbage" in arguments:
        at = arguments.index("--garbage")
        GARBAGE = int(arguments[at + 1])
        del arguments[at:at + 2]
    cases = [name for name in globals() if name.startswith("case_")]
    for name in [f"case_{argument}" for argument in arguments] or cases:
        print(name, flush=True)
        globals()[name]()
    print(f"kms_server: {CHECKS} checks")


main()
