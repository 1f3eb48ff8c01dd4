"""What all end-to-end tests share: the simulator, ward with its processes, clients of its socket, and
a runner that prints one line a test and "N passed, M failed" at the end. Only the standard library."""

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests"))
from memcheck import WRAP, Reports  # noqa: E402

BUILD = os.path.abspath(os.environ.get("WARD_BUILD", os.path.join(TOP, "build")))
UNCONFINED = os.environ.get("WARD_UNCONFINED") == "1"  # sanitizer and valgrind builds only
SLOW = float(os.environ.get("WARD_SLOW", "1"))  # factor for deadlines (valgrind)
KEEP = os.environ.get("WARD_KEEP") == "1"
ROLES = ["ward", "keyd", "netd", "stored", "apid"]
REPORTS = Reports()
UIDS = {"keyd": 64101, "netd": 64102, "stored": 64103, "apid": 64104}
os.umask(0o022)  # ward refuses what a group may write, which is what some systems' users make


class Failure(Exception):
    """An expectation that did not hold; the text says which and what came instead."""


class Skip(Exception):
    """A test that cannot be made here; the text says why."""


def check(condition, text, *values):
    if not condition:
        raise Failure(text + (": " + ", ".join(repr(v) for v in values) if values else ""))


def equal(got, wanted, text):
    if got != wanted:
        raise Failure("%s: wanted %r, got %r" % (text, wanted, got))


def program(name):
    return os.path.join(BUILD, name)


def command(name):
    """The program with what is put before it."""
    return REPORTS.wrap + [program(name)]


def wait_until(fn, seconds, text):
    """Poll a condition for which there is no event to wait on (files, /proc). text may be a function."""
    end = time.monotonic() + seconds * SLOW
    while True:
        value = fn()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure("timed out: " + (text() if callable(text) else text))
        time.sleep(0.02)


def command_line(pid):
    try:
        with open("/proc/%s/cmdline" % pid) as f:
            return f.read().rstrip("\0").split("\0")
    except OSError:
        return [""]


class LineLog(threading.Thread):
    """Collects the lines of a stream; waiting is for a line, never for a time."""

    def __init__(self, stream, path):
        super().__init__(daemon=True)
        self.stream, self.lines, self.cond, self.eof = stream, [], threading.Condition(), False
        self.file = open(path, "ab")
        self.start()

    def run(self):
        for line in self.stream:
            self.file.write(line)
            self.file.flush()
            with self.cond:
                self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                REPORTS.look(self.lines[-1])
                self.cond.notify_all()
        with self.cond:
            self.eof = True
            self.cond.notify_all()

    def wait(self, pattern, seconds=30, start=0):
        rx, end = re.compile(pattern), time.monotonic() + seconds * SLOW
        with self.cond:
            at = start
            while True:
                while at < len(self.lines):
                    if rx.search(self.lines[at]):
                        return self.lines[at]
                    at += 1
                left = end - time.monotonic()
                if self.eof or left <= 0:
                    raise Failure("no line like %r (%s); last: %r" % (
                        pattern, "end of file" if self.eof else "timed out", self.lines[-5:]))
                self.cond.wait(left)

    def mark(self):
        with self.cond:
            return len(self.lines)

    def grep(self, pattern):
        rx = re.compile(pattern)
        with self.cond:
            return [line for line in self.lines if rx.search(line)]


class Sim:
    """The simulated service and its phones."""

    def __init__(self, folder, seed=None, port=0):
        self.dir = os.path.join(folder, "sim")
        os.makedirs(self.dir, exist_ok=True)
        args = [program("sim"), "-d", self.dir, "-p", str(port)]
        if seed is not None:
            args += ["-s", str(seed)]
        self.proc = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                     stdin=subprocess.DEVNULL)
        self.log = LineLog(self.proc.stdout, os.path.join(folder, "sim.log"))
        line = self.log.wait(r"sim: ready", 30)
        self.port = int(re.search(r"port=(\d+)", line).group(1))
        self.seed = re.search(r"seed=(\S+)", line).group(1)
        self.ca = os.path.join(self.dir, "ca.pem")
        with open(os.path.join(self.dir, "noise_root")) as f:
            self.noise_root = f.read().strip()
        self.url = "wss://127.0.0.1:%d/ws/chat" % self.port
        self.tls = ssl.create_default_context(cafile=self.ca)

    def post(self, path, data, seconds=60):
        rq = urllib.request.Request("https://127.0.0.1:%d%s" % (self.port, path), data=data, method="POST")
        with urllib.request.urlopen(rq, timeout=seconds * SLOW, context=self.tls) as r:
            return r.read()

    def cmd(self, name, seconds=60, /, **params):
        params["cmd"] = name
        try:
            answer = json.loads(self.post("/control", json.dumps(params).encode(), seconds))
        except urllib.error.HTTPError as e:
            raise Failure("sim %s: HTTP %d %s" % (name, e.code, e.read()[:200]))
        if isinstance(answer, dict) and answer.get("error"):
            raise Failure("sim %s: %s" % (name, answer["error"]))
        if name == "expect" and params.get("deadline_ms") != 0 and not answer["seen"]:  # 0 only asks for the count
            raise Failure("sim expect: wanted %s of %s, saw %d" % (
                params.get("count", 1), params.get("match", params.get("watch")), answer["count"]))
        return answer

    def account(self, name, **options):
        """The account of that name, made with these options if it is new; adds its number as `pn`."""
        for a in self.cmd("account.list")["accounts"]:
            if a["account"] == name:
                break
        else:
            a = self.cmd("account.create", account=name, **options)
        a["pn"] = a["jid"].split("@")[0]
        return a

    def scan(self, account, qr):
        self.account(account)
        return self.cmd("phone.scan", account=account, qr=qr)

    def inbox(self, account, after=0):
        return self.cmd("phone.inbox", account=account, after=after)["messages"]

    def wait_inbox(self, account, count, seconds=60):
        return wait_until(lambda: (lambda m: m if len(m) >= count else None)(self.inbox(account)),
                          seconds, "%d messages in the phone of %s" % (count, account))

    def stop(self):
        if self.proc.poll() is None:
            self.proc.terminate()
            try:
                self.proc.wait(20 * SLOW)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        return self.proc.returncode


class Rpc:
    """A client of the API socket: requests by id, events as they come."""

    def __init__(self, path, connect_seconds=10):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        end = time.monotonic() + connect_seconds * SLOW
        while True:
            try:
                self.sock.connect(path)
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
        self.next, self.replies, self.events, self.cond, self.closed = 1, {}, [], threading.Condition(), False
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        rest = b""
        while True:
            try:
                data = self.sock.recv(1 << 16)
            except OSError:
                data = b""
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            with self.cond:
                for line in lines:
                    m = json.loads(line)
                    if m.get("method") == "event":
                        self.events.append(m["params"])
                    elif "method" in m:
                        self.events.append({"notice": m["method"], **m.get("params", {})})
                    else:
                        self.replies[m.get("id")] = m
                self.cond.notify_all()
        with self.cond:
            self.closed = True
            self.cond.notify_all()

    def send(self, method, /, **params):
        with self.cond:
            n, self.next = self.next, self.next + 1
        line = json.dumps({"jsonrpc": "2.0", "id": n, "method": method, "params": params}, ensure_ascii=False)
        self.sock.sendall(line.encode() + b"\n")
        return n

    def answer(self, n, seconds=60):
        end = time.monotonic() + seconds * SLOW
        with self.cond:
            while n not in self.replies:
                left = end - time.monotonic()
                if self.closed or left <= 0:
                    raise Failure("request %d: %s" % (n, "connection closed" if self.closed else "no answer"))
                self.cond.wait(left)
            return self.replies.pop(n)

    def call(self, method, /, seconds=60, **params):
        end = time.monotonic() + 10 * SLOW
        m = self.answer(self.send(method, **params), seconds)
        # apid serves after 15 s, come what may: on a slow machine the accounts are not open by then
        while SLOW > 1 and time.monotonic() < end and \
                m.get("error", {}).get("data", {}).get("reason") in ("keys_locked", "store_locked"):
            time.sleep(0.2)
            m = self.answer(self.send(method, **params), seconds)
        if "error" in m:
            raise Failure("%s: %s" % (method, m["error"]))
        return m["result"]

    def error(self, method, /, seconds=60, **params):
        m = self.answer(self.send(method, **params), seconds)
        if "error" not in m:
            raise Failure("%s: wanted an error, got %r" % (method, m))
        return m["error"]

    def raw(self, data):
        self.sock.sendall(data)

    def wait_event(self, match, seconds=60, start=0):
        """The first event from index start on for which match(event) is true."""
        end, at = time.monotonic() + seconds * SLOW, start
        with self.cond:
            while True:
                while at < len(self.events):
                    e = self.events[at].get("event", self.events[at])
                    if match(e):
                        return e
                    at += 1
                left = end - time.monotonic()
                if self.closed or left <= 0:
                    raise Failure("no such event (%s); last: %r" % (
                        "closed" if self.closed else "timed out", self.events[-3:]))
                self.cond.wait(left)

    def wait_type(self, kind, seconds=60, start=0, **body):
        def match(e):
            return e.get("type") == kind and all(e.get("body", {}).get(k) == v for k, v in body.items())
        return self.wait_event(match, seconds, start)

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


def family(parent):
    """role -> pid of a ward and its children, from the kernel."""
    found = {"ward": parent}
    for pid in os.listdir("/proc"):
        if not pid.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % pid) as f:
                stat = f.read()
        except OSError:
            continue
        if int(stat[stat.rindex(")") + 2:].split()[1]) != parent:
            continue
        role = stat[stat.index("(") + 1:stat.rindex(")")]
        if WRAP:  # the process has valgrind's name, and the program is the last of its arguments
            role = os.path.basename(command_line(pid)[-1])
        if role in ROLES:
            found[role] = int(pid)
    return found


class Ward:
    """One service: its folder, config, process tree, and clients."""

    def __init__(self, folder, sim, accounts, extra=None, name="ward"):
        self.folder, self.sim, self.name = folder, sim, name
        self.data = os.path.join(folder, name + "-data")
        self.socket = os.path.join(folder, name + ".sock")
        self.conf = os.path.join(folder, name + ".conf")
        self.key = os.path.join(folder, name + ".key")
        if not os.path.exists(self.key):
            with open(os.open(self.key, os.O_WRONLY | os.O_CREAT, 0o400), "wb") as f:
                f.write(os.urandom(32))
        self.client_data = os.path.join(folder, name + ".client")  # is not there unless a test makes it
        self.settings = {
            "service": {"data": self.data, "socket": self.socket, "master_key": "file:" + self.key,
                        "client_data": self.client_data},
            "network": {"url": sim.url if sim else "wss://127.0.0.1:9/ws/chat", "backoff_unit": "50ms"},
            "log": {"level": "debug"},
            # whatever the day is on which the tests are run
            "client": {"max_age": "3650d"},
            # tests and benchmarks write faster than people do
            "send": {"account_rate": "0", "chat_rate": "0", "new_chats": "0"},
        }
        if sim:
            self.settings["network"]["ca_file"] = sim.ca
            self.settings["test"] = {"noise_root_key": sim.noise_root}
        if os.geteuid() == 0:
            self.settings["service"].update({"user_" + r: str(u) for r, u in UIDS.items()})
        if SLOW > 1:
            self.settings["service"]["ready_timeout"] = "%ds" % min(20 * SLOW, 300)
        if UNCONFINED:
            self.settings["service"]["developer_unconfined"] = "yes"
        for section, keys in (extra or {}).items():
            self.settings.setdefault(section, {}).update(keys)
        for a in accounts:
            self.settings.setdefault("account " + a, {})
        self.proc, self.log, self.clients = None, None, []

    def write_conf(self):
        with open(self.conf, "w") as f:
            for section, keys in self.settings.items():
                f.write("[%s]\n" % section)
                for k, v in keys.items():
                    f.write("%s = %s\n" % (k, v))
                f.write("\n")

    def start(self, ready=True, seconds=60):
        self.write_conf()
        self.proc = subprocess.Popen(command("ward") + ["-f", self.conf], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.log = LineLog(self.proc.stdout, os.path.join(self.folder, self.name + ".log"))
        if ready:
            self.log.wait(r"ward.*: ready", seconds)
        return self

    def pids(self):
        """role -> pid, from the kernel."""
        return family(self.proc.pid)

    def kill(self, role):
        os.kill(self.pids()[role], signal.SIGKILL)

    def wait_end(self, seconds=30):
        try:
            return self.proc.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            raise Failure("ward did not end in %d s" % seconds)

    def client(self):
        c = Rpc(self.socket)
        self.clients.append(c)
        return c

    def ctl(self, *args, seconds=60, stdin=None):
        return subprocess.run(command("wardctl") + ["-s", self.socket] + list(args), timeout=seconds * SLOW,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, input=stdin)

    def stop(self):
        for c in self.clients:
            c.close()
        self.clients = []
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(20 * SLOW)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
                raise Failure("ward did not stop within 20 s of SIGTERM")
        return self.proc.returncode if self.proc else 0

    def link(self, account, phone=None, rpc=None):
        """Link by QR and wait until the account is online. Returns the description of the account."""
        c = rpc or self.client()
        sub = c.call("events.subscribe", **{"from": "latest", "filter": {"accounts": [account]}})
        start = len(c.events)
        c.call("account.link", account=account, method="qr")
        qr = c.wait_event(lambda e: e.get("type") == "account.link" and e["body"].get("step") == "qr"
                          and e.get("account") == account, start=start)
        self.sim.scan(phone or account, qr["body"]["text"])
        c.wait_event(lambda e: e.get("type") == "account.linked" and e.get("account") == account, start=start)
        c.wait_event(lambda e: e.get("type") == "account.state" and e.get("account") == account
                     and e["body"]["state"] == "online", start=start)
        c.call("events.unsubscribe", subscription=sub["subscription"])
        return c.call("account.get", account=account)


class SmallDisk:
    """A tmpfs in place of a service's data folder, for as long as it runs; can be filled to the last byte."""

    def __init__(self, ward, megabytes):
        if os.geteuid() != 0:
            raise Skip("needs root")
        self.ward, self.ballast = ward, os.path.join(ward.data, "ballast")
        os.mkdir(ward.data)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm,mode=0700" % megabytes, "tmpfs", ward.data], check=True)

    def fill(self):
        fd = os.open(self.ballast, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            while True:
                os.write(fd, b"\0" * 4096)
        except OSError:
            os.close(fd)

    def make_room(self):
        os.remove(self.ballast)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        try:
            self.ward.stop()
        finally:
            subprocess.run(["umount", "-l", self.ward.data], check=True)


class World:
    """A temporary folder with a simulator and the services of a test; everything ends with it."""

    def __init__(self, seed=None, sim=True):
        self.folder = tempfile.mkdtemp(prefix="ward-e2e-")
        os.chmod(self.folder, 0o755)
        self.wards = []
        self.sim = Sim(self.folder, seed) if sim else None

    def ward(self, *accounts, start=True, **kw):
        w = Ward(self.folder, self.sim, accounts or ["alice"], **kw)
        self.wards.append(w)
        return w.start() if start else w

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        problems = []
        for w in self.wards:
            try:
                w.stop()
            except Failure as e:
                problems.append(str(e))
        if self.sim and self.sim.stop() not in (0, -signal.SIGTERM):
            problems.append("sim ended with %d" % self.sim.proc.returncode)
        for log in [w.log for w in self.wards if w.log] + ([self.sim.log] if self.sim else []):
            log.join(10)  # all that was said has been read
        if kind is not None or problems:
            for w in self.wards:
                if w.log:
                    sys.stderr.write("--- last lines of %s\n%s\n" % (w.name, "\n".join(w.log.lines[-25:])))
        if KEEP or kind is not None:
            sys.stderr.write("kept: %s\n" % self.folder)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
        if problems and kind is None:
            raise Failure("; ".join(problems))


TESTS = []


def test(fn):
    """Marks a test; its docstring is the sentence that says what it proves. It raises Skip if it cannot be made."""
    TESTS.append(fn)
    return fn


def main():
    wanted = sys.argv[1:]
    passed = failed = 0
    for fn in TESTS:
        if fn.__module__ != "__main__":  # a suite that lends its helpers
            continue
        if wanted and not any(w in fn.__name__ for w in wanted):
            continue
        began = time.monotonic()
        try:
            fn()
            found = REPORTS.take()
            check(not found, "valgrind or a sanitizer found\n" + found)
            passed += 1
            print("ok   %-34s %5.1f s  %s" % (fn.__name__, time.monotonic() - began, (fn.__doc__ or "").split("\n")[0]))
        except Skip as e:
            print("skip: %s: %s" % (fn.__name__, e))
        except Exception as e:  # a test may fail in any way; the rest goes on
            failed += 1
            print("FAIL %-34s %5.1f s  %s" % (fn.__name__, time.monotonic() - began, e))
            if not isinstance(e, Failure):
                traceback.print_exc()
            print(REPORTS.take())
        sys.stdout.flush()
    print("%s: %d passed, %d failed" % (os.path.basename(sys.argv[0]).replace(".py", ""), passed, failed))
    sys.exit(1 if failed else 0)
