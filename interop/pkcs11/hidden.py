"""The table of what p11-kit's module hides, compared with what it hides. Python 3.9 and its standard library.

    hidden.py check  VERSION OWN DISTRIBUTION   fails when the table of docs/p11-kit-hidden.md for this version is another
    hidden.py update VERSION OWN DISTRIBUTION   writes it

OWN and DISTRIBUTION are modules that reach the same agent. Each is asked in a process of its own.
"""

import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
DOCS = HERE.parent.parent / "docs"
PAGE = DOCS / "p11-kit-hidden.md"


def listed(module):
    said = subprocess.run([sys.executable, str(HERE / "mechanisms.py"), "list", module], stdout=subprocess.PIPE, check=True,
                          text=True)
    return [int(line, 16) for line in said.stdout.split()]


def names():
    rows = re.findall(r"^\| (CKM_\w+)[^|]*\| `(0x[0-9a-f]+)`", (DOCS / "mechanisms.md").read_text(), re.MULTILINE)
    return {int(number, 16): name for name, number in rows}


def table(version, own, distribution):
    everything, offered, known = listed(own), set(listed(distribution)), names()
    hidden = [number for number in everything if number not in offered]
    lines = ["Offered: %d of %d. Hidden:" % (len(everything) - len(hidden), len(everything)), "", "| Mechanism | Number |", "|---|---|"]
    lines += ["| %s | `0x%x` |" % (known.get(number, "(not in mechanisms.md)"), number) for number in hidden]
    return "\n".join(lines)


def main(command, version, own, distribution):
    # The distribution's revision of a package changes no list.
    version = version.split("-")[0]
    begin, end = "<!-- begin of p11-kit %s -->" % version, "<!-- end of p11-kit %s -->" % version
    now, page = table(version, own, distribution), PAGE.read_text()
    has = begin in page
    written = page.split(begin)[1].split(end)[0].strip() if has else None
    if command == "update":
        if has:
            page = page.split(begin)[0] + "%s\n\n%s\n\n%s" % (begin, now, end) + page.split(end)[1]
        else:
            page += "\n## p11-kit %s\n\n%s\n\n%s\n\n%s\n" % (version, begin, now, end)
        PAGE.write_text(page)
    elif not has:
        print("docs/p11-kit-hidden.md has no table for p11-kit %s" % version)
        return 0
    elif written != now:
        print("docs/p11-kit-hidden.md is stale for p11-kit %s; it should say:\n%s" % (version, now))
        return 1
    print("p11-kit %s: %s" % (version, now.splitlines()[0].replace(" Hidden:", "")))
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 5 or sys.argv[1] not in ("check", "update"):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
