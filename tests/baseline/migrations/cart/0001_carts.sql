-- Carts and their lines. The shard is the first column of every key: rows move between databases
-- by shard. Whether a cart is a guest's or a user's is part of its key, so that no call without a
-- token can reach or pre-empt a user's cart, whatever id it names.
--
-- A version is compared and swapped with every change: lines are touched only by whoever has just
-- moved their cart's version.

create table carts (
    shard       smallint    not null,
    owner       text        not null constraint carts_owner_known check (owner in ('guest', 'user')),
    cart_id     uuid        not null,
    version     bigint      not null constraint carts_version_positive check (version > 0),
    state       text        not null default 'open'
        constraint carts_state_known check (state in ('open', 'merging', 'erased')),
    merging_into uuid,      -- the user whose cart takes these lines over
    changed_at  timestamptz not null default now(),
    primary key (shard, owner, cart_id),
    constraint carts_merging_iff_somewhere check ((state = 'merging') = (merging_into is not null)),
    constraint carts_only_guests_merge check (state <> 'merging' or owner = 'guest'),
    constraint carts_only_users_are_erased check (state <> 'erased' or owner = 'user')
) with (fillfactor = 80);

-- Not by time: an index on `changed_at` would cost every change its heap-only update.
create index carts_merging on carts (shard, cart_id) where state = 'merging';

create table cart_lines (
    shard      smallint not null,
    owner      text     not null,
    cart_id    uuid     not null,
    product_id uuid     not null,
    quantity   bigint   not null
        constraint cart_lines_quantity_in_range check (quantity between 1 and 10000),
    position   bigint   not null, -- the order in which products were first put in
    primary key (shard, owner, cart_id, product_id)
) with (fillfactor = 80);

-- Which guests' carts a user's cart has taken in: the second half of a merge happens once.
create table merges (
    shard         smallint    not null,
    cart_id       uuid        not null,
    guest_cart_id uuid        not null,
    guest_version bigint      not null,
    merged_at     timestamptz not null default now(),
    primary key (shard, cart_id, guest_cart_id, guest_version)
);
