"""Incoming messages when things go wrong on their way (protocol page 11, section 6, row "messages"): late, in another
order, lost, in forms that nobody should send. Each that can be read is told once, the rest by name, and none stops another."""

from harness import World, check, equal, main, test, wait_until
from test_chain import texts, wait_texts
from test_faults import send_in
from test_faults_net import TO_ALICE, accepted, drop, linked, wait_state


def empty(w):
    w.sim.cmd("wait", what="queue_empty", account="alice", device=1, deadline_ms=20000)


@test
def late_reordered_and_lost():
    """delayed, behind the next one, within a sender and across two, and not delivered until the next login"""
    with World() as w:
        ward, c = linked(w)
        people = ("bob", "carol")
        w.sim.account("carol")
        wanted = []

        def say(who, text, **kw):
            wanted.append(text)
            w.sim.cmd("phone.send", account=who, to="alice", text=text, **kw)

        for p in people:
            say(p, "first of " + p)
        wait_texts(c, 2)
        for rnd, (action, after) in enumerate((a, n) for a in ("reorder", "delay", "drop") for n in (0, 1, 3)):
            w.sim.cmd("fault.arm", match=dict(TO_ALICE, tag="message"), action=action, ms=700, after=after, count=2)
            for i in range(4):
                for p in people:
                    say(p, "%s %d of %s" % (action, 10 * rnd + i, p))
            if action == "drop":
                wait_texts(c, len(wanted) - 2)
                equal(w.sim.cmd("device.queue", account="alice", device=1)["queued"] >= 2, True, "still owed")
                mark = len(c.events)
                drop(w)
                wait_state(c, "online", mark)
            wait_texts(c, len(wanted))
            w.sim.cmd("fault.clear")
        empty(w)
        equal(sorted(texts(c)), sorted(wanted), "texts")
        bad = [e for e in c.events if e.get("event", {}).get("type") == "message.undecryptable"]
        equal(bad, [], "undecryptable")


@test
def strange_messages():
    """unknown and missing enc, versions, types, garbage, one for another device: acked, told or kept, and no more"""
    with World() as w:
        ward, c = linked(w)
        send_in(w, "one")
        wait_texts(c, 1)
        bob, before = w.sim.account("bob"), accepted(w)
        enc = lambda kind, content="x" * 66, v="2", **kw: {"tag": "enc", "attrs": dict({"v": v, "type": kind}, **kw), "content": content}
        to = lambda device: {"tag": "participants", "content": [
            {"tag": "to", "attrs": {"jid": w.sim.account("alice")["lid"].replace("@", ":%d@" % device)}, "content": [enc("msg")]}]}
        rows = {
            "unknown type": [enc("quantum")], "unknown version": [enc("msg", v="9")], "no version": [enc("pkmsg", v="")],
            "nothing": [], "empty": [enc("msg", "")], "one byte": [enc("pkmsg", "3")], "garbage msg": [enc("msg")],
            "garbage pkmsg": [enc("pkmsg", "3" * 300)], "a group's key": [enc("skmsg")], "for another device": [to(7)],
            "the same twice": [enc("msg"), enc("msg")], "two kinds": [enc("quantum"), enc("msg"), enc("pkmsg", "3" * 90)],
            "a text": "plain", "count of the sender": [enc("msg", count="99999999999")], "other children": [{"tag": "hologram"}],
        }
        for i, (what, content) in enumerate(rows.items()):
            mark = len(c.events)
            w.sim.cmd("device.deliver", account="alice", device=1, node={"tag": "message", "attrs": {
                "id": "ODD%d" % i, "from": bob["lid"], "t": "1790000000", "type": "text"}, "content": content})
            wait_until(lambda: not [q for q in w.sim.cmd("device.queue", account="alice", device=1)["queue"] if q["id"] == "ODD%d" % i],
                       20, "an answer to " + what)
            told = lambda: [e for e in c.events[mark:] if e["event"]["body"].get("message_id") == "ODD%d" % i
                            or e["event"]["body"].get("tag") == "message"]
            wait_until(told, 20, what + " is told")
        equal(accepted(w), before, "connections")
        send_in(w, "two")
        wait_until(lambda: "two" in texts(c), 20, "the next one")
        equal(texts(c), ["one", "two"], "texts")
        drop(w)
        send_in(w, "three")
        wait_until(lambda: "three" in texts(c), 20, "after a reconnect")


@test
def peer_removed_while_away():
    """row "accounts": a device of the other side goes while alice is away: her next text is sent, and to nobody who is not there"""
    with World() as w:
        w.sim.account("bob")
        ward, second = w.ward("alice"), w.ward("bob", name="second")
        ward.link("alice")
        second.link("bob")
        c = ward.client()
        c.call("events.subscribe", consumer="t", window=256, **{"from": "earliest"})
        say = lambda text: c.call("message.send", account="alice", to="+" + w.sim.account("bob")["pn"], text=text,
                                  idempotency_key=text.replace(" ", "-"), wait="delivered")
        say("to both")
        mark = len(c.events)
        c.call("account.pause", account="alice")
        w.sim.cmd("phone.unlink", account="bob", device=1)
        c.call("account.resume", account="alice")
        wait_state(c, "online", mark)
        lists = [say("to the phone"), say("to the phone again")]
        equal([m["text"] for m in w.sim.wait_inbox("bob", 3)], ["to both", "to the phone", "to the phone again"], "at the phone")
        check(all(m["status"] == "delivered" for m in lists), "delivered", lists)
        w.sim.cmd("log.flush")
        with open(w.sim.dir + "/stanzas.log", encoding="utf-8", errors="replace") as f:
            sent = [line for line in f if "alice:1 <- <message" in line and "participants" in line]
        gone = w.sim.account("bob")["lid"].replace("@", ":1@")
        equal([gone in line for line in sent][-1], False, "the last one goes to the phone alone")


if __name__ == "__main__":
    main()
