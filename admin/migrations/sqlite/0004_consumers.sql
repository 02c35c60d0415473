-- Consumers and their credentials, upstreams and their targets, vaults, and keys.

create table consumers (
    id blob primary key check (length(id) = 16),
    username text unique,
    custom_id text unique,
    bytes blob not null
) strict;

create table upstreams (
    id blob primary key check (length(id) = 16),
    name text unique,
    client_certificate blob references certificates (id) deferrable initially deferred,
    bytes blob not null
) strict;

create index upstreams_client_certificate on upstreams (client_certificate);

create table targets (
    id blob primary key check (length(id) = 16),
    upstream blob references upstreams (id) deferrable initially deferred,
    bytes blob not null
) strict;

create index targets_upstream on targets (upstream);

create table vaults (
    id blob primary key check (length(id) = 16),
    prefix text unique,
    bytes blob not null
) strict;

create table key_sets (
    id blob primary key check (length(id) = 16),
    name text unique,
    bytes blob not null
) strict;

create table keys (
    id blob primary key check (length(id) = 16),
    name text unique,
    "set" blob references key_sets (id) deferrable initially deferred,
    bytes blob not null
) strict;

create index keys_set on keys ("set");

create table keyauth_credentials (
    id blob primary key check (length(id) = 16),
    key text unique,
    consumer blob references consumers (id) deferrable initially deferred,
    bytes blob not null
) strict;

create index keyauth_credentials_consumer on keyauth_credentials (consumer);

create table basicauth_credentials (
    id blob primary key check (length(id) = 16),
    username text unique,
    consumer blob references consumers (id) deferrable initially deferred,
    bytes blob not null
) strict;

create index basicauth_credentials_consumer on basicauth_credentials (consumer);

create table hmacauth_credentials (
    id blob primary key check (length(id) = 16),
    username text unique,
    consumer blob references consumers (id) deferrable initially deferred,
    bytes blob not null
) strict;

create index hmacauth_credentials_consumer on hmacauth_credentials (consumer);

create table jwt_secrets (
    id blob primary key check (length(id) = 16),
    key text unique,
    consumer blob references consumers (id) deferrable initially deferred,
    bytes blob not null
) strict;

create index jwt_secrets_consumer on jwt_secrets (consumer);

create table acls (
    id blob primary key check (length(id) = 16),
    consumer blob references consumers (id) deferrable initially deferred,
    bytes blob not null
) strict;

create index acls_consumer on acls (consumer);

create table oauth2_credentials (
    id blob primary key check (length(id) = 16),
    client_id text unique,
    consumer blob references consumers (id) deferrable initially deferred,
    bytes blob not null
) strict;

create index oauth2_credentials_consumer on oauth2_credentials (consumer);
