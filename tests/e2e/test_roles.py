"""Who may do what: clients of other users, by the rules of [roles] and the mode of the socket."""

import json
import os
import socket

from harness import Failure, Skip, World, check, equal, main, test
from test_chain import wait_texts
from test_faults import linked_world, send_in

NOBODY = 65534


def answers(data):
    return {m["id"]: m for m in map(json.loads, data.split(b"\n")[:-1]) if "id" in m}


def ask_as(uid, path, lines, gid=None, groups=()):
    """What a process of that user gets for these requests, or the error that connecting gives it."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        out = {"error": "?"}
        try:
            os.close(r)
            os.setgroups(list(groups))
            os.setgid(uid if gid is None else gid)
            os.setuid(uid)
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(30)
            s.connect(path)
            got = b""
            for n, (method, params) in enumerate(lines, 1):
                s.sendall(json.dumps({"jsonrpc": "2.0", "id": n, "method": method, "params": params}).encode() + b"\n")
                while n not in answers(got):
                    part = s.recv(65536)
                    if not part:
                        raise OSError("closed")
                    got += part
            out = [answers(got)[n] for n in range(1, len(lines) + 1)]
            for m in map(json.loads, got.split(b"\n")[:-1]):
                if "id" not in m:  # events that came besides
                    out.append(m)
        except Exception as e:
            out = {"error": "%s: %s" % (type(e).__name__, e)}
        finally:
            os.write(w, json.dumps(out).encode())
            os._exit(0)
    os.close(w)
    with os.fdopen(r, "rb") as f:
        data = f.read()
    os.waitpid(pid, 0)
    out = json.loads(data)
    if isinstance(out, dict):
        raise Failure(out["error"])
    return out


def denied(m):
    return m.get("error", {}).get("code") == -8


def needs_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


# right parameters, so that nothing but the role decides
PARAMS = {"request.cancel": {"id": 99}, "account.get": {"account": "alice"}, "account.state": {"account": "alice"},
          "account.link": {"account": "bob"}, "account.link_answer": {"account": "bob", "confirm": True},
          "account.link_cancel": {"account": "bob"}, "account.unlink": {"account": "bob"},
          "account.quarantine": {"account": "bob"}, "account.quarantine_purge": {"account": "bob"},
          "account.pause": {"account": "bob"}, "account.resume": {"account": "bob"}, "account.reconnect": {"account": "bob"},
          "session.list": {"account": "bob", "party": "+15550001111"},
          "session.check": {"account": "bob", "party": "+15550001111"},
          "session.repair": {"account": "bob", "party": "+15550001111"},
          "keys.status": {"account": "alice"}, "keys.upload": {"account": "bob"}, "keys.rotate_signed": {"account": "bob"},
          "message.send": {"account": "bob", "to": "+15550001111", "text": "x", "idempotency_key": "1"},
          "message.edit": {"account": "bob", "chat": "+15550001111", "message_id": "x", "text": "x", "idempotency_key": "2"},
          "message.delete": {"account": "bob", "chat": "+15550001111", "message_id": "x", "idempotency_key": "3"},
          "message.react": {"account": "bob", "chat": "+15550001111", "message_id": "x", "text": "x",
                            "idempotency_key": "4"},
          "message.state": {"account": "alice", "idempotency_key": "none"},
          "message.cancel": {"account": "alice", "idempotency_key": "none"}, "outbox.list": {"account": "alice"},
          "outbox.hold": {"account": "bob"}, "outbox.release": {"account": "bob"},
          "account.restrictions": {"account": "alice"}, "account.quota": {"account": "alice"},
          "chat.mark_read": {"account": "bob", "chat": "15550001111@s.whatsapp.net", "message_ids": ["A"]},
          "privacy.tokens_issue": {"account": "bob", "parties": ["+15550001111"]},
          "privacy.tokens_list": {"account": "bob"}, "privacy.tokens_prune": {"account": "bob"},
          "message.receipts": {"account": "alice", "message_id": "none"},
          "chat.mark_played": {"account": "bob", "chat": "15550001111@s.whatsapp.net", "message_ids": ["A"]},
          "chat.typing": {"account": "bob", "chat": "15550001111@s.whatsapp.net", "state": "paused"},
          "presence.set": {"account": "bob", "state": "unavailable"},
          "presence.subscribe": {"account": "bob", "party": "15550001111@s.whatsapp.net"},
          "presence.unsubscribe": {"account": "bob", "party": "15550001111@s.whatsapp.net"},
          "call.reject": {"account": "bob", "call_id": "none"},
          "identity.list": {"account": "bob"}, "identity.safety_number": {"account": "bob", "party": "+15550001111"},
          "identity.verify": {"account": "bob", "party": "+15550001111", "digits": "1" * 60},
          "identity.decide": {"account": "bob", "party": "+15550001111", "decision": "trust"},
          "events.subscribe": {}, "events.unsubscribe": {"subscription": "s9"}, "events.fetch": {"consumer": "x"},
          "events.ack": {"consumer": "none", "cursor": "1.x.1"}, "events.consumer_delete": {"consumer": "none"},
          "store.backup": {"fd": 0}, "store.snapshot": {"name": "of-each-role"}}


def methods_of(ward):
    return ward.client().call("server.hello")["methods"]


@test
def each_role():
    """with each role another user may call what server.hello lists for it, and gets -8 for every other method"""
    needs_root()
    seen = {}
    roles = ["observe", "read", "send", "link", "admin", "identity"]
    extra = {"service": {"socket_mode": "0666"}, "roles": {"uid:%d" % (64300 + i): r for i, r in enumerate(roles)}}
    with World(sim=False) as w:
        ward = w.ward("alice", "bob", extra=extra)
        every = methods_of(ward)
        check(len(every) > 20, "methods", every)
        missing = [m for m in every if m not in PARAMS and m.split(".")[0] not in ("server",)
                   and m not in ("account.list", "events.consumers", "store.stats", "store.check", "store.rekey")]
        equal(missing, [], "methods that this test does not know")
        for i, role in enumerate(roles):
            uid = 64300 + i
            hello = ask_as(uid, ward.socket, [("server.hello", {"features": ["fd"]})])[0]["result"]
            check(role in hello["role"], "role", hello["role"])
            equal(hello["features"], ["fd"] if role == "admin" else [], "who may bring descriptors")
            may = set(hello["methods"])
            seen[role] = may
            check(may and may < set(every), "some methods, not all", role, sorted(may))
            for method, m in zip(every, ask_as(uid, ward.socket, [(m, PARAMS.get(m, {})) for m in every])):
                equal(denied(m), method not in may, "%s for %s" % (method, role))
                if denied(m):
                    equal(m["error"]["data"]["reason"], "role_denied", "reason")
        check("message.send" in seen["send"] and "events.fetch" not in seen["send"], "send cannot read", seen["send"])
        check("events.fetch" in seen["read"] and "message.send" not in seen["read"], "read cannot send")
        check("account.link" in seen["link"] and "message.send" not in seen["link"], "link links")
        check("identity.decide" in seen["identity"] and "message.send" not in seen["identity"], "identity decides",
              seen["identity"])
        check("account.state" in seen["observe"] and "events.subscribe" not in seen["observe"], "observe sees states only")
        equal(ward.proc.poll(), None, "ward lives")


@test
def no_role():
    """a user without a role may say hello and nothing else; by its groups it gets what they have"""
    needs_root()
    with World(sim=False) as w:
        ward = w.ward("alice", extra={"service": {"socket_mode": "0666"}, "roles": {"gid:64200": "observe"}})
        lines = [("account.list", {}), ("message.send", PARAMS["message.send"]), ("events.fetch", {"consumer": "x"})]
        try:
            equal([denied(m) for m in ask_as(NOBODY, ward.socket, lines)], [True] * 3, "without a role")
        except Failure as e:
            check("closed" in str(e) or "Broken" in str(e) or "reset" in str(e), "refused at the door", e)
        equal([denied(m) for m in ask_as(NOBODY, ward.socket, lines, gid=64200)], [False, True, True], "by its group")
        equal([denied(m) for m in ask_as(NOBODY, ward.socket, lines, groups=[64200])], [False, True, True],
              "by a supplementary group")
        ward.client().call("server.hello")


@test
def mode_of_the_socket():
    """with the mode 0660 that is usual, another user cannot connect at all; a member of socket_group can"""
    needs_root()
    with World(sim=False) as w:
        ward = w.ward("alice", extra={"service": {"socket_mode": "0660", "socket_group": "64200"}, "roles": {"gid:64200": "observe"}})
        try:
            ask_as(NOBODY, ward.socket, [("server.hello", {})])
            raise AssertionError("connected")
        except Failure as e:
            check("PermissionError" in str(e), "refused by the file's mode", e)
        m = ask_as(NOBODY, ward.socket, [("server.hello", {}), ("account.list", {})], groups=[64200])
        check("result" in m[0] and "result" in m[1], "a member", m)


@test
def events_of_a_role():
    """without the role to read, no event with content is delivered; consumers belong to the user who made them"""
    needs_root()
    with World() as w:
        ward, c = linked_world(w, extra={"service": {"socket_mode": "0666"},
                                         "roles": {"uid:64301": "link", "uid:64302": "read"}})
        send_in(w, "secret words")
        wait_texts(c, 1)
        m = ask_as(64301, ward.socket, [("events.subscribe", {"consumer": "l", "from": "earliest"}),
                                        ("server.hello", {}), ("events.fetch", {"consumer": "l"})])
        check("result" in m[0], "link may subscribe to its steps", m[0])
        check(denied(m[2]), "and not fetch", m[2])
        check("secret words" not in json.dumps(m), "no content")
        m = ask_as(64302, ward.socket, [("events.fetch", {"consumer": "t", "limit": 1000}), ("events.consumers", {}),
                                        ("message.send", dict(PARAMS["message.send"], account="alice")),
                                        ("events.consumer_delete", {"consumer": "t", "uid": 0})])
        equal([k["uid"] for k in m[1]["result"]["consumers"]], [64302], "only its own consumers")
        check(denied(m[2]) and "error" in m[3], "cannot send, cannot delete another's consumer", m[2], m[3])
        check("t" in [k["consumer"] for k in c.call("events.consumers")["consumers"]], "it is still there")


if __name__ == "__main__":
    main()
