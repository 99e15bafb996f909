-- A dead letter that is to be tried again keeps its place until that has succeeded: its consumer
-- takes it from here, not from the bus, and only then is it gone.
alter table messaging.dead_letters add column redriven_at timestamptz;
create index dead_letters_redriven on messaging.dead_letters (consumer) where redriven_at is not null;
