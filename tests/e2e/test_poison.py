"""Poison: a stanza that ends the service again and again, whichever process it ends, is set aside."""

import base64
import os
import signal

from harness import World, check, equal, main, test, wait_until
from test_chain import follow, texts, wait_texts
from test_faults import linked_world, send_in

BACKLOG = {"account": "alice", "device": 1, "direction": "out", "tag": "message"}


def pending(c):
    return sum(t["rows"] for t in c.call("store.stats", tables=True)["tables"]
               if t["table"] == "pending" and t["account"] == "alice")


def die(w, ward, role, how=signal.SIGABRT):  # which a sanitizer does not take for a find of its own
    """The process ends in the middle of a stanza that waits for keyd, and with it the service."""
    os.kill(ward.pids()[role], how)
    if role == "keyd" and how != signal.SIGKILL:
        os.kill(ward.pids()[role], signal.SIGCONT)  # to the signal that waits
    check(ward.wait_end() != 0, "the service ends with it")
    for c in ward.clients:
        c.close()
    ward.clients = []


def start_and_die(w, ward, role, noted=1):
    """A run that gets its backlog while keyd does not move, and ends when the first stanza of it is being handled."""
    active = {"account": "alice", "device": 1, "direction": "in", "tag": "iq", "child": "active"}
    w.sim.cmd("fault.arm", match=active, action="delay", ms=1000, count=1)
    watch, ready = w.sim.cmd("watch", match=BACKLOG)["watch"], w.sim.cmd("watch", match=active)["watch"]
    ward.start()
    w.sim.cmd("expect", 30, watch=ready, deadline_ms=20000)
    os.kill(ward.pids()["keyd"], signal.SIGSTOP)
    c = ward.client()
    w.sim.cmd("expect", 30, watch=watch, deadline_ms=20000)
    wait_until(lambda: pending(c) >= noted, 20, "a note of the stanza")
    die(w, ward, role)


@test
def set_aside():
    """a message that ended apid, then keyd, then stored is told raw, acknowledged and not handled any more; those behind
    it arrive, once; should it come again, it is acknowledged and told once"""
    with World() as w:
        ward, c = linked_world(w)
        send_in(w, "before")
        wait_texts(c, 1)
        w.sim.cmd("wait", what="queue_empty", account="alice", device=1, deadline_ms=20000)
        watch = w.sim.cmd("watch", match=BACKLOG)["watch"]
        os.kill(ward.pids()["keyd"], signal.SIGSTOP)
        mid = send_in(w, "poison")[0]
        w.sim.cmd("expect", 30, watch=watch, deadline_ms=20000)
        die(w, ward, "apid")
        send_in(w, "b", count=20)
        start_and_die(w, ward, "keyd")
        start_and_die(w, ward, "stored", 2)  # with how it is acknowledged
        ward.start()
        c = follow(ward, "alice", "again")
        e = c.wait_event(lambda e: e.get("type") == "server.notice" and e["body"].get("kind") == "poison")
        equal((e["body"]["message_id"], e["body"]["tag"]), (mid, "message"), "which")
        check(len(base64.b64decode(e["body"]["raw_b64"])) > 100, "its bytes")
        wait_texts(c, 21)
        equal(texts(c), ["before"] + ["b"] * 20, "all the others, in order")
        check(not [e for e in c.events if e.get("event", {}).get("body", {}).get("message_id") == mid
                   and e["event"]["type"] != "server.notice"], "it was not read")
        check(ward.log.grep("set aside"), "the log says so")
        w.sim.cmd("wait", what="queue_empty", account="alice", device=1, deadline_ms=20000)
        equal(c.call("server.metrics")["text"].count("ward_stanzas_poison_total 1"), 1, "counted")
        ward.stop()
        ward.start()  # a clean start: nothing is careful
        c = ward.client()
        send_in(w, "after")
        c = follow(ward, "alice", "third")
        wait_until(lambda: "after" in texts(c), 30, "the next message")
        equal(pending(c), 3, "its note, how it is acknowledged, and the mark")
        check(not ward.log.grep("one by one"), "not careful")


@test
def innocents_are_read():
    """a service that is killed from outside again and again while it drains sets nothing aside: all is read, once"""
    with World() as w:
        ward, c = linked_world(w)
        ward.stop()
        w.sim.cmd("phone.send", account="bob", to="alice", prefix="m", count=900)
        for role in ("apid", "keyd", "stored"):
            watch = w.sim.cmd("watch", match=BACKLOG)["watch"]
            ward.start()
            w.sim.cmd("expect", 30, watch=watch, deadline_ms=20000)
            die(w, ward, role, signal.SIGKILL)
        ward.start()
        c = follow(ward, "alice", "again")
        wait_texts(c, 900)
        equal(texts(c), ["m%d" % i for i in range(1, 901)], "in order, once")
        check(not [e for e in c.events if e.get("event", {}).get("body", {}).get("kind") == "poison"], "set aside")
        c.wait_type("offline.done")
        send_in(w, "live")
        wait_until(lambda: "live" in texts(c), 30, "live")
        wait_until(lambda: pending(c) == 0, 10, "no note is left")


if __name__ == "__main__":
    main()
