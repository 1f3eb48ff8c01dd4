"""Pacing: what is too fast waits in the outbox, in its order, visibly, over restarts, and can be cancelled.
Scenarios of protocol page 11, section 8: ordering of sends, offline outbox."""

import time

from harness import World, check, equal, main, test, wait_until
from test_chain import follow
from test_faults_net import metric
from test_faults_send import Line

OFF = {"account_rate": "0", "chat_rate": "0", "new_chats": "0"}


def send_conf(**kw):
    return {"send": {**OFF, **{k: str(v) for k, v in kw.items()}}}


class Paced(Line):
    def to(self, name, text, key, **kw):
        pn = self.w.sim.account(name)["pn"]
        return self.c.answer(self.c.send("message.send", account="alice", to="+" + pn, text=text, idempotency_key=key, **kw))

    def list(self, **kw):
        return self.c.call("outbox.list", account="alice", **kw)

    def again(self):
        self.ward.start()
        self.c = follow(self.ward, "alice", "again", "latest")
        wait_until(lambda: self.c.call("account.state", account="alice")["state"] == "online", 30, "online")

    def texts_of(self, name):
        return [m["text"] for m in self.w.sim.inbox(name)]


@test
def chat_rate():
    """a chat at its rate waits, others go on; the order within it stays, and the pause and its end are told"""
    with World() as w:
        x = Paced(w, extra=send_conf(chat_rate=120, chat_burst=3))
        n = 8
        for i in range(n):
            r = x.to("bob", "b%d" % i, "b%d" % i, wait="queued")["result"]
            if i >= 3:
                equal((r["status"], r["waits_for"]), ("queued", "chat_rate"), "message %d" % i)
        check(x.to("carol", "at once", "c")["result"]["status"] in ("server", "delivered"), "another chat goes on")
        check(len(x.got("b%d" % (n - 1))) == 0, "the last of bob's still waits")
        p = x.c.wait_type("outbox.paused", scope="chat", reason="rate")
        check(p["body"]["chat"].startswith("c_") and p["body"]["until_ms"] > 0, "the pause", p)
        rows = x.list()
        check(rows["depth"] >= 1 and rows["rows"][-1]["waits_for"] in ("chat_rate", "turn"), "outbox.list", rows)
        equal([r["position"] for r in rows["rows"]], list(range(1, len(rows["rows"]) + 1)), "positions")
        s = x.state("b%d" % (n - 1))
        check(s["position"] >= 1 and s["waits_for"] in ("chat_rate", "turn"), "message.state", s)
        check(metric(x.c, "outbox_depth") >= 1, "the metric")
        w.sim.wait_inbox("bob", n + 1)
        equal(x.texts_of("bob")[1:], ["b%d" % i for i in range(n)], "order")
        x.c.wait_type("outbox.resumed", scope="chat", chat=p["body"]["chat"])
        wait_until(lambda: metric(x.c, "outbox_depth") == 0, 10, "nothing waits")
        equal(metric(x.c, "outbox_oldest_seconds"), 0, "and nothing is old")


@test
def account_rate():
    """the account at its rate: all chats wait in the order of the outbox, over a restart; nothing is lost or sent twice"""
    with World() as w:
        x = Paced(w, extra=send_conf(account_rate=240, account_burst=4))
        names = ["bob", "carol", "dave"]
        for name in names[1:]:
            x.to(name, "hi", "hi-" + name)
        for i in range(12):
            x.to(names[i % 3], "m%d" % i, "m%d" % i, wait="queued")
        x.c.wait_type("outbox.paused", scope="account", reason="rate")
        check(x.list()["depth"] >= 6, "they wait", x.list())
        x.ward.kill("apid")
        x.ward.wait_end()
        x.again()
        for name in names:
            w.sim.wait_inbox(name, 5)
        wait_until(lambda: x.list()["depth"] == 0, 30, "all acked")
        for k, name in enumerate(names):
            equal([t for t in x.texts_of(name) if t[0] == "m"], ["m%d" % i for i in range(k, 12, 3)], "order for " + name)
        equal(w.sim.cmd("stats")["phones"]["decrypt_failures"], 0, "failures to decrypt")


@test
def full_and_cancelled():
    """a full outbox is -5 paced with a time; message.cancel takes out what waits, and nothing that is on its way"""
    with World() as w:
        x = Paced(w, extra=send_conf(chat_rate=1, chat_burst=2, outbox_max=4))
        x.send("two", "two")
        for i in range(4):
            equal(x.to("bob", "w%d" % i, "w%d" % i, wait="queued")["result"]["position"], i + 1, "position of %d" % i)
        e = x.refuse("full", "full")
        equal((e["code"], e["data"]["reason"], e["data"]["retryable"]), (-5, "paced", True), "a full outbox")
        check(1000 <= e["data"]["retry_after_ms"] <= 60000, "when", e)
        e = x.refuse("w1", "w1", timeout_ms=300)
        check(e["code"] == -11 and e["data"]["retry_after_ms"] > 1000, "who waits for one is told how long", e)
        r = x.c.call("message.cancel", account="alice", idempotency_key="w1")
        equal(r["cancelled"], True, "cancelled")
        x.c.wait_type("message.status", status="failed", reason="cancelled", message_id=r["message_id"])
        s = x.state("w1")
        equal((s["status"], s["error"]["reason"]), ("failed", "refused"), "message.state of it")
        equal(x.refuse("w1", "w1")["code"], -1, "its key sends nothing")
        equal(x.c.call("message.cancel", account="alice", idempotency_key="two")["cancelled"], False, "one that is sent")
        equal(x.c.error("message.cancel", account="alice", idempotency_key="none")["data"]["reason"], "not_found", "no such key")
        equal([r["position"] for r in x.list()["rows"]], [1, 2, 3], "the others move up")
        equal(len(x.list(limit=2)["rows"]), 2, "a page")
        equal(len(x.list(limit=2, after=x.list(limit=2)["next"])["rows"]), 1, "the next page")
        equal(x.c.error("outbox.list", account="alice", after="x")["code"], -32602, "no next of it")
        now = int(time.time() * 1000)
        late = x.to("bob", "late", "late", wait="queued", not_after_ms=now + 600)["result"]
        x.c.wait_type("message.status", status="failed", reason="expired", message_id=late["message_id"])
        check(int(time.time() * 1000) < now + 5000, "it fails when its time is over, not when its turn comes")
        equal(x.texts_of("bob"), ["warm up", "two"], "what arrived")


@test
def first_contacts():
    """the cap on new people: the next one waits, known chats go on, who answers is known, and a restart does not reset it"""
    with World() as w:
        x = Paced(w, extra=send_conf(new_chats=3))  # bob was the first
        for name in ("carol", "dave"):
            check("result" in x.to(name, "hello", name), name)
        r = x.to("erin", "hello", "erin", wait="queued")["result"]
        equal((r["status"], r["waits_for"]), ("queued", "new_chats"), "the fourth waits")
        check(r["retry_after_ms"] > 86000000, "for a day", r)
        p = x.c.wait_type("outbox.paused", scope="new_chats", reason="first_contacts")
        check(p["body"]["until_ms"] > (time.time() + 86000) * 1000, "until", p)
        check(x.send("known", "known")["status"] in ("server", "delivered"), "a known chat goes on")
        check("result" in x.to("carol", "again", "carol2"), "so does one of today")
        x.ward.kill("stored")
        x.ward.wait_end()
        x.again()
        wait_until(lambda: x.state("erin").get("waits_for") == "new_chats", 20, "it waits after a restart")
        equal(x.to("frank", "hello", "frank", wait="queued")["result"]["waits_for"], "new_chats", "and so does the next")
        equal((x.texts_of("erin"), x.texts_of("frank")), ([], []), "nothing left")
        w.sim.cmd("phone.send", account="erin", to="alice", text="hi there")
        x.c.wait_event(lambda e: e.get("type") == "message.received")
        x.to("erin", "two", "erin2", wait="queued")
        w.sim.wait_inbox("erin", 2, 90)
        equal(x.texts_of("erin"), ["hello", "two"], "she wrote: she is nobody new, and the order stays")
        equal(x.state("frank")["status"], "queued", "frank still waits")
        equal(x.c.call("message.cancel", account="alice", idempotency_key="frank")["cancelled"], True, "until he is cancelled")


@test
def held_by_an_operator():
    """outbox.hold stops a chat, or all of an account, over a kill and a restart; it is seen, and outbox.release loses nothing"""
    with World() as w:
        x = Paced(w, extra=send_conf())
        x.c.call("outbox.hold", account="alice", chat="+" + w.sim.account("bob")["pn"])
        r = x.to("bob", "b0", "b0", wait="queued")["result"]
        equal((r["status"], r["waits_for"]), ("queued", "release"), "of the chat that is held")
        check(x.to("carol", "c0", "c0")["result"]["status"] in ("server", "delivered"), "another goes on")
        x.c.call("outbox.hold", account="alice")
        equal(x.to("carol", "c1", "c1", wait="queued")["result"]["waits_for"], "release", "all of the account")
        x.ward.kill("apid")
        x.ward.wait_end()
        x.again()
        equal([h["scope"] for h in x.list()["holds"]], ["chat", "account"], "after a kill")
        equal([r["waits_for"] for r in x.list()["rows"]], ["release"] * 2, "the rows")
        checks = {k["name"]: (k["status"], k["reason"]) for k in x.c.call("server.health")["checks"]}
        equal(checks.get("account.alice.outbox"), ("degraded", "held"), "server.health")
        equal(metric(x.c, "outbox_holds_now"), 2, "the metric")
        equal(x.texts_of("carol"), ["c0"], "nothing left")
        x.c.call("outbox.release", account="alice")
        x.c.wait_type("outbox.resumed", scope="account")
        w.sim.wait_inbox("carol", 2)
        equal([m for m in x.texts_of("bob") if m == "b0"], [], "the chat is held still")
        x.c.call("outbox.release", account="alice", chat="+" + w.sim.account("bob")["pn"])
        wait_until(lambda: "b0" in x.texts_of("bob"), 20, "released")
        wait_until(lambda: metric(x.c, "outbox_depth") == 0, 10, "nothing waits")
        equal((x.list()["holds"], x.texts_of("carol")), ([], ["c0", "c1"]), "the end")


if __name__ == "__main__":
    main()
