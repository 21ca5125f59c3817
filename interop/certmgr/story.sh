#!/usr/bin/env bash
# The story of docs/certificate-manager.md as plain commands, and after each step what clients in Node, Go and Java find.
# Needs the environment of a demo gateway (its env file), and
#   GREP11                     the launcher of this checkout
#   GREP11_GATEWAY_DATA        the gateway's directory, for host commands
#   GREP11_SDK_CLASSPATH       the Java SDK with what it needs
#   GREP11_CERTMGR_ARCHIVE     what ./grep11 dist wrote; made when it is not set
set -euo pipefail

HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname -- "$(dirname -- "$HERE")")
STORY='second lock'
WORK=$(mktemp -d "${TMPDIR:-/tmp}/grep11-story.XXXXXX")
trap 'rm -rf "$WORK"' EXIT

# shellcheck source-path=SCRIPTDIR source=../story.sh
source "$HERE/../story.sh"

# The archive for administrators, under the documented name. The launcher's own way has a few commands below.
unpack_certmgr() {
  local archive=${GREP11_CERTMGR_ARCHIVE:-}
  if [[ -z $archive ]]; then
    archive=$("$GREP11" dist)
    archive=${archive%%$'\n'*}
  fi
  mkdir "$WORK/certmgr"
  tar -C "$WORK/certmgr" --strip-components=1 -xzf "$archive"
}
tool() { "$WORK/certmgr/bin/hpcs-cert-mgr" "$@"; }
certmgr() { tool "$@" --crn "$HPCS_CRN"; }

# refuses EXIT-CODE WORDS COMMAND...: it ends so, and says these words.
refuses() {
  local expected=$1 words=$2 status=0 said
  shift 2
  said=$("$@" 2>&1) || status=$?
  [[ $status == "$expected" ]] || bad "exit $status instead of $expected: $* said: $said"
  [[ $said == *"$words"* ]] || bad "\"$words\" is missing in: $said"
  good "refused: ${said##*$'\n'}"
}

# ---- The documented recipe: OpenSSL's defaults, no extension file.

# authority NAME CA-SUBJECT CLIENT-SUBJECT
authority() {
  local folder=$WORK/$1
  mkdir "$folder"
  openssl genrsa -out "$folder/ca.key" 2048 2>/dev/null
  openssl req -x509 -new -key "$folder/ca.key" -days 730 -subj "$2" -out "$folder/ca.pem"
  openssl genrsa -out "$folder/client.key" 2048 2>/dev/null
  openssl req -new -key "$folder/client.key" -subj "$3" -out "$folder/client.csr"
  openssl x509 -req -in "$folder/client.csr" -CA "$folder/ca.pem" -CAkey "$folder/ca.key" -CAcreateserial \
    -days 730 -out "$folder/client.pem" 2>/dev/null
}

# ---- Clients: one call each, with the certificate of an authority or without.

client() {
  local language=$1 authority=$2
  if [[ $authority != none ]]; then
    export GREP11_CLIENT_CERT=$WORK/$authority/client.pem GREP11_CLIENT_KEY=$WORK/$authority/client.key
  fi
  case $language in
    node) timeout 60 node "$ROOT/interop/node/example.js" ;;
    go) timeout 60 "$WORK/go-client" ;;
    java)
      # Started often and for a moment: classes are loaded from an archive that the first start leaves.
      timeout 60 "$JAVA_HOME/bin/java" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xlog:disable \
        -XX:+AutoCreateSharedArchive "-XX:SharedArchiveFile=$WORK/client.jsa" \
        -cp "$WORK/client.jar:$GREP11_SDK_CLASSPATH" dev.grep11.client.ClientExample
      ;;
  esac
}

# expect open|shut AUTHORITY...: for all clients, which run at once.
expect() {
  local expected=$1 authority language found
  shift
  for authority; do
    for language in "${LANGUAGES[@]}"; do
      (
        found=open
        (client "$language" "$authority") >"$WORK/$language.log" 2>&1 || found=shut
        printf '%s\n' "$found" >"$WORK/$language.found"
      ) &
    done
    wait
    for language in "${LANGUAGES[@]}"; do
      found=$(<"$WORK/$language.found")
      [[ $found == "$expected" ]] || {
        cat "$WORK/$language.log" >&2
        bad "$language with certificate \"$authority\" finds the lock $found instead of $expected"
      }
    done
    good "certificate $authority: $expected (${LANGUAGES[*]})"
  done
}

LANGUAGES=(node java)
prepare_clients() {
  mkdir "$WORK/java"
  "$JAVA_HOME/bin/javac" -d "$WORK/java" -cp "$GREP11_SDK_CLASSPATH" \
    "$ROOT/client-sdk/src/test/java/dev/grep11/client/ClientExample.java"
  "$JAVA_HOME/bin/jar" --create --file "$WORK/client.jar" -C "$WORK/java" .
  local folder=$ROOT/interop/go
  if ! command -v go >/dev/null || ! go -C "$folder" list -m >/dev/null 2>&1; then
    say "left out for Go: there is none of the version in interop/go/go.mod"
    return
  fi
  [[ -d $folder/grep11pb ]] || go -C "$folder" run ./generate >"$WORK/go.log" 2>&1 || { cat "$WORK/go.log" >&2; bad "no generated code for Go"; }
  go -C "$folder" build -o "$WORK/go-client" . 2>"$WORK/go.log" || { cat "$WORK/go.log" >&2; bad "the Go client cannot be built"; }
  LANGUAGES+=(go)
}

# status TOKEN: the gRPC status of a call with the certificate of payments and this token, or with none. By bare HTTP/2,
# since the clients above ask the token service first, which would refuse before the gateway can.
status() {
  GREP11_TOKEN=$1 GREP11_CLIENT_CERT=$WORK/payments/client.pem GREP11_CLIENT_KEY=$WORK/payments/client.key \
    timeout 30 node "$HERE/status.js"
}

# sessions ADDRESS VERSION: "resumed" when a second handshake continues the session of the first, else "new".
sessions() {
  local identity=(-cert "$WORK/payments/client.pem" -key "$WORK/payments/client.key")
  rm -f "$WORK/session"
  # A while open: TLS 1.3 tickets come after the handshake.
  (sleep 0.5) | openssl s_client -connect "$1" "$2" "${identity[@]}" -alpn h2 -sess_out "$WORK/session" \
    >"$WORK/s_client.log" 2>&1 || true
  grep -q 'Cipher is [A-Z]' "$WORK/s_client.log" || { cat "$WORK/s_client.log" >&2; bad "no handshake with $1"; }
  # Read to its end: a pipe that grep closes early would count as no match.
  if [[ -s $WORK/session ]]; then
    (sleep 0.5) | openssl s_client -connect "$1" "$2" "${identity[@]}" -alpn h2 -sess_in "$WORK/session" \
      >"$WORK/again.log" 2>&1 || true
  else
    : >"$WORK/again.log"
  fi
  if grep -q '^Reused, ' "$WORK/again.log"; then
    echo resumed
  else
    echo new
  fi
}

# Nothing here could fail if openssl did not resume where it may: its own server shows that it does.
never_resumes() {
  local version port=0 server
  openssl s_server -accept "127.0.0.1:0" -cert "$WORK/payments/client.pem" -key "$WORK/payments/client.key" \
    -alpn h2 >"$WORK/s_server.log" 2>&1 < <(sleep 60) &
  server=$!
  for _ in $(seq 50); do
    port=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' "$WORK/s_server.log")
    [[ -z $port ]] || break
    sleep 0.1
  done
  for version in -tls1_2 -tls1_3; do
    [[ $(sessions "127.0.0.1:$port" "$version") == resumed ]] || bad "openssl does not resume at all (${version#-})"
    [[ $(sessions "$GREP11_ADDRESS" "$version") == new ]] || bad "the gateway resumes sessions (${version#-})"
    good "a session is never resumed (${version#-})"
  done
  kill "$server"
  wait "$server" 2>/dev/null || true
}

# as NAME API-KEY: who gives the commands from now on, with a home of its own.
as() {
  export HOME=$WORK/home-$1 CERTMGR_APIKEY=$2
  mkdir -p "$HOME"
}

newest_key() {
  local newest
  newest=$(find "$HOME/.hpcs-cert-mgr-cfg" -name '*.priv' -printf '%T@ %p\n' | sort -n | tail -1)
  printf '%s\n' "${newest#* }"
}

say "the administrators' archive, and clients in all languages"
unpack_certmgr
prepare_clients

say "certificates by the documented recipe: distinct names, and the same answers at every prompt"
authority payments "/C=DE/O=Example Bank/CN=Payments CA" "/C=DE/O=Example Bank/CN=payments-1"
authority custody "/C=AU/ST=Some-State/O=Internet Widgits Pty Ltd" "/C=AU/ST=Some-State/O=Internet Widgits Pty Ltd"

first_apikey=$CERTMGR_APIKEY
as first "$first_apikey"

say "no client CA is registered: a certificate is neither needed nor looked at"
expect open none payments

say "roles: who manages certificates uses no keys, and the other way round"
refuses 1 "not authorised" env CERTMGR_APIKEY="$GREP11_APIKEY" "$WORK/certmgr/bin/hpcs-cert-mgr" cert list --crn "$HPCS_CRN"
if (GREP11_APIKEY=$CERTMGR_APIKEY client node none) >"$WORK/client.log" 2>&1; then
  bad "a certificate administrator could use a key"
fi
good "refused: $(tail -1 "$WORK/client.log")"

say "an administrator's key: get (none), set, get, set again, update"
certmgr adminkey get | tee "$WORK/get.txt"
"$GREP11" certmgr adminkey get --crn "$HPCS_CRN" | cmp - "$WORK/get.txt" || bad "archive and launcher print different things"
certmgr adminkey set
key=$(newest_key)
[[ $(stat -c %a "$key") == 600 && $(stat -c %a "$(dirname "$key")") == 700 ]] || bad "the private key is readable by others"
certmgr adminkey get | tee "$WORK/get.txt"
sed '/^-/d' "${key%.priv}.pub" | tr -d '\n' >"$WORK/own.txt"
tr -d ' \n|+-' <"$WORK/get.txt" | tr -d '\r' | grep -qF "$(tr -d '+-' <"$WORK/own.txt")" || bad "get shows another key"
good "the registered key is the one in ${key##*/}"
refuses 1 "update" certmgr adminkey set
certmgr adminkey update --admin-priv-key "$key"
old=$key
key=$(newest_key)
[[ $key != "$old" ]] || bad "update made no new pair"
refuses 1 "signature rejected" certmgr cert set --admin-priv-key "$old" --cert-id payments --cert "$WORK/payments/ca.pem"
expect open none

say "the first CA closes the lock"
certmgr cert set --admin-priv-key "$key" --cert-id payments --cert "$WORK/payments/ca.pem"
expect open payments
expect shut none custody
never_resumes

say "with the lock closed a token is needed as before"
leaver_apikey=$("$GREP11" apikey create --data "$GREP11_GATEWAY_DATA" --name leaver \
  --role Manager --output json | sed -n 's/.*"apikey" *: *"\([^"]*\)".*/\1/p')
leaver_token=$(GREP11_APIKEY=$leaver_apikey node "$HERE/status.js" token)
[[ $(status "$leaver_token") == 0 ]] || bad "a token and a certificate do not do"
good "a token and a certificate: the gateway answers"
[[ $(status '') == 16 ]] || bad "a certificate does without a token"
good "refused: a certificate without a token"
[[ $(status "${leaver_token%?????}AAAAA") == 16 ]] || bad "a certificate does with a token that nobody signed"
good "refused: a certificate with a token that nobody signed"
"$GREP11" apikey delete leaver --data "$GREP11_GATEWAY_DATA"
for _ in $(seq 50); do
  left=$(status "$leaver_token")
  [[ $left == 0 ]] || break
  sleep 0.1
done
[[ $left == 16 || $left == 7 ]] || bad "the token of a deleted API key still does: status $left"
good "refused: a certificate with a token whose API key was deleted"
if (GREP11_APIKEY=$leaver_apikey client node payments) >"$WORK/client.log" 2>&1; then bad "a deleted API key gives tokens"; fi
good "refused: $(tail -1 "$WORK/client.log")"

say "what is registered: list, get"
certmgr cert list
certmgr cert get --cert-id payments --cert-store-file "$WORK/back.pem"
cmp <(openssl x509 -in "$WORK/back.pem" -outform DER) <(openssl x509 -in "$WORK/payments/ca.pem" -outform DER) ||
  bad "another certificate came back"
good "the certificate came back as it was uploaded"
refuses 1 "not found" certmgr cert get --cert-id unknown
refuses 1 "exists" certmgr cert get --cert-id payments --cert-store-file "$WORK/back.pem"

say "a second administrator: a key of its own, and sees only its own certificates"
second_apikey=$("$GREP11" apikey create --data "$GREP11_GATEWAY_DATA" --name second-administrator \
  --role "Certificate Manager" --output json | sed -n 's/.*"apikey" *: *"\([^"]*\)".*/\1/p')
[[ -n $second_apikey ]] || bad "no API key for the second administrator"
as second "$second_apikey"
certmgr adminkey set
second_key=$(newest_key)
if certmgr cert list | tee "$WORK/list.txt" | grep -q BEGIN; then bad "the second sees the first one's certificates"; fi
refuses 1 "not found" certmgr cert delete --admin-priv-key "$second_key" --cert-id payments
refuses 1 "signature rejected" certmgr cert set --admin-priv-key "$key" --cert-id custody --cert "$WORK/custody/ca.pem"
certmgr cert set --admin-priv-key "$second_key" --cert-id custody --cert "$WORK/custody/ca.pem"
expect open payments custody
expect shut none

say "one CA goes: its clients lose access, the others keep it"
as first "$first_apikey"
certmgr cert delete --admin-priv-key "$key" --cert-id payments
expect open custody
expect shut payments none

say "an id that exists: the certificate is replaced"
as second "$second_apikey"
certmgr cert set --admin-priv-key "$second_key" --cert-id custody --cert "$WORK/payments/ca.pem"
expect open payments
expect shut custody none

say "a backup, and back from it"
certmgr cert export "$WORK/backup"
certmgr cert import "$WORK/backup" --admin-priv-key "$second_key"
refuses 1 "certificates" certmgr adminkey delete --admin-priv-key "$second_key"

say "the last CA goes: the lock opens, also for clients that still show a certificate"
certmgr cert delete --admin-priv-key "$second_key" --cert-id custody
expect open none payments custody

say "administrators' keys go too"
certmgr adminkey delete --admin-priv-key "$second_key"
certmgr adminkey get
as first "$first_apikey"
certmgr adminkey delete --admin-priv-key "$key"

say "a required flag that is missing is named"
refuses 2 "--crn" "$GREP11" certmgr adminkey get
refuses 2 "--admin-priv-key" certmgr adminkey update
refuses 2 "--admin-priv-key" certmgr adminkey delete
refuses 2 "--admin-priv-key" certmgr cert set --cert-id a --cert "$WORK/payments/ca.pem"
refuses 2 "--cert-id" certmgr cert set --admin-priv-key "$key" --cert "$WORK/payments/ca.pem"
refuses 2 "--cert" certmgr cert set --admin-priv-key "$key" --cert-id a
refuses 2 "--cert-id" certmgr cert get
refuses 2 "--admin-priv-key" certmgr cert delete --cert-id a
refuses 2 "--cert-id" certmgr cert delete --admin-priv-key "$key"

printf '\nsecond lock: %d checks passed\n' "$checks"
