-- Consumers and their credentials, upstreams and their targets, vaults, and keys.

create table consumers (
    id uuid primary key,
    username text unique,
    custom_id text unique,
    bytes bytea not null
);

create table upstreams (
    id uuid primary key,
    name text unique,
    client_certificate uuid references certificates (id) deferrable initially deferred,
    bytes bytea not null
);

create index upstreams_client_certificate on upstreams (client_certificate);

create table targets (
    id uuid primary key,
    upstream uuid references upstreams (id) deferrable initially deferred,
    bytes bytea not null
);

create index targets_upstream on targets (upstream);

create table vaults (
    id uuid primary key,
    prefix text unique,
    bytes bytea not null
);

create table key_sets (
    id uuid primary key,
    name text unique,
    bytes bytea not null
);

create table keys (
    id uuid primary key,
    name text unique,
    "set" uuid references key_sets (id) deferrable initially deferred,
    bytes bytea not null
);

create index keys_set on keys ("set");

create table keyauth_credentials (
    id uuid primary key,
    key text unique,
    consumer uuid references consumers (id) deferrable initially deferred,
    bytes bytea not null
);

create index keyauth_credentials_consumer on keyauth_credentials (consumer);

create table basicauth_credentials (
    id uuid primary key,
    username text unique,
    consumer uuid references consumers (id) deferrable initially deferred,
    bytes bytea not null
);

create index basicauth_credentials_consumer on basicauth_credentials (consumer);

create table hmacauth_credentials (
    id uuid primary key,
    username text unique,
    consumer uuid references consumers (id) deferrable initially deferred,
    bytes bytea not null
);

create index hmacauth_credentials_consumer on hmacauth_credentials (consumer);

create table jwt_secrets (
    id uuid primary key,
    key text unique,
    consumer uuid references consumers (id) deferrable initially deferred,
    bytes bytea not null
);

create index jwt_secrets_consumer on jwt_secrets (consumer);

create table acls (
    id uuid primary key,
    consumer uuid references consumers (id) deferrable initially deferred,
    bytes bytea not null
);

create index acls_consumer on acls (consumer);

create table oauth2_credentials (
    id uuid primary key,
    client_id text unique,
    consumer uuid references consumers (id) deferrable initially deferred,
    bytes bytea not null
);

create index oauth2_credentials_consumer on oauth2_credentials (consumer);
