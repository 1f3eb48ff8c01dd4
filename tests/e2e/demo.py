"""make demo: the whole system against the simulated service, for somebody who sees it the first time."""

import json
import re
import subprocess
import sys

from harness import World, program, wait_until


def say(text):
    print("\n\033[1m== %s\033[0m" % text if sys.stdout.isatty() else "\n== %s" % text)
    sys.stdout.flush()


def link(ward, world, account):
    watch = ward.client()
    watch.call("events.subscribe", **{"from": "latest", "filter": {"accounts": [account]}})
    ctl = subprocess.Popen([program("wardctl"), "-s", ward.socket, "-a", account, "account", "link", "--qr=utf8"],
                           stdout=subprocess.PIPE)
    qr = watch.wait_event(lambda e: e.get("type") == "account.link" and e["body"].get("step") == "qr")
    world.sim.scan(account, qr["body"]["text"])
    out = ctl.communicate(timeout=60)[0].decode()
    watch.wait_event(lambda e: e.get("type") == "account.state" and e["body"]["state"] == "online")
    if ctl.returncode != 0:
        sys.exit("demo: wardctl account link ended with %d" % ctl.returncode)
    return out


def main():
    with World() as w:
        w.sim.account("carol", push_name="Carol")
        say("the simulated service listens on port %d (seed %s)" % (w.sim.port, w.sim.seed))
        ward = w.ward("ops", "alerts")
        say("ward runs: ward, keyd, netd, stored, apid")
        say("wardctl account link: the QR code that a phone scans")
        print(link(ward, w, "ops"))
        link(ward, w, "alerts")
        print("two accounts are linked: ops, alerts")

        say("Carol's phone sends \"hello\"")
        w.sim.cmd("phone.send", account="carol", to="ops", text="hello")
        events = ward.client()
        events.call("events.subscribe", consumer="demo", **{"from": "earliest"})
        got = events.wait_type("message.received")
        message = got["body"]["message"]
        print("event %d: %s says %r" % (got["seq"], message["sender"]["push_name"], message["content"]["text"]))
        if message["content"]["text"] != "hello":
            sys.exit("demo: another text came in")

        say("wardctl message send: ward answers")
        r = ward.ctl("--json", "-a", "ops", "message", "send", message["chat"]["id"], "hello Carol, this is ward")
        if r.returncode != 0:
            sys.exit("demo: message send: %s" % r.stderr.decode())
        sent = json.loads(r.stdout)
        inbox = w.sim.wait_inbox("carol", 1)
        print("Carol's phone got: %r (message %s)" % (inbox[0]["text"], inbox[0]["id"]))
        events.wait_type("message.status", message_id=sent["message_id"], status="delivered")
        w.sim.cmd("phone.read", account="carol", ids=[sent["message_id"]])
        events.wait_type("message.status", message_id=sent["message_id"], status="read")
        print("delivered and read")

        say("wardctl show sandbox")
        r = ward.ctl("--table", "show", "sandbox")
        sys.stdout.write(r.stdout.decode())
        if r.returncode != 0 or inbox[0]["text"] != "hello Carol, this is ward":
            sys.exit(1)
        say("stopping")
    print("demo: all went well")


if __name__ == "__main__":
    main()
