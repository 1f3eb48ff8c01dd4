"""What `wardctl show sandbox` says, against the kernel's own files; and where key bytes are found."""

import json
import os
import re
import subprocess

from harness import BUILD, Failure, ROLES, UIDS, UNCONFINED, Skip, World, check, equal, main, program, test, wait_until


def status(pid):
    with open("/proc/%d/status" % pid) as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def report(ward):
    r = ward.ctl("--json", "show", "sandbox")
    equal(r.returncode, 0, "show sandbox: %r" % r.stderr)
    rows = [json.loads(line) for line in r.stdout.splitlines() if line.strip()]
    return {row["process"]: row for row in rows if row.get("process") in ROLES}


def network(pid):
    """The links of all internet sockets of the machine, as /proc/PID/fd shows them."""
    found = set()
    for name in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        with open("/proc/%d/net/%s" % (pid, name)) as f:
            found |= {"socket:[%s]" % line.split()[9] for line in f.readlines()[1:]}
    return found


def files_are_true(ward, role, pid, told):
    """Descriptors, sockets and mappings of a process, which only root may see: it is not dumpable."""
    if os.geteuid() != 0:
        for name in ("fd", "maps"):
            try:
                (os.listdir if name == "fd" else open)("/proc/%d/%s" % (pid, name))
            except PermissionError:
                continue
            raise Failure("%s: its own user may read /proc/%d/%s" % (role, pid, name))
        return
    fds = {int(fd) for fd in os.listdir("/proc/%d/fd" % pid)}
    listed = {int(n) for n in re.findall(r"(\d+):", told["fds"])}
    if role == "keyd":
        equal(fds, listed, "keyd's descriptors are its table, now as at the seal")
    check(fds >= listed - {7}, role + " descriptors", fds, listed)  # netd's 7 was the CA bundle
    for fd in fds:
        target = os.readlink("/proc/%d/fd/%d" % (pid, fd))
        own = role == "stored" and (target + "/").startswith(ward.data + "/")
        check(own or target == "/dev/null" or re.match(r"(socket|pipe|anon_inode):", target)
              or (role == "ward" and (fd <= 2 or target == ward.data + "/ended")), role + " holds a file", fd, target)
    inside = network(pid)
    if role != "netd":
        equal([fd for fd in fds if os.readlink("/proc/%d/fd/%d" % (pid, fd)) in inside], [],
              role + " network sockets")
    with open("/proc/%d/maps" % pid) as f:
        maps = f.read()
    check(not re.search(r" rwx[ps] | -wx[ps] ", maps), role + " has memory that is writable and executable")
    if role == "keyd":
        check("libcurl" not in maps and "sqlite" not in maps.lower() and "sqlcipher" not in maps,
              "keyd maps libcurl or SQLite")
        check("curl" not in told["libraries"] and "sql" not in told["libraries"], "told libraries", told)


@test
def sandbox_report_is_true():
    """uid, no_new_privs, capabilities, seccomp, descriptors and libraries are what /proc says"""
    if UNCONFINED:
        raise Skip("needs a confined build")
    with World() as w:
        ward = w.ward("alice")
        ward.link("alice")
        said, pids = report(ward), ward.pids()
        equal(sorted(said), sorted(ROLES), "roles")
        for role in ROLES:
            s, told = status(pids[role]), said[role]
            equal(str(told["pid"]), str(pids[role]), role + " pid")
            equal(str(told["uid"]), s["Uid"].split("\t")[0], role + " uid")
            equal(len(set(s["Uid"].split("\t"))), 1, role + " all uids alike")
            equal(s["NoNewPrivs"], "1", role + " no_new_privs in the kernel")
            equal(str(told["no_new_privs"]), "1", role + " no_new_privs told")
            equal(s["Seccomp"], "2", role + " seccomp mode in the kernel")
            equal(str(told["seccomp_mode"]), "2", role + " seccomp mode told")
            check(0 < int(told["seccomp_calls"]) < 90, role + " number of calls", told["seccomp_calls"])
            for cap in ("Inh", "Prm", "Eff", "Bnd", "Amb"):
                if cap == "Bnd" and os.geteuid() != 0:
                    continue  # an unprivileged start cannot drop the bounding set
                wanted = s["Cap" + cap]
                equal(told["cap_" + cap.lower()], wanted, role + " Cap" + cap)
                if role != "ward":
                    equal(int(wanted, 16), 0, role + " Cap" + cap + " is empty")
            files_are_true(ward, role, pids[role], said[role])
        uids = [status(pids[r])["Uid"].split("\t")[0] for r in ROLES]
        if os.geteuid() == 0:
            equal(len(set(uids)), 5, "distinct uids")


@test
def linked_libraries():
    """keyd links neither libcurl nor SQLite; each program links only what it needs"""
    def ldd(name):
        return subprocess.run(["ldd", program(name)], stdout=subprocess.PIPE, check=True).stdout.decode()
    for name, never in {"keyd": "curl|sqlite|sqlcipher|jansson|libssl", "netd": "sqlite|sqlcipher|signal|jansson",
                        "stored": "curl|signal|jansson", "apid": "curl|sqlite|sqlcipher|signal",
                        "ward": "curl|sqlite|sqlcipher|signal|jansson|libssl|libcrypto"}.items():
        hits = re.findall(r"^\s*(\S*(?:%s)\S*)" % never, ldd(name), re.M)
        if name == "netd":  # libcurl of this system may bring its own TLS library along, nothing else
            hits = [h for h in hits if "sqlite" in h or "sqlcipher" in h or "signal" in h or "jansson" in h]
        equal(hits, [], name + " links")


def memory(pid):
    """All readable memory of a process, as chunks."""
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb", 0) as mem:
        for line in maps:
            span, perms = line.split()[:2]
            if "r" not in perms or "[vvar" in line or "[vsyscall" in line:
                continue
            begin, end = (int(x, 16) for x in span.split("-"))
            try:
                mem.seek(begin)
                yield span, mem.read(end - begin)
            except (OSError, ValueError, OverflowError):
                continue


@test
def keys_stay_in_keyd():
    """known private keys of the vault are in no other process, no file, no log"""
    if os.geteuid() != 0 or UNCONFINED:
        raise Skip("needs root and a confined build")
    with World() as w:
        w.sim.account("bob")
        ward = w.ward("alice")
        ward.link("alice")
        c = ward.client()
        bob = w.sim.account("bob")
        for i in range(20):
            w.sim.cmd("phone.send", account="bob", to="alice", text="in %d" % i)
            c.call("message.send", account="alice", to="+" + bob["pn"], text="out %d" % i,
                   idempotency_key=str(i), wait="delivered")
        with open(ward.key, "rb") as f:
            master = f.read()
        pids = ward.pids()
        ram = {role: [(span, data) for span, data in memory(pid)] for role, pid in pids.items()}
        ward.stop()
        tool = os.path.join(BUILD, "vault_peek")
        r = subprocess.run([tool, ward.key, ward.data, "alice"], stdout=subprocess.PIPE, check=True)
        keys = {"master": master}
        for line in r.stdout.decode().splitlines():
            name, value = line.split()
            keys[name] = bytes.fromhex(value)
        for name in ("master", "identity", "noise", "adv_secret", "vault", "session"):
            check(name in keys and len(keys[name]) >= 32, "the tool gives the " + name + " key", sorted(keys))
        found = {name: set() for name in keys}
        for role, spans in ram.items():
            for span, data in spans:
                for name, key in keys.items():
                    if key in data:
                        found[name].add(role)
        for folder, _, files in os.walk(w.folder):
            for name in files:
                path = os.path.join(folder, name)
                if path == ward.key or not os.path.isfile(path) or os.path.islink(path):
                    continue
                with open(path, "rb") as f:
                    data = f.read()
                for kind, key in keys.items():
                    if key in data or key.hex().encode() in data:
                        found[kind].add(path)
        # the others are open in keyd only while a request uses them
        check("keyd" in found["vault"], "the vault key is found in keyd (else this test sees nothing)")
        bad = {name: sorted(places - {"keyd"}) for name, places in found.items() if places - {"keyd"}}
        equal(bad, {}, "keys found elsewhere")
        print("     %d keys searched in %d processes and all files" % (len(keys), len(ram)))


if __name__ == "__main__":
    main()
