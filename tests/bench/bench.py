"""make bench: messages a second through the whole chain, durable, with the simulator on the same machine.

Prints rates, latencies, fsyncs a message, the rate against this disk's own fsync rate, and PSS of each process."""

import os
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
from harness import ROLES, World, wait_until  # noqa: E402

COUNT = int(os.environ.get("WARD_BENCH_MESSAGES", "5000"))
SINGLES = int(os.environ.get("WARD_BENCH_SINGLES", "300"))


def fsync_rate(folder):
    """fdatasync calls a second on this disk: the limit of anything that is durable one by one."""
    with tempfile.NamedTemporaryFile(dir=folder) as f:
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < 1.0:
            os.pwrite(f.fileno(), b"x" * 4096, 4096 * (count % 64))
            os.fdatasync(f.fileno())
            count += 1
        return count / (time.perf_counter() - began)


def pss(pids):
    out = {}
    for role, pid in pids.items():
        with open("/proc/%d/smaps_rollup" % pid) as f:
            out[role] = next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
    return out


def metric(client, name):
    for line in client.call("server.metrics")["text"].splitlines():
        if line.startswith(name + " ") or line.startswith(name + "{"):
            return float(line.split()[-1])
    raise SystemExit("bench: no metric " + name)


def quantiles(values):
    values = sorted(values)
    return statistics.median(values) * 1000, values[min(len(values) - 1, int(len(values) * 0.99))] * 1000


def received(client):
    return sum(1 for e in client.events if e.get("event", {}).get("type") == "message.received")


def main():
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
        idle = pss(ward.pids())
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
        loaded = pss(ward.pids())
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
