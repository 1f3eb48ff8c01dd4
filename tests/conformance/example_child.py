"""What any child process of ward does around its work: boot, frames, stop. The rules are in stored/STORE.md."""

import collections
import os
import re
import select
import socket
import struct
import time

CONTROL, LOG = 3, 4  # descriptors
PACKET, BOOT_FIELDS = struct.Struct(">4sHHI"), struct.Struct(">7I")
BOOT, READY, GO, STOP, INCIDENT = 1, 2, 3, 4, 5
FRAME = struct.Struct(">IIIHH")
REPLY, ERROR, WITH_FD = 1, 2, 4
FULL = 4 << 20  # bytes that wait for a peer: it is not listened to until it has read some of them
GRACE = 3  # seconds in which STOP comes after a peer has ended: it may have had its own before us
ERR, WARN, NOTICE, INFO, DEBUG = range(5)
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30,
         "ms": 1, "s": 1000, "m": 60000, "h": 3600000, "d": 86400000}


class Broken(Exception):
    """The peer did what the contract does not allow."""


class Error(Exception):
    """A request is answered with this code of the contract."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class Kind(collections.namedtuple("Kind", "message handler request most fd", defaults=(True, 1 << 20, False))):
    """What a peer may send: its class, who takes it, whether it wants an answer, bytes at most, with a descriptor?"""


class Child:
    """The parent's side: its boot message, the log, READY and STOP."""

    def __init__(self, role):
        self.control = socket.socket(fileno=CONTROL)
        self.stopping, self.config, self.accounts, self.level = False, {}, [], INFO
        kind, payload = self.packet()
        got, _, _, _, parent, self.level, size = BOOT_FIELDS.unpack_from(payload)
        if kind != BOOT or got != role or len(payload) != BOOT_FIELDS.size + size:
            raise SystemExit("no boot message for this role")
        self.read_config(payload[BOOT_FIELDS.size:].decode())

    def packet(self):
        data = self.control.recv(1 << 18)
        if not data:
            raise SystemExit(1)  # the parent is gone
        magic, version, kind, size = PACKET.unpack_from(data)
        if magic != b"WARD" or version != 1 or size != len(data) - PACKET.size:
            raise SystemExit("a packet that is none")
        return kind, data[PACKET.size:]

    def send(self, kind, payload=b""):
        self.control.send(PACKET.pack(b"WARD", 1, kind, len(payload)) + payload)

    def read_config(self, text):
        section = ""
        for line in text.splitlines():
            if m := re.fullmatch(r"\[(\w+)(?: (\S+))?\]", line):
                section = m[1]
                if section == "account":
                    self.accounts.append(m[2])
            elif m := re.fullmatch(r"(\w+) = (.*)", line):
                self.config[section, m[1]] = m[2]

    def number(self, section, key, default):
        """A count, a size in bytes, or a time in ms."""
        m = re.fullmatch(r"(\d+)(\w*)", self.config.get((section, key), default))
        return int(m[1]) * UNITS[m[2]]

    def log(self, level, text):
        if level <= self.level:
            try:
                os.write(LOG, b"%d%s\n" % (level, text.replace("\n", " ").encode()[:1000]))
            except BlockingIOError:
                pass  # a full log holds nobody up

    def incident(self, text):
        """A peer broke the contract: the parent ends the service."""
        self.send(INCIDENT, text.encode()[:512])
        os._exit(1)

    def run(self, channels, turn, every=0.25):
        """Serve until STOP. turn(): after the frames that came together, and at least every so many seconds."""
        while not self.stopping:
            poll = select.poll()
            poll.register(CONTROL, select.POLLIN)
            for c in channels:
                if c.closed is None:
                    poll.register(c.sock, (select.POLLIN if c.waiting < FULL else 0) | (select.POLLOUT if c.out else 0))
                elif time.monotonic() - c.closed > GRACE:
                    self.incident("example: %s closed its channel" % c.name)
            ready = dict(poll.poll(every * 1000))
            if CONTROL in ready and self.packet()[0] == STOP:
                self.stopping = True
            for c in channels:
                try:
                    if ready.get(c.sock.fileno(), 0) & ~select.POLLOUT:
                        c.read()
                    c.write()
                    c.frames()
                except Broken as e:
                    self.incident("example: %s: the peer broke the contract: %s" % (c.name, e))
            turn()
            for c in channels:
                c.write()
        for c in channels:  # what was answered leaves before we do
            c.drain()


class Channel:
    """Frames of one peer, both ways."""

    def __init__(self, fd, name, kinds, error_class):
        self.sock, self.name, self.kinds, self.error_class = socket.socket(fileno=fd), name, kinds, error_class
        self.sock.setblocking(False)
        self.rest, self.out, self.waiting, self.fds = bytearray(), collections.deque(), 0, collections.deque()
        self.closed = None  # since when the peer is gone

    # ---- out
    def frame(self, kind, payload, number=0, flags=0):
        data = FRAME.pack(kind, len(payload), number, flags, 0) + payload
        self.out.append(memoryview(data))
        self.waiting += len(data)

    def notify(self, kind, message):
        self.frame(kind, message.SerializeToString())

    def reply(self, number, kind, message):
        self.frame(kind, message.SerializeToString(), number, REPLY)

    def refuse(self, number, e):
        self.frame(0, self.error_class(code=e.code, text=str(e)).SerializeToString(), number, REPLY | ERROR)

    def write(self):
        while self.out:
            try:
                n = self.sock.send(self.out[0], socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            except OSError:
                self.out.clear()  # the peer is gone: the parent sees to it
                self.waiting = 0
                return
            self.waiting -= n
            self.out[0] = self.out[0][n:]
            if not self.out[0]:
                self.out.popleft()

    def drain(self):
        end = time.monotonic() + 2
        while self.out and time.monotonic() < end:
            select.select([], [self.sock], [], 0.2)
            self.write()

    # ---- in
    def read(self):
        try:
            data, fds, _, _ = socket.recv_fds(self.sock, 1 << 18, 4)
        except BlockingIOError:
            return
        self.fds.extend(fds)
        if not data:
            self.closed = self.closed or time.monotonic()
        self.rest += data

    def frames(self):
        """Take those that came, as long as the peer takes what it is answered."""
        at = 0
        while len(self.rest) - at >= FRAME.size and self.waiting < FULL:
            kind, size, number, flags, zero = FRAME.unpack_from(self.rest, at)
            self.check(kind, size, number, flags, zero)
            if len(self.rest) - at < FRAME.size + size:
                break
            at += FRAME.size
            self.take(kind, number, bytes(self.rest[at:at + size]))
            at += size
        del self.rest[:at]
        if self.fds and not self.rest:
            raise Broken("a descriptor came where none belongs")

    def check(self, kind, size, number, flags, zero):
        """A header is judged before its payload is waited for."""
        k = self.kinds.get(kind)
        if k is None or zero or flags != (WITH_FD if k.fd else 0) or k.request != (number != 0):
            raise Broken("a frame of type %d, id %d, flags %d" % (kind, number, flags))
        if size > k.most:
            raise Broken("a frame of type %d with %d bytes" % (kind, size))

    def take(self, kind, number, payload):
        k = self.kinds[kind]
        if k.fd:
            if not self.fds:
                raise Broken("a descriptor did not come")
            os.close(self.fds.popleft())  # nothing that we can do with one
        try:
            message = k.message.FromString(payload)
        except Exception as e:
            raise Broken("type %d: %s" % (kind, e))
        size = message.ByteSize()
        message.DiscardUnknownFields()
        if message.ByteSize() != size or not message.IsInitialized():
            raise Broken("type %d: a field is unknown or missing" % kind)
        try:
            answer = k.handler(number, message) if k.request else k.handler(message)
            if answer is not None:
                self.reply(number, *answer)
        except Error as e:
            if k.request:
                self.refuse(number, e)
