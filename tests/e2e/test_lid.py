"""LID and number: one person, one session, whatever the stanza says (page 11, 8.1 lid_sessions.rs and device_cache.rs,
and 8.4; page 04, 3)."""

from harness import World, check, equal, main, test, wait_until
from test_chain import follow, texts, wait_texts
from test_faults import linked_world, send_in
from test_faults_net import drop, wait_state


def sessions(c, party, account="alice"):
    return sorted((s["address"], s["device"]) for s in c.call("session.list", account=account, party=party)["sessions"])


def number(w, name="bob"):
    return "+" + w.sim.account(name)["pn"]


class Talk:
    """alice by ward, bob by his phone."""

    def __init__(self, w, **bob):
        if bob:
            w.sim.account("bob", **bob)
        self.w, self.n = w, 0
        self.ward, self.c = linked_world(w)

    def out(self, text):
        self.n += 1
        r = self.c.call("message.send", account="alice", to=number(self.w), text=text, idempotency_key="k%d" % self.n)
        wait_until(lambda: [m for m in self.w.sim.inbox("bob") if m["text"] == text], 30, "%s at bob's phone" % text)
        return r

    def both_ways(self, text):
        have = len(texts(self.c))
        self.out(text + " out")
        send_in(self.w, text + " in")
        wait_texts(self.c, have + 1)

    def again(self):
        mark = len(self.c.events)
        drop(self.w)
        wait_state(self.c, "online", mark)

    def clean(self):
        """Nobody failed to read anything."""
        bad = [e for e in self.c.events if e.get("event", {}).get("type") == "message.undecryptable"]
        equal(bad, [], "undecryptable")
        s = self.w.sim.cmd("stats")["phones"]
        equal((s["decrypt_failures"], s["retries_asked"]), (0, 0), "failures of the phones")


@test
def sessions_stored_under_lid_not_pn():
    """lid_sessions.rs, 1, 2 and 4: under the LID alone, after a round trip, many sends and a reconnect"""
    with World() as w:
        t = Talk(w)
        t.both_ways("one")
        equal(sessions(t.c, number(w)), [("lid", 0)], "after a round trip")
        for i in range(5):
            t.out("more %d" % i)
        equal(sessions(t.c, number(w)), [("lid", 0)], "after more")
        t.again()
        equal(sessions(t.c, number(w)), [("lid", 0)], "after a reconnect")
        t.both_ways("two")
        t.both_ways("three")
        equal(sessions(t.c, number(w)), [("lid", 0)], "at the end")
        t.clean()


@test
def own_device_0_has_lid_session_after_login():
    """lid_sessions.rs, 5: the session with the own phone stands under the LID, not under the number"""
    with World() as w:
        t = Talk(w)
        t.out("so that the phone gets its copy")
        wait_until(lambda: sessions(t.c, number(w, "alice")), 30, "a session with the own phone")
        equal(sessions(t.c, number(w, "alice")), [("lid", 0)], "own phone")
        t.clean()


@test
def session_moves_when_the_lid_appears():
    """lid_sessions.rs, 3, 6 and 7: bob's LID appears in mid-conversation: his session goes over, nothing is unreadable"""
    with World() as w:
        t = Talk(w, lid_hidden=True)
        t.both_ways("by number")
        equal(sessions(t.c, number(w)), [("pn", 0)], "there is no LID")
        w.sim.cmd("account.set", account="bob", lid_hidden=False)
        mark = len(t.c.events)
        send_in(w, "from the LID")
        wait_texts(t.c, 2)
        e = t.c.wait_type("contact.merged", start=mark)
        a = w.sim.account("bob")
        equal((e["body"]["pn"], e["body"]["lid"]), (a["jid"], a["lid"]), "who it is")
        equal(sessions(t.c, number(w)), [("lid", 0)], "moved")
        t.both_ways("after")
        equal(w.sim.inbox("bob")[-1]["type"], "msg", "the session is the one of before")
        check(t.c.call("server.metrics")["counters"]["lid_moves"] >= 1, "counted")
        chats = {e["event"]["body"]["message"]["chat"]["id"] for e in t.c.events
                 if e.get("event", {}).get("type") == "message.received"}
        equal(len(chats), 1, "one chat")
        t.again()
        t.both_ways("and on")
        t.clean()


@test
def session_moves_by_a_send():
    """the LID appears while nobody writes: the next send learns it, moves the session, and a crash loses nothing"""
    with World() as w:
        t = Talk(w, lid_hidden=True)
        t.both_ways("by number")
        w.sim.cmd("account.set", account="bob", lid_hidden=False)
        t.out("the device list tells the LID")
        equal(sessions(t.c, number(w)), [("pn", 0)], "known by number, whose list is cached")
        send_in(w, "now by LID")
        wait_texts(t.c, 2)
        for role in ("keyd", "apid", "stored"):
            t.ward.kill(role)
            t.ward.wait_end()
            t.ward.start()
            t.c = t.ward.client()
            wait_until(lambda: t.c.call("account.state", account="alice")["state"] == "online", 30, "online")
            t.out("after the crash of " + role)
            equal(w.sim.inbox("bob")[-1]["type"], "msg", "the session before")
        equal(sessions(t.c, number(w)), [("lid", 0)], "moved")
        t.clean()


@test
def lid_appears_between_many():
    """ten people get their LIDs one by one between texts both ways: each is one person, nothing is unreadable"""
    with World() as w:
        t = Talk(w)
        names = ["p%d" % i for i in range(10)]
        for n in names:
            w.sim.account(n, lid_hidden=True)
            w.sim.cmd("phone.send", account=n, to="alice", text="first of " + n)
        wait_texts(t.c, 10)
        for n in names:
            t.c.call("message.send", account="alice", to=number(w, n), text="to " + n, idempotency_key="a" + n)
        for n in names:
            w.sim.cmd("account.set", account=n, lid_hidden=False)
            w.sim.cmd("phone.send", account=n, to="alice", text="second of " + n)
            t.c.call("message.send", account="alice", to=number(w, n), text="again to " + n, idempotency_key="b" + n)
        wait_texts(t.c, 20)
        for n in names:
            equal([m["text"] for m in w.sim.wait_inbox(n, 2)], ["to " + n, "again to " + n], "at " + n)
            equal(sessions(t.c, number(w, n)), [("lid", 0)], "session with " + n)
        t.clean()


@test
def both_addressing_modes():
    """9.2: an account that is not migrated writes to numbers, a migrated one to LIDs; never mixed; sessions are by LID"""
    for migrated in (False, True):
        with World() as w:
            w.sim.account("alice", lid_migrated=migrated, strict=True)
            t = Talk(w)
            r = t.out("hello")
            equal(r["to"].split("@")[1], "lid" if migrated else "s.whatsapp.net", "the wire")
            w.sim.cmd("account.set", account="bob", lid_migrated=not migrated)
            t.both_ways("mixed")
            equal(sessions(t.c, number(w)), [("lid", 0)], "sessions")
            t.clean()


@test
def device_list_changes_in_mid_send():
    """device_cache.rs and 8.4: bob links and unlinks a device while alice writes: nothing is lost, nobody is left out"""
    with World() as w:
        w.sim.account("bob")
        ward = w.ward("alice", "bob")
        ward.link("alice")
        c = follow(ward, "alice")
        to = number(w)

        def say(i):
            c.call("message.send", account="alice", to=to, text="text %d" % i, idempotency_key="t%d" % i)

        say(0)
        drop(w)  # the list is known after a reconnect as well
        say(1)
        w.sim.cmd("fault.arm", match={"account": "alice", "direction": "in", "tag": "message"}, action="delay", ms=700,
                  count=1)
        n = c.send("message.send", account="alice", to=to, text="text 2", idempotency_key="t2")
        ward.link("bob")
        check("result" in c.answer(n), "the one that was under way")
        bob = follow(ward, "bob", "bobs")
        say(3)
        wait_until(lambda: "text 3" in texts(bob), 30, "at bob's new device")
        equal(sessions(c, to), [("lid", 0), ("lid", 1)], "devices")
        w.sim.cmd("phone.unlink", account="bob", device=1)
        for i in range(4, 7):
            say(i)
        equal([m["text"] for m in w.sim.wait_inbox("bob", 7)], ["text %d" % i for i in range(7)], "at bob's phone")
        s = w.sim.cmd("stats")["phones"]
        equal(s["decrypt_failures"], 0, "failures")


@test
def mapping_of_the_phone():
    """14.5: the phone's list is kept whole, the latest LID counts, and with the service's switch the account is migrated"""
    for switch in ("0", "1"):
        with World() as w:
            w.sim.account("alice", lid_migrated=False)
            w.sim.cmd("prop.set", code="9435", value="0")
            t = Talk(w, lid_hidden=True)
            t.both_ways("by number")
            for i in range(20):
                w.sim.account("contact%d" % i)
            w.sim.cmd("account.set", account="bob", lid_hidden=False)
            if switch == "1":  # the list comes with the switch on; by the switch alone: below
                w.sim.cmd("prop.set", code="9435", value="1")
                t.again()
            mark = len(t.c.events)
            w.sim.cmd("phone.tell_lids", account="alice", device=1, assigned=199999999999999)
            t.c.wait_event(lambda e: e.get("type") == "server.notice"
                           and e["body"]["kind"] == "peer.lid_migration_mapping_sync", start=mark)
            r = t.out("after it")
            equal(r["to"], w.sim.account("bob")["lid" if switch == "1" else "jid"], "the wire, switch " + switch)
            equal(sessions(t.c, number(w)), [("lid", 0)], "sessions")
            p = t.c.call("session.list", account="alice", party=number(w, "contact7"))["party"]
            equal(p["lid"], w.sim.account("contact7")["lid"], "one whom we never wrote to")
            t.clean()


@test
def update_named_by_hash():
    """13.3: a contact whose list has changed is named by three bytes: whoever it is, his list is asked for again"""
    with World() as w:
        t = Talk(w)
        t.both_ways("hello")
        before = t.c.call("server.metrics")["counters"]["device_refreshes"]
        asked = w.sim.cmd("watch", match={"account": "alice", "direction": "in", "xmlns": "usync"})["watch"]
        w.sim.cmd("devices.update_hash", account="alice", device=1, of="bob")
        w.sim.account("stranger")
        w.sim.cmd("devices.update_hash", account="alice", device=1, of="stranger")
        wait_until(lambda: t.c.call("server.metrics")["counters"]["device_refreshes"] > before, 30, "asked for")
        w.sim.cmd("expect", watch=asked, count=1, deadline_ms=10000)
        t.both_ways("and on")
        equal(w.sim.cmd("expect", watch=asked, deadline_ms=0)["count"], 1, "once, and for nobody else")
        t.clean()


@test
def unknown_device_and_removed_device():
    """page 12, 10: a device that we were not told of writes: its list is asked for; one that is removed loses its session"""
    with World() as w:
        w.sim.account("bob")
        ward = w.ward("alice", "bob")
        ward.link("alice")
        c, to = follow(ward, "alice"), number(w)
        c.call("message.send", account="alice", to=to, text="one", idempotency_key="1")
        w.sim.cmd("fault.arm", match={"account": "alice", "device": 1, "direction": "out", "type": "devices"},
                  action="drop", count=1)
        ward.link("bob")
        bob = follow(ward, "bob", "bobs")
        bob.call("message.send", account="bob", to=number(w, "alice"), text="from a new device", idempotency_key="2")
        wait_until(lambda: c.call("server.metrics")["counters"]["device_refreshes"] > 0, 30, "asked for")
        c.call("message.send", account="alice", to=to, text="two", idempotency_key="3")
        wait_until(lambda: "two" in texts(bob), 30, "at the new device")
        equal(sessions(c, to), [("lid", 0), ("lid", 1)], "devices")
        w.sim.cmd("phone.unlink", account="bob", device=1)
        wait_until(lambda: sessions(c, to) == [("lid", 0)], 30, "the session with it is gone")
        c.call("message.send", account="alice", to=to, text="three", idempotency_key="4")
        equal([m["text"] for m in w.sim.wait_inbox("bob", 3)][-1], "three", "at the phone")


if __name__ == "__main__":
    main()
