# SPDX-License-Identifier: Apache-2.0
"""The world that the cases run in: a store, a server on a free port of loopback, its clock, two
accounts, and the principals that the cases speak of (cases_policy.py says who they are)."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass

import clients

HOME, OTHER = "111122223333", "444455556666"
REGION, OTHER_REGION = "test-1", "test-2"
PATIENCE_S = 30
PIN = "12345678"
MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/pkcs11/libsofthsm2.so",
           "/usr/lib64/softhsm/libsofthsm2.so")


@dataclass
class Principal:
    arn: str
    access_key: str
    secret: str
    token: str = ""


class World:
    def __init__(self, program):
        self.program = program
        self.clock = clients.Clock()
        self.has = set()
        self.store = {}
        self.principals = {}

    def __enter__(self):
        # Nothing here has to outlive the machine, and each call is synced: memory will do.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = tempfile.mkdtemp(prefix="coffer-conform-", dir=memory)
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        self.clock_file = self.write("clock", "0")
        root_key = self.write("root", os.urandom(32).hex())
        store = os.path.join(self.folder, "keys")
        self.where = ["--kms", f"file:{store}", "--root-key-file", root_key,
                      "--account", HOME, "--region", REGION]
        self.tool("account", "create", OTHER)
        for name, account in (("root", HOME), ("other_root", OTHER)):
            key = self.tool("access-key", "create", "--user", "root", "--as", account)["AccessKey"]
            self.principals[name] = Principal(f"arn:coffer:iam::{account}:root",
                                              key["AccessKeyId"], key["SecretAccessKey"])
        self.log = open(os.path.join(self.folder, "log"), "w+", encoding="utf-8")
        self.make_token()
        self.server = subprocess.Popen(
            [self.program, "serve", "--listen", "127.0.0.1:0", "--rate", "0", *self.where],
            stderr=self.log, env={"PATH": os.environ["PATH"],
                                  "COFFER_CONFORM_CLOCK": self.clock_file,
                                  "SOFTHSM2_CONF": os.path.join(self.folder, "softhsm")})
        self.url = self.wait_for_address()
        self.make_users()
        self.make_store()

    def tool(self, *words):
        """What the program answers, as JSON."""
        done = subprocess.run([self.program, *words, *self.where, "--output", "json"],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(words)}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
                  encoding="utf-8") as handle:
            handle.write(text)
        return path

    def wait_for_address(self):
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until and self.server.poll() is None:
            with open(self.log.name, encoding="utf-8") as handle:
                found = re.search(r"127\.0\.0\.1:(\d+)", handle.read())
            if found:
                return f"http://127.0.0.1:{found.group(1)}"
            time.sleep(0.02)
        raise SystemExit(f"the server did not start: {self.last_lines()}")

    def last_lines(self):
        with open(self.log.name, encoding="utf-8") as handle:
            return handle.read()[-2000:]

    def alive(self):
        if self.server.poll() is not None:
            raise SystemExit(f"the server ended with {self.server.returncode}: "
                             f"{self.last_lines()}")

    def __exit__(self, *_):
        server = getattr(self, "server", None)
        if server is not None:
            server.terminate()
            try:
                server.wait(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                server.kill()
            self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- who there is ------------------------------------------------------------------------

    def make_users(self):
        raw = clients.Raw(self)

        def ask(who, op, **params):
            answer = raw.ask("CofferIdentity", op, params, who)
            if answer.error or answer.status != 200:
                raise SystemExit(f"cannot make the principals: {op}: {answer.status} "
                                 f"{answer.error} {answer.message}")
            return answer.body

        def user(root, name, *statements):
            arn = ask(root, "CreateUser", UserName=name)["User"]["Arn"]
            key = ask(root, "CreateAccessKey", UserName=name)["AccessKey"]
            self.principals[name] = Principal(arn, key["AccessKeyId"], key["SecretAccessKey"])
            if statements:
                document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
                made = ask(root, "PutPolicy", PolicyName=f"of-{name}", PolicyDocument=document)
                ask(root, "AttachUserPolicy", UserName=name, PolicyArn=made["Policy"]["Arn"])

        every = {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}
        user("root", "alice")
        user("root", "bob", every)
        user("root", "dave", every, {"Effect": "Deny", "Action": "kms:Decrypt", "Resource": "*"})
        user("root", "eve")
        user("other_root", "carol", every)
        user("other_root", "carl")
        raw.close()

    # ---- a token ------------------------------------------------------------------------------

    def make_token(self):
        """A PKCS#11 token by SoftHSM, for a custom key store."""
        if shutil.which("softhsm2-util") is None:
            return
        tokens = os.path.join(self.folder, "tokens")
        os.mkdir(tokens)
        conf = self.write("softhsm", f"directories.tokendir = {tokens}\nlog.level = ERROR\n")
        subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "conform", "--pin",
                        PIN, "--so-pin", PIN], check=True, capture_output=True,
                       env={"PATH": os.environ["PATH"], "SOFTHSM2_CONF": conf})
        self.has.add("token")

    def make_store(self):
        """A custom key store on the token, connected."""
        if "token" not in self.has:
            return
        module = next(path for path in MODULES if os.path.exists(path))
        raw = clients.Raw(self)
        for op, params in (("CreateCustomKeyStore", {
                "CustomKeyStoreName": "conform", "CustomKeyStoreType": "PKCS11",
                "KeyStorePassword": PIN,
                "CofferTokenUri": f"pkcs11:token=conform?module-path={module}"}),
                           ("ConnectCustomKeyStore", {})):
            answer = raw.call(op, {**params, **self.store}, "root", None)
            if answer.error == "UnknownOperationException":
                raise SystemExit(f"the service does not know {op}: of custom key stores nothing "
                                 "can be tried")
            if answer.status != 200:
                raise SystemExit(f"cannot make a custom key store: {op}: {answer.error} "
                                 f"{answer.message}")
            self.store = self.store or answer.body
        raw.close()

    def names(self):
        """What "${...}" of a case stands for."""
        return {"store": self.store.get("CustomKeyStoreId", ""), "account": HOME,
                "other_account": OTHER, "region": REGION, "other_region": OTHER_REGION,
                **{name: who.arn for name, who in self.principals.items()}}

    def region_of(self, region):
        return OTHER_REGION if region == "other" else REGION

    # ---- the clock ---------------------------------------------------------------------------

    def set_clock(self, ahead_s):
        """Seconds that the server, and who signs for it, are ahead of the machine."""
        self.write("clock", str(ahead_s))
        self.clock.ahead_s = ahead_s
