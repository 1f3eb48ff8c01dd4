"""make bench: messages a second through the whole chain, durable, with the simulator on the same machine.

Prints rates, latencies, fsyncs a message, the rate against this disk's own fsync rate, and PSS of each process; how fast
and in what memory a queue at the service is drained; what a send costs with one and with five devices at the other end;
and how long a new connection takes. WARD_BENCH_MESSAGES, WARD_BENCH_SINGLES, WARD_BENCH_QUEUES, WARD_BENCH_RECONNECTS."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
from harness import ROLES, World, wait_until  # noqa: E402
from measure import Peak, cpu, fsync_rate, pss, quantiles  # noqa: E402

COUNT = int(os.environ.get("WARD_BENCH_MESSAGES", "5000"))
SINGLES = int(os.environ.get("WARD_BENCH_SINGLES", "300"))
QUEUES = [int(n) for n in os.environ.get("WARD_BENCH_QUEUES", "10000 100000").split()]
RECONNECTS = int(os.environ.get("WARD_BENCH_RECONNECTS", "50"))


def metric(client, name):
    for line in client.call("server.metrics")["text"].splitlines():
        if line.startswith(name + " ") or line.startswith(name + "{"):
            return float(line.split()[-1])
    raise SystemExit("bench: no metric " + name)


def received(client):
    return sum(1 for e in client.events if e.get("event", {}).get("type") == "message.received")


class Consumer:
    """A durable consumer of an account that acks what it has, and counts messages."""

    def __init__(self, ward, account):
        self.c = ward.client()
        self.c.call("events.subscribe", consumer="bench-" + account, window=1024,
                    **{"from": "resume", "filter": {"types": ["message.received"], "accounts": [account]}})
        self.name, self.acked, self.count = "bench-" + account, 0, 0

    def have(self):
        events = self.c.events
        if len(events) > self.acked:
            last = len(events)
            self.count += sum(1 for e in events[self.acked:last] if e.get("event", {}).get("type") == "message.received")
            self.acked = last
            self.c.call("events.ack", consumer=self.name, cursor=events[last - 1]["cursor"])
        return self.count

    def wait(self, count, seconds):
        end = time.monotonic() + seconds
        while self.have() < count:
            if time.monotonic() > end:
                raise SystemExit("bench: %d of %d messages after %d s" % (self.have(), count, seconds))
            with self.c.cond:
                self.c.cond.wait(0.05)


def drain(count):
    """A queue that waits at the service while ward is not there."""
    with World(seed=2) as w:
        ward = w.ward("alice", extra={"log": {"level": "info"}})
        w.sim.account("bob")
        ward.link("alice")
        consumer = Consumer(ward, "alice")
        w.sim.cmd("phone.send", account="bob", to="alice", text="first")
        consumer.wait(1, 30)
        ward.stop()
        w.sim.cmd("phone.send", 600, account="bob", to="alice", text="queued", count=count)
        wait_until(lambda: w.sim.cmd("device.list", account="alice")["devices"][1]["queued"] >= count, 600, "the queue")
        peak = Peak(lambda: ward.pids().values())
        began = time.perf_counter()
        ward.start()
        consumer = Consumer(ward, "alice")
        consumer.wait(count, 1200)
        seconds = time.perf_counter() - began
        used, syncs = cpu(ward.pids().values()), metric(consumer.c, "ward_store_fsyncs_total")
        print("drain of %6d: %6.2f s from the start of ward to the last event = %.0f messages/s, %.3f fsyncs and %.2f ms of "
              "processor a message, peak PSS of all %d KiB" % (count, seconds, count / seconds, syncs / count,
                                                              used * 1000 / count, peak.stop()))


def devices():
    """Sends to a person with one device and to one with five: latency to the service's ack, and processor."""
    with World(seed=3) as w:
        ward = w.ward("alice", extra={"log": {"level": "info"}})
        ward.link("alice")
        beside = w.ward("b1", "b2", "b3", "b4", name="beside", extra={"log": {"level": "notice"}})
        for name in ("b1", "b2", "b3", "b4"):
            beside.link(name, phone="five")
        c = ward.client()
        for who, count in (("one", 1), ("five", 5)):
            to = "+" + w.sim.account(who)["pn"]
            for i in range(3):  # sessions
                c.call("message.send", account="alice", to=to, text="w", idempotency_key="w-%s-%d" % (who, i))
            took, before = [], cpu(ward.pids().values())
            for i in range(SINGLES):
                began = time.perf_counter()
                c.call("message.send", account="alice", to=to, text="s", idempotency_key="s-%s-%d" % (who, i))
                took.append(time.perf_counter() - began)
            used = (cpu(ward.pids().values()) - before) * 1000 / SINGLES
            print("send to %d device%s: to the service's ack p50 %.2f ms, p99 %.2f ms; %.2f ms of processor, all processes" % (
                count, "" if count == 1 else "s", *quantiles(took), used))


def reconnects():
    """Connections that the service ends, one after the other. Each counts as stable at once: what is measured is a new
    connection, not the pauses that grow while a service keeps ending them."""
    with World(seed=4) as w:
        ward = w.ward("alice", extra={"log": {"level": "info"}, "network": {"stable_after": "1ms"}})
        ward.link("alice")
        c = ward.client()
        c.call("events.subscribe", **{"from": "latest", "filter": {"types": ["account.state"]}})
        took, before = [], cpu(ward.pids().values())
        for _ in range(RECONNECTS):
            start, began = len(c.events), time.perf_counter()
            w.sim.cmd("device.drop", account="alice", device=1)
            c.wait_event(lambda e: e.get("body", {}).get("state") == "online", 60, start)
            took.append(time.perf_counter() - began)
        print("%d reconnects: from the end of a connection to online p50 %.0f ms, p99 %.0f ms (a first pause of 50 ms is "
              "part of it); %.1f ms of processor each" % (
                  RECONNECTS, *quantiles(took), (cpu(ward.pids().values()) - before) * 1000 / RECONNECTS))


def main():
    talk()
    devices()
    reconnects()
    for count in QUEUES:
        drain(count)


def talk():
    with World(seed=1) as w:
        bob = w.sim.account("bob")
        ward = w.ward("alice", extra={"log": {"level": "info"}})
        ward.link("alice")
        c = ward.client()
        sub = ward.client()
        sub.call("events.subscribe", **{"from": "latest", "filter": {"types": ["message.received"]}, "consumer": "bench",
                                        "window": 1024})
        acked = [0]

        def ack():
            if len(sub.events) > acked[0]:
                acked[0] = len(sub.events)
                sub.call("events.ack", consumer="bench", cursor=sub.events[-1]["cursor"])
            return received(sub)
        idle = {r: pss(p) for r, p in ward.pids().items()}
        disk = fsync_rate(ward.folder)

        # one at a time: latency
        into, out, control = [], [], []
        for i in range(SINGLES):
            began = time.perf_counter()
            w.sim.cmd("stats")
            control.append(time.perf_counter() - began)
            began, have = time.perf_counter(), received(sub)
            w.sim.cmd("phone.send", account="bob", to="alice", text="single %d" % i)
            with sub.cond:
                while received(sub) <= have:
                    sub.cond.wait(10)
            into.append(time.perf_counter() - began)
            began = time.perf_counter()
            c.call("message.send", account="alice", to="+" + bob["pn"], text="s %d" % i, idempotency_key="s%d" % i)
            out.append(time.perf_counter() - began)
            ack()

        # many at once: rates
        f0, have, began = metric(c, "ward_store_fsyncs_total"), received(sub), time.perf_counter()
        w.sim.cmd("phone.send", account="bob", to="alice", text="burst", count=COUNT)
        while ack() < have + COUNT:
            with sub.cond:
                sub.cond.wait(0.05)
        t_in = time.perf_counter() - began
        f1 = metric(c, "ward_store_fsyncs_total")
        loaded = {r: pss(p) for r, p in ward.pids().items()}
        began, flight, sent = time.perf_counter(), [], 0
        while sent < COUNT or flight:
            while sent < COUNT and len(flight) < 60:
                flight.append(c.send("message.send", account="alice", to="+" + bob["pn"], text="b %d" % sent,
                                     idempotency_key="b%d" % sent, timeout_ms=120000))
                sent += 1
            m = c.answer(flight.pop(0), 120)
            if "error" in m:
                raise SystemExit("bench: %r" % m)
        t_out = time.perf_counter() - began
        f2 = metric(c, "ward_store_fsyncs_total")
        wait_until(lambda: len(w.sim.inbox("bob")) >= COUNT + SINGLES, 60, "all at the phone")

        print("disk: %.0f fdatasync/s (the limit of one durable message an fsync)" % disk)
        print("received: %d in %.2f s = %.0f messages/s, %.3f fsyncs a message, %.2f x the disk's fsync rate" % (
            COUNT, t_in, COUNT / t_in, (f1 - f0) / COUNT, COUNT / t_in / disk))
        print("sent:     %d in %.2f s = %.0f messages/s (60 in flight), %.3f fsyncs a message, %.2f x the disk's fsync rate" % (
            COUNT, t_out, COUNT / t_out, (f2 - f1) / COUNT, COUNT / t_out / disk))
        print("latency in  (phone's send to event at the client): p50 %.2f ms, p99 %.2f ms" % quantiles(into))
        print("  of that, asking the simulator anything (a TLS connection): p50 %.2f ms, p99 %.2f ms" % quantiles(control))
        print("latency out (message.send to the service's ack):   p50 %.2f ms, p99 %.2f ms" % quantiles(out))
        print("PSS KiB idle:   " + ", ".join("%s %d" % (r, idle[r]) for r in ROLES) + ", all %d" % sum(idle.values()))
        print("PSS KiB loaded: " + ", ".join("%s %d" % (r, loaded[r]) for r in ROLES) + ", all %d" % sum(loaded.values()))


if __name__ == "__main__":
    main()
