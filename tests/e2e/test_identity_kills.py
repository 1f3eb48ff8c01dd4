"""Identities over kill -9: of apid and of stored, at each step of a change (taken and held), and of a decision. Nothing is
lost, told twice, or decided twice."""

import os
import signal

from harness import World, check, equal, main, test, wait_until
from test_identity import Log, text_of

# Where the run is when it is killed: keyd is being asked, stored is being asked, the event is there.
STEPS = ("keyd", "stored", "told")


def held_by(c, account, kinds):
    return [f for f in c.call("server.flows")["flows"] if f["account"] == account and f["kind"] in kinds]


def kill(ward, role):
    """The service ends with it, whatever of it stands still."""
    os.kill(ward.pids()[role], signal.SIGKILL)
    ward.wait_end()
    for c in ward.clients:
        c.close()
    ward.clients = []


def again(w, ward, account):
    ward.start()
    log, c = Log(ward), ward.client()
    wait_until(lambda: c.call("account.get", account=account)["state"] == "online", 30, "online again")
    return log, c


def at_step(ward, step, act, reached, told):
    """Do something, and come back when it stands at that step."""
    if step != "told":
        os.kill(ward.pids()[step], signal.SIGSTOP)
    act()
    if step == "told":
        told()
    else:
        wait_until(reached, 20, "the step at which %s is asked" % step)


def befriend(w, log, c, account):
    w.sim.cmd("phone.send", account="bob", to=account, text="before")
    log.wait_text(account, "before")


def changes(policy):
    with World() as w:
        ward = w.ward("hal", extra={"account hal": {"identity": policy}})
        w.sim.account("bob")
        ward.link("hal")
        log, c = Log(ward), ward.client()
        bob = "+" + w.sim.account("bob")["pn"]
        befriend(w, log, c, "hal")
        texts, nchanges = ["before"], 0
        for role in ("apid", "stored"):
            for step in STEPS:
                text = "%s at %s" % (role, step)
                w.sim.cmd("wait", what="queue_empty", account="hal", device=1, deadline_ms=20000)
                w.sim.cmd("phone.reregister", account="bob", quiet=True)
                nchanges += 1
                at_step(ward, step, lambda: w.sim.cmd("phone.send", account="bob", to="hal", text=text),
                        lambda: held_by(c, "hal", ("recv",)),
                        lambda: log.c.wait_event(lambda e: len(log.all("hal", "identity.changed")) == nchanges, 30))
                kill(ward, role)
                log, c = again(w, ward, "hal")
                if policy == "hold":
                    wait_until(lambda: [i["state"] for i in c.call("identity.list", account="hal", party=bob)["identities"]]
                               == ["held"], 30, "held")
                    wait_until(lambda: c.call("identity.list", account="hal", party=bob)["identities"][0]["held_messages"]
                               == 1, 30, "its message waits")
                    equal(c.call("identity.decide", account="hal", party=bob, decision="trust")["released"], 1, "released")
                log.wait_text("hal", text)
                texts.append(text)
                equal([text_of(e) for e in log.all("hal", "message.received")], texts, "all, once, after " + text)
                equal(len(log.all("hal", "identity.changed")), nchanges, "each change once, after " + text)
                key = w.sim.cmd("device.identity", account="bob", device=0)["identity"]
                equal(log.all("hal", "identity.changed")[-1]["body"]["new_fingerprint"], key, "the last one")
                equal([i["fingerprint"] for i in c.call("identity.list", account="hal", party=bob)["identities"]], [key], "known")
                equal(len(log.all("hal", "message.undecryptable")), nchanges if policy == "hold" else 0, "placeholders")


@test
def test_change_is_taken():
    """accept: killed while a message shows another identity"""
    changes("accept")


@test
def test_change_is_held():
    """hold: killed while a message shows another identity; after the decision it is read"""
    changes("hold")


@test
def test_decision():
    """killed while a person decides: either it is as before, or decided, and then all that waited is read once"""
    with World() as w:
        ward = w.ward("hal", extra={"account hal": {"identity": "hold"}})
        w.sim.account("bob")
        ward.link("hal")
        log, c = Log(ward), ward.client()
        bob = "+" + w.sim.account("bob")["pn"]
        befriend(w, log, c, "hal")
        texts, held, decided = ["before"], 0, 0
        for role in ("apid", "stored"):
            for step in STEPS:
                w.sim.cmd("phone.reregister", account="bob", quiet=True)
                name = "%s at %s " % (role, step)
                w.sim.cmd("phone.send", account="bob", to="hal", prefix=name, count=3)
                held += 3
                log.c.wait_event(lambda e: len(log.all("hal", "message.undecryptable")) == held, 30)
                wait_until(lambda: not held_by(c, "hal", ("recv",)), 20, "no message on its way")
                at_step(ward, step, lambda: c.send("identity.decide", account="hal", party=bob, decision="trust"),
                        lambda: held_by(c, "hal", ("identity_ask",)),
                        lambda: log.c.wait_event(lambda e: len(log.all("hal", "identity.decided")) == decided + 1, 30))
                kill(ward, role)
                log, c = again(w, ward, "hal")
                state = c.call("identity.list", account="hal", party=bob)["identities"][0]["state"]
                told = len(log.all("hal", "identity.decided"))
                wait_until(lambda: len(log.all("hal", "identity.decided")) == decided + (state == "trusted"), 20, "told as it is")
                if step == "told":
                    equal(state, "trusted", "what was told stands")
                if state == "held":
                    equal(c.call("identity.decide", account="hal", party=bob, decision="trust")["released"], 3, "released")
                decided += 1
                texts += [name + str(i) for i in (1, 2, 3)]
                log.wait_text("hal", texts[-1])
                equal([text_of(e) for e in log.all("hal", "message.received")], texts, "in their order, once")
                equal(len(log.all("hal", "identity.decided")), decided, "decisions")
                check(told <= decided, "told more than was decided")


@test
def test_logout_with_held():
    """a device that is logged out while messages wait: each ends as given up, once, over a kill, and links again"""
    with World() as w:
        ward = w.ward("hal", extra={"account hal": {"identity": "hold"}})
        w.sim.account("bob")
        ward.link("hal")
        log, c = Log(ward), ward.client()
        befriend(w, log, c, "hal")
        w.sim.cmd("phone.reregister", account="bob", quiet=True)
        w.sim.cmd("phone.send", account="bob", to="hal", prefix="h", count=150)
        log.c.wait_event(lambda e: len(log.all("hal", "message.undecryptable")) == 150, 60)
        ids = [e["body"]["message_id"] for e in log.all("hal", "message.undecryptable")]
        w.sim.cmd("phone.unlink", account="hal", device=1)
        log.wait("message.given_up")
        kill(ward, "stored")
        ward.start()
        log = Log(ward)
        log.wait("account.unlinked")
        given_up = log.all("hal", "message.given_up")
        equal(sorted(e["body"]["message_id"] for e in given_up), sorted(ids), "each once")
        equal({e["body"]["reason"] for e in given_up}, {"device_gone"}, "why")
        ward.link("hal")
        w.sim.cmd("phone.send", account="bob", to="hal", text="anew")
        log.wait_text("hal", "anew")
        equal(len(log.all("hal", "message.given_up")), 150, "no more")


if __name__ == "__main__":
    main()
