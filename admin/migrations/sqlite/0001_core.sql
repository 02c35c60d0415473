-- What a control plane keeps. Times are Unix seconds, ids 16 bytes.

-- The newest revision. Every write moves it on from the one it was checked against.
create table head (
    only integer primary key check (only = 1),
    epoch integer not null,
    version integer not null,
    hash blob not null check (length(hash) = 16)
) strict;

-- The steps between recent revisions, oldest first. `changes` is msgpack.
create table revisions (
    seq integer primary key,
    epoch integer not null,
    version integer not null,
    hash blob not null check (length(hash) = 16),
    parent_epoch integer not null,
    parent_version integer not null,
    parent_hash blob not null check (length(parent_hash) = 16),
    signature blob not null check (length(signature) = 64),
    changes blob not null,
    unique (epoch, version)
) strict;

-- Who made which revision, and how. Outlives the steps.
create table audit (
    seq integer primary key,
    at integer not null,
    who text not null,
    what text not null,
    epoch integer not null,
    version integer not null
) strict;

create index audit_at on audit (at);

-- What was made once, by the first control plane: its node id, and the seed
-- of the key that signs revisions.
create table identity (
    name text primary key,
    value blob not null
) strict, without rowid;

-- A table per entity, all of one shape: the id, a column for each unique field
-- and for each reference, and the bytes, which alone count. References are
-- checked at the end of a transaction, since one write may change both ends.

create table services (
    id blob primary key check (length(id) = 16),
    name text unique,
    bytes blob not null
) strict;

create table routes (
    id blob primary key check (length(id) = 16),
    name text unique,
    service blob references services (id) deferrable initially deferred,
    bytes blob not null
) strict;

create index routes_service on routes (service);
