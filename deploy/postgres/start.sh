#!/bin/sh
# Makes the database cluster at the first start, then runs the server.
# POSTGRES_PASSWORD_FILE names the file with the password of the user postgres; arguments go to the server.
set -eu

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  # A start that was interrupted leaves only the other directory.
  rm -rf "$PGDATA.new"
  initdb --pgdata="$PGDATA.new" --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" \
    --auth-local=peer --auth-host=scram-sha-256 --encoding=UTF8 --no-locale
  echo 'local all postgres peer' >"$PGDATA.new/pg_hba.conf"
  echo 'host all all all scram-sha-256' >>"$PGDATA.new/pg_hba.conf"
  echo 'CREATE DATABASE molecule' | postgres --single -D "$PGDATA.new" postgres >/dev/null
  rm -rf "$PGDATA"
  mv "$PGDATA.new" "$PGDATA"
fi
exec postgres -c "listen_addresses=*" "$@"
