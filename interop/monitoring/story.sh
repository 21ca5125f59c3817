#!/usr/bin/env bash
# The alert rules and the dashboard of docker/monitoring, by Prometheus' own tools, and by a Prometheus that scrapes real
# gateways: each condition below is caused, and its alert has to fire. Needs
#   GREP11                   the launcher of this checkout
#   GREP11_BENCH_CLASSPATH   the load generator with what it needs
#   JAVA_HOME
# and promtool, prometheus, openssl, curl and python3. It starts gateways of its own.
set -euo pipefail
HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
MONITORING=$HERE/../../docker/monitoring
STORY=monitoring
WORK=$(mktemp -d "${TMPDIR:-/tmp}/grep11-monitoring.XXXXXX")
# shellcheck source-path=SCRIPTDIR source=../story.sh
source "$HERE/../story.sh"
first='' second='' third='' flooder='' prometheus=''
immutable=''
# shellcheck disable=SC2329 # By the trap.
end() {
  [[ -z $immutable ]] || chattr -i "$immutable" 2>/dev/null || true
  stop "$prometheus"
  stop "$flooder"
  stop "$third"
  stop "$second"
  stop "$first"
  rm -rf "$WORK"
}
trap end EXIT

say "by promtool"
promtool check config --syntax-only "$MONITORING/prometheus.yml" >"$WORK/out" 2>&1 || bad "$(cat "$WORK/out")"
promtool check rules "$MONITORING/alerts.yaml" >"$WORK/out" 2>&1 || bad "$(cat "$WORK/out")"
promtool test rules "$MONITORING/alerts-test.yaml" >"$WORK/out" 2>&1 || bad "$(cat "$WORK/out")"
while read -r name; do
  grep -q "alertname: $name\$" "$MONITORING/alerts-test.yaml" || bad "alerts-test.yaml has no case of $name"
  grep -q "\`$name\`" "$HERE/../../docs/metrics.md" || bad "docs/metrics.md says nothing of $name"
done < <(sed -n 's/^ *- alert: //p' "$MONITORING/alerts.yaml")
good "rules and example are well formed, and each rule fires and stays silent where it should"

# ---- Gateways

# begin_gateway BASE NAME: one more on the same directory.
begin_gateway() {
  begin "$2" env -u GREP11_AGENT_SOCKET "$GREP11" up --data "$WORK/gateway" --port-base "$1"
}
one=$(ports 4)
begin_gateway "$one" one
first=$begun
await_ready one "$first"
two=$(ports 4)
begin_gateway "$two" two
second=$begun
await_ready two "$second"
# shellcheck disable=SC1090 # Written by the gateway.
source "$WORK/gateway/env-$one"
tls=$WORK/gateway/tls

listen=127.0.0.1:$(ports 1)
# What takes minutes to be sure of may be sure at once here, and days are seconds, as are a tenth of a lease and a hundredth of
# an age of keys. Checkpoints are made every minute.
sed -e 's/^\( *\)for: .*/\1for: 0s/' -e 's/\[5m\]/[30s]/' -e '/_age_seconds > [28] \* 86400/s/ \* 86400//' \
  -e '/lease_left_seconds < 60$/s/60/6/' -e '/issuer_keys_age_seconds > 900$/s/900/9/' \
  -e '/checkpoint_age_seconds > 300$/s/300/75/' "$MONITORING/alerts.yaml" >"$WORK/alerts.yaml"
# targets HEALTH-PORT...: what is scraped from now on.
targets() {
  local list
  list=$(printf ', "localhost:%s"' "$@")
  printf '[{"targets": [%s]}]\n' "${list#, }" >"$WORK/targets.new"
  mv "$WORK/targets.new" "$WORK/targets.json"
}
targets "$((one + 3))" "$((two + 3))"
cat >"$WORK/prometheus.yml" <<YAML
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [alerts.yaml]
scrape_configs:
  - job_name: grep11
    scheme: https
    tls_config: { ca_file: $tls/ca.pem }
    file_sd_configs: [ { files: [targets.json] } ]
YAML
prometheus --config.file="$WORK/prometheus.yml" --storage.tsdb.path="$WORK/tsdb" --web.listen-address="$listen" \
  >"$WORK/prometheus.out" 2>"$WORK/prometheus.err" &
prometheus=$!

# alert NAME...: the alerts that fire now, one a line.
alerts() {
  curl -sf "http://$listen/api/v1/alerts" |
    python3 -c 'import json, sys
for alert in json.load(sys.stdin)["data"]["alerts"]:
    if alert["state"] == "firing":
        print(alert["labels"]["alertname"])' | sort -u
}
# fires NAME...: within a minute.
fires() {
  local name
  for name in "$@"; do
    for _ in $(seq 120); do
      ! alerts 2>/dev/null | grep -qx "$name" || { printf '%s\n' "$name" >>"$WORK/fired"; continue 2; }
      sleep 0.5
    done
    bad "$name does not fire; these do: $(alerts | paste -sd ' ')"
  done
}
# silent NAME...: within a minute.
silent() {
  local name
  for name in "$@"; do
    for _ in $(seq 120); do
      alerts >"$WORK/firing" && ! grep -qx "$name" "$WORK/firing" && continue 2
      sleep 0.5
    done
    bad "$name goes on firing, or Prometheus does not answer"
  done
}

say "where all is well"
for _ in $(seq 120); do
  [[ $(curl -sf "http://$listen/api/v1/query?query=sum(up)" | python3 -c 'import json, sys
r = json.load(sys.stdin)["data"]["result"]
print(r[0]["value"][1] if r else 0)' 2>/dev/null || true) != 2 ]] || break
  sleep 0.5
done
sleep 3
fires Grep11BackupNever Grep11RehearsalNever
[[ $(alerts | paste -sd ' ') == "Grep11BackupNever Grep11RehearsalNever" ]] || bad "these fire: $(alerts | paste -sd ' ')"
good "both gateways are scraped, nothing fires but that there is no backup yet"

say "certificates"
# issue DAYS: another certificate for the server, which the gateway takes up.
issue() {
  openssl req -new -key "$tls/server.key" -subj /CN=localhost -out "$WORK/server.csr" 2>/dev/null
  openssl x509 -req -in "$WORK/server.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -set_serial "0x$(openssl rand -hex 8)" -days "$1" \
    -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\nkeyUsage=digitalSignature\nbasicConstraints=CA:false\n') \
    -out "$WORK/server.pem" 2>/dev/null
  mv "$WORK/server.pem" "$tls/server.pem"
}
cp "$tls/server.pem" "$WORK/server.kept"
issue 20
fires Grep11ServerCertificateEndsSoon
silent Grep11ServerCertificateEnds
issue 5
fires Grep11ServerCertificateEnds
cp "$WORK/server.kept" "$tls/server.pem.new"
mv "$tls/server.pem.new" "$tls/server.pem"
silent Grep11ServerCertificateEnds Grep11ServerCertificateEndsSoon
good "a server certificate of 20 days, of 5, and of years"

mkdir "$WORK/administrator"
certmgr() {
  HOME=$WORK/administrator "$GREP11" certmgr "$@" --crn "$HPCS_CRN" >"$WORK/certmgr.log" 2>&1 || bad "certmgr $*: $(cat "$WORK/certmgr.log")"
}
authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$WORK/$1.key" -days "$2" -subj "/CN=$1 CA" \
    -addext keyUsage=critical,keyCertSign,cRLSign -out "$WORK/$1.pem" 2>/dev/null
}
authority soon 20
authority ends 5
certmgr adminkey set
key=$(find "$WORK/administrator" -name '*.priv')
certmgr cert set --admin-priv-key "$key" --cert-id soon --cert "$WORK/soon.pem"
fires Grep11ClientCaEndsSoon
silent Grep11ClientCaEnds
certmgr cert set --admin-priv-key "$key" --cert-id ends --cert "$WORK/ends.pem"
fires Grep11ClientCaEnds
good "a client CA of 20 days, and one of 5"

say "who is refused"
for _ in $(seq 150); do openssl s_client -connect "localhost:$one" -tls1_2 </dev/null >/dev/null 2>&1 || true; done
fires Grep11HandshakesRefused
good "handshakes without a certificate while the lock is closed"
silent Grep11SecondLockOpened
certmgr cert delete --admin-priv-key "$key" --cert-id soon
certmgr cert delete --admin-priv-key "$key" --cert-id ends
fires Grep11SecondLockOpened
good "the last client CA is deleted: the second lock is open"
# calls NUMBER PORT TOKEN. Without a body: curl 7.88 waits for ever for trailers that come while it still sends one.
calls() {
  for _ in $(seq "$1"); do printf 'url = "https://localhost:%s/grep11.Crypto/GetMechanismList"\noutput = "/dev/null"\n' "$2"; done |
    curl -s --http2 --cacert "$tls/ca.pem" -H 'content-type: application/grpc' -H 'te: trailers' -H "authorization: Bearer $3" \
      --data '' -K - || true
}
for _ in 1 2; do
  calls 400 "$one" none
  sleep 3
done
fires Grep11CallsUnauthenticated
good "calls with a token that is none"

say "the audit file"
# without_audit FILE PORT ALERT: of the gateway that writes it and listens there.
without_audit() {
  if ! chattr +i "$1" 2>/dev/null; then
    [[ -z ${CI:-} ]] || bad "no file can be made immutable here, so $3 was not tried: it needs root and ext4, xfs or btrfs"
    printf '   left out: no file can be made immutable here: %s\n' "$3"
    printf '%s\n' "$3" >>"$WORK/fired"
    return
  fi
  immutable=$1
  calls 10 "$2" none
  fires "$3"
  chattr -i "$1"
  immutable=''
  silent "$3"
  good "it cannot be written, and can again: $3"
}
without_audit "$WORK/gateway/audit-$one.jsonl" "$one" Grep11AuditStopped

say "the token"
tokens=$WORK/gateway/token/tokens
mv "$tokens" "$tokens.away"
calls 10 "$one" none
fires Grep11TokenAway Grep11TokenDoesNotSign Grep11AuditUnvouched
mv "$tokens.away" "$tokens"
silent Grep11TokenAway Grep11TokenDoesNotSign Grep11AuditUnvouched
good "it is away, with the checkpoints of the audit file, and comes back"

# begin_third STORE SETTING...: a gateway of the same directory with another way to the store, and with settings of its own,
# each as SECTION KEY: VALUE.
three=$(ports 4)
begin_third() {
  local setting store=$1 edits=()
  shift
  stop "$third" TERM
  for setting in "listen portBase: $three" "audit file: audit-third.jsonl" "$@"; do
    edits+=(-e "/^${setting%% *}:/a\\  ${setting#* }")
  done
  { sed -e '/^  file: audit.jsonl$/d' -e "s/^  directory: store\$/  directory: $store/" "$WORK/gateway/gateway.yaml"; printf 'limits:\n'; cat "$WORK/sources"; } | sed "${edits[@]}" >"$WORK/gateway/third.yaml"
  begin third env -u GREP11_AGENT_SOCKET "$GREP11" serve --config "$WORK/gateway/third.yaml"
  third=$begun
  await_ready third "$third"
  targets "$((one + 3))" "$((two + 3))" "$((three + 3))"
}

# revocations HOURS: a list of the client CA that counts for so long.
revocations() {
  : >"$WORK/revoked"
  openssl ca -gencrl -config <(printf '[ca]\ndefault_ca=c\n[c]\ndatabase=%s\ndefault_md=sha256\ncrl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid\n' "$WORK/revoked") \
    -keyfile "$WORK/soon.key" -cert "$WORK/soon.pem" -crlhours "$1" -out "$WORK/crl.new" 2>"$WORK/out" || bad "$(cat "$WORK/out")"
  mv "$WORK/crl.new" "$WORK/soon.crl"
}
# Of the third gateway: an issuer that is not there, and a list that soon counts no more.
cat >"$WORK/sources" <<YAML
issuers: [ { issuer: "https://issuer.test", audience: grep11, jwksUrl: "https://localhost:1/keys" } ]
clientCas: { crls: [ { ca: $WORK/soon.pem, crl: $WORK/soon.crl } ] }
YAML
revocations 3

say "a gateway that keeps few keys, goes on without a record, and is on a copy of the store"
mkdir -m 700 "$WORK/gateway/copy"
python3 -c 'import sqlite3, sys; sqlite3.connect(sys.argv[1]).backup(sqlite3.connect(sys.argv[2]))' \
  "$WORK/gateway/store/store.db" "$WORK/gateway/copy/store.db"
chmod 600 "$WORK/gateway/copy/store.db"
cp -p "$WORK/gateway/store/token-keys" "$WORK/gateway/copy"
begin_third copy "hsm cachedKeys: 16" "audit whenUnavailable: drop" "limits callsPerSecondPerCaller: 0"
fires Grep11ClientCrlEnds Grep11IssuerKeysOld
revocations 48
silent Grep11ClientCrlEnds
good "its issuer does not answer; a revocation list that counts for 3 hours, and one for 2 days"
# Goes on until its input ends.
exec {orders}> >(
  GREP11_ADDRESS=localhost:$three exec "$JAVA_HOME/bin/java" -Xmx256m --enable-native-access=ALL-UNNAMED \
    --sun-misc-unsafe-memory-access=allow -cp "$GREP11_BENCH_CLASSPATH" dev.grep11.bench.Flooder BLOBS 64 4 >/dev/null 2>"$WORK/flooder.err"
)
flooder=$!
printf 'start\n' >&"$orders"
fires Grep11KeyCacheTooSmall
exec {orders}>&-
stop "$flooder"
flooder=''
good "calls with 64 keys, of which it keeps 16"
without_audit "$WORK/gateway/audit-third.jsonl" "$three" Grep11AuditLost
silent Grep11ReplicasDiffer
certmgr cert set --admin-priv-key "$key" --cert-id soon --cert "$WORK/soon.pem"
fires Grep11ReplicasDiffer
certmgr cert delete --admin-priv-key "$key" --cert-id soon
good "a client CA of which its copy does not know"

say "a gateway with a short lease, and few calls a second"
way=$WORK/gateway/way
ln -s store "$way"
begin_third way "store leaseSeconds: 12" "limits callsPerSecondPerCaller: 5" "limits connectionsPerSecondPerAddress: 1"
token=$(curl -sf --cacert "$tls/ca.pem" -d grant_type=urn:ibm:params:oauth:grant-type:apikey --data-urlencode "apikey=$GREP11_APIKEY" \
  "$GREP11_IAMENDPOINT/identity/token" | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
for _ in 1 2; do
  calls 200 "$three" "$token"
  sleep 3
done
fires Grep11Overloaded
good "200 calls at once, where it takes 5 a second"
silent Grep11LeaseEnds Grep11StoreNotBelieved
rm "$way"
fires Grep11LeaseEnds Grep11StoreNotBelieved
for _ in 1 2; do
  calls 200 "$three" "$token"
  sleep 3
done
fires Grep11CallsFail
ln -s store "$way"
silent Grep11LeaseEnds Grep11StoreNotBelieved
good "its store cannot be read until its lease is over, which its callers hear, and can again"
for _ in $(seq 150); do (exec 3<>"/dev/tcp/127.0.0.1/$three") 2>/dev/null || true; done
fires Grep11ConnectionsRefused
good "150 connections at once, where it takes one a second"
targets "$((one + 3))" "$((two + 3))"
stop "$third" TERM
third=''

say "backups"
"$GREP11" backup --data "$WORK/gateway" --to "$WORK/backup" >"$WORK/out" 2>&1 || bad "$(cat "$WORK/out")"
fires Grep11BackupOld
silent Grep11BackupNever
"$GREP11" rehearse --data "$WORK/gateway" --from "$WORK/backup" >"$WORK/out" 2>&1 || bad "$(cat "$WORK/out")"
fires Grep11RehearsalOld
silent Grep11RehearsalNever
good "the last one is old, and so is the last one that was tried"

say "the dashboard"
python3 "$HERE/dashboard.py" "$MONITORING/dashboard.json" "http://$listen" >"$WORK/out" 2>&1 || bad "$(cat "$WORK/out")"
good "$(<"$WORK/out")"

say "a gateway that is gone"
stop "$second"
second=''
fires Grep11GatewayDown
good "it is missed"

never=$(sed -n 's/^ *- alert: //p' "$MONITORING/alerts.yaml" | sort -u | comm -23 - <(sort -u "$WORK/fired") | paste -sd ' ')
[[ -z $never ]] || bad "no story lets these fire: $never"
good "that was every alert"

printf '\nmonitoring: %s checks\n' "$checks"
