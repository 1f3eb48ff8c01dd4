"""The event log and its consumers: taking over, gaps, foreign cursors, crashes, subscriptions that keep nothing."""

import shutil

from harness import World, check, equal, main, test, wait_until
from test_chain import texts, wait_texts
from test_faults import linked_world, send_in


def cursors(c):
    return [e["cursor"] for e in list(c.events) if e.get("cursor")]


def texts_in(events):
    return [e["event"]["body"]["message"]["content"]["text"] for e in events if e["event"]["type"] == "message.received"]


def closed(c, reason):
    return c.wait_event(lambda e: (e.get("type") == "events.closed" or e.get("notice") == "events.closed"
                                   or e.get("reason") == reason) and reason in str(e), 20)


@test
def taking_over():
    """a second client of a consumer is refused, may steal it, and the first one is told; nothing is lost or skipped"""
    with World() as w:
        ward, first = linked_world(w)
        send_in(w, "one")
        wait_texts(first, 1)
        second = ward.client()
        err = second.error("events.subscribe", consumer="t", **{"from": "resume"})
        equal((err["code"], err["data"]["reason"]), (-9, "consumer_busy"), "while the first is there")
        second.call("events.subscribe", consumer="t", window=1024, steal=True, **{"from": "resume"})
        closed(first, "stolen")
        wait_texts(second, 1)  # not acked by the first: it comes again
        mark = len(first.events)
        send_in(w, "two")
        wait_texts(second, 2)
        equal(len(first.events), mark, "nothing more for the first")


@test
def two_consumers():
    """two consumers see the same events in the same order, each at its own pace; filters apply to each alone"""
    with World() as w:
        ward, a = linked_world(w)
        b = ward.client()
        b.call("events.subscribe", consumer="b", window=2, filter={"types": ["message.received"]}, **{"from": "earliest"})
        send_in(w, "m", count=10)
        wait_texts(a, 10)
        got = []
        while len(got) < 10:  # never more than the window
            wait_until(lambda: len(b.events) > len(got), 20, "the next event")
            check(len(b.events) - len(got) <= 2, "window", len(b.events))
            got = list(b.events)
            b.call("events.ack", consumer="b", cursor=got[-1]["cursor"])
        equal([e["event"]["seq"] for e in got], [e["event"]["seq"] for e in a.events
              if e.get("event", {}).get("type") == "message.received"], "the same events in the same order")
        lag = {k["consumer"]: k["lag"] for k in a.call("events.consumers")["consumers"]}
        check(lag["t"] >= 10, "the one that confirms nothing lags", lag)
        seqs = [e["event"]["seq"] for e in a.events if "event" in e]
        equal(seqs, sorted(set(seqs)), "seq rises")


@test
def confirmed_is_confirmed():
    """what was confirmed does not come again after SIGKILL of any process; what was not comes again"""
    with World() as w:
        ward, c = linked_world(w)
        for n, role in enumerate(("stored", "apid", "ward"), 1):
            send_in(w, "confirmed %d" % n)
            wait_texts(c, 1)
            c.call("events.ack", consumer="t", cursor=cursors(c)[-1])
            kept = len(texts(c))
            send_in(w, "open %d" % n)
            wait_texts(c, kept + 1)
            if role == "ward":
                ward.proc.kill()
            else:
                ward.kill(role)
            ward.wait_end()
            ward.start()
            c = ward.client()
            c.call("events.subscribe", consumer="t", window=1024, **{"from": "resume"})
            wait_texts(c, 1)
            equal(texts(c), ["open %d" % n], "after the end of " + role)
            equal([e["event"]["redelivered"] for e in c.events if e["event"]["type"] == "message.received"], [True], "marked")
            c.call("events.ack", consumer="t", cursor=cursors(c)[-1])
            c.close()
            c = ward.client()
            c.call("events.subscribe", consumer="t", window=1024, **{"from": "resume"})


@test
def fetching():
    """events.fetch pulls what is not confirmed, again and again, waits for the first, and confirms by the way"""
    with World() as w:
        ward, c = linked_world(w)
        only = {"types": ["message.received"]}
        f = ward.client()
        f.call("events.fetch", consumer="cron", limit=1)
        send_in(w, "f", count=5)
        wait_texts(c, 5)
        one = f.call("events.fetch", consumer="cron", limit=3, filter=only)
        equal(texts_in(one["events"]), ["f"] * 3, "three")
        equal([e["event"]["seq"] for e in f.call("events.fetch", consumer="cron", limit=3, filter=only)["events"]],
              [e["event"]["seq"] for e in one["events"]], "the same again")
        two = f.call("events.fetch", consumer="cron", limit=10, filter=only, ack=one["cursor"])
        equal(len(two["events"]), 2, "the rest")
        equal(f.call("events.fetch", consumer="cron", filter=only, ack=two["cursor"])["events"], [], "no more")
        n = f.send("events.fetch", consumer="cron", filter=only, wait_ms=30000)
        send_in(w, "late")
        equal(texts_in(f.answer(n)["result"]["events"]), ["late"], "waits for the first")


@test
def keeps_nothing():
    """a subscription without a consumer begins at the end, needs no confirming, and leaves nothing behind"""
    with World() as w:
        ward, c = linked_world(w)
        send_in(w, "before")
        wait_texts(c, 1)
        e = ward.client()
        e.call("events.subscribe", filter={"types": ["message.*"]})
        send_in(w, "m", count=300)
        wait_texts(e, 300)
        check("before" not in texts(e), "from the end")
        equal([k["consumer"] for k in e.call("events.consumers")["consumers"]], ["t"], "consumers")
        e.close()
        send_in(w, "unseen")
        wait_texts(c, 302)
        e = ward.client()
        e.call("events.subscribe", filter={"types": ["message.*"]})
        send_in(w, "seen")
        wait_texts(e, 1)
        equal(texts(e), ["seen"], "from the end again")


@test
def lost_by_force():
    """when events.max_bytes is reached the oldest go, and a consumer is told which: events.gap, then the rest in order"""
    with World() as w:
        ward, c = linked_world(w, extra={"events": {"max_bytes": "1M"}})
        c.close()
        send_in(w, "z" * 50000, count=20)
        # all are in the log; a listener could be too slow to be given the first of them
        wait_until(lambda: not w.sim.cmd("device.queue", account="alice", device=1)["queue"], 30, "20 texts taken in")
        c = ward.client()

        def trimmed():
            f = c.call("events.fetch", consumer="t", limit=1000)["events"]
            return f if f and f[0]["event"]["type"] == "events.gap" else None
        got = wait_until(trimmed, 30, "events.gap")
        gap = got[0]["event"]["body"]
        check(gap["from"] <= gap["to"] and gap["count"] >= 1, "the gap", gap)
        rest = [e["event"]["seq"] for e in got[1:]]
        check(rest and rest[0] > gap["to"], "the rest comes behind it", gap, rest)
        equal(rest, sorted(rest), "in order")
        check(0 < len(texts_in(got[1:])) < 20, "some texts went, some stayed", len(texts_in(got[1:])))
        after = c.call("events.fetch", consumer="t", limit=1000, ack=got[-1]["cursor"])["events"]
        check(not [e for e in after if e["event"]["type"] == "events.gap"], "told once", after)
        new = ward.client()
        new.call("events.subscribe", consumer="new", **{"from": "latest"})
        send_in(w, "small")
        wait_texts(new, 1)


@test
def foreign_cursor():
    """a cursor of another log, of the future, or no cursor at all is refused by name, never answered with other events"""
    with World() as w:
        ward, c = linked_world(w)
        send_in(w, "one")
        wait_texts(c, 1)
        mine = cursors(c)[-1]
        parts = mine.split(".")
        rows = [".".join(parts[:-1] + ["99999999"]), ".".join([parts[0], "0" * len(parts[1]), parts[2]]), "1.x.1", "nonsense", ""]
        for bad in rows:
            for method, params in (("events.ack", {"consumer": "t", "cursor": bad}),
                                   ("events.subscribe", {"consumer": "other", "from": bad}),
                                   ("events.fetch", {"consumer": "third", "ack": bad})):
                err = c.error(method, **params)
                check((err["code"], err["data"]["reason"]) in ((-1, "bad_cursor"), (-32602, "params")), method, bad, err)
                if bad.startswith("1."):
                    check(err["data"]["reason"] == "bad_cursor", method, bad, err)
        ward.stop()
        shutil.rmtree(ward.data)
        ward.start()
        c = ward.client()
        ward.link("alice", rpc=c)
        err = c.error("events.subscribe", consumer="t", **{"from": mine})
        equal((err["code"], err["data"]["reason"]), (-1, "bad_cursor"), "a cursor of the folder that is gone")


if __name__ == "__main__":
    main()
