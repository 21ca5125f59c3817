#!/bin/sh
# As the public image's: makes the data directory and the database once, then becomes the server.
set -eu
data=/var/lib/postgresql/data
if [ ! -s "$data/PG_VERSION" ]; then
  # shellcheck disable=SC2086 # Several options, or none.
  initdb -D "$data" -U "$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" ${POSTGRES_INITDB_ARGS:-} --no-sync >/dev/null
  echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
  echo "CREATE DATABASE $POSTGRES_DB" | postgres --single -j -D "$data" postgres >/dev/null
fi
program=$1
shift
exec "$program" -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp "$@"
