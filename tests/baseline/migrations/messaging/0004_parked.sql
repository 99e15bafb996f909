-- How many events are given up on is asked every few seconds, and after a bad day they are many.
create index dead_letters_parked on messaging.dead_letters (parked_at) where redriven_at is null;
