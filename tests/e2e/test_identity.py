#!/usr/bin/env python3
"""Identities of others: changes under each policy, held messages, decisions, safety numbers, signature chains. Page
11, section 8: "identity change", for contacts and for their companions."""

import base64
import hashlib
import json

from harness import World, check, equal, main, test, wait_until


def text_of(event):
    return event["body"].get("message", {}).get("content", {}).get("text")


def send(c, account, to, text, key):
    return c.call("message.send", account=account, to=to, text=text, idempotency_key=key, wait="server")


class Log:
    """Follows all events of a ward from its first one on."""

    def __init__(self, ward):
        self.c = ward.client()
        self.c.call("events.subscribe", **{"from": "earliest"})

    def wait(self, kind, seconds=30, **body):
        return self.c.wait_type(kind, seconds=seconds, **body)

    def wait_text(self, account, text):
        return self.c.wait_event(lambda e: e.get("type") == "message.received" and e["account"] == account
                                 and text_of(e) == text, 30)

    def all(self, account, kind):
        with self.c.cond:
            return [e["event"] for e in self.c.events if "event" in e and e["event"]["account"] == account
                    and e["event"]["type"] == kind]


def half(keys, number):
    """30 digits of one side: SHA-512, 5200 times."""
    joined = b"".join(b"\5" + k for k in sorted(keys))
    digest = b"\0\0" + joined + number.encode()
    for _ in range(5200):
        digest = hashlib.sha512(digest + joined).digest()
    return "".join("%05d" % (int.from_bytes(digest[5 * i:5 * i + 5], "big") % 100000) for i in range(6))


def safety_number(sim, a, adevices, b, bdevices):
    sides = []
    for account, devices in ((a, adevices), (b, bdevices)):
        keys = [bytes.fromhex(sim.cmd("device.identity", account=account, device=d)["identity"]) for d in devices]
        sides.append(half(keys, sim.account(account)["pn"]))
    return "".join(sorted(sides))


def varint_field(number, data):
    n, out = len(data), bytes([number << 3 | 2])
    while n >= 0x80:
        out += bytes([n & 0x7f | 0x80])
        n >>= 7
    return out + bytes([n]) + data


def qr_of(sim, own, own_devices, other, other_devices):
    """What the phone of `own` shows: waFingerprint.CombinedFingerprint."""
    def side(account, devices):
        keys = [bytes.fromhex(sim.cmd("device.identity", account=account, device=d)["identity"]) for d in devices]
        return varint_field(1, b"".join(b"\5" + k for k in sorted(keys)))
    return b"\x08\x00" + varint_field(2, side(own, own_devices)) + varint_field(3, side(other, other_devices))


@test
def test_accept():
    """A contact is registered anew, told by the service and unseen: messages go on both ways, each change is told once."""
    with World() as w:
        ward = w.ward("alice")
        w.sim.account("bob")
        ward.link("alice")
        log, c = Log(ward), ward.client()
        bob = "+" + w.sim.account("bob")["pn"]
        w.sim.cmd("phone.send", account="bob", to="alice", text="one")
        log.wait_text("alice", "one")
        send(c, "alice", bob, "two", "k2")
        w.sim.wait_inbox("bob", 1)
        first = w.sim.cmd("device.identity", account="bob", device=0)["identity"]

        number = c.call("identity.safety_number", account="alice", party=bob)
        equal(number["digits"], safety_number(w.sim, "alice", (0, 1), "bob", (0,)), "the safety number of both sides")
        equal((number["devices"], number["own_devices"]), (1, 2), "whose identities are in it")
        wrong = ("1" if number["digits"][0] != "1" else "2") + number["digits"][1:]
        equal(c.call("identity.verify", account="alice", party=bob, digits=wrong)["match"], False, "another number")
        equal(c.call("identity.list", account="alice", party=bob)["identities"][0]["state"], "trusted", "as before")
        grouped = " ".join(number["digits"][i:i + 5] for i in range(0, 60, 5))
        equal(c.call("identity.verify", account="alice", party=bob, digits=grouped),
              {"match": True, "released": 0}, "the same number")
        known = c.call("identity.list", account="alice", party=bob)["identities"]
        equal([(i["device"], i["fingerprint"], i["state"]) for i in known], [(0, first, "verified")], "what is known of him")
        equal(log.wait("identity.decided")["body"]["decision"], "verified", "the decision is an event")

        w.sim.cmd("phone.reregister", account="bob")
        e = log.wait("identity.changed")
        equal((e["body"]["implicit"], e["body"]["was_verified"], e["body"]["held"], e["body"]["old_fingerprint"]),
              (False, True, False, first), "what the service told")
        w.sim.cmd("phone.send", account="bob", to="alice", text="three")
        log.wait_text("alice", "three")
        send(c, "alice", bob, "four", "k4")
        w.sim.wait_inbox("bob", 2)
        equal(len(log.all("alice", "identity.changed")), 1, "events of one change")

        second = w.sim.cmd("device.identity", account="bob", device=0)["identity"]
        w.sim.cmd("phone.reregister", account="bob", quiet=True)
        third = w.sim.cmd("device.identity", account="bob", device=0)["identity"]
        check(len({first, second, third}) == 3, "three identities")
        w.sim.cmd("phone.send", account="bob", to="alice", text="five")
        log.wait_text("alice", "five")
        send(c, "alice", bob, "six", "k6")
        w.sim.wait_inbox("bob", 3)
        w.sim.cmd("phone.send", account="bob", to="alice", text="seven")
        log.wait_text("alice", "seven")
        changes = [e["body"] for e in log.all("alice", "identity.changed")]
        equal([(b["implicit"], b["was_verified"], b["old_fingerprint"], b.get("new_fingerprint")) for b in changes[1:]],
              [(True, False, second, third)], "what a message has shown")
        equal(len(log.all("alice", "message.undecryptable")), 0, "messages that could not be read")
        listed = c.call("identity.list", account="alice")
        equal([i["fingerprint"] for i in listed["identities"] if i["party"]["pn"].startswith(bob[1:])], [third],
              "of everybody")


@test
def test_wardctl():
    """wardctl shows the number in groups of five, and as a QR code of characters, and verifies what the other side shows"""
    with World() as w:
        ward = w.ward("alice")
        w.sim.account("bob")
        ward.link("alice")
        log = Log(ward)
        bob = "+" + w.sim.account("bob")["pn"]
        r = ward.ctl("-a", "alice", "identity", "safety-number", bob)
        check(r.returncode != 0 and b"not_found" in r.stderr or b"no " in r.stderr, "of a stranger", r)
        w.sim.cmd("phone.send", account="bob", to="alice", text="hello")
        log.wait_text("alice", "hello")
        want = safety_number(w.sim, "alice", (0, 1), "bob", (0,))
        r = ward.ctl("-a", "alice", "identity", "safety-number", bob)
        equal(r.returncode, 0, "to a pipe: %s" % r.stderr)
        equal(json.loads(r.stdout)["digits"], want, "JSON for programs")
        r = ward.ctl("-a", "alice", "identity", "safety-number", "--qr=text", bob)
        equal(r.returncode, 0, "for people: %s" % r.stderr)
        lines = r.stdout.decode().splitlines()
        groups = [g for line in lines for g in line.split() if len(g) == 5 and g.isdigit()]
        equal("".join(groups), want, "twelve groups of five")
        check(len(lines) > 20, "a QR code above them", lines)
        check("identity verify" in lines[-1], "what to do with it", lines[-1])
        r = ward.ctl("-a", "alice", "identity", "safety-number", "--qr=odd", bob)
        equal(r.returncode, 64, "a style that is none")
        r = ward.ctl("-a", "alice", "identity", "verify", bob, " ".join(groups))
        equal(r.returncode, 0, "verify: %s %s" % (r.stdout, r.stderr))
        e = ward.client().call("identity.list", account="alice", party=bob)["identities"][0]
        equal(e["state"], "verified", "as the next look says")


@test
def test_hold():
    """Under hold a new identity gets nothing and nothing of it is lost: over kill -9 and a restart, until a person decides."""
    with World() as w:
        ward = w.ward("hal", extra={"account hal": {"identity": "hold"}})
        w.sim.account("bob")
        ward.link("hal")
        log, c = Log(ward), ward.client()
        bob = "+" + w.sim.account("bob")["pn"]
        w.sim.cmd("phone.send", account="bob", to="hal", text="before")
        log.wait_text("hal", "before")
        send(c, "hal", bob, "answer", "k0")
        w.sim.wait_inbox("bob", 1)
        old = w.sim.cmd("device.identity", account="bob", device=0)["identity"]

        w.sim.cmd("phone.reregister", account="bob", quiet=True)
        new = w.sim.cmd("device.identity", account="bob", device=0)["identity"]
        w.sim.cmd("phone.send", account="bob", to="hal", prefix="h", count=5)
        log.c.wait_event(lambda e: e.get("type") == "message.undecryptable" and
                         len(log.all("hal", "message.undecryptable")) == 5, 30)
        equal({e["body"]["reason"] for e in log.all("hal", "message.undecryptable")}, {"identity_held"}, "placeholders")
        changes = log.all("hal", "identity.changed")
        equal([(e["body"]["held"], e["body"]["old_fingerprint"], e["body"]["new_fingerprint"],
                e["body"]["held_messages"]) for e in changes], [(True, old, new, 1)], "told once")
        w.sim.cmd("wait", what="queue_empty", account="hal", device=1)  # all are acked
        e = c.error("message.send", account="hal", to=bob, text="no", idempotency_key="k1")
        equal((e["code"], e["data"]["reason"]), (-4, "identity_changed"), "a send while he is held")
        health = {x["name"]: x["reason"] for x in c.call("server.health")["checks"]}
        equal(health.get("account.hal.held"), "identity_held", "health")

        ward.kill("apid")
        ward.wait_end()
        for old_client in ward.clients:
            old_client.close()
        ward.clients = []
        ward.start()
        log, c = Log(ward), ward.client()
        wait_until(lambda: c.call("account.get", account="hal")["state"] == "online", 30, "online again")
        w.sim.cmd("phone.send", account="bob", to="hal", text="h6")
        log.c.wait_event(lambda e: len(log.all("hal", "message.undecryptable")) == 6, 30)
        known = c.call("identity.list", account="hal", party=bob)["identities"]
        equal([(i["fingerprint"], i["state"], i["held_messages"]) for i in known], [(new, "held", 6)], "after the crash")
        e = c.error("message.send", account="hal", to=bob, text="no", idempotency_key="k1")
        equal(e["data"]["reason"], "identity_changed", "after the crash")
        def delivered():
            """By this device: its phone has what comes as well, and says so."""
            return {r["id"] for r in w.sim.cmd("phone.receipts", account="bob")["receipts"]
                    if r["kind"] in ("delivery", "inactive") and ":1@" in r["from"]}
        held_ids = [e["body"]["message_id"] for e in log.all("hal", "message.undecryptable")]
        check(not delivered() & set(held_ids), "a message that is held counts as delivered", delivered())

        equal(c.call("identity.decide", account="hal", party=bob, decision="trust"),
              {"decision": "trusted", "released": 6}, "the decision")
        log.wait_text("hal", "h6")
        got = [e for e in log.all("hal", "message.received") if text_of(e) != "before"]
        equal([text_of(e) for e in got], ["h%d" % i for i in range(1, 7)], "in their order, once")
        equal([e["body"].get("recovers") for e in got], held_ids, "each stands for its placeholder")
        w.sim.cmd("phone.send", account="bob", to="hal", text="after")
        log.wait_text("hal", "after")
        wait_until(lambda: set(held_ids) <= delivered(), 30, "delivery receipts")
        send(c, "hal", bob, "yes", "k1")
        wait_until(lambda: [m["text"] for m in w.sim.inbox("bob")] == ["answer", "yes"], 30, "our message")
        equal(c.call("identity.list", account="hal", party=bob)["identities"][0]["held_messages"], 0, "nothing waits")

        ward.stop()
        ward.start()
        log, c = Log(ward), ward.client()
        wait_until(lambda: c.call("account.get", account="hal")["state"] == "online", 30, "online again")
        w.sim.cmd("phone.send", account="bob", to="hal", text="last")
        log.wait_text("hal", "last")
        equal([text_of(e) for e in log.all("hal", "message.received")],
              ["before"] + ["h%d" % i for i in range(1, 7)] + ["after", "last"], "all of it")


@test
def test_release_is_cut():
    """kill -9 in the middle of letting messages through: the rest comes after the next login, none twice."""
    with World() as w:
        ward = w.ward("hal", extra={"account hal": {"identity": "hold"}})
        w.sim.account("bob")
        ward.link("hal")
        log, c = Log(ward), ward.client()
        bob = "+" + w.sim.account("bob")["pn"]
        w.sim.cmd("phone.send", account="bob", to="hal", text="before")
        log.wait_text("hal", "before")
        w.sim.cmd("phone.reregister", account="bob", quiet=True)
        w.sim.cmd("phone.send", account="bob", to="hal", prefix="h", count=200)
        log.c.wait_event(lambda e: len(log.all("hal", "message.undecryptable")) == 200, 60)
        n = c.send("identity.decide", account="hal", party=bob, decision="trust")
        log.wait_text("hal", "h20")
        ward.kill("stored")
        ward.wait_end()
        check(n not in c.replies or "result" in c.replies[n], "the decision was refused", c.replies.get(n))
        for old_client in ward.clients:
            old_client.close()
        ward.clients = []
        ward.start()
        log = Log(ward)
        log.wait_text("hal", "h200")
        equal([text_of(e) for e in log.all("hal", "message.received")],
              ["before"] + ["h%d" % i for i in range(1, 201)], "all, in their order")


@test
def test_hold_told():
    """Under hold, told by the service: the new key is seen at once, and verified by its number it is trusted."""
    with World() as w:
        ward = w.ward("hal", extra={"account hal": {"identity": "hold"}})
        w.sim.account("bob")
        ward.link("hal")
        log, c = Log(ward), ward.client()
        bob = "+" + w.sim.account("bob")["pn"]
        send(c, "hal", bob, "one", "k1")
        w.sim.wait_inbox("bob", 1)
        old = w.sim.cmd("device.identity", account="bob", device=0)["identity"]
        number = c.call("identity.safety_number", account="hal", party=bob)["digits"]
        check(c.call("identity.verify", account="hal", party=bob, digits=number)["match"], "the first number")
        w.sim.cmd("phone.reregister", account="bob")
        new = w.sim.cmd("device.identity", account="bob", device=0)["identity"]
        e = log.wait("identity.changed", implicit=False)
        equal((e["body"]["old_fingerprint"], e["body"]["was_verified"]), (old, True), "what the service told")
        e = log.wait("identity.changed", implicit=True)
        equal((e["body"]["held"], e["body"]["old_fingerprint"], e["body"]["new_fingerprint"], e["body"]["was_verified"]),
              (True, old, new, True), "what his bundle shows")
        e = c.error("message.send", account="hal", to=bob, text="no", idempotency_key="k2")
        equal(e["data"]["reason"], "identity_changed", "a send")
        equal(c.call("identity.verify", account="hal", party=bob, digits=number)["match"], False, "the old number")
        w.sim.cmd("phone.send", account="bob", to="hal", text="waits")
        log.wait("message.undecryptable", reason="identity_held")
        number = safety_number(w.sim, "hal", (0, 1), "bob", (0,))
        equal(c.call("identity.verify", account="hal", party=bob, digits=number), {"match": True, "released": 1},
              "what his phone shows")
        log.wait_text("hal", "waits")
        send(c, "hal", bob, "two", "k2")
        wait_until(lambda: [m["text"] for m in w.sim.inbox("bob")] == ["two"] or
                   [m["text"] for m in w.sim.inbox("bob")] == ["one", "two"], 30, "our message")
        # a person can also hold somebody whom he knows
        equal(c.call("identity.decide", account="hal", party=bob, decision="hold")["decision"], "held", "the decision")
        w.sim.cmd("phone.send", account="bob", to="hal", text="waits too")
        log.c.wait_event(lambda e: len(log.all("hal", "message.undecryptable")) == 2, 30)
        e = c.error("message.send", account="hal", to=bob, text="no", idempotency_key="k3")
        equal(e["data"]["reason"], "identity_changed", "a send to somebody who is held")
        equal(c.call("identity.decide", account="hal", party=bob, decision="trust")["released"], 1, "and back")
        log.wait_text("hal", "waits too")
        send(c, "hal", bob, "three", "k3")


@test
def test_verified_only():
    """Under verified_only nobody is written to whose number was not compared, and his QR code is as good."""
    with World() as w:
        ward = w.ward("vera", extra={"account vera": {"identity": "verified_only"}})
        w.sim.account("bob")
        ward.link("vera")
        log, c = Log(ward), ward.client()
        bob = "+" + w.sim.account("bob")["pn"]
        e = c.error("identity.safety_number", account="vera", party=bob)
        equal(e["data"]["reason"], "not_found", "before anything is known")
        e = c.error("message.send", account="vera", to=bob, text="no", idempotency_key="k1")
        equal((e["code"], e["data"]["reason"]), (-4, "identity_unverified"), "the first send")
        w.sim.cmd("phone.send", account="bob", to="vera", text="hello")
        log.wait_text("vera", "hello")
        qr = base64.b64decode(c.call("identity.safety_number", account="vera", party=bob)["qr_b64"])
        equal(c.call("identity.verify", account="vera", party=bob, qr_b64=base64.b64encode(qr).decode())["match"], False,
              "our own QR code")
        his = qr_of(w.sim, "bob", (0,), "vera", (0, 1))
        equal(c.call("identity.verify", account="vera", party=bob, qr_b64=base64.b64encode(his).decode())["match"], True,
              "his QR code")
        send(c, "vera", bob, "yes", "k1")
        w.sim.wait_inbox("bob", 1)
        e = c.error("identity.verify", account="vera", party=bob, digits="1" * 59 + "x")
        equal(e["code"], -32602, "not 60 digits")
        e = c.error("identity.verify", account="vera", party=bob)
        equal(e["code"], -32602, "neither digits nor QR")


@test
def test_chain():
    """A companion whose signature chain is wrong in any part is neither written to nor read, and that is told."""
    parts = ["details", "account_key", "account_signature", "device_signature"]
    with World() as w:
        names = ["s%d" % i for i in range(len(parts) + 1)]
        ward = w.ward("carol", *names, extra={"account s4": {"identity": "hold"}})
        for name in ["carol"] + names:
            ward.link(name)
        log, c = Log(ward), ward.client()
        number = {name: "+" + w.sim.account(name)["pn"] for name in ["carol"] + names}
        for name, part in zip(names, parts):
            w.sim.cmd("device.forge", account="carol", device=1, what=part)
            send(c, name, number["carol"], "to " + name, "k")
            e = log.c.wait_event(lambda e: e.get("type") == "server.notice" and e["account"] == name and
                                 e["body"]["kind"] == "adv_invalid", 30)
            check(":1@" in e["body"]["from"], "which device", e["body"]["from"])
            # the phone has it, the companion has not
            wait_until(lambda: "to " + name in [m["text"] for m in w.sim.inbox("carol")], 30, "the phone's copy")
            # and what the companion writes is not taken from it
            w.sim.cmd("device.forge", account="carol", device=1, what=part)
            send(c, "carol", number[name], "from carol", "k" + name)
            e = log.c.wait_event(lambda e: e.get("type") == "message.undecryptable" and e["account"] == name, 30)
            equal(e["body"]["reason"], "adv_invalid", part)
            check(not log.all(name, "message.received"), "read all the same")
        check(not [e for e in log.all("carol", "message.received") if text_of(e).startswith("to ")],
              "the companion was written to")
        # under hold a chain is asked for once the primary is known; without one the companion is held
        w.sim.cmd("phone.send", account="carol", to="s4", text="from the phone")
        log.wait_text("s4", "from the phone")
        w.sim.cmd("device.forge", account="carol", device=1, what="absent")
        send(c, "carol", number["s4"], "without a chain", "k4")
        e = log.c.wait_event(lambda e: e.get("type") == "identity.changed" and e["account"] == "s4", 30)
        equal((e["body"]["device"], e["body"]["held"], e["body"].get("old_fingerprint")), (1, True, None), "who is held")
        equal(c.call("identity.decide", account="s4", party=number["carol"], decision="trust")["released"], 1, "released")
        log.wait_text("s4", "without a chain")


if __name__ == "__main__":
    main()
