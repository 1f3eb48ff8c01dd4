"""Receipts: what others are told of their messages and when, what becomes of theirs, and none lost or told twice."""

import os
import re
import time

from harness import Failure, World, check, equal, main, test, wait_until
from test_chain import follow, texts, wait_texts
from test_faults import linked_world, send_in


def two(w):
    """Two accounts of one service, linked; a client that follows both."""
    ward = w.ward("alice", "bob")
    for a in ("alice", "bob"):
        ward.link(a)
        w.sim.cmd("phone.set", account=a, receipts=False)  # only the clients under test confirm
    return ward, follow(ward)


def send(w, c, account, to, text="hello", **kw):
    return c.call("message.send", account=account, to=w.sim.account(to)["jid"], text=text,
                  idempotency_key=account + text.replace(" ", "-"), **kw)["message_id"]


def statuses(c, message_id, account=None):
    return [e["event"]["body"]["status"] for e in list(c.events) if e.get("event", {}).get("type") == "message.status"
            and e["event"]["body"]["message_id"] == message_id and account in (None, e["event"]["account"])]


def away(w, c, account):
    c.call("account.pause", account=account)
    wait_until(lambda: w.sim.cmd("device.list", account=account)["devices"][1]["phase"] == "gone", 20, account + " gone")


def back(c, account):
    c.call("account.resume", account=account)
    wait_until(lambda: c.call("account.state", account=account)["state"] == "online", 30, account + " online")


def status(c, message_id, word, account):
    return c.wait_event(lambda e: e.get("type") == "message.status" and e["account"] == account
                        and e["body"]["message_id"] == message_id and e["body"]["status"] == word)


def read(w, c, account, by, message_id, **kw):
    return c.call("chat.mark_read", account=account, chat=w.sim.account(by)["jid"], message_ids=[message_id], **kw)


def received(c, account, message_id):
    return c.wait_event(lambda e: e.get("type") == "message.received" and e["account"] == account
                        and e["body"]["message"]["message_id"] == message_id)


@test
def delivery_receipt_online():
    """receipts.rs delivery_receipt_online, read_receipt_online: delivered by itself, read only when told so"""
    with World() as w:
        ward, c = two(w)
        m = send(w, c, "alice", "bob")
        status(c, m, "delivered", "alice")
        equal(statuses(c, m, "alice").count("read"), 0, "read without being told")
        equal(read(w, c, "bob", "alice", m), {"ok": True}, "marked")
        e = status(c, m, "read", "alice")
        equal(e["body"]["party"]["pn"], w.sim.account("bob")["jid"], "by whom")
        r = c.call("message.receipts", account="alice", message_id=m)
        equal([(x["party"]["pn"], x["status"]) for x in r["receipts"]], [(w.sim.account("bob")["jid"], "read")], "kept")
        equal(r["status"], "read", "status")
        equal(c.error("message.receipts", account="alice", message_id="none")["data"]["reason"], "not_found", "unknown")


@test
def delivery_receipt_offline_reconnect():
    """receipts.rs delivery_receipt_offline_reconnect, no_delivery_receipt_for_fully_offline; offline_receipts.rs
    deferred_delivery_receipt, deferred_delivery_receipt_on_reconnect: none while away, one on return; offline_messages.rs
    server_accepts_messages_for_offline_recipient: all that is sent meanwhile is taken"""
    with World() as w:
        ward, c = two(w)
        away(w, c, "bob")
        for i in range(5):
            send(w, c, "alice", "bob", "before %d" % i, wait="server")
        m = send(w, c, "alice", "bob")
        other = send(w, c, "alice", "alice", "note")  # behind it
        equal(statuses(c, m, "alice").count("delivered"), 0, "while away")
        equal(c.call("message.receipts", account="alice", message_id=m)["receipts"], [], "nobody")
        back(c, "bob")
        status(c, m, "delivered", "alice")
        received(c, "bob", m)
        equal([t for t in texts(c) if t != "note"], ["before %d" % i for i in range(5)] + ["hello"], "all of them, in order")
        time.sleep(1)  # no second one
        equal(statuses(c, m, "alice").count("delivered"), 1, "after the return")
        check(other, "note to self")


@test
def read_receipt_queued_for_offline_sender():
    """receipts.rs read_receipt_queued_for_offline_sender: read while the sender is away, told on its return"""
    with World() as w:
        ward, c = two(w)
        m = send(w, c, "alice", "bob")
        received(c, "bob", m)
        away(w, c, "alice")
        read(w, c, "bob", "alice", m)
        back(c, "alice")
        equal(status(c, m, "read", "alice")["origin"], "offline", "origin")


@test
def delivery_receipt_bidirectional_offline():
    """receipts.rs delivery_receipt_bidirectional_offline, offline_receipts.rs bidirectional_offline_receipt: each away
    in turn, and the receipt arrives in the end"""
    with World() as w:
        ward, c = two(w)
        away(w, c, "bob")
        m = send(w, c, "alice", "bob")
        away(w, c, "alice")
        back(c, "bob")
        received(c, "bob", m)
        w.sim.cmd("wait", what="queue_empty", account="bob", device=1, deadline_ms=20000)
        back(c, "alice")
        status(c, m, "delivered", "alice")


@test
def receipt_lost_in_a_crash():
    """killed between the commit and the receipt: the service sends the message again, it is told once and confirmed"""
    with World() as w:
        ward, c = linked_world(w)
        match = {"account": "alice", "device": 1, "direction": "in", "tag": "receipt"}
        w.sim.cmd("wait", what="queue_empty", account="alice", device=1, deadline_ms=20000)
        w.sim.cmd("fault.arm", match=match, action="drop", count=0)  # none leaves, as if it had died before
        m = send_in(w, "once")[0]
        c.wait_type("message.received")
        ward.kill("apid")
        ward.wait_end()
        equal(w.sim.cmd("device.queue", account="alice", device=1)["queued"], 1, "owed")
        w.sim.cmd("fault.clear")
        confirmed = w.sim.cmd("watch", match=match)["watch"]
        ward.start()
        c = follow(ward, "alice", consumer="again")
        w.sim.cmd("expect", 60, watch=confirmed, deadline_ms=30000)
        w.sim.cmd("wait", what="queue_empty", account="alice", device=1, deadline_ms=20000)
        send_in(w, "twice")
        wait_texts(c, 2)
        equal(texts(c), ["once", "twice"], "told once")
        check([r for r in w.sim.cmd("phone.receipts", account="bob")["receipts"] if r["id"] == m], "bob was told")


@test
def incoming_receipt_survives_a_crash():
    """a receipt that is durable and not acked comes again after a kill, and is told once"""
    with World() as w:
        ward, c = linked_world(w)
        m = c.call("message.send", account="alice", to=w.sim.account("bob")["jid"], text="x",
                   idempotency_key="k")["message_id"]
        c.wait_type("message.status", message_id=m, status="delivered")
        w.sim.cmd("fault.arm", match={"account": "alice", "device": 1, "direction": "in", "tag": "ack", "class": "receipt"},
                  action="drop", count=0)
        w.sim.cmd("phone.read", account="bob", ids=[m])
        c.wait_type("message.status", message_id=m, status="read")
        ward.kill("apid")
        ward.wait_end()
        w.sim.cmd("fault.clear")
        ward.start()
        c = follow(ward, "alice", consumer="again")
        w.sim.cmd("wait", what="queue_empty", account="alice", device=1, deadline_ms=20000)
        send_in(w, "end")
        wait_texts(c, 1)
        equal((statuses(c, m).count("read"), statuses(c, m).count("delivered")), (1, 1), "told once")


@test
def delivery_receipts_flushed_on_disconnect():
    """receipts.rs delivery_receipts_flushed_on_disconnect, disconnect_is_fast_with_pending_receipts: what was collected
    leaves before the connection is given up, and that takes no second"""
    with World() as w:
        ward, c = linked_world(w)
        away(w, c, "alice")
        ids = w.sim.cmd("phone.send", account="bob", to="alice", prefix="b", count=60)["ids"]
        # the end of the backlog does not come, so that the receipts are still collected
        w.sim.cmd("fault.arm", match={"account": "alice", "device": 1, "direction": "out", "tag": "ib", "child": "offline"},
                  action="drop", count=1)
        c.call("account.resume", account="alice")
        wait_texts(c, 60)
        began = time.monotonic()
        c.call("account.pause", account="alice")
        check(time.monotonic() - began < 1, "it took", time.monotonic() - began)
        got = lambda: {r["id"] for r in w.sim.cmd("phone.receipts", account="bob")["receipts"] if ":1@" in r["from"]}
        wait_until(lambda: got() == set(ids), 10, lambda: "%d of 60 receipts" % len(got()))
        equal(w.sim.cmd("device.queue", account="alice", device=1)["queued"], 0, "nothing comes again")


@test
def disconnect_is_fast():
    """receipts.rs disconnect_is_fast_with_no_pending_receipts; concurrent_disconnect.rs, all four: two accounts at once,
    after texts both ways, and the whole service"""
    with World() as w:
        ward, c = two(w)
        for i in range(3):
            send(w, c, "alice", "bob", "a%d" % i)
            send(w, c, "bob", "alice", "b%d" % i)
        began = time.monotonic()
        n = [c.send("account.pause", account=a) for a in ("alice", "bob")]
        for k in n:
            check("result" in c.answer(k), "paused")
        check(time.monotonic() - began < 0.5, "two at once took", time.monotonic() - began)
        back(c, "alice")
        back(c, "bob")
        began = time.monotonic()
        ward.stop()
        check(time.monotonic() - began < 3, "the stop took", time.monotonic() - began)


@test
def aggregated():
    """the receipts of a backlog go out by the list, 256 at most; read and played ones are collected as well"""
    with World() as w:
        ward, c = linked_world(w)
        away(w, c, "alice")
        ids = w.sim.cmd("phone.send", account="bob", to="alice", prefix="m", count=600)["ids"]
        out = w.sim.cmd("watch", match={"account": "alice", "device": 1, "direction": "in", "tag": "receipt",
                                        "type": "inactive"})["watch"]
        read_out = w.sim.cmd("watch", match={"account": "alice", "device": 1, "direction": "in", "tag": "receipt",
                                             "type": "played"})["watch"]
        back(c, "alice")
        wait_texts(c, 600)
        kinds = lambda kind: [r["id"] for r in w.sim.cmd("phone.receipts", account="bob")["receipts"]
                              if r["kind"] == kind and ":1@" in r["from"]]
        wait_until(lambda: sorted(kinds("inactive")) == sorted(ids), 20, "600 receipts")
        n = w.sim.cmd("expect", watch=out, deadline_ms=0)["count"]
        check(3 <= n <= 60, "stanzas for 600 receipts", n)
        chat = w.sim.account("bob")["jid"]
        c.call("chat.mark_played", account="alice", chat=chat, message_ids=ids[:256])
        wait_until(lambda: sorted(kinds("played")) == sorted(ids[:256]), 20, "256 played")
        equal(w.sim.cmd("expect", watch=read_out, deadline_ms=0)["count"], 1, "in one stanza")
        equal(c.error("chat.mark_read", account="alice", chat=chat, message_ids=ids[:257])["code"], -32602, "257")


@test
def by_privacy():
    """without read receipts the sender is not told, the own devices are; a change on the phone is followed"""
    with World() as w:
        ward, c = linked_world(w)
        bob = w.sim.account("bob")["jid"]
        ids = [send_in(w, t)[0] for t in "abcd"]
        wait_texts(c, 4)
        kinds = lambda account: [(r["kind"], r["id"]) for r in w.sim.cmd("phone.receipts", account=account)["receipts"]
                                 if r["kind"] in ("read", "read-self", "played", "played-self")]
        mark = lambda i, **kw: c.call("chat.mark_read", account="alice", chat=bob, message_ids=[ids[i]], **kw)
        mark(0)
        mark(1, receipts="never")
        w.sim.cmd("device.deliver", account="alice", device=1, node={"tag": "notification", "attrs": {
            "id": "N1", "from": w.sim.account("alice")["jid"], "type": "account_sync"}, "content": [
                {"tag": "privacy", "content": [{"tag": "category", "attrs": {"name": "readreceipts", "value": "none"}}]}]})
        w.sim.cmd("wait", what="queue_empty", account="alice", device=1, deadline_ms=20000)
        mark(2)
        mark(3, receipts="always")
        ward.stop()
        ward.start()
        equal(kinds("bob"), [("read", ids[0]), ("read", ids[3])], "told to the sender")
        equal(kinds("alice"), [("read-self", ids[1]), ("read-self", ids[2])], "told to the own phone")


@test
def marks_are_answered_by_the_service():
    """a mark that the service did not get is an error; without a connection it is one at once"""
    with World() as w:
        ward, c = linked_world(w)
        bob = w.sim.account("bob")["jid"]
        m = send_in(w, "x")[0]
        wait_texts(c, 1)
        w.sim.cmd("fault.arm", match={"account": "alice", "device": 1, "direction": "in", "tag": "receipt", "type": "read"},
                  action="close", count=1)
        e = c.error("chat.mark_read", account="alice", chat=bob, message_ids=[m])
        equal((e["code"], e["data"]["reason"], e["data"]["retryable"]), (-3, "offline", True), "lost")
        away(w, c, "alice")
        equal(c.error("chat.mark_read", account="alice", chat=bob, message_ids=[m])["data"]["reason"], "offline", "away")
        back(c, "alice")
        equal(c.call("chat.mark_read", account="alice", chat=bob, message_ids=[m]), {"ok": True}, "again")
        for chat, reason in (("123@g.us", "unsupported"), ("c_" + 26 * "a", "not_found")):
            equal(c.error("chat.mark_read", account="alice", chat=chat, message_ids=[m])["data"]["reason"], reason, chat)


@test
def every_form():
    """lists, participants, errors, own devices: each receipt becomes what it says, is acked, and goes no step back"""
    with World() as w:
        ward, c = linked_world(w)
        bob, carol, own = (w.sim.account(a) for a in ("bob", "carol", "alice"))
        to = lambda a, t: c.call("message.send", account="alice", to=a["jid"], text=t, idempotency_key=t.replace(" ", "-"))["message_id"]
        w.sim.cmd("phone.set", account="bob", receipts=False)
        to(carol, "so that her names are known as one")
        m = [to(bob, "m%d" % i) for i in range(4)]
        n = [0]

        def deliver(attrs, content=()):
            n[0] += 1
            w.sim.cmd("device.deliver", account="alice", device=1, node={
                "tag": "receipt", "attrs": {"id": m[0], "t": str(1790000000 + n[0]), **attrs}, "content": list(content)})
            w.sim.cmd("wait", what="queue_empty", account="alice", device=1, deadline_ms=20000)

        items = lambda *ids: [{"tag": "list", "content": [{"tag": "item", "attrs": {"id": i}} for i in ids]}]
        deliver({"from": bob["lid"]}, [{"tag": "error", "attrs": {"reason": "lid", "type": "feature-incapable"}}])
        deliver({"from": bob["lid"], "type": "played"}, items(m[1]))
        deliver({"from": bob["jid"], "type": "read"}, items(m[1], m[2]))  # by number: the same party
        deliver({"from": bob["lid"].replace("@", ":9@"), "id": m[3], "type": "inactive"})
        deliver({"from": own["lid"], "id": m[3]})  # of the own phone: says nothing of the other side
        for _ in range(2):  # the same again is told once
            deliver({"from": own["jid"], "id": "X1", "type": "read-self", "recipient": carol["lid"], "t": "1790000100"},
                    items("X2"))
        deliver({"from": own["lid"], "id": "X3", "type": "played", "recipient": carol["jid"]})
        user = lambda a, **kw: {"tag": "user", "attrs": {"jid": a["lid"], **kw}}
        deliver({"from": "120363000000000001@g.us", "type": "read"}, [
            {"tag": "participants", "attrs": {"message_id": m[3]}, "content": [
                user(bob, t="1790000500"), user(carol, type="played", participant_pn=carol["jid"]), user(own),
                user(bob, type="nonsense")]},
            {"tag": "participants", "attrs": {"key": m[2]}, "content": [user(carol, t="x")]}])
        deliver({"from": bob["lid"], "type": "view"})
        deliver({"from": bob["lid"], "type": "read-self"})  # not theirs to say
        deliver({"from": "s.whatsapp.net", "type": "read"})
        send_in(w, "end")
        wait_texts(c, 1)
        got = lambda i: [s for s in statuses(c, m[i]) if s not in ("queued", "server")]
        equal([got(i) for i in range(4)], [["played"], ["played"], ["read", "read"], ["delivered", "read", "played"]], "statuses")
        r = lambda i: {x["party"]["lid"]: (x["status"], x["time_ms"])
                       for x in c.call("message.receipts", account="alice", message_id=m[i])["receipts"]}
        equal(r(3), {bob["lid"]: ("delivered", 1790000004000)}, "kept of the last: what others say of it in a group is not")
        equal(r(1), {bob["lid"]: ("played", 1790000002000)}, "kept of the second")
        reads = [e["event"]["body"] for e in list(c.events) if e.get("event", {}).get("type") == "message.read"]
        equal([(x["message_ids"], x["kind"]) for x in reads], [(["X1", "X2"], "read"), (["X3"], "played")], "own reads")
        equal(len({x["chat"] for x in reads}), 1, "one chat")
        notices = [e for e in list(c.events) if e.get("event", {}).get("type") == "server.notice"
                   and e["event"]["body"]["kind"] == "receipt"]
        equal(len(notices), 3, "kept raw")


@test
def session_reuse():
    """session_reuse.rs: five texts without an answer, texts in turn, both ways over a reconnect; each with its facts"""
    with World() as w:
        ward, c = two(w)
        ids = [send(w, c, "alice", "bob", "one way %d" % i) for i in range(5)]
        equal(len(set(ids)), 5, "ids")
        for i in ids:
            received(c, "bob", i)
        for i in range(3):
            received(c, "alice", send(w, c, "bob", "alice", "turn b%d" % i))
            received(c, "bob", send(w, c, "alice", "bob", "turn a%d" % i))
        w.sim.cmd("log.flush")
        with open(os.path.join(w.sim.dir, "stanzas.log")) as f:
            sent = [line for line in f if "alice:1 <- <message" in line]
        bob = re.escape(w.sim.account("bob")["lid"].replace("@", ":1@"))
        kinds = [re.search("to jid=%s><enc [^>]*type=\"([a-z]+)\"" % bob, line).group(1) for line in sent]
        equal((kinds[0], kinds[-1]), ("pkmsg", "msg"), "no prekey is pending after an answer")
        away(w, c, "alice")
        back(c, "alice")
        i = send(w, c, "alice", "bob", "after")
        m = received(c, "bob", i)["body"]["message"]
        check(not m["from_me"] and m["chat"]["kind"] == "direct" and abs(m["time_ms"] / 1000 - time.time()) < 100, "facts", m)
        equal(m["sender"]["pn"], w.sim.account("alice")["jid"], "sender")
        m = c.wait_event(lambda e: e.get("type") == "message.sent" and e["body"]["message"]["message_id"] == i)["body"]["message"]
        check(m["from_me"] and m["chat"]["kind"] == "direct" and abs(m["time_ms"] / 1000 - time.time()) < 100, "its facts here", m)
        for account, other in (("alice", "bob"), ("bob", "alice")):
            chat = c.call("session.list", account=account, party=w.sim.account(other)["jid"])["sessions"]
            equal({s["address"] for s in chat}, {"lid"}, "sessions of " + account + " are kept, by LID")
        received(c, "alice", send(w, c, "bob", "alice", "after too"))


if __name__ == "__main__":
    main()
