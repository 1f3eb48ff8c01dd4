"""Linking again after a logout (page 11, 8.4): nothing of the store is deleted, the same account goes on where it was, another
one is refused unless it was said, and then gets nothing of the former one; what is kept of it is seen and purged."""

import json
import subprocess

from harness import World, check, command, equal, main, test, wait_until
from test_chain import wait_texts
from test_faults import send_in
from test_faults_net import linked, wait_state


def is_qr(e):
    return e.get("type") == "account.link" and e["body"]["step"] == "qr"


def link(w, c, phone, **how):
    """One attempt up to the scan by that phone; the index of the first event after it."""
    mark = len(c.events)
    c.call("account.link", account="alice", method="qr", **how)
    w.sim.scan(phone, c.wait_event(is_qr, start=mark)["body"]["text"])
    return mark


def relinked(w, c, phone="alice", **how):
    mark = link(w, c, phone, **how)
    e = c.wait_type("account.linked", start=mark)
    wait_state(c, "online", mark)
    return e["body"]


def tables(c):
    return {t["table"]: t["rows"] for t in c.call("store.stats", tables=True)["tables"] if t["account"] == "alice"}


def quarantine(c):
    return c.call("account.quarantine", account="alice")


def logout(w, c, how):
    mark = len(c.events)
    if how == "unlink":
        c.call("account.unlink", account="alice")
    elif how == "phone":
        w.sim.cmd("phone.unlink", account="alice", device=max(d["device"] for d in w.sim.account("alice")["devices"]))
    else:
        w.sim.cmd("login.refuse", account="alice", reason=401, count=1)
        w.sim.cmd("device.drop", account="alice")
    c.wait_type("account.unlinked", start=mark)
    want = "unlinked" if how == "unlink" else "logged_out"
    wait_until(lambda: c.call("account.state", account="alice")["state"] == want, 20, want)


@test
def same_account():
    """logged out by us, by the phone, by the service: contacts, events and outbox stay, and the same account links again"""
    with World() as w:
        w.sim.account("bob")
        ward, c = linked(w)
        texts = 0
        for how in ("unlink", "phone", "service"):
            send_in(w, "before " + how)
            texts += 1
            wait_texts(c, texts)
            bob = c.call("message.send", account="alice", to="+" + w.sim.account("bob")["pn"], text="x", idempotency_key=how)
            check(bob["status"] in ("server", "delivered"), "sent", bob)
            before, kept = tables(c), quarantine(c)
            logout(w, c, how)
            after = tables(c)
            for t in ("contact", "outbox", "event", "device", "device_list", "record"):
                check(after[t] >= before[t] > 0, "rows of " + t, before, after)
            check(quarantine(c)["records"] > kept["records"] and quarantine(c)["generation"] == kept["generation"] + 1, "keys are kept", kept)
            equal(c.error("message.send", account="alice", to="+1555", text="x", idempotency_key="n" + how)["code"], -7, "no sending")
            ward.stop()
            ward.start()
            c = ward.client()
            c.call("events.subscribe", filter={"accounts": ["alice"]})
            body = relinked(w, c)
            equal((body["first_time"], body["other_account"]), (False, False), "the same one")
            again = c.call("message.state", account="alice", idempotency_key=how)
            equal(again["message_id"], bob["message_id"], "the outbox is there")
            texts = 0
        send_in(w, "after")
        wait_texts(c, 1)
        n = quarantine(c)["records"]
        equal(c.call("account.quarantine_purge", account="alice"), {"purged": n}, "purged")
        equal(quarantine(c)["records"], 0, "nothing is left")
        send_in(w, "and on")
        wait_texts(c, 2)


@test
def another_account():
    """another account is refused by name; with the explicit word it links, and finds nobody and sends nothing of the former"""
    with World() as w:
        w.sim.account("bob")
        ward, c = linked(w)
        w.sim.account("carol")
        send_in(w, "for alice")
        wait_texts(c, 1)
        bob = "+" + w.sim.account("bob")["pn"]
        first = c.call("message.send", account="alice", to=bob, text="x", idempotency_key="1")
        check(first["status"] in ("server", "delivered"), "sent", first)
        mark = len(c.events)
        w.sim.cmd("login.refuse", account="alice", reason=503, count=0)  # what is sent now waits
        w.sim.cmd("device.drop", account="alice")
        c.wait_type("account.state", start=mark, state="backoff")
        waits = c.call("message.send", account="alice", to=bob, text="never by carol", idempotency_key="2", wait="queued")
        w.sim.cmd("login.refuse", account="alice", reason=401, count=0)
        c.wait_type("account.unlinked", start=mark)

        mark = link(w, c, "carol")
        e = c.wait_type("account.link_failed", start=mark)
        equal(e["body"]["reason"], "account_mismatch", "reason")
        check(w.sim.account("carol")["pn"] in e["body"]["jid"], "who scanned", e)
        equal(c.call("account.state", account="alice")["state"], "unlinked", "state")
        e = c.error("account.link", account="alice", phone="+" + w.sim.account("carol")["pn"])
        equal((e["code"], e["data"]["reason"]), (-7, "account_mismatch"), "by code it is known at once")
        equal([d["device"] for d in w.sim.account("carol")["devices"]], [0], "carol has no device")
        contacts = tables(c)["contact"]

        mark = len(c.events)
        body = relinked(w, c, "carol", other_account=True)
        equal((body["first_time"], body["other_account"]), (False, True), "another one")
        c.wait_type("message.status", start=mark, message_id=waits["message_id"], status="failed", reason="unlinked")
        kept = quarantine(c)
        check(kept["contacts"] == contacts and kept["records"] > 0, "put aside", kept, contacts)
        w.sim.cmd("phone.send", account="bob", to="carol", text="for carol")
        wait_texts(c, 2)
        equal([m["text"] for m in w.sim.inbox("bob") if m["text"] == "never by carol"], [], "nothing of alice's was sent")
        equal(c.call("account.quarantine_purge", account="alice")["purged"], kept["contacts"] + kept["records"], "purged")
        # and now carol is the one that it must be
        logout_mark = len(c.events)
        c.call("account.unlink", account="alice")
        c.wait_type("account.unlinked", start=logout_mark)
        w.sim.cmd("login.refuse", account="alice", reason=0)
        mark = link(w, c, "alice")
        equal(c.wait_type("account.link_failed", start=mark)["body"]["reason"], "account_mismatch", "alice is the other one now")


@test
def by_hand():
    """wardctl: link with a passkey and account answer, a mismatch ends with 7, quarantine and its purge are shown"""
    with World() as w:
        w.sim.account("bob")
        w.sim.cmd("account.set", account=w.sim.account("alice")["account"], passkey=True)
        ward = w.ward("alice", extra={"passkey": {"require_code": "yes"}})
        c = ward.client()
        c.call("events.subscribe", filter={"accounts": ["alice"]})
        p = subprocess.Popen(command("wardctl") + ["-s", ward.socket, "account", "link", "--qr", "text"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        w.sim.scan("alice", c.wait_event(is_qr)["body"]["text"])
        options = c.wait_event(lambda e: e.get("type") == "account.link" and e["body"]["step"] == "passkey")["body"]["options"]
        equal(ward.ctl("account", "answer", "-", stdin=b"[]").returncode, 64, "not an object")
        equal(ward.ctl("account", "answer", "yes").returncode, 6, "the passkey comes first")
        good = w.sim.cmd("passkey.assert", account="alice", options=options)["assertion"]
        r = ward.ctl("account", "answer", "-", stdin=json.dumps(good).encode())
        equal((r.returncode, r.stderr), (0, b""), "answer")
        code = c.wait_event(lambda e: e.get("type") == "account.link" and e["body"]["step"] == "confirm")["body"]["text"]
        equal(ward.ctl("account", "answer", "yes").returncode, 0, "confirm")
        out, err = p.communicate(timeout=30)
        equal(p.returncode, 0, "link")
        text = out.decode()
        check(options["challenge"] in text and code in text and "account answer" in text and "is linked" in text, "what was shown", text[-400:])
        wait_state(c, "online", 0)
        c.call("account.unlink", account="alice")
        w.sim.account("dora")
        mark = len(c.events)
        p = subprocess.Popen(command("wardctl") + ["-s", ward.socket, "account", "link", "--qr", "text"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        w.sim.scan("dora", c.wait_event(is_qr, start=mark)["body"]["text"])
        out, err = p.communicate(timeout=30)
        equal(p.returncode, 7, "another account")
        check(b"--other-account" in err, "what to do", err)
        r = ward.ctl("--json", "account", "quarantine")
        check(json.loads(r.stdout)["records"] > 0, "quarantine", r.stdout, r.stderr)
        r = ward.ctl("--json", "account", "quarantine-purge")
        check(json.loads(r.stdout)["purged"] > 0, "purge", r.stdout, r.stderr)


if __name__ == "__main__":
    main()
