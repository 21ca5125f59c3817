# The second lock by its administrator's commands; stories source it. Needs
#   WORK      a directory
#   GREP11    the launcher of this checkout
#   HPCS_CRN, CERTMGR_SERVER, CERTMGR_APIKEY, GREP11_CA, GREP11_IAMENDPOINT as an env file sets them
# and a function bad, which says what went wrong and ends the story.
# shellcheck shell=bash

# authority NAME: a CA, and in NAME/client.pem and client.key a leaf of it.
authority() {
  local folder=$WORK/$1
  mkdir "$folder"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$folder/ca.key" -days 90 -subj "/CN=$1 CA" \
    -addext keyUsage=critical,keyCertSign,cRLSign -out "$folder/ca.pem" 2>/dev/null
  leaf "$1"
}
# leaf NAME: another leaf of that CA, with another key, in the place of the one before.
leaf() {
  local folder=$WORK/$1
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$folder/client.key" -subj "/CN=$1 agent" \
    -out "$folder/client.csr" 2>/dev/null
  openssl x509 -req -in "$folder/client.csr" -CA "$folder/ca.pem" -CAkey "$folder/ca.key" -CAcreateserial -days 90 \
    -out "$folder/client.pem" 2>/dev/null
}

# certmgr COMMAND...: as a certificate administrator, whose keys are below WORK.
certmgr() {
  mkdir -p "$WORK/administrator"
  HOME=$WORK/administrator "$GREP11" certmgr "$@" --crn "$HPCS_CRN" >"$WORK/certmgr.log" 2>&1 ||
    bad "certmgr $*: $(cat "$WORK/certmgr.log")"
}

# The newest one.
administrator_key() {
  local newest
  newest=$(find "$WORK/administrator" -name '*.priv' -printf '%T@ %p\n' | sort -n | tail -n 1)
  printf '%s\n' "${newest#* }"
}
