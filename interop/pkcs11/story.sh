#!/usr/bin/env bash
# PKCS #11 applications of the distribution with keys that are only behind the gateway, through both modules.
# Needs the environment of a demo gateway (its env file) and GREP11_GATEWAY_DATA, its data directory, and
#   GREP11          the launcher of this checkout
#   GREP11_MODULES  a directory with pkcs11-grep11.so, sanitized.so, door-test and door-test-sanitized
HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$HERE/lib.sh"

# The key in the agent's configuration is no PIN, so the user has one of his own.
guest_key=$GREP11_APIKEY
GREP11_APIKEY=$("$GREP11" apikey create --data "$GREP11_GATEWAY_DATA" --name orders --instance "$GREP11_INSTANCE" \
  --role Manager | sed -n 's/^apikey: //p')
[[ -n $GREP11_APIKEY ]] || { echo "pkcs11: no API key for the user" >&2; exit 1; }
export GREP11_APIKEY
# The gateway takes the new key up at its next look at the store.
sleep 3

configure() {
  cat >"$WORK/grep11client.yaml" <<TEXT
iamcredentialtemplate: &iam { enabled: true, endpoint: "$GREP11_IAMENDPOINT" }
sessionauthtemplate: &store { enabled: true, tokenspaceIDPassword: "${1:-k3yst0re}" }
tokens:
  0:
    grep11connection:
      address: "${GREP11_ADDRESS%:*}"
      port: "${GREP11_ADDRESS##*:}"
      tls: { enabled: true, mutual: false, cacert: "$GREP11_CA" }
    storage: { filestore: { enabled: true, storagepath: "$WORK/keystores" } }
    users:
      0: { name: officer, iamauth: *iam }
      1: { name: orders, tokenspaceID: 7c0c7d1e-07c4-4a6b-8d3c-0e5f5f3f6a11, iamauth: *iam, sessionauth: *store }
      2:
        name: guest
        tokenspaceID: b1f3f2d6-5b0d-4f0a-9d54-2a6f3c8e7720
        iamauth: { <<: *iam, apikey: "$guest_key" }
        sessionauth: *store
logging: { loglevel: trace, logpath: "$WORK/agent.log" }
TEXT
  chmod 600 "$WORK/grep11client.yaml"
}

# through NAME MODULE: the documented tour of a PKCS #11 module.
through() {
  local name=$1 module=$2 label=$1-key object
  say "$name: $module"
  shows 'token model *: GREP11' timeout 60 pkcs11-tool --module "$module" -L
  good "-L shows the token"
  shows 'ECDSA, keySize' timeout 60 pkcs11-tool --module "$module" -M
  good "-M lists $(grep -c keySize "$WORK/out") mechanisms with keys"
  shows 'Private Key Object; EC' tool "$module" --keypairgen --key-type EC:prime256v1 --id 01 --label "$label"
  shows "label: *$label" tool "$module" -O
  good "--login --keypairgen and -O"
  head -c 32 /dev/urandom >"$WORK/hash"
  tool "$module" -s -m ECDSA --id 01 -i "$WORK/hash" -o "$WORK/signature" >"$WORK/out" || bad "$name: -s: $(cat "$WORK/out")"
  shows 'Signature is valid' tool "$module" --verify -m ECDSA --id 01 -i "$WORK/hash" --signature-file "$WORK/signature"
  good "-s and --verify"
  tool "$module" --read-object --type pubkey --id 01 -o "$WORK/public.der" >"$WORK/out" || bad "$name: $(cat "$WORK/out")"
  tool "$module" -s -m ECDSA --signature-format openssl --id 01 -i "$WORK/hash" -o "$WORK/signature" >"$WORK/out"
  shows Successfully openssl pkeyutl -verify -pubin -inkey "$WORK/public.der" -keyform DER -in "$WORK/hash" \
    -sigfile "$WORK/signature"
  good "openssl verifies it, by the public key that was read"
  tool "$module" --keygen --key-type AES:32 --id 02 --label secret >"$WORK/out" || bad "$name: $(cat "$WORK/out")"
  tool "$module" --encrypt -m AES-ECB --id 02 -i "$WORK/hash" -o "$WORK/cipher" >"$WORK/out"
  tool "$module" --decrypt -m AES-ECB --id 02 -i "$WORK/cipher" -o "$WORK/plain" >"$WORK/out"
  cmp "$WORK/hash" "$WORK/plain" || bad "$name: AES"
  good "--keygen, --encrypt, --decrypt"
  shows 'No errors' tool "$module" --test
  good "--test finds no errors"
  for object in privkey:01 pubkey:01 secrkey:02; do
    tool "$module" -b --type "${object%:*}" --id "${object#*:}" >"$WORK/out" || bad "$name: -b: $(cat "$WORK/out")"
  done
  tool "$module" -O >"$WORK/out"
  ! grep -q "label: *$label" "$WORK/out" || bad "$name: -b left the key"
  good "-b destroys"
  ! timeout 60 pkcs11-tool --module "$module" --login --pin "no-such-key" -O >"$WORK/out" 2>&1 || bad "$name: a wrong PIN"
  grep -q CKR_PIN_INCORRECT "$WORK/out" || bad "$name: a wrong PIN: $(cat "$WORK/out")"
  ! timeout 60 pkcs11-tool --module "$module" --login --pin "$guest_key" -O >"$WORK/out" 2>&1 || bad "$name: the guest's PIN"
  grep -q CKR_PIN_INCORRECT "$WORK/out" || bad "$name: the key of the anonymous user: $(cat "$WORK/out")"
  good "a wrong PIN is refused, and the API key of the anonymous user"
}

say "without an agent"
"$GREP11_MODULES/door-test" "$OWN" absent 2>"$WORK/out" || bad "absent: $(cat "$WORK/out")"
[[ $(grep -c 'cannot be reached' "$WORK/out") == 1 ]] || bad "one line should say it: $(cat "$WORK/out")"
good "$(cat "$WORK/out")"

configure
start_agent --config "$WORK/grep11client.yaml"
through own "$OWN"
if [[ -n $DISTRIBUTION ]]; then
  through distribution "$DISTRIBUTION"
else
  say "left out: there is no p11-kit-client.so"
fi

say "functions, fork, threads"
tool "$OWN" --keypairgen --key-type EC:prime256v1 --id 09 --label stays >"$WORK/out" || bad "$(cat "$WORK/out")"
for what in functions fork threads; do
  timeout 120 "$GREP11_MODULES/door-test" "$OWN" "$what" "$GREP11_APIKEY" stays || bad "$what"
  good "$what"
done

say "SunPKCS11"
cat >"$WORK/java.cfg" <<TEXT
name = grep11
library = $OWN
slotListIndex = 0
TEXT
keytool() {
  timeout 100 "$JAVA_HOME/bin/keytool" -keystore NONE -storetype PKCS11 -addprovider SunPKCS11 -providerarg "$WORK/java.cfg" \
    -storepass:env GREP11_APIKEY "$@"
}
keytool -genkeypair -alias java -keyalg EC -groupname secp256r1 -dname CN=java >"$WORK/out" 2>&1 || bad "$(cat "$WORK/out")"
shows 'java, PrivateKeyEntry' keytool -list
timeout 100 "$JAVA_HOME/bin/java" "$HERE/Signer.java" "$WORK/java.cfg" java >"$WORK/out" 2>&1 || bad "$(cat "$WORK/out")"
good "lists, signs and verifies"

say "the agent is restarted under a process that signs"
timeout 300 "$GREP11_MODULES/door-test" "$OWN" sign "$GREP11_APIKEY" stays 1500 >"$WORK/signing" 2>&1 &
signing=$!
for _ in $(seq 300); do
  ! grep -q signing "$WORK/signing" || break
  sleep 0.1
done
stop_agent
start_agent --config "$WORK/grep11client.yaml"
wait "$signing" || bad "$(cat "$WORK/signing")"
good "$(grep signatures= "$WORK/signing")"

say "another password of the keystore"
stop_agent
configure wr0ngpw
start_agent --config "$WORK/grep11client.yaml"
! tool "$OWN" -O >"$WORK/out" || bad "a wrong password of the keystore opened it"
grep -q CKR_PIN_INCORRECT "$WORK/out" || bad "a wrong password: $(cat "$WORK/out")"
good "is a wrong PIN"
stop_agent

say "a keystore of the gateway, by the configuration that up wrote"
first_guest_key=$guest_key
guest_key=$(<"$GREP11_GATEWAY_DATA/guest-apikey")
start_agent
through remote "$OWN"
tool "$OWN" --keypairgen --key-type EC:prime256v1 --id 07 --label remote >"$WORK/out" || bad "$(cat "$WORK/out")"
stop_agent
start_agent
shows 'label: *remote' tool "$OWN" -O
tool "$OWN" -s -m ECDSA --id 07 -i "$WORK/hash" -o "$WORK/signature" >"$WORK/out" || bad "$(cat "$WORK/out")"
shows 'Signature is valid' tool "$OWN" --verify -m ECDSA --id 07 -i "$WORK/hash" --signature-file "$WORK/signature"
for object in privkey pubkey; do
  tool "$OWN" -b --type "$object" --id 07 >"$WORK/out" || bad "-b: $(cat "$WORK/out")"
done
tool "$OWN" -O >"$WORK/out"
! grep -q 'label: *remote' "$WORK/out" || bad "-b left the key in the keystore"
good "another agent process lists a key, signs with it and deletes it"
shows 'initialized' timeout 60 pkcs11-tool --module "$OWN" --init-token --slot 0 --label renamed --so-pin "$GREP11_APIKEY"
shows 'token label *: renamed' timeout 60 pkcs11-tool --module "$OWN" -L
good "--init-token empties it and gives the token its label"
! grep -qF -- "$GREP11_APIKEY" "$WORK/agent.err" || bad "a secret is in the log"
stop_agent

say "doctor: what is wrong between applications and their keys"
guest_key=$first_guest_key configure
sed -i 's/storage: .*/storage: { remotestore: { enabled: true } }/' "$WORK/grep11client.yaml"
start_agent --config "$WORK/grep11client.yaml"
shows 'initialized' timeout 60 pkcs11-tool --module "$OWN" --init-token --slot 0 --label doctor --so-pin "$GREP11_APIKEY"
shows 'opens the private keystore' timeout 120 "$GREP11" doctor --pkcs11 "$WORK/grep11client.yaml"
! grep -q '^bad' "$WORK/out" || bad "doctor: $(cat "$WORK/out")"
good "nothing is bad where all is well"
# finds WORDS SED-SCRIPT: that fault, and ends with 1.
finds() {
  local status=0
  sed "$2" "$WORK/grep11client.yaml" >"$WORK/faulty.yaml"
  chmod 600 "$WORK/faulty.yaml"
  timeout 120 "$GREP11" doctor --pkcs11 "$WORK/faulty.yaml" >"$WORK/out" 2>&1 || status=$?
  [[ $status == 1 ]] || bad "doctor ended with $status: $(cat "$WORK/out")"
  grep -q "^bad .*$1" "$WORK/out" || bad "doctor does not find \"$1\": $(cat "$WORK/out")"
}
finds 'does not exist, or it has no right on it' 's/7c0c7d1e-07c4/7c0c7d1e-07c5/'
finds 'does not open' 's/k3yst0re/wr0ngpw/'
finds 'has a password, and sessionauth is off' 's/enabled: true, tokenspaceIDPassword/enabled: false, tokenspaceIDPassword/'
finds 'the gateway does not serve it' "s/apikey: \"[^\"]*\"/apikey: \"no-such-key\"/"
weak_key=$("$GREP11" apikey create --data "$GREP11_GATEWAY_DATA" --name weak --instance "$GREP11_INSTANCE" \
  --role 'Crypto operator' | sed -n 's/^apikey: //p')
sleep 3
GREP11_APIKEY=$weak_key finds 'does not open: not granted: hs-crypto.keystore' ''
stop_agent
good "an unknown keystore, a wrong password, none, an unknown API key, a missing right"

say "an agent that answers anything, under AddressSanitizer and UndefinedBehaviorSanitizer"
for seed in 1 2 3; do
  GREP11_AGENT_SOCKET=$WORK/hostile.sock ASAN_OPTIONS=detect_leaks=0 timeout 120 \
    "$GREP11_MODULES/door-test-sanitized" "$GREP11_MODULES/sanitized.so" hostile "$seed" 1000 >"$WORK/out" 2>&1 ||
    bad "seed $seed: $(grep -v 'cannot be reached' "$WORK/out")"
done
good "3,000 calls: errors, and nothing else"

say "an agent that is lost and refuses the PIN, one that never answers, and one of another user"
for what in restarted stuck; do
  GREP11_AGENT_SOCKET=$WORK/$what.sock ASAN_OPTIONS=detect_leaks=0 timeout 60 \
    "$GREP11_MODULES/door-test-sanitized" "$GREP11_MODULES/sanitized.so" "$what" >"$WORK/out" 2>&1 ||
    bad "$what: $(cat "$WORK/out")"
  good "$what"
done

say "what was logged, at the level that logs most"
for secret in "$GREP11_APIKEY" "$guest_key" "$first_guest_key" k3yst0re wr0ngpw; do
  ! grep -qF -- "$secret" "$WORK/agent.log" "$WORK/agent.err" || bad "a secret is in the log"
done
good "no PIN, no API key, no password"

printf '\npkcs11: %s checks\n' "$checks"
