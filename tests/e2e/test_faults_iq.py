"""Answers to requests that are wrong, late, twice, or refusals (protocol page 11, section 6, row "IQ"): the login goes on
or is made anew, a send ends in what is true, and the same key sends its message in the end, once."""

import re
import time

from harness import World, check, equal, main, test, wait_until
from test_chain import texts, wait_texts
from test_faults import send_in
from test_faults_net import FROM_ALICE, TO_ALICE, accepted, drop, linked, wait_state
from test_login_faults import most_connects

STEPS = {"network": {"backoff_unit": "50ms", "backoff_max": "1s"}}
CODES = (400, 401, 403, 404, 405, 406, 409, 429, 500, 503)
SOME = (400, 404, 503)  # a login takes all alike


def answer_of(i, kind="result", content=()):
    return {"tag": "iq", "attrs": {"id": i, "from": "s.whatsapp.net", "type": kind}, "content": list(content)}


def error(i, code, backoff):
    return answer_of(i, "error", [{"tag": "error", "attrs": {"code": str(code), "text": "no", "backoff": str(backoff)}}])


NOBODY = {"tag": "user", "attrs": {"jid": "15559990000@s.whatsapp.net"}, "content": [{"tag": "devices"}]}
HUGE = [{"tag": "usync", "attrs": {"sid": "x"}, "content": [{"tag": "list", "content": [NOBODY] * 4000}]}]
ODD = {
    "of another request": lambda i: answer_of("9.9-" + i),
    "no answer at all": lambda i: answer_of(i, "get"),
    "of an unknown type": lambda i: answer_of(i, "maybe"),
    "empty": lambda i: answer_of(i),
    "of 4,000 strangers": lambda i: answer_of(i, content=HUGE),
    "an error without a code": lambda i: answer_of(i, "error"),
    "to wait for": lambda i: error(i, 503, 1),
    "not to wait for": lambda i: error(i, 500, 999999999),
    "text": lambda i: dict(answer_of(i), content="surprise"),
}


@test
def refused_at_login():
    """an error to every request of a login: no storm, no human needed, and all is well when it is over"""
    with World() as w:
        ward, c = linked(w, extra=STEPS)
        for n, code in enumerate(SOME, 1):
            before, began, mark = accepted(w), time.monotonic(), len(c.events)
            fault = w.sim.cmd("fault.arm", match=dict(FROM_ALICE, tag="iq"), action="error", code=code, count=0)["fault"]
            drop(w)
            hits = lambda: next(f["done"] for f in w.sim.cmd("fault.list")["faults"] if f["fault"] == fault)
            wait_until(lambda: hits() >= 3, 30, "requests that are refused with %d" % code)
            w.sim.cmd("fault.clear", fault=fault)
            wait_state(c, "online", mark)
            made = accepted(w) - before
            check(made <= most_connects(time.monotonic() - began) + 1, "connections for %d" % code, made)
            send_in(w, "after %d" % code)
            wait_texts(c, n)
        equal(texts(c), ["after %d" % code for code in SOME], "texts")


class Sender:
    """Writes to people whose devices are not known yet, so that each send makes requests."""

    def __init__(self, w):
        self.w, self.n = w, 0
        self.ward, self.c = linked(w, extra=STEPS)

    def params(self, name, **kw):
        to = "+" + self.w.sim.account(name)["pn"]
        return dict(account="alice", to=to, text="to " + name, idempotency_key="k-" + name, **kw)

    def someone(self):
        self.n += 1
        name = "new%d" % self.n
        self.w.sim.account(name)
        return name

    def ends_well(self, name, what):
        """Asked again under its key the message is sent, and is there once."""
        m = self.c.call("message.send", **self.params(name))
        check(m["status"] in ("server", "delivered"), "in the end, after " + what, m)
        equal([g["id"] for g in self.w.sim.wait_inbox(name, 1)], [m["message_id"]], "once, after " + what)


def last_id(w, xmlns):
    """The id of the last request of that kind."""
    w.sim.cmd("log.flush")
    with open(w.sim.dir + "/stanzas.log", encoding="utf-8", errors="replace") as f:
        lines = [line for line in f if " alice:1 <- <iq " in line and re.search(r"\bxmlns=\"?%s\b" % xmlns, line.split(">")[0])]
    return re.search(r"\bid=\"?([^\s\">]+)", lines[-1]).group(1)


def odd_answers(xmlns):
    with World() as w:
        s = Sender(w)
        for what, answer in ODD.items():
            name = s.someone()
            asked = dict(FROM_ALICE, tag="iq", xmlns=xmlns)
            seen = w.sim.cmd("watch", match=asked)["watch"]
            lost = w.sim.cmd("fault.arm", match=asked, action="drop", count=1)["fault"]
            n = s.c.send("message.send", **s.params(name, timeout_ms=700))
            w.sim.cmd("expect", watch=seen, deadline_ms=20000)
            w.sim.cmd("fault.clear", fault=lost)
            w.sim.cmd("stanza.send", account="alice", device=1, node=answer(last_id(w, xmlns)))
            m = s.c.answer(n)
            if "error" in m and what == "of 4,000 strangers" and xmlns == "usync":  # whoever is not listed is not there
                equal(m["error"]["data"]["reason"], "not_on_whatsapp", "not listed")
                continue
            if "error" in m:
                check(m["error"]["data"]["retryable"], "an answer that is %s is no reason to give up" % what, m)
            mark = len(s.c.events)
            drop(w)
            wait_state(s.c, "online", mark)
            s.ends_well(name, "an answer that is " + what)
        send_in(w, "still here")
        wait_texts(s.c, 1)


@test
def odd_device_lists():
    """wrong id, wrong type, empty, huge, errors with and without a time: in the place of a device list"""
    odd_answers("usync")


@test
def odd_bundles():
    """the same in the place of prekeys"""
    odd_answers("encrypt")


@test
def refused_for_a_send():
    """each error code to the query of devices and of prekeys: a typed error, and the same key sends it then"""
    with World() as w:
        s = Sender(w)
        for xmlns in ("usync", "encrypt"):
            for code in CODES:
                name = s.someone()
                w.sim.cmd("fault.arm", match=dict(FROM_ALICE, tag="iq", xmlns=xmlns), action="error", code=code, count=1)
                m = s.c.answer(s.c.send("message.send", **s.params(name, timeout_ms=3000)))
                w.sim.cmd("fault.clear")
                check("result" in m or m["error"]["code"] < 0 and m["error"]["data"]["reason"], "an end", m)
                if "error" in m and not m["error"]["data"]["retryable"]:
                    check(m["error"]["data"].get("reason") != "not_on_whatsapp", "a refused query says nothing of him", m)
                s.ends_well(name, "%d to %s" % (code, xmlns))


@test
def late_and_twice():
    """an answer after the client has given up, and each answer twice: sent once"""
    with World() as w:
        s = Sender(w)
        for xmlns in ("usync", "encrypt"):
            name = s.someone()
            w.sim.cmd("fault.arm", match=dict(FROM_ALICE, tag="iq", xmlns=xmlns), action="delay", ms=1200, count=1)
            e = s.c.error("message.send", **s.params(name, timeout_ms=300))
            equal((e["code"], e["data"]["retryable"]), (-11, True), "the client's time is over")
            s.ends_well(name, "a late answer")
        before = accepted(w)
        w.sim.cmd("fault.arm", match=dict(TO_ALICE, tag="iq"), action="duplicate", count=0)
        for _ in range(3):
            s.ends_well(s.someone(), "two answers")
        mark = len(s.c.events)
        drop(w)
        wait_state(s.c, "online", mark)
        s.ends_well(s.someone(), "a login with two answers")
        equal(accepted(w), before + 1, "connections")


if __name__ == "__main__":
    main()
