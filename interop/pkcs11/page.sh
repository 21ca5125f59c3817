# Sets applications up as docs/pkcs11-applications.md says, and runs nginx. Sourced after lib.sh; MODULE is the module they load.
# shellcheck shell=bash disable=SC2034,SC2154 # lib.sh sets some, the stories use others.
PAGE=$HERE/../../docs/pkcs11-applications.md
HANDSHAKES=$HERE/handshakes.py
export PIN=$GREP11_APIKEY

mkdir "$WORK/etc"
# Workers of nginx are another user.
[[ $(id -u) != 0 ]] || chmod 711 "$WORK"

sshd='' ssh_agent=''
stop_others() {
  local process
  for process in $sshd $ssh_agent; do kill "$process" 2>/dev/null || true; done
  [[ -z ${HANDSHAKING_PID:-} ]] || kill "$HANDSHAKING_PID" 2>/dev/null || true
  stop_nginx
}

has() { PATH=$PATH:/usr/sbin command -v "$1" >/dev/null; }
PATH=$PATH:/usr/sbin
left_out() { say "left out: $1 is not installed"; }

# The distribution's package is the distribution's Python's.
python_with_pykcs11() {
  local python
  for python in python3 /usr/bin/python3; do
    if "$python" -c 'import PyKCS11' 2>/dev/null; then
      echo "$python"
      return
    fi
  done
  return 1
}

has_engine() { [[ -e $(openssl version -e | sed 's/^ENGINESDIR: "\(.*\)"$/\1/')/pkcs11.so ]]; }

# answers PORT: within a few seconds.
answers() {
  for _ in $(seq 100); do
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null || return 0
    sleep 0.1
  done
  return 1
}

# page NAME: the fence after <!-- interop NAME -->, with the paths, the port and the host of this run.
page() {
  local text
  text=$(awk -v name="<!-- interop $1 -->" '
    $0 == name { named = 1; next }
    named && /^```/ { if (inside) exit; inside = 1; next }
    inside { print }' "$PAGE")
  [[ -n $text ]] || bad "$PAGE has no fence named $1"
  sed -e "s|/usr/local/lib/pkcs11-grep11.so|$MODULE|g" -e "s|/etc/grep11/|$WORK/etc/|g" -e "s|listen 443|listen 127.0.0.1:${PORT:-}|" \
    -e 's|www\.example\.test|localhost|g' <<<"$text"
}

# run NAME: the commands of the page, each of which has to succeed.
run() {
  page openssl.cnf >"$WORK/etc/openssl.cnf"
  page "$1" >"$WORK/commands"
  (cd "$WORK/etc" && timeout 300 bash -euo pipefail -x "$WORK/commands") >"$WORK/run.out" 2>&1 ||
    bad "the commands of $1 failed: $(cat "$WORK/run.out")"
  # Their trace shows what they were given, the PIN too.
  grep -v '^+' "$WORK/run.out" >"$WORK/run.log" || true
}

# ---- nginx and its visitors

start_nginx() {
  PORT=$(ports 1)
  mkdir -p "$WORK/temporary"
  {
    printf 'pid %s;\nerror_log %s info;\n' "$WORK/nginx.pid" "$WORK/error.log"
    # Its directories and the log of visits are root's otherwise.
    page nginx.conf | sed "s|^http {|&\n  access_log off; client_body_temp_path $WORK/temporary/b; proxy_temp_path $WORK/temporary/p;\
 fastcgi_temp_path $WORK/temporary/f; uwsgi_temp_path $WORK/temporary/u; scgi_temp_path $WORK/temporary/s;|"
  } >"$WORK/nginx.conf"
  cat "$WORK/etc/web-rsa.pem" "$WORK/etc/web-ec.pem" >"$WORK/certificates.pem"
  OPENSSL_CONF=$WORK/etc/openssl.cnf timeout 60 nginx -e "$WORK/error.log" -c "$WORK/nginx.conf" 2>"$WORK/out" ||
    bad "nginx does not start: $(cat "$WORK/out" "$WORK/error.log")"
  answers "$PORT" || bad "nginx does not listen: $(cat "$WORK/error.log")"
}
nginx_reloads() {
  local count
  count=$(grep -c 'start worker process ' "$WORK/error.log" || true)
  kill -HUP "$(<"$WORK/nginx.pid")"
  for _ in $(seq 200); do
    if (($(grep -c 'start worker process ' "$WORK/error.log") >= count + 2)); then
      sleep 1
      return
    fi
    sleep 0.1
  done
  bad "nginx was not reloaded: $(tail -n 20 "$WORK/error.log")"
}
stop_nginx() {
  local master
  [[ -s $WORK/nginx.pid ]] || return 0
  master=$(<"$WORK/nginx.pid")
  kill "$master" 2>/dev/null || return 0
  for _ in $(seq 100); do
    kill -0 "$master" 2>/dev/null || return 0
    sleep 0.1
  done
}
workers_user() { [[ $(id -u) != 0 ]] || printf ' as %s' "$(ps -o user= -p "$(pgrep -P "$(<"$WORK/nginx.pid")" | head -n 1)")"; }

# They go on until end_handshakes, which fails when one of them did.
begin_handshakes() {
  coproc HANDSHAKING { exec python3 "$HANDSHAKES" "localhost:$PORT" "$WORK/certificates.pem" 2 >"$WORK/handshakes" 2>&1; }
  sleep 0.5
}
end_handshakes() {
  local process=$HANDSHAKING_PID input=${HANDSHAKING[1]}
  exec {input}>&-
  wait "$process" || bad "handshakes failed: $(cat "$WORK/handshakes"; grep -v '\[info\]\|\[notice\]' "$WORK/error.log" | tail -n 10)"
  HANDSHAKING_PID=''
}
handshake_for() {
  begin_handshakes
  sleep "$1"
  end_handshakes
}
