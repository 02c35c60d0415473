-- Plugins.

create table plugins (
    id blob primary key check (length(id) = 16),
    instance_name text unique,
    route blob references routes (id) deferrable initially deferred,
    service blob references services (id) deferrable initially deferred,
    consumer blob references consumers (id) deferrable initially deferred,
    bytes blob not null
) strict;

create index plugins_route on plugins (route);

create index plugins_service on plugins (service);

create index plugins_consumer on plugins (consumer);
