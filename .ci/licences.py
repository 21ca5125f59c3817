#!/usr/bin/env python3
"""Whether everything in CycloneDX documents is under a licence of a list.

    licences.py LIST DOCUMENT...
"""

import json
import sys

with open(sys.argv[1], encoding="utf-8") as lines:
    allowed = {line.strip() for line in lines} - {""}
problems = []
for path in sys.argv[2:]:
    with open(path, encoding="utf-8") as document:
        components = json.load(document)["components"]
    if not components:
        problems.append(f"{path} names nothing")
    ours = others = 0
    for component in components:
        if component.get("group") == "dev.grep11":
            ours += 1
            continue
        others += 1
        choices = [
            choice.get("expression") or choice["license"].get("id") or choice["license"].get("name")
            for choice in component.get("licenses", [])
        ]
        if not allowed.intersection(choices):
            said = " or ".join(map(str, choices)) or "no licence at all"
            problems.append(f"{path}: {component['name']} {component['version']}: {said}")
    print(f"{path.rsplit('/', 1)[-1]}: {others} components of others, {ours} of ours")
if problems:
    sys.exit("not on the list:\n" + "\n".join(problems))
