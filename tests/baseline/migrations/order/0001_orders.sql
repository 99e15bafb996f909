-- Orders, and the one row that arbitrates each checkout. The shard is the first column of every
-- key: rows move between databases by shard, and an order's id leads to its shard by itself.

create table orders (
    shard             smallint    not null,
    order_id          uuid        not null,
    user_id           uuid        not null,
    cart_id           uuid        not null,
    cart_version      bigint      not null,
    state             text        not null default 'placed'
        constraint orders_state_known check (state in ('placed', 'stock_held', 'confirmed', 'cancelled')),
    cancel_reason     text
        constraint orders_reason_known check (cancel_reason in ('out_of_stock', 'payment_declined', 'deadline', 'customer')),
    payment_method_id uuid        not null,
    currency          text        not null,
    total_minor       bigint      not null constraint orders_total_positive check (total_minor >= 0),
    refunded_minor    bigint      not null default 0,
    ship_to           jsonb, -- null once its user was erased
    version           bigint      not null default 1,
    placed_at         timestamptz not null default now(),
    deadline_at       timestamptz not null,
    stock_held_at     timestamptz,
    ended_at          timestamptz,
    primary key (shard, order_id),
    constraint orders_reason_iff_cancelled check ((state = 'cancelled') = (cancel_reason is not null)),
    constraint orders_refund_within_total check (refunded_minor between 0 and total_minor),
    -- Two tabs with one cart: the second checkout finds it sold.
    constraint orders_once_per_cart_version unique (shard, user_id, cart_id, cart_version)
) with (fillfactor = 80);

create index orders_due on orders (deadline_at) where state in ('placed', 'stock_held');
create index orders_of_user on orders (shard, user_id, order_id desc);

create table order_lines (
    shard            smallint not null,
    order_id         uuid     not null,
    line_no          integer  not null,
    product_id       uuid     not null,
    sku              text     not null,
    name             text     not null,
    quantity         bigint   not null constraint order_lines_quantity_positive check (quantity > 0),
    unit_price_minor bigint   not null,
    returned         bigint   not null default 0,
    primary key (shard, order_id, line_no),
    constraint order_lines_returned_within check (returned between 0 and quantity)
);

create table returns (
    shard        smallint    not null,
    order_id     uuid        not null,
    return_id    uuid        not null,
    items        jsonb       not null,
    refund_minor bigint      not null,
    requested_at timestamptz not null default now(),
    refunded_at  timestamptz,
    primary key (shard, order_id, return_id)
);

-- The reply to a checkout, kept under the caller's key (at least 24 hours).
create table idempotency_keys (
    shard       smallint    not null,
    user_id     uuid        not null,
    key         text        not null,
    fingerprint bytea       not null,
    reply       bytea       not null,
    created_at  timestamptz not null default now(),
    primary key (shard, user_id, key)
);
create index idempotency_keys_old on idempotency_keys (created_at);
