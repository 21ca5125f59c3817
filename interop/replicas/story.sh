#!/usr/bin/env bash
# Two replicas on one PostgreSQL under a steady load of clients, while everything they stand on is taken away or replaced, by
# the commands of docs/operations.md and docs/certificate-manager.md. No call may fail after the SDK's own repetitions.
# Usage: story.sh [--minutes N] [--output text|json]
#   --minutes N   rounds until so many minutes are over: after the first, which kills the replicas, nothing may grow
# Needs PostgreSQL's server, SoftHSM and openssl, and
#   GREP11                   the launcher of this checkout
#   GREP11_BENCH_CLASSPATH   the load generator with what it needs
#   JAVA_HOME
set -euo pipefail

HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
STORY=replicas
WORK=$(mktemp -d "${TMPDIR:-/tmp}/grep11-replicas.XXXXXX")
# PostgreSQL refuses to run as root, and its user cannot pass through ours.
DATABASE=$(mktemp -d "${TMPDIR:-/tmp}/grep11-replicas-database.XXXXXX")
MINUTES=0
OUTPUT=text
while (($#)); do
  case $1 in
    --minutes) MINUTES=$2 ;;
    --output) OUTPUT=$2 ;;
    *) printf 'replicas: unknown option %s\n' "$1" >&2; exit 2 ;;
  esac
  shift 2
done
# For people; JSON is alone on standard output.
if [[ $OUTPUT == json ]]; then exec 3>&2; else exec 3>&1; fi

# A replica that is killed counts for the rotation of the master key until its lease ends; PostgreSQL is away for less.
LEASE=120
AWAY=60

declare -A gateway=() port=()
postgresql=''
# shellcheck disable=SC2329 # By the trap.
end() {
  stop "${LOAD_PID:-}" TERM
  stop "${gateway[one]:-}" TERM
  stop "${gateway[two]:-}" TERM
  stop "$postgresql" INT
  rm -rf "$WORK" "$DATABASE"
}
trap end EXIT

# shellcheck source-path=SCRIPTDIR source=../story.sh
source "$HERE/../story.sh"
say() { printf '\n== %s\n' "$*" >&3; }
good() { printf '   %s\n' "$*" >&3; }
logs() {
  local log
  for log in "$WORK"/*.err "$DATABASE/log"; do
    [[ ! -s $log ]] || { printf '== %s\n' "$log" && tail -n 20 "$log"; }
  done
}
# shellcheck source-path=SCRIPTDIR source=../second-lock.sh
source "$HERE/../second-lock.sh"

# until_it COMMAND...: as soon as it succeeds; what it needs may take until a lease has ended.
until_it() {
  local begun=$SECONDS
  until "$@" >"$WORK/out" 2>&1; do
    ((SECONDS - begun < LEASE + 180)) || bad "$* does not succeed: $(cat "$WORK/out")"
    sleep 0.5
  done
}

# ---- PostgreSQL

programs=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1 || true)
[[ -n $programs ]] || programs=$(dirname -- "$(command -v initdb)")
as_postgres() {
  if [[ $(id -u) == 0 ]]; then
    setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"
  else
    "$@"
  fi
}
start_postgresql() {
  # Becomes the server, so that the process is the server's.
  if [[ $(id -u) == 0 ]]; then
    setpriv --reuid=postgres --regid=postgres --clear-groups -- "${server[@]}" >>"$DATABASE/log" 2>&1 &
  else
    "${server[@]}" >>"$DATABASE/log" 2>&1 &
  fi
  postgresql=$!
  until_it "$programs/pg_isready" -q -h 127.0.0.1 -p "$database_port"
}
make_postgresql() {
  od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$WORK/database-password"
  chmod 600 "$WORK/database-password"
  cp "$WORK/database-password" "$DATABASE/password"
  [[ $(id -u) != 0 ]] || chown -R postgres: "$DATABASE"
  (cd "$DATABASE" && as_postgres "$programs/initdb" -D "$DATABASE/data" -U grep11 "--pwfile=$DATABASE/password" \
    --auth=scram-sha-256 --encoding=UTF8 --no-locale --no-sync) >"$DATABASE/log" 2>&1 || bad "initdb failed"
  server=("$programs/postgres" -D "$DATABASE/data" -p "$database_port" -c listen_addresses=127.0.0.1
    -c unix_socket_directories= -c fsync=off)
  start_postgresql
  PGPASSWORD=$(<"$WORK/database-password") "$programs/createdb" -h 127.0.0.1 -p "$database_port" -U grep11 grep11
}

# ---- The replicas

# server_leaf AUTHORITY: what the gateways show, certificate and key each at once, as an operator's tool would.
server_leaf() {
  local folder=$WORK/$1 kind
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$folder/server.key" -subj "/CN=localhost" \
    -out "$folder/server.csr" 2>/dev/null
  openssl x509 -req -in "$folder/server.csr" -CA "$folder/ca.pem" -CAkey "$folder/ca.key" -CAcreateserial -days 90 \
    -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n') \
    -out "$folder/server.pem" 2>/dev/null
  for kind in key pem; do swap "$folder/server.$kind" "server.$kind"; done
}
# swap FROM NAME: the file in the place of that in WORK, at once.
swap() {
  install -m 600 "$1" "$WORK/$2.new"
  mv "$WORK/$2.new" "$WORK/$2"
}

configure() {
  cat >"$WORK/$1.yaml" <<TEXT
mode: demo
policy: strict
softwareFallback: false
instance: $instance
listen: {host: 127.0.0.1, portBase: ${port[$1]}}
tls: {certificate: server.pem, key: server.key, hosts: [localhost]}
hsm:
  module: $(sed -n 's/^module *//p' "$WORK/token.txt")
  tokenLabel: replicas
  pinFile: token/pin
  environment: {SOFTHSM2_CONF: $WORK/token/softhsm2.conf}
store:
  directory: store
  leaseSeconds: $LEASE
  postgresql: {url: "jdbc:postgresql://127.0.0.1:$database_port/grep11", user: grep11, passwordFile: database-password}
masterKey: {quarantineSeconds: 0}
tokenService: {issuer: "https://localhost/identity", lifetimeSeconds: 120}
audit: {file: audit-$1.jsonl}
TEXT
}
start_gateway() {
  # A heap of one size, so that growth of the process is growth of something else; the load asks how much of it is code.
  begin "$1" env "GREP11_JAVA_OPTS=-Xms256m -Xmx256m -XX:+AlwaysPreTouch -XX:NativeMemoryTracking=summary \
    -XX:-DisableAttachMechanism" "$GREP11" serve --config "$WORK/$1.yaml"
  gateway[$1]=$begun
}
# host COMMAND...: a host command.
host() { "$GREP11" "$@" --config "$WORK/one.yaml"; }
apikey() { host apikey create --name "$1" --role "$2" --output json | sed -n 's/.*"apikey" *: *"\([^"]*\)".*/\1/p'; }

# shows PORT AUTHORITY: whether what listens there shows the newest leaf of that authority.
shows() {
  openssl s_client -connect "localhost:$1" </dev/null 2>/dev/null | openssl x509 |
    cmp - <(openssl x509 -in "$WORK/$2/server.pem")
}
# all_show AUTHORITY: waits until every listener of both gateways does.
all_show() {
  local name listener
  for name in one two; do
    for listener in 0 1 2 3; do until_it shows "$((port[$name] + listener))" "$1"; done
  done
}
# admits PORT AUTHORITY: whether it lets clients of that authority in. TLS 1.2 tells in the handshake.
admits() {
  openssl s_client -connect "localhost:$1" -tls1_2 -CAfile "$WORK/trust.pem" -cert "$WORK/$2/client.pem" \
    -key "$WORK/$2/client.key" </dev/null
}

# ---- The load

start_load() {
  coproc LOAD {
    exec "$JAVA_HOME/bin/java" -Xmx256m --enable-native-access=ALL-UNNAMED --sun-misc-unsafe-memory-access=allow \
      -cp "$GREP11_BENCH_CLASSPATH" dev.grep11.bench.Steady --output "$OUTPUT" --ca "$WORK/trust.pem" \
      --certificate "$WORK/client.pem" --key "$WORK/client.key" --tokens "$WORK/token/tokens" \
      "localhost:${port[one]}=https://localhost:$((port[one] + 2))" \
      "localhost:${port[two]}=https://localhost:$((port[two] + 2))" 2>"$WORK/load.err"
  }
  heard
}
# heard: what the load answers.
heard() {
  IFS= read -r answer <&"${LOAD[0]}" || bad "the load ended"
  [[ $answer == ok* ]] || bad "the load: $answer"
}
ask() {
  printf '%s\n' "$*" >&"${LOAD[1]}"
  heard
}
# during EVENT COMMAND...: it happens under load, which goes on for a while after it.
during() {
  local event=$1
  shift
  ask begin "$event"
  "$@"
  sleep 3
  ask end
  good "${answer#ok }"
}
present() {
  local kind
  for kind in pem key; do swap "$WORK/$1/client.$kind" "client.$kind"; done
}

# ---- What happens

kill_and_restart() {
  kill -KILL "${gateway[$1]}"
  wait "${gateway[$1]}" 2>/dev/null || true
  sleep 2
  start_gateway "$1"
  await_ready "$1" "${gateway[$1]}"
  ask watch "$1" "${gateway[$1]}"
}

postgresql_is_away() {
  kill -INT "$postgresql"
  wait "$postgresql" || true
  sleep "$1"
  start_postgresql
  # Gateways connect again by themselves.
  until_it env HOME="$WORK/administrator" "$GREP11" certmgr cert list --crn "$HPCS_CRN"
}

# Clients trust both CAs before the first gateway shows the new one, and the new one alone when all do.
replace_the_server_ca() {
  local old=server-$(($1 - 1)) new=server-$1
  authority "$new"
  cat "$WORK/$old/ca.pem" "$WORK/$new/ca.pem" >"$WORK/both.pem"
  swap "$WORK/both.pem" trust.pem
  ask connect
  server_leaf "$new"
  all_show "$new"
  swap "$WORK/$new/ca.pem" trust.pem
  ask connect
}

# Leaves alone, of CAs that stay: nobody else need know.
renew_the_server_leaf() {
  server_leaf "server-$1"
  all_show "server-$1"
  ask connect
}
renew_the_client_leaf() {
  leaf "clients-$1"
  present "clients-$1"
  ask connect
}

update_the_administrator_key() {
  certmgr adminkey update --admin-priv-key "$(administrator_key)"
}

# With an overlap: both CAs, then the clients' new leaves, then the new CA alone. A key that was updated signs the commands.
roll_the_client_ca_over() {
  local old=clients-$(($1 - 1)) new=clients-$1 name
  authority "$new"
  certmgr cert set --admin-priv-key "$(administrator_key)" --cert-id "$new" --cert "$WORK/$new/ca.pem"
  for name in one two; do until_it admits "${port[$name]}" "$new"; done
  present "$new"
  ask connect
  certmgr cert delete --admin-priv-key "$(administrator_key)" --cert-id "$old"
}

# Blobs under the old master key serve until clients have replaced them; then it goes for good.
rotate_the_master_key() {
  local old
  old=$(host masterkey list 2>/dev/null | awk '$2 == "active" {print $1}')
  [[ -n $old ]] || bad "there is no active master key"
  host masterkey create-next >"$WORK/out" 2>&1 || bad "masterkey create-next: $(cat "$WORK/out")"
  until_it host masterkey activate
  sleep 2
  ask rewrap
  until_it host masterkey retire --unused-for 0s
  until_it host masterkey destroy --generation "$old"
}

# round NUMBER SECONDS: all but the kills.
round() {
  during "postgresql-away-${2}s" postgresql_is_away "$2"
  during "server-ca-replaced" replace_the_server_ca "$1"
  during "server-leaf-renewed" renew_the_server_leaf "$1"
  during "administrator-key-updated" update_the_administrator_key
  during "client-ca-rolled-over" roll_the_client_ca_over "$1"
  during "client-leaf-renewed" renew_the_client_leaf "$1"
  during "master-key-rotated" rotate_the_master_key
}

# ---- The story

say "two replicas on PostgreSQL"
base=$(ports 9)
port=([one]=$base [two]=$((base + 4)))
database_port=$((base + 8))
make_postgresql
"$HERE/../../softhsm/provision.sh" "$WORK/token" replicas >"$WORK/token.txt" 2>&1 || bad "$(cat "$WORK/token.txt")"
authority server-0
swap "$WORK/server-0/ca.pem" trust.pem
server_leaf server-0
instance=$(</proc/sys/kernel/random/uuid)
for name in one two; do configure "$name"; done
# Where certmgr looks.
export GREP11_CA=$WORK/trust.pem CERTMGR_SERVER=localhost:$((port[one] + 1)) GREP11_IAMENDPOINT=https://localhost:$((port[one] + 2))
host instance create --name replicas >"$WORK/instance" 2>&1 || bad "instance create: $(cat "$WORK/instance")"
HPCS_CRN=$(grep -o 'crn:v1:[^" ]*' "$WORK/instance" | head -n 1)
CERTMGR_APIKEY=$(apikey administrator 'Certificate Manager')
GREP11_APIKEY=$(apikey application Writer)
export HPCS_CRN CERTMGR_APIKEY GREP11_APIKEY
for name in one two; do start_gateway "$name"; done
for name in one two; do await_ready "$name" "${gateway[$name]}"; done
certmgr adminkey set
authority clients-0
certmgr cert set --admin-priv-key "$(administrator_key)" --cert-id clients-0 --cert "$WORK/clients-0/ca.pem"
for name in one two; do until_it admits "${port[$name]}" clients-0; done
present clients-0
good "the second lock is closed"
start_load
for name in one two; do ask watch "$name" "${gateway[$name]}"; done
good "${answer:+the load runs}"

say "round 1"
began=$SECONDS
during "steady" sleep 7
for name in one two; do during "kill-9-of-$name" kill_and_restart "$name"; done
round 1 "$AWAY"
number=1
if ((MINUTES > 0)); then
  ask settled
  # A second one in any case: it is what growth is judged by.
  while ((number < 2 || SECONDS - began < MINUTES * 60)); do
    number=$((number + 1))
    say "round $number"
    round "$number" 10
  done
fi

say "figures of $number rounds in $((SECONDS - began)) s"
load=$LOAD_PID
exec {figures}<&"${LOAD[0]}"
printf 'finish\n' >&"${LOAD[1]}"
cat <&"$figures"
wait "$load" || bad "calls failed, or something grew: $(cat "$WORK/load.err")"
