"""Presence and typing, both ways: who hears what, for how long, and what a connection that ends does to it."""

import time

from harness import World, check, equal, main, test, wait_until
from test_chain import follow
from test_faults import linked_world


def named(c, account="alice"):
    """The account knows its own name: its phone's first message has it."""
    wait_until(lambda: c.call("account.get", account=account)["push_name"], 20, "the own name of " + account)


def presences(c, account="alice"):
    return [e["event"]["body"] for e in list(c.events)
            if e.get("event", {}).get("type") == "presence" and e["event"]["account"] == account]


def typing(c, account="alice"):
    return [e["event"]["body"] for e in list(c.events)
            if e.get("event", {}).get("type") == "chat.typing" and e["event"]["account"] == account]


def say(w, account, kind):
    w.sim.cmd("phone.send_raw", account=account, node={"tag": "presence", "attrs": {"type": kind}})


def type_in(w, account, to, child="composing", media=None):
    node = {"tag": child, "attrs": {"media": media} if media else {}}
    w.sim.cmd("phone.send_raw", account=account, to=to, node={"tag": "chatstate", "content": [node]})


def watch(w, **match):
    return w.sim.cmd("watch", match=dict({"account": "alice", "device": 1, "direction": "in"}, **match))["watch"]


def seen(w, n, count=1, ms=20000):
    w.sim.cmd("expect", 60, watch=n, count=count, deadline_ms=ms)


def online(c, ward, account="alice"):
    wait_until(lambda: c.call("account.state", account=account)["state"] == "online", 30, account + " online")


def away(w, c):
    c.call("account.pause", account="alice")
    wait_until(lambda: w.sim.cmd("device.list", account="alice")["devices"][1]["phase"] == "gone", 20, "gone")


@test
def default_is_unavailable():
    """presence.set: unavailable after a login; available for its time, told with the name, and over by itself"""
    with World() as w:
        first = w.sim.cmd("watch", match={"direction": "in", "tag": "presence", "type": "unavailable"})["watch"]
        ward, c = linked_world(w)
        seen(w, first)
        named(c)
        on, off = watch(w, tag="presence", type="available"), watch(w, tag="presence", type="unavailable")
        mark = watch(w, tag="ib", child="unified_session")
        r = c.call("presence.set", account="alice", state="available", ttl_ms=1500)
        equal(r["state"], "available", "answer")
        check(0 < r["until_ms"] - time.time() * 1000 < 10000, "until", r)
        seen(w, on)
        seen(w, mark)
        check(w.sim.cmd("device.list", account="alice")["devices"][1]["available"], "the service knows it")
        seen(w, off)  # by itself
        check(not w.sim.cmd("device.list", account="alice")["devices"][1]["available"], "and that it is over")
        # asked again it lasts longer; taken back it ends at once
        c.call("presence.set", account="alice", state="available", ttl_ms=300000)
        seen(w, on, 2)
        equal(c.call("presence.set", account="alice", state="unavailable"), {"state": "unavailable"}, "taken back")
        seen(w, off, 2)
        e = c.error("presence.set", account="alice", state="available", ttl_ms=300001)
        equal((e["code"], e["data"]["path"]), (-32602, "ttl_ms"), "longer than five minutes")
        c.call("account.pause", account="alice")
        e = c.error("presence.set", account="alice", state="available")
        equal((e["code"], e["data"]["reason"]), (-3, "offline"), "while paused")


@test
def receipts_by_presence():
    """delivery receipts are `inactive`, and plain while the account is available"""
    with World() as w:
        ward, c = linked_world(w)
        named(c)
        kinds = lambda: [r["kind"] for r in w.sim.cmd("phone.receipts", account="bob")["receipts"] if ":1@" in r["from"]]
        got = lambda n: wait_until(lambda: len(kinds()) >= n, 20, "%d receipts of this device" % n)
        w.sim.cmd("phone.send", account="bob", to="alice", text="1")
        got(1)
        c.call("presence.set", account="alice", state="available")
        w.sim.cmd("phone.send", account="bob", to="alice", text="2")
        got(2)
        c.call("presence.set", account="alice", state="unavailable")
        w.sim.cmd("phone.send", account="bob", to="alice", text="3")
        got(3)
        equal(kinds(), ["inactive", "delivery", "inactive"], "kinds")


@test
def presence_available():
    """presence.rs presence_available: the account, subscribed and available, is told that another came and went"""
    with World() as w:
        ward, c = linked_world(w)
        named(c)
        bob = w.sim.account("bob")
        r = c.call("presence.subscribe", account="alice", party="+" + bob["pn"])
        check(r["ok"] and not r["available"] and r["ends_ms"] > time.time() * 1000 + 3000000, "answer", r)
        say(w, "bob", "available")
        c.call("presence.set", account="alice", state="available")
        e = c.wait_type("presence", available=True)
        equal(e["body"]["party"]["pn"], bob["jid"], "who")
        check("seq" not in e and "id" not in e, "it is transient", e)
        say(w, "bob", "unavailable")
        e = c.wait_type("presence", available=False)
        check(abs(e["body"]["last_seen_ms"] - time.time() * 1000) < 100000 and not e["body"]["hidden"], "last seen", e)
        party = e["body"]["party"]["id"]
        w.sim.cmd("stanza.send", account="alice", device=1, node={"tag": "presence", "attrs": {
            "from": bob["lid"], "type": "unavailable", "last": "deny"}})
        c.wait_type("presence", hidden=True)
        # the id is kept, and the answer to whoever asks again
        ended = watch(w, tag="presence", type="unsubscribe")
        equal(c.call("presence.unsubscribe", account="alice", party=party), {"ok": True}, "unsubscribed")
        seen(w, ended)
        equal(c.error("presence.unsubscribe", account="alice", party=party)["data"]["reason"], "not_found", "twice")
        n = len(presences(c))
        say(w, "bob", "available")
        type_in(w, "bob", "alice")  # behind it
        c.wait_type("chat.typing", state="composing")
        equal(len(presences(c)), n, "no more of them")


@test
def subscriptions_return():
    """subscriptions are made again with the next connection; a group has a count; strangers get an error"""
    with World() as w:
        ward, c = linked_world(w)
        named(c)
        bob = w.sim.account("bob")
        c.call("presence.subscribe", account="alice", party=bob["lid"])
        c.call("presence.subscribe", account="alice", party="120363000000000001@g.us")
        again = watch(w, tag="presence", type="subscribe")
        held = watch(w, tag="presence", type="available")
        c.call("presence.set", account="alice", state="available", ttl_ms=60000)
        seen(w, again, 2)  # updates begin only now
        w.sim.cmd("device.drop", account="alice", device=1)
        seen(w, held, 2)  # still held
        seen(w, again, 4)
        say(w, "bob", "available")
        c.wait_type("presence", available=True)
        w.sim.cmd("stanza.send", account="alice", device=1, node={"tag": "presence", "attrs": {
            "from": "120363000000000001@g.us", "count": "7"}})
        e = c.wait_type("presence", count=7)
        check(e["body"]["chat"].startswith("g_") and "party" not in e["body"], "group", e)
        for party, reason in (("no-one", "unsupported"), ("u_" + 26 * "a", "not_found")):
            equal(c.error("presence.subscribe", account="alice", party=party)["data"]["reason"], reason, party)
        have = 2
        for i in range(254):
            c.call("presence.subscribe", account="alice", party="+4915%08d" % i)
            have += 1
        equal((c.error("presence.subscribe", account="alice", party="+4916000")["data"]["reason"], have), ("full", 256), "bound")


@test
def restricted_presence_subscribe_requires_tctoken():
    """privacy_tokens.rs: of who shows himself only to those with his token nothing comes first; as soon as he has given
    it, the subscription is made again with it, and what he does is told"""
    with World() as w:
        bob = w.sim.account("bob", restricted=True, takes="tctoken")
        ward, c = linked_world(w)
        named(c)
        c.call("presence.set", account="alice", state="available", ttl_ms=300000)
        bare = watch(w, tag="presence", type="subscribe")
        c.call("presence.subscribe", account="alice", party=bob["jid"])
        seen(w, bare)
        type_in(w, "bob", "alice")  # behind it
        c.wait_type("chat.typing", state="composing")
        equal(presences(c), [], "without a token")
        again = watch(w, tag="presence", type="subscribe", child="tctoken")
        w.sim.cmd("phone.send", account="bob", to="alice", text="here is my token")
        seen(w, again)
        c.wait_type("presence", available=False)
        say(w, "bob", "available")
        c.wait_type("presence", available=True)


@test
def offline_presence_coalescing():
    """offline_receipts.rs offline_presence_coalescing: changes while the account is away are one event on its return"""
    with World() as w:
        ward, c = linked_world(w)
        named(c)
        bob = w.sim.account("bob")
        c.call("presence.set", account="alice", state="available", ttl_ms=300000)
        c.call("presence.subscribe", account="alice", party=bob["jid"])
        c.wait_type("presence", available=False)
        n = len(presences(c))
        away(w, c)
        for _ in range(10):
            say(w, "bob", "available")
            say(w, "bob", "unavailable")
        say(w, "bob", "available")
        c.call("account.resume", account="alice")
        online(c, ward)
        c.wait_type("presence", available=True)
        type_in(w, "bob", "alice")
        c.wait_type("chat.typing", state="composing")
        check(1 <= len(presences(c)) - n <= 3, "events", presences(c)[n:])


@test
def typing_indicator():
    """presence.rs typing_indicator: typing, recording and pausing come as events, and go out with their end"""
    with World() as w:
        ward, c = linked_world(w)
        bob = w.sim.account("bob")
        type_in(w, "bob", "alice")
        e = c.wait_type("chat.typing", state="composing")["body"]
        equal((e["party"]["lid"], e["chat"][:2]), (bob["lid"], "c_"), "who and where")
        check(20000 < e["expires_ms"] - time.time() * 1000 < 26000, "expires", e)
        type_in(w, "bob", "alice", media="audio")
        c.wait_type("chat.typing", state="recording", chat=e["chat"])
        type_in(w, "bob", "alice", "paused")
        check("expires_ms" not in c.wait_type("chat.typing", state="paused")["body"], "paused does not end")
        # out: composing, then paused by itself; a message ends it without
        on, off = watch(w, tag="chatstate", child="composing"), watch(w, tag="chatstate", child="paused")
        equal(c.call("chat.typing", account="alice", chat=e["chat"], state="composing", ttl_ms=1000), {"ok": True}, "answer")
        seen(w, on)
        seen(w, off)
        c.call("chat.typing", account="alice", chat=bob["jid"], state="recording", ttl_ms=3000)
        seen(w, on, 2)
        c.call("message.send", account="alice", to=bob["jid"], text="x", idempotency_key="k")
        c.call("chat.typing", account="alice", chat="+" + bob["pn"], state="composing")
        c.call("chat.typing", account="alice", chat=bob["lid"], state="paused")
        seen(w, off, 2)
        time.sleep(3.5)  # nothing may come when the recording would have ended
        equal(w.sim.cmd("expect", watch=off, deadline_ms=0)["count"], 2, "a message ends it")
        equal(c.error("chat.typing", account="alice", chat="1203@g.us", state="paused")["data"]["reason"], "unsupported", "group")
        equal(c.error("chat.typing", account="alice", chat=bob["jid"], state="x")["code"], -32602, "state")


@test
def typing_lapses():
    """what nobody ends is paused after 25 s"""
    with World() as w:
        ward, c = linked_world(w)
        type_in(w, "bob", "alice")
        c.wait_type("chat.typing", state="composing")
        began = time.monotonic()
        c.wait_type("chat.typing", 40, state="paused")
        check(20 < time.monotonic() - began < 35, "after", time.monotonic() - began)


@test
def expired_chatstate_not_delivered():
    """chatstate_ttl.rs: of typing more than three seconds ago nothing comes on return"""
    with World() as w:
        ward, c = linked_world(w)
        away(w, c)
        type_in(w, "bob", "alice")
        time.sleep(5)  # the scenario's own time
        c.call("account.resume", account="alice")
        online(c, ward)
        w.sim.cmd("phone.send", account="bob", to="alice", text="after")
        c.wait_type("message.received")
        equal(typing(c), [], "typing")


@test
def fresh_chatstate_delivered_on_reconnect():
    """chatstate_ttl.rs: of typing a moment ago the account hears when it is back at once"""
    with World() as w:
        ward, c = linked_world(w)
        away(w, c)
        type_in(w, "bob", "alice")
        c.call("account.resume", account="alice")
        c.wait_type("chat.typing", 20, state="composing")


if __name__ == "__main__":
    main()
