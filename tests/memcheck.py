"""What valgrind and the sanitizers found, in whichever process of a test: each writes a file of its own.

Exit codes and standard error do not reach far enough: a child of a child, or one whose output a test reads."""

import atexit
import os
import re
import shutil
import tempfile

WRAP = os.environ.get("WARD_WRAP", "").split()  # "valgrind …", put before the programs
# UBSan knows no other place than standard error, and a sanitizer that fails itself has none either
SAID = re.compile(r"^\S+:\d+:\d+: runtime error: |^==\d+==\s*(ERROR: )?(Address|Leak)Sanitizer")


class Reports:
    """The folder of the reports; made before the first process is, and removed at the end."""

    def __init__(self):
        self.folder, self.owner, self.said = tempfile.mkdtemp(prefix="ward-reports-"), os.getpid(), []
        atexit.register(self.remove)
        self.wrap = WRAP + ["--log-file=%s/valgrind.%%p" % self.folder] if WRAP else []
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            own = [os.environ[name]] if os.environ.get(name) else []
            os.environ[name] = ":".join(own + ["log_path=%s/sanitizer" % self.folder, "print_stacktrace=1"])

    def remove(self):
        if os.getpid() == self.owner:
            shutil.rmtree(self.folder, ignore_errors=True)

    def look(self, line):
        """A line that a process said: kept if it is a report."""
        if SAID.match(line):
            self.said.append(line)

    def take(self, pids=None):
        """The text of what was found since the last call; empty if nothing was. pids: only of these processes."""
        found, self.said = self.said, []
        for name in sorted(os.listdir(self.folder)):
            if pids is not None and name.rsplit(".", 1)[-1] not in [str(p) for p in pids]:
                continue
            path = os.path.join(self.folder, name)
            with open(path, encoding="utf-8", errors="replace") as f:
                text = f.read()
            os.remove(path)
            if name.startswith("valgrind"):
                text = findings(text)
            if text.strip():
                found.append(text.rstrip())
        return "\n".join(found)


def findings(text):
    """valgrind's paragraphs without those that tell of a wanted end, or of valgrind itself (--PID--)."""
    paragraphs, one = [], []
    for line in text.splitlines() + ["==0== "]:
        if not re.match(r"==\d+==", line):
            continue
        if re.match(r"==\d+== *$", line):
            paragraphs.append(one)
            one = []
        else:
            one.append(line)
    expected = r"==\d+== (Process terminating with default action of signal (6|9|15) |Warning: )"
    return "\n\n".join("\n".join(p) for p in paragraphs if p and not re.match(expected, p[0]))
