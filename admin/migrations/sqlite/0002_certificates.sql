-- Certificates, the names they are shown for, and the authorities services trust.

create table certificates (
    id blob primary key check (length(id) = 16),
    bytes blob not null
) strict;

create table ca_certificates (
    id blob primary key check (length(id) = 16),
    cert_digest text unique,
    bytes blob not null
) strict;

create table snis (
    id blob primary key check (length(id) = 16),
    name text unique,
    certificate blob references certificates (id) deferrable initially deferred,
    bytes blob not null
) strict;

create index snis_certificate on snis (certificate);

-- No service could refer to a certificate before.
alter table services
    add column client_certificate blob references certificates (id) deferrable initially deferred;

create index services_client_certificate on services (client_certificate);
