-- Lines that have left a cart for an order (docs/adr/0013). They leave in the statement that makes
-- this row, before the order is written: what is ordered is in no cart, whoever dies or lags. The
-- row goes when the order's end is known, and what was not sold goes back into the cart.
--
-- Small: as many rows as orders under way. So `resolve_at` needs no index.

create table checkouts (
    shard        smallint    not null,
    cart_id      uuid        not null, -- a user's: guests do not order
    order_id     uuid        not null,
    cart_version bigint      not null, -- which the order names as what it bought
    product_ids  uuid[]      not null,
    quantities   bigint[]    not null,
    changed      uuid[]      not null default '{}', -- products that the user has put in or removed since: they stay as he wants them
    begun_at     timestamptz not null default now(),
    resolve_at   timestamptz not null default now() + interval '10 seconds', -- when order is to say what became of it, if nothing was heard
    primary key (shard, cart_id, order_id),
    constraint checkouts_have_lines
        check (cardinality(product_ids) > 0 and cardinality(product_ids) = cardinality(quantities))
);
