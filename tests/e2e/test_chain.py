"""The whole chain on real processes: linking, receiving, sending, receipts, offline queues, accounts."""

import json
import os
import subprocess
import time

from harness import Failure, Rpc, World, check, command, equal, main, test, wait_until


def follow(ward, account=None, consumer="t", origin="earliest"):
    c = ward.client()
    params = {"consumer": consumer, "from": origin, "window": 1024}
    if account:
        params["filter"] = {"accounts": [account]}
    c.call("events.subscribe", **params)
    return c


def texts(client):
    return [e["event"]["body"]["message"]["content"].get("text") for e in list(client.events)
            if e.get("event", {}).get("type") == "message.received"]


def wait_texts(client, count, seconds=60):
    return wait_until(lambda: (lambda t: t if len(t) >= count else None)(texts(client)), seconds,
                      lambda: "%d messages, have %d" % (count, len(texts(client))))


@test
def link_by_qr():
    """a phone scans the QR, the account is linked and online, and stays linked over a restart"""
    with World() as w:
        ward = w.ward("alice")
        state = ward.link("alice")
        equal(state["state"], "online", "state")
        check(state["jid"].endswith("@s.whatsapp.net"), "own JID", state)
        check(state["lid"].endswith("@lid"), "own LID", state)
        ward.stop()
        ward.start()
        c = follow(ward, "alice")
        c.wait_event(lambda e: e.get("type") == "account.state" and e["body"]["state"] == "online")
        wait_until(lambda: c.call("account.state", account="alice")["state"] == "online", 30, "online again")


@test
def link_by_code():
    """the phone's user types the pair code that ward shows"""
    with World() as w:
        ward = w.ward("alice")
        made = w.sim.account("alice")
        c = follow(ward, "alice")
        c.call("account.link", account="alice", method="code", phone="+" + made["pn"])
        e = c.wait_event(lambda e: e.get("type") == "account.link" and e["body"].get("step") == "code")
        code = e["body"]["text"].replace("-", "")
        equal(len(code), 8, "length of the code")
        w.sim.cmd("phone.enter_code", account="alice", code=code)
        c.wait_type("account.linked")
        c.wait_event(lambda e: e.get("type") == "account.state" and e["body"]["state"] == "online")


@test
def wrong_code_links_nothing():
    """a wrong code on the phone links nothing; the right one still does"""
    with World() as w:
        ward = w.ward("alice")
        made = w.sim.account("alice")
        c = follow(ward, "alice")
        c.call("account.link", account="alice", method="code", phone="+" + made["pn"])
        e = c.wait_event(lambda e: e.get("type") == "account.link" and e["body"].get("step") == "code")
        code = e["body"]["text"].replace("-", "")
        wrong = code[:-1] + ("1" if code[-1] != "1" else "2")
        finish = w.sim.cmd("watch", match={"direction": "in", "tag": "iq", "child": "link_code_companion_reg"})["watch"]
        w.sim.cmd("phone.enter_code", account="alice", code=wrong)
        w.sim.cmd("expect", watch=finish, count=2, deadline_ms=20000)  # primary_hello and companion_finish
        check(not [e for e in c.events if e.get("event", {}).get("type") == "account.linked"], "a wrong code linked")
        w.sim.cmd("phone.enter_code", account="alice", code=code)
        c.wait_type("account.linked")


@test
def qr_is_refreshed():
    """when the service asks for a new QR, the old one no longer links and the new one does"""
    with World() as w:
        ward = w.ward("alice")
        c = follow(ward, "alice")
        c.call("account.link", account="alice", method="qr")
        is_qr = lambda e: e.get("type") == "account.link" and e["body"].get("step") == "qr"
        first = c.wait_event(is_qr)["body"]["text"]
        mark = len(c.events)
        w.sim.cmd("qr.refresh")
        second = c.wait_event(is_qr, start=mark)["body"]["text"]
        a, b = first.split("#")[1].split(","), second.split("#")[1].split(",")
        equal(a[:3], b[:3], "ref, Noise key and identity stay")
        check(a[3] != b[3], "the ADV secret is another one")
        w.sim.scan("alice", second)
        c.wait_type("account.linked")


@test
def hello_both_ways():
    """a text comes in as one durable event with sender and name; an answer goes out and is delivered and read"""
    with World() as w:
        ward = w.ward("alice")
        ward.link("alice")
        w.sim.account("bob", push_name="Bob")
        w.sim.cmd("phone.send", account="bob", to="alice", text="hello")
        c = follow(ward, "alice")
        e = c.wait_type("message.received")
        m = e["body"]["message"]
        equal(m["content"], {**m["content"], "kind": "text", "text": "hello"}, "content")
        equal(m["sender"]["push_name"], "Bob", "push name")
        check(not m["from_me"], "not own")
        sent = c.call("message.send", account="alice", to=m["chat"]["id"], text="hello yourself",
                      idempotency_key="k1", wait="server")
        equal(sent["status"], "server", "status")
        got = w.sim.wait_inbox("bob", 1)
        equal([(g["text"], g["id"]) for g in got], [("hello yourself", sent["message_id"])], "bob's inbox")
        c.wait_type("message.status", message_id=sent["message_id"], status="delivered")
        w.sim.cmd("phone.read", account="bob", ids=[sent["message_id"]])
        c.wait_type("message.status", message_id=sent["message_id"], status="read")
        wait_until(lambda: [r for r in w.sim.cmd("phone.receipts", account="bob")["receipts"]
                            if r["kind"] in ("delivery", "inactive") and ":" in r["from"]], 30, "delivery receipt for hello")
        again = c.call("message.send", account="alice", to=m["chat"]["id"], text="hello yourself",
                       idempotency_key="k1", wait="server")
        equal((again["message_id"], again["duplicate"]), (sent["message_id"], True), "the same key again")
        err = c.error("message.send", account="alice", to=m["chat"]["id"], text="other",
                      idempotency_key="k1", wait="server")
        equal((err["code"], err["data"]["reason"]), (-9, "key_reused"), "the same key, another text")
        equal(len(w.sim.inbox("bob")), 1, "bob got one message")
        own = [g["text"] for g in w.sim.inbox("alice") if g["device_sent"]]
        equal(own, ["hello yourself"], "the own phone has a copy")


@test
def order_is_kept():
    """200 texts each way arrive all, once, in order, first as pkmsg and then as msg"""
    with World() as w:
        ward = w.ward("alice")
        ward.link("alice")
        w.sim.account("bob")
        c = follow(ward, "alice")
        w.sim.cmd("phone.send", account="bob", to="alice", text="n", count=200)
        got = wait_texts(c, 200)
        equal(len(got), 200, "count in")
        chat = next(e["event"]["body"]["message"]["chat"]["id"] for e in c.events
                    if e.get("event", {}).get("type") == "message.received")
        ids = []
        for base in range(0, 200, 50):  # at most 64 requests of a connection are in flight
            pending = [c.send("message.send", account="alice", to=chat, text="out %d" % i,
                              idempotency_key="o%d" % i, wait="server") for i in range(base, base + 50)]
            ids += [c.answer(n)["result"]["message_id"] for n in pending]
        box = w.sim.wait_inbox("bob", 200)
        equal([m["text"] for m in box], ["out %d" % i for i in range(200)], "order out")
        equal([m["id"] for m in box], ids, "ids out")
        # bob's first was a pkmsg, so ward answers in that session; carol has none yet
        equal({m["type"] for m in box}, {"msg"}, "kinds to bob")
        carol = w.sim.account("carol")
        for i in range(3):
            c.call("message.send", account="alice", to="+" + carol["pn"], text="c%d" % i, idempotency_key="c%d" % i)
        equal([m["type"] for m in w.sim.wait_inbox("carol", 3)], ["pkmsg"] * 3, "kinds to carol before she answers")
        w.sim.cmd("phone.send", account="carol", to="alice", text="n 201")
        wait_texts(c, 201)
        c.call("message.send", account="alice", to="+" + carol["pn"], text="c3", idempotency_key="c3")
        equal(w.sim.wait_inbox("carol", 4)[3]["type"], "msg", "kind to carol after she answered")
        again = follow(ward, "alice", consumer="second")
        equal(wait_texts(again, 201)[:200], got, "a second consumer sees the same")


def offline_mode(mode):
    with World() as w:
        w.sim.account("alice", offline_mode=mode)
        w.sim.account("bob")
        ward = w.ward("alice")
        ward.link("alice")
        ward.stop()
        w.sim.cmd("phone.send", account="bob", to="alice", prefix="q", count=450)
        wait_until(lambda: len(w.sim.cmd("device.queue", account="alice", device=1)["queue"]) >= 450, 30, "450 queued")
        ward.start()
        c = follow(ward, "alice")
        got = wait_texts(c, 450)
        equal(len(set(e["event"]["body"]["message"]["message_id"] for e in c.events
                      if e.get("event", {}).get("type") == "message.received")), 450, "ids")
        equal(got, ["q%d" % i for i in range(1, 451)], "in the order sent")
        c.wait_type("offline.done")
        origins = {e["event"]["origin"] for e in c.events if e.get("event", {}).get("type") == "message.received"}
        equal(origins, {"offline"}, "origins")
        wait_until(lambda: not w.sim.cmd("device.queue", account="alice", device=1)["queue"], 30, "queue is empty")


@test
def offline_queue_eager():
    """450 texts sent while ward is down arrive all, in order, at the next start, and the queue is empty then"""
    offline_mode("eager")


@test
def offline_queue_pulled():
    """the same when the service waits for each offline_batch"""
    offline_mode("pulled")


@test
def two_accounts():
    """two accounts of one service exchange texts with each other and share nothing"""
    with World() as w:
        ward = w.ward("alice", "bob")
        alice, bob = ward.link("alice"), ward.link("bob")
        ca, cb = follow(ward, "alice", "ca"), follow(ward, "bob", "cb")
        ca.call("message.send", account="alice", to="+" + bob["phone"].lstrip("+"), text="from alice",
                idempotency_key="1", wait="delivered")
        cb.wait_type("message.received")
        cb.call("message.send", account="bob", to="+" + alice["phone"].lstrip("+"), text="from bob",
                idempotency_key="1", wait="delivered")
        ca.wait_type("message.received")
        equal((texts(ca), texts(cb)), (["from bob"], ["from alice"]), "who got what")


@test
def send_while_offline():
    """a text accepted while the link is down is sent once when it is back, under the same id"""
    with World() as w:
        w.sim.account("bob")
        ward = w.ward("alice")
        ward.link("alice")
        c = follow(ward, "alice")
        bob = w.sim.account("bob")
        c.call("account.pause", account="alice")
        wait_until(lambda: c.call("account.state", account="alice")["state"] == "stopped", 20, "paused")
        sent = c.call("message.send", account="alice", to="+" + bob["pn"], text="later",
                      idempotency_key="z", wait="queued")
        equal(sent["status"], "queued", "status")
        ward.stop()
        ward.start()
        c = follow(ward, "alice", "two")
        c.call("account.resume", account="alice")
        c.wait_type("message.status", message_id=sent["message_id"], status="server")
        box = w.sim.wait_inbox("bob", 1)
        equal([(m["id"], m["text"]) for m in box], [(sent["message_id"], "later")], "bob's inbox")


@test
def logout_by_phone_and_by_us():
    """removed by the phone, the account says so and can be linked anew; unlink removes it at the phone"""
    with World() as w:
        ward = w.ward("alice")
        ward.link("alice")
        c = follow(ward, "alice")
        w.sim.cmd("phone.unlink", account="alice", device=1)
        c.wait_type("account.unlinked", by="phone")
        state = c.call("account.state", account="alice")
        equal((state["state"], state["user_action"]), ("logged_out", "relink"), "state")
        ward.link("alice", rpc=c)
        c.call("account.unlink", account="alice")
        wait_until(lambda: [d["device"] for d in w.sim.cmd("device.list", account="alice")["devices"]] == [0], 20,
                   "only the phone is left")
        equal(c.call("account.state", account="alice")["state"], "unlinked", "state after unlink")


@test
def replaced_stops():
    """a login elsewhere with the same credentials stops the account, without a reconnect storm"""
    with World() as w:
        ward = w.ward("alice")
        ward.link("alice")
        c = follow(ward, "alice")
        w.sim.cmd("stream.error", account="alice", device=1, conflict="replaced")
        c.wait_event(lambda e: e.get("type") == "account.state" and e["body"]["state"] == "replaced")
        before = w.sim.cmd("stats")["connections"]["accepted"]
        # an event that must not come: the state stays while another account does real work
        w.sim.account("bob")
        equal(c.call("account.state", account="alice")["state"], "replaced", "state")
        equal(w.sim.cmd("stats")["connections"]["accepted"], before, "connects")


@test
def wardctl_shows_and_sends():
    """wardctl links with a QR in the terminal, sends, follows, and its exit codes tell"""
    with World() as w:
        ward = w.ward("alice")
        w.sim.account("bob")
        c = follow(ward, "alice")
        ctl = subprocess.Popen(command("wardctl") + ["-s", ward.socket, "-a", "alice", "account", "link", "--qr=utf8"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        e = c.wait_event(lambda e: e.get("type") == "account.link" and e["body"].get("step") == "qr")
        w.sim.scan("alice", e["body"]["text"])
        out, err = ctl.communicate(timeout=60)
        equal(ctl.returncode, 0, "exit of account link: %r" % err)
        check("\u2580" in out.decode() or "\u2588" in out.decode(), "half blocks", out[:200])
        c.wait_event(lambda e: e.get("type") == "account.state" and e["body"]["state"] == "online")
        bob = w.sim.account("bob")
        r = ward.ctl("--json", "-a", "alice", "message", "send", "+" + bob["pn"], "by hand")
        equal(r.returncode, 0, "exit of message send: %r" % r.stderr)
        equal([m["text"] for m in w.sim.wait_inbox("bob", 1)], ["by hand"], "bob's inbox")
        equal(json.loads(r.stdout)["status"], "server", "status")
        equal(ward.ctl("-a", "nobody", "account", "state").returncode, 1, "unknown account")
        equal(ward.ctl("message", "fly").returncode, 64, "usage")
        equal(ward.ctl("rpc", "server.hello").returncode, 0, "rpc")
        check(b"ok" in ward.ctl("server", "health").stdout, "health")


if __name__ == "__main__":
    main()
