#!/usr/bin/env bash
# What users of grep11client.yaml are promised and story.sh has no check of: where objects are, who sees them; the client
# certificate of the configuration; two that change one object; a wrong password. What it needs is in lib.sh.
HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$HERE/lib.sh"
export PIN=$GREP11_APIKEY

rows() {
  timeout 300 python3 "$HERE/objects.py" "$1" "$OWN" >"$WORK/out" 2>&1 || bad "$1: $(cat "$WORK/out")"
  while IFS= read -r row; do good "$row"; done <"$WORK/out"
}

say "where objects are (remotestore)"
start_agent
rows matrix
rows conflict
stop_agent

say "a keystore with a password"
# The keystores of up have none, so these are others.
sed -e '/^tokens:/i sessionauthtemplate: \&store { enabled: true, tokenspaceIDPassword: "k3yst0re" }' \
  -e "s/^\( *[12]: {.*\), tokenspaceID: [^,}]*/\1, sessionauth: *store, tokenspaceID: @/" "$EP11CLIENT_CFG" |
  awk -v made="$(</proc/sys/kernel/random/uuid) $(</proc/sys/kernel/random/uuid)" \
    'BEGIN { split(made, id, " ") } /tokenspaceID: @/ { sub("@", id[++n]) } { print }' >"$WORK/password.yaml"
echo "logging: { loglevel: trace, logpath: '$WORK/agent.log' }" >"$WORK/logging"
sed -i '/^logging:/d' "$WORK/password.yaml"
cat "$WORK/logging" >>"$WORK/password.yaml"
chmod 600 "$WORK/password.yaml"
start_agent --config "$WORK/password.yaml"
shows initialized timeout 60 pkcs11-tool --module "$OWN" --init-token --slot 0 --label sealed --so-pin "$PIN"
tool "$OWN" --keypairgen --key-type EC:prime256v1 --id 01 --label sealed-key >"$WORK/out" || bad "$(cat "$WORK/out")"
shows sealed-key tool "$OWN" -O
stop_agent
sed 's/k3yst0re/wr0ngpw/' "$WORK/password.yaml" >"$WORK/wrong.yaml"
chmod 600 "$WORK/wrong.yaml"
start_agent --config "$WORK/wrong.yaml"
! tool "$OWN" -O >"$WORK/out" || bad "a wrong password opens the keystore"
grep -q CKR_PIN_INCORRECT "$WORK/out" || bad "a wrong password: $(cat "$WORK/out")"
! timeout 60 pkcs11-tool --module "$OWN" -O 2>&1 | grep -q sealed-key || bad "a wrong password shows an object to whoever is not logged in"
for secret in k3yst0re wr0ngpw "$PIN"; do
  ! grep -qF -- "$secret" "$WORK/agent.log" "$WORK/agent.err" || bad "a secret is in the log"
done
good "a wrong password is CKR_PIN_INCORRECT, shows nothing, and is in no log"
stop_agent

say "the second lock"
authority first
with_certificate "$EP11CLIENT_CFG" "$WORK/mutual.yaml" first
certmgr adminkey set
certmgr cert set --admin-priv-key "$(administrator_key)" --cert-id first --cert "$WORK/first/ca.pem"
sleep 6
start_agent --config "$WORK/mutual.yaml"
shows 'uses key pair generation\|Key pair generated' tool "$OWN" --keypairgen --key-type EC:prime256v1 --id 02 --label behind
good "with a leaf of the registered CA: keys are made"
stop_agent
# The system's roots, where cacert is empty: here the file that OpenSSL and Go would be told of.
sed -e "s|cacert: [^,}]*|cacert: ''|" -e '/^logging:/d' "$WORK/mutual.yaml" | cat - "$WORK/logging" >"$WORK/system.yaml"
chmod 600 "$WORK/system.yaml"
grep -q "cacert: ''" "$WORK/system.yaml" || bad "no cacert was emptied"
SSL_CERT_FILE=$GREP11_CA start_agent --config "$WORK/system.yaml"
shows behind tool "$OWN" -O
good "cacert is empty, and the system trusts the gateway's CA: the same"
stop_agent
start_agent --config "$WORK/system.yaml"
! tool "$OWN" -O >"$WORK/out" || bad "a gateway is trusted that the system's roots do not vouch for"
grep -q 'trusted are' "$WORK/agent.err" "$WORK/agent.log" || bad "nothing says what was trusted"
good "cacert is empty, and it does not: refused, and the log says what is trusted"
stop_agent
start_agent
! tool "$OWN" -O >"$WORK/out" || bad "without a certificate the lock is open"
good "without a certificate: refused"
stop_agent
# Another CA keeps the lock closed after the first one went.
authority second
certmgr cert set --admin-priv-key "$(administrator_key)" --cert-id second --cert "$WORK/second/ca.pem"
certmgr cert delete --admin-priv-key "$(administrator_key)" --cert-id first
sleep 6
start_agent --config "$WORK/mutual.yaml"
! tool "$OWN" -O >"$WORK/out" || bad "a leaf of the deleted CA does"
good "with a leaf of the CA that was deleted: refused"
stop_agent
certmgr cert delete --admin-priv-key "$(administrator_key)" --cert-id second
sleep 6
start_agent
shows behind tool "$OWN" -O
for object in privkey pubkey; do tool "$OWN" -b --type "$object" --id 02 >"$WORK/out" || bad "$(cat "$WORK/out")"; done
good "when no CA is left: without a certificate again, and the key is there"

printf '\npkcs11 acceptance: %s checks\n' "$checks"
