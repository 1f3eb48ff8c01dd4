"""Two companions of one account, and a third one (protocol page 11, 8.4): each knows what the other does, once."""

from harness import World, check, equal, main, test, wait_until


class Side:
    def __init__(self, w, name):
        self.ward = w.ward("alice", name=name)
        self.ward.link("alice")
        self.c = self.ward.client()
        self.c.call("events.subscribe", consumer="t", window=1024, **{"from": "earliest"})
        self.n, self.name = 0, name

    def call(self, method, **kw):
        self.n += 1
        return self.c.call(method, account="alice", idempotency_key="%s%d" % (self.name, self.n), wait="server", **kw)["message_id"]

    def told(self, kind):
        return [e["event"]["body"] for e in list(self.c.events) if e.get("event", {}).get("type") == kind]

    def texts(self, kind):
        return [b["message"]["content"].get("text") for b in self.told(kind)]


@test
def copies():
    """two of alice's, and bob's: texts, edits, reactions, deletions and readings of one are told at the other, once"""
    with World() as w:
        bob = "+" + w.sim.account("bob")["pn"]
        one, two = Side(w, "one"), Side(w, "two")
        (first,) = w.sim.cmd("phone.send", account="bob", to="alice", text="hello")["ids"]
        for s in (one, two):
            s.c.wait_type("message.received")
        sent = one.call("message.send", to=bob, text="from one")
        e = two.c.wait_type("message.sent")
        m = e["body"]["message"]
        equal((m["message_id"], m["from_me"], m["content"]["text"]), (sent, True, "from one"), "at the other")
        other = two.call("message.send", to=bob, text="from two")
        one.c.wait_event(lambda e: e.get("type") == "message.sent" and e["body"]["message"]["message_id"] == other)
        two.call("message.edit", chat=bob, message_id=other, text="from two, better")
        e = one.c.wait_type("message.edited", message_id=other)
        equal((e["body"]["from_me"], e["body"]["content"]["text"]), (True, "from two, better"), "the edit")
        one.call("message.react", chat=bob, message_id=first, text="\u2764")
        e = two.c.wait_type("message.reaction", message_id=first, text="\u2764")
        equal((e["body"]["from_me"], e["body"]["target_from_me"]), (True, False), "the reaction")
        one.call("message.delete", chat=bob, message_id=sent)
        equal(two.c.wait_type("message.deleted", message_id=sent)["body"]["from_me"], True, "the deletion")
        one.c.call("chat.mark_read", account="alice", chat=bob, message_ids=[first], receipts="never")
        e = two.c.wait_type("message.read")
        equal((e["body"]["message_ids"], e["body"]["kind"]), ([first], "read"), "read elsewhere")
        w.sim.cmd("phone.read", account="bob", ids=[other])
        two.c.wait_type("message.status", message_id=other, status="read")
        box = w.sim.wait_inbox("bob", 5)
        equal([m["kind"] for m in box], ["text", "text", "edit", "reaction", "revoke"], "at bob's phone")
        wait_until(lambda: len([m for m in w.sim.inbox("alice") if m["device_sent"]]) >= 5, 20, "copies at the own phone")
        for s in (one, two):
            equal(s.texts("message.received"), ["hello"], "received at " + s.name)
            equal(sorted(s.texts("message.sent")), ["from one", "from two"], "sent at " + s.name)
            equal(s.told("message.undecryptable"), [], "unreadable at " + s.name)
        equal(w.sim.cmd("stats")["phones"]["decrypt_failures"], 0, "failures at the phones")


@test
def one_goes():
    """one is away and gets what it missed, in order; it is removed, and the other one goes on without it"""
    with World() as w:
        bob = "+" + w.sim.account("bob")["pn"]
        one, two = Side(w, "one"), Side(w, "two")
        one.call("message.send", to=bob, text="0")
        two.c.wait_type("message.sent")
        two.c.call("account.pause", account="alice")
        for i in range(1, 4):
            one.call("message.send", to=bob, text="%d" % i)
            w.sim.cmd("phone.send", account="bob", to="alice", text="b%d" % i)
        two.c.call("account.resume", account="alice")
        wait_until(lambda: len(two.told("message.sent")) == 4 and len(two.told("message.received")) == 3, 20, "what it missed")
        equal((two.texts("message.sent"), two.texts("message.received")), (["0", "1", "2", "3"], ["b1", "b2", "b3"]), "in order")
        gone = next(d["device"] for d in w.sim.cmd("device.list", account="alice")["devices"]
                    if d["jid"] == two.c.call("account.get", account="alice")["jid"])
        w.sim.cmd("phone.unlink", account="alice", device=gone)
        two.c.wait_type("account.unlinked", by="phone")
        one.call("message.send", to=bob, text="alone")
        equal([m["text"] for m in w.sim.wait_inbox("bob", 5)], ["0", "1", "2", "3", "alone"], "at bob's phone")
        equal(one.c.call("account.state", account="alice")["state"], "online", "the other one")
        check("alone" not in two.texts("message.sent"), "the one that is gone hears nothing")


if __name__ == "__main__":
    main()
