-- Which stream it was that acknowledged: one that was made anew gives out the same sequences again.
alter table messaging.relay add column stream_created timestamptz;

-- After a loss of the bus the relay looks for where the stream still agrees, and takes back the rest in
-- parts: neither may read the whole outbox each time. (Nobody can write events while this is built. An outbox
-- that is large already is given the index by hand before: on each partition concurrently, then on the parent.)
create index if not exists outbox_published on messaging.outbox (stream_sequence) where stream_sequence is not null;
