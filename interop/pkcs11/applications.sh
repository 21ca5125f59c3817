#!/usr/bin/env bash
# Applications of the distribution with keys that are only behind the gateway, set up as docs/pkcs11-applications.md says:
# what they read and what is run is taken from that page.
#   applications.sh [MODULE]   each of them, through our module or this one
# What it needs of the environment is in lib.sh. A program that is not installed is left out, and said to be.
HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$HERE/lib.sh"
# shellcheck source-path=SCRIPTDIR source=page.sh
source "$HERE/page.sh"
MODULE=${1:-$OWN}

nginx_serves() {
  say "nginx"
  run nginx-keys
  good "keys by pkcs11-tool, certificates by openssl"
  start_nginx
  handshake_for 2
  good "master and workers$(workers_user): $(paste -sd ';' "$WORK/handshakes")"
  local before
  before=$(pgrep -P "$(<"$WORK/nginx.pid")" | sort | head -n 1)
  begin_handshakes
  nginx_reloads
  [[ $(pgrep -P "$(<"$WORK/nginx.pid")" | sort | head -n 1) != "$before" ]] || bad "a reload left the workers"
  end_handshakes
  good "a reload meanwhile: $(paste -sd ';' "$WORK/handshakes")"
  stop_nginx
}

openssl_signs() {
  say "OpenSSL, by its pkcs11 engine"
  OPENSSL_CONF=$WORK/etc/openssl.cnf run openssl
  good "signs, decrypts, issues a certificate, signs a message"
}

ssh_logs_in() {
  say "OpenSSH"
  run ssh-keys
  grep -q '^ecdsa-sha2-nistp256 ' "$WORK/etc/authorized_keys" || bad "ssh-keygen -D printed no key"
  page ssh_config >"$WORK/etc/ssh_config"
  start_sshd
  export SSH_ASKPASS=$WORK/askpass SSH_ASKPASS_REQUIRE=force
  # shellcheck disable=SC2016 # The script expands it.
  printf '#!/bin/sh\nprintf "%%s\\n" "$PIN"\n' >"$SSH_ASKPASS"
  chmod 700 "$SSH_ASKPASS"
  shows 'logged in' into_bastion
  good "ssh by PKCS11Provider"
  # The page's configuration names the module, and this login shall not.
  sed '/PKCS11Provider/d' "$WORK/etc/ssh_config" >"$WORK/etc/ssh_config.new"
  mv "$WORK/etc/ssh_config.new" "$WORK/etc/ssh_config"
  ! into_bastion >"$WORK/out" 2>&1 || bad "ssh logs in without any key"
  eval "$(ssh-agent -P "$MODULE")" >/dev/null
  ssh_agent=$SSH_AGENT_PID
  run ssh-agent
  shows 'logged in' into_bastion
  kill "$ssh_agent"
  ssh_agent=''
  good "ssh-agent"
  kill "$sshd"
  sshd=''
}
into_bastion() {
  timeout 60 ssh -F "$WORK/etc/ssh_config" -p "$SSH_PORT" -o HostName=127.0.0.1 -o HostKeyAlias=bastion -o BatchMode=no \
    -o PasswordAuthentication=no -o UserKnownHostsFile="$WORK/known_hosts" bastion.example.test </dev/null
}
start_sshd() {
  ssh-keygen -q -t ed25519 -N '' -f "$WORK/host_key"
  SSH_PORT=$(ports 1)
  printf 'bastion %s\n' "$(cut -d ' ' -f 1,2 "$WORK/host_key.pub")" >"$WORK/known_hosts"
  cat >"$WORK/sshd_config" <<TEXT
ListenAddress 127.0.0.1
Port $SSH_PORT
HostKey $WORK/host_key
PidFile none
AuthorizedKeysFile $WORK/etc/authorized_keys
AuthenticationMethods publickey
PermitRootLogin yes
StrictModes no
UsePAM no
ForceCommand echo logged in
TEXT
  # Where it separates its privileges, which it does for root; a boot makes it otherwise.
  [[ $(id -u) != 0 ]] || mkdir -p /run/sshd
  "$(command -v sshd)" -D -f "$WORK/sshd_config" -E "$WORK/sshd.log" &
  sshd=$!
  answers "$SSH_PORT" || bad "sshd does not start: $(cat "$WORK/sshd.log")"
}

gnutls_signs() {
  say "GnuTLS"
  run gnutls
  shows 'type=cert' timeout 60 p11tool --provider "$MODULE" --list-all-certs 'pkcs11:model=GREP11;object=tls'
  good "p11tool lists, generates, signs and stores a certificate that certtool made"
}

java_serves() {
  say "SunPKCS11"
  page java.cfg >"$WORK/etc/java.cfg"
  printf 'Main-Class: Application\n' >"$WORK/manifest"
  "$JAVA_HOME/bin/jar" --create --file "$WORK/etc/application.jar" --manifest "$WORK/manifest" -C "$HERE" TlsServer.java
  PATH=$JAVA_HOME/bin:$PATH run jar
  grep -q 'jar verified' "$WORK/run.log" || bad "the JAR is not signed: $(cat "$WORK/run.log")"
  good "keytool makes key and certificate, jarsigner signs"
  shows 'TLSv1.3 TLS_AES' timeout 100 "$JAVA_HOME/bin/java" "$HERE/TlsServer.java" "$WORK/etc/java.cfg" code
  good "a TLS server: $(paste -sd ' ' "$WORK/out")"
}

python_signs() {
  say "Python"
  shows 'signed, verified' timeout 60 "$PYTHON" "$HERE/example.py" "$MODULE"
  good "$(<"$WORK/out")"
}

every_mechanism() {
  say "every mechanism"
  timeout 200 python3 "$HERE/mechanisms.py" trips "$MODULE" >"$WORK/out" 2>&1 ||
    bad "$(grep -v '^0x[0-9a-f]* [a-z]' "$WORK/out" | head -n 30)"
  good "$(tail -n 1 "$WORK/out")"
}

what_is_hidden() {
  say "what the distribution's module hides"
  local command=check version
  version=$(dpkg-query -W -f '${Version}' p11-kit-modules 2>/dev/null) || { left_out "p11-kit-modules as a package"; return; }
  [[ ${GREP11_UPDATE_DOCS:-} != true ]] || command=update
  timeout 100 python3 "$HERE/hidden.py" "$command" "$version" "$OWN" "$DISTRIBUTION" >"$WORK/out" 2>&1 || bad "$(cat "$WORK/out")"
  good "$(<"$WORK/out")"
}

start_agent --allow-user "$(id -un)" --allow-user www-data
if has nginx && has_engine; then nginx_serves; else left_out nginx; fi
if [[ -e $WORK/etc/pin.cnf ]]; then openssl_signs; else left_out "OpenSSL's engine"; fi
if has ssh && has sshd; then ssh_logs_in; else left_out OpenSSH; fi
if has p11tool && has certtool; then gnutls_signs; else left_out GnuTLS; fi
java_serves
every_mechanism
if [[ $MODULE == "$OWN" ]]; then
  if [[ -n $DISTRIBUTION ]]; then what_is_hidden; else left_out "p11-kit-client.so"; fi
  if PYTHON=$(python_with_pykcs11); then python_signs; else left_out Python; fi
else
  say "left out: Python's example signs by CKM_ECDSA_SHA256, which p11-kit hides (docs/p11-kit-hidden.md)"
fi

say "what was written"
for written in "$WORK/agent.err" "$WORK/error.log" "$WORK/run.log"; do
  [[ ! -e $written ]] || ! grep -qF -- "$PIN" "$written" || bad "the PIN is in $written"
done
good "no PIN in a log"

printf '\npkcs11 applications: %s checks\n' "$checks"
