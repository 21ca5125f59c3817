"""Asks a Prometheus that scrapes gateways for what the dashboard shows.

    dashboard.py DASHBOARD URL

Every expression has to be one that Prometheus takes, and every metric that it names has to have been scraped.
"""

import json
import re
import sys
import urllib.parse
import urllib.request

dashboard = json.load(open(sys.argv[1], encoding="utf-8"))
url = sys.argv[2]
NAME = re.compile(r"\b(?:grep11|jvm|process|ibm_hpcs)_[a-z0-9_]+\b")


def ask(path, **parameters):
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"{url}{path}?{query}", timeout=20) as answer:
        return json.load(answer)["data"]


scraped = set(ask("/api/v1/label/__name__/values"))
named = set()
problems = []
for panel in dashboard["panels"]:
    for target in panel["targets"]:
        expression = target["expr"].replace("$__rate_interval", "1m").replace("$gateway", ".*")
        named.update(NAME.findall(expression))
        try:
            ask("/api/v1/query", query=expression)
        except urllib.error.HTTPError as error:
            problems.append(f"{panel['title']}: {error.read().decode()}")
problems += [f"{name} is in no scrape" for name in sorted(named - scraped)]
if problems:
    sys.exit("\n".join(problems))
print(f"{len(dashboard['panels'])} panels, {len(named)} metrics, each of them scraped")
