"""Trusted-contact tokens in direct chats: kept, sent, given, expired; and accounts that strangers cannot write to.

The scenarios of protocol page 11, section 8.1, privacy_tokens.rs, are named in the docstrings. Two of them need what is
not there yet (profile pictures; a salt that comes, or goes, by app state), and presence has a suite of its own."""

import time

from harness import World, check, equal, main, test, wait_until

WEEK = 604800


class Watch:
    """Counts stanzas of an account's first companion from now on."""

    def __init__(self, sim, account="alice", **match):
        self.sim = sim
        self.watch = sim.cmd("watch", match=dict(account=account, device=1, direction="in", **match))["watch"]

    def count(self):
        return self.sim.cmd("expect", watch=self.watch, count=1, deadline_ms=0)["count"]

    def wait(self, count=1):
        self.sim.cmd("expect", watch=self.watch, count=count, deadline_ms=20000)


class Talk:
    """alice, who has ward, and bob, who is restricted and has a phone."""

    def __init__(self, w, salt=True, **bob):
        self.sim = w.sim
        self.sim.account("alice", push_name="Alice", tells_salt=salt)
        self.sim.account("bob", push_name="Bob", **bob)
        self.ward = w.ward("alice")
        self.me = self.ward.link("alice")
        self.bob = "+" + self.sim.account("bob")["pn"]
        self.tc, self.cs = Watch(self.sim, tag="message", child="tctoken"), Watch(self.sim, tag="message", child="cstoken")
        self.issued = Watch(self.sim, tag="iq", xmlns="privacy", child="tokens")
        self.keys = 0
        self.connect()
        if salt:  # the history with the salt has come when this has
            wait_until(lambda: any(e.get("event", {}).get("body", {}).get("kind") == "peer.history_sync_notification"
                                   for e in self.client.events), 30, "the history")

    def connect(self):
        self.client = self.ward.client()
        self.client.call("events.subscribe", consumer="t", window=1024, **{"from": "earliest"})

    def restart(self):
        self.ward.stop()
        self.ward.start()
        self.client = self.ward.client()
        wait_until(lambda: self.client.call("account.state", account="alice")["state"] == "online", 30, "online again")

    def params(self, to=None):
        self.keys += 1
        return {"account": "alice", "to": to or self.bob, "text": "text %d" % self.keys,
                "idempotency_key": "k%d" % self.keys, "wait": "server"}

    def send(self, to=None):
        return self.client.call("message.send", **self.params(to))

    def refused(self, to=None):
        return self.client.error("message.send", **self.params(to))

    def carried(self):
        return self.tc.count(), self.cs.count()

    def bob_writes(self, text="hello"):
        self.sim.cmd("phone.send", account="bob", to="alice", text=text)
        return self.client.wait_event(lambda e: e.get("type") == "message.received"
                                      and e["body"]["message"]["content"].get("text") == text)


def tokens(ward, account="alice"):
    return ward.client().call("privacy.tokens_list", account=account)["parties"]


def one_token(ward, account="alice", **wanted):
    """The one row that an account has, when it is as wanted."""
    def look():
        rows = tokens(ward, account)
        return rows and len(rows) == 1 and all(rows[0].get(k) == v for k, v in wanted.items()) and rows[0]
    return wait_until(look, 20, lambda: "the token of %s: %r" % (account, tokens(ward, account)))


def code(error):
    return error["code"], error["data"]["reason"]


@test
def given_after_a_first_text():
    """tc_token_notification_stores_token_for_sender: after alice's first text bob holds a token of hers, and has given none"""
    with World() as w:
        ward = w.ward("alice", "bob")
        ward.link("alice")
        ward.link("bob")
        c = ward.client()
        c.call("events.subscribe", consumer="t", window=1024, **{"from": "earliest"})
        for n in range(3):
            c.call("message.send", account="alice", to="+" + w.sim.account("bob")["pn"], text="x", wait="delivered",
                   idempotency_key="k%d" % n)
        got = one_token(ward, "bob", has_token=True, expired=False)
        check(abs(got["token_ms"] - time.time() * 1000) < 60000, "its time", got)
        check("issued_ms" not in got, "bob gave none", got)
        equal(got["party"]["phone"], "+" + w.sim.account("alice")["pn"], "whose")
        mine = one_token(ward, "alice", has_token=False)
        equal(mine["issued_ms"], got["token_ms"], "alice knows that she gave it")
        equal(len(w.sim.cmd("account.tokens", account="alice")["given"]), 1, "once, though she wrote three texts")
        equal([e for e in c.events if e["event"]["body"].get("kind") == "privacy_token"], [], "it is nothing unknown")


@test
def issue_by_hand():
    """issue_tokens_api_delivers_notification_and_updates_index: an explicit issue reaches bob, also by wardctl"""
    with World() as w:
        ward = w.ward("alice", "bob")
        ward.link("alice")
        ward.link("bob")
        bob = "+" + w.sim.account("bob")["pn"]
        c = ward.client()
        got = c.call("privacy.tokens_issue", account="alice", parties=[bob])["tokens"]
        equal((len(got), got[0]["party"]["phone"]), (1, bob), "to whom")
        equal(one_token(ward, "bob", has_token=True)["token_ms"], got[0]["time_ms"], "bob has it, with its time")
        equal(one_token(ward, "alice", has_token=False)["issued_ms"], got[0]["time_ms"], "alice remembers")
        r = ward.ctl("-a", "alice", "--json", "privacy", "tokens_issue", bob)
        equal(r.returncode, 0, "wardctl: %r" % r.stderr)
        for parties, path in ((["nobody"], (-32602, "params")), (["u_" + "a" * 26], (-1, "not_found")),
                              (["+13135550002"], (-1, "unsupported"))):
            e = c.error("privacy.tokens_issue", account="alice", parties=parties)
            equal((code(e), e["data"].get("path")), (path, "parties"), "not to %s" % parties)


@test
def reply_to_restricted():
    """reply_to_restricted_contact_uses_received_tc_token, tctoken_only_reply_succeeds_when_cstoken_disabled"""
    with World() as w:
        t = Talk(w, restricted=True, takes="tctoken")
        t.bob_writes()
        one_token(t.ward, has_token=True)
        t.send()
        equal(t.carried(), (1, 0), "tctoken and no cstoken")
        t.sim.wait_inbox("bob", 1)
        issued = one_token(t.ward, has_token=True)
        wait_until(lambda: "issued_ms" in tokens(t.ward)[0], 20, "the time of our own")
        equal(issued["token_ms"], tokens(t.ward)[0]["token_ms"], "his token is not touched by that")


@test
def stranger_is_refused():
    """first_message_to_restricted_contact_receives_463_nack, only_nct_send_ab_without_salt_still_receives_463,
    send_and_syncd_ab_without_delivery_still_receives_463: no token and no salt"""
    with World() as w:
        t = Talk(w, salt=False, restricted=True)
        lid = Watch(t.sim, tag="message", to=t.sim.account("bob")["lid"])
        equal(code(t.refused()), (-12, "reachout_timelock"), "refused")
        equal((t.carried(), lid.count()), ((0, 0), 1), "to the LID, without a token")
        t.issued.wait()  # for next time: ours is given all the same
        equal(t.sim.inbox("bob"), [], "bob has nothing")
        equal(code(t.client.error("message.send", **dict(t.params(), idempotency_key="k1", text="text 1"))),
              (-12, "reachout_timelock"), "and it is not sent again")
        equal(lid.count(), 1, "one stanza")


@test
def first_contact_by_salt():
    """history_sync_nct_salt_enables_cstoken_first_contact, cstoken_only_first_contact_succeeds_when_tctoken_disabled,
    pn_target_first_contact_uses_cstoken_after_lid_resolution"""
    with World() as w:
        t = Talk(w, restricted=True, takes="cstoken")
        lid = Watch(t.sim, tag="message", to=t.sim.account("bob")["lid"])
        sent = t.send(to=t.bob[1:] + "@s.whatsapp.net")
        equal((t.carried(), lid.count()), ((0, 1), 1), "to the LID, with a cstoken alone")
        check(sent["to"].endswith("@lid"), "by LID", sent)
        equal([m["text"] for m in t.sim.wait_inbox("bob", 1)], ["text 1"], "arrived")


@test
def salt_survives_restart():
    """nct_salt_survives_reconnect_and_still_allows_first_contact: the next run has it from the store"""
    with World() as w:
        t = Talk(w, restricted=True, takes="cstoken")
        t.restart()
        t.send()
        equal(t.carried(), (0, 1), "with a cstoken")


@test
def all_devices_get_it():
    """tc_token_notification_reaches_all_connected_devices: two companions of bob, and each can answer"""
    with World() as w:
        w.sim.account("alice", tells_salt=False)
        first, second = w.ward("bob"), w.ward("bob", name="second")
        first.link("bob")
        second.link("bob")
        w.sim.cmd("phone.send", account="alice", to="bob", text="hello")
        a, b = one_token(first, "bob", has_token=True), one_token(second, "bob", has_token=True)
        equal(a["token_ms"], b["token_ms"], "the same")


@test
def token_survives_restart():
    """tc_token_survives_reconnect: same token and time after a restart, and an answer still arrives"""
    with World() as w:
        t = Talk(w, salt=False, restricted=True)
        t.bob_writes()
        before = one_token(t.ward, has_token=True)
        t.restart()
        equal(tokens(t.ward), [before], "after the restart")
        t.send()
        equal(t.carried(), (1, 0), "with it")
        t.sim.wait_inbox("bob", 1)


def give(sim, whose, to, t):
    """The phone of somebody gives a token of a certain time."""
    lid = sim.account(to)["lid"]
    sim.cmd("phone.send_raw", account=whose, node={
        "tag": "iq", "attrs": {"id": "give-%s-%d" % (whose, t), "to": "s.whatsapp.net", "type": "set", "xmlns": "privacy"},
        "content": [{"tag": "tokens", "content": [{"tag": "token", "attrs": {
            "jid": lid, "t": str(t), "type": "trusted_contact"}}]}]})


@test
def prune():
    """prune_expired_tc_tokens_removes_only_stale_entries: by hand, and after a login"""
    with World() as w:
        t = Talk(w, salt=False, restricted=True)
        now = int(time.time())
        t.sim.account("carol", push_name="Carol")
        give(t.sim, "bob", "alice", now - 5 * WEEK)
        give(t.sim, "carol", "alice", now)
        wait_until(lambda: len(tokens(t.ward)) == 2, 20, "both tokens")
        equal(sorted(r["expired"] for r in tokens(t.ward)), [False, True], "one is expired")
        equal(code(t.refused()), (-12, "reachout_timelock"), "it does not go with a text")
        equal(t.carried(), (0, 0), "neither token nor salt")
        t.issued.wait()
        wait_until(lambda: any("issued_ms" in r for r in tokens(t.ward)), 20, "what was given to bob is kept")
        equal(t.client.call("privacy.tokens_prune", account="alice"), {"count": 0}, "a row with a fresh time of ours stays")
        t.sim.account("dave")
        give(t.sim, "dave", "alice", now - 5 * WEEK)
        wait_until(lambda: len(tokens(t.ward)) == 3, 20, "a third")
        equal(t.client.call("privacy.tokens_prune", account="alice"), {"count": 1}, "one goes")
        t.sim.account("erin")
        give(t.sim, "erin", "alice", now - 5 * WEEK)
        wait_until(lambda: len(tokens(t.ward)) == 3, 20, "the next stale one")
        t.restart()
        wait_until(lambda: len(tokens(t.ward)) == 2, 20, "gone after the login")


@test
def newer_wins():
    """an older token never takes the place of a newer one; a newer one does, and is what goes out"""
    with World() as w:
        t = Talk(w, salt=False, restricted=True, takes="tctoken")
        now = int(time.time())
        give(t.sim, "bob", "alice", now - 60)
        got = one_token(t.ward, has_token=True)
        give(t.sim, "bob", "alice", now - WEEK)
        give(t.sim, "bob", "alice", now)
        one_token(t.ward, token_ms=now * 1000)
        check(got["token_ms"] == (now - 60) * 1000, "the first", got)
        t.send()
        equal(t.carried(), (1, 0), "accepted")


@test
def once_a_week():
    """ours is given again when a week has begun since the last time, by the clock of the service"""
    with World() as w:
        w.sim.cmd("clock.advance", s=-WEEK)
        t = Talk(w)
        t.send()
        t.issued.wait(1)
        wait_until(lambda: any("issued_ms" in r for r in tokens(t.ward)), 20, "written down")
        t.send()
        t.sim.cmd("clock.advance", s=WEEK)
        t.restart()  # the time of the service is told at login
        t.send()
        t.issued.wait(2)
        equal(t.issued.count(), 2, "twice in all")


if __name__ == "__main__":
    main()
