"""A long queue at the service (scenario offline_messages of protocol page 11, 8.1, many times over): all of it arrives,
in order, and the memory of apid does not grow with it. WARD_DRAIN=100000 for the long form."""

import os
import re
import time

from harness import SLOW, World, check, equal, main, test, wait_until

COUNT = int(os.environ.get("WARD_DRAIN", "10000"))


def counter(c, name):
    m = re.search(r"^ward_%s_total (\d+)" % name, c.call("server.metrics")["text"], re.M)
    return int(m.group(1))


def rss(pid):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))


@test
def long_queue():
    """the queue is pulled in batches, drained through shared transactions, and nothing of it stays behind"""
    with World() as w:
        w.sim.account("bob")
        w.sim.account("alice", offline_mode="pulled")
        ward = w.ward("alice", extra={"log": {"level": "info"}})
        ward.link("alice")
        c = ward.client()
        sub = c.call("events.subscribe", consumer="all", **{"from": "latest"})
        c.call("events.unsubscribe", subscription=sub["subscription"])
        ward.stop()
        w.sim.cmd("phone.send", 600, account="bob", to="alice", prefix="m", count=COUNT)
        wait_until(lambda: [d for d in w.sim.cmd("device.list", account="alice")["devices"]
                            if d["device"] == 1 and d["queued"] >= COUNT], 600, "the queue")
        ward.start()
        c = ward.client()
        began, peak = time.monotonic(), []
        pid = ward.pids()["apid"]

        def drained():
            peak.append(rss(pid))
            return counter(c, "messages_received") >= COUNT
        wait_until(drained, max(60, COUNT / 200), "all messages")
        took = time.monotonic() - began
        w.sim.cmd("wait", 60, what="queue_empty", account="alice", device=1, deadline_ms=int(30000 * SLOW))
        stats = c.call("store.stats")
        print("     %d messages, %.0f/s, %.3f fsyncs a message, apid's peak %d KiB" % (
            COUNT, COUNT / took, stats["fsyncs"] / COUNT, max(peak)))
        check(stats["fsyncs"] < COUNT / 2, "many share one sync", stats["fsyncs"])
        check(max(peak) < 64 * 1024 or SLOW > 1, "memory", max(peak))
        got, ack = [], {}
        while len(got) < COUNT:  # as a client that pulls
            r = c.call("events.fetch", consumer="all", limit=1000, **ack)
            ack = {"ack": r["cursor"]}
            got += [e["event"]["body"]["message"]["content"]["text"] for e in r["events"]
                    if e["event"]["type"] == "message.received"]
        equal(got, ["m%d" % i for i in range(1, COUNT + 1)], "in order, once")


if __name__ == "__main__":
    main()
