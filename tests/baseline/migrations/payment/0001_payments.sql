-- What the shop asked the payment service provider for, and what became of it. The provider has
-- the money and the truth; a row here is an intent until it has answered, and carries the lease
-- of the worker that asks. Everything is decided by the row of the payment.

-- Card tokens live here and nowhere else.
create table payment_methods (
    payment_method_id uuid        not null primary key,
    user_id           uuid        not null,
    card_token        text        not null
        constraint payment_methods_token_form check (card_token ~ '^tok_[a-z0-9_]{1,60}$'),
    label             text        not null,
    created_at        timestamptz not null default now(),
    constraint payment_methods_once unique (user_id, card_token)
);

-- One payment per order; its order id is also the key under which the provider knows it. What was
-- asked for is null as long as only a cancellation or a return was heard of (they may come first).
create table payments (
    order_id          uuid        not null primary key,
    state             text        not null
        constraint payments_state_known check (state in ('new', 'pending', 'cancelling',
            'captured', 'declined', 'voided', 'refunding', 'refunded')),
    user_id           uuid,
    payment_method_id uuid,
    currency          text,
    amount_minor      bigint,
    capture_id        text, -- the provider's
    decline_reason    text,
    traceparent       text,
    attempts          integer     not null default 0,
    leased_by         uuid, -- null: nobody is asking now
    leased_until      timestamptz not null default now(), -- nobody else asks before
    heard_at          timestamptz not null default now(),
    constraint payments_asked_or_not check (num_nulls(user_id, payment_method_id, currency, amount_minor) in (0, 4)),
    constraint payments_open_means_asked check (state not in ('pending', 'cancelling') or user_id is not null),
    constraint payments_captured_iff_id check ((state in ('captured', 'refunding', 'refunded')) = (capture_id is not null))
) with (fillfactor = 80);
create index payments_open on payments (leased_until) where state in ('pending', 'cancelling');

-- Money to be given back: `cancellation`, or the id of a return. An undone row is an intent.
create table refunds (
    order_id     uuid        not null,
    refund_id    text        not null,
    currency     text        not null,
    amount_minor bigint      not null constraint refunds_amount_positive check (amount_minor > 0),
    transfer_id  text, -- the provider's
    traceparent  text,
    attempts     integer     not null default 0,
    leased_by    uuid,
    leased_until timestamptz not null default now(),
    asked_at     timestamptz not null default now(),
    refunded_at  timestamptz,
    primary key (order_id, refund_id),
    constraint refunds_done_iff_id check ((refunded_at is null) = (transfer_id is null))
);
create index refunds_open on refunds (leased_until) where refunded_at is null;

-- Double entry: one row moves one amount from one account to another, so the sum of all accounts
-- is zero by construction. A transfer has the provider's id, and so is booked once.
create table ledger (
    transfer_id    text        not null primary key,
    order_id       uuid        not null,
    debit_account  text        not null,
    credit_account text        not null,
    currency       text        not null,
    amount_minor   bigint      not null constraint ledger_amount_positive check (amount_minor > 0),
    booked_at      timestamptz not null default now(),
    constraint ledger_accounts check (
        (debit_account, credit_account) in (('psp_clearing', 'customer_receipts'), ('refunds', 'psp_clearing')))
);
create unique index ledger_one_capture_per_order on ledger (order_id) where debit_account = 'psp_clearing';

create view balances as
select account, currency, sum(amount_minor) as balance_minor
from (
    select debit_account as account, currency, amount_minor from ledger
    union all
    select credit_account, currency, -amount_minor from ledger
) entries
group by account, currency;

-- Notices of the provider that made us ask. Forgotten after a week.
create table webhooks (
    webhook_id  text        not null primary key,
    received_at timestamptz not null default now()
);
create index webhooks_old on webhooks (received_at);
