#!/bin/sh
# Makes the secrets of compose.yaml as files in ./secrets (or the directory given), unless they are there.
set -eu

directory=${1:-${KEEPSAKE_SECRETS:-secrets}}
umask 077
mkdir -p "$directory"
random() { head -c 32 /dev/urandom | base64 | tr -d '+/=\n'; }
[ -s "$directory/db_password" ] || random >"$directory/db_password"
[ -s "$directory/sandboxd_token" ] || random >"$directory/sandboxd_token"
printf 'postgresql://keepsake:%s@db/keepsake' "$(cat "$directory/db_password")" >"$directory/keepsake_database_url"
# Compose mounts them with their own modes, and containers read them as users of their own; the directory is what keeps others out.
chmod 444 "$directory"/*
