"""Repair: messages that cannot be read are asked for again, both ways, and the phone is asked; the scenarios
retry_dm_multidevice and offline_messages of protocol page 11, 8.1."""

import time

from harness import World, check, equal, main, test, wait_until
from test_chain import follow, texts, wait_texts
from test_faults import linked_world, send_in

COMPANION = {"account": "alice", "device": 1, "direction": "out", "tag": "message"}


def corrupt(w, count=0):
    """What bob writes is unreadable for the companion; his phone and what the own phone writes are not touched."""
    match = {**COMPANION, "from": w.sim.account("bob")["lid"]}
    return w.sim.cmd("fault.arm", match={**COMPANION, **match}, action="corrupt", count=count)["fault"]


def retries(w, account="bob", of=None):
    """The retry receipts that a phone got, as (count, with keys)."""
    return [(r["count"], r["keys"]) for r in w.sim.cmd("phone.receipts", account=account)["receipts"]
            if r["kind"] == "retry" and (of is None or r["id"] == of)]


def wait_retries(w, count, of, seconds=30):
    return wait_until(lambda: (lambda r: r if len(r) >= count else None)(retries(w, of=of)), seconds,
                      lambda: "%d retry receipts, have %r" % (count, retries(w, of=of)))


def said(c, text, key, wait="server"):
    return c.call("message.send", account="alice", to="+" + c.bob, text=text, idempotency_key=key, wait=wait)["message_id"]


def world(w, **kw):
    ward, c = linked_world(w, **kw)
    c.bob = w.sim.account("bob")["pn"]
    return ward, c


def phones(w):
    return w.sim.cmd("stats")["phones"]


@test
def peer_forgets_its_session():
    """the peer has lost its session: our text is unreadable at first, then arrives by one resend to that device with
    count 1; both directions work after (dm_retry_recovers_after_session_deletion)"""
    with World() as w:
        ward, c = world(w)
        said(c, "first", "1")
        w.sim.wait_inbox("bob", 1)
        send_in(w, "back")  # from here on our messages are no pkmsg any more
        wait_texts(c, 1)
        said(c, "second", "2")
        w.sim.wait_inbox("bob", 2)
        w.sim.cmd("phone.forget", account="bob", of="alice")
        resent = w.sim.cmd("watch", match={"account": "alice", "device": 1, "direction": "in", "tag": "message"})["watch"]
        mid = said(c, "third", "3")
        got = w.sim.wait_inbox("bob", 3)
        equal([(g["text"], g["id"]) for g in got][2], ("third", mid), "what arrived")
        equal(got[2]["type"], "pkmsg", "with a new session")
        w.sim.cmd("expect", watch=resent, count=2, deadline_ms=10000)
        equal(phones(w)["decrypt_failures"], 1, "unreadable once")
        c.wait_type("message.status", message_id=mid, status="retrying")
        c.wait_type("message.status", message_id=mid, status="delivered")
        said(c, "fourth", "4")
        w.sim.wait_inbox("bob", 4)
        send_in(w, "and back")
        wait_texts(c, 2)
        equal([g["text"] for g in w.sim.inbox("bob")], ["first", "second", "third", "fourth"], "once each, in order")


@test
def placeholder_is_superseded():
    """a broken message is told as undecryptable, asked for, and told again as recovered, once; the row is gone then"""
    with World() as w:
        ward, c = world(w)
        send_in(w, "one")
        wait_texts(c, 1)
        corrupt(w, 1)
        bad = send_in(w, "two")[0]
        c.wait_type("message.undecryptable", message_id=bad)
        e = c.wait_type("message.received", recovers=bad)
        equal((e["origin"], e["body"]["message"]["content"]["text"]), ("recovered", "two"), "recovered")
        equal(retries(w, of=bad), [(1, False)], "asked once")
        equal(texts(c), ["one", "two"], "all")
        stats = c.call("store.stats", tables=True)
        equal([t["rows"] for t in stats["tables"] if t["table"] == "pending" and t["account"] == "alice"], [0], "rows")


@test
def counted_over_a_restart():
    """retry receipts count on over a restart, have keys from the second on, and end at the fourth; the phone has none
    either: given up, told once"""
    with World() as w:
        ward, c = world(w)
        w.sim.cmd("phone.set", account="alice", gives=False)
        send_in(w, "one")
        wait_texts(c, 1)
        corrupt(w)
        # the second request reaches the peer only after our restart
        hold = w.sim.cmd("fault.arm", match={"account": "bob", "device": 0, "direction": "out", "tag": "receipt",
                                             "type": "retry"}, action="drop", after=1, count=0)["fault"]
        bad = send_in(w, "two")[0]
        c.wait_type("message.undecryptable", message_id=bad)
        wait_retries(w, 1, bad)
        w.sim.cmd("wait", what="queue_empty", account="alice", device=1, deadline_ms=20000)
        ward.stop()
        ward.start()
        c = follow(ward, "alice", "again")
        w.sim.cmd("wait", what="device", account="alice", device=1, phase="live", deadline_ms=20000)
        w.sim.cmd("fault.clear", fault=hold)
        w.sim.cmd("phone.set", account="bob", on=False)
        w.sim.cmd("phone.set", account="bob", on=True)
        equal(wait_retries(w, 4, bad), [(1, False), (2, True), (3, True), (4, True)], "requests")
        e = c.wait_type("message.given_up", seconds=30, message_id=bad)
        check(e["body"]["reason"] in ("not_given", "bad_mac"), "why, by who had the last word", e["body"])
        told = [e["event"]["type"] for e in c.events if e.get("event", {}).get("body", {}).get("message_id") == bad]
        equal(told, ["message.undecryptable", "message.given_up"], "what was told")
        send_in(w, "three")  # unreadable as well: the next one is asked for on its own
        w.sim.cmd("fault.clear")
        wait_until(lambda: "three" in texts(c), 30, "the next message")
        equal(len(retries(w, of=bad)), 4, "no fifth request")


@test
def junk_costs_few_keys():
    """whoever sends what nobody can read gets retry receipts for all of it, but keys with some of them only; others get
    theirs as ever, and a real message of his is read in the end"""
    with World() as w:
        ward, c = world(w)
        send_in(w, "one")
        wait_texts(c, 1)
        mallory = w.sim.account("mallory")["lid"]
        stored = lambda: c.call("keys.status", account="alice")["stored"]  # noqa: E731
        before, n = stored(), 60
        msg = "3\n!\x05" + "k" * 32 + "\x10\x01\x18\x01\"\x10" + "c" * 16 + "m" * 8  # well formed, of no session
        asked = w.sim.cmd("watch", match={"account": "alice", "device": 1, "direction": "in", "tag": "receipt", "type": "retry"})["watch"]
        for i in range(n):
            w.sim.cmd("device.deliver", account="alice", device=1, node={"tag": "message", "attrs": {
                "id": "JUNK%d" % i, "from": mallory, "t": "%d" % time.time(), "type": "text"},
                "content": [{"tag": "enc", "attrs": {"v": "2", "type": "msg"}, "content": msg}]})
        equal(w.sim.cmd("expect", watch=asked, count=n, deadline_ms=30000)["count"], n, "each is asked for")
        made = stored() - before
        check(1 <= made <= 22, "prekeys made for it", made)
        counters = c.call("server.metrics")["counters"]
        equal((counters["retries_out"], counters["retries_bare"]), (n, n - made), "without keys")
        w.sim.cmd("phone.send", account="mallory", to="alice", text="in earnest")
        wait_until(lambda: "in earnest" in texts(c), 30, "a real one")
        c.call("session.repair", account="alice", party="+" + c.bob)  # so that bob's next is unreadable
        mid = send_in(w, "two")[0]
        wait_until(lambda: "two" in texts(c), 30, "bob's")
        check(True in [keys for _, keys in retries(w, of=mid)], "bob has his keys", retries(w, of=mid))


@test
def phone_recovers():
    """what no resend cures the own phone gives, in one request; each is told once, as recovered; the phone is not asked
    for what it would not give"""
    with World() as w:
        ward, c = world(w)
        send_in(w, "zero")
        wait_texts(c, 1)
        fault = corrupt(w)
        bad = [send_in(w, "bad %d" % i)[0] for i in range(5)]
        for i, mid in enumerate(bad):
            e = c.wait_type("message.received", seconds=30, recovers=mid)
            equal((e["origin"], e["body"]["message"]["content"]["text"]), ("recovered", "bad %d" % i), "recovered")
            equal(e["body"]["message"]["sender"]["phone"], "+" + c.bob, "from whom")
        w.sim.cmd("fault.clear", fault=fault)
        asked = phones(w)["asked_for"]
        check(1 <= asked <= 2, "requests", asked)
        equal(phones(w)["given"], 5, "given")
        # kept back by the service: a plain one is asked for, the others are only told
        kinds = {"unavailable_view_once": "view_once", "unavailable_hosted": "hosted", "unavailable_bot": "bot"}
        for action, kind in kinds.items():
            w.sim.cmd("fault.arm", match=COMPANION, action=action, count=1)
            e = c.wait_type("message.undecryptable", message_id=send_in(w, action)[0])
            equal(e["body"]["unavailable"], kind, "marker")
        w.sim.cmd("fault.arm", match=COMPANION, action="unavailable", count=1)
        mid = send_in(w, "kept back")[0]
        e = c.wait_type("message.undecryptable", message_id=mid)
        equal(e["body"]["unavailable"], "other", "marker")
        e = c.wait_type("message.received", seconds=30, recovers=mid)
        equal(e["body"]["message"]["content"]["text"], "kept back", "text")
        equal((phones(w)["asked_for"], phones(w)["given"]), (asked + 1, 6), "the phone was asked for one more")
        w.sim.cmd("wait", what="queue_empty", account="alice", device=1, deadline_ms=20000)
        equal(len(texts(c)), 7, "each once")


@test
def phone_answers_late():
    """the phone is off when it is asked, and ward is restarted before it is on again: its answer is believed then"""
    with World() as w:
        ward, c = world(w)
        send_in(w, "zero")
        wait_texts(c, 1)
        fault = corrupt(w)
        w.sim.cmd("phone.set", account="bob", on=True)
        asked = w.sim.cmd("watch", match={"account": "alice", "device": 1, "direction": "in", "tag": "message"})["watch"]
        mid = send_in(w, "late")[0]
        c.wait_type("message.undecryptable", message_id=mid)
        w.sim.cmd("wait", what="inbox", account="alice", count=2, deadline_ms=20000)
        w.sim.cmd("phone.set", account="alice", on=False)  # it has the message, and sleeps now
        w.sim.cmd("expect", watch=asked, deadline_ms=20000)  # the request
        w.sim.cmd("fault.clear", fault=fault)
        ward.stop()
        ward.start()
        c = follow(ward, "alice", "again")
        w.sim.cmd("phone.set", account="alice", on=True)
        e = c.wait_type("message.received", seconds=30, recovers=mid)
        equal(e["body"]["message"]["content"]["text"], "late", "text")


@test
def waited_for_in_vain():
    """neither its sender nor the phone ever answers: after 14 days it is told as given up, once, also over restarts, and
    its row is gone"""
    with World() as w:
        ward, c = world(w)
        send_in(w, "zero")
        wait_texts(c, 1)
        rows = lambda: [t["rows"] for t in c.call("store.stats", tables=True)["tables"]  # noqa: E731
                        if t["table"] == "pending" and t["account"] == "alice"][0]
        w.sim.cmd("fault.arm", match={"account": "bob", "device": 0, "direction": "out", "tag": "receipt", "type": "retry"},
                  action="drop", count=0)
        fault = corrupt(w, 1)
        mid = send_in(w, "lost")[0]
        c.wait_type("message.undecryptable", message_id=mid)
        w.sim.cmd("phone.set", account="alice", on=False)
        w.sim.cmd("fault.clear", fault=fault)
        ward.stop()
        w.sim.cmd("clock.advance", s=13 * 86400)
        ward.start()
        c = follow(ward, "alice", "again", "latest")
        w.sim.cmd("wait", what="device", account="alice", device=1, phase="live", deadline_ms=20000)
        c.call("account.get", account="alice")
        check(rows() >= 1, "it is waited for", rows())
        for i in range(2):
            ward.stop()
            w.sim.cmd("clock.advance", s=2 * 86400)
            ward.start()
            c = follow(ward, "alice", "again%d" % i, "earliest")
            w.sim.cmd("wait", what="device", account="alice", device=1, phase="live", deadline_ms=20000)
            e = c.wait_type("message.given_up", seconds=30, message_id=mid)
            equal((e["body"]["reason"], e["body"]["sender"]["phone"]), ("expired", "+" + w.sim.account("bob")["pn"]), "why")
        send_in(w, "one")
        wait_until(lambda: "one" in texts(c), 20, "the next one")
        told = [e for e in c.events if e.get("event", {}).get("body", {}).get("message_id") == mid]
        equal([e["event"]["type"] for e in told], ["message.undecryptable", "message.given_up"], "what was told")


def checked(c, who):
    r = c.call("session.check", account="alice", party=who)
    return {d["device"]: d["has_session"] for d in r["devices"]}, r["valid"]


@test
def repaired_on_request():
    """session.repair: the next text makes a new session, the answer comes by it, and both ways go on; it is durable
    (a restart finds no session either)"""
    with World() as w:
        ward, c = world(w)
        bob = "+" + c.bob
        said(c, "first", "1")
        w.sim.wait_inbox("bob", 1)
        send_in(w, "back")
        wait_texts(c, 1)
        said(c, "second", "2")
        w.sim.wait_inbox("bob", 2)
        equal(checked(c, bob), ({0: True}, True), "before")
        r = c.call("session.repair", account="alice", party=bob)
        equal((r["ok"], r["dropped"]), (True, 1), "answer")
        equal(checked(c, bob), ({0: False}, False), "after")
        equal(c.call("session.list", account="alice", party=bob)["sessions"], [], "no session")
        equal(c.call("session.repair", account="alice", party=bob)["dropped"], 0, "again")
        ward.stop()
        ward.start()
        c = follow(ward, "alice", "again")
        w.sim.cmd("wait", what="device", account="alice", device=1, phase="live", deadline_ms=20000)
        c.bob = bob[1:]
        equal(checked(c, bob), ({0: False}, False), "after a restart")
        said(c, "third", "3")
        w.sim.wait_inbox("bob", 3)
        equal(checked(c, bob), ({0: True}, True), "made again")
        send_in(w, "and back")
        wait_texts(c, 2)  # the first one is in the log
        said(c, "fourth", "4")
        got = w.sim.wait_inbox("bob", 4)
        equal([(g["text"], g["type"]) for g in got],
              [("first", "pkmsg"), ("second", "msg"), ("third", "pkmsg"), ("fourth", "msg")], "at the phone")
        send_in(w, "at last")
        wait_texts(c, 3)
        equal((texts(c), phones(w)["decrypt_failures"]), (["back", "and back", "at last"], 0), "read at once, all of them")
        for party, reason in (("+15550009999", "not_found"), ("nobody", "params")):
            e = c.error("session.repair", account="alice", party=party)
            equal(e["data"]["reason"], reason, "repair of %s" % party)


@test
def repaired_under_way():
    """a text that was encrypted under the session that a repair drops is asked for again and told, once; texts both ways
    go on, also while other texts are being sent"""
    with World() as w:
        ward, c = world(w)
        bob = "+" + c.bob
        said(c, "first", "1")
        w.sim.wait_inbox("bob", 1)
        send_in(w, "back")
        wait_texts(c, 1)
        said(c, "second", "2")
        w.sim.wait_inbox("bob", 2)
        c.call("account.pause", account="alice")
        old = send_in(w, "under the old session")[0]
        equal(c.call("session.repair", account="alice", party=bob)["dropped"], 1, "dropped")
        c.call("account.resume", account="alice")
        e = c.wait_type("message.received", seconds=30, recovers=old)
        equal((e["origin"], e["body"]["message"]["content"]["text"]), ("recovered", "under the old session"), "recovered")
        check(len(retries(w, of=old)) >= 1, "asked for", retries(w, of=old))
        said(c, "third", "3")
        send_in(w, "and back")
        wait_texts(c, 3)
        for i in range(5):  # sends are under way all the time
            said(c, "many %d" % i, "m%d" % i, wait="queued")
            equal(c.call("session.repair", account="alice", party=bob)["ok"], True, "repair")
            send_in(w, "answer %d" % i)
        wait_texts(c, 8)
        w.sim.wait_inbox("bob", 8)
        equal(sorted(g["text"] for g in w.sim.inbox("bob")),
              sorted(["first", "second", "third"] + ["many %d" % i for i in range(5)]), "at the phone")
        equal(sorted(texts(c)), sorted(["back", "under the old session", "and back"] + ["answer %d" % i for i in range(5)]),
              "here, none twice")


@test
def repaired_beside_many_sends():
    """sends and repairs all at once: each is answered, none fails or is refused, each text arrives once"""
    with World() as w:
        ward, c = world(w)
        bob = "+" + c.bob
        said(c, "first", "first")
        w.sim.wait_inbox("bob", 1)
        send_in(w, "back")
        wait_texts(c, 1)
        asked = []
        for i in range(40):
            asked.append(c.send("message.send", account="alice", to=bob, text="many %d" % i, idempotency_key="m%d" % i, wait="server"))
            if i % 2 == 1:
                asked.append(c.send("session.repair", account="alice", party=bob))
        answers = [c.answer(n) for n in asked]
        equal([a["error"] for a in answers if "error" in a], [], "errors")
        equal(sorted(g["text"] for g in w.sim.wait_inbox("bob", 41)), sorted(["first"] + ["many %d" % i for i in range(40)]),
              "at the phone")


@test
def repaired_with_all_devices():
    """a repair drops the sessions with phone and companion alike, the next text reaches both by new ones, and other
    people's sessions stay"""
    with World() as w:
        for name in ("bob", "carol"):
            w.sim.account(name)
        ward = w.ward("alice", "bob")
        ward.link("alice")
        ward.link("bob")
        c, companion = follow(ward, "alice"), follow(ward, "bob", "bobs")
        c.bob = w.sim.account("bob")["pn"]
        carol = "+" + w.sim.account("carol")["pn"]
        said(c, "first", "1")
        c.call("message.send", account="alice", to=carol, text="hello", idempotency_key="c1")
        wait_until(lambda: "first" in texts(companion), 30, "at the companion")
        w.sim.wait_inbox("bob", 1)
        equal(checked(c, "+" + c.bob), ({0: True, 1: True}, True), "before")
        equal(c.call("session.repair", account="alice", party="+" + c.bob)["dropped"], 2, "dropped")
        equal(checked(c, "+" + c.bob), ({0: False, 1: False}, False), "after")
        equal(checked(c, carol), ({0: True}, True), "of somebody else")
        said(c, "second", "2")
        wait_until(lambda: "second" in texts(companion), 30, "at the companion")
        equal([(m["text"], m["type"]) for m in w.sim.wait_inbox("bob", 2)][1], ("second", "pkmsg"), "at the phone")
        equal(checked(c, "+" + c.bob), ({0: True, 1: True}, True), "made again")
        equal(phones(w)["decrypt_failures"], 0, "failures")


if __name__ == "__main__":
    main()
