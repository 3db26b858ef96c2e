#!/bin/sh
# Makes the database at the first start, then becomes the server. A start that was cut off is begun anew.
set -eu

if [ ! -f "$PGDATA/made" ]; then
    find "$PGDATA" -mindepth 1 -delete
    initdb --username=keepsake --pwfile=/run/secrets/db_password --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    # The socket stands in a directory that only this user enters; nothing listens on the network yet.
    sockets=$(mktemp -d)
    pg_ctl --wait --options="-c listen_addresses='' -c unix_socket_directories=$sockets" start
    PGPASSWORD=$(cat /run/secrets/db_password) createdb --host="$sockets" --username=keepsake keepsake
    pg_ctl --wait stop
    touch "$PGDATA/made"
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp
