#!/bin/bash
# What the entry point of PostgreSQL's own image does for a folder without data, and the shop relies on: the data folder,
# the superuser's password, and every statement of /docker-entrypoint-initdb.d, while the server listens on its socket alone.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    mkdir -p "$PGDATA"
    chmod 700 "$PGDATA"
    # shellcheck disable=SC2086 # several words
    initdb --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" --auth-local=trust --auth-host=scram-sha-256 $POSTGRES_INITDB_ARGS
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >> "$PGDATA/postgresql.conf"
    pg_ctl --wait --options="-c listen_addresses=''" start
    for statements in /docker-entrypoint-initdb.d/*.sql; do
        psql --username=postgres --no-psqlrc --set=ON_ERROR_STOP=1 --file="$statements"
    done
    pg_ctl --wait --mode=fast stop
fi
exec "$@"
