-- What a control plane keeps. Times are Unix seconds.

-- The newest revision. Whoever writes locks it first: that is the order of all writes.
create table head (
    "only" bigint primary key check ("only" = 1),
    epoch bigint not null,
    version bigint not null,
    hash bytea not null check (octet_length(hash) = 16)
);

-- The steps between recent revisions, oldest first. `changes` is msgpack.
create table revisions (
    seq bigint primary key,
    epoch bigint not null,
    version bigint not null,
    hash bytea not null check (octet_length(hash) = 16),
    parent_epoch bigint not null,
    parent_version bigint not null,
    parent_hash bytea not null check (octet_length(parent_hash) = 16),
    signature bytea not null check (octet_length(signature) = 64),
    changes bytea not null,
    unique (epoch, version)
);

-- Who made which revision, and how. Outlives the steps.
create table audit (
    seq bigint generated always as identity primary key,
    at bigint not null,
    who text not null,
    what text not null,
    epoch bigint not null,
    version bigint not null
);

create index audit_at on audit (at);

-- What was made once, by the first control plane: the seed of the key that
-- signs revisions.
create table identity (
    name text primary key,
    value bytea not null
);

-- A table per entity, all of one shape: the id, a column for each unique field
-- and for each reference, and the bytes, which alone count. References are
-- checked at the end of a transaction, since one write may change both ends.

create table services (
    id uuid primary key,
    name text unique,
    bytes bytea not null
);

create table routes (
    id uuid primary key,
    name text unique,
    service uuid references services (id) deferrable initially deferred,
    bytes bytea not null
);

create index routes_service on routes (service);
