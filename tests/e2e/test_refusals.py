"""What the service refuses, and how a client is told: codes, until when, time-lock and quota, acks that are wrong.
Scenarios of protocol page 11, section 8: acks (late, none, of another message, with an error), stale device lists,
restrictions of the account."""

import os
import random
import signal
import time

from harness import World, check, equal, main, test, wait_until
from test_chain import follow
from test_faults_net import FROM_ALICE, drop, metric, wait_state
from test_faults_send import Line

QUERY = dict(FROM_ALICE, tag="iq", xmlns="w:mex")
USYNC = dict(FROM_ALICE, tag="iq", xmlns="usync")
DAY = 86400


def now():
    return int(time.time())


class Refused(Line):
    """A line whose service says no, and others whom alice never wrote to."""

    def forge(self, how, **kw):
        self.w.sim.cmd("ack.forge", account="alice", how=how, **kw)

    def stranger(self, name):
        return self.w.sim.account(name)["pn"]

    def to(self, pn, text, key, **kw):
        return self.c.answer(self.c.send("message.send", account="alice", to="+" + pn, text=text, idempotency_key=key, **kw))

    def event(self, what, start=0, **body):
        return self.c.wait_event(lambda e: e.get("type") == what and all(e["body"].get(k) == v for k, v in body.items()),
                                 30, start)

    def again(self):
        """The service starts anew; a client of it."""
        self.ward.wait_end() if self.ward.proc.poll() is None else None
        self.ward.start()
        self.c = follow(self.ward, "alice", "again", "latest")
        wait_until(lambda: self.c.call("account.state", account="alice")["state"] == "online", 30, "online")
        return self.c

    def same(self, pn, text, key, want, what):
        got = self.to(pn, text, key)["error"]
        equal((got["code"], got["data"]["reason"], got["data"].get("until_ms"), got["data"].get("code")), want, what)


@test
def every_code():
    """each code of the ack is its typed error with the number in data.code, the same in message.state and after a restart"""
    rows = [(400, -1, "refused"), (404, -1, "not_found"), (405, -1, "refused"), (406, -1, "not_found"),
            (421, -1, "refused"), (463, -12, "reachout_timelock"), (473, -1, "refused"), (475, -12, "new_chats_capped"),
            (479, -1, "refused"), (500, -1, "refused"), (599, -1, "refused")]
    with World() as w:
        x = Refused(w)
        for code, number, reason in rows:
            x.forge("error", code=code)
            e = x.refuse("text", "c%d" % code)
            equal((e["code"], e["data"]["reason"], e["data"]["code"], e["data"]["retryable"]),
                  (number, reason, code, False), "error for %d" % code)
            x.c.wait_type("message.status", status="failed", code=code)
        equal(len(w.sim.inbox("bob")), 1, "what arrived")
        x.ward.stop()
        watch = x.watch()
        x.again()
        for code, number, reason in rows:
            s = x.state("c%d" % code)
            equal((s["status"], s["code"], s["error"]["code"], s["error"]["reason"]), ("failed", code, number, reason),
                  "message.state for %d" % code)
            equal(x.c.call("message.state", account="alice", message_id=s["message_id"])["error"], s["error"], "by its id")
            x.same(x.bob["pn"], "text", "c%d" % code, (number, reason, None, code), "the key for %d" % code)
        equal(x.seen(watch), 0, "sent again")
        check(x.send("after", "after")["status"] in ("server", "delivered"), "and the chat goes on")


@test
def time_lock():
    """463 asks for the time-lock: -12 with its end, durable; nobody new is written to until then, known chats go on"""
    with World() as w:
        x = Refused(w)
        carol, dave = x.stranger("carol"), x.stranger("dave")
        end = now() + 3
        w.sim.cmd("account.restrict", account="alice", timelock={"active": True, "ends": end, "enforcement": "BIZ_QUALITY"})
        x.forge("error", code=463, to=w.sim.account("carol")["lid"].split("@")[0])
        first = x.to(carol, "hello", "carol")["error"]
        equal((first["code"], first["data"]["reason"], first["data"]["until_ms"], first["data"]["code"]),
              (-12, "reachout_timelock", end * 1000, 463), "the refusal")
        e = x.event("account.restricted", kind="reachout_timelock", active=True)
        equal((e["body"]["until_ms"], e["body"]["enforcement"]), (end * 1000, "BIZ_QUALITY"), "the event")
        p = x.c.wait_type("outbox.paused", scope="new_chats")
        equal((p["body"]["reason"], p["body"]["until_ms"] // 1000), ("reachout_timelock", end), "the pause")
        watch = x.watch()
        e = x.to(dave, "hello", "dave")["error"]
        equal((e["code"], e["data"]["reason"], e["data"]["until_ms"], "code" in e["data"]),
              (-12, "reachout_timelock", end * 1000, False), "another new person, before the service is asked")
        equal(x.seen(watch), 0, "nothing left for him")
        check(x.send("known", "known")["status"] in ("server", "delivered"), "a known chat goes on")
        r = x.c.call("account.restrictions", account="alice")
        equal((r["reachout_timelock"]["active"], r["reachout_timelock"]["until_ms"], r["temp_ban"]["active"]),
              (True, end * 1000, False), "account.restrictions")
        equal(x.c.call("account.state", account="alice")["state"], "online", "the account is online all the same")
        x.ward.kill("apid")
        x.again()
        x.same(carol, "hello", "carol", (-12, "reachout_timelock", end * 1000, 463), "after a kill")
        equal(x.state("carol")["error"]["until_ms"], end * 1000, "message.state after a kill")
        w.sim.cmd("account.restrict", account="alice", timelock={"active": False, "ends": 0})
        x.event("account.restricted", kind="reachout_timelock", active=False)
        x.c.wait_type("outbox.resumed", scope="new_chats")
        equal("result" in x.to(dave, "hello", "dave"), True, "the same key, when it is over")
        x.same(carol, "hello", "carol", (-12, "reachout_timelock", end * 1000, 463), "and hers is never sent again")


@test
def lock_without_time():
    """463 with no lock active, with a lock that tells no time, and with a service that does not tell at all"""
    with World() as w:
        x = Refused(w)
        people = [x.stranger("p%d" % i) for i in range(4)]
        x.forge("error", code=463, count=3)
        e = x.to(people[0], "a", "a")["error"]
        equal((e["code"], "until_ms" in e["data"]), (-12, False), "no lock: no time")
        w.sim.cmd("account.restrict", account="alice", fail={"code": 403, "retryable": False, "count": 1})
        e = x.to(people[1], "b", "b")["error"]
        equal((e["code"], "until_ms" in e["data"]), (-12, False), "an error of the query")
        check(metric(x.c, "mex_failures") >= 1, "it is counted")
        w.sim.cmd("account.restrict", account="alice", timelock={"active": True, "ends": 0})
        e = x.to(people[2], "c", "c")["error"]
        check(50 < e["data"]["until_ms"] / 1000 - time.time() < 61, "a lock without a time is a minute", e)
        w.sim.cmd("account.restrict", account="alice", timelock={"active": False, "ends": 0}, push=True)
        x.event("account.restricted", active=False)
        check("result" in x.to(people[3], "d", "d"), "the push ends it")


@test
def new_chats_capped():
    """475 asks for the quota: -12 with the end of its cycle; account.quota by method, by event and by push"""
    with World() as w:
        x = Refused(w)
        carol, dave = x.stranger("carol"), x.stranger("dave")
        end = now() + 2 * DAY
        quota = {"total": 50, "used": 50, "start": now() - DAY, "end": end, "capping": "CAPPED"}
        w.sim.cmd("account.restrict", account="alice", quota=quota)
        x.forge("error", code=475)
        e = x.to(carol, "hello", "carol")["error"]
        equal((e["code"], e["data"]["reason"], e["data"]["until_ms"]), (-12, "new_chats_capped", end * 1000), "the refusal")
        b = x.c.wait_type("account.quota")["body"]
        equal((b["total"], b["used"], b["cycle_end_ms"], b["capping"]), (50, 50, end * 1000, "CAPPED"), "the event")
        q = x.c.call("account.quota", account="alice")
        equal((q["used"], q["capping"], q["ote"]), (50, "CAPPED", "NOT_ELIGIBLE"), "account.quota")
        equal(x.to(dave, "hello", "dave")["error"]["data"]["until_ms"], end * 1000, "nobody new")
        x.ward.stop()
        x.again()
        x.same(carol, "hello", "carol", (-12, "new_chats_capped", end * 1000, 475), "after a restart")
        equal(x.to(dave, "hello", "dave")["error"]["data"]["until_ms"], end * 1000, "nobody new after a restart")
        mark = len(x.c.events)
        w.sim.cmd("account.restrict", account="alice", quota=dict(quota, used=3, capping="NONE"), push=True)
        x.c.wait_type("account.quota", start=mark, capping="NONE", used=3)
        check("result" in x.to(dave, "hello", "dave"), "when there is quota again")
        w.sim.cmd("account.restrict", account="alice", quota=dict(quota, used=9, capping="FIRST_WARNING"))
        equal(x.c.call("account.quota", account="alice", refresh=True)["used"], 9, "asked anew")
        w.sim.cmd("account.restrict", account="alice", fail={"code": 500, "retryable": True, "count": 1})
        e = x.c.error("account.quota", account="alice", refresh=True)
        equal((e["code"], e["data"]["retryable"], e["data"]["code"]), (-3, True, 500), "an error of the query")


@test
def pushes():
    """pushes of type mex: the lock begins and ends by them, unknown ones are kept raw, and odd ones end nothing"""
    with World() as w:
        x = Refused(w)
        end = now() + DAY
        w.sim.cmd("account.restrict", account="alice", timelock={"active": True, "ends": end}, push=True)
        x.event("account.restricted", active=True, until_ms=end * 1000)
        equal(x.to(x.stranger("carol"), "x", "x")["error"]["data"]["reason"], "reachout_timelock", "by the push")
        odd = ["", "{", "[]", "{}", '{"data":null}', '{"data":{"xwa2_notify_account_reachout_timelock":7}}', "\ufeff{}", '{"data":{"xwa2_notify_account_reachout_timelock":{"is_active":"yes"}},"errors":[]}'[:40],
               '{"data":' * 70 + "1" + "}" * 70, '{"a":1,"a":2}', '{"errors":[{"extensions":7}]}', "9" * 70000]
        acks = w.sim.cmd("watch", match=dict(FROM_ALICE, tag="ack", **{"class": "notification"}))["watch"]
        for text in odd:
            w.sim.cmd("mex.push", account="alice", op_name="NotificationUserReachoutTimelockUpdate", payload=text)
        w.sim.cmd("mex.push", account="alice", op_name="NotificationOfTomorrow", payload='{"data":{"n":1}}')
        e = x.c.wait_type("server.mex", op_name="NotificationOfTomorrow")
        equal(e["body"]["payload"], {"data": {"n": 1}}, "kept")
        w.sim.cmd("expect", 30, watch=acks, count=len(odd) + 1, deadline_ms=20000)
        equal(x.c.call("account.restrictions", account="alice")["reachout_timelock"]["active"], True, "it still holds")


@test
def wrong_acks():
    """acks that come late, never, for another message, or with an error after the delivery: told as it is, sent once"""
    with World() as w:
        x = Refused(w)
        w.sim.cmd("phone.set", account="bob", receipts=False)  # a receipt would tell what the ack does not
        x.forge("late", ms=700)
        check(x.send("late", "late")["status"] in ("server", "delivered"), "late")
        x.forge("other_id")
        equal(x.refuse("other", "other", timeout_ms=500)["code"], -11, "the ack of another message is none of ours")
        equal(x.state("other")["status"], "queued", "it is not known to be sent")
        mark = len(x.c.events)
        drop(w)
        wait_state(x.c, "online", mark)
        check(x.send("other", "other")["status"] in ("server", "delivered"), "sent again under the same id, and acked")
        x.forge("none")
        equal(x.refuse("none", "none", timeout_ms=500)["code"], -11, "no ack")
        x.ward.kill("apid")
        x.again()
        wait_until(lambda: x.state("none")["status"] != "queued", 30, "acked after a kill")
        x.forge("error_after", code=479)
        e = x.refuse("after", "after")
        equal((e["code"], e["data"]["code"]), (-1, 479), "an error although it was delivered is what the service said")
        equal([len(x.got(t)) for t in ("late", "other", "none", "after")], [1, 1, 1, 1], "each arrived once")


@test
def stale_lists():
    """another phash in the ack makes both device lists be asked for again, nothing is sent twice; refresh_lid asks once"""
    with World() as w:
        x = Refused(w)
        asked = w.sim.cmd("watch", match=USYNC)["watch"]
        x.forge("phash")
        check(x.send("hash", "hash")["status"] in ("server", "delivered"), "sent all the same")
        w.sim.cmd("expect", 20, watch=asked, count=1, deadline_ms=10000)
        equal(metric(x.c, "device_lists_stale"), 1, "counted")
        sent = x.watch()
        check(x.send("next", "next")["status"] in ("server", "delivered"), "the next")
        equal((x.seen(sent), len(x.got("hash"))), (1, 1), "nothing twice")
        asked = w.sim.cmd("watch", match=USYNC)["watch"]
        x.forge("refresh_lid", count=3)
        for i in range(3):
            x.send("lid %d" % i, "lid%d" % i)
        w.sim.cmd("expect", 20, watch=asked, count=1, deadline_ms=10000)
        x.send("end", "end")
        equal(x.seen(asked), 1, "asked once a connection")
        x.forge("error", code=404)
        x.refuse("gone", "gone")
        asked = w.sim.cmd("watch", match=USYNC)["watch"]
        x.send("back", "back")
        check(x.seen(asked) >= 1, "after 404 his list is asked for again")


@test
def too_much():
    """429: -5 with a time, the account pauses, the others wait; the same key sends it then under its id, once"""
    with World() as w:
        x = Refused(w)
        x.forge("error", code=429)
        e = x.refuse("much", "much")
        equal((e["code"], e["data"]["reason"], e["data"]["retryable"], e["data"]["code"]), (-5, "rate_limited", True, 429), "error")
        check(20000 < e["data"]["retry_after_ms"] <= 30000, "retry_after_ms", e)
        p = x.c.wait_type("outbox.paused", scope="account", reason="rate_limited")
        check(p["body"]["until_ms"] > time.time() * 1000 + 20000, "until", p)
        watch = x.watch()
        r = x.send("wait", "wait", wait="queued")
        equal((r["status"], r["waits_for"], r["position"]), ("queued", "account_rate", 1), "the next one waits")
        check(x.state("wait")["retry_after_ms"] > 15000, "and says how long")
        again = x.refuse("much", "much")
        equal((again["code"], again["data"]["until_ms"]), (-5, e["data"]["until_ms"]), "not before its time")
        equal(x.seen(watch), 0, "nothing left")
        rows = x.c.call("outbox.list", account="alice")
        equal([(k["state"], k["waits_for"]) for k in rows["rows"]], [("queued", "account_rate")], "outbox.list")


@test
def killed_in_a_refusal():
    """apid or stored killed at any time around a refusal: never two ids, never sent again, and its end is told"""
    rng = random.Random(os.environ.get("WARD_SEED") or "7")
    with World() as w:
        x = Refused(w)
        for i in range(6):
            code, role = (463, 475, 479)[i % 3], ("apid", "stored")[i % 2]
            end = now() + DAY + i
            pn = x.stranger("new%d" % i)
            w.sim.cmd("account.restrict", account="alice", timelock={"active": code == 463, "ends": end},
                      quota={"end": end, "capping": "CAPPED" if code == 475 else "NONE", "used": i, "total": 9})
            seen = w.sim.cmd("watch", match=dict(FROM_ALICE, tag="message"))["watch"]
            x.forge("error", code=code, count=0, to=w.sim.account("new%d" % i)["lid"].split("@")[0])
            x.c.send("message.send", account="alice", to="+" + pn, text="text", idempotency_key="k%d" % i)
            if i < 3:
                w.sim.cmd("expect", 20, watch=seen, count=1, deadline_ms=10000)
            time.sleep(rng.random() * 0.02)  # somewhere in the middle of what follows
            os.kill(x.ward.pids()[role], signal.SIGKILL)
            x.again()
            m = x.to(pn, "text", "k%d" % i, timeout_ms=20000)
            want = {463: "reachout_timelock", 475: "new_chats_capped", 479: "refused"}[code]
            check("error" in m and m["error"]["data"]["reason"] == want, "its end", m)
            if code != 479:  # whenever it was killed, the row and an event say until when
                told = lambda: x.c.call("message.state", account="alice", idempotency_key="k%d" % i).get("until_ms")
                wait_until(lambda: told() == end * 1000 or "code" not in m["error"]["data"], 20, "until when")
                equal(m["error"]["data"]["until_ms"], end * 1000, "the client's error")
            ids = {l.split('id="')[1].split('"')[0] for l in sent_to(w, "new%d" % i)} or {None}
            equal(len(ids), 1, "ids of message %d" % i)
            w.sim.cmd("account.restrict", account="alice", timelock={"active": False, "ends": 0},
                      quota={"end": end, "capping": "NONE"}, push=True)
            wait_until(lambda: not x.c.call("account.restrictions", account="alice")["reachout_timelock"]["active"]
                       and x.c.call("account.quota", account="alice").get("capping") != "CAPPED", 20, "the restriction is over")
            x.same(pn, "text", "k%d" % i, (m["error"]["code"], m["error"]["data"]["reason"], m["error"]["data"].get("until_ms"),
                                           m["error"]["data"].get("code")), "told the same again") if "code" in m["error"]["data"] else None


def sent_to(w, name):
    """Lines of the simulator's log: the messages of alice to that account."""
    w.sim.cmd("log.flush")
    names = [w.sim.account(name)[k].split("@")[0] for k in ("lid", "jid")]
    with open(os.path.join(w.sim.dir, "stanzas.log")) as f:
        return [l for l in f if " <- " in l and "<message" in l and any(n in l.split("<participants")[0] for n in names) and ' id="' in l]


if __name__ == "__main__":
    main()
