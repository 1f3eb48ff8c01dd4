"""Checks SCENARIOS.md: every row has a test or says what is not there yet, and every test that is named exists and is run."""

import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
LATER = ("groups", "media", "channels", "communities", "app state", "profile", "history")
MARKS = {"e2e": "@test\n", "interop": "@scenario\n"}  # without it before its name a function is none of the suite's tests


def missing(path, name):
    """Why there is no such test, or None."""
    try:
        with open(os.path.join(HERE, path), encoding="utf-8") as f:
            text = f.read()
    except OSError:
        return "no file %s" % path
    name = re.escape(name)
    if path.endswith(".py"):
        found = re.search(r"^%s *def %s\(" % (MARKS.get(path.split("/")[0], ""), name), text, re.M)
    else:  # defined, and named once more: in the list of the tests that are run
        found = re.search(r"^%s\(void \*\*state\)$" % name, text, re.M) and len(re.findall(r"\b%s\b" % name, text)) > 1
    return None if found else "no test %s in %s" % (name, path)


def check(lines):
    """(line number, what is wrong) of each fault."""
    for number, line in enumerate(lines, 1):
        named = re.findall(r"`([a-z0-9_]+(?:/[a-z0-9_]+)*\.(?:py|c)): ([^`]*)`", line)
        for path, names in named:
            for name in names.split(", "):
                why = missing(path, name)
                if why:
                    yield number, why
        cells = line.strip("|\n").split(" | ")
        if not line.startswith("|") or line.startswith("|---") or cells[-1].strip() == "test":
            continue
        rest = re.sub(r"`[^`]*`", "", cells[-1]) if named else cells[-1]
        words = [w.strip() for w in re.split("[,;]", rest) if w.strip()]
        if len(cells) != 2 or (not named and not words) or not all(w in LATER + ("below",) for w in words):
            yield number, "neither a test nor one of " + ", ".join(LATER)


def main():
    with open(os.path.join(HERE, "SCENARIOS.md"), encoding="utf-8") as f:
        faults = list(check(f.readlines()))
    for number, why in faults:
        print("tests/SCENARIOS.md:%d: %s" % (number, why))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
