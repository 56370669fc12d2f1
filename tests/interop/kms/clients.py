# SPDX-License-Identifier: Apache-2.0
"""The drivers. Each takes an operation and parameters in the wire's own form (blobs in base64,
times in seconds since 1970) and gives an Answer of the same form, so that one list serves all.

  Raw   this program's own signed HTTP request; prepares for the others, and sends what they can't
  Boto  boto3
  Cli   the AWS command line, a process a call
  Js    the JavaScript SDK in a node process that lives as long as the run

supports() says whether a client's version has the operation and its parameters, knows() whether it
shows a member of the answer: what it can't say is no failure of the server.
"""
import base64
import datetime
import glob
import http.client
import json
import os
import re
import subprocess
import time
import urllib.parse
from dataclasses import dataclass, field

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.compat
import botocore.config
import botocore.credentials
import botocore.exceptions
import botocore.session

if botocore.compat.HAS_CRT:
    import botocore.crt.auth

TIMEOUT_S = 30


@dataclass
class Answer:
    error: str = ""
    message: str = ""
    body: dict = field(default_factory=dict)
    status: int = 0
    headers: dict = field(default_factory=dict)


class Clock:
    """How far the server's clock is ahead; the clients sign with the same."""

    def __init__(self):
        self.ahead_s = 0

    def now(self):
        return time.time() + self.ahead_s


class ShiftedTime(datetime.datetime):
    clock = Clock()

    @classmethod
    def utcnow(cls):
        return datetime.datetime.utcnow() + datetime.timedelta(seconds=cls.clock.ahead_s)


class ShiftedModule:
    """Stands in for the module datetime where botocore signs."""
    datetime = ShiftedTime

    def __getattr__(self, name):
        return getattr(datetime, name)


def follow_clock(clock):
    ShiftedTime.clock = clock
    botocore.auth.datetime = ShiftedModule()
    if botocore.compat.HAS_CRT:  # it signs then
        botocore.crt.auth.datetime = ShiftedModule()


class Model:
    """What a client's version knows, from the service description that it came with."""

    def __init__(self, description):
        self.operations = description["operations"]
        self.shapes = description["shapes"]

    def supports(self, op, params):
        if op not in self.operations:
            return False
        return self.known(self.operations[op].get("input", {}).get("shape"), params)

    def known(self, shape, params):
        members = self.shapes.get(shape, {}).get("members", {})
        return all(name in members for name in params)

    def knows(self, op, path):
        shape = self.operations[op].get("output", {}).get("shape")
        for part in path.split("."):
            described = self.shapes.get(shape, {})
            if described.get("type") == "list":
                shape = described["member"]["shape"]
                continue
            if part not in described.get("members", {}):
                return False
            shape = described["members"][part]["shape"]
        return True


class Raw:
    name = "raw"

    def __init__(self, world):
        self.world = world
        where = urllib.parse.urlsplit(world.url)
        self.host, self.port = where.hostname, where.port
        self.connection = None

    def supports(self, op, params):
        return True

    def knows(self, op, path):
        return True

    def signed(self, body, headers, who, region, service="kms", expires=None, path="/",
               method="POST", **other):
        """An AWSRequest, signed as wanted."""
        account = self.world.principals[who]
        access, secret, token = account.access_key, account.secret, account.token
        credentials = botocore.credentials.Credentials(
            other.get("access_key") or access, other.get("secret") or secret,
            other.get("token") or token or None)
        headers = {**headers, "Host": f"{self.host}:{self.port}"}
        request = botocore.awsrequest.AWSRequest(method, self.world.url + path, headers, body)
        region = self.world.region_of(region)
        if expires is not None:
            signer = botocore.auth.SigV4QueryAuth(credentials, service, region, expires)
            signer.payload = lambda request: botocore.auth.SigV4Auth.payload(signer, request)
        else:
            signer = botocore.auth.SigV4Auth(credentials, service, region)
        signer.add_auth(request)
        return request

    def send(self, method, target, headers, body):
        for again in (True, False):
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.host, self.port,
                                                             timeout=TIMEOUT_S)
            try:
                try:
                    self.connection.request(method, target, body, headers)
                except BrokenPipeError:
                    pass  # what is too long is answered before it was sent
                answer = self.connection.getresponse()
                data = answer.read()
                if answer.will_close:
                    self.close()
                return answer, data
            except (http.client.HTTPException, OSError):
                self.close()
                if not again:
                    raise

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def exchange(self, request):
        where = urllib.parse.urlsplit(request.url)
        target = (where.path or "/") + ("?" + where.query if where.query else "")
        answer, data = self.send(request.method, target, dict(request.headers.items()),
                                 request.data)
        headers = {name.lower(): value for name, value in answer.getheaders()}
        try:
            value = json.loads(data) if data else {}
        except ValueError:
            value = {}
        if not isinstance(value, dict):
            value = {}
        error = ""
        if answer.status != 200:
            error = str(value.get("__type", "")).rsplit("#", 1)[-1]
            return Answer(error, value.get("message", value.get("Message", "")), value,
                          answer.status, headers)
        return Answer("", "", value, answer.status, headers)

    def call(self, op, params, who, region):
        return self.ask("TrentService", op, params, who, region)

    def ask(self, service, op, params, who, region=None):
        body = json.dumps(params).encode()
        return self.exchange(self.signed(body, head(f"{service}.{op}"), who, region))

    def odd(self, target="TrentService.ListKeys", body="{}", headers=None, skew=0,
            late_body=None, cut_signature=False, presigned=False, expires=300, method="POST",
            path="/", wants_header=None, wants_date=False, encoding="utf-8", **signing):
        """A request that is wrong in a chosen way; wants_... are for the caller."""
        data = body.encode(encoding)
        clock = self.world.clock
        clock.ahead_s += skew
        try:
            request = self.signed(data, head(target), "root", None,
                                  expires=expires if presigned else None, path=path,
                                  method=method, **signing)
        finally:
            clock.ahead_s -= skew
        for name, value in (headers or {}).items():
            del request.headers[name]
            if value is not None:
                request.headers[name] = value
        if cut_signature:
            whole = request.headers["Authorization"]
            del request.headers["Authorization"]
            request.headers["Authorization"] = whole[:-8]
        if late_body is not None:
            request.data = late_body.encode()
        try:
            return self.exchange(request)
        except (http.client.HTTPException, OSError) as wrong:
            return Answer("(closed)", str(wrong))


def head(target):
    headers = {"Content-Type": "application/x-amz-json-1.1"}
    if target is not None:
        headers["X-Amz-Target"] = target
    return headers


class Boto:
    name = "boto3"

    def __init__(self, world):
        self.world = world
        self.clients = {}
        loader = botocore.session.get_session().get_component("data_loader")
        self.model = Model(loader.load_service_model("kms", "service-2"))
        self.supports, self.knows = self.model.supports, self.model.knows
        self.version = boto3.__version__

    def client(self, who, region):
        if (who, region) not in self.clients:
            account = self.world.principals[who]
            config = botocore.config.Config(
                parameter_validation=False, retries={"max_attempts": 0}, read_timeout=TIMEOUT_S,
                connect_timeout=5)
            self.clients[who, region] = boto3.session.Session().client(
                "kms", endpoint_url=self.world.url, region_name=self.world.region_of(region),
                aws_access_key_id=account.access_key, aws_secret_access_key=account.secret,
                aws_session_token=account.token or None, config=config)
        return self.clients[who, region]

    def inwards(self, shape, value):
        """Blobs to bytes, as the service description says where."""
        described = self.model.shapes.get(shape, {})
        if described.get("type") == "blob":
            return base64.b64decode(value)
        if described.get("type") == "structure" and isinstance(value, dict):
            members = described["members"]
            return {name: self.inwards(members[name]["shape"], item)
                    for name, item in value.items()}
        return value

    def call(self, op, params, who, region):
        client = self.client(who, region)
        given = self.inwards(self.model.operations[op]["input"]["shape"], params)
        try:
            body = getattr(client, botocore.xform_name(op))(**given)
        except botocore.exceptions.ClientError as wrong:
            return Answer(wrong.response["Error"]["Code"], wrong.response["Error"]["Message"])
        body.pop("ResponseMetadata", None)
        return Answer(body=outwards(body))


def outwards(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    if isinstance(value, dict):
        return {name: outwards(item) for name, item in value.items()}
    if isinstance(value, list):
        return [outwards(item) for item in value]
    return value


class Cli:
    name = "aws cli"
    ERROR = re.compile(r"An error occurred \(([^)]+)\) when calling the \w+ operation"
                       r"(?: \([^)]*\))?: (.*)", re.S)

    def __init__(self, world, program="/usr/bin/aws"):
        self.world = world
        self.program = program
        path = sorted(glob.glob("/usr/lib/python3/dist-packages/awscli/botocore/data/kms/*/"
                                "service-2.json*"))[-1]
        loader = botocore.session.get_session().get_component("data_loader")
        self.model = Model(loader.file_loader.load_file(re.sub(r"\.json(\.gz)?$", "", path)))
        self.supports, self.knows = self.model.supports, self.model.knows
        self.config = os.path.join(world.folder, "aws-config")
        with open(self.config, "w", encoding="utf-8") as handle:
            handle.write("[default]\nparameter_validation = false\ncli_timestamp_format = wire\n"
                         "cli_pager =\nmax_attempts = 1\n")
        self.version = subprocess.run([program, "--version"], capture_output=True, text=True,
                                      check=True).stdout.split()[0].split("/")[1]

    def call(self, op, params, who, region):
        account = self.world.principals[who]
        environment = {"PATH": os.environ["PATH"], "HOME": self.world.folder,
                       "AWS_CONFIG_FILE": self.config, "AWS_EC2_METADATA_DISABLED": "true",
                       "AWS_ACCESS_KEY_ID": account.access_key,
                       "AWS_SECRET_ACCESS_KEY": account.secret,
                       "AWS_REGION": self.world.region_of(region), "LC_ALL": "C.UTF-8"}
        if account.token:
            environment["AWS_SESSION_TOKEN"] = account.token
        done = subprocess.run(
            [self.program, "kms", botocore.xform_name(op, "-"), "--endpoint-url", self.world.url,
             "--output", "json", "--no-paginate", "--cli-input-json", json.dumps(params)],
            env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
        if done.returncode != 0:
            wrong = self.ERROR.search(done.stderr)
            if wrong is None:
                return Answer("(no answer)", done.stderr.strip()[-300:])
            return Answer(wrong.group(1), wrong.group(2).strip())
        return Answer(body=json.loads(done.stdout) if done.stdout.strip() else {})


class Js:
    name = "js"

    def __init__(self, world, folder):
        self.world = world
        self.process = subprocess.Popen(
            ["node", "driver.mjs"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env={"PATH": os.environ["PATH"], "AWS_EC2_METADATA_DISABLED": "true",
                            "HOME": world.folder, "NODE_NO_WARNINGS": "1"})
        first = json.loads(self.process.stdout.readline())
        self.version, self.operations = first["version"], set(first["operations"])

    def supports(self, op, params):
        return op in self.operations

    def knows(self, op, path):
        return True

    def call(self, op, params, who, region):
        account = self.world.principals[who]
        self.process.stdin.write(json.dumps({
            "operation": op, "params": params, "endpoint": self.world.url,
            "region": self.world.region_of(region), "accessKeyId": account.access_key,
            "secretAccessKey": account.secret, "sessionToken": account.token,
            "ahead": round(self.world.clock.ahead_s * 1000)}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            return Answer("(no answer)", "the node process ended")
        said = json.loads(line)
        return Answer(said.get("error", ""), said.get("message", ""), said.get("body", {}))

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)
