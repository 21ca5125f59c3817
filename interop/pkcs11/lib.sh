# What the stories of PKCS #11 applications share; they source it. Needs the environment of a demo gateway (its env file) and
#   GREP11_GATEWAY_DATA  its data directory
#   GREP11               the launcher of this checkout
#   GREP11_MODULES       a directory with pkcs11-grep11.so
# shellcheck shell=bash disable=SC2034 # The stories use what is set here.
set -euo pipefail

STORY=pkcs11
WORK=$(mktemp -d "${TMPDIR:-/tmp}/grep11-pkcs11.XXXXXX")
# shellcheck source-path=SCRIPTDIR source=../story.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../story.sh"
agent_pid=''
stop_agent() {
  stop "$agent_pid"
  agent_pid=''
}
# A story that starts more than the agent says here what ends it.
stop_others() { :; }
trap 'stop_others; stop_agent; rm -rf "$WORK"' EXIT

OWN=$GREP11_MODULES/pkcs11-grep11.so
DISTRIBUTION=$(compgen -G '/usr/lib*/*/pkcs11/p11-kit-client.so' | head -n 1 || true)
export GREP11_AGENT_SOCKET=$WORK/run/agent.sock P11_KIT_SERVER_ADDRESS=unix:path=$WORK/run/agent.sock

# Beside the sources nothing is left.
export PYTHONDONTWRITEBYTECODE=1

# start_agent OPTION...
start_agent() {
  begin agent "$GREP11" agent "$@"
  agent_pid=$begun
  await_ready agent "$agent_pid"
}

# tool MODULE ARGUMENT...: pkcs11-tool, logged in.
tool() {
  local module=$1
  shift
  timeout 60 pkcs11-tool --module "$module" --login --pin "$GREP11_APIKEY" "$@" 2>&1
}

# shows WORDS COMMAND...: it succeeds and prints them. Its whole output is read: a pipe that closes early is a failure.
shows() {
  local words=$1
  shift
  "$@" >"$WORK/out" 2>&1 || bad "$* failed: $(cat "$WORK/out")"
  grep -q -- "$words" "$WORK/out" || bad "\"$words\" is missing in what $* printed: $(cat "$WORK/out")"
}

# ---- The second lock

# shellcheck source-path=SCRIPTDIR source=../second-lock.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../second-lock.sh"

# with_certificate FROM TO AUTHORITY: the configuration, showing a leaf whose files the agent follows.
with_certificate() {
  present "$3"
  sed "s|mutual: false,|mutual: true, certfile: '$WORK/presented.pem', keyfile: '$WORK/presented.key',|" "$1" >"$2"
  chmod 600 "$2"
  grep -q 'mutual: true' "$2" || bad "$1 has no mutual: false"
}
present() {
  local kind
  for kind in pem key; do
    install -m 600 "$WORK/$1/client.$kind" "$WORK/presented.$kind.new"
    mv "$WORK/presented.$kind.new" "$WORK/presented.$kind"
  done
}
