-- What changed, in which transaction, whoever changed it: an older release and a hand at psql too (all but `truncate`). A copy that keeps
-- products in memory asks again and again for what has become visible since it asked last (a snapshot says that exactly;
-- a sequence or a clock does not, since transactions end in another order than they begin). An hour is kept.

create table changes (
    changed_in  xid8        not null default pg_current_xact_id(),
    position    bigint      not null generated always as identity,
    product_ids uuid[],     -- null: so many that any may be one of them
    stock_only  boolean     not null,
    changed_at  timestamptz not null default now(),
    primary key (changed_in, position)
);

create function note_changes() returns trigger
language plpgsql as $$
begin
    insert into changes (product_ids, stock_only)
    select case when count(*) <= 10000 then array_agg(product_id) end, tg_argv[0] = 'stock'
    from touched having count(*) > 0;
    return null;
end $$;

-- older binaries keep products_added: it refuses nothing, and writes a row of its own beside theirs
-- older binaries keep products_changed: it does the same
-- older binaries keep products_removed: it does the same
-- older binaries keep stock_added: it does the same
-- older binaries keep stock_changed: it does the same
-- older binaries keep stock_removed: it does the same
create trigger products_added after insert on products referencing new table as touched
    for each statement execute function note_changes('catalogue');
create trigger products_changed after update on products referencing new table as touched
    for each statement execute function note_changes('catalogue');
create trigger products_removed after delete on products referencing old table as touched
    for each statement execute function note_changes('catalogue');
create trigger stock_added after insert on stock referencing new table as touched
    for each statement execute function note_changes('stock');
create trigger stock_changed after update on stock referencing new table as touched
    for each statement execute function note_changes('stock');
create trigger stock_removed after delete on stock referencing old table as touched
    for each statement execute function note_changes('stock');
