-- Bestsellers, categories, and what is bought together. Nothing decides by them.

-- Precomputed from the reservations and the catalogue by whichever copy finds them due, never while somebody waits.
create materialized view bestsellers as
select p.product_id, p.category, sum(line.quantity)::bigint as pieces
from reservations r
cross join unnest(r.product_ids, r.quantities) line(product_id, quantity)
join products p on p.product_id = line.product_id
where r.state = 'shipped' and r.created_at > now() - interval '7 days' and p.retired_at is null
group by p.product_id;

create unique index bestsellers_by_product on bestsellers (product_id);
create index bestsellers_by_pieces on bestsellers (pieces desc, product_id);
create index bestsellers_by_category on bestsellers (category, pieces desc, product_id);

create materialized view categories as
select category, count(*) as products from products where retired_at is null group by category;

create unique index categories_by_name on categories (category);

-- When each was refreshed, and when it is due. A copy that refreshes one claims it first, by a later time.
create table refreshes (
    view         text        primary key,
    refreshed_at timestamptz not null,
    due_at       timestamptz not null
);
insert into refreshes select view, now(), now() from unnest('{bestsellers,categories}'::text[]) view;

-- In how many orders of a month both were: each pair twice, once from either side. Written by the transaction that ships them.
create table bought_together (
    month      date   not null,
    product_id uuid   not null,
    with_id    uuid   not null,
    orders     bigint not null constraint bought_together_at_least_once check (orders > 0),
    primary key (month, product_id, with_id)
) with (fillfactor = 80);
