-- Who listens to this context's stream. A stream is limited in bytes, and what all of them have acknowledged goes from
-- its beginning before it is full. One whose consumer is gone for a moment (the stream was made anew while its service
-- was down) is not forgotten as long as the stream would have kept its events.
create table messaging.listeners (
    consumer text        primary key,
    seen_at  timestamptz not null default now()
);
