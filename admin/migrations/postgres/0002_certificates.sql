-- Certificates, the names they are shown for, and the authorities services trust.

create table certificates (
    id uuid primary key,
    bytes bytea not null
);

create table ca_certificates (
    id uuid primary key,
    cert_digest text unique,
    bytes bytea not null
);

create table snis (
    id uuid primary key,
    name text unique,
    certificate uuid references certificates (id) deferrable initially deferred,
    bytes bytea not null
);

create index snis_certificate on snis (certificate);

-- No service could refer to a certificate before.
alter table services
    add column client_certificate uuid references certificates (id) deferrable initially deferred;

create index services_client_certificate on services (client_certificate);
