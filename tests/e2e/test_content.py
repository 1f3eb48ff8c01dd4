"""What people say to each other besides plain texts: replies, edits, deletions, reactions, any message at all."""

import json

from harness import World, check, equal, main, test, wait_until


class Talk:
    """alice, who has ward, and bob, who has a phone."""

    def __init__(self, w):
        self.ward = w.ward("alice")
        self.ward.link("alice")
        self.sim = w.sim
        self.bob = "+" + w.sim.account("bob", push_name="Bob")["pn"]
        self.client = self.ward.client()
        self.client.call("events.subscribe", consumer="t", window=1024, **{"from": "earliest"})
        self.keys = 0

    def call(self, method, **params):
        self.keys += 1
        return self.client.call(method, account="alice", idempotency_key="k%d" % self.keys, wait="server", **params)

    def refused(self, method, **params):
        self.keys += 1
        e = self.client.error(method, account="alice", idempotency_key="k%d" % self.keys, wait="server", **params)
        return e["code"], e["data"]["reason"], e["data"].get("path")

    def bob_says(self, **said):
        return self.sim.cmd("phone.send", account="bob", to="alice", **said)["ids"][0]

    def got(self, n):
        """The n-th message of bob's phone."""
        return self.sim.wait_inbox("bob", n)[n - 1]


def part(whole, wanted, text):
    equal({k: whole.get(k) for k in wanted}, wanted, text)


@test
def replies_and_mentions():
    """a reply with a mention comes in with what it quotes; one goes out as the other side understands it"""
    with World() as w:
        t = Talk(w)
        first = t.bob_says(text="shall we?")
        t.client.wait_type("message.received")
        sent = t.call("message.send", to=t.bob, text="yes @%s" % t.bob[1:], reply_to=first, reply_text="shall we?",
                      mentions=[t.bob], expires_in_s=86400)
        m = t.got(1)
        part(m, {"id": sent["message_id"], "kind": "text", "text": "yes @%s" % t.bob[1:], "quoted": first,
                 "quoted_text": "shall we?", "expires_in_s": 86400, "stanza": "text"}, "the reply at bob's")
        equal(m["quoted_sender"], m["mentions"][0], "he is quoted and mentioned by one address")
        check("@" in m["quoted_sender"] and ":" not in m["quoted_sender"], "a bare JID", m["quoted_sender"])
        answer = t.bob_says(text="well", reply_to=sent["message_id"], reply_text="yes", mention=m["quoted_sender"])
        e = t.client.wait_event(lambda e: e.get("type") == "message.received" and
                                e["body"]["message"]["message_id"] == answer)
        msg = e["body"]["message"]
        part(msg["quoted"], {"message_id": sent["message_id"], "content": {"kind": "text", "text": "yes"}}, "quoted")
        equal(msg["mentions"][0]["id"], msg["sender"]["id"], "the mention is he himself")
        equal(msg["object"]["extended_text_message"]["text"], "well", "the complete message")
        check("object_left_out" not in msg and msg["raw_b64"], "nothing is missing")


@test
def edits():
    """an edit of the other side, and one of ours, change the message that they name, and are no new message"""
    with World() as w:
        t = Talk(w)
        first = t.bob_says(text="helo")
        t.bob_says(text="hello", edit=first)
        e = t.client.wait_type("message.edited", message_id=first)
        part(e["body"], {"from_me": False, "content": {"kind": "text", "text": "hello"}}, "bob's edit")
        equal(e["body"]["editor"]["push_name"], "Bob", "who")
        sent = t.call("message.send", to=t.bob, text="hi bop")
        edit = t.call("message.edit", chat=e["body"]["chat"], message_id=sent["message_id"], text="hi bob")
        check(edit["message_id"] != sent["message_id"], "the edit has an id of its own")
        part(t.got(2), {"kind": "edit", "id": edit["message_id"], "target": sent["message_id"], "text": "hi bob",
                        "target_from_me": True, "edit": "1", "decrypt_fail": "hide", "stanza": "text"}, "at bob's")
        own = t.client.wait_type("message.edited", message_id=sent["message_id"])
        part(own["body"], {"from_me": True, "by_message_id": edit["message_id"], "client_key": "k2",
                           "content": {"kind": "text", "text": "hi bob"}}, "our own edit")
        wait_until(lambda: [m for m in t.sim.inbox("alice") if m["kind"] == "edit" and m["device_sent"]], 30,
                   "the own phone has the edit")
        received = [e for e in t.client.events if e.get("event", {}).get("type") == "message.received"]
        equal(len(received), 1, "messages received")


@test
def deletions():
    """a message that is taken back is told as that, both ways"""
    with World() as w:
        t = Talk(w)
        first = t.bob_says(text="oops")
        t.bob_says(revoke=first)
        e = t.client.wait_type("message.deleted", message_id=first)
        part(e["body"], {"from_me": False, "by_admin": False}, "bob's deletion")
        sent = t.call("message.send", to=t.bob, text="oops too")
        gone = t.call("message.delete", chat=t.bob, message_id=sent["message_id"])
        m = t.got(2)
        part(m, {"kind": "revoke", "id": gone["message_id"], "target": sent["message_id"], "target_from_me": True,
                 "edit": "7"}, "at bob's")
        check("decrypt_fail" not in m, "a revoke that hides would be dropped", m)
        t.client.wait_type("message.deleted", message_id=sent["message_id"], from_me=True)


@test
def reactions():
    """reactions come and go, on messages of both sides"""
    with World() as w:
        t = Talk(w)
        first = t.bob_says(text="good news")
        sent = t.call("message.send", to=t.bob, text="indeed")
        t.bob_says(text="\U0001f44d", react=sent["message_id"])
        e = t.client.wait_type("message.reaction", message_id=sent["message_id"])
        part(e["body"], {"text": "\U0001f44d", "target_from_me": True, "from_me": False, "encrypted": False}, "bob's")
        t.bob_says(text="", react=sent["message_id"])
        t.client.wait_type("message.reaction", message_id=sent["message_id"], text="")
        t.call("message.react", chat=t.bob, message_id=first, text="\u2764")
        part(t.got(2), {"kind": "reaction", "target": first, "target_from_me": False, "text": "\u2764",
                        "stanza": "reaction", "decrypt_fail": "hide"}, "ours at bob's")
        t.call("message.react", chat=t.bob, message_id=first, text="")
        part(t.got(3), {"kind": "reaction", "target": first, "text": "", "edit": "7"}, "ours is taken back")
        r = t.ward.ctl("-a", "alice", "--json", "message", "react", t.bob, "--message-id", sent["message_id"],
                       "--from-me", "ok")
        equal(r.returncode, 0, "wardctl message react: %r" % r.stderr)
        part(t.got(4), {"target": sent["message_id"], "target_from_me": True, "text": "ok"}, "by hand, on an own one")
        equal(json.loads(r.stdout)["status"], "server", "its status")


@test
def anything_else():
    """a message object goes out as it is and would be shown as; what is wrong with one is said by its path"""
    with World() as w:
        t = Talk(w)
        place = {"location_message": {"degrees_latitude": 48.5, "degrees_longitude": -2.25, "name": "here"}}
        t.call("message.send", to=t.bob, content={"kind": "raw", "object": place})
        part(t.got(1), {"kind": "location", "text": "here", "stanza": "media", "mediatype": "location"}, "at bob's")
        e = t.client.wait_event(lambda e: e.get("type") == "message.sent")
        sent = e["body"]["message"]["object"]
        check(len(sent.pop("message_context_info")["message_secret_b64"]) == 44, "a secret for what is added to it")
        equal(sent, place, "the object comes back")
        part(e["body"]["message"]["content"], {"kind": "location", "latitude": 48.5, "longitude": -2.25}, "content")
        for object, path in (({"location_message": {"degrees_latitude": "north"}},
                              "content.object.location_message.degrees_latitude"),
                             ({"location_mesage": {}}, "content.object.location_mesage"),
                             ({}, "content.object")):
            equal(t.refused("message.send", to=t.bob, content={"kind": "raw", "object": object}),
                  (-32602, "params", path), "a wrong object")
        for object in ({"device_sent_message": {}}, {"protocol_message": {"type": "APP_STATE_SYNC_KEY_SHARE"}},
                       {"ephemeral_message": {"message": {"protocol_message": {"type": "HISTORY_SYNC_NOTIFICATION"}}}}):
            equal(t.refused("message.send", to=t.bob, content={"kind": "raw", "object": object}),
                  (-1, "not_allowed", "content.object"), "what only devices say")
        equal(t.refused("message.send", to=t.bob), (-32602, "params", "text"), "nothing to send")
        equal(len(t.sim.inbox("bob")), 1, "nothing of that went out")


@test
def previews():
    """a preview that the client gives goes out with the text, and comes in as a link"""
    with World() as w:
        t = Talk(w)
        t.call("message.send", to=t.bob, text="see https://example.org/a now", forwarded_score=2,
               preview={"url": "https://example.org/a", "title": "A", "description": "of a", "thumbnail_b64": "/9j/"})
        part(t.got(1), {"kind": "text", "url": "https://example.org/a", "title": "A", "stanza": "media",
                        "mediatype": "url", "forwarded_score": 2}, "at bob's")
        e = t.client.wait_event(lambda e: e.get("type") == "message.sent")
        equal(e["body"]["message"]["content"], {"kind": "link", "text": "see https://example.org/a now",
              "url": "https://example.org/a", "title": "A", "description": "of a"}, "content")
        equal(e["body"]["message"]["forwarded_score"], 2, "forwarded")
        equal(t.refused("message.send", to=t.bob, text="no link", preview={"url": "https://example.org"}),
              (-32602, "params", "preview.url"), "a link that the text does not have")


@test
def same_key():
    """an edit or a reaction under a used key is not done twice, and a key of something else is refused"""
    with World() as w:
        t = Talk(w)
        first = t.bob_says(text="x")
        one = t.call("message.react", chat=t.bob, message_id=first, text="y")
        t.keys -= 1
        again = t.call("message.react", chat=t.bob, message_id=first, text="y")
        equal((again["message_id"], again["duplicate"]), (one["message_id"], True), "the same again")
        t.keys -= 1
        equal(t.refused("message.edit", chat=t.bob, message_id=first, text="y")[:2], (-9, "key_reused"), "another act")
        equal(len(t.sim.inbox("bob")), 1, "one reaction")


if __name__ == "__main__":
    main()
