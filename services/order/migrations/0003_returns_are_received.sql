-- A return is requested by the customer, received or refused by staff, and refunded: three steps, each with its
-- own facts. Before, it was refunded and restocked as soon as it was requested.
--
-- Copies of the release before run beside this schema. A return that they write gets the state `received` and no
-- decision: it is published when it is requested, and nobody has looked at it. The returns that exist already are
-- the same. That a refund arrived stays a fact of its own, `refunded_at`, which both releases write.
--
-- older binaries keep returns_state_known: they leave the state to its default
-- older binaries keep returns_decided_or_not: they write none of the four
-- older binaries keep returns_requested_means_undecided: they decide nothing
-- older binaries keep returns_refused_means_decided: they refuse nothing
-- older binaries keep returns_refunded_means_received: what is refunded was published, and by then it is received
-- older binaries keep order_lines_return_requested_within: but where they would return what is on its way already,
-- and there the database is to say no for them

alter table returns
    add column state      text not null default 'received'
        constraint returns_state_known check (state in ('requested', 'received', 'refused')),
    add column received   jsonb, -- what has arrived; null: nobody has looked
    add column decided_by uuid, -- the member of staff
    add column decided_at timestamptz,
    add column reason     text, -- for the customer; empty when all of it was received
    add constraint returns_decided_or_not
        check (num_nulls(received, decided_by, decided_at, reason) in (0, 4)),
    add constraint returns_requested_means_undecided
        check (state <> 'requested' or decided_at is null),
    add constraint returns_refused_means_decided
        check (state <> 'refused' or decided_at is not null),
    add constraint returns_refunded_means_received
        check (state = 'received' or refunded_at is null);

-- What staff has to look for.
create index returns_on_their_way on returns (requested_at, order_id, return_id) where state = 'requested';

-- What is on its way back cannot be returned a second time. Not validated, which would read the whole table: every
-- row of today satisfies it, by order_lines_returned_within.
alter table order_lines
    add column return_requested bigint not null default 0,
    add constraint order_lines_return_requested_within
        check (return_requested >= 0 and returned + return_requested <= quantity) not valid;
