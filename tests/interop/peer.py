"""The clients of others that talk with ward here: how each is had, and a driver program of one as an object."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
from harness import BUILD, SLOW, Failure  # noqa: E402

BUILT = os.path.join(BUILD, "interop")  # what is compiled for them; kept from run to run


def version(command, words):
    """The first number of "program version" as a tuple, or None where there is no such program."""
    try:
        out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        return None
    for word in out.split():
        word = word.lstrip(words)
        if word[:1].isdigit() and "." in word:
            return tuple(int(n) for n in word.split(".")[:2])
    return None


def run(command, folder, **env):
    """Run a step of a build. Returns what it said if it failed, else None."""
    try:
        r = subprocess.run(command, cwd=folder, env=dict(os.environ, **env), stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1200)
    except subprocess.TimeoutExpired:
        return "%s: did not end in 20 minutes" % " ".join(command[:2])
    text = r.stdout.decode("utf-8", "replace").strip()
    return None if r.returncode == 0 else "%s: %s" % (" ".join(command[:2]), text[-400:])


class Kind:
    """One client: its name, how its driver is made and started, and in what it is special."""

    name = folder = None
    # It uses a ratchet step twice when it encrypts and decrypts at once (see README); texts then go turn by turn.
    turns = False
    # Texts that it encrypts for the wrong device after its restart (see README); ward asks for them again.
    mixed_up = 0
    # Texts that it encrypts wrongly when both sides wrote first (see README); ward asks for them again.
    spoilt = 0
    # Tells its user of the receipts of a device whose user is not there, which are those of ward.
    tells_inactive = True
    # Flaws of the service's Noise chain that it is able to find.
    forged = ("wrong_root", "random_signatures", "leaf_key", "intermediate_issuer", "leaf_issuer")

    def __init__(self):
        self.source = os.path.join(HERE, self.folder or self.name)

    def missing(self):
        """Have what it is made of: a toolchain, and the packages of its lock file. Returns why that cannot be, or None."""
        raise NotImplementedError

    def build(self):
        """Build the driver from it; a failure is one."""

    def compiled(self, command, **env):
        why = run(command, self.source, **env)
        if why:
            raise Failure(why)

    def command(self):
        raise NotImplementedError

    def env(self, sim):
        return {}


class Baileys(Kind):
    name = "baileys"
    turns = True
    spoilt = 1
    forged = ("intermediate_issuer",)  # it takes every signature (see README)
    tells_inactive = False

    def missing(self):
        v = version(["node", "--version"], "v")
        if v is None or v < (20, 0):
            return "no Node.js of version 20 or later"
        if os.path.isdir(os.path.join(self.source, "node_modules", "baileys")):
            return None
        return run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], self.source)

    def command(self):
        return ["node", os.path.join(self.source, "driver.mjs")]

    def env(self, sim):
        return {"NODE_EXTRA_CA_CERTS": sim.ca}


class Whatsmeow(Kind):
    name = "whatsmeow"
    turns = True
    mixed_up = 1

    go = {"CGO_ENABLED": "1", "CGO_CFLAGS": "-O1 -g0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}

    def missing(self):
        v = version(["go", "version"], "go")
        if v is None or v < (1, 24):
            return "no Go of version 1.24 or later"
        if shutil.which("gcc") is None:
            return "no C compiler for the SQLite of its store"
        return run(["go", "list", "-deps", "."], self.source, **self.go)

    def build(self):
        self.compiled(["go", "build", "-o", self.command()[0], "."], **self.go)

    def command(self):
        return [os.path.join(BUILT, "whatsmeow", "driver")]


class WhatsappRust(Kind):
    name = "whatsapp-rust"
    release = False  # built as for use, where it is measured: that takes minutes
    # The root key is a constant of the crate, so signatures are not checked here (see its Cargo.toml).
    forged = ("leaf_key", "intermediate_issuer", "leaf_issuer")

    def missing(self):
        v = version(["cargo", "--version"], "")
        if v is None or v < (1, 94):
            return "no cargo of version 1.94 or later"
        return run(["cargo", "fetch", "--quiet", "--locked"], self.source, CARGO_NET_RETRY="1")

    def build(self):
        self.compiled(["cargo", "build", "--quiet", "--locked", "--offline", "--target-dir", os.path.join(BUILT, self.name)] +
                      ["--release"] * self.release)

    def command(self):
        return [os.path.join(BUILT, self.name, "release" if self.release else "debug", "driver")]


KINDS = [Baileys(), Whatsmeow(), WhatsappRust()]


def kind(name):
    return next(k for k in KINDS if k.name == name)


class Peer:
    """A driver program with its store; its events are kept over restarts."""

    def __init__(self, kind, sim, folder, name, **options):
        self.kind, self.sim, self.name, self.options = kind, sim, name, options
        self.dir, self.log = os.path.join(folder, "peer-" + name), os.path.join(folder, "peer-%s.log" % name)
        self.events, self.cond, self.proc, self.reader = [], threading.Condition(), None, None

    def start(self):
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen(self.kind.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=log, env=dict(os.environ, **self.kind.env(self.sim)))
        self.reader = threading.Thread(target=self.read, args=(self.proc,), daemon=True)
        self.reader.start()
        self.tell(cmd="start", url=self.sim.url, ca=self.sim.ca, dir=self.dir, name=self.name,
                  noise_root=self.sim.noise_root, **self.options)

    def read(self, proc):
        for line in proc.stdout:
            try:
                e = json.loads(line)
            except ValueError:
                continue
            with self.cond:
                self.events.append(e)
                self.cond.notify_all()

    def tell(self, **m):
        self.proc.stdin.write(json.dumps(m).encode() + b"\n")
        self.proc.stdin.flush()

    def mark(self):
        with self.cond:
            return len(self.events)

    def wait(self, event, seconds=60, start=0, **fields):
        """The first event of that kind from index start on whose fields are these; a value may be a test of it."""
        end, at = time.monotonic() + seconds * SLOW, start
        fits = lambda e: e.get("event") == event and all(
            v(e.get(k)) if callable(v) else e.get(k) == v for k, v in fields.items())
        with self.cond:
            while True:
                while at < len(self.events):
                    if fits(self.events[at]):
                        return self.events[at]
                    at += 1
                left = end - time.monotonic()
                if left <= 0 or self.proc.poll() is not None:
                    raise Failure("%s: no event %s %r; last: %r" % (self.name, event, fields, self.events[-4:]))
                self.cond.wait(min(left, 1))

    def of(self, event, start=0):
        with self.cond:
            return [e for e in self.events[start:] if e.get("event") == event]

    def messages(self, own=False):
        """Texts that came in, or with own, copies of what other devices of its account sent. Each decrypted one once:
        that it was not readable at first is another event."""
        return [e for e in self.of("message") if bool(e["fromMe"]) == own and e.get("text")]

    def texts(self, own=False):
        return [m["text"] for m in self.messages(own)]

    def receipts(self, *status):
        return {r["id"] for r in self.of("receipt") if r["status"] in status}

    def send(self, to, text, **about):
        self.tell(**{"cmd": "send", "to": to, "text": text, "ref": text, **about})

    def sent(self, text, seconds=60):
        return self.wait("sent", seconds, ref=text)["id"]

    def link(self, account):
        """Shows its QR to the phone of the account, and is online then."""
        self.start()
        self.sim.scan(account, self.wait("qr")["qr"])
        return self.wait("open")

    def restart(self):
        mark = self.mark()
        self.stop()
        self.start()
        return self.wait("open", start=mark)

    def stop(self):
        if self.proc is None or self.proc.poll() is not None:
            return
        try:
            self.tell(cmd="stop")
            self.proc.wait(20 * SLOW)
        except (OSError, subprocess.TimeoutExpired):
            self.proc.kill()
            self.proc.wait()
        self.reader.join(10)  # all that it said has been read
