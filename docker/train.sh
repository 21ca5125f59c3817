#!/bin/bash
# In the build of the image only: starts a demo gateway as the image will start, runs the demo against it, and writes
# what the JVM learned to /tmp/gateway.aot.
set -euo pipefail

java=/opt/grep11/runtime/bin/java
data=$(mktemp -d)
cd "$data"
"$java" @/opt/grep11/gateway.flags -XX:AOTMode=record -XX:AOTConfiguration="$data/recorded" -Dgrep11.training=true \
  dev.grep11.gateway.command.Main up --data "$data/gateway" --port-base 0 >"$data/stdout" &
gateway=$!
trap 'kill -KILL $gateway 2>/dev/null || true' EXIT
ready=''
for _ in $(seq 600); do
  ready=$(grep -m1 '^ready ' "$data/stdout" || true)
  [[ -z $ready ]] || break
  kill -0 "$gateway" || { echo 'the gateway did not start' >&2; exit 1; }
  sleep 0.1
done
[[ -n $ready ]] || { echo 'the gateway did not say that it is ready' >&2; exit 1; }
# shellcheck disable=SC1090 # Written by the gateway.
source "$(tr ' ' '\n' <<<"$ready" | sed -n 's/^env=//p')"
"$java" --enable-native-access=ALL-UNNAMED --sun-misc-unsafe-memory-access=allow -Djava.io.tmpdir="$data" \
  -cp '/opt/training/lib/*' dev.grep11.demo.Demo
kill -TERM "$gateway"
wait "$gateway"
trap - EXIT
"$java" @/opt/grep11/gateway.flags -XX:AOTMode=create -XX:AOTConfiguration="$data/recorded" \
  -XX:AOTCache=/tmp/gateway.aot
chmod 0444 /tmp/gateway.aot
rm -rf "$data"
