-- What the past is looked at and brought back with.

-- What the entities of a step were before it: msgpack, as `changes`. Null where nobody noted it.
alter table revisions add column undo bytea;

-- The address a revision was asked for from; null for what the gateway did by itself.
alter table audit add column origin text;

create index audit_revision on audit (epoch, version);
