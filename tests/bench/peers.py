"""make bench-peers: the same loads through ward and through clients of others, on one simulator, in one run.

Each has an account of its own and does a load after the other, in rounds: the rounds are interleaved, so that what else the
machine does meets all. Printed is the median of the rounds, and how many times ward's value it is. What the others do not
give with it: Baileys keeps its keys in files without a sync, and tells of a message before anything of it is on the disk;
whatsmeow and whatsapp-rust sync their store for each message (`full`), whatsapp-rust also with its option that a message
is on the disk before the service hears of it, and once as it is delivered.

Processor and memory are those of all processes of each; ward's count keyd, netd, stored, apid and the parent.

WARD_BENCH_PEERS: names of those to run (all); WARD_BENCH_ROUNDS (5), WARD_BENCH_QUEUES (10000), WARD_BENCH_SINGLES (100),
WARD_BENCH_RECONNECTS (50)."""

import collections
import os
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), name) for name in ("e2e", "interop")]
import peer  # noqa: E402
from harness import Failure, World, wait_until  # noqa: E402
from measure import Peak, cpu, quantiles  # noqa: E402

ROUNDS = int(os.environ.get("WARD_BENCH_ROUNDS", "5"))
QUEUES = [int(n) for n in os.environ.get("WARD_BENCH_QUEUES", "10000").split()]
SINGLES = int(os.environ.get("WARD_BENCH_SINGLES", "100"))
RECONNECTS = int(os.environ.get("WARD_BENCH_RECONNECTS", "50"))


class Ward:
    """ward, with a durable consumer that acks what it has."""

    name = "ward"

    def __init__(self, world):
        self.sim, self.account, self.keys = world.sim, "ward", 0
        # Stable at once: a row of ends by the service is the load, not a reason to pause longer each time.
        self.ward = world.ward(self.account, extra={"log": {"level": "info"}, "network": {"stable_after": "1ms"}})
        self.sim.account(self.account)
        self.ward.link(self.account)
        self.connect()

    def connect(self):
        self.c, self.events = self.ward.client(), self.ward.client()
        self.events.call("events.subscribe", consumer="bench", window=1024, **{"from": "resume", "filter": {
            "types": ["message.received", "account.state"], "accounts": [self.account]}})
        self.acked = self.count = 0

    def pids(self):
        return self.ward.pids().values()

    def stop(self):
        self.ward.stop()

    def start(self):
        self.ward.start()
        self.connect()

    def have(self):
        events = self.events.events
        if len(events) > self.acked:
            last = len(events)
            self.count += sum(1 for e in events[self.acked:last] if e.get("event", {}).get("type") == "message.received")
            self.acked = last
            self.events.call("events.ack", consumer="bench", cursor=events[last - 1]["cursor"])
        return self.count

    def wait_more(self, until):
        with self.events.cond:
            self.events.cond.wait(0.05)

    def send(self, to):
        self.keys += 1
        self.c.call("message.send", account=self.account, to=to, text="single", idempotency_key="k%d" % self.keys)

    def mark(self):
        return len(self.events.events)

    def wait_online(self, mark):
        self.events.wait_event(lambda e: e.get("type") == "account.state" and e["body"]["state"] == "online", 60, mark)


class Other:
    """A driver program of a client of others."""

    def __init__(self, world, kind, name, **options):
        self.sim, self.name, self.options, self.refs = world.sim, name, options, 0
        self.account = name.replace(" ", "-")
        self.sim.account(self.account)
        self.peer = peer.Peer(kind, world.sim, world.folder, self.account, **options)
        self.peer.link(self.account)
        self.seen = self.count = 0

    def pids(self):
        return [self.peer.proc.pid]

    def stop(self):
        self.peer.stop()

    def start(self):
        self.seen, self.count = self.peer.mark(), 0
        self.peer.start()

    def have(self):
        last = self.peer.mark()
        self.count += sum(1 for e in self.peer.events[self.seen:last]
                          if e.get("event") == "message" and e.get("text") and not e["fromMe"])
        self.seen = last
        return self.count

    def wait_more(self, until):
        with self.peer.cond:
            self.peer.cond.wait(0.05)

    def send(self, to):
        self.refs += 1
        self.peer.send(to.lstrip("+") + "@s.whatsapp.net", "single", ref="b%d" % self.refs)
        self.peer.wait("sent", ref="b%d" % self.refs, start=max(0, self.peer.mark() - 50))

    def mark(self):
        return self.peer.mark()

    def wait_online(self, mark):
        self.peer.wait("open", start=mark)


# ---------------------------------------------------------------- loads: each gives values by name, less is better

def wait_for(who, count, seconds):
    end = time.monotonic() + seconds
    while who.have() < count:
        if time.monotonic() > end:
            raise Failure("%s: %d of %d messages after %d s" % (who.name, who.have(), count, seconds))
        who.wait_more(end)


def drain(world, who, count):
    """A queue that waits at the service while the client is not there."""
    who.stop()
    world.sim.cmd("phone.send", 600, account="writer", to=who.account, text="queued", count=count)
    peak = Peak(who.pids)
    began = time.perf_counter()
    who.start()
    wait_for(who, count, max(120, count / 20))
    seconds = time.perf_counter() - began
    values = {"drain %d: ms a message" % count: seconds * 1000 / count,
              "drain %d: ms of processor a message" % count: cpu(who.pids()) * 1000 / count,
              "drain %d: peak PSS, MiB" % count: peak.stop() / 1024}
    wait_until(lambda: world.sim.cmd("device.list", account=who.account)["devices"][-1]["queued"] == 0, 120,
               "the queue of %s is empty" % who.name)
    return values


def sends(world, who, to, devices):
    """One text after the other, each to the service's ack."""
    number = "+" + world.sim.account(to)["pn"]
    for _ in range(2):
        who.send(number)
    took, before = [], cpu(who.pids())
    for _ in range(SINGLES):
        began = time.perf_counter()
        who.send(number)
        took.append(time.perf_counter() - began)
    used = (cpu(who.pids()) - before) * 1000 / SINGLES
    return {"send to %d: ms to the ack, p50" % devices: quantiles(took)[0],
            "send to %d: ms of processor" % devices: used}


def reconnect(world, who):
    """Connections that the service ends, one after the other."""
    took, before = [], cpu(who.pids())
    for _ in range(RECONNECTS // ROUNDS or 1):
        mark, began = who.mark(), time.perf_counter()
        world.sim.cmd("device.drop", account=who.account, device=1)
        who.wait_online(mark)
        took.append(time.perf_counter() - began)
    return {"reconnect: ms to online, p50": quantiles(took)[0],
            "reconnect: ms of processor": (cpu(who.pids()) - before) * 1000 / len(took)}


# ---------------------------------------------------------------- the run

def contestants(world, wanted):
    variants = [("baileys", "baileys", {}), ("whatsmeow full", "whatsmeow", {}),
                ("whatsapp-rust full", "whatsapp-rust", {"durable": True}),
                ("whatsapp-rust as delivered", "whatsapp-rust", {"as_delivered": True})]
    found = [Ward(world)]
    for name, kind, options in variants:
        if wanted and not any(w in name for w in wanted):
            continue
        k = peer.kind(kind)
        k.release = True
        why = k.missing()
        if why:
            print("skip: %s: %s" % (name, why))
            continue
        k.build()
        found.append(Other(world, k, name, **options))
    return found


def report(values, names):
    print("%-42s%s" % ("median of %d rounds" % ROUNDS, "".join("%28s" % n for n in names)))
    for what in values[names[0]]:
        own = statistics.median(values[names[0]][what])
        row = []
        for n in names:
            got = values[n].get(what)
            if not got:
                row.append("-")
                continue
            v = statistics.median(got)
            row.append("%.2f" % v if n == names[0] else "%.2f (%.1f x)" % (v, v / own if own else float("inf")))
        print("%-42s%s" % (what, "".join("%28s" % r for r in row)))


def main():
    with World(seed=5) as w:
        w.sim.account("writer")
        w.sim.account("one")
        everyone = contestants(w, os.environ.get("WARD_BENCH_PEERS", "").split())
        five = w.ward("b1", "b2", "b3", "b4", name="beside", extra={"log": {"level": "notice"}})
        for name in ("b1", "b2", "b3", "b4"):
            five.link(name, phone="five")
        values = {who.name: collections.defaultdict(list) for who in everyone}
        loads = [lambda who: sends(w, who, "one", 1), lambda who: sends(w, who, "five", 5), lambda who: reconnect(w, who)]
        loads += [lambda who, count=count: drain(w, who, count) for count in QUEUES]
        for r in range(ROUNDS):
            for load in loads:
                for who in everyone[r % len(everyone):] + everyone[:r % len(everyone)]:
                    try:
                        for what, value in load(who).items():
                            values[who.name][what].append(value)
                    except Failure as e:
                        print("round %d: %s" % (r + 1, e))
                    sys.stdout.flush()
        report(values, [who.name for who in everyone])
        for who in everyone[1:]:
            who.stop()


if __name__ == "__main__":
    main()
