#!/usr/bin/env bash
# docs/operations.md as it stands there: its files are written, its commands are run in its order, and after each section an
# application, or whoever the section is about, finds what the section promises. A command that nothing here runs is a failure.
# It starts gateways of its own, as the page and the systemd unit do. Needs
#   GREP11                 the launcher of this checkout
#   GREP11_SDK_CLASSPATH   the Java SDK with what it needs
# and SoftHSM, openssl, python3 and pkcs11-tool.
set -euo pipefail

HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname -- "$(dirname -- "$HERE")")
PAGE=$ROOT/docs/operations.md
STORY=operations
WORK=$(mktemp -d "${TMPDIR:-/tmp}/grep11-operations.XXXXXX")
ETC=$WORK/etc
SYSTEM=$WORK/systemd
STATE=$WORK/state/grep11
LOGS=$WORK/logs/grep11
# As docs/image.md has root make them.
install -d -m 0700 "$ETC" "$STATE" "$LOGS"
mkdir "$SYSTEM" "$WORK/bin" "$WORK/home"

# The page's commands write to a file, and what goes wrong among them is to be seen.
exec 3>&2

declare -A gateways=()
# shellcheck disable=SC2329 # By the trap.
end() {
  local status=$? name
  if [[ $status != 0 ]]; then
    {
      printf 'operations: failed in "%s"\n' "${section:-the beginning}"
      [[ ! -s $WORK/out ]] || tail -n 60 "$WORK/out"
      for name in "$WORK"/*.err; do printf '== %s\n' "${name##*/}" && tail -n 8 "$name"; done
    } >&3
  fi
  for name in "${!gateways[@]}"; do kill "${gateways[$name]}" 2>/dev/null || true; done
  wait
  rm -rf "$WORK"
  exit "$status"
}
trap end EXIT

# shellcheck source-path=SCRIPTDIR source=../story.sh
source "$HERE/../story.sh"
# The end shows the logs, whatever it comes from.
bad() {
  printf '%s: %s\n' "$STORY" "$*" >&3
  exit 1
}

# ---- The page

# in_place: its paths, names and ports are those of this run.
in_place() {
  local name=gateway.example
  sed -e "s|/opt/grep11/softhsm/|$ROOT/softhsm/|g" -e "s|/etc/grep11|$ETC|g" -e "s|/etc/systemd/system|$SYSTEM|g" \
    -e "s|/var/lib/grep11|$STATE|g" -e "s|/var/log/grep11|$LOGS|g" \
    -e "s|${name/./\\.}|localhost|g" -e "s|0\.0\.0\.0|127.0.0.1|g" -e "s|/usr/lib/softhsm/libsofthsm2\.so|$MODULE|g" \
    -e "s|\b9876\b|$((PORT))|g" -e "s|\b9877\b|$((PORT + 1))|g" -e "s|\b9878\b|$((PORT + 2))|g" -e "s|\b9886\b|$((PORT + 10))|g"
}

# fences SECTION LANGUAGE: each in a file of its own, whose names it prints.
fences() {
  awk -v heading="## $1" -v language="$2" -v made="$WORK/fence" '
    /^## / { within = $0 == heading }
    !within { next }
    /^ *```/ && inside { inside = 0; close(file); print file; next }
    /^ *```/ { indentation = match($0, /`/); if (substr($0, indentation + 3) == language) { inside = 1; file = made "-" ++number; printf "" >file }; next }
    inside { print substr($0, indentation) >file }' "$PAGE"
}

ran=0
# follow SECTION [NUMBER]: the commands of the section, or of that step of it, as this shell's own.
follow() {
  section=$1
  local fence number=0
  [[ -n ${2:-} && $2 != 1 ]] || say "$1"
  fences "$1" sh >"$WORK/fences"
  [[ -s $WORK/fences ]] || bad "the page has no commands under \"$1\""
  while read -r fence; do
    number=$((number + 1))
    [[ -z ${2:-} || $2 == "$number" ]] || continue
    in_place <"$fence" >"$WORK/commands"
    ran=$((ran + 1))
    # shellcheck disable=SC1091 # What the page says.
    source "$WORK/commands" >"$WORK/out" 2>&1 </dev/null
  done < <(cat "$WORK/fences")
}

# The service manager of this run: what the unit files say, as processes of this shell.
systemctl() {
  local verb=$1 name command
  shift
  for name; do
    if [[ $verb != start ]]; then
      kill "${gateways[$name]}"
      wait "${gateways[$name]}" || bad "$name did not end cleanly"
      unset "gateways[$name]"
    fi
    [[ $verb != stop ]] || continue
    command=$(sed -n 's|^ExecStart=/opt/grep11/grep11 ||p' "$SYSTEM/$name.service")
    : >"$WORK/$name.ready"
    : >"$WORK/$name.started"
    # shellcheck disable=SC2086 # Words of a command.
    "$GREP11" $command >"$WORK/$name.ready" 2>>"$WORK/$name.err" &
    gateways[$name]=$!
    eventually "$name to start" grep -q '^ready ' "$WORK/$name.ready"
    wrote_where_it_may "$name"
  done
}

# wrote_where_it_may UNIT: under ProtectSystem=strict a gateway writes into the directories that its unit names, nowhere else.
wrote_where_it_may() {
  local unit=$SYSTEM/$1.service allowed stray
  grep -qx ProtectSystem=strict "$unit" || bad "$1 may write everywhere"
  allowed=$(sed -n -e "s|^StateDirectory=|$WORK/state/|p" -e "s|^LogsDirectory=|$WORK/logs/|p" "$unit")
  # shellcheck disable=SC2086 # One or more, without blanks.
  [[ -n $(find $allowed -type f -newer "$WORK/$1.started" -print -quit) ]] || bad "$1 wrote nothing, not even its lease"
  stray=$(find "$ETC" "$WORK/state" "$WORK/logs" -newer "$WORK/$1.started" | grep -vF "$allowed" || true)
  [[ -z $stray ]] || bad "$1 wrote where its unit does not let it: $stray"
}

# ---- What is found afterwards

# eventually WHAT COMMAND...: within two minutes.
eventually() {
  local what=$1
  shift
  for _ in $(seq 600); do
    ! "$@" >"$WORK/found" 2>&1 || return 0
    sleep 0.2
  done
  bad "$what: not within two minutes; $(tail -n 3 "$WORK/found")"
}

# application COMMAND KEY [NAME=VALUE...]: as the application is set up at the moment, but for these.
application() {
  local command=$1 key=$2
  shift 2
  timeout 120 env ${ENVIRONMENT[@]+"${ENVIRONMENT[@]}"} "$@" "$JAVA_HOME/bin/java" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xlog:disable --enable-native-access=ALL-UNNAMED \
    -XX:+AutoCreateSharedArchive "-XX:SharedArchiveFile=$WORK/application.jsa" -cp "$WORK/application.jar:$GREP11_SDK_CLASSPATH" \
    Application "$command" "$key"
}
# setting NAME=VALUE...: from now on the application has these.
ENVIRONMENT=()
setting() { ENVIRONMENT+=("$@"); }

# signs WHO KEY [NAME=VALUE...]
signs() {
  local who=$1
  shift
  application sign "$@" >"$WORK/out" 2>&1 || bad "$who does not sign: $(tail -n 3 "$WORK/out")"
  good "signs: $who"
}
# refused WHO WORDS KEY [NAME=VALUE...]
refused() {
  local who=$1 words=$2
  shift 2
  if application sign "$@" >"$WORK/out" 2>&1; then bad "$who signs"; fi
  grep -Eq -- "$words" "$WORK/out" || bad "$who is not refused for \"$words\": $(cat "$WORK/out")"
  good "refused: $who"
}
# fails WORDS COMMAND...: a command of an operator or administrator.
fails() {
  local words=$1 status=0
  shift
  "$@" >"$WORK/out" 2>&1 || status=$?
  [[ $status == 1 ]] || bad "exit $status instead of 1: $*"
  grep -Eq -- "$words" "$WORK/out" || bad "$* does not say \"$words\": $(cat "$WORK/out")"
  good "refused: $(tail -n 1 "$WORK/out" | cut -c 1-150)"
}
# serves PORT-OFFSET CERTIFICATE: what the server shows there.
serves() {
  local shown
  shown=$(openssl s_client -connect "localhost:$((PORT + $1))" </dev/null 2>/dev/null | openssl x509 -noout -fingerprint)
  [[ $shown == "$(openssl x509 -noout -fingerprint -in "$2")" ]]
}
ready() { grep11 health --config "$1"; }
# not_ready FILE REASON
not_ready() { ! grep11 health --config "$1" >"$WORK/health" 2>&1 && grep -q "$2" "$WORK/health"; }

left_behind() { ! application sign left; }
expired() { ! openssl x509 -checkend 0 -noout -in "$1"; }

# short_lived SECONDS: a certificate for the server that ends so soon, in the place of the one that is there.
short_lived() {
  local made=$WORK/short-lived
  rm -rf "$made"
  mkdir "$made"
  : >"$made/index"
  openssl req -new -key server.key -subj /CN=localhost -out "$made/csr" 2>/dev/null
  printf '[ca]\ndefault_ca=a\n[a]\ndatabase=%s\nnew_certs_dir=%s\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n' \
    "$made/index" "$made" >"$made/config"
  openssl ca -batch -notext -config "$made/config" -cert ca.pem -keyfile ca.key -in "$made/csr" -out "$made/pem" -extfile server.ext \
    -startdate "$(date -u -d '-1 hour' +%Y%m%d%H%M%SZ)" -enddate "$(date -u -d "+$1 seconds" +%Y%m%d%H%M%SZ)" >"$WORK/out" 2>&1
  mv "$made/pem" server.pem
}
served_or_expired() { serves 0 server.pem || expired server.pem; }

# ---- The run

printf '#!/bin/sh\nexec "%s" "$@"\n' "$GREP11" >"$WORK/bin/grep11"
chmod 755 "$WORK/bin/grep11"
PATH=$WORK/bin:$PATH
export HOME=$WORK/home
MODULE=$(compgen -G '/usr/lib*/softhsm/libsofthsm2.so' || compgen -G '/usr/lib*/*/softhsm/libsofthsm2.so')
MODULE=${MODULE%%$'\n'*}
PORT=$(ports 14)
in_place <"$ROOT/docker/systemd/grep11-gateway.service" >"$SYSTEM/grep11-gateway.service"
mkdir "$WORK/java"
"$JAVA_HOME/bin/javac" -d "$WORK/java" -cp "$GREP11_SDK_CLASSPATH" "$HERE/Application.java"
"$JAVA_HOME/bin/jar" --create --file "$WORK/application.jar" -C "$WORK/java" .
# That nobody else reads what the page's commands write is the page's own doing.
umask 022
cd "$ETC"

in_place <"$(fences "First start" yaml)" >gateway.yaml
follow "First start"
readable=$(find "$ETC" "$STATE" "$LOGS" -perm /077 ! -name gateway.yaml)
[[ -z $readable ]] || bad "others may read or write $readable"
good "nobody else reads what was written, and the gateway writes where its unit lets it"
setting GREP11_ADDRESS="localhost:$PORT" GREP11_IAMENDPOINT="https://localhost:$((PORT + 2))" GREP11_CA=ca.pem \
  GREP11_APIKEY="$(<app1.apikey)"
application make payment >"$WORK/out" 2>&1 || bad "no key pair: $(cat "$WORK/out")"
signs "an application with a token, on a new gateway" payment

follow "Add a replica"
signs "with the other one's blob, at the replica" payment GREP11_ADDRESS="localhost:$((PORT + 10))"

follow "Close the second lock"
refused "without a certificate" 'UNAVAILABLE|UNAUTHENTICATED' payment
refused "without a certificate, at the replica" 'UNAVAILABLE|UNAUTHENTICATED' payment GREP11_ADDRESS="localhost:$((PORT + 10))"
setting GREP11_CLIENT_CERT=client.pem GREP11_CLIENT_KEY=client.key
signs "with a certificate of the registered CA" payment
fails 'key .* is required|requires|empty|no API key|not logged in' env CERTMGR_APIKEY= grep11 certmgr cert list --crn "$HPCS_CRN"

follow "Back up and rehearse"
fails 'exists|is there' grep11 backup --config gateway.yaml --to backup-monday

follow "Rotate the server's certificate"
eventually "the new certificate to be served" serves 0 server.pem
eventually "the new certificate to be served by the replica" serves 10 server.pem
signs "after the change of the server's certificate" payment

cp ca.pem first-ca.pem
follow "Rotate the server's CA" 1
signs "with both CAs trusted, before" payment GREP11_CA=both-cas.pem
follow "Rotate the server's CA" 2
eventually "the certificate of the new CA to be served" serves 0 server.pem
eventually "the certificate of the new CA to be served by the replica" serves 10 server.pem
signs "with both CAs trusted, after" payment GREP11_CA=both-cas.pem
follow "Rotate the server's CA" 3
signs "with the new CA alone" payment
refused "who trusts the old CA alone" 'trust|certificate|PKIX' payment GREP11_CA=first-ca.pem

cp client.pem former.pem
follow "Rotate a client's certificate"
! cmp -s client.pem former.pem || bad "the client has its old certificate"
signs "with the new certificate" payment

follow "Rotate a client CA" 1
signs "with a certificate of the old CA, beside the new one" payment
signs "with a certificate of the new CA" payment GREP11_CLIENT_CERT=client-2.pem GREP11_CLIENT_KEY=client-2.key
follow "Rotate a client CA" 2
refused "with a certificate of the old CA" 'UNAVAILABLE|UNAUTHENTICATED' payment
setting GREP11_CLIENT_CERT=client-2.pem GREP11_CLIENT_KEY=client-2.key
signs "with a certificate of the new CA, alone" payment

follow "Rotate an administrator's key"
fails 'signature rejected' grep11 certmgr cert delete --crn "$HPCS_CRN" --admin-priv-key "$OLD_KEY" --cert-id payments-2
signs "after the change of the administrator's key" payment

follow "Rotate an API key"
refused "with the deleted API key" 'token|API key|401|400' payment
setting GREP11_APIKEY="$(<app1-2.apikey)"
signs "with the new API key, by the old blob" payment

follow "Rotate the master key" 1
signs "with a blob under the old master key" payment
cp payment.private left.private
cp payment.public left.public
follow "Rotate the master key" 2
application rewrap payment >"$WORK/out" 2>&1 || bad "nothing is re-wrapped: $(cat "$WORK/out")"
signs "with the blob that was re-wrapped" payment
fails '30 days|used' grep11 masterkey retire --config gateway.yaml
follow "Rotate the master key" 3
eventually "the retired master key to be refused" left_behind
refused "with a blob that was not re-wrapped" 'CKR_IBM_WKID_MISMATCH' left
signs "with the blob that was re-wrapped, the old master key retired" payment
fails 'quarantine|until|retired' grep11 masterkey destroy --config gateway.yaml \
  --generation "$(grep11 masterkey list --config gateway.yaml | sed -n 's/^\([0-9a-f]*\) *retired .*/\1/p')"

follow "Rotate the token's PIN"
signs "after restarts with the new PIN" payment

follow "What is wrong"
good "health, doctor and the audit file answer"

section="The token is lost"
mv "$STATE/token/tokens" "$STATE/token/away"
eventually "the loss to be noticed" not_ready gateway.yaml token
good "not ready: $(tail -n 1 "$WORK/health")"
mv "$STATE/token/away" "$STATE/token/tokens"
eventually "the token to be found again" ready gateway.yaml
eventually "the token to be found again by the replica" ready gateway-2.yaml
signs "after the token's return, without a restart" payment
rm -rf "$STATE/token"
follow "The token is lost"
signs "after the token's own backup came back" payment

rm "$STATE/store/store.db"
grep11 apikey list --config gateway.yaml >"$WORK/out" 2>&1 && bad "a command works without a database"
follow "The database is lost"
signs "after the store came back from the backup" payment
refused "without a certificate, as before" 'UNAVAILABLE|UNAUTHENTICATED' payment GREP11_CLIENT_CERT=
grep11 health --config gateway-2.yaml >"$WORK/out"

section="A certificate has expired"
# On a slow machine one may have ended before it is taken up, and is refused then.
for lifetime in 12 40 120; do
  short_lived "$lifetime"
  eventually "the certificate that ends soon to be served" served_or_expired
  ! serves 0 server.pem || break
done
serves 0 server.pem || bad "no certificate that ends soon is taken up"
eventually "it to have expired" expired server.pem
refused "who comes to a gateway whose certificate has expired" 'NotAfter' payment
grep11 doctor --config gateway.yaml >"$WORK/doctor" 2>&1 && bad "doctor finds nothing bad"
grep -i 'server certificate.*expired' "$WORK/doctor" >/dev/null || bad "doctor does not name the expired certificate: $(cat "$WORK/doctor")"
good "doctor: $(grep -i 'server certificate' "$WORK/doctor" | head -n 1 | cut -c 1-140)"
follow "A certificate has expired"
eventually "the new certificate to be served" serves 0 server.pem
eventually "the new certificate to be served by the replica" serves 10 server.pem
signs "after the renewal, without a restart" payment

section="Locked out"
rm client-2.* payments-ca-2.key
refused "everybody, without a certificate" 'UNAVAILABLE|UNAUTHENTICATED' payment GREP11_CLIENT_CERT=
follow "Locked out"
setting GREP11_CLIENT_CERT=rescue.pem GREP11_CLIENT_KEY=rescue.key
signs "with the rescue's certificate" payment
refused "without a certificate, all the same" 'UNAVAILABLE|UNAUTHENTICATED' payment GREP11_CLIENT_CERT=

mv "$HOME/.hpcs-cert-mgr-cfg" "$WORK/stolen"
STOLEN=$WORK/stolen/${KEY##*/}
follow "An administrator's key is lost" 
fails 'signature rejected' grep11 certmgr cert delete --crn "$HPCS_CRN" --admin-priv-key "$STOLEN" --cert-id rescue
grep11 certmgr cert delete --crn "$HPCS_CRN" --admin-priv-key "$KEY" --cert-id payments-2 >"$WORK/out" 2>&1
signs "the CA of the rescue stayed" payment

follow "An administrator is gone"
grep11 certmgr cert list --crn "$HPCS_CRN" >"$WORK/out" 2>&1
grep -q rescue "$WORK/out" || bad "bob does not see what he inherited: $(cat "$WORK/out")"
good "bob has what was hers"
signs "the lock stayed as it was" payment

# ---- The page itself

section="the page"
[[ $ran == "$(grep -c '^ *```sh$' "$PAGE")" ]] || bad "the page has $(grep -c '^ *```sh$' "$PAGE") pieces of commands, and $ran were run"
while read -r heading; do
  anchor=$(tr '[:upper:] ' '[:lower:]-' <<<"$heading" | tr -d "'.,")
  grep -q "(#$anchor)" <(sed -n '/^|/p' "$PAGE") || bad "the table of situations does not link to \"$heading\""
done < <(sed -n 's/^## //p' "$PAGE")
good "every command was run, every situation is in the table"

printf '\noperations: %d checks passed, %d pieces of commands\n' "$checks" "$ran"
