#!/bin/sh
# Makes the secrets that docker-compose.yml wants, once, in deploy/secrets. Keep a copy of secret_key where the backups of
# the database are not: each is of no use without the other.
set -eu
cd "$(dirname "$0")"
if [ -e secrets ]; then
  echo "deploy/secrets is there already: its database knows only those secrets" >&2
  exit 1
fi

# Compose mounts each file as it is, owner and mode: the containers' users must be able to read it. Nobody else comes by,
# for the folder is closed.
mkdir -m 700 secrets
umask 022

random() { od -An -tx1 -N32 /dev/urandom | tr -d ' \n'; }
keep() { printf '%s\n' "$2" > "secrets/$1"; }

owner_password=$(random)
password=$(random)
keep postgres_password "$(random)"
keep database_owner_password "$owner_password"
keep database_password "$password"
keep database_migration_url "postgres://tenure_owner:$owner_password@postgres:5432/tenure"
keep database_url "postgres://tenure:$password@postgres:5432/tenure"
keep admin_key "tenure_$(random)"
keep secret_key "seal_$(random)"
echo "deploy/secrets is made; the admin key is in deploy/secrets/admin_key"
