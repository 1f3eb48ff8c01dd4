"""Sending when things go wrong: refusals, lost acks, time limits, recipients that are not there, odd texts."""

import time

from harness import World, check, equal, main, test, wait_until
from test_chain import follow, texts, wait_texts
from test_faults_net import FROM_ALICE, TO_ALICE, drop, linked, wait_state

ACK = dict(TO_ALICE, tag="ack", **{"class": "message"})


class Line:
    """An account that writes to bob, and what the service sees of it."""

    def __init__(self, w, **kw):
        self.w = w
        self.ward, self.c = linked(w, **kw)
        self.bob = w.sim.account("bob")
        self.match = dict(FROM_ALICE, tag="message")
        self.send("warm up", "warm")  # device list and session are there
        w.sim.wait_inbox("bob", 1)

    def ask(self, text, key, **kw):
        return self.c.send("message.send", account="alice", to="+" + self.bob["pn"], text=text, idempotency_key=key, **kw)

    def send(self, text, key, **kw):
        return self.c.answer(self.ask(text, key, **kw)).get("result")

    def refuse(self, text, key, **kw):
        m = self.c.answer(self.ask(text, key, **kw))
        check("error" in m, "an error", m)
        return m["error"]

    def state(self, key):
        return self.c.call("message.state", account="alice", idempotency_key=key)

    def watch(self):
        return self.w.sim.cmd("watch", match=self.match)["watch"]

    def seen(self, watch):
        return self.w.sim.cmd("expect", watch=watch, count=1000, deadline_ms=0)["count"]

    def got(self, text):
        return [m for m in self.w.sim.inbox("bob") if m["text"] == text]


@test
def refused_messages():
    """a negative ack is a typed error, a durable status and a failed row, and the message is never sent again"""
    rows = [(463, -12, "reachout_timelock"), (475, -12, "new_chats_capped"), (479, -1, "refused"), (400, -1, "refused"),
            (421, -1, "refused"), (599, -1, "refused")]
    with World() as w:
        x = Line(w)
        for code, number, reason in rows:
            key = "refused-%d" % code
            w.sim.cmd("fault.arm", match=x.match, action="error", code=code, count=1)
            err = x.refuse("text %d" % code, key)
            equal((err["code"], err["data"]["reason"]), (number, reason), "error for %d" % code)
            equal(err["data"]["retryable"], False, "retryable for %d" % code)
            x.c.wait_event(lambda e: e.get("type") == "message.status" and e["body"]["status"] == "failed"
                           and e["body"].get("code") == code)
            equal(x.state(key)["status"], "failed", "row after %d" % code)
        watch = x.watch()
        mark = len(x.c.events)
        drop(w)
        wait_state(x.c, "online", mark)
        for code, number, reason in rows:  # the key tells the same, and sends nothing
            again = x.refuse("text %d" % code, "refused-%d" % code)
            equal((again["code"], again["data"]["reason"]), (number, reason), "the same answer for %d" % code)
        x.send("after", "after")
        equal(x.seen(watch), 1, "messages since the reconnect")
        x.ward.stop()
        x.ward.start()
        c = follow(x.ward, "alice", "again", "latest")
        equal(c.call("message.state", account="alice", idempotency_key="refused-479")["status"], "failed", "after a restart")
        w.sim.wait_inbox("bob", 2)
        equal([m["text"] for m in w.sim.inbox("bob")], ["warm up", "after"], "what arrived")


@test
def service_unavailable():
    """503 as the ack of a message: the same message again with the same id, and it arrives once"""
    with World() as w:
        x = Line(w)
        watch = x.watch()
        w.sim.cmd("fault.arm", match=x.match, action="error", code=503, count=1)
        r = x.send("try again", "k503")
        equal(r["status"], "server", "status")
        w.sim.wait_inbox("bob", 2)
        equal([m["id"] for m in x.got("try again")], [r["message_id"]], "once, under its id")
        equal(x.seen(watch), 2, "sent twice")


@test
def lost_acks():
    """an ack that is lost: sent again after the reconnect under the same id; the other side has it once"""
    with World() as w:
        x = Line(w)
        w.sim.cmd("fault.arm", match=ACK, action="drop", count=1)
        n = x.ask("ack lost", "lost")
        w.sim.wait_inbox("bob", 2)
        watch = x.watch()
        drop(w)
        m = x.c.answer(n)["result"]
        check(m["status"] in ("server", "delivered"), "status", m)
        w.sim.cmd("expect", 30, watch=watch, count=1, deadline_ms=20000)
        equal(x.seen(watch), 1, "sent again once")
        equal([k["id"] for k in x.got("ack lost")], [m["message_id"]], "once")
        # the same over a crash of the service
        w.sim.cmd("fault.arm", match=ACK, action="drop", count=1)
        x.ask("crash", "crash", wait="queued")
        w.sim.wait_inbox("bob", 3)
        x.ward.kill("apid")
        x.ward.wait_end()
        x.ward.start()
        c = follow(x.ward, "alice", "again", "latest")
        wait_until(lambda: c.call("message.state", account="alice", idempotency_key="crash")["status"] in ("server", "delivered"),
                   30, "acked at last")
        equal(len(x.got("crash")), 1, "once")
        equal(w.sim.cmd("stats")["phones"]["decrypt_failures"], 0, "failures to decrypt at the phones")


@test
def waiting_ends():
    """wait ends by its time limit with -11 outcome_unknown; the same key again is safe and gives the end of it"""
    with World() as w:
        x = Line(w)
        w.sim.cmd("fault.arm", match=x.match, action="drop", count=1)
        err = x.refuse("slow", "slow", timeout_ms=400)
        equal((err["code"], err["data"]["reason"], err["data"]["retryable"]), (-11, "outcome_unknown", True), "error")
        err = x.refuse("slow", "slow", timeout_ms=400)
        equal(err["code"], -11, "still unknown")
        err = x.refuse("another text", "slow")
        equal((err["code"], err["data"]["reason"]), (-9, "key_reused"), "the key with another text")
        drop(w)
        r = x.send("slow", "slow")
        equal((r["status"] in ("server", "delivered"), r["duplicate"]), (True, True), "the end of it")
        r = x.send("slow", "slow", wait="delivered")
        equal((r["status"], r["duplicate"]), ("delivered", True), "delivered")
        # the phone is off: the service has it, the recipient does not
        w.sim.cmd("phone.set", account="bob", on=False)
        err = x.refuse("sleeping", "sleeping", wait="delivered", timeout_ms=600)
        equal(err["code"], -11, "not delivered in time")
        equal(x.state("sleeping")["status"], "server", "how far it is")
        w.sim.cmd("phone.set", account="bob", on=True)
        equal(x.send("sleeping", "sleeping", wait="delivered")["status"], "delivered", "when the phone is on")
        equal([len(x.got(t)) for t in ("slow", "sleeping")], [1, 1], "each once")


@test
def not_after():
    """a message that could not be sent by its time fails and never goes out; one with time left does"""
    with World() as w:
        x = Line(w)
        w.sim.cmd("login.refuse", account="alice", reason=503)
        mark = len(x.c.events)
        drop(w)
        wait_state(x.c, "backoff", mark)
        now = int(time.time() * 1000)
        late = x.send("too late", "late", wait="queued", not_after_ms=now + 300)
        x.send("in time", "good", wait="queued", not_after_ms=now + 600000)
        equal(late["status"], "queued", "accepted")
        wait_until(lambda: time.time() * 1000 > now + 400, 10, "the time is over")
        w.sim.cmd("login.refuse", account="alice", reason=0)
        x.c.wait_type("message.status", message_id=late["message_id"], status="failed", reason="expired")
        w.sim.wait_inbox("bob", 2)
        err = x.refuse("too late", "late", not_after_ms=now + 300)
        equal((err["code"], err["data"]["reason"]), (-1, "window_closed"), "asked again")
        err = x.refuse("past", "past", not_after_ms=now - 1000)
        equal((err["code"], err["data"]["reason"]), (-1, "window_closed"), "a time in the past")
        x.send("end", "end")
        w.sim.wait_inbox("bob", 3)
        equal([m["text"] for m in w.sim.inbox("bob")], ["warm up", "in time", "end"], "what arrived")


@test
def nobody_there():
    """recipients that are not there, or are no recipients: told so, and nothing is sent"""
    with World() as w:
        x = Line(w)
        watch = x.watch()
        rows = [("+15559999999", -1, "not_on_whatsapp"), ("15559999999@s.whatsapp.net", -1, "not_on_whatsapp"),
                ("u_" + "a" * 26, -1, "not_found")]
        for to, code, reason in rows:
            err = x.c.error("message.send", account="alice", to=to, text="x", idempotency_key="n" + to.replace("@", "-").replace("+", ""))
            equal((err["code"], err["data"]["reason"]), (code, reason), "to " + to)
        for to in ("", "+", "nobody", "+1", "@", "a@b@c", "+1555000111122223333444455556666"):
            err = x.c.error("message.send", account="alice", to=to, text="x", idempotency_key="m")
            check(err["code"] in (-32602, -1), "to %r" % to, err)
        equal(x.seen(watch), 0, "sent")


@test
def odd_texts():
    """long texts, emoji, right-to-left, control characters arrive byte for byte, both ways"""
    odd = ["x" * (60 << 10), "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1e9\U0001f1ea e\u0301 \u00e9",
           "\u05e9\u05dc\u05d5\u05dd \u202eabc\u202c \u0645\u0631\u062d\u0628\u0627", "".join(chr(i) for i in range(1, 32)) + "\x7f\u0085\u2028\u2029\ufeff",
           "\r\n \t leading and trailing \n\n", "\uffff\U0010ffff\ufdd0", '"\\/{}[]\\u0000', "z\u0335" * 2000, " "]
    with World() as w:
        x = Line(w)
        for i, text in enumerate(odd):
            x.send(text, "odd-%d" % i)
        w.sim.wait_inbox("bob", len(odd) + 1)
        equal([m["text"] == t for m, t in zip(w.sim.inbox("bob")[1:], odd)], [True] * len(odd), "out")
        for text in odd:
            w.sim.cmd("phone.send", account="bob", to="alice", text=text)
        wait_texts(x.c, len(odd))
        equal([a == b for a, b in zip(texts(x.c), odd)], [True] * len(odd), "in")
        x.ask("nul \0 here", "nul")
        equal(x.c.answer(None)["error"]["code"], -32602, "NUL")  # the line is not taken apart, so there is no id
        err = x.refuse("x" * 65537, "long")
        check(err["code"] in (-32602, -1), "longer than allowed", err)


if __name__ == "__main__":
    main()
