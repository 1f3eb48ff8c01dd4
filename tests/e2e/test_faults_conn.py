"""Connections that end or falter at any point, and a backlog that is told wrongly (protocol page 11, section 6, rows
"connection" and "login"): ward connects again, everything arrives, and each thing once."""

import threading
import time

from harness import World, check, equal, main, test, wait_until
from test_chain import texts, wait_texts
from test_faults import send_in
from test_faults_net import FROM_ALICE, QUICK, TO_ALICE, Proxy, accepted, drop, linked, wait_state

STEPS = {"network": {"backoff_unit": "20ms", "backoff_max": "200ms"}}


class Talk:
    """Texts both ways, counted."""

    def __init__(self, w, **kw):
        self.w, self.n = w, 0
        self.ward, self.c = linked(w, **kw)
        self.bob = "+" + w.sim.account("bob")["pn"]
        self.asked = []

    def say(self, size=0):
        """One text each way, on their way."""
        self.n += 1
        send_in(self.w, "in %d %s" % (self.n, "x" * size))
        self.asked.append(self.c.send("message.send", account="alice", to=self.bob, text="out %d %s" % (self.n, "x" * size),
                                      idempotency_key="k%d" % self.n))

    def arrived(self):
        wait_texts(self.c, self.n)
        self.w.sim.wait_inbox("bob", self.n)

    def once(self):
        """All of it came, none twice, and each send was answered with the truth."""
        numbers = sorted(int(t.split()[1]) for t in texts(self.c))
        equal(numbers, list(range(1, self.n + 1)), "texts in")
        numbers = sorted(int(m["text"].split()[1]) for m in self.w.sim.inbox("bob"))
        equal(numbers, list(range(1, self.n + 1)), "texts out")
        for i, n in enumerate(self.asked):
            m = self.c.answer(n)
            check("result" in m, "answer to send %d" % (i + 1), m)
        bad = [e for e in self.c.events if e.get("event", {}).get("type") == "message.undecryptable"]
        equal(bad, [], "undecryptable")


@test
def closed_at_each_stanza():
    """close and reset at the n-th stanza of a login and of what follows it, either way"""
    with World() as w:
        t = Talk(w, extra=STEPS)
        t.say()
        t.arrived()
        for action in ("close", "reset"):
            for match in (TO_ALICE, FROM_ALICE):
                for nth in range(8):
                    fault = w.sim.cmd("fault.arm", match=match, action=action, after=nth, count=1)["fault"]
                    done = lambda: [f["done"] for f in w.sim.cmd("fault.list")["faults"] if f["fault"] == fault] in ([], [1])
                    mark = len(t.c.events)
                    drop(w)
                    wait_until(lambda: done() or t.c.call("account.state", account="alice")["state"] == "online", 20, "a login")
                    while not done():
                        t.say()
                        t.arrived()
                    wait_state(t.c, "online", mark)
        t.say()
        t.arrived()
        t.once()


class Pipe(Proxy):
    """A proxy that lets bytes through slowly, or no more in one direction, or only so many of them."""

    def __init__(self, service):
        self.pause, self.held, self.limit = 0, set(), {}
        self.lock = threading.Lock()
        super().__init__("socks5h", service)

    def hold(self, way):
        """From now on nothing passes on the connections of now: "out" of ward, or "in"."""
        self.held |= set(self.open[way == "in"::2])

    def pump(self, a, b):
        way = "in" if self.open.index(a) % 2 else "out"
        passed = 0
        try:
            while True:
                data = a.recv(16 if self.pause else 65536)
                limit = self.limit.get(way)
                if limit is not None and passed + len(data) > limit:
                    data = data[:limit - passed]
                wait_until(lambda: a not in self.held, 3600, "never")
                if data:
                    b.sendall(data)
                passed += len(data)
                if not data or limit == passed:
                    break
                time.sleep(self.pause)
            if self.limit.pop(way, None) is None:
                return
        except OSError:
            pass
        self.end(a, b)

    def end(self, *sockets):
        for s in sockets:
            try:
                s.shutdown(2)
            except OSError:
                pass


def piped(w, **network):
    w.sim.account("bob")
    p = Pipe(w.sim.port)
    t = Talk(w, extra={"network": dict(STEPS["network"], proxy="socks5h://127.0.0.1:%d" % p.port,
                                       url="wss://web.whatsapp.com:%d/ws/chat" % w.sim.port, **network)})
    return p, t


@test
def cut_at_each_byte():
    """the connection ends after so many bytes: before and in TLS, before the Noise hello, in frames; either way"""
    with World() as w:
        p, t = piped(w)
        for way in ("out", "in"):
            for limit in [0, 1, 300] + list(range(500, 6000, 500)):
                mark = len(t.c.events)
                p.limit[way] = limit
                p.cut()
                t.say()
                t.arrived()
                wait_until(lambda: way not in p.limit or t.say() or t.arrived(), 20, "so many bytes")
                wait_state(t.c, "online", mark)
        t.once()


@test
def half_open():
    """one direction goes dead without an end: found out by the keepalive, connected again, nothing lost"""
    with World() as w:
        p, t = piped(w, **QUICK["network"])
        for way in ("out", "in"):
            mark, log = len(t.c.events), t.ward.log.mark()
            p.hold(way)
            t.say()
            t.ward.log.wait("keepalive", 20, log)
            wait_state(t.c, "online", mark)
            t.arrived()
        t.once()


@test
def slow_and_frozen():
    """8,000 bytes a second, and a service that says nothing for a while: waited for, on the same connection"""
    with World() as w:
        p, t = piped(w)
        p.pause = 0.002
        mark = len(t.c.events)
        p.cut()
        wait_state(t.c, "online", mark)
        before = accepted(w)
        t.say(3000)
        t.arrived()
        p.pause = 0
        w.sim.cmd("conn.freeze", account="alice", device=1, ms=1500)
        t.say()
        t.arrived()
        equal(accepted(w), before, "connections")
        t.once()


@test
def backlog_told_wrongly():
    """offline_preview with counts that are wrong, odd or missing, and an end with another count, or twice: each message
    is told, the account is online, and offline.done has the count that came"""
    previews = [None, {}, {"count": "1", "message": "0"}, {"count": "100000", "message": "100000"}, {"count": "-3"}, {"count": "x"}]
    ends = [{"count": "5"}, {}, {"count": "0"}, {"count": "99999"}, {"count": "-1"}, {"count": "y"}]
    ib = lambda kind, attrs: {"tag": "ib", "attrs": {"from": "s.whatsapp.net"}, "content": [{"tag": kind, "attrs": attrs}]}
    with World() as w:
        t = Talk(w, extra=STEPS)
        for mode in ("eager", "pulled"):
            w.sim.cmd("account.set", account="alice", offline_mode=mode)
            for preview, end in zip(previews, ends):
                t.c.call("account.pause", account="alice")
                wait_until(lambda: w.sim.cmd("device.list", account="alice")["devices"][1]["phase"] == "gone", 20, "gone")
                send_in(w, "in", count=5, prefix="in ")
                owed = w.sim.cmd("device.queue", account="alice", device=1)["queued"]
                lost = [w.sim.cmd("fault.arm", match=dict(TO_ALICE, tag="ib", child=kind), action="drop", count=1)["fault"]
                        for kind in ("offline_preview", "offline")]
                mark = len(t.c.events)
                t.c.call("account.resume", account="alice")
                wait_until(lambda: w.sim.cmd("device.list", account="alice")["devices"][1]["phase"] != "gone", 20, "back")
                if preview is not None:
                    w.sim.cmd("stanza.send", account="alice", device=1, node=ib("offline_preview", preview))
                came = lambda: [e for e in t.c.events[mark:] if e.get("event", {}).get("type") == "message.received"]
                wait_until(lambda: len(came()) == 5, 20, lambda: "5 texts, have %d after %r" % (len(came()), preview))
                for _ in range(2):
                    w.sim.cmd("stanza.send", account="alice", device=1, node=ib("offline", end))
                wait_state(t.c, "online", mark)
                equal(t.c.wait_type("offline.done", start=mark)["body"]["count"], owed, "after %r and %r" % (preview, end))
                for f in lost:
                    w.sim.cmd("fault.clear", fault=f)
        send_in(w, "live")
        wait_until(lambda: "live" in texts(t.c), 20, "a live one")
        equal(len(texts(t.c)), 5 * 2 * len(previews) + 1, "texts")


if __name__ == "__main__":
    main()
