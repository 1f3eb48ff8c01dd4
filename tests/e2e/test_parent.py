"""ward, the parent, with children that misbehave on request, and with a machine that is not as it should be."""

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading

from harness import (BUILD, ROLES, UIDS, UNCONFINED, Skip, World, check, equal, family, main, program, test,
                     wait_until)

DUMMY = os.path.join(BUILD, "dummy")


def ward_with(world, behaviour, **service):
    service.setdefault("libexec", DUMMY)
    return world.ward(behaviour, start=False, extra={"service": service}, name=behaviour)


def ends(ward, pattern, status=1):
    """Start, wait for the end, and expect a log line and an exit status."""
    ward.start(ready=False)
    equal(ward.wait_end(40), status, "exit status")
    ward.log.wait(pattern, 5)


def gone(pids):
    def state(pid):
        try:
            with open("/proc/%d/stat" % pid) as f:
                return f.read().rsplit(")", 1)[1].split()[0]
        except OSError:
            return "Z"
    return all(state(p) == "Z" for p in pids)


@test
def starts_and_stops():
    """all four get their GO, apid gets the report, SIGTERM stops them, exit 0"""
    with World(sim=False) as w:
        ward = ward_with(w, "good").start()
        ward.log.wait(r"apid\[\d+\]: info: report begins keyd\.pid=\d+")
        for role in ("keyd", "netd", "stored"):
            ward.log.wait(role + r"\[\d+\]: info: GO with 0 bytes")
        pids = ward.pids()
        equal(sorted(pids), ["apid", "keyd", "netd", "stored", "ward"], "processes")
        equal(ward.stop(), 0, "exit status")
        check(gone(pids.values()), "processes are left")


@test
def misbehaving_children():
    """a child that dies, does what is forbidden, sends garbage or reports an incident ends the service"""
    cases = [("crash", r"keyd\[\d+\] was killed by signal 6"),
             ("incident", r"incident reported by keyd\[\d+\]: apid sent nonsense\\x0a"),
             ("garbage", r"keyd\[\d+\] broke the contract with ward: shorter than its header")]
    if not UNCONFINED:
        cases.append(("forbidden", r"keyd\[\d+\] was killed for a forbidden system call"))
    with World(sim=False) as w:
        for name, pattern in cases:
            ends(ward_with(w, name), pattern)


@test
def killed_children():
    """whichever child is killed from outside, the log names it and the others end"""
    with World(sim=False) as w:
        for role in ("keyd", "netd", "stored", "apid"):
            ward = ward_with(w, "good" + role).start()
            pids = ward.pids()
            os.kill(pids[role], signal.SIGKILL)
            equal(ward.wait_end(), 1, "exit status")
            ward.log.wait(r"ward: err: %s\[%d\] was killed by signal 9" % (role, pids[role]), 5)
            check(gone(pids.values()), "processes are left")


@test
def killed_parent():
    """when ward itself is killed its children die with it, and the next start finds nothing in its way"""
    with World(sim=False) as w:
        ward = ward_with(w, "good").start()
        for _ in range(3):
            pids = ward.pids()
            os.kill(pids["ward"], signal.SIGKILL)
            ward.wait_end()
            ward.start()
            check(gone(pids.values()), "processes are left")


@test
def late_and_deaf():
    """READY has a deadline, and a child that does not stop is killed after ten seconds"""
    with World(sim=False) as w:
        ends(ward_with(w, "late", ready_timeout="1s"), r"keyd is not ready after 1000 ms")
        ward = ward_with(w, "deaf").start()
        ward.proc.send_signal(signal.SIGTERM)
        equal(ward.wait_end(20), 1, "exit status")
        ward.log.wait(r"keyd\[\d+\] did not stop in 10 s and is killed", 5)


@test
def hostile_log_lines():
    """a child cannot forge lines or send control characters to the terminal"""
    with World(sim=False) as w:
        ward = ward_with(w, "chatty").start()
        ward.log.wait(r"keyd\[\d+\]: info: forged\\x1b\[2J\\x0dline$")
        ward.log.wait(r"keyd\[\d+\]: err: 9no such level$")


@test
def refused_starts():
    """what is not as it must be is refused with a line that says what and what to do"""
    with World(sim=False) as w:
        ward = ward_with(w, "key")
        os.chmod(ward.key, 0o440)
        ends(ward, r"key source .*/key\.key has mode 440.*chmod 0400")
        ward = ward_with(w, "nokey")
        os.remove(ward.key)
        ends(ward, r"key source .*nokey\.key: No such file")
        ends(ward_with(w, "cred", master_key="credential:none"), r"credential none: the service manager passed none")
        ward = ward_with(w, "data")
        os.mkdir(ward.data, 0o755)
        os.chmod(ward.data, 0o755)
        ends(ward, r"data folder .* has mode 755: chmod 0700")
        ward = ward_with(w, "link")
        os.symlink(w.folder, ward.data)
        ends(ward, r"data folder .*")
        ward = ward_with(w, "sock")
        with open(ward.socket, "w"):
            pass
        ends(ward, r"API socket .*something else by that name")
        ends(ward_with(w, "prog", libexec=w.folder), r"cannot open the program")
        ward = ward_with(w, "conf")
        ward.write_conf()
        os.chmod(ward.conf, 0o666)
        ends(ward, r"conf\.conf: must belong to root or to you")
        if os.geteuid() == 0 and not UNCONFINED:
            ends(ward_with(w, "same", user_netd=str(UIDS["keyd"])), r"user_keyd and user_netd are the same uid")
            ends(ward_with(w, "root", user_apid="0"), r"user_apid: 0 is root")
            ends(ward_with(w, "nouser", user_apid="no-such-user"), r"there is no user no-such-user")
            ward = ward_with(w, "owner")
            os.mkdir(ward.data, 0o700)
            with open(os.path.join(ward.data, "x"), "w"):
                pass
            ends(ward, r"data folder .* belongs to uid 0, but stored runs as uid \d+: chown -R")


@test
def one_service_a_folder():
    """a second service on the same folder or socket is refused while the first one runs"""
    with World(sim=False) as w:
        first = ward_with(w, "first").start()
        second = ward_with(w, "second", data=first.data)
        ends(second, r"data folder .*: another service works in it")
        third = ward_with(w, "third", socket=first.socket)
        ends(third, r"API socket .*: another service answers on it")
        equal(first.stop(), 0, "the first one is untouched")


@test
def service_manager():
    """READY, signs of life and STOPPING reach the service manager"""
    with World(sim=False) as w:
        path = os.path.join(w.folder, "notify")
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.bind(path)
        os.chmod(path, 0o666)
        s.settimeout(30)
        ward = ward_with(w, "good")
        os.environ.update({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"})
        try:
            ward.start()
        finally:
            del os.environ["NOTIFY_SOCKET"], os.environ["WATCHDOG_USEC"]
        equal([s.recv(100) for _ in range(3)], [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"], "messages")
        equal(ward.stop(), 0, "exit status")
        said = b""
        while said != b"STOPPING=1":
            said = s.recv(100)
        s.close()


class NameServer:
    """Says that every name is 127.0.0.1; by UDP only that the answer is too long, if `cut`."""

    def __init__(self):
        self.cut, self.asked = False, {"udp": 0, "tcp": 0}
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 53))
        self.tcp = socket.create_server(("127.0.0.1", 53))
        for fn in (self.serve_udp, self.serve_tcp):
            threading.Thread(target=fn, daemon=True).start()

    @staticmethod
    def answer(query, cut):
        end = query.index(b"\0", 12) + 5
        kind, = struct.unpack(">H", query[end - 4:end - 2])
        found = kind == 1 and not cut
        head = query[:2] + struct.pack(">HHHHH", 0x8380 if cut else 0x8180, 1, int(found), 0, 0)
        record = b"\xc0\x0c" + struct.pack(">HHIH4s", 1, 1, 60, 4, bytes([127, 0, 0, 1])) if found else b""
        return head + query[12:end] + record

    def serve_udp(self):
        while True:
            query, address = self.udp.recvfrom(512)
            self.asked["udp"] += 1
            self.udp.sendto(self.answer(query, self.cut), address)

    def serve_tcp(self):
        while True:
            threading.Thread(target=self.serve_one, args=(self.tcp.accept()[0],), daemon=True).start()

    def serve_one(self, client):
        while True:
            size = client.recv(2)
            if len(size) < 2:
                return
            query = client.recv(struct.unpack(">H", size)[0])
            self.asked["tcp"] += 1
            reply = self.answer(query, False)
            client.sendall(struct.pack(">H", len(reply)) + reply)


@test
def names_in_the_sandbox():
    """netd resolves names while confined, by UDP and TCP, with a resolv.conf that was put into its folder"""
    if os.geteuid() != 0 or UNCONFINED:
        raise Skip("needs root and a confined build")
    try:
        server = NameServer()
    except OSError as e:
        raise Skip("port 53: %s" % e)
    for server.cut in (False, True):
        server.asked = {"udp": 0, "tcp": 0}
        with World() as w:
            url = "wss://some.test.example:%d/ws/chat" % w.sim.port
            ward = w.ward("alice", start=False, extra={"network": {"url": url}}).start()
            path = ward.socket + ".netd/etc/resolv.conf"
            os.remove(path)
            with open(path, "w") as f:
                f.write("nameserver 127.0.0.1\n")
            os.chmod(path, 0o444)
            c = ward.client()
            wait_until(lambda: c.call("account.state", account="alice")["reason"] != "store_locked", 20, "store")
            c.send("account.link", account="alice", method="qr")
            # the name leads to the simulator, whose certificate is for another name
            ward.log.wait(r"netd\[\d+\]: .*certificate subject name", 30)
            check(server.asked["udp"] > 0 and (server.asked["tcp"] > 0) == server.cut, "name server", server.asked)


@test
def ordinary_user():
    """not started as root, all but the change of user is in force"""
    if os.geteuid() != 0 or UNCONFINED:
        raise Skip("needs root and a confined build")
    folder = tempfile.mkdtemp(prefix="ward-user-")
    try:
        os.chown(folder, 65534, 65534)
        # the build may be where only root comes by
        shutil.copy(program("ward"), folder)
        shutil.copytree(DUMMY, os.path.join(folder, "libexec"))
        conf = os.path.join(folder, "ward.conf")
        with open(conf, "w") as f:
            f.write("[service]\ndata = %s/data\nsocket = %s/api.sock\nmaster_key = file:%s/key\n"
                    "libexec = %s/libexec\n[account good]\n" % (folder, folder, folder, folder))
        with open(os.open(os.path.join(folder, "key"), os.O_WRONLY | os.O_CREAT, 0o400), "wb") as f:
            f.write(os.urandom(32))
        os.chown(os.path.join(folder, "key"), 65534, 65534)
        p = subprocess.Popen(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                              os.path.join(folder, "ward"), "-f", conf], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
        text = b""
        while b"ready" not in text:
            line = p.stdout.readline()
            check(line, "ward ended", text)
            text += line
        pids = family(p.pid)
        equal(sorted(pids), sorted(ROLES), "processes")
        for pid in pids.values():
            with open("/proc/%d/status" % pid, "rb") as f:
                status = f.read()
            for want in (rb"^Uid:\t65534\t65534\t65534\t65534$", rb"^NoNewPrivs:\t1$", rb"^Seccomp:\t2$",
                         rb"^CapEff:\t0+$", rb"^CapPrm:\t0+$"):
                check(re.search(want, status, re.M), "status of %d" % pid, want)
        p.terminate()
        equal(p.wait(20), 0, "exit status")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
