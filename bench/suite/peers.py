# SPDX-License-Identifier: Apache-2.0
"""Who runs the rows behind a server or a mount: LUKS in qemu-nbd and nbdkit, gocryptfs, nbdkit
without a cipher, and Coffer's own NBD server. Each has its best honest settings; fio is the client
of all, over a unix socket by its nbd engine, and the servers' processor time is counted with
fio's. The interface is that of contenders.py."""
import glob
import os
import shutil
import socket
import subprocess

from suite import fio
from suite.files import drop_cache, remove, write_secret
from suite.process import Failed, Server
from suite.rows import GIB, MIB

WRITERS = 32                 # of a durable row
LUKS_HEADER_BYTES = 4 * MIB  # more than the header of LUKS 1 takes
PASSPHRASE = b"of a benchmark, guards nothing"


def call(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {done.stderr.strip()}")


def answers(path):
    """Whether something listens on a unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except OSError:
            return False
    return True


def make_luks(image, secret, size):
    """An image of LUKS 1 for size bytes, with AES-256 as qemu and nbdkit take it, and the least
    work on passwords."""
    with open(image, "wb") as handle:
        handle.truncate(LUKS_HEADER_BYTES + size)
    call("cryptsetup", "luksFormat", "-q", "--type", "luks1", "--cipher", "aes-xts-plain64",
         "--key-size", "512", "--pbkdf-force-iterations", "1000", "--key-file", secret, image)


class Peer:
    """fio on what server() serves. tools: the programs that it needs."""
    page_cache = False
    needed = False
    engine = "nbd"
    tools = ()

    def __init__(self, directory, size, settings):
        self.directory = directory
        self.size = size
        self.settings = settings
        self.server = None
        self.commands = ()
        self.socket = self.path("socket")

    def path(self, what):
        return os.path.join(self.directory, f"{self.name}.{what}")

    def missing(self):
        absent = [tool for tool in self.tools if shutil.which(tool) is None]
        return f"{', '.join(absent)}: not installed (bench/packages)" if absent else ""

    def runs(self, row):
        return row.peers and row.name in (self.settings.peer_rows or (row.name,))

    def serve(self, command, ready, environment=None):
        self.commands = (" ".join(command),)
        self.server = Server(command, ready, environment)

    def start(self, command, environment=None):
        self.serve(command, lambda: answers(self.socket), environment)

    @property
    def target(self):
        return f"nbd+unix:///?socket={self.socket}"

    def fill(self):
        """Every page is written once, so that reads are of data."""
        fio.run(self.target, rw="write", bs=MIB, iodepth=8, ioengine=self.engine, end_fsync=1,
                size=self.size)

    def forget(self):
        """Before a read, what a page cache holds."""

    def run(self, row):
        options = {**fio.shape(row, self.engine), "size": self.size,
                   "runtime": fio.milliseconds(self.settings.peer_runtime)}
        if row.random:
            options["time_based"] = 1
        if row.durable in ("flush", "fua"):
            options["fsync"] = 1
        elif row.writes:
            options["end_fsync"] = 1
        if row.durable == "fua":
            options.update(numjobs=WRITERS, iodepth=1)
        if not row.writes:
            self.forget()
        before = self.server.cpu_seconds()
        figures = fio.figures(row, fio.run(self.target, **options))
        served = self.server.cpu_seconds() - before
        figures["cpu"] += served * GIB / figures["bytes"]
        figures["memory_bytes"] = self.server.resident_bytes_max()
        if row.durable in ("flush", "fua"):  # fio measures write and sync apart
            figures.update(p50_us=None, p99_us=None, p999_us=None)
        return figures

    def close(self):
        if self.server is not None:
            self.server.stop()
            self.server = None
        remove(self.socket)


class Luks(Peer):
    """What serves an image of LUKS."""

    def make_image(self):
        self.image, self.secret = self.path("luks"), self.path("secret")
        write_secret(self.secret, PASSPHRASE)
        make_luks(self.image, self.secret, self.size)

    def close(self):
        super().close()
        remove(self.path("luks"), self.path("secret"))


class QemuLuks(Luks):
    name = "qemu-luks"
    text = "qemu-nbd, LUKS (AES-256-XTS, no tags)"
    tools = ("qemu-nbd", "cryptsetup")

    def prepare(self):
        self.make_image()
        self.start(["qemu-nbd", "--persistent", f"--shared={WRITERS}", "--discard=unmap",
                    "--cache=none", "--aio=io_uring", "--socket", self.socket,
                    "--object", f"secret,id=secret,file={self.secret}", "--image-opts",
                    f"driver=luks,key-secret=secret,file.driver=file,file.filename={self.image}"])
        self.fill()


class NbdkitLuks(Luks):
    name = "nbdkit-luks"
    text = "nbdkit, file and its luks filter (AES-256-XTS, no tags)"
    tools = ("nbdkit", "cryptsetup")
    page_cache = True

    def prepare(self):
        self.make_image()
        self.start(["nbdkit", "-f", "-U", self.socket, "--filter=luks", "file", self.image,
                    f"passphrase=+{self.secret}"])
        self.fill()

    def forget(self):
        drop_cache(self.image)


class NbdkitPlain(Peer):
    """The floor of the rows over NBD: nbdkit with no cipher."""
    name = "nbdkit"
    text = "nbdkit, file, unencrypted"
    tools = ("nbdkit",)

    def runs(self, row):
        return True

    def prepare(self):
        image = self.path("image")
        with open(image, "wb") as handle:
            handle.truncate(self.size)
        self.start(["nbdkit", "-f", "-U", self.socket, "file", image])
        self.fill()

    def close(self):
        super().close()
        remove(self.path("image"))


class CofferNbd(Peer):
    """`coffer serve` on a volume of the store that the library's rows use, or on one of its own."""
    name = "coffer"
    text = "coffer serve, its nbdkit plugin"
    tools = ("nbdkit",)

    def __init__(self, directory, size, settings, library, programs):
        super().__init__(directory, size, settings)
        self.library = library
        self.program = os.path.join(programs, "coffer")
        self.build = os.path.dirname(programs)

    def missing(self):
        why = super().missing()
        if why:
            return why
        if not glob.glob(os.path.join(self.build, "**", "nbdkit-coffer-plugin.so"), recursive=True):
            return "there is no nbdkit-coffer-plugin.so in the build directory"
        help_text = subprocess.run([self.program, "serve", "--help"], capture_output=True,
                                   check=False)
        return "" if help_text.returncode == 0 else "this coffer has no verb serve"

    def runs(self, row):
        return True

    def environment(self):
        keys = self.library.store.keys
        return {**os.environ, "COFFER_KMS": f"file:{keys}/keys",
                "COFFER_ROOT_KEY_FILE": f"{keys}/root.key",
                **{f"XDG_{what}_HOME": self.path("xdg") for what in ("DATA", "STATE", "CONFIG")}}

    @property
    def target(self):
        return f"nbd+unix:///bench?socket={self.socket}"

    def prepare(self):
        self.library.prepare()
        self.serve_volume()
        self.fill()

    def serve_volume(self, *words):
        self.start([self.program, "serve", f"{self.library.store.path}:bench", "--unix",
                    self.socket, *words], self.environment())

    def run(self, row):
        if row.durable != "write-back":
            return super().run(row)
        self.server.stop()
        self.serve_volume("--write-back")
        figures = super().run(row)
        self.server.stop()
        self.serve_volume()
        return figures

    def close(self):
        super().close()
        self.library.close()
        remove(self.path("xdg"))


class Gocryptfs(Peer):
    name = "gocryptfs"
    text = "gocryptfs on FUSE (AES-256-GCM, a tag a 4 KiB block)"
    tools = ("gocryptfs", "fusermount")
    engine = "io_uring"
    page_cache = True

    def missing(self):
        why = super().missing()
        return why or ("" if os.path.exists("/dev/fuse") else "there is no /dev/fuse")

    @property
    def target(self):
        return os.path.join(self.path("mount"), "file")

    def prepare(self):
        below, mount, secret = self.path("below"), self.path("mount"), self.path("secret")
        os.mkdir(below)
        os.mkdir(mount)
        write_secret(secret, PASSPHRASE)
        call("gocryptfs", "-q", "-init", "-scryptn", "10", "-passfile", secret, below)
        command = ["gocryptfs", "-q", "-fg", "-passfile", secret, below, mount]
        self.serve(command, lambda: os.path.ismount(mount))
        self.fill()

    def forget(self):
        for path in glob.glob(os.path.join(self.path("below"), "*")):
            drop_cache(path)

    def close(self):
        if os.path.ismount(self.path("mount")):
            call("fusermount", "-u", self.path("mount"))
        super().close()
        remove(*(self.path(what) for what in ("below", "mount", "secret")))
