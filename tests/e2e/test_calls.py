"""Calls at an account that takes none: told once, durable, confirmed, acked; refused when somebody wants it."""

import time

from harness import World, check, equal, main, test, wait_until
from test_chain import follow, wait_texts
from test_faults import linked_world, send_in


def call(w, what="offer", account="bob", to="alice", **kw):
    return w.sim.cmd("phone.call", account=account, to=to, what=what, **kw)


def watch(w, **match):
    return w.sim.cmd("watch", match=dict({"account": "alice", "device": 1, "direction": "in"}, **match))["watch"]


def seen(w, n, count=1):
    w.sim.cmd("expect", 60, watch=n, count=count, deadline_ms=20000)


def events(c, kind):
    return [e["event"]["body"] for e in list(c.events) if e.get("event", {}).get("type") == kind]


def empty(w):
    w.sim.cmd("wait", what="queue_empty", account="alice", device=1, deadline_ms=20000)


@test
def rings_and_is_missed():
    """an offer rings, the caller hears that it does, and its end without an answer is a missed call"""
    with World() as w:
        ward, c = linked_world(w)
        bob = w.sim.account("bob")
        acks, rang = watch(w, tag="ack", **{"class": "call"}), watch(w, tag="receipt", child="offer")
        o = call(w, video=True)
        e = c.wait_type("call.offer")
        k = e["body"]["call"]
        equal((k["call_id"], k["video"], k["offline"], k["group"], e["body"]["notice_only"], e["origin"]),
              (o["call_id"], True, False, False, False, "live"), "the call")
        equal((k["from"]["lid"], k["from"]["pn"], k["creator"]), (bob["lid"], bob["jid"], bob["lid"]), "who")
        equal((k["codecs"], k["platform"], k["country"]), (["opus/16000"], "android", "DE"), "of the offer")
        seen(w, acks)
        seen(w, rang)
        got = lambda: [r for r in w.sim.cmd("phone.receipts", account="bob")["receipts"] if r["id"] == o["id"]]
        wait_until(got, 20, "the caller's receipt")
        call(w, "terminate", call_id=o["call_id"], reason="timeout")
        e = c.wait_type("call.state")
        equal((e["body"]["call_id"], e["body"]["state"], e["body"]["reason"]), (o["call_id"], "missed", "timeout"), "end")
        seen(w, acks, 2)
        empty(w)
        check("call key" not in "\n".join(ward.log.lines) and "Y2FsbCBrZXk" not in str(c.events), "no key anywhere")


@test
def answered_elsewhere():
    """what the own phone takes or refuses is not missed, and neither is a call that was talked over"""
    with World() as w:
        ward, c = linked_world(w)
        a = call(w)
        c.wait_type("call.offer")
        call(w, "preaccept", "alice", "bob", call_id=a["call_id"])
        call(w, "accept", "alice", "bob", call_id=a["call_id"])  # the service ends the ringing elsewhere
        c.wait_type("call.state", state="ended", call_id=a["call_id"], reason="accepted_elsewhere")
        b = call(w)
        c.wait_type("call.offer", 20, len(c.events))
        call(w, "reject", "alice", "bob", call_id=b["call_id"])
        c.wait_type("call.state", state="ended", call_id=b["call_id"], reason="rejected_elsewhere")
        d = call(w)
        call(w, "accept", call_id=d["call_id"])
        c.wait_type("call.state", state="accepted", call_id=d["call_id"])
        call(w, "terminate", call_id=d["call_id"], duration=65)
        e = c.wait_type("call.state", state="ended", call_id=d["call_id"])
        equal(e["body"]["duration_s"], 65, "duration")
        busy = call(w)
        call(w, "reject", call_id=busy["call_id"], reason="busy")  # of one device: it rings on
        c.wait_type("call.state", state="rejected", call_id=busy["call_id"], reason="busy")
        call(w, "terminate", call_id=busy["call_id"])
        c.wait_type("call.state", state="missed", call_id=busy["call_id"])
        equal([s["call_id"] for s in events(c, "call.state") if s["state"] == "missed"], [busy["call_id"]], "missed")


@test
def missed_while_offline():
    """a call that rang while ward was down is a missed one at the next start, once, also after a kill"""
    with World() as w:
        ward, c = linked_world(w)
        rang = watch(w, tag="receipt", child="offer")
        ward.stop()
        o = call(w)
        call(w, "terminate", call_id=o["call_id"], reason="timeout")
        n = call(w, "offer_notice", video=True)
        w.sim.cmd("fault.arm", match={"account": "alice", "device": 1, "direction": "in", "tag": "ack", "class": "call"},
                  action="drop", count=0)  # it is not acked, as far as the service knows
        ward.start()
        c = follow(ward, "alice")
        c.wait_type("call.state", state="missed", call_id=o["call_id"])
        c.wait_type("call.state", state="missed", call_id=n["call_id"])
        k = [b for b in events(c, "call.offer")]
        equal([(b["call"]["call_id"], b["call"]["offline"], b["call"]["video"], b["notice_only"]) for b in k],
              [(o["call_id"], True, False, False), (n["call_id"], True, True, True)], "offers")
        w.sim.cmd("fault.clear")
        ward.kill("apid")
        ward.wait_end()
        ward.start()
        c = follow(ward, "alice", consumer="again")
        empty(w)
        send_in(w, "after")
        wait_texts(c, 1)
        equal(len(events(c, "call.offer")), 2, "offers are told once")
        equal(sorted(s["call_id"] for s in events(c, "call.state") if s["state"] == "missed"),
              sorted([o["call_id"], n["call_id"]]), "and missed once")
        equal(w.sim.cmd("expect", watch=rang, deadline_ms=0)["count"], 0, "nothing says that it rings here")


@test
def reject():
    """call.reject refuses a call that rings, and no other"""
    with World() as w:
        ward, c = linked_world(w)
        bob, carol = w.sim.account("bob"), w.sim.account("carol")
        heard = w.sim.cmd("watch", match={"account": "bob", "device": 0, "direction": "out", "tag": "call",
                                          "child": "reject"})["watch"]
        o = call(w)
        c.wait_type("call.offer")
        for params in ({"call_id": "none"}, {"call_id": o["call_id"], "from": carol["jid"]}):
            equal(c.error("call.reject", account="alice", **params)["data"]["reason"], "not_found", params)
        equal(c.call("call.reject", account="alice", call_id=o["call_id"], **{"from": "+" + bob["pn"]}), {"ok": True}, "ok")
        seen(w, heard)
        equal(c.error("call.reject", account="alice", call_id=o["call_id"])["data"]["reason"], "not_found", "twice")
        call(w, "terminate", call_id=o["call_id"])
        c.wait_type("call.state", state="ended", call_id=o["call_id"])
        p = call(w)
        c.wait_event(lambda e: e.get("type") == "call.offer" and e["body"]["call"]["call_id"] == p["call_id"])
        w.sim.cmd("fault.arm", match={"account": "alice", "device": 1, "direction": "in", "tag": "call"},
                  action="close", count=1)
        equal(c.error("call.reject", account="alice", call_id=p["call_id"])["data"]["reason"], "outcome_unknown", "lost")
        wait_until(lambda: c.call("account.state", account="alice")["state"] == "online", 30, "online")
        c.call("call.reject", account="alice", call_id=p["call_id"])  # it may be tried again
        seen(w, heard, 2)


@test
def signals():
    """what is of the moment is a transient event with its typed ack; keys of calls are told by name alone"""
    with World() as w:
        ward, c = linked_world(w)
        typed = watch(w, tag="ack", type="waiting_room_update", **{"class": "call"})
        plain = watch(w, tag="ack", **{"class": "call"})
        call(w, "transport", call_id="C1")
        of = lambda kind: c.wait_event(lambda e: e.get("type") in ("call.signal", "server.notice")
                                       and e["body"].get("kind") == kind)
        e = of("transport")
        check("raw_b64" in e["body"] and "seq" not in e, "raw, and transient", e)
        call(w, "waiting_room_update", call_id="C1")
        seen(w, typed)
        call(w, "enc_rekey", call_id="C1")
        check("raw_b64" not in of("enc_rekey")["body"], "keys")
        w.sim.cmd("device.deliver", account="alice", device=1, node={"tag": "receipt", "attrs": {
            "id": "R1", "from": w.sim.account("bob")["lid"], "type": "enc_rekey_retry"}, "content": [
                {"tag": "enc_rekey", "attrs": {"call-id": "C1", "count": "1"}}]})
        equal(of("enc_rekey_retry")["body"]["call_id"], "C1", "whose")
        seen(w, plain, 3)
        call(w, "dance", call_id="C1")  # of a kind that nobody knows: kept, acked
        of("call")
        seen(w, plain, 4)
        empty(w)


if __name__ == "__main__":
    main()
