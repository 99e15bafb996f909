-- The record of what a context published and of what it has taken in. Both are partitioned by
-- the event's own time, so that old days are dropped and never deleted from; a duplicate always
-- lands in the partition of the original.

create table messaging.outbox (
    shard           smallint    not null,
    position        bigint      not null generated always as identity,
    event_id        uuid        not null,
    aggregate_id    uuid        not null,
    type            text        not null,
    subject         text        not null,
    occurred_at     timestamptz not null default now(),
    traceparent     text,
    payload         bytea       not null,
    published_at    timestamptz,
    stream_sequence bigint,
    primary key (shard, occurred_at, position)
) partition by range (occurred_at);

-- The relay asks for what is not published, never for what is above a number: ids of concurrent
-- transactions become visible out of order.
create index outbox_unpublished on messaging.outbox (position) where published_at is null;

create table messaging.outbox_rest partition of messaging.outbox default;

create table messaging.inbox (
    shard       smallint    not null,
    consumer    text        not null,
    event_id    uuid        not null,
    occurred_at timestamptz not null,
    primary key (consumer, event_id, occurred_at, shard)
) partition by range (occurred_at);

create table messaging.inbox_rest partition of messaging.inbox default;

-- How often an event has failed so far; a row goes when the event succeeds or is parked.
create table messaging.failures (
    shard    smallint not null,
    consumer text     not null,
    event_id uuid     not null,
    tries    integer  not null,
    error    text     not null,
    primary key (shard, consumer, event_id)
);

-- What cannot succeed. Its inbox row exists too: parked is an outcome.
create table messaging.dead_letters (
    shard        smallint    not null,
    consumer     text        not null,
    event_id     uuid        not null,
    aggregate_id uuid        not null,
    type         text        not null,
    subject      text        not null,
    occurred_at  timestamptz not null,
    traceparent  text,
    payload      bytea       not null,
    tries        integer     not null,
    error        text        not null,
    parked_at    timestamptz not null default now(),
    primary key (shard, consumer, event_id)
);

-- One row: who relays, until when (by this database's clock), and the last message that the
-- stream acknowledged, which tells a stream that was wiped or rolled back.
create table messaging.relay (
    only_one      boolean     not null primary key default true check (only_one),
    holder        uuid,
    held_until    timestamptz not null default '-infinity',
    last_sequence bigint      not null default 0,
    last_event_id uuid
);
insert into messaging.relay default values;

-- Creates the days around now and drops what has outlived its use: an outbox day when nothing in
-- it is unpublished and it is `outbox_days` old, an inbox day after `inbox_days`, which is longer
-- than outbox, stream and redrive window together. Runs with its owner's rights, so that the
-- service's own role needs none to create or drop tables.
create function messaging.upkeep(outbox_days int, inbox_days int) returns void
language plpgsql security definer set search_path = messaging, pg_temp set timezone = 'UTC' as $$
declare
    day date;
    part record;
    used boolean;
begin
    if not pg_try_advisory_xact_lock(hashtext('messaging.upkeep')) then
        return; -- another copy is at it
    end if;
    for day in select current_date + n from generate_series(-1, 3) n loop
        perform messaging.create_day('outbox', day);
        perform messaging.create_day('inbox', day);
    end loop;
    for part in
        select c.relname, p.relname as parent, to_date(right(c.relname, 8), 'YYYYMMDD') as day
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        join pg_class p on p.oid = i.inhparent
        where p.relnamespace = 'messaging'::regnamespace and c.relname ~ '_[0-9]{8}$'
    loop
        if part.parent = 'inbox' then
            continue when part.day > current_date - inbox_days;
        else
            continue when part.day > current_date - outbox_days;
            execute format('select exists (select from messaging.%I where published_at is null)',
                part.relname) into used;
            continue when used;
        end if;
        execute format('drop table messaging.%I', part.relname);
    end loop;
end $$;

create function messaging.create_day(parent text, day date) returns void
language plpgsql set search_path = messaging, pg_temp as $$
declare
    name text := parent || '_' || to_char(day, 'YYYYMMDD');
begin
    if to_regclass('messaging.' || name) is not null then
        return;
    end if;
    execute format('create table messaging.%I partition of messaging.%I for values from (%L) to (%L)',
        name, parent, day, day + 1);
exception when check_violation then
    null; -- rows of that day are in the rest already, and may stay there
end $$;

select messaging.upkeep(7, 30);
