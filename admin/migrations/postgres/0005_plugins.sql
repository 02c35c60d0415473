-- Plugins.

create table plugins (
    id uuid primary key,
    instance_name text unique,
    route uuid references routes (id) deferrable initially deferred,
    service uuid references services (id) deferrable initially deferred,
    consumer uuid references consumers (id) deferrable initially deferred,
    bytes bytea not null
);

create index plugins_route on plugins (route);

create index plugins_service on plugins (service);

create index plugins_consumer on plugins (consumer);
