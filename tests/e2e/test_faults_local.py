"""Faults of the machine: a second service, the parent killed, folders that cannot be written, damaged databases."""

import os
import subprocess

from harness import Skip, SmallDisk, World, check, equal, main, test, wait_until
from test_chain import follow, wait_texts
from test_faults import linked_world, send_in
from test_faults_net import drop
from test_parent import gone


def refused(ward, pattern):
    ward.start(ready=False)
    ward.log.wait(pattern, 30)
    check(ward.wait_end() != 0, "exit status", pattern)


@test
def second_service():
    """a second service on the same folder or the same socket is refused by name; the first one goes on"""
    with World() as w:
        ward, c = linked_world(w)
        other = w.ward("alice", start=False, name="second")
        other.settings["service"]["data"] = ward.data
        refused(other, r"data folder .*: another service works in it")
        other = w.ward("alice", start=False, name="third")
        other.settings["service"]["socket"] = ward.socket
        refused(other, r"ward.sock.*(another|in use|listens|answers)")
        send_in(w, "still here")
        wait_texts(c, 1)
        c.call("server.hello")
        ward.client().call("server.hello")  # the socket is still ours


@test
def parent_killed():
    """SIGKILL of ward in the middle of traffic, five times, and an immediate start: its children are gone, all arrives once"""
    with World() as w:
        ward, c = linked_world(w)
        sent = []
        for i in range(5):
            sent += send_in(w, "p", count=20)
            pids = [p for r, p in ward.pids().items() if r != "ward"]
            equal(len(pids), 4, "children")
            ward.proc.kill()
            ward.proc.wait()
            ward.start()
            wait_until(lambda: gone(pids), 10, "the old children are gone")
        c = follow(ward, "alice", "again")
        wait_texts(c, 100)
        ids = [e["event"]["body"]["message"]["message_id"] for e in c.events if e.get("event", {}).get("type") == "message.received"]
        equal(sorted(ids), sorted(sent), "each once")


@test
def folders_that_will_not_do():
    """a data folder of another user, open to others, or on a read-only disk: ward says which and what to do, and ends"""
    if os.geteuid() != 0:
        raise Skip("needs root")
    with World(sim=False) as w:
        ward = w.ward("alice")
        ward.stop()
        owner = os.stat(ward.data).st_uid
        os.chmod(ward.data, 0o755)
        refused(ward, r"data folder .* has mode 755: chmod 0700")
        os.chmod(ward.data, 0o700)
        os.chown(ward.data, 64199, 64199)
        refused(ward, r"data folder .* belongs to uid 64199, but stored runs as uid %d: chown" % owner)
        os.chown(ward.data, owner, owner)
        ward.start()
        ward.stop()
        disk = w.ward("alice", start=False, name="disk")
        os.mkdir(disk.data)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,mode=0700,uid=%d" % owner, "tmpfs", disk.data], check=True)
        try:
            refused(disk, r"data folder .* is on a file system that is mounted read-only")
        finally:
            subprocess.run(["umount", "-l", disk.data], check=True)


@test
def disk_full_while_sending():
    """a disk that is full at a send: refused as retryable, and the same key sends it once when there is room"""
    with World() as w:
        ward = w.ward("alice", start=False, extra={"service": {"min_free": "1M"}})
        with SmallDisk(ward, 64) as disk:
            bob = w.sim.account("bob")
            ward.start()
            ward.link("alice")
            c = follow(ward, "alice")
            send_in(w, "before")
            wait_texts(c, 1)
            disk.fill()
            n = c.send("message.send", account="alice", to="+" + bob["pn"], text="y" * 60000, idempotency_key="1")
            ids = send_in(w, "d", count=10)
            err = c.answer(n)["error"]
            equal((err["code"], err["data"]["retryable"]), (-14, True), "send")
            drop(w)
            disk.make_room()
            wait_texts(c, 11, 30)
            got = [e["event"]["body"]["message"]["message_id"] for e in c.events
                   if e.get("event", {}).get("type") == "message.received"]
            equal(sorted(got[1:]), sorted(ids), "each once")
            r = c.call("message.send", account="alice", to="+" + bob["pn"], text="y" * 60000, idempotency_key="1")
            check(r["status"] in ("server", "delivered"), "the same key is sent now", r)
            equal(len(w.sim.wait_inbox("bob", 1)), 1, "once")


@test
def damaged_database():
    """a damaged database is told by name in log, health and state; the other account runs; the file is left as it is"""
    with World() as w:
        w.sim.account("bob")
        ward = w.ward("alice", "carol")
        ward.link("alice")
        ward.link("carol")
        c = follow(ward, "carol")
        send_in(w, "x", count=50)
        ward.stop()
        path = os.path.join(ward.data, "account-alice.db")
        size = os.path.getsize(path)
        with open(path, "r+b") as f:
            f.seek(0)
            f.write(os.urandom(min(size, 16384)))
        before = open(path, "rb").read()
        ward.start()
        ward.log.wait(r"account-alice.db", 20)
        c = follow(ward, "carol", "again")
        wait_until(lambda: c.call("account.state", account="carol")["state"] == "online", 30, "carol is online")
        state = c.call("account.state", account="alice")
        equal(state["state"], "stopped", "alice")
        health = c.call("server.health")
        check(health["status"] in ("degraded", "failing") and "alice" in str(health), "health", health)
        err = c.error("message.send", account="alice", to="+15550001111", text="x", idempotency_key="1")
        check(err["code"] in (-14, -2), "send", err)
        w.sim.cmd("phone.send", account="bob", to="carol", text="hello carol")
        wait_texts(c, 1)
        ward.stop()
        check(open(path, "rb").read() == before, "the file is as it was")


if __name__ == "__main__":
    main()
