"""A login from <success> to online, as the service sees it (protocol page 01, section 8): what is sent, in which order,
and what of it is kept. connect_and_pair and disconnect_cleans_session of page 11, 8.1 are the first two tests."""

import os
import re

from harness import World, check, equal, main, test, wait_until
from test_chain import follow, texts, wait_texts
from test_faults import send_in
from test_faults_net import drop, linked, wait_state


def stanzas(w):
    """What alice's device sent since its last login: lines of the stanza log, after the note of the login."""
    w.sim.cmd("log.flush")
    with open(os.path.join(w.sim.dir, "stanzas.log"), encoding="utf-8", errors="replace") as f:
        lines = f.read().splitlines()
    start = max(i for i, line in enumerate(lines) if "-- login user=" in line)
    return lines[start], [l for l in lines[start:] if "alice:1 <- " in l]


def place(lines, pattern):
    for i, line in enumerate(lines):
        if re.search(pattern, line):
            return i
    raise AssertionError("nothing like %r in\n%s" % (pattern, "\n".join(lines)))


@test
def connect_and_pair():
    """after pairing the account is logged in: online, with its JIDs, and the service knows one live device"""
    with World() as w:
        ward, c = linked(w)
        d = c.call("account.get", account="alice")
        equal(d["state"], "online", "state")
        wait_until(lambda: w.sim.cmd("device.list", account="alice")["devices"][1]["phase"] == "live", 10, "live")
        equal(d["jid"], w.sim.cmd("device.list", account="alice")["devices"][1]["jid"], "JID")


@test
def disconnect_cleans_session():
    """paused: not logged in any more, and no attempt is made; resumed: logged in again"""
    with World() as w:
        ward, c = linked(w)
        c.call("account.pause", account="alice")
        wait_until(lambda: w.sim.cmd("stats")["connections"]["open"] == 0, 10, "closed")
        equal(c.call("account.state", account="alice")["state"], "stopped", "state")
        tried = w.sim.account("alice")["logins_tried"]
        send_in(w, "while away")
        equal(w.sim.account("alice")["logins_tried"], tried, "attempts")
        c.call("account.resume", account="alice")
        wait_texts(c, 1)


@test
def order_after_success():
    """session mark, prekeys, active, backlog; then switches, privacy, own devices, in the background; lc counts logins"""
    with World() as w:
        ward, c = linked(w)
        counters = []
        for n in range(3):
            send_in(w, "text %d" % n)
            wait_texts(c, n + 1)
            mark = len(c.events)
            asked = w.sim.cmd("watch", match=dict(account="alice", device=1, direction="in", xmlns="abt"))
            drop(w)
            wait_state(c, "online", mark)
            w.sim.cmd("expect", watch=asked["watch"], deadline_ms=20000)
            login, lines = stanzas(w)
            counters.append(int(re.search(r" lc=(\d+)", login).group(1)))
        order = [place(lines, p) for p in ("unified_session", r"xmlns=.?encrypt.*<count", r"xmlns=.?passive.*<active")]
        equal(order, sorted(order), "session mark, count, active")
        for later in (r"xmlns=.?abt", r"xmlns=.?privacy", r"xmlns=.?usync"):
            check(place(lines, later) > order[-1], "after active: " + later, lines)
        check("passive=1 pull=1" in login, "pull mode", login)
        equal(counters, list(range(counters[0], counters[0] + 3)), "login counters")


@test
def switches_with_hash():
    """the switches are asked for in full once, then with their hash; when the service says that they changed, at once"""
    with World() as w:
        ward, c = linked(w)
        asked = w.sim.cmd("watch", match=dict(account="alice", device=1, direction="in", xmlns="abt"))
        for restart in (False, True):
            mark = len(c.events)
            if restart:
                ward.stop()
                ward.start()
                c, mark = follow(ward, "alice", "again"), 0
            else:
                drop(w)
            w.sim.cmd("expect", 30, watch=asked["watch"], deadline_ms=20000, count=2 if restart else 1)
            _, lines = stanzas(w)
            check("hash=" in lines[place(lines, r"xmlns=.?abt")], "with the hash", lines)
        w.sim.cmd("stanza.send", account="alice", device=1, node={
            "tag": "notification", "attrs": {"id": "p1", "from": "s.whatsapp.net", "type": "server"},
            "content": [{"tag": "abprops"}]})
        w.sim.cmd("expect", watch=asked["watch"], deadline_ms=20000, count=3)


@test
def dirty_account():
    """account_sync is read again and cleaned with its own time, after that is durable; groups stay dirty"""
    def dirty(kind, t):
        w.sim.cmd("stanza.send", account="alice", device=1, node={
            "tag": "ib", "attrs": {"from": "s.whatsapp.net"},
            "content": [{"tag": "dirty", "attrs": {"type": kind, "timestamp": str(t)}}]})

    with World() as w:
        ward, c = linked(w)
        mine = dict(account="alice", device=1, direction="in")
        cleaned = w.sim.cmd("watch", match=dict(mine, xmlns="urn:xmpp:whatsapp:dirty"))
        dirty("groups", 1700000001)
        dirty("account_sync", 1700000002)
        w.sim.cmd("expect", watch=cleaned["watch"], deadline_ms=20000)
        _, lines = stanzas(w)
        check('type="account_sync"' in lines[place(lines, "urn:xmpp:whatsapp:dirty")], "clean", lines)
        c.wait_event(lambda e: e.get("type") == "server.notice" and e["body"]["kind"] == "dirty")
        send_in(w, "after")
        wait_texts(c, 1)
        equal(w.sim.cmd("expect", watch=cleaned["watch"], deadline_ms=0)["count"], 1, "cleaned once")


if __name__ == "__main__":
    main()
