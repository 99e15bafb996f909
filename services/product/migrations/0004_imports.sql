-- Catalogue files that are imported in the background. The items of a file are kept until they are imported, in the same
-- transaction, so that a copy that dies leaves the rest to another one, and nothing is imported twice. A row of `imports` is
-- written when the whole file is there: items without one are of an upload that broke off.

create table imports (
    import_id      uuid        primary key,
    source         text        not null,
    digest         bytea       not null, -- of its items: what has the same is the same file
    state          text        not null default 'running' check (state in ('running', 'done', 'cancelled', 'failed')),
    version        bigint      not null default 1,
    items          bigint      not null check (items > 0),
    items_imported bigint      not null default 0 check (items_imported between 0 and items),
    added          bigint      not null default 0,
    revised        bigint      not null default 0,
    unchanged      bigint      not null default 0,
    stock_received bigint      not null default 0,
    failure        text,
    traceparent    text,
    created_at     timestamptz not null default now(),
    check ((state = 'done') = (items_imported = items)),
    check ((state = 'failed') = (failure is not null))
);

create unique index imports_one_running_per_source on imports (source) where state = 'running';

create table import_items (
    import_id     uuid        not null,
    position      bigint      not null, -- in the file, from 0
    sku           text        not null,
    name          text        not null,
    description   text        not null,
    category      text        not null,
    price_minor   bigint      not null,
    currency      text        not null,
    opening_stock bigint      not null,
    staged_at     timestamptz not null default now(),
    primary key (import_id, position)
);

create index import_items_staged_at on import_items using brin (staged_at);
