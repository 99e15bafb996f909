-- After a loss of the bus the relay looks for where the stream still agrees, and takes the rest back from
-- there, the latest first: neither may read the whole outbox each time.
create index outbox_published on messaging.outbox (stream_sequence) where stream_sequence is not null;
