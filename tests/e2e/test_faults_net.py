"""Faults of the network and of the service: stanzas, streams, logins and proxies that go wrong."""

import base64
import json

from harness import World, check, equal, main, test, wait_until
from test_chain import texts, wait_texts
from test_faults import linked_world, send_in

TO_ALICE = {"account": "alice", "direction": "out"}


def metric(c, name):
    return c.call("server.metrics")["counters"][name]


@test
def malformed_message():
    """a message whose stanza does not decode is an event with its bytes, then nacked; once, and the next is read"""
    with World() as w:
        ward, c = linked_world(w)
        send_in(w, "one")
        wait_texts(c, 1)
        nacks = w.sim.cmd("watch", match={"account": "alice", "direction": "in", "tag": "ack", "class": "message"})
        w.sim.cmd("fault.arm", match=dict(TO_ALICE, tag="message"), action="frame_cut", count=1)
        lost = send_in(w, "two")[0]
        e = c.wait_type("message.undecryptable", message_id=lost)
        b = e["body"]
        equal(b["reason"], "malformed_stanza", "reason")
        check(b.get("error"), "says what is wrong", b)
        check(b["sender"].get("id", "").startswith("u_"), "sender", b)
        check(len(base64.b64decode(b["raw_b64"])) > 50, "bytes", b)
        w.sim.cmd("expect", 30, watch=nacks["watch"], deadline_ms=20000)
        wait_until(lambda: w.sim.cmd("device.queue", account="alice", device=1)["queued"] == 0, 20, "off the queue")
        send_in(w, "three")
        wait_texts(c, 2)
        w.sim.cmd("device.drop", account="alice", device=1)
        send_in(w, "four")
        wait_texts(c, 3)
        equal(texts(c), ["one", "three", "four"], "texts")
        equal(len([x for x in c.events if x.get("event", {}).get("type") == "message.undecryptable"]), 1, "once")


if __name__ == "__main__":
    main()
