"""Keys at the service: one-time prekeys, their digest, and the signed prekey (page 11, 8.1 digest_key.rs and
prekey_sessions.rs, 8.4, and the faults "prekeys" of section 6)."""

import time

from harness import World, check, equal, main, test, wait_until
from test_chain import follow, texts, wait_texts
from test_faults import linked_world, send_in
from test_faults_net import drop, wait_state

DAY = 86400
SELF = {"account": "alice", "device": 1}


def device(w):
    for a in w.sim.cmd("account.list")["accounts"]:
        if a["account"] == "alice":
            return next(d for d in a["devices"] if d["device"] == 1)


def status(c):
    return c.call("keys.status", account="alice")


def settled(w, **kw):
    """Linked, with the jobs of the login done."""
    ward, c = linked_world(w, **kw)
    wait_until(lambda: status(c)["digest"] != "unknown", 30, "the digest was checked")
    return ward, c


def again(w, c):
    """A new login, with its jobs done."""
    mark, seen = len(c.events), status(c)["digest_ms"]
    drop(w)
    wait_state(c, "online", mark)
    wait_until(lambda: status(c)["digest_ms"] > seen, 30, "the digest was checked again")


def told(c, start, kind, **body):
    """The account.keys event of that kind."""
    return c.wait_event(lambda e: e.get("type") == "account.keys" and e["body"]["kind"] == kind
                        and all(e["body"].get(k) == v for k, v in body.items()), start=start)


def forge(w, what, **kw):
    w.sim.cmd("prekeys.forge", **SELF, what=what, **kw)


def writers(w, n, text, first=0):
    """Texts from so many new people, each of whom takes a key bundle."""
    for i in range(first, first + n):
        w.sim.account("writer%d" % i)
        w.sim.cmd("phone.send", account="writer%d" % i, to="alice", text="%s %d" % (text, i))


@test
def digest_key_hash_matches_server():
    """digest_key.rs: after the login and when asked, the service's hash is that of our keys, also of a used pool"""
    with World() as w:
        ward, c = settled(w)
        s = status(c)
        n = s["at_service"]  # the own phone took one to share its keys
        equal((s["digest"], s["uploaded"], s["stored"]), ("ok", n, n), "after linking")
        check(810 <= n <= 812, "left", n)
        equal((s["signed_prekey_id"], s["rotation_pending"], s["upload_due"]), (1, False, False), "the rest")
        check(26 * DAY < s["rotation_due_ms"] / 1000 - time.time() < 28 * DAY, "due", s)
        writers(w, 3, "hello")
        wait_texts(c, 3)
        w.sim.cmd("prekeys.digest", **SELF)
        wait_until(lambda: status(c)["digest_ms"] > s["digest_ms"], 30, "checked by notification")
        again(w, c)
        s = status(c)
        equal((s["digest"], s["at_service"], s["uploaded"]), ("ok", n - 3, n - 3), "three are used")
        m = c.call("server.metrics")["counters"]
        equal((m["digest_mismatches"], m["prekeys_uploaded"]), (0, 812), "counters")
        check(m["digest_checks"] >= 3, "checks", m["digest_checks"])
        equal(device(w)["uploads"], 1, "uploads")
        out = ward.ctl("keys", "status").stdout.decode()
        check("at_service" in out and str(n - 3) in out, "wardctl keys status", out)


@test
def digest_faults():
    """a difference is told once and nothing is uploaded for it; one that passes is none; 404 uploads all again"""
    with World() as w:
        ward, c = settled(w)
        forge(w, "digest_hash", count=1)
        again(w, c)
        equal(status(c)["digest"], "ok", "at the second look")
        for what in ("digest_hash", "digest_id"):
            mark = len(c.events)
            forge(w, what, count=2)
            again(w, c)
            equal(status(c)["digest"], "mismatch", what)
            told(c, mark, "digest_mismatch")
            again(w, c)
            equal(status(c)["digest"], "ok", "after " + what)
        equal(device(w)["uploads"], 1, "uploads for a difference")
        equal(c.call("server.metrics")["counters"]["digest_mismatches"], 2, "counted")
        check(ward.log.grep(r"digest of the keys at the service"), "logged")
        mark = len(c.events)
        forge(w, "digest_none", count=1)
        again(w, c)
        told(c, mark, "digest_missing")
        told(c, mark, "uploaded", count=812)
        d = device(w)
        equal((d["uploads"], d["reused_prekeys"]), (2, 0), "all again, and no id twice")
        again(w, c)
        equal(status(c)["digest"], "ok", "then")
        for code in (406, 503):
            w.sim.cmd("fault.arm", match={"account": "alice", "direction": "in", "child": "digest"}, action="error",
                      code=code, count=1)
            again(w, c)
            equal(status(c)["digest"], "failed", "after %d" % code)
        equal(device(w)["uploads"], 2, "uploads for an error")
        send_in(w, "it works")
        wait_texts(c, 1)


@test
def prekey_collision_regression():
    """prekey_sessions.rs: 46 senders empty a pool of 50, 5 of them while we are away; no id comes with another key"""
    with World() as w:
        ward, c = settled(w)
        w.sim.cmd("prekeys.drain", **SELF, keep=50, quiet=True)
        writers(w, 41, "here")
        wait_texts(c, 41)
        mark = len(c.events)
        c.call("account.pause", account="alice")
        writers(w, 5, "away", 41)
        equal(device(w)["prekeys"], 4, "left")
        c.call("account.resume", account="alice")
        wait_state(c, "online", mark)
        wait_texts(c, 46)
        told(c, mark, "uploaded", count=812)
        writers(w, 10, "later", 46)
        wait_texts(c, 56)
        equal(len(set(texts(c))), 56, "texts")
        d = device(w)
        equal((d["reused_prekeys"], d["prekeys"]), (0, 812 + 4 - 10), "the pool")
        equal(w.sim.cmd("stats")["phones"]["retries_asked"], 0, "retries")
        check(not [e for e in c.events if e.get("event", {}).get("type") == "message.undecryptable"], "all readable")


@test
def refill_by_notification():
    """8.4: the service says that few are left: an upload without a count; the count of a login may be wrong"""
    with World() as w:
        ward, c = settled(w)
        asked = w.sim.cmd("watch", match={"account": "alice", "direction": "in", "child": "count"})["watch"]
        mark = len(c.events)
        w.sim.cmd("prekeys.drain", **SELF, keep=3)
        told(c, mark, "low", count=3)
        told(c, mark, "uploaded", count=812)
        equal(w.sim.cmd("expect", watch=asked, deadline_ms=0)["count"], 0, "counts asked for")
        equal((device(w)["prekeys"], device(w)["reused_prekeys"]), (815, 0), "the pool")
        forge(w, "count", count=2, value=1)  # too low: once more than needed (the first is for keys.status)
        again(w, c)
        equal(device(w)["uploads"], 3, "uploads")
        w.sim.cmd("prekeys.drain", **SELF, keep=0, quiet=True)
        forge(w, "count", count=2, value=900)  # too high: nobody can know
        again(w, c)
        equal(device(w)["uploads"], 3, "uploads")
        writers(w, 2, "without a one-time key")
        wait_texts(c, 2)
        again(w, c)
        equal((device(w)["uploads"], device(w)["reused_prekeys"]), (4, 0), "when it counts right")
        equal(c.call("keys.upload", account="alice"), {"count": 812}, "by hand")
        equal(device(w)["prekeys"], 2 * 812, "the pool")


@test
def upload_lost():
    """an upload that was stored and answered with an error, or not at all, is repeated with the same keys; all work"""
    with World() as w:
        ward, c = settled(w)
        w.sim.cmd("prekeys.drain", **SELF, keep=0, quiet=True)
        forge(w, "upload", count=2, value=500)
        mark = len(c.events)
        w.sim.cmd("prekeys.drain", **SELF, keep=0)
        told(c, mark, "uploaded")
        d = device(w)
        equal((d["uploads"], d["reused_prekeys"], d["prekeys"]), (4, 0, 812), "tries of 1 and 2 s later")
        writers(w, 4, "first")  # with keys of the upload that failed
        wait_texts(c, 4)
        forge(w, "upload", count=1, value=0)
        mark = len(c.events)
        w.sim.cmd("prekeys.drain", **SELF, keep=1)
        wait_until(lambda: device(w)["uploads"] == 5, 30, "the one that is not answered")
        drop(w)
        told(c, mark, "uploaded")
        d = device(w)
        equal((d["uploads"], d["reused_prekeys"]), (6, 0), "after the reconnect")
        forge(w, "upload", count=1, value=0)
        w.sim.cmd("prekeys.drain", **SELF, keep=1)
        wait_until(lambda: device(w)["uploads"] == 7, 30, "the one that is not answered")
        ward.kill("apid")
        ward.wait_end()
        ward.start()
        c = follow(ward, "alice", "again", "latest")
        wait_until(lambda: device(w)["uploads"] == 8 and status(c)["digest"] == "ok", 30, "after a crash")
        equal(device(w)["reused_prekeys"], 0, "ids with another key")
        equal(c.call("server.metrics")["counters"]["prekey_upload_failures"], 0, "failures of this run")
        writers(w, 4, "second", 4)
        wait_texts(c, 4)


@test
def upload_refused_ten_times():
    """however often the service refuses an upload, also over a restart, one batch of keys waits for it, which it then
    gets; keys that were used meanwhile are made up for"""
    with World() as w:
        ward, c = settled(w)
        waiting = lambda: (lambda s: s["stored"] - s["uploaded"])(status(c))  # noqa: E731
        equal(waiting(), 0, "after linking")
        fault = w.sim.cmd("fault.arm", match={"account": "alice", "direction": "in", "tag": "iq", "child": "list"},
                          action="error", code=503, count=0)["fault"]
        for i in range(10):
            if i == 5:
                ward.stop()
                ward.start()
                c = follow(ward, "alice", "again", "latest")
                w.sim.cmd("wait", what="device", account="alice", device=1, phase="live", deadline_ms=20000)
                wait_until(lambda: status(c)["digest"] != "unknown", 30, "the digest was checked")
            wait_until(lambda: c.error("keys.upload", account="alice")["data"]["reason"] == "server_error", 30, "a refusal")
            equal(waiting(), 812, "after refusal %d" % (i + 1))
        equal(device(w)["uploads"], 1, "none was taken")
        before = device(w)["prekeys"]
        w.sim.cmd("fault.clear", fault=fault)
        equal(c.call("keys.upload", account="alice"), {"count": 812}, "taken")
        equal((device(w)["prekeys"], device(w)["reused_prekeys"], waiting()), (before + 812, 0, 0), "the pool")
        # one that was stored, and told otherwise: what was used of it meanwhile is not offered again
        w.sim.cmd("prekeys.drain", **SELF, keep=0, quiet=True)
        forge(w, "upload", count=1, value=500)
        equal(c.error("keys.upload", account="alice")["data"]["reason"], "server_error", "stored nevertheless")
        writers(w, 3, "by one of these")
        wait_texts(c, 3)
        equal(c.call("keys.upload", account="alice"), {"count": 812}, "again")
        equal(waiting(), 0, "all are marked")
        d = device(w)
        equal((d["prekeys"], d["reused_prekeys"], d["uploads"]), (812, 0, 4), "three were made, the others came again")
        writers(w, 6, "and by others", 3)
        wait_texts(c, 9)
        equal(w.sim.cmd("stats")["phones"]["retries_asked"], 0, "each key once")


@test
def bundles_of_others():
    """a bundle with a bad signature is refused and the send says so; one without a one-time key is as good as any"""
    with World() as w:
        ward, c = settled(w)
        bob = {"account": "bob", "device": 0}
        to = "+" + w.sim.account("bob")["pn"]
        w.sim.cmd("prekeys.forge", **bob, what="signature", count=1)
        err = c.error("message.send", account="alice", to=to, text="bad", idempotency_key="k1")
        check(err["code"] in (-1, -3, -4), "error", err)
        equal(w.sim.inbox("bob"), [], "nothing came")
        w.sim.cmd("prekeys.forge", **bob, what="no_key", count=1)
        c.call("message.send", account="alice", to=to, text="good", idempotency_key="k2")
        equal([m["text"] for m in w.sim.wait_inbox("bob", 1)], ["good"], "then")


@test
def rotation_of_each_answer():
    """4.1.1: taken, refused for good (406, 409), refused (400), trouble (500), not answered: what follows from each"""
    with World() as w:
        ward, c = settled(w)
        armed = {"account": "alice", "direction": "in", "child": "rotate"}
        days = lambda: round((status(c)["rotation_due_ms"] / 1000 - time.time()) / DAY, 1)  # noqa: E731
        mark = len(c.events)
        equal(c.call("keys.rotate_signed", account="alice"), {"count": 1, "signed_prekey_id": 2}, "taken")
        told(c, mark, "rotated")
        equal((device(w)["signed_prekey"], status(c)["signed_prekey_id"], days()), (2, 2, 27.0), "then")
        for code, pending, due in ((406, False, 27.0), (409, False, 27.0), (400, True, 27.0), (500, True, 1.0)):
            mark = len(c.events)
            w.sim.cmd("fault.arm", match=armed, action="error", code=code, count=1)
            equal(c.error("keys.rotate_signed", account="alice")["data"]["reason"], "server_error", "refusal")
            told(c, mark, "rotation_refused")
            s = status(c)
            equal((s["signed_prekey_id"], s["rotation_pending"], days()), (2, pending, due), "after %d" % code)
        # not answered: the same one again, although the service has it already
        forge(w, "rotate", count=1, value=0)
        n = c.send("keys.rotate_signed", account="alice")
        wait_until(lambda: device(w)["rotations"] == 2, 30, "it came")
        writers(w, 1, "with the new one already")
        wait_texts(c, 1)
        mark = len(c.events)
        drop(w)
        equal(c.answer(n)["error"]["data"]["reason"], "offline", "the answer to the client")
        told(c, mark, "rotated")
        d = device(w)
        equal((d["rotations"], d["signed_prekey"], d["reused_prekeys"]), (3, 3, 0), "the same one again")
        equal((status(c)["signed_prekey_id"], status(c)["digest"]), (3, "ok"), "and here")
        n = c.call("server.metrics")["counters"]
        equal((n["signed_prekey_rotations"], n["signed_prekey_refusals"]), (2, 4), "counters")


@test
def rotation_by_age():
    """27 days on, the login rotates after its upload; older keys serve their senders on; a crash repeats the same"""
    with World() as w:
        ward, c = settled(w)
        w.sim.cmd("clock.advance", s=26 * DAY)
        again(w, c)
        equal(device(w)["rotations"], 0, "a day before")
        w.sim.account("slow")
        w.sim.cmd("fault.arm", match={"account": "alice", "device": 1, "direction": "out", "tag": "message"},
                  action="delay", ms=4000, count=1)
        w.sim.cmd("phone.send", account="slow", to="alice", text="by the old key")
        w.sim.cmd("clock.advance", s=DAY + 3600)
        forge(w, "rotate", count=1, value=0)
        drop(w)
        wait_until(lambda: device(w)["rotations"] == 1, 30, "it came")
        for role in ("keyd", "apid"):
            ward.kill(role)
            ward.wait_end()
            if role == "keyd":
                forge(w, "rotate", count=1, value=0)
                ward.start()
                wait_until(lambda: device(w)["rotations"] == 2, 30, "and again after a crash")
        ward.start()
        c = follow(ward, "alice", "again", "earliest")
        wait_until(lambda: status(c)["signed_prekey_id"] == 2, 30, "taken")
        d = device(w)
        equal((d["rotations"], d["signed_prekey"], d["reused_prekeys"]), (3, 2, 0), "the same one three times")
        wait_texts(c, 1)
        equal(texts(c), ["by the old key"], "what was on its way")
        for n in (3, 4):
            equal(c.call("keys.rotate_signed", account="alice")["signed_prekey_id"], n, "id")
        again(w, c)
        equal((status(c)["digest"], device(w)["reused_prekeys"]), ("ok", 0), "at the end")
        writers(w, 1, "by the newest")
        wait_texts(c, 2)


if __name__ == "__main__":
    main()
