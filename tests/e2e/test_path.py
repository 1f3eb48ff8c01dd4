"""The path of a message with something missing on the way: each text arrives once, each send is told as it is."""

from harness import World, check, equal, main, test, wait_until
from test_chain import follow, texts, wait_texts
from test_faults import linked_world, send_in


def send_out(c, bob, text, key, **kw):
    return c.call("message.send", account="alice", to="+" + bob["pn"], text=text, idempotency_key=key, **kw)


def box_texts(w):
    return [m["text"] for m in w.sim.inbox("bob")]


@test
def phone_asks_again():
    """what a phone cannot decrypt it asks for again, and reads it once, under the same id"""
    with World() as w:
        ward, c = linked_world(w)
        bob = w.sim.account("bob")
        send_out(c, bob, "first", "k0")
        w.sim.wait_inbox("bob", 1)
        sent = []
        for i in range(3):  # the resend of the last is broken too
            w.sim.cmd("fault.arm", match={"account": "bob", "device": 0, "direction": "out", "tag": "message"},
                      action="corrupt", count=2 if i == 2 else 1)
            sent.append(send_out(c, bob, "text %d" % i, "k%d" % (i + 1), wait="delivered", timeout_ms=30000))
        box = w.sim.wait_inbox("bob", 4)
        equal([(m["id"], m["text"]) for m in box[1:]], [(s["message_id"], "text %d" % i) for i, s in enumerate(sent)],
              "bob's inbox")
        equal([s["status"] for s in sent], ["delivered"] * 3, "statuses")
        equal(w.sim.cmd("stats")["phones"]["retries_asked"], 4, "how often bob asked")
        for i in range(3):
            c.wait_type("message.status", message_id=sent[i]["message_id"], status="retrying")


@test
def phone_asks_many_times_at_once():
    """sixty texts that a phone cannot read, one after the other: all are read in the end, and the link stays"""
    with World() as w:
        ward, c = linked_world(w)
        bob = w.sim.account("bob")
        send_out(c, bob, "first", "k0")
        w.sim.wait_inbox("bob", 1)
        w.sim.cmd("fault.arm", match={"account": "bob", "device": 0, "direction": "out", "tag": "message", "first": True},
                  action="corrupt", count=60)
        mark = ward.log.mark()
        calls = [c.send("message.send", account="alice", to="+" + bob["pn"], text="t %d" % i, idempotency_key="m%d" % i)
                 for i in range(60)]
        for n in calls:
            check("result" in c.answer(n), "sent")
        w.sim.wait_inbox("bob", 61)
        equal(sorted(box_texts(w)[1:]), sorted("t %d" % i for i in range(60)), "bob's inbox")
        check(w.sim.cmd("stats")["phones"]["retries_asked"] >= 60, "each was asked for again")
        equal([line for line in ward.log.lines[mark:] if "connecting anew" in line], [], "the link stays")


@test
def ack_is_lost():
    """the service's ack is lost with the connection: the text is sent again and read once"""
    with World() as w:
        ward, c = linked_world(w)
        bob = w.sim.account("bob")
        send_out(c, bob, "first", "k0")
        for i in range(3):
            w.sim.cmd("fault.arm", match={"account": "alice", "direction": "out", "tag": "ack", "class": "message"},
                      action="drop", count=1)
            n = c.send("message.send", account="alice", to="+" + bob["pn"], text="t %d" % i, idempotency_key="t%d" % i,
                       timeout_ms=60000)
            w.sim.wait_inbox("bob", 2 + i)
            w.sim.cmd("device.drop", account="alice", device=1, how="reset")
            check(c.answer(n)["result"]["status"] in ("server", "delivered"), "status")
        send_out(c, bob, "end", "end")
        w.sim.wait_inbox("bob", 5)
        equal(box_texts(w), ["first", "t 0", "t 1", "t 2", "end"], "bob's inbox")


@test
def our_answers_are_lost():
    """our receipts and acks do not arrive: the service delivers again, and each text is one event"""
    with World() as w:
        ward, c = linked_world(w)
        send_in(w, "first")
        wait_texts(c, 1)
        for tag in ("receipt", "ack"):
            w.sim.cmd("fault.arm", match={"account": "alice", "direction": "in", "tag": tag}, action="drop", count=0)
        send_in(w, "x", count=20)
        wait_texts(c, 21)
        w.sim.cmd("fault.clear")
        w.sim.cmd("device.drop", account="alice", device=1, how="reset")
        w.sim.cmd("wait", what="queue_empty", account="alice", device=1, deadline_ms=30000)
        send_in(w, "end")
        wait_texts(c, 22)
        equal(texts(c), ["first"] + ["x"] * 20 + ["end"], "texts")
        check(not [e for e in c.events if e.get("event", {}).get("type") == "message.undecryptable"],
              "what comes again is known")


@test
def backlog_that_grows():
    """texts that come while the service waits for each offline_batch come with the backlog, at once"""
    with World() as w:
        w.sim.account("alice", offline_mode="pulled")
        w.sim.account("bob")
        ward = w.ward("alice")
        ward.link("alice")
        ward.stop()
        send_in(w, "q", count=300)
        watch = w.sim.cmd("watch", match={"account": "alice", "direction": "out", "tag": "ib", "child": "offline_preview"})
        ward.start()
        w.sim.cmd("expect", watch=watch["watch"], count=1, deadline_ms=30000)
        send_in(w, "more", count=600)
        c = follow(ward, "alice")
        wait_texts(c, 900, 30)
        wait_until(lambda: c.call("account.state", account="alice")["state"] == "online", 30, "online")
        equal([e["event"]["body"]["how"] for e in c.events if e.get("event", {}).get("type") == "offline.done"],
              ["complete"] * 2, "how the backlogs ended")
        send_in(w, "end")
        wait_texts(c, 901, 30)


@test
def text_of_control_characters():
    """a text whose JSON is six times its size stops nothing, in neither direction"""
    with World() as w:
        ward, c = linked_world(w)
        bob = w.sim.account("bob")
        big = "\x01" * 60000
        send_in(w, big)
        send_in(w, "behind it")
        wait_texts(c, 2)
        first = [e["event"]["body"]["message"] for e in c.events
                 if e.get("event", {}).get("type") == "message.received"][0]
        check(first["content"].get("truncated") is True and big.startswith(first["content"]["text"]), "cut, and said so")
        equal(send_out(c, bob, big, "k1")["status"], "server", "status")
        equal(w.sim.wait_inbox("bob", 1)[0]["text"], big, "bob's inbox")


if __name__ == "__main__":
    main()
