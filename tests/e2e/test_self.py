"""Messages to oneself: the chat with the own number, which the own phone shows too."""

from harness import World, check, equal, main, test, wait_until


@test
def to_oneself():
    """a text, its edit, a reaction and its end, an answer and a deletion: each at the own phone, once, and at the service"""
    with World() as w:
        ward = w.ward("alice")
        ward.link("alice")
        me = "+" + w.sim.account("alice")["pn"]
        c = ward.client()
        c.call("events.subscribe", consumer="t", window=64, **{"from": "latest"})
        call = lambda key, method, **kw: c.call(method, account="alice", idempotency_key=key, wait="server", **kw)["message_id"]
        text = call("a", "message.send", to=me, text="note")
        edit = call("b", "message.edit", chat=me, message_id=text, text="a better note")
        react = call("c", "message.react", chat=me, message_id=text, text="\U0001f44d", from_me=True)
        undo = call("d", "message.react", chat=me, message_id=text, text="", from_me=True)
        answer = call("e", "message.send", to=me, text="indeed", reply_to=text, reply_text="a better note")
        gone = call("f", "message.delete", chat=me, message_id=text)
        ids = [text, edit, react, undo, answer, gone]
        wait_until(lambda: len(w.sim.inbox("alice")) >= len(ids), 30, lambda: repr(w.sim.inbox("alice")))
        box = w.sim.inbox("alice")
        equal([m["id"] for m in box], ids, "ids at the own phone")
        equal([m["kind"] for m in box], ["text", "edit", "reaction", "reaction", "text", "revoke"], "kinds at the own phone")
        equal([m.get("target") for m in box], [None, text, text, text, None, text], "what they are about")
        equal(box[4]["quoted"], text, "what the answer quotes")
        sent = [e["event"]["body"]["message"]["message_id"] for e in c.events if e.get("event", {}).get("type") == "message.sent"]
        equal(sent, [text, answer], "told as sent, once")
        check(not [e for e in c.events if e.get("event", {}).get("type") == "message.received"], "told as received")


@test
def other_kinds():
    """forwarded, a poll, a contact card: the content that was given is told, and is at the own phone (page 11, 8.3)"""
    with World() as w:
        ward = w.ward("alice")
        ward.link("alice")
        me = "+" + w.sim.account("alice")["pn"]
        c = ward.client()
        c.call("events.subscribe", consumer="t", window=64, **{"from": "latest"})
        raw = lambda **object: {"content": {"kind": "raw", "object": object}}
        rows = [({"text": "as said", "forwarded_score": 3}, "text", {"text": "as said"}),
                (raw(poll_creation_message={"name": "when", "options": [{"option_name": "now"}, {"option_name": "later"}]}),
                 "poll", {"kind": "poll", "name": "when", "options": ["now", "later"]}),
                (raw(contact_message={"display_name": "Bob", "vcard": "BEGIN:VCARD\nFN:Bob\nEND:VCARD"}),
                 "other", {"kind": "contact", "name": "Bob"})]
        for i, (params, kind, content) in enumerate(rows):
            sent = c.call("message.send", account="alice", to=me, idempotency_key="k%d" % i, wait="server", **params)["message_id"]
            m = c.wait_event(lambda e: e.get("type") == "message.sent" and e["body"]["message"]["message_id"] == sent)["body"]["message"]
            equal({k: m["content"].get(k) for k in content}, content, "told")
            equal(m.get("forwarded_score"), params.get("forwarded_score"), "how often it was forwarded")
            got = w.sim.wait_inbox("alice", i + 1)[i]
            equal((got["id"], got["kind"], got.get("forwarded_score")), (sent, kind, params.get("forwarded_score")), "at the own phone")


@test
def from_the_own_phone():
    """what the phone writes to itself is told as sent by another own device"""
    with World() as w:
        ward = w.ward("alice")
        ward.link("alice")
        c = ward.client()
        c.call("events.subscribe", consumer="t", window=64, **{"from": "latest"})
        (i,) = w.sim.cmd("phone.send", account="alice", to="alice", text="buy milk")["ids"]
        e = c.wait_event(lambda e: e.get("type") in ("message.sent", "message.received"))
        m = e["body"]["message"]
        equal((e["type"], m["message_id"], m["from_me"], m["content"].get("text")), ("message.sent", i, True, "buy milk"), "told as")
        equal(m["chat"]["id"][2:], m["sender"]["id"][2:], "the chat is oneself")


if __name__ == "__main__":
    main()
