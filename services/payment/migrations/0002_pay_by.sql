-- Under a provider that is slower than the shop, payments wait. They wait here, where a
-- cancellation reaches them, and not in a process's memory; and one that cannot be made any more
-- before its checkout's deadline is not called for.
--
-- A payment that waits has never been leased to anybody: its `leased_until` is '-infinity'. Every
-- lease, and every statement of the release before this one, puts a later time there for good. So
-- nobody has called the provider for it, and it can be ended without calling. (A column of its own
-- would be wrong as long as the release before is running beside this one, which would not write it.)

alter table payments
    add column pay_by timestamptz, -- no capture is sent after it; null: the order did not say
    add column called_at timestamptz; -- when the last capture was sent, as far as it was written

create index payments_waiting on payments (heard_at)
    where state = 'pending' and leased_until = '-infinity';
