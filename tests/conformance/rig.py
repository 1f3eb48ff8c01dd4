"""Runs an executable in stored's place: starts it as the parent does, plays keyd and apid over its two channels.

	with Store(["build/stored"], folder, ["alice"]) as s:
	    s.unlock()
	    s.commit("alice", event("message.received", b"{}"))
	    s.apid.ask(pb.STATS, pb.StatsGet())

What a program must know to stand there: sandbox/role.h (the numbers of the descriptors), sandbox/control.h (BOOT, READY,
STOP), ipc/frame.h (the header of a frame) and ipc/stored.proto. One thread; each wait has a deadline. Names are those
of the contract; the messages are the classes that protoc makes of it."""

import collections
import fcntl
import os
import select
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests"))
from memcheck import WRAP, Reports  # noqa: E402

BUILD = os.path.abspath(os.environ.get("WARD_BUILD", os.path.join(TOP, "build")))
SLOW = float(os.environ.get("WARD_SLOW", "1"))  # factor for deadlines (valgrind)
REPORTS = Reports()


def contract_classes():
    """The modules of ipc/stored.proto and ipc/ipc.proto: those of the build, or made now."""
    try:
        import google.protobuf  # noqa: F401
    except ImportError:  # a Python that is not the system's: Debian's package lies here
        sys.path.append("/usr/lib/python3/dist-packages")
    folder, source = os.path.join(BUILD, "py"), os.path.join(TOP, "ipc", "stored.proto")
    made = os.path.join(folder, "ipc", "stored_pb2.py")
    if not os.path.exists(made) or os.path.getmtime(made) < os.path.getmtime(source):
        os.makedirs(folder, exist_ok=True)
        subprocess.run(["protoc", "--proto_path=" + TOP, "--python_out=" + folder, "ipc/stored.proto", "ipc/ipc.proto"],
                       check=True)
    sys.path.insert(0, folder)
    from ipc import ipc_pb2, stored_pb2
    return stored_pb2, ipc_pb2


pb, ipc_pb = contract_classes()

HEADER = struct.Struct(">IIIHH")  # of a frame: type, length, id, flags, zero
REPLY, ERROR, WITH_FD = 1, 2, 4
CONTROL_HEADER = struct.Struct(">4sHHI")  # of a packet of the parent: magic, version, type, length
BOOT, READY, GO, STOP, INCIDENT = 1, 2, 3, 4, 5
UNCONFINED = 1
ROLE_STORED = 3
LEVELS = ["error", "warning", "notice", "info", "debug"]
FD_CONTROL, FD_LOG, FD_APID, FD_KEYD, FD_DATA = 3, 4, 5, 6, 7
HIGH = 32  # our ends lie above the numbers that the child gets


class Failure(Exception):
    """An expectation that did not hold; the text says which and what came instead."""


class Refused(Exception):
    """The answer was an error of the contract."""

    def __init__(self, code, text):
        super().__init__("%s: %s" % (code, text))
        self.code, self.text = code, text


class Closed(Exception):
    """The store closed the channel, or ended."""


class Peer:
    """keyd or apid, as the store sees it. Notices that came are in `notices`, as (type, message)."""

    # type of an answer or notice -> its class
    KINDS = {pb.KEYRING: pb.Keyring, pb.DONE: pb.Done, pb.UNLOCK_REPLY: pb.UnlockReply, pb.RECORDS: pb.Records,
             pb.UNIT_DONE: pb.UnitDone, pb.RECORD_NAMES: pb.RecordNames, pb.REKEYED: pb.Rekeyed,
             pb.STORE_STATE: pb.StoreState, pb.UNIT_RESULT: pb.UnitResult, pb.DEVICE_RECORD: pb.DeviceRecord,
             pb.LOOKUP_REPLY: pb.LookupReply, pb.OUTBOX_ROWS: pb.OutboxRows, pb.EVENTS: pb.Events,
             pb.OUTBOX_COUNTS: pb.OutboxCounts, pb.QUARANTINE_STATE: pb.QuarantineState,
             pb.CONSUMER: pb.Consumer, pb.CONSUMERS: pb.Consumers, pb.STATS_REPLY: pb.Stats,
             pb.SCAN_REPLY: pb.ScanReply, pb.TASK: pb.Task, pb.TASK_STATE: pb.TaskState}

    def __init__(self, store, name, sock):
        self.store, self.name, self.sock = store, name, sock
        sock.setblocking(False)
        self.out, self.rest, self.next_id = collections.deque(), bytearray(), 1
        self.answers, self.waiting, self.notices, self.closed = {}, set(), collections.deque(), False
        self.deaf = False  # it sends, and reads nothing

    # ---- sending
    def frame(self, kind, payload, number=0, flags=0, fd=None):
        """Any frame, also one that breaks the contract."""
        self.raw(HEADER.pack(kind, len(payload), number, flags, 0) + payload, fd)

    def raw(self, data, fd=None):
        self.out.append([memoryview(data), fd])
        self.flush()

    def flush(self):
        while self.out and not self.closed:
            data, fd = self.out[0]
            try:
                if fd is not None:
                    n = socket.send_fds(self.sock, [data], [fd], socket.MSG_NOSIGNAL)
                    self.out[0][1] = None
                else:
                    n = self.sock.send(data, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            except OSError:
                self.closed = True
                return
            if n == len(data):
                self.out.popleft()
            else:
                self.out[0][0] = data[n:]

    def notify(self, kind, message):
        self.frame(kind, message.SerializeToString())

    def post(self, kind, message, fd=None):
        """Send a request; its number is for answer(). Many may be under way."""
        number, self.next_id = self.next_id, self.next_id + 1
        self.waiting.add(number)
        self.frame(kind, message.SerializeToString(), number, WITH_FD if fd is not None else 0, fd)
        return number

    # ---- receiving
    def take(self):
        """Read what is there."""
        while not self.closed:
            try:
                data = self.sock.recv(1 << 18)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.closed = True
                break
            self.rest += data
            if len(data) < 1 << 18:
                break
        at = 0
        while len(self.rest) - at >= HEADER.size:
            kind, size, number, flags, zero = HEADER.unpack_from(self.rest, at)
            if len(self.rest) - at < HEADER.size + size:
                break
            self.came(kind, number, flags, zero, bytes(self.rest[at + HEADER.size:at + HEADER.size + size]))
            at += HEADER.size + size
        del self.rest[:at]

    def came(self, kind, number, flags, zero, payload):
        where = "%s: a frame of type %d, id %d, flags %d" % (self.name, kind, number, flags)
        if zero != 0 or flags & ~(REPLY | ERROR):
            raise Failure(where + ": no such header")
        if not flags & REPLY:
            if number or kind not in (pb.UNIT_DONE, pb.REKEYED, pb.STORE_STATE, pb.TASK_STATE):
                raise Failure(where + ": is no notice of the contract")
            self.notices.append((kind, self.parse(kind, payload)))
            return
        if number not in self.waiting:
            raise Failure(where + ": answers nothing that was asked")
        self.waiting.remove(number)
        if flags & ERROR:
            if kind != 0:
                raise Failure(where + ": an error has type 0")
            e = ipc_pb.Error.FromString(payload)
            self.answers[number] = Refused(e.code, e.text)
        else:
            self.answers[number] = (kind, self.parse(kind, payload))

    def parse(self, kind, payload):
        if kind not in self.KINDS:
            raise Failure("%s: an answer of type %d, which the contract does not know" % (self.name, kind))
        return self.KINDS[kind].FromString(payload)

    def answer(self, number, kind=None, seconds=20):
        """The answer to a request; Refused if it is an error, Closed if none will come."""
        self.store.wait(lambda: number in self.answers or self.closed, seconds, "%s: no answer" % self.name)
        if number not in self.answers:
            raise Closed("%s: closed before the answer" % self.name)
        got = self.answers.pop(number)
        if isinstance(got, Refused):
            raise got
        if kind is not None and got[0] != kind:
            raise Failure("%s: wanted an answer of type %d, got %d" % (self.name, kind, got[0]))
        return got[1]

    # request -> type of its answer
    REPLIES = {pb.KEYRING_GET: pb.KEYRING, pb.KEYRING_PUT: pb.DONE, pb.UNLOCK: pb.UNLOCK_REPLY,
               pb.RECORDS_GET: pb.RECORDS, pb.RECORDS_LIST: pb.RECORD_NAMES, pb.REKEY: pb.DONE,
               pb.UNIT_COMMIT: pb.UNIT_RESULT, pb.DEVICE_LOAD: pb.DEVICE_RECORD, pb.LOOKUP: pb.LOOKUP_REPLY,
               pb.OUTBOX_LOAD: pb.OUTBOX_ROWS, pb.OUTBOX_FIND: pb.OUTBOX_ROWS,
               pb.OUTBOX_COUNT: pb.OUTBOX_COUNTS, pb.QUARANTINE: pb.QUARANTINE_STATE, pb.EVENTS_READ: pb.EVENTS,
               pb.CONSUMER_OPEN: pb.CONSUMER, pb.CONSUMER_ACK: pb.CONSUMER, pb.CONSUMER_LIST: pb.CONSUMERS,
               pb.CONSUMER_DELETE: pb.DONE, pb.STATS: pb.STATS_REPLY, pb.SCAN: pb.SCAN_REPLY, pb.BACKUP: pb.TASK,
               pb.SNAPSHOT: pb.TASK, pb.CHECK: pb.TASK}

    def ask(self, kind, message, seconds=20, fd=None):
        return self.answer(self.post(kind, message, fd), self.REPLIES[kind], seconds)

    def notice(self, kind, match=lambda m: True, seconds=20):
        """The first notice of that type that matches, taken out of the list."""
        found = []

        def there():
            for n in self.notices:
                if n[0] == kind and match(n[1]):
                    found.append(n)
                    return True
            return self.closed
        self.store.wait(there, seconds, "%s: no notice of type %d" % (self.name, kind))
        if not found:
            raise Closed("%s: closed before the notice" % self.name)
        self.notices.remove(found[0])
        return found[0][1]


def words(program):
    """A command line as a list; what is put before programs (valgrind) is not put before a script's interpreter."""
    args = shlex.split(program) if isinstance(program, str) else list(program)
    if WRAP and "python" not in os.path.basename(args[0]):
        args = REPORTS.wrap + args
    args[0] = shutil.which(args[0]) or args[0]
    return args


class Store:
    """A store's process over one data folder; start(), stop() and kill() as often as wanted."""

    def __init__(self, program, folder, accounts=("alice", "bob"), config="", keys=None, level="info"):
        self.args, self.folder, self.accounts, self.level = words(program), folder, list(accounts), level
        self.config = config.rstrip("\n") + "\n" + "".join("[account %s]\n" % a for a in self.accounts)
        self.keys, self.next_keys = keys or {a: os.urandom(32) for a in [""] + self.accounts}, None
        self.pid, self.status, self.log, self.lines, self.unit = None, None, bytearray(), [], 0
        self.pids = []  # of all its processes
        os.makedirs(folder, mode=0o700, exist_ok=True)

    # ---- the process
    def start(self, seconds=20):
        self.launch()
        self.wait(lambda: self.ready is not None or self.ended(), seconds, "the store is not ready")
        if self.ready is None:
            raise Failure("the store ended before it was ready: status %s\n%s" % (self.status, self.said()))
        return self

    def launch(self):
        """The process is there and has its boot message; READY has not come yet."""
        pairs = [socket.socketpair(socket.AF_UNIX, kind) for kind in
                 (socket.SOCK_SEQPACKET, socket.SOCK_STREAM, socket.SOCK_STREAM)]
        log_in, log_out = os.pipe()
        for _, theirs in pairs[1:]:  # the parent makes both ends so
            theirs.setblocking(False)
        os.set_blocking(log_out, False)
        null, data = os.open(os.devnull, os.O_RDWR), os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        given = {0: null, 1: null, 2: log_out, FD_CONTROL: pairs[0][1].fileno(), FD_LOG: log_out,
                 FD_APID: pairs[1][1].fileno(), FD_KEYD: pairs[2][1].fileno(), FD_DATA: data}
        self.spawn(given)
        for fd in (null, data, log_out):
            os.close(fd)
        for _, theirs in pairs:
            theirs.close()
        self.control, self.log_fd = pairs[0][0], log_in
        os.set_blocking(log_in, False)
        self.apid, self.keyd = Peer(self, "apid", pairs[1][0]), Peer(self, "keyd", pairs[2][0])
        self.ready, self.incident, self.status, self.unit = None, None, None, 0
        text = self.config.encode()
        boot = struct.pack(">7I", ROLE_STORED, UNCONFINED, os.getuid(), os.getgid(), os.getpid(),
                           LEVELS.index(self.level), len(text)) + text
        self.control.send(CONTROL_HEADER.pack(b"WARD", 1, BOOT, len(boot)) + boot)

    def spawn(self, given):
        high = {n: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH) for n, fd in given.items()}
        try:
            self.pid = os.posix_spawn(self.args[0], self.args, os.environ,
                                      file_actions=[(os.POSIX_SPAWN_DUP2, fd, n) for n, fd in high.items()])
            self.pids.append(self.pid)
        finally:
            for fd in high.values():
                os.close(fd)

    def ended(self):
        """The exit status is in `status` if it has ended (negative: the signal)."""
        if self.status is None and self.pid is not None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status, self.pid = os.waitstatus_to_exitcode(status), None
        return self.status is not None

    def wait(self, condition, seconds, text):
        end = time.monotonic() + seconds * SLOW
        while not condition():
            left = end - time.monotonic()
            if left <= 0:
                raise Failure("timed out: %s\n%s" % (text, self.said()))
            self.turn(min(left, 0.5))

    def turn(self, seconds):
        """Move bytes both ways, for at most so long."""
        peers = [p for p in (self.apid, self.keyd) if not p.closed]
        poll = select.poll()
        for p in peers:
            poll.register(p.sock, (0 if p.deaf else select.POLLIN) | (select.POLLOUT if p.out else 0))
        for fd in (self.control, self.log_fd):
            if fd is not None:
                poll.register(fd, select.POLLIN)
        poll.poll(seconds * 1000)
        for p in peers:
            p.flush()
            if not p.deaf:
                p.take()
        self.read_log()
        self.read_control()

    def read_log(self):
        while self.log_fd is not None:
            try:
                data = os.read(self.log_fd, 1 << 16)
            except BlockingIOError:
                break
            if not data:
                os.close(self.log_fd)
                self.log_fd = None
                break
            self.log += data
        *lines, self.log = self.log.split(b"\n")
        for line in lines:
            self.lines.append(line.decode("utf-8", "replace"))
            REPORTS.look(self.lines[-1])

    def read_control(self):
        while self.control is not None:
            try:
                packet = self.control.recv(1 << 18, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self.control.close()
                self.control = None
                return
            magic, version, kind, size = CONTROL_HEADER.unpack_from(packet)
            if (magic, version, size) != (b"WARD", 1, len(packet) - CONTROL_HEADER.size) or kind not in (READY, INCIDENT):
                raise Failure("the parent got a packet that is none: %r" % packet[:64])
            if kind == READY:
                self.ready = packet[CONTROL_HEADER.size:].decode()
            else:
                self.incident = packet[CONTROL_HEADER.size:].decode()

    def said(self, lines=25):
        self.read_log()
        return "\n".join("  log: " + line for line in self.lines[-lines:])

    def stop(self, seconds=20):
        """The parent's STOP: all is written back, and it exits with 0."""
        if self.pid is None:
            return self.status
        self.ask_to_stop()
        try:
            self.wait(self.ended, seconds, "the store did not stop")
            self.drain()
        finally:
            self.kill()
        return self.status

    def ask_to_stop(self):
        try:
            self.control.send(CONTROL_HEADER.pack(b"WARD", 1, STOP, 0))
        except OSError:
            pass

    def drain(self):
        """What was sent before the end is there to be read."""
        for p in (self.apid, self.keyd):
            while not p.closed:
                p.take()
        self.read_log()
        self.read_control()

    def kill(self):
        """kill -9, and what is left of the channels is thrown away."""
        try:
            self.slay()
        except Failure:
            pass  # what was left was no frame of the contract; who wants it calls slay()
        if self.log_fd is not None:
            self.read_log()
        if self.log_fd is not None:
            os.close(self.log_fd)
            self.log_fd = None
        for s in (self.control, self.apid.sock, self.keyd.sock):
            if s is not None:
                s.close()
        self.control = None
        return self.status

    def slay(self):
        """kill -9; what it had sent before can be read."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            _, status = os.waitpid(self.pid, 0)
            self.status, self.pid = os.waitstatus_to_exitcode(status), None
            self.drain()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, tb):
        self.kill() if kind else self.stop()

    # ---- what nearly every test does
    def unlock_request(self):
        """The keys; while they are being changed, next_keys as well."""
        keys, nexts = self.keys, self.next_keys or {}
        return pb.Unlock(service_key=keys[""], service_next_key=nexts.get(""), accounts=[
            pb.AccountKey(account=a, key=keys[a], next_key=nexts.get(a)) for a in self.accounts if a in keys])

    def unlock(self, seconds=60):
        """Hand the keys over, with a keyring before the first; the answer. The state that is told then is in `state`."""
        if not self.keyd.ask(pb.KEYRING_GET, pb.KeyringGet()).header:
            self.keyd.ask(pb.KEYRING_PUT, pb.Keyring(header=b"header"))
        reply = self.keyd.ask(pb.UNLOCK, self.unlock_request(), seconds)
        self.state = self.apid.notice(pb.STORE_STATE)
        return reply

    def open(self, account):
        """UNIT_OPEN; the unit's number."""
        self.unit += 1
        self.apid.notify(pb.UNIT_OPEN, pb.UnitOpen(account=account, unit=self.unit))
        return self.unit

    def stage(self, account, unit, puts=(), deletes=(), uploaded=()):
        self.keyd.notify(pb.STAGE, pb.Stage(account=account, unit=unit, puts=puts, deletes=deletes, uploaded=uploaded))

    def post_commit(self, account, unit, *writes, stages=0):
        return self.apid.post(pb.UNIT_COMMIT, pb.UnitCommit(account=account, unit=unit, stages=stages, writes=writes))

    def commit(self, account, *writes, puts=(), deletes=(), uploaded=()):
        """One unit, whole: what keyd puts into it, what apid writes. The UnitResult."""
        unit, stages = self.open(account), 0
        if puts or deletes or uploaded:
            self.stage(account, unit, puts, deletes, uploaded)
            stages = 1
        return self.apid.answer(self.post_commit(account, unit, *writes, stages=stages), pb.UNIT_RESULT)


def name(domain, text):
    return pb.RecordName(domain=domain, name=text)


def put(domain, text, version, sealed, **more):
    return pb.RecordPut(name=name(domain, text), version=version, sealed=sealed, **more)


def delete(domain, text, version):
    return pb.RecordDelete(name=name(domain, text), version=version)


def event(kind="message.received", body=b"{}", origin="live", time_ms=1, **more):
    return pb.Write(event=pb.EventAppend(type=kind, origin=origin, time_ms=time_ms, body=body, **more))


def folder(prefix="ward-store-"):
    return tempfile.mkdtemp(prefix=prefix)
