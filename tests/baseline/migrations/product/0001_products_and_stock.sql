-- The catalogue, and the one place where stock is counted. A product and its stock are two rows:
-- every order writes stock, hardly anything writes products, and a narrow row that leaves free
-- room in its page (fillfactor) is updated in place without touching an index.

create table products (
    product_id  uuid        primary key,
    sku         text        not null constraint products_sku_unique unique,
    name        text        not null,
    description text        not null,
    category    text        not null,
    price_minor bigint      not null constraint products_price_positive check (price_minor > 0),
    currency    text        not null,
    version     bigint      not null default 1,
    retired_at  timestamptz,
    created_at  timestamptz not null default now(),
    search      tsvector    not null generated always as (
        setweight(to_tsvector('english', name), 'A')
        || setweight(to_tsvector('english', category), 'B')
        || setweight(to_tsvector('english', description), 'C')
    ) stored
);

create index products_search on products using gin (search);
-- Pages go by name; the id tells products of one name apart.
create index products_by_name on products (name, product_id) where retired_at is null;
create index products_by_category on products (category, name, product_id) where retired_at is null;

create table stock (
    product_id uuid   primary key references products,
    received   bigint not null default 0,
    on_hand    bigint not null default 0,
    reserved   bigint not null default 0,
    shipped    bigint not null default 0,
    constraint stock_on_hand_not_negative check (on_hand >= 0),
    constraint stock_reserved_within_on_hand check (reserved between 0 and on_hand),
    constraint stock_conserved check (received = on_hand + shipped)
) with (fillfactor = 70);

-- What was booked in, each delivery note once. For each product they sum up to stock.received.
create table receipts (
    receipt     text        primary key,
    product_id  uuid        not null constraint receipts_product_known references products,
    quantity    bigint      not null constraint receipts_quantity_positive check (quantity > 0),
    received_at timestamptz not null default now()
);

-- One row for each order that was heard of, with what it holds, in the order of its product ids.
-- A row may come before its order: `released` and `sold` then have no lines.
-- No index on the state: it changes once for every order, in place.
create table reservations (
    order_id    uuid        primary key,
    state       text        not null
        constraint reservations_state_known check (state in ('held', 'shipped', 'released', 'rejected', 'sold')),
    product_ids uuid[]      not null,
    quantities  bigint[]    not null,
    version     bigint      not null,
    created_at  timestamptz not null default now(),
    constraint reservations_lines_paired check (cardinality(product_ids) = cardinality(quantities))
) with (fillfactor = 80);

-- For the look at old ones that nobody has ended; costs a new row next to nothing.
create index reservations_by_age on reservations using brin (created_at) with (autosummarize = on);

-- What came back, each return once.
create table returns (
    order_id    uuid        not null references reservations,
    return_id   uuid        not null,
    product_ids uuid[]      not null,
    quantities  bigint[]    not null,
    returned_at timestamptz not null default now(),
    primary key (order_id, return_id),
    constraint returns_lines_paired check (cardinality(product_ids) = cardinality(quantities))
);
