#!/bin/sh
# Makes a SoftHSM token in a directory of its own; the same layout as dev.grep11.softhsm.SoftHsmToken.
set -eu

usage() {
  cat <<'USAGE'
usage: provision.sh DIR LABEL

Makes a SoftHSM token with the label LABEL in DIR, which must not hold one yet:

  DIR/softhsm2.conf  set SOFTHSM2_CONF to it
  DIR/tokens/        the token's objects
  DIR/token.object.kept  a copy of tokens/*/token.object; put it back should that be empty
  DIR/pin            the user PIN, random, mode 0600
  DIR/so-pin         the security officer's PIN, random, mode 0600: keep it elsewhere

PKCS11_MODULE names libsofthsm2.so where it is not in a usual place.
softhsm2-util takes PINs only as arguments or from a terminal, so they show for a moment
in the process list: run this where you are the only user.
USAGE
}

fail() {
  echo "provision.sh: $1" >&2
  exit "${2:-1}"
}

case "${1:-}" in
  -h | --help) usage; exit 0 ;;
esac
[ $# -eq 2 ] || { usage >&2; exit 2; }
label=$2
[ -n "$label" ] || fail "the label is empty" 2
[ "$(printf %s "$label" | wc -c)" -le 32 ] || fail "the label is longer than 32 bytes" 2

command -v softhsm2-util >/dev/null ||
  fail "softhsm2-util not found: install SoftHSM 2 (Debian, Ubuntu: apt-get install softhsm2; Fedora: dnf install softhsm)"

module=${PKCS11_MODULE:-}
if [ -z "$module" ]; then
  for candidate in /usr/lib/softhsm /usr/lib64/softhsm /usr/lib64/pkcs11 \
    /usr/lib/x86_64-linux-gnu/softhsm /usr/lib/aarch64-linux-gnu/softhsm \
    /usr/local/lib/softhsm; do
    if [ -r "$candidate/libsofthsm2.so" ]; then
      module=$candidate/libsofthsm2.so
      break
    fi
  done
fi
[ -n "$module" ] || fail "libsofthsm2.so not found; set PKCS11_MODULE"
[ -r "$module" ] || fail "$module is not a readable file"

umask 077
mkdir -p "$1" || fail "$1 cannot be made"
dir=$(cd "$1" && pwd)
[ ! -e "$dir/softhsm2.conf" ] || fail "$dir holds a token already"
mkdir "$dir/tokens"
cat >"$dir/softhsm2.conf" <<CONF
directories.tokendir = $dir/tokens
objectstore.backend = file
log.level = ERROR
slots.removable = false
CONF

random_pin() {
  od -An -N16 -tx1 /dev/urandom | tr -d ' \n'
}
random_pin >"$dir/pin"
random_pin >"$dir/so-pin"

if ! output=$(SOFTHSM2_CONF="$dir/softhsm2.conf" softhsm2-util --init-token --free \
  --label "$label" --module "$module" --pin "$(cat "$dir/pin")" --so-pin "$(cat "$dir/so-pin")" 2>&1); then
  rm -rf "$dir/tokens" "$dir/softhsm2.conf" "$dir/pin" "$dir/so-pin"
  fail "softhsm2-util failed: $output"
fi

# SoftHSM writes this file at every login; a process killed meanwhile leaves it empty, and no key opens without it.
cp "$dir"/tokens/*/token.object "$dir/token.object.kept"

cat <<DONE
module       $module
label        $label
environment  SOFTHSM2_CONF=$dir/softhsm2.conf
pin file     $dir/pin
DONE
