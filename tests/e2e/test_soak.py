"""Long talks with many people, and many reconnects: memory stays what it was (page 11, 8.1
memory_soak.rs). WARD_SOAK_ROUNDS makes it longer."""

import os

from harness import REPORTS, ROLES, UNCONFINED, Skip, World, check, main, test, wait_until
from test_presence import type_in

ROUNDS = int(os.environ.get("WARD_SOAK_ROUNDS", "15"))
PEERS = 6
GROWTH_KIB = 3072  # caches that fill up to their bounds; what leaks with messages is more


def pss(ward):
    """KiB of each process. Not the parent's, which does nothing meanwhile."""
    out = {}
    for role, pid in ward.pids().items():
        with open("/proc/%d/smaps_rollup" % pid) as f:
            out[role] = next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
    return out


class Soak:
    def __init__(self, w):
        self.sim = w.sim
        self.ward = w.ward("alice", extra={"log": {"level": "info"}, "network": {"backoff_unit": "20ms", "backoff_max": "100ms"}})
        self.ward.link("alice")
        self.c = self.ward.client()
        self.c.call("events.subscribe", consumer="soak", window=1024, **{"from": "latest"})
        self.peers = [(name, "+" + w.sim.account(name)["pn"]) for name in ("peer%d" % i for i in range(PEERS))]
        self.sent = self.came = 0

    def received(self):
        self.c.call("events.ack", consumer="soak", cursor=self.c.events[-1]["cursor"]) if self.c.events else None
        new = sum(1 for e in self.c.events if e.get("event", {}).get("type") == "message.received")
        return new

    def round(self):
        """Some texts from and to each."""
        start = self.received()
        for name, number in self.peers:
            self.sim.cmd("phone.send", account=name, to="alice", text="in", count=5)
            asked = [self.c.send("message.send", account="alice", to=number, text="out",
                                 idempotency_key="soak-%d" % (self.sent + i)) for i in range(5)]
            self.sent += 5
            for n in asked:
                m = self.c.answer(n)
                check("result" in m, "message.send", m)
        wait_until(lambda: self.received() >= start + 5 * PEERS, 60, "texts of a round")

    def reconnect(self):
        start = len(self.c.events)
        self.sim.cmd("device.drop", account="alice", device=1)
        self.c.wait_event(lambda e: e.get("type") == "account.state" and e["body"]["state"] == "online", 60, start)


@test
def memory_stays():
    """15 rounds of texts with six people, a reconnect every third: no process grows with what it has done"""
    if UNCONFINED or REPORTS.wrap:
        raise Skip("what a sanitizer keeps counts as memory")
    with World() as w:
        soak, first = Soak(w), None
        for i in range(ROUNDS):
            soak.round()
            if i % 3 == 2:
                soak.reconnect()
            if i == ROUNDS // 3:
                first = pss(soak.ward)
        last = pss(soak.ward)
        for role in ROLES:
            check(last[role] - first[role] < GROWTH_KIB, "%s grew, KiB" % role, first[role], last[role])


@test
def many_peers_and_reconnects():
    """memory_soak.rs many_peers_soak, heavy_mixed_soak, heavy_reconnect_soak: six people who come once for thirty texts and
    typing, twenty reconnects with ten texts each: no process grows"""
    if UNCONFINED or REPORTS.wrap:
        raise Skip("what a sanitizer keeps counts as memory")
    with World() as w:
        soak = Soak(w)
        soak.round()
        first = pss(soak.ward)
        for i in range(6):
            name, start = "once%d" % i, soak.received()
            number = "+" + w.sim.account(name)["pn"]
            soak.sim.cmd("phone.send", account=name, to="alice", text="in", count=15)
            type_in(w, name, "alice")
            soak.c.call("chat.typing", account="alice", chat=number, state="composing", ttl_ms=1000)
            for n in [soak.c.send("message.send", account="alice", to=number, text="out", idempotency_key="%s-%d" % (name, j))
                      for j in range(15)]:
                check("result" in soak.c.answer(n), "message.send")
            wait_until(lambda: soak.received() >= start + 15, 30, "texts of " + name)
        for i in range(20):
            start = soak.received()
            soak.reconnect()
            soak.sim.cmd("phone.send", account="peer%d" % (i % PEERS), to="alice", text="in", count=10)
            wait_until(lambda: soak.received() >= start + 10, 30, "texts after a reconnect")
        last = pss(soak.ward)
        for role in ROLES:
            check(last[role] - first[role] < GROWTH_KIB, "%s grew, KiB" % role, first[role], last[role])


if __name__ == "__main__":
    main()
