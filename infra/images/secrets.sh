#!/bin/sh
# Makes the secrets of compose.yaml as files in ./secrets (or the directory given), those that are not there yet.
set -eu

directory=${1:-${KEEPSAKE_SECRETS:-secrets}}
umask 077
mkdir -p "$directory"
cd "$directory"
random() { head -c 32 /dev/urandom | base64 | tr -d '+/=\n'; }
[ -s db_password ] || random >db_password
[ -s sandboxd_token ] || random >sandboxd_token
[ -s keepsake_database_url ] || printf 'postgresql://keepsake:%s@db/keepsake' "$(cat db_password)" >keepsake_database_url
[ -s keepsake_model_key ] || printf none >keepsake_model_key
# Compose mounts them with their own modes, and containers read them as users of their own; the directory is what keeps others out.
chmod 444 db_password sandboxd_token keepsake_database_url keepsake_model_key
