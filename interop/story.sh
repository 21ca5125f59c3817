# What the stories share; they source it after they have set
#   STORY  what they are called in messages
#   WORK   a directory of their own; what they start writes to NAME.out and NAME.err in it
# shellcheck shell=bash disable=SC2034 # The stories use what is set here.
INTEROP=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

checks=0
say() { printf '\n== %s\n' "$*"; }
good() { checks=$((checks + 1)); printf '   %s\n' "$*"; }
bad() {
  printf '%s: %s\n' "$STORY" "$*" >&2
  logs >&2
  exit 1
}
logs() {
  local log
  for log in "$WORK"/*.{err,log}; do
    [[ ! -s $log ]] || { printf '== %s\n' "$log" && tail -n 20 "$log"; }
  done
}

# ports NUMBER: the first of so many free ones in a row.
ports() { python3 "$INTEROP/ports.py" "$1"; }

# begin NAME COMMAND...: in the background; its process is in $begun.
begin() {
  local name=$1
  shift
  : >"$WORK/$name.out"
  "$@" >"$WORK/$name.out" 2>>"$WORK/$name.err" &
  begun=$!
}

# await_ready NAME PROCESS: until it prints its ready line, which it does within two minutes.
await_ready() {
  for _ in $(seq 1200); do
    ! grep -q '^ready ' "$WORK/$1.out" || return 0
    kill -0 "$2" 2>/dev/null || break
    sleep 0.1
  done
  bad "$1 did not start"
}

# stop PROCESS [SIGNAL]: and waits until it has ended.
stop() { [[ -z $1 ]] || { kill -"${2:-TERM}" "$1" 2>/dev/null && wait "$1" 2>/dev/null; } || true; }
