#!/usr/bin/env bash
# nginx under a steady load of handshakes while everything behind it changes: nginx is reloaded, the agent is restarted, the
# gateway is restarted, and the gateway's client CA is replaced. No handshake may fail; the longest is told. Needs
#   GREP11          the launcher of this checkout
#   GREP11_MODULES  a directory with pkcs11-grep11.so
# It starts a gateway of its own.
HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$HERE/lib.sh"
MODULE=$OWN

gateway=''
base=$(ports 4)

start_gateway() {
  begin gateway env -u GREP11_AGENT_SOCKET "$GREP11" up --data "$WORK/gateway" --port-base "$base"
  gateway=$begun
  await_ready gateway "$gateway"
}
stop_gateway() {
  stop "$gateway"
  gateway=''
}
trap 'stop_others; stop_agent; stop_gateway; rm -rf "$WORK"' EXIT

start_gateway
socket=$GREP11_AGENT_SOCKET
# shellcheck disable=SC1090 # Written by the gateway.
source "$WORK/gateway/env-$base"
export GREP11_AGENT_SOCKET=$socket
# shellcheck source-path=SCRIPTDIR source=page.sh
source "$HERE/page.sh"
{ has nginx && has_engine; } || { left_out "nginx with OpenSSL's engine"; exit 0; }

authority first
authority second
with_certificate "$EP11CLIENT_CFG" "$WORK/agent.yaml" first
agent() { start_agent --config "$WORK/agent.yaml" --allow-user "$(id -un)" --allow-user www-data; }

restart_agent() {
  stop_agent
  agent
}
restart_gateway() {
  stop_gateway
  start_gateway
}
restart_both() {
  stop_gateway
  stop_agent
  start_gateway
  agent
}
close_the_lock() {
  certmgr adminkey set
  certmgr cert set --admin-priv-key "$(administrator_key)" --cert-id first --cert "$WORK/first/ca.pem"
  # What has no certificate is closed within 5 s.
  sleep 6
}
# With an overlap: both CAs, then the other leaf, then the other CA alone.
replace_the_ca() {
  certmgr cert set --admin-priv-key "$(administrator_key)" --cert-id second --cert "$WORK/second/ca.pem"
  present second
  sleep 6
  certmgr cert delete --admin-priv-key "$(administrator_key)" --cert-id first
  sleep 6
}

# under_load NAME COMMAND: the handshakes go on for a while after it.
under_load() {
  begin_handshakes
  sleep 2
  "$2"
  sleep 4
  end_handshakes
  good "$1: $(paste -sd ';' "$WORK/handshakes")"
}

say "nginx under load"
agent
run nginx-keys
start_nginx
under_load "a reload" nginx_reloads
under_load "the agent is restarted" restart_agent
under_load "the gateway is restarted" restart_gateway
under_load "the second lock closes" close_the_lock
under_load "the client CA is replaced" replace_the_ca
under_load "agent and gateway are restarted at once" restart_both
under_load "a reload after all that" nginx_reloads

printf '\npkcs11 under load: %s checks\n' "$checks"
