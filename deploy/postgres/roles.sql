-- Run once, by the image of Postgres, when its volume is empty. Who owns the tables migrates them; who works with them
-- owns none, and so cannot switch off what keeps the ledger append-only.
\set owner_password `cat /run/secrets/database_owner_password`
\set password `cat /run/secrets/database_password`
create role tenure_owner login password :'owner_password';
create role tenure login password :'password';
create database tenure owner tenure_owner;
revoke all on database tenure from public;
grant connect on database tenure to tenure;
