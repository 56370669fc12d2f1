# SPDX-License-Identifier: Apache-2.0
"""NBD clients that mean harm, or died:

  nbd_hostile.py ATTACK SOCKET EXPORT PID MEMORY_MIB_MAX CONNECTIONS SIZE

ATTACK is one of those below, or `list`. It is followed by an honest client, who must find the
export as it was; the server's resident memory must be below what its options allow. Bytes are
those of doc/proto.md of the nbd project; everything random has a seed.
"""
import random
import socket
import struct
import sys
import time

NBDMAGIC, IHAVEOPT, REPLY = 0x4E42444D41474943, 0x49484156454F5054, 0x3E889045565A9
REQUEST, SIMPLE, STRUCTURED = 0x25609513, 0x67446698, 0x668E33EF
OPT_EXPORT_NAME, OPT_ABORT, OPT_LIST, OPT_STARTTLS, OPT_INFO, OPT_GO, OPT_SR = 1, 2, 3, 5, 6, 7, 8
READ, WRITE, DISC, FLUSH, TRIM, CACHE, ZEROES, STATUS = range(8)
PATIENCE = 60  # longer than any answer takes, so that a hang is a failure
ROOM = 1 << 20
MARK = bytes(range(256)) * 16


def option(number, data=b"", length=None):
    return struct.pack(">QII", IHAVEOPT, number, len(data) if length is None else length) + data


def go(name, number=OPT_GO):
    name = name.encode()
    return option(number, struct.pack(">I", len(name)) + name + struct.pack(">H", 0))


def request(command, offset, length, flags=0, payload=b"", magic=REQUEST, cookie=7):
    return struct.pack(">IHHQQI", magic, flags, command, cookie, offset, length) + payload


class Client:
    """A raw connection."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """False when the server has closed."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def take(self, count):
        data = b""
        while len(data) < count:
            try:
                part = self.socket.recv(count - len(data))
            except ConnectionResetError:
                return None
            if not part:
                return None
            data += part
        return data

    def drain(self):
        while True:
            try:
                if not self.socket.recv(1 << 16):
                    return
            except ConnectionResetError:
                return

    def greeted(self):
        """False when the server has enough clients."""
        greeting = self.take(18)
        assert greeting is None or greeting[:16] == struct.pack(">QQ", NBDMAGIC, IHAVEOPT)
        return greeting is not None

    def handshake(self, name):
        """Into transmission, with simple replies."""
        self.send(struct.pack(">I", 3) + go(name))
        while True:
            magic, _, kind, length = struct.unpack(">QIII", self.take(20))
            assert magic == REPLY and kind < 1 << 31, hex(kind)
            self.take(length)
            if kind == 1:
                return self

    def call(self, command, offset, length, flags=0, payload=b""):
        """errno of the answer, and what was read; None when the server closed."""
        if not self.send(request(command, offset, length, flags, payload)):
            return None
        answer = self.take(16)
        if answer is None:
            return None
        magic, error, cookie = struct.unpack(">IIQ", answer)
        assert magic == SIMPLE and cookie == 7, hex(magic)
        data = self.take(length) if command == READ and error == 0 else b""
        return error, data


class Attack:
    def __init__(self, path, name, pid, memory_mib, connections, size):
        self.path, self.name, self.pid, self.memory_mib = path, name, pid, memory_mib
        self.connections, self.size = connections, size
        self.random = random.Random(20261122)
        with self.open() as honest:
            assert honest.call(WRITE, ROOM, len(MARK), 1, MARK) == (0, b"")

    def open(self):
        """Into transmission; those that have just left may still be counted against the limit."""
        for _ in range(PATIENCE * 20):
            client = Client(self.path)
            if client.greeted():
                return client.handshake(self.name)
            client.socket.close()
            time.sleep(0.05)
        raise AssertionError("nobody is let in any more")

    def survived(self, what):
        """The server lives within its memory, and an honest client finds what it wrote."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as lines:
            resident = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
        assert resident < self.memory_mib << 10, f"{what}: {resident >> 10} MiB"
        with self.open() as honest:
            assert honest.call(READ, ROOM, len(MARK)) == (0, MARK), what

    def by_cuts(self):
        """A whole session, cut after each of its bytes; the payload's but now and then."""
        session = (struct.pack(">I", 3) + option(OPT_SR) + option(OPT_LIST) +
                   go(self.name, OPT_INFO) + go(self.name) + request(READ, 0, 4096) +
                   request(FLUSH, 0, 0))
        payload = len(session)
        session += request(WRITE, 0, 4096, 1, bytes(4096)) + request(TRIM, 0, 8192)
        ends = [*range(payload + 28), *range(payload + 28, len(session) - 28, 509),
                *range(len(session) - 28, len(session) + 1)]
        for end in ends:
            with Client(self.path) as client:
                client.send(session[:end])
                if end % 3 == 0:
                    client.socket.shutdown(socket.SHUT_WR)
                    client.drain()
                elif end % 3 == 1:
                    client.take(18)

    def by_options(self):
        """Options that nobody knows, names that nobody has, lengths that nobody sends."""
        cases = [option(number) for number in (0, OPT_STARTTLS, 4, 9, 10, 255, 1 << 31)]
        cases += [option(OPT_EXPORT_NAME, name) for name in (b"", b"\0" * 64, b"../x", b"n" * 5000)]
        cases += [go(name) for name in ("nothing", "a:b", "v@", "@", "%n%s", "\u00e9" * 100)]
        cases += [option(OPT_GO, data) for data in (b"", b"\0", b"\xff" * 6, b"\xff\xff\xff\xff")]
        cases += [option(OPT_GO, b"", 0xFFFFFFFF), option(OPT_LIST, b"x"), b"\0" * 64]
        cases += [option(OPT_LIST) * 200, option(OPT_ABORT), struct.pack(">Q", NBDMAGIC) * 8]
        for flags in (0, 3, 0xFFFFFFFF):
            for case in cases:
                with Client(self.path) as client:
                    client.send(struct.pack(">I", flags) + case)
                    client.socket.shutdown(socket.SHUT_WR)
                    client.drain()

    def by_requests(self):
        """What is out of range or unknown is refused, or the connection ends; nothing is done."""
        end = self.size
        ranges = ((0, 0), (end, 512), (end - 512, 1024), (1 << 63, 512), ((1 << 64) - 512, 512),
                  (0, 0xFFFFFFFF), (0, 0xFFFFFE00), (1, 511), (513, 4096))
        for command in (READ, TRIM, ZEROES, CACHE, STATUS, FLUSH, *range(8, 20), 255, 0xFFFF):
            for offset, length in ranges:
                with self.open() as client:
                    answer = client.call(command, offset, length, self.random.choice((0, 0xFFFE)))
                    done = answer is not None and answer[0] == 0
                    assert not done or command == FLUSH or length == 0, (command, offset, length)
        for offset, length in ((end, 512), (end - 512, 1024), (0, 0xFFFFFFFF), (1 << 63, 4096)):
            with self.open() as client:
                client.send(request(WRITE, offset, length, 0, b"w" * min(length, 1 << 16)))
                client.socket.shutdown(socket.SHUT_WR)
                client.drain()
        with self.open() as client:
            client.send(request(READ, 0, 512, magic=0xDEADBEEF))
            assert client.take(1) is None

    def by_unread_answers(self):
        """Many ask for much and take nothing; then all leave at once."""
        clients = []
        for _ in range(self.connections):
            client = self.open()
            client.socket.setblocking(False)
            for number in range(4000):
                try:
                    client.socket.send(request(READ, number % 4 << 20, 1 << 20))
                except BlockingIOError:
                    break
            clients.append(client)
        clients.pop().socket.close()
        self.survived("answers that nobody takes")
        for client in clients:
            client.socket.close()

    def by_promised_writes(self):
        """Writes of 32 MiB are announced, and the bytes never come."""
        clients = [self.open() for _ in range(self.connections - 1)]
        for client in clients:
            client.send(request(WRITE, ROOM, 32 << 20, 0, b"w" * 1000))
        self.survived("writes that never come")
        for client in clients:
            client.socket.close()

    def by_crowd(self):
        """Hundreds connect and say nothing."""
        clients = [Client(self.path) for _ in range(300)]
        self.survived("a crowd")
        for client in clients:
            client.socket.close()

    def by_noise(self):
        for _ in range(100):
            with Client(self.path) as client:
                client.send(self.random.randbytes(self.random.randrange(1, 3000)))
            with self.open() as client:
                client.send(self.random.randbytes(self.random.randrange(1, 3000)))


def main():
    if sys.argv[1] == "list":
        print("\n".join(name for name in vars(Attack) if name.startswith("by_")))
        return
    name, path, export, pid, memory_mib, connections, size = sys.argv[1:]
    attack = Attack(path, export, int(pid), int(memory_mib), int(connections), int(size))
    getattr(attack, name)()
    attack.survived(name)


main()
