"""Faults of connections and logins (protocol page 11, section 6, rows "connection" and "login"): each is an account
state that says what it is and who must act, stays so over a restart, and none makes a storm of connections."""

import json
import os
import time

from harness import SLOW, World, check, equal, main, test, wait_until
from test_chain import follow, texts, wait_texts
from test_faults import send_in
from test_faults_net import drop, linked, wait_state

UNIT, MOST = 0.05, 1.0  # backoff_unit and backoff_max, seconds
STEPS = {"network": {"backoff_unit": "50ms", "backoff_max": "1s", "connect_timeout": "2s"}}


def most_connects(seconds):
    """How many attempts fit into a time, with the first at once and each wait the least that jitter allows."""
    a, b, at, n = UNIT, UNIT, 0.0, 1
    while True:
        at += 0.9 * min(a, MOST)
        if at > seconds:
            return n
        a, b, n = b, a + b, n + 1


# fault of every login -> state, reason, user_action, attempts: "steps" = as the back-off has them, or so many
LOGINS = {
    "f400": (dict(reason=400), "stopped", "failure_generic", "operator", 1),
    "f401": (dict(reason=401), "logged_out", "logged_out", "relink", 1),
    "f402": (dict(reason=402, code=104, expire=3600), "restricted", "temp_banned", "wait", 1),
    "f403": (dict(reason=403), "logged_out", "locked", "open_phone", 1),
    "f405": (dict(reason=405), "outdated", "client_outdated", "upgrade", 1),
    "f406": (dict(reason=406), "banned", "banned", "open_phone", 1),
    "f409": (dict(reason=409), "stopped", "bad_user_agent", "operator", 1),
    "f412": (dict(reason=412), "stopped", "failure_412", "operator", 1),
    "f415": (dict(reason=415), "stopped", "not_found", "operator", 1),
    "f418": (dict(reason=418), "stopped", "client_unknown", "operator", 1),
    "f500": (dict(reason=500), "backoff", "server_error", "none", "steps"),
    "f501": (dict(reason=501), "stopped", "experimental", "operator", 1),
    "f503": (dict(reason=503), "backoff", "unavailable", "none", "steps"),
    "f503-stays": (dict(reason=503, close=False), "backoff", "unavailable", "none", 3),
    "s401": (dict(stream=True, code=401), "backoff", "unauthorized", "none", "steps"),
    "s401-conflict": (dict(stream=True, code=401, conflict="other"), "backoff", "conflict", "none", "steps"),
    "s401-removed": (dict(stream=True, code=401, conflict="device_removed"), "logged_out", "device_removed", "relink", 1),
    "s409": (dict(stream=True, code=409), "replaced", "replaced", "operator", 1),
    "s429": (dict(stream=True, code=429), "backoff", "rate_limited", "wait", 1),
    "s500": (dict(stream=True, code=500, after_success=True), "backoff", "server_error", "none", "steps"),
    "s503": (dict(stream=True, code=503, after_success=True), "backoff", "unavailable", "none", "steps"),
    "s515": (dict(stream=True, code=515, after_success=True), "connecting", "restart_required", "none", 6),
    "s516": (dict(stream=True, code=516), "logged_out", "forced_logout", "relink", 1),
    "s999": (dict(stream=True, code=999), "backoff", "stream_error", "none", "steps"),
    "replaced": (dict(stream=True, conflict="replaced", after_success=True), "replaced", "replaced", "operator", 1),
    "no-ack": (dict(stream=True, child="ack", after_success=True), "backoff", "missing_ack", "none", "steps"),
    "no-pong": (dict(stream=True, child="ping", after_success=True), "backoff", "missing_pong", "none", "steps"),
    "not-xml": (dict(stream=True, child="xml-not-well-formed"), "backoff", "bad_stanza", "none", "steps"),
    "silent": (None, "backoff", "login_timeout", "none", 4),
}
LASTS = ("stopped", "logged_out", "restricted", "outdated", "banned", "replaced")


def tried(w):
    return {a["account"]: a["logins_tried"] for a in w.sim.cmd("account.list")["accounts"]}


@test
def every_refusal():
    """each reason of <failure> and each <stream:error>, at every login: the state that page 01 says, kept over a restart
    with its code, its attempts counted, and all that the service said kept as server.notice"""
    with World() as w:
        ward = w.ward(*LOGINS, extra=STEPS)
        c = ward.client()
        c.call("events.subscribe", **{"from": "latest"})
        for name in LOGINS:
            ward.link(name, rpc=c)
        for name, (fault, *_) in LOGINS.items():
            if fault is None:
                w.sim.cmd("fault.arm", match={"account": name, "direction": "out", "tag": "success"}, action="drop", count=0)
            else:
                w.sim.cmd("login.refuse", account=name, **fault)
        before, mark, began = tried(w), len(c.events), time.monotonic()
        for name in LOGINS:
            w.sim.cmd("device.drop", account=name, device=1)
        for name, (_, state, reason, action, _) in LOGINS.items():
            e = c.wait_event(lambda e: e.get("type") == "account.state" and e["account"] == name and
                             e["body"]["reason"] == reason, 30, mark)
            equal((e["body"]["state"], e["body"]["user_action"]), (state, action), name)
        time.sleep(max(0, 6 - (time.monotonic() - began)))  # a storm needs time to be one
        seconds, now = time.monotonic() - began, tried(w)
        for name, (_, state, _, _, most) in LOGINS.items():
            n = now[name] - before[name]
            # a connection that logged in begins with the first step; one was cut by us
            most = most_connects(seconds) + 1 if most == "steps" else most
            check(1 <= n <= most, "%s: attempts in %.1f s, at most %d" % (name, seconds, most), n)
        notices = [e["event"]["account"] for e in c.events[mark:] if e.get("event", {}).get("type") == "server.notice"]
        for name, (fault, *_) in LOGINS.items():
            if fault is not None and fault.get("code") != 515:
                check(name in notices, "what the service said is kept", name)
        said = {n: c.call("account.state", account=n) for n in LOGINS}
        err = c.error("message.send", account="f402", to="+15550001111", text="x", idempotency_key="1")
        equal((err["code"], err["data"]["reason"]), (-12, "temp_banned"), "send while banned")
        check(err["data"]["until_ms"] == said["f402"]["until_ms"], "until", err, said["f402"])
        err = c.error("message.send", account="f405", to="+15550001111", text="x", idempotency_key="1")
        equal((err["code"], err["data"]["reason"]), (-13, "client_outdated"), "send while outdated")
        equal((said["f402"]["code"], said["f402"]["subcode"]), (402, 104), "code of the ban")
        check("client data" in said["f405"]["text"], "what to do", said["f405"])
        before = tried(w)
        ward.stop()
        ward.start()
        c = ward.client()
        for name, (_, state, *_) in LOGINS.items():
            if state in LASTS:
                equal(c.call("account.state", account=name), said[name], "after a restart, " + name)
                equal(tried(w)[name], before[name], "attempts of %s after a restart" % name)


@test
def refused_connections_without_a_storm():
    """TCP, TLS, upgrade, hello, handshake, silence: so many refusals take as long as the back-off says, then well again"""
    rows = [("net.refuse", {"what": "tcp"}, 6), ("net.refuse", {"what": "tls"}, 6),
            ("net.refuse", {"what": "upgrade", "status": 503}, 6), ("net.refuse", {"what": "upgrade", "status": 403}, 2),
            ("noise.forge", {"what": "close"}, 6), ("noise.forge", {"what": "silent"}, 2),
            ("noise.forge", {"what": "bad_tag"}, 6)]
    with World() as w:
        ward, c = linked(w, extra={"network": dict(STEPS["network"], stable_after="50ms")})
        for cmd, params, count in rows:
            mark, log = len(c.events), ward.log.mark()
            # what ends the connection is asked for before: the refusal is for everybody, this client as well
            w.sim.cmd("fault.arm", match={"account": "alice", "device": 1, "direction": "out", "tag": "message"},
                      action="close", after=1, count=1)
            send_in(w, "cut", count=2, gap_ms=400)
            w.sim.cmd(cmd, count=count, **params)
            began = time.monotonic()
            wait_state(c, "backoff", mark)
            wait_state(c, "online", mark)
            took, closed = time.monotonic() - began, [l for l in ward.log.lines[log:] if "next attempt" in l]
            check(len(closed) >= count, "refusals of %s %s" % (cmd, params), closed)
            check(len(closed) <= most_connects(took) + 1, "attempts in %.1f s of %s %s" % (took, cmd, params), closed)
        send_in(w, "well again")
        wait_until(lambda: "well again" in texts(c), 30, "the text")


@test
def success_in_other_words():
    """<success> without a LID, or with another than before: logged in, and messages come"""
    with World() as w:
        ward, c = linked(w, extra=STEPS)
        lid = c.call("account.get", account="alice")["lid"]
        for n, told in enumerate((1, 2, 0), 1):
            w.sim.cmd("account.set", account="alice", lid_told=told)
            mark = len(c.events)
            drop(w)
            wait_state(c, "online", mark)
            send_in(w, "told %d" % told)
            wait_texts(c, n)
            now = c.call("account.get", account="alice")["lid"]
            equal(now == lid, told != 2, "the LID after %d" % told)


@test
def newer_client_data():
    """a 405 stops the account with what to change; a newer file of client data and a restart log in again"""
    with World() as w:
        ward, c = linked(w, extra=STEPS)
        version = c.call("server.version")
        equal(version["web_client_version"], w.sim.account("alice")["client_version"], "the version that the service was told")
        check(version["age_s"] > 0 and version["client_date"] == "2026-08-22", "age", version)
        w.sim.cmd("login.refuse", account="alice", reason=405)
        mark = len(c.events)
        drop(w)
        e = wait_state(c, "outdated", mark)
        check(version["web_client_version"] in e["body"]["text"], "text", e)
        health = c.call("server.health")
        row = [x for x in health["checks"] if x["name"] == "client_version"][0]
        equal((row["status"], row["reason"], row["user_action"]), ("failing", "client_outdated", "upgrade"), "health")
        w.sim.cmd("login.refuse", account="alice", reason=0)
        tries = tried(w)["alice"]
        ward.stop()
        ward.start()
        equal(ward.client().call("account.state", account="alice")["state"], "outdated", "the same version is not tried again")
        equal(tried(w)["alice"], tries, "attempts")
        ward.stop()
        with open(ward.client_data, "w") as f:
            f.write("[client]\nrevision = 1045999999\ndate = 2026-11-20\nos_version = 0.2\n[queries]\nsome_query = 12345\n")
        ward.start()
        c = follow(ward, "alice", "again")
        wait_until(lambda: c.call("account.state", account="alice")["state"] == "online", 30, "online")
        equal(w.sim.account("alice")["client_version"], "2.3000.1045999999", "the version of the file")
        version = c.call("server.version")
        equal((version["web_client_version"], version["client_date"]), ("2.3000.1045999999", "2026-11-20"), "server.version")
        metrics = c.call("server.metrics")
        check("# TYPE ward_client_version_age_seconds gauge" in metrics["text"], "metric")
        check(metrics["counters"]["client_version_age_seconds"] < version["age_s"] + 60, "age", metrics["counters"])
        send_in(w, "with the new version")
        wait_texts(c, 1)
        ward.stop()
        with open(ward.client_data, "w") as f:
            f.write("[client]\nrevision = soon\n")
        ward.start(ready=False)
        check(ward.wait_end() != 0, "exit status")
        ward.log.wait(r"\.client:2: revision must be a whole number", 10)
        os.chmod(ward.client_data, 0o666)
        ward.start(ready=False)
        check(ward.wait_end() != 0, "exit status")
        ward.log.wait(r"writable by nobody else", 10)


@test
def old_client_data():
    """client data older than client.max_age is told in health, with what to do, and the account works on"""
    with World() as w:
        ward, c = linked(w, extra=dict(STEPS, client={"max_age": "1d"}))
        row = [x for x in c.call("server.health")["checks"] if x["name"] == "client_version"][0]
        equal((row["status"], row["reason"], row["user_action"]), ("degraded", "client_old", "upgrade"), "health")
        send_in(w, "hello")
        wait_texts(c, 1)


@test
def this_version_ends():
    """client_expiration: told as an event, in health until another version runs, and after a restart too"""
    def row(c):
        return [x for x in c.call("server.health")["checks"] if x["name"] == "client_version"][0]

    def expire(w, **attrs):
        w.sim.cmd("stanza.send", account="alice", device=1, node={
            "tag": "ib", "attrs": {"from": "s.whatsapp.net"}, "content": [{"tag": "client_expiration", "attrs": attrs}]})

    with World() as w:
        ward, c = linked(w, extra=STEPS)
        soon = int(time.time()) + 5 * 86400
        expire(w, t=str(soon))
        c.wait_event(lambda e: e.get("type") == "server.notice" and "client_expiration" in json.dumps(e["body"]))
        wait_until(lambda: row(c)["reason"] == "client_expires", 10, "health")
        equal((row(c)["status"], row(c)["until_ms"]), ("degraded", soon * 1000), "health")
        ward.stop()
        ward.start()
        c = follow(ward, "alice", "again")
        wait_until(lambda: c.call("account.state", account="alice")["state"] == "online", 30, "online")
        equal((row(c)["reason"], row(c)["until_ms"]), ("client_expires", soon * 1000), "health after a restart")
        expire(w)
        wait_until(lambda: row(c)["reason"] != "client_expires", 10, "taken back")


@test
def stops_quickly():
    """SIGTERM with twenty connections open: all are closed in order within two seconds; with a deaf service too"""
    names = ["a%d" % i for i in range(20)]
    with World() as w:
        ward = w.ward(*names)
        c = ward.client()
        for name in names:
            ward.link(name, rpc=c)
        equal(w.sim.cmd("stats")["connections"]["open"], len(names), "connections")
        ward.clients.clear()
        began = time.monotonic()
        equal(ward.stop(), 0, "exit status")
        took = time.monotonic() - began
        check(took < 2 * SLOW, "seconds to stop", took)
        wait_until(lambda: w.sim.cmd("stats")["connections"]["open"] == 0, 5, "all connections closed")
        c.close()
        ward.start()
        c = ward.client()
        wait_until(lambda: all(a["state"] == "online" for a in c.call("account.list")["accounts"]), 30, "online")
        for name in names[:5]:
            w.sim.cmd("conn.freeze", account=name, device=1, ms=0)
        began = time.monotonic()
        equal(ward.stop(), 0, "exit status")
        took = time.monotonic() - began
        check(took < 3 * SLOW, "seconds to stop with a service that does not answer", took)


if __name__ == "__main__":
    main()
