"""Message secrets in direct chats: what others encrypt under the secret of a message is opened and told as what it is."""

import hashlib

from harness import World, check, equal, main, test, wait_until
from test_content import Talk, part
from test_repair import COMPANION
from test_tokens import Watch


def sha(*names):
    return [hashlib.sha256(n.encode()).hexdigest() for n in names]


def said_by(t, who, to, **said):
    return t.sim.cmd("phone.send", account=who, to=to, **said)["ids"][0]


def about(t, kind, by, seconds=30):
    """The body of the event of that type that the message `by` became."""
    return t.client.wait_event(lambda e: e.get("type") == kind and e["body"].get("by_message_id") == by, seconds)["body"]


def seen(t, message_id):
    return t.client.wait_event(lambda e: e.get("type") in ("message.received", "message.sent")
                               and e["body"]["message"]["message_id"] == message_id)["body"]["message"]


@test
def reactions():
    """encrypted reactions to messages of both sides are told as reactions, and taken back"""
    with World() as w:
        t = Talk(w)
        first = t.bob_says(text="good news")
        seen(t, first)
        sent = t.call("message.send", to=t.bob, text="indeed")
        t.got(1)
        r = about(t, "message.reaction", t.bob_says(text="\U0001f44d", react=sent["message_id"], encrypted=True))
        part(r, {"message_id": sent["message_id"], "text": "\U0001f44d", "target_from_me": True, "from_me": False,
                 "encrypted": True}, "to ours")
        equal(r["party"]["push_name"], "Bob", "who")
        r = about(t, "message.reaction", t.bob_says(text="", react=first, from_me=True, encrypted=True))
        part(r, {"message_id": first, "text": "", "target_from_me": False, "encrypted": True}, "to his own")
        plain = about(t, "message.reaction", t.bob_says(text="x", react=first, from_me=True))
        equal(plain["encrypted"], False, "one in the clear")
        equal(t.sim.cmd("stats")["phones"]["decrypt_failures"], 0, "nothing failed")


@test
def edits():
    """an encrypted edit is told as an edit; one that is later than 20 minutes after the message does not count"""
    with World() as w:
        t = Talk(w)
        first = t.bob_says(text="helo")
        seen(t, first)
        e = about(t, "message.edited", t.bob_says(text="hello", edit=first, encrypted=True))
        part(e, {"message_id": first, "content": {"kind": "text", "text": "hello"}, "encrypted": True, "from_me": False},
             "the edit")
        equal(e["editor"]["push_name"], "Bob", "who")
        equal(e["object"]["protocol_message"]["edited_message"], {"conversation": "hello"}, "the opened message")
        t.sim.cmd("clock.advance", s=1100)
        about(t, "message.edited", t.bob_says(text="hello!", edit=first, encrypted=True))
        t.sim.cmd("clock.advance", s=200)
        late = t.bob_says(text="hello?", edit=first, encrypted=True)
        check("secret_encrypted_message" in seen(t, late)["object"], "told as it came")


@test
def names():
    """whichever of the two names of each person the other side took for the key"""
    with World() as w:
        t = Talk(w)
        first = t.bob_says(text="x")
        seen(t, first)
        sent = t.call("message.send", to=t.bob, text="y")
        t.got(1)
        for jids in ("lid", "pn", "mixed"):
            for target, mine in ((first, True), (sent["message_id"], False)):
                r = about(t, "message.reaction",
                          t.bob_says(text=jids, react=target, from_me=mine, encrypted=True, jids=jids))
                part(r, {"message_id": target, "text": jids, "encrypted": True}, "by %s" % jids)


@test
def polls():
    """votes in a poll of either side are told with the hashes of the options; the last one is taken back"""
    with World() as w:
        t = Talk(w)
        options = ["tea", "coffee", "w\u00e4ter"]
        his = t.bob_says(poll="drinks", options=options)
        part(seen(t, his)["content"], {"kind": "poll", "name": "drinks", "options": options}, "his poll")
        v = about(t, "message.poll_vote", t.bob_says(vote=his, from_me=True, options=["tea", "w\u00e4ter"]))
        part(v, {"message_id": his, "options_sha256": sha("tea", "w\u00e4ter"), "from_me": False}, "his vote")
        equal(v["voter"]["push_name"], "Bob", "who")
        poll = {"poll_creation_message": {"name": "when", "options": [{"option_name": "now"}, {"option_name": "later"}],
                                          "selectable_options_count": 0}}
        ours = t.call("message.send", to=t.bob, content={"kind": "raw", "object": poll})["message_id"]
        part(t.got(1), {"kind": "poll", "text": "when", "stanza": "poll"}, "our poll at bob's")
        v = about(t, "message.poll_vote", t.bob_says(vote=ours, options=["later"]))
        part(v, {"message_id": ours, "options_sha256": sha("later")}, "his vote in ours")
        again = about(t, "message.poll_vote", t.bob_says(vote=ours, options=[]))
        equal(again["options_sha256"], [], "taken back")
        check(again["voted_ms"] >= v["voted_ms"], "the newest counts", v, again)


@test
def events():
    """answers to an event, with what is said"""
    with World() as w:
        t = Talk(w)
        his = t.bob_says(event="party")
        equal(seen(t, his)["content"]["kind"], "event", "his event")
        event = {"event_message": {"name": "walk", "start_time": "1900000000"}}
        ours = t.call("message.send", to=t.bob, content={"kind": "raw", "object": event})["message_id"]
        t.got(1)
        for target, mine, answer in ((his, True, "going"), (ours, False, "not_going"), (ours, False, "maybe")):
            r = about(t, "message.event_response", t.bob_says(respond=target, from_me=mine, response=answer))
            part(r, {"message_id": target, "response": answer, "guests": 0, "from_me": False}, answer)


@test
def from_own_phone():
    """what the own phone adds is told as ours, to messages of both sides"""
    with World() as w:
        t = Talk(w)
        own = said_by(t, "alice", "bob", text="from the phone")
        equal(seen(t, own)["from_me"], True, "our message")
        e = about(t, "message.edited", said_by(t, "alice", "bob", text="from my phone", edit=own, encrypted=True))
        part(e, {"message_id": own, "from_me": True, "content": {"kind": "text", "text": "from my phone"}}, "our edit")
        his = t.bob_says(poll="drinks", options=["tea", "milk"])
        seen(t, his)
        wait_until(lambda: [m for m in t.sim.inbox("alice") if m["id"] == his], 20, "the poll at the own phone")
        v = about(t, "message.poll_vote", said_by(t, "alice", "bob", vote=his, options=["milk"]))
        part(v, {"message_id": his, "from_me": True, "options_sha256": sha("milk")}, "our vote")
        r = about(t, "message.reaction", t.bob_says(text="ok", react=own, encrypted=True))
        part(r, {"message_id": own, "target_from_me": True}, "his reaction to what our phone wrote")


@test
def kept():
    """secrets are still there after a restart, of messages that were sent and received; without one the message is told as
    it came"""
    with World() as w:
        w.sim.account("alice")
        w.sim.account("bob", push_name="Bob")
        early = w.sim.cmd("phone.send", account="bob", to="alice", text="before ward was linked")["ids"][0]
        t = Talk(w)
        first = t.bob_says(text="x")
        seen(t, first)
        sent = t.call("message.send", to=t.bob, text="y")
        t.got(1)
        t.ward.stop()
        t.ward.start()
        t.client = t.ward.client()
        t.client.call("events.subscribe", consumer="t2", window=1024, **{"from": "earliest"})
        for target, mine in ((first, True), (sent["message_id"], False)):
            about(t, "message.reaction", t.bob_says(text="z", react=target, from_me=mine, encrypted=True))
        unknown = t.bob_says(text="z", react=early, from_me=True, encrypted=True)
        part(seen(t, unknown)["content"], {"kind": "reaction", "encrypted": True, "message_id": early}, "unopened")


@test
def of_a_recovered_message():
    """the secret of a message that the service kept back and the own phone gave is kept as well"""
    with World() as w:
        t = Talk(w)
        t.sim.cmd("fault.arm", match=COMPANION, action="unavailable", count=1)
        first = t.bob_says(text="kept back")
        t.client.wait_type("message.received", recovers=first)
        r = about(t, "message.reaction", t.bob_says(text="x", react=first, from_me=True, encrypted=True))
        part(r, {"message_id": first, "text": "x", "encrypted": True}, "his reaction to it")


@test
def reporting_tokens():
    """texts carry a reporting token, what is about another message does not"""
    with World() as w:
        t = Talk(w)
        first = t.bob_says(text="x")
        seen(t, first)
        reported, all = Watch(t.sim, tag="message", child="reporting"), Watch(t.sim, tag="message")
        t.call("message.send", to=t.bob, text="y")
        t.call("message.send", to=t.bob, content={"kind": "raw", "object": {"contact_message": {"vcard": "B"}}})
        equal((reported.count(), all.count()), (2, 2), "a text and a contact")
        t.call("message.react", chat=t.bob, message_id=first, text="z")
        equal((reported.count(), all.count()), (2, 3), "no reaction")


if __name__ == "__main__":
    main()
