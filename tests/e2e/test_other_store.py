"""The whole chain over other stores: the example in stored's place, and the backend that keeps everything in memory."""

import os
import shutil

from harness import BUILD, TOP, World, equal, main, test, wait_until

EXAMPLE = ["/usr/bin/python3", "-B", os.path.join(TOP, "tests/conformance/example_store.py"), os.path.join(BUILD, "py")]


def with_example(folder):
    """Settings under which the parent starts the example as stored."""
    libexec = os.path.join(folder, "libexec")
    os.mkdir(libexec, 0o755)
    for name, source in ("keyd", "keyd"), ("netd", "netd"), ("apid", "apid"), ("stored", "store_launcher"):
        shutil.copy(os.path.join(BUILD, source), os.path.join(libexec, name))
    with open(os.path.join(libexec, "stored.args"), "w") as f:
        f.write("\n".join(EXAMPLE))
    return {"service": {"libexec": libexec, "developer_unconfined": "yes"}}  # it does not confine itself


def texts(client):
    return [e["event"]["body"]["message"]["content"].get("text") for e in list(client.events)
            if e.get("event", {}).get("type") == "message.received"]


def follow(ward, consumer, count):
    """All events from the beginning, once so many texts are among them."""
    c = ward.client()
    c.call("events.subscribe", **{"consumer": consumer, "from": "earliest", "window": 1024})
    wait_until(lambda: len(texts(c)) >= count, 60, lambda: "%d texts, have %d" % (count, len(texts(c))))
    return c


def talk(w, ward):
    """Link, and 50 texts each way; what came, and the chat."""
    ward.link("alice")
    w.sim.account("bob")
    w.sim.cmd("phone.send", account="bob", to="alice", text="n", count=50)
    c = follow(ward, "talk", 50)
    chat = next(e["event"]["body"]["message"]["chat"]["id"] for e in c.events
                if e.get("event", {}).get("type") == "message.received")
    for i in range(50):
        sent = c.call("message.send", account="alice", to=chat, text="out %d" % i, idempotency_key="o%d" % i, wait="server")
        equal(sent["status"], "server", "status")
    equal([m["text"] for m in w.sim.wait_inbox("bob", 50)], ["out %d" % i for i in range(50)], "what bob got")
    return texts(c), chat


@test
def example_in_place():
    """linked, 50 texts each way, a restart and more of them, with a store that is written in another language"""
    with World() as w:
        ward = w.ward("alice", extra=with_example(w.folder))
        came, chat = talk(w, ward)
        ward.stop()
        w.sim.cmd("phone.send", account="bob", to="alice", text="later", count=5)
        ward.start()
        c = follow(ward, "again", 55)
        equal(texts(c)[:50], came, "what is there after the restart")
        again = c.call("message.send", account="alice", to=chat, text="out 0", idempotency_key="o0", wait="server")
        equal(again["duplicate"], True, "a key that was used before the restart")
        equal(len(w.sim.inbox("bob")), 50, "bob got nothing twice")


@test
def memory_forgets():
    """the same with everything in memory: it works, says so loudly, and is a new device after a restart"""
    with World() as w:
        ward = w.ward("alice", extra={"store": {"backend": "memory"}})
        ward.log.wait(r"stored.*warn: .*nothing survives a restart", 10)
        talk(w, ward)
        ward.stop()
        ward.start()
        equal(ward.client().call("account.state", account="alice")["state"], "unlinked", "the account after a restart")


if __name__ == "__main__":
    main()
