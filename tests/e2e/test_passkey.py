"""Linking an account that the service guards with a passkey (page 11, 8.4; page 12, 1): by QR and by code, with the proof and
with the code compared, every answer that is wrong, every exchange that is given up, and a crash between any two steps."""

import os
import signal

from harness import World, check, equal, main, test, wait_until
from test_chain import wait_texts
from test_faults import send_in
from test_faults_net import wait_state


class Linking:
    """An account behind a passkey, and a client that links it."""

    def __init__(self, extra=None):
        self.world = World()
        self.extra = extra

    def __enter__(self):
        self.world.__enter__()
        self.sim = self.world.sim
        self.sim.account("alice")
        self.sim.account("bob")
        self.sim.cmd("account.set", account="alice", passkey=True)
        self.ward = self.world.ward("alice", extra=self.extra)
        self.follow()
        return self

    def __exit__(self, *a):
        return self.world.__exit__(*a)

    def follow(self):
        self.c = self.ward.client()
        self.c.call("events.subscribe", filter={"accounts": ["alice"]})
        self.mark = 0

    def begin(self, **how):
        self.mark = len(self.c.events)
        self.c.call("account.link", account="alice", **how)

    def step(self, name, **body):
        """The next step of that name; what came before it is not looked at again."""
        found = []

        def match(e):
            found.append(e)
            return e.get("type") == "account.link" and e["body"]["step"] == name and \
                all(e["body"].get(k) == v for k, v in body.items())
        e = self.c.wait_event(match, start=self.mark)
        self.mark += len(found)
        return e["body"]

    def state(self):
        return self.c.call("account.state", account="alice")

    def scan(self):
        self.sim.scan("alice", self.step("qr")["text"])
        return self.step("passkey")["options"]

    def assertion(self, options, **wrong):
        return self.sim.cmd("passkey.assert", account="alice", options=options, **wrong)["assertion"]

    def answer(self, **what):
        return self.c.call("account.link_answer", account="alice", **what)

    def refused(self, **what):
        e = self.c.error("account.link_answer", account="alice", **what)
        return e["code"], e["data"]["reason"], e["data"].get("path")

    def phone(self, **what):
        return self.sim.cmd("phone.passkey", account="alice", **what)

    def finish(self, start=0):
        self.c.wait_type("account.linked", start=start)
        wait_state(self.c, "online", start)
        send_in(self.world, "hello")
        wait_texts(self.c, 1)

    def whole(self):
        """From here to a link that works."""
        self.answer(passkey_response=self.assertion(self.scan()))
        self.step("confirm")
        self.finish()


REQUIRE = {"passkey": {"require_code": "yes"}}


@test
def by_qr():
    """QR, passkey, proof: linked without comparing, the code is shown all the same and is the phone's"""
    with Linking() as t:
        t.begin(method="qr")
        options = t.scan()
        equal(options["rpId"], "whatsapp.com", "options")
        s = t.state()
        equal((s["state"], s["user_action"]), ("passkey_required", "operator"), "state")
        check(s["until_ms"] > s["since_ms"], "until when", s)
        t.answer(passkey_response=t.assertion(options))
        confirm = t.step("confirm", handoff_proved=True)
        t.finish()
        p = t.phone()
        equal((p["state"], p["code"], p["proved"]), ("linked", confirm["text"], True), "the phone")
        check([e for e in t.c.events if e.get("event", {}).get("body", {}).get("state") == "passkey_confirm"], "the state was shown")


@test
def code_is_compared():
    """passkey.require_code: no proof goes out, and the pairing request only after a person has confirmed"""
    with Linking(REQUIRE) as t:
        t.begin(method="qr")
        options = t.scan()
        watch = t.sim.cmd("watch", match={"child": "encrypted_pairing_request"})["watch"]
        t.answer(passkey_response=t.assertion(options))
        confirm = t.step("confirm", handoff_proved=False)
        s = t.state()
        equal((s["state"], s["user_action"]), ("passkey_confirm", "operator"), "state")
        p = t.phone()
        equal((p["state"], p["code"], p["proved"]), ("code", confirm["text"], False), "the phone")
        equal(t.sim.cmd("expect", watch=watch, deadline_ms=0)["count"], 0, "not yet sent")
        t.answer(confirm=True)
        t.finish()


@test
def by_pair_code():
    """a pair code whose phone goes over to the passkey: no secret was shared, so the code is compared"""
    with Linking() as t:
        pn = t.sim.account("alice")["pn"]
        t.begin(phone="+" + pn)
        t.sim.cmd("phone.enter_code", account="alice", code=t.step("code")["text"])
        t.answer(passkey_response=t.assertion(t.step("passkey")["options"]))
        t.step("confirm", handoff_proved=False)
        t.answer(confirm=True)
        t.finish()


@test
def wrong_answers():
    """answers out of order, malformed, or for another attempt are refused by name and change nothing"""
    with Linking(REQUIRE) as t:
        equal(t.refused(confirm=True)[:2], (-1, "not_found"), "no attempt")
        t.begin(method="qr")
        equal(t.refused(confirm=True)[:2], (-9, "conflict"), "nothing is waited for")
        options = t.scan()
        good = t.assertion(options)
        equal(t.refused(confirm=True)[:2], (-6, "passkey_required"), "the passkey comes first")
        equal(t.refused(link_id="00", passkey_response=good)[:2], (-1, "not_found"), "another attempt")
        equal(t.refused()[0], -32602, "neither")
        equal(t.refused(confirm=True, passkey_response=good)[0], -32602, "both")
        for path, change in (("id", {"id": "AAAA"}), ("rawId", {"rawId": "AA=="}), ("type", {"type": "password"}),
                             ("response", {"response": []}), ("response.signature", {"response": {**good["response"], "signature": ""}}),
                             ("response.userHandle", {"response": {**good["response"], "userHandle": 7}}),
                             ("response.clientDataJSON", {"response": {**good["response"], "clientDataJSON": "A" * 20000}})):
            equal(t.refused(passkey_response={**good, **change}), (-32602, "params", "passkey_response." + path), "path")
        t.answer(passkey_response=good)
        t.step("confirm")
        equal(t.refused(passkey_response=good)[:2], (-6, "passkey_confirm"), "the code is next")
        t.answer(confirm=True)
        equal(t.refused(confirm=True)[:2], (-9, "conflict"), "once")
        t.finish()


def fails(t, reason, conn=True):
    """The exchange failed with that reason; the attempt and its connection go on with another QR code."""
    equal(t.step("error")["error"], reason, "reason")


@test
def refused_and_again():
    """wrong options, assertion, key, commitment or code: told by name, and the same connection shows another QR code"""
    with Linking(REQUIRE) as t:
        t.begin(method="qr")
        for what, reason in (("bad_options", None), ("no_options", None), ("refuse", "passkey_refused"), ("short_key", "bad_continuation"),
                             ("zero_key", "bad_continuation")):
            if what in ("bad_options", "no_options"):  # then they are asked for
                t.sim.cmd("passkey.forge", what=what)
                t.answer(passkey_response=t.assertion(t.scan(), wrong="signature"))
                fails(t, "passkey_refused")
                continue
            t.sim.cmd("passkey.forge", what=what)
            t.answer(passkey_response=t.assertion(t.scan()))
            fails(t, reason)
        equal(t.sim.cmd("stats")["pairing"]["registrations"], 1, "connections")
        equal(t.state()["state"], "linking", "state")
        t.answer(passkey_response=t.assertion(t.scan()))
        t.step("confirm")
        t.answer(confirm=False)
        fails(t, "code_rejected")
        for what in ("nonce", "stranger"):  # the phone finds out; its service refuses what comes
            t.sim.cmd("passkey.forge", what=what)
            t.answer(passkey_response=t.assertion(t.scan()))
            confirm = t.step("confirm")
            check(t.phone()["code"] != confirm["text"], "the codes differ", what)
            t.answer(confirm=True)
            fails(t, "passkey_refused")
        t.answer(passkey_response=t.assertion(t.scan(), wrong="challenge"))
        fails(t, "passkey_refused")
        t.answer(passkey_response=t.assertion(t.scan()))
        t.step("confirm")
        t.answer(confirm=True)
        t.finish()


@test
def wrong_proof():
    """a proof that does not fit: the phone does not take it for one; what was sent is still opened by it alone"""
    with Linking() as t:
        t.sim.cmd("passkey.forge", what="proof")
        t.begin(method="qr")
        t.answer(passkey_response=t.assertion(t.scan()))
        t.step("confirm", handoff_proved=True)
        t.finish()
        equal(t.phone()["proved"], False, "the phone")


@test
def out_of_order():
    """a continuation before the prologue or twice is ignored, a second request takes the place of the first"""
    with Linking() as t:
        t.sim.cmd("passkey.forge", what="early")
        t.begin(method="qr")
        t.scan()
        t.ward.log.wait("continuation that nobody waits for")
        t.sim.cmd("passkey.forge", what="again")
        t.c.call("account.link_cancel", account="alice")
        t.begin(method="qr")
        first = t.scan()
        second = t.step("passkey")["options"]
        check(first["challenge"] != second["challenge"], "another challenge", first)
        t.sim.cmd("passkey.forge", what="twice")
        t.answer(passkey_response=t.assertion(second))
        t.step("confirm")
        t.finish()


@test
def given_up():
    """cancelled, or the connection lost, at any step: the next QR code links"""
    with Linking(REQUIRE) as t:
        t.begin(method="qr")
        t.scan()
        t.c.call("account.link_cancel", account="alice")
        equal(t.c.wait_type("account.link_failed")["body"]["reason"], "cancelled", "reason")
        equal(t.state()["state"], "unlinked", "state")
        t.begin(method="qr")
        t.sim.cmd("passkey.forge", what="lose_request")
        t.answer(passkey_response=t.assertion(t.scan()))
        t.step("confirm")
        t.answer(confirm=True)
        fails(t, "disconnected")
        t.answer(passkey_response=t.assertion(t.scan()))
        t.step("confirm")
        t.answer(confirm=True)
        t.finish()


def to_required(t):
    t.begin(method="qr")
    return t.scan()


def swallow(t, child, direction):
    """The service loses the next stanza with that child; call what comes back when it has."""
    n = t.sim.cmd("fault.arm", match={"child": child, "direction": direction}, action="drop")["fault"]
    return lambda: wait_until(lambda: not any(f["fault"] == n and not f["done"] for f in t.sim.cmd("fault.list")["faults"]), 20, child)


def to_ref(t):
    options = to_required(t)
    lost = swallow(t, "ref", "in")
    t.answer(passkey_response=t.assertion(options))
    lost()


def to_prologue(t):
    t.sim.cmd("passkey.forge", what="silent")
    watch = t.sim.cmd("watch", match={"child": "passkey_prologue"})["watch"]
    t.answer(passkey_response=t.assertion(to_required(t)))
    t.sim.cmd("expect", watch=watch, deadline_ms=20000)


def to_confirm(t):
    t.answer(passkey_response=t.assertion(to_required(t)))
    t.step("confirm")


def to_request(t):
    to_confirm(t)
    lost = swallow(t, "encrypted_pairing_request", "in")
    t.answer(confirm=True)
    lost()


def to_success(t):
    to_confirm(t)
    lost = swallow(t, "pair-success", "out")
    t.answer(confirm=True)
    lost()


@test
def crash_between_steps():
    """SIGKILL between any two steps: not linked after the restart, never half, and linking works at once"""
    with Linking(REQUIRE) as t:
        steps = (to_required, to_ref, to_prologue, to_confirm, to_request, to_success)
        for i, reach in enumerate(steps):
            reach(t)
            victim = t.ward.pids()[("keyd", "apid", "stored", "netd", "keyd", "apid")[i]]
            os.kill(victim, signal.SIGKILL)
            t.ward.wait_end()
            t.sim.cmd("fault.clear")
            t.sim.cmd("passkey.forge", what="none")
            t.ward.clients = []
            t.ward.start()
            t.follow()
            wait_until(lambda: t.state()["state"] == "unlinked", 20, "unlinked after " + reach.__name__)
            equal([d["device"] for d in t.sim.account("alice")["devices"]], [0], "devices after " + reach.__name__)
        t.begin(method="qr")
        t.answer(passkey_response=t.assertion(t.scan()))
        t.step("confirm")
        t.answer(confirm=True)
        t.finish()


if __name__ == "__main__":
    main()
