"""Where the master key comes from: file, credential and passphrase; what is refused, and how that is said."""

import os
import shutil

from harness import World, check, equal, main, test
from test_chain import follow, wait_texts
from test_faults import send_in


def put(path, data, mode=0o400):
    if os.path.lexists(path):
        os.remove(path)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, mode), "wb") as f:
        f.write(data)
    os.chmod(path, mode)


def source(w, kind, secret=None):
    """The value of service.master_key for a new secret of this kind, and its file."""
    path = os.path.join(w.folder, "secret")
    raw = os.urandom(32)
    put(path, secret or {"raw": raw, "hex": raw.hex().encode() + b"\n", "credential": raw,
                         "passphrase": "correct horse, größer".encode() + b"\n"}[kind])
    os.environ["CREDENTIALS_DIRECTORY"] = w.folder
    return {"raw": "file:" + path, "hex": "file:" + path, "credential": "credential:secret",
            "passphrase": "passphrase:" + path}[kind], path


def works(kind):
    with World() as w:
        w.sim.account("bob")
        value, path = source(w, kind)
        ward = w.ward("alice", extra={"service": {"master_key": value}})
        ward.link("alice")
        c = follow(ward, "alice")
        send_in(w, "one")
        wait_texts(c, 1)
        ward.stop()
        send_in(w, "two")
        ward.start()
        wait_texts(follow(ward, "alice", "again"), 2)
        with open(ward.conf) as f:
            check("correct horse" not in f.read(), "no secret in the config")
        equal([line for line in ward.log.lines if "correct horse" in line], [], "no secret in the log")


@test
def key_file_raw():
    """32 bytes in a file: links, receives, and after a restart again"""
    works("raw")


@test
def key_file_hex():
    """64 hexadecimal digits in a file do the same"""
    works("hex")


@test
def key_credential():
    """a credential of the service manager does the same"""
    works("credential")


@test
def key_passphrase():
    """a passphrase does the same: right at the restart, it opens all"""
    works("passphrase")


@test
def wrong_passphrase():
    """another passphrase, and a key file in place of the passphrase: named in log and health, then the right one works"""
    with World() as w:
        w.sim.account("bob")
        value, path = source(w, "passphrase")
        ward = w.ward("alice", extra={"service": {"master_key": value}})
        ward.link("alice")
        ward.stop()
        shutil.move(path, path + ".good")
        for other in ({"kind": "passphrase", "secret": b"correct horse, groesser\n"}, {"kind": "raw"}):
            ward.settings["service"]["master_key"] = source(w, **other)[0]
            ward.start()
            ward.log.wait(r"keyd.*wrong_master_key", 20)
            health = ward.client().call("server.health")
            equal(health["status"], "failing", "health")
            check(any(k["reason"] == "wrong_master_key" and k["user_action"] == "operator" for k in health["checks"]),
                  "the check names it", health)
            err = ward.client().error("message.send", account="alice", to="+15550001111", text="x", idempotency_key="1")
            equal((err["code"], err["data"]["reason"]), (-14, "keys_locked"), "send")
            ward.stop()
        shutil.move(path + ".good", path)
        ward.settings["service"]["master_key"] = value
        ward.start()
        send_in(w, "unlocked")
        wait_texts(follow(ward, "alice", "again"), 1)


@test
def refused_key_files():
    """keys that others may reach, that are no keys, or are not there: ward ends with a line that says what to do"""
    rows = [(b"k" * 32, 0o440, 0, "file:", r"has mode 440, so others may reach it: chmod 0400"),
            (b"k" * 32, 0o402, 0, "file:", r"has mode 402, so others may reach it: chmod 0400"),
            (b"k" * 32, 0o400, 64109, "file:", r"belongs to uid 64109: chown it to root"),
            (b"", 0o400, 0, "file:", r"a master key is 32 bytes, or 64 hexadecimal digits"),
            (b"k" * 31, 0o400, 0, "file:", r"a master key is 32 bytes, or 64 hexadecimal digits"),
            (b"k" * 33, 0o400, 0, "file:", r"a master key is 32 bytes, or 64 hexadecimal digits"),
            (b"g" * 64, 0o400, 0, "file:", r"a master key is 32 bytes, or 64 hexadecimal digits"),
            (b"k" * 70000, 0o400, 0, "file:", r"master key.*(cannot be used|too long|at most)"),
            (b"short\n", 0o400, 0, "passphrase:", r"a passphrase has at least 8 bytes"),
            (b"", 0o400, 0, "passphrase:", r"a passphrase has at least 8 bytes"),
            (None, 0, 0, "file:", r"key source .*secret: No such file"),
            ("link", 0, 0, "file:", r"key source .*secret"),
            ("folder", 0, 0, "file:", r"key source .*secret: must be a file"),
            ("fifo", 0, 0, "file:", r"key source .*secret: must be a file")]
    with World(sim=False) as w:
        path = os.path.join(w.folder, "secret")

        def refused(value, pattern):
            ward = w.ward("alice", start=False, extra={"service": {"master_key": value}})
            ward.start(ready=False)
            ward.log.wait(pattern, 20)
            check(ward.wait_end() != 0, "exit status for", value, pattern)
            check(not ward.log.grep(r"^ward: notice: ready"), "not ready", ward.log.lines)
            check(not ward.log.grep(r"kkkk"), "no key in the log", ward.log.lines)

        for data, mode, uid, scheme, pattern in rows:
            if uid and os.geteuid() != 0:
                continue
            if data == "link":
                put(path + ".real", b"k" * 32)
                os.symlink(path + ".real", path)
            elif data == "folder":
                os.mkdir(path)
            elif data == "fifo":
                os.mkfifo(path, 0o400)
            elif data is not None:
                put(path, data, mode)
            if uid:
                os.chown(path, uid, uid)
            refused(scheme + path, pattern)
            if os.path.isdir(path):
                os.rmdir(path)
            elif os.path.lexists(path):
                os.remove(path)
        os.environ.pop("CREDENTIALS_DIRECTORY", None)
        refused("credential:secret", r"credential secret: the service manager passed none")
        os.environ["CREDENTIALS_DIRECTORY"] = w.folder
        refused("credential:none", r"key source .*none: No such file")
        put(path + ".x", b"k" * 32)
        os.environ["CREDENTIALS_DIRECTORY"] = os.path.join(w.folder, "sub")
        refused("credential:../secret.x", r"service manager passed none|credential")
        os.environ.pop("CREDENTIALS_DIRECTORY")

        # the same of the next key, which is opened in the same way
        good = os.path.join(w.folder, "good")
        put(good, b"k" * 32)
        for name, data, mode, pattern in (("a", b"n" * 32, 0o440, r"has mode 440, so others may reach it"),
                                          ("b", b"n" * 31, 0o400, r"the next master key from the file cannot be used"),
                                          ("c", None, 0, r"key source .*c: No such file")):
            path = os.path.join(w.folder, name)
            if data is not None:
                put(path, data, mode)
            ward = w.ward("alice", start=False, extra={"service": {
                "master_key": "file:" + good, "next_master_key": "file:" + path}})
            ward.start(ready=False)
            ward.log.wait(pattern, 20)
            check(ward.wait_end() != 0, "exit status for the next key", pattern)
        refused("", r"service.master_key")
        refused("vault:x", r"master_key")


if __name__ == "__main__":
    try:
        main()
    finally:
        os.environ.pop("CREDENTIALS_DIRECTORY", None)
