-- A refund that the provider refuses is not tried again by itself: staff decide whether it is, or
-- settle it by hand. Who decided and why is kept, and money that went back by hand is in the ledger.
--
-- `refunded_at` still says that a refund has ended, either way, so the release before this one
-- leaves alone what was settled. What was only refused it tries again, as it always did.

alter table refunds
    add column refused_at timestamptz, -- null: never refused, or tried again since
    add column refusal text, -- the provider's code
    add column settled_by uuid; -- the member of staff who gave it back by hand
create index refunds_refused on refunds (order_id, refund_id)
    where refused_at is not null and refunded_at is null;

-- What staff decided, one row for each time.
create table refund_decisions (
    order_id   uuid        not null,
    refund_id  text        not null,
    decided_at timestamptz not null default now(),
    decision   text        not null
        constraint refund_decisions_known check (decision in ('retry', 'settled_by_hand')),
    decided_by uuid        not null,
    note       text        not null,
    refusal    text        not null, -- that it answers
    primary key (order_id, refund_id, decided_at)
);

alter table ledger drop constraint ledger_accounts;
alter table ledger add constraint ledger_accounts check (
    (debit_account, credit_account) in (('psp_clearing', 'customer_receipts'),
        ('refunds', 'psp_clearing'), ('refunds', 'paid_by_hand')));
-- older binaries keep ledger_accounts: it allows one pair more than the one they know
