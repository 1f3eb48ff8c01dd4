"""Noise IK and its fallback end to end (page 11, 8.2, with the real processes): a known server costs one round trip
less, a server that is not the known one costs nothing but that, and nothing of it depends on the run."""

from harness import World, equal, main, test, wait_until
from test_chain import follow, texts, wait_texts
from test_faults import send_in
from test_faults_net import accepted, drop, linked, wait_state

SLOW_STEPS = {"network": {"backoff_unit": "50ms", "backoff_max": "300ms"}}


def handshakes(w):
    s = w.sim.cmd("stats")["connections"]
    return {"all": s["handshakes"], "ik": s["ik"], "fallback": s["ik_fallback"], "failed": s["handshake_failures"]}


def more(w, before):
    now = handshakes(w)
    return {k: now[k] - before[k] for k in now}


def again(w, c):
    """Cut the connection and wait until the account is online on a new one."""
    mark, before = len(c.events), handshakes(w)
    drop(w)
    wait_state(c, "online", mark)
    return more(w, before)


@test
def first_full_then_short():
    """a fresh device begins with XX, twice: before and after pairing; each login after that is IK, over a restart too"""
    with World() as w:
        ward, c = linked(w, extra=SLOW_STEPS)
        s = handshakes(w)
        equal((s["ik"], s["fallback"]), (0, 0), "nothing was known before the device was linked")
        equal(s["all"], 2, "a registration and a login")
        for _ in range(3):
            equal(again(w, c), {"all": 1, "ik": 1, "fallback": 0, "failed": 0}, "a login with IK")
        send_in(w, "over IK")
        wait_texts(c, 1)
        before = handshakes(w)
        ward.stop()
        ward.start()
        c = follow(ward, "alice", "again")
        wait_until(lambda: c.call("account.state", account="alice")["state"] == "online", 30, "online")
        equal(more(w, before)["ik"], 1, "IK after a restart")
        send_in(w, "and after it")
        wait_until(lambda: "and after it" in texts(c), 30, "the text")


@test
def another_server_key():
    """a server with a new key, or one that refuses IK, is met on the same connection; its chain is kept then"""
    with World() as w:
        ward, c = linked(w, extra=SLOW_STEPS)
        w.sim.cmd("noise.rotate")
        n = accepted(w)
        equal(again(w, c), {"all": 1, "ik": 0, "fallback": 1, "failed": 0}, "fallback")
        equal(accepted(w) - n, 1, "connections for it")
        equal(again(w, c), {"all": 1, "ik": 1, "fallback": 0, "failed": 0}, "IK with the new key")
        w.sim.cmd("noise.forge", what="ik_refused", count=1)
        equal(again(w, c), {"all": 1, "ik": 0, "fallback": 1, "failed": 0}, "refused")
        equal(again(w, c), {"all": 1, "ik": 1, "fallback": 0, "failed": 0}, "IK again")
        send_in(w, "still here")
        wait_texts(c, 1)


@test
def answer_that_is_no_answer():
    """an IK answer that does not authenticate is a named failure, and the next login is a full one"""
    with World() as w:
        ward, c = linked(w, extra=SLOW_STEPS)
        w.sim.cmd("noise.forge", what="ik_garbled", count=1)
        mark = ward.log.mark()
        got = again(w, c)
        ward.log.wait("noise_decrypt", 30, mark)
        # the simulator holds the garbled one for good: its side of the handshake was over
        equal((got["all"], got["ik"], got["fallback"]), (2, 1, 0), "one that failed, one in full")
        equal(again(w, c)["ik"], 1, "IK again: the chain was kept anew")


@test
def no_answer_to_ik():
    """a server that closes on an IK hello, always: full logins, then no IK for the rest of the run"""
    with World() as w:
        ward, c = linked(w, extra=SLOW_STEPS)
        for n in range(3):
            w.sim.cmd("noise.forge", what="close", count=1)
            got = again(w, c)
            equal((got["all"], got["ik"], got["failed"]), (1, 0, 1), "a closed one, then one in full (%d)" % n)
        equal(again(w, c), {"all": 1, "ik": 0, "fallback": 0, "failed": 0}, "no IK any more")


@test
def forged_fallback():
    """a fallback with a forged chain is refused like any other, and does not cost the kept chain"""
    with World() as w:
        ward, c = linked(w, extra=SLOW_STEPS)
        # an XX-shaped answer whose certificates nobody signed; the client began with IK
        w.sim.cmd("noise.rotate")
        w.sim.cmd("noise.forge", what="wrong_root", count=1)
        mark = ward.log.mark()
        got = again(w, c)
        ward.log.wait("cert_signature", 30, mark)
        equal((got["all"], got["ik"], got["fallback"]), (1, 0, 1), "refused, then the fallback with a good chain")
        equal(again(w, c)["ik"], 1, "IK")


@test
def linked_anew():
    """a device that was removed and linked again begins in full: nothing of the former device is used"""
    with World() as w:
        ward, c = linked(w, extra=SLOW_STEPS)
        mark = len(c.events)
        w.sim.cmd("phone.unlink", account="alice", device=1)
        c.wait_type("account.unlinked", start=mark)
        before = handshakes(w)
        ward.link("alice")
        equal((more(w, before)["ik"], more(w, before)["fallback"]), (0, 0), "full handshakes")
        mark, before = len(c.events), handshakes(w)
        w.sim.cmd("device.drop", account="alice")
        wait_state(c, "online", mark)
        equal(more(w, before)["ik"], 1, "then IK")


if __name__ == "__main__":
    main()
