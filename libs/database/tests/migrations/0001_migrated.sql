-- A migration that tells how often it ran.
create table if not exists migrated (at timestamptz not null default clock_timestamp());
insert into migrated default values;
