"""Linking when the phone or the service gets it wrong: never linked by a forgery, told by name, and the next try links."""

from harness import World, check, equal, main, test
from test_chain import wait_texts
from test_faults import send_in
from test_faults_net import drop, linked, wait_state


def is_qr(e):
    return e.get("type") == "account.link" and e["body"]["step"] == "qr"


def try_link(w, c):
    """A link attempt up to the scan; the index of the first event after it."""
    mark = len(c.events)
    c.call("account.link", account="alice", method="qr")
    w.sim.scan("alice", c.wait_event(is_qr, start=mark)["body"]["text"])
    return mark


def follow_all(ward):
    c = ward.client()
    c.call("events.subscribe", filter={"accounts": ["alice"]})
    return c


def forged(command, what, reasons, **params):
    with World() as w:
        w.sim.account("alice")
        w.sim.account("bob")
        ward = w.ward("alice")
        c = follow_all(ward)
        w.sim.cmd(command, what=what, **params)
        mark = try_link(w, c)
        e = c.wait_type("account.link_failed", start=mark)
        check(e["body"]["reason"] in reasons, "reason for %s %s" % (command, what), e["body"])
        equal([x for x in c.events if x.get("event", {}).get("type") == "account.linked"], [], "not linked")
        equal(c.call("account.state", account="alice")["state"], "unlinked", "state")
        w.sim.cmd(command, what="none", **params)
        mark = try_link(w, c)
        c.wait_type("account.linked", start=mark)
        wait_state(c, "online", mark)
        send_in(w, "hello")
        wait_texts(c, 1)


@test
def forged_by_the_service():
    """pair-success with a wrong HMAC or garbage for an identity"""
    forged("pairing.forge", "hmac", ("hmac_mismatch",))
    forged("pairing.forge", "garbage", ("malformed", "adv_malformed", "bad_identity"))


@test
def forged_by_the_phone():
    """a wrong account signature, HMAC or key index of the phone"""
    forged("phone.forge", "signature", ("signature_mismatch",), account="alice")
    forged("phone.forge", "hmac", ("hmac_mismatch",), account="alice")
    forged("phone.forge", "key_index", ("adv_malformed",), account="alice")


@test
def by_code():
    """a pair code: typed wrong twice, a forged HMAC, signature or key index ends it by name, and the next code links"""
    with World() as w:
        pn = "+" + w.sim.account("alice")["pn"]
        w.sim.account("bob")
        ward = w.ward("alice")
        c = follow_all(ward)

        def begin():
            mark = len(c.events)
            c.call("account.link", account="alice", phone=pn)
            return mark, c.wait_event(lambda e: e.get("type") == "account.link" and e["body"]["step"] == "code", start=mark)["body"]["text"]
        for what, reason in (("signature", "signature_mismatch"), ("hmac", "hmac_mismatch"), ("key_index", "adv_malformed")):
            mark, code = begin()
            w.sim.cmd("phone.forge", account="alice", what=what)
            w.sim.cmd("phone.enter_code", account="alice", code=code)
            equal(c.wait_type("account.link_failed", start=mark)["body"]["reason"], reason, what)
            equal([d["device"] for d in w.sim.account("alice")["devices"]], [0], "devices after " + what)
        mark, code = begin()
        for wrong in ("11111111", "ZZZZZZZZ"):
            finish = w.sim.cmd("watch", match={"child": "link_code_pairing_wrapped_key_bundle", "direction": "in"})["watch"]
            w.sim.cmd("phone.enter_code", account="alice", code=wrong)
            w.sim.cmd("expect", watch=finish, deadline_ms=30000)
        w.sim.cmd("phone.enter_code", account="alice", code=code)
        c.wait_type("account.linked", start=mark)
        wait_state(c, "online", mark)
        send_in(w, "hello")
        wait_texts(c, 1)


@test
def success_twice():
    """a second pair-success, and one without a LID: linked once, and it works"""
    for what in ("twice", "no_lid"):
        with World() as w:
            w.sim.account("alice")
            w.sim.account("bob")
            ward = w.ward("alice")
            c = follow_all(ward)
            w.sim.cmd("pairing.forge", what=what)
            mark = try_link(w, c)
            c.wait_type("account.linked", start=mark)
            wait_state(c, "online", mark)
            send_in(w, "hello")
            wait_texts(c, 1)
            equal(len([x for x in c.events if x.get("event", {}).get("type") == "account.linked"]), 1, "once: " + what)


@test
def handshakes_that_end():
    """a service that is silent in the handshake, or closes in it: named within the time limit, and tried again"""
    with World() as w:
        ward, c = linked(w, extra={"network": {"connect_timeout": "1s"}})
        for what, reason in (("silent", r"alice.*closed: (timeout|connect_timeout|handshake)"), ("close", r"alice.*closed: (peer_closed|network|handshake|noise)")):
            mark, log = len(c.events), ward.log.mark()
            w.sim.cmd("noise.forge", what=what, count=1)
            drop(w)
            ward.log.wait(r"netd.*" + reason, 20, log)
            wait_state(c, "online", mark)
        send_in(w, "good again")
        wait_texts(c, 1)


if __name__ == "__main__":
    main()
