-- Orders that will never be written (docs/adr/0013): a checkout took its lines out of the cart and was cut
-- off, and cart was told to put them back. Whoever still works at such an order finds its id here.

create table abandoned_checkouts (
    shard        smallint    not null,
    order_id     uuid        not null,
    abandoned_at timestamptz not null default now(),
    primary key (shard, order_id)
);
