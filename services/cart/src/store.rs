//! Every SQL statement of carts.

pub(crate) mod checkouts;
mod retention;

use kernel::{CartId, OrderId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{Cart, Change, Key, Line, State, Touched};

pub(crate) use retention::RETENTION;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// A cart with its lines. Nobody's cart is empty.
pub(crate) async fn load(connection: &mut PgConnection, key: Key) -> Result<Cart> {
    Ok(load_all(connection, &[key]).await?.pop().unwrap_or_default())
}

/// Carts with their lines, in the order of the keys; in one statement and so of one moment.
pub(crate) async fn load_all(connection: &mut PgConnection, keys: &[Key]) -> Result<Vec<Cart>> {
    let (shards, ids) = columns(keys);
    let owners: Vec<&str> = keys.iter().map(|key| key.owner.code()).collect();
    let rows = sqlx::query!(
        r#"select k.at as "at!", c.version, c.state, c.merging_into,
               l.product_id as "product_id?", l.quantity as "quantity?", l.position as "position?",
               k.checkouts as "checkouts!"
           from (
               select k.*, array(select o.order_id from checkouts o
                   where k.owner = 'user' and o.shard = k.shard and o.cart_id = k.cart_id)
                   as checkouts
               from unnest($1::smallint[], $2::text[], $3::uuid[])
                   with ordinality k(shard, owner, cart_id, at)
               offset 0 -- once for each cart, not for each of its lines
           ) k
           join carts c on c.shard = k.shard and c.owner = k.owner and c.cart_id = k.cart_id
           left join cart_lines l
               on l.shard = k.shard and l.owner = k.owner and l.cart_id = k.cart_id
           order by k.at, l.position"#,
        &shards,
        &owners as &[&str],
        &ids,
    )
    .fetch_all(connection)
    .await?;
    let mut carts = vec![Cart::default(); keys.len()];
    for row in rows {
        let cart = database::nth(&mut carts, row.at)?;
        (cart.version, cart.state) = (row.version, state(&row.state, row.merging_into)?);
        cart.checkouts = row.checkouts.into_iter().map(OrderId::from).collect();
        let line = row.product_id.zip(row.quantity).zip(row.position);
        cart.lines.extend(line.map(|((product, quantity), position)| {
            let product = product.into();
            Line { product, quantity, position }
        }));
    }
    Ok(carts)
}

/// Compare-and-swap: writes a change if the cart still has the version on which it was decided, and notes in its
/// checkouts which lines the user has changed since. Returns the new version. `None` is a version conflict: another
/// writer committed first, and nothing was written.
#[expect(clippy::too_many_lines, reason = "one statement, and its columns")]
pub(crate) async fn swap(
    connection: &mut PgConnection,
    key: Key,
    version: i64,
    change: &Change,
    touched: Touched,
) -> Result<Option<i64>> {
    let removed: Vec<Uuid> = change.removed().map(Uuid::from).collect();
    let products: Vec<Uuid> = change.set().map(|line| line.product.uuid()).collect();
    let quantities: Vec<i64> = change.set().map(|line| line.quantity).collect();
    let positions: Vec<i64> = change.set().map(|line| line.position).collect();
    let (touched, everything) = match touched {
        Touched::Nothing => (None, false),
        Touched::Product(product) => (Some(product.uuid()), false),
        Touched::Everything => (None, true),
    };
    sqlx::query_scalar!(
        r#"with moved as (
               insert into carts as c (shard, owner, cart_id, version) values ($1, $2, $3, 1)
               on conflict (shard, owner, cart_id) do update
               set version = c.version + 1, changed_at = now()
               where c.version = $4 and c.state = 'open'
               returning version
           ), removed as (
               delete from cart_lines
               where shard = $1 and owner = $2 and cart_id = $3 and product_id = any($5)
                   and exists (select from moved)
           ), set as (
               insert into cart_lines (shard, owner, cart_id, product_id, quantity, position)
               select $1, $2, $3, l.product_id, l.quantity, l.position
               from moved, unnest($6::uuid[], $7::bigint[], $8::bigint[])
                   l(product_id, quantity, position)
               on conflict (shard, owner, cart_id, product_id) do update
               set quantity = excluded.quantity, position = excluded.position
           ), touched as (
               update checkouts
               set changed = case when $10 then product_ids else changed || $9::uuid end
               where $2 = 'user' and shard = $1 and cart_id = $3
                   and ($10 or $9 = any(product_ids)) and exists (select from moved)
           )
           select version as "version!" from moved"#,
        key.shard().column(),
        key.owner.code(),
        key.id.uuid(),
        version,
        &removed,
        &products,
        &quantities,
        &positions,
        touched,
        everything,
    )
    .fetch_optional(connection)
    .await
}

/// Closes a guest's cart that has lines: from now on they belong to the user.
pub(crate) async fn close_for_merge(
    connection: &mut PgConnection,
    guest: Key,
    into: UserId,
) -> Result<()> {
    sqlx::query!(
        "update carts c set state = 'merging', merging_into = $3, version = version + 1,
             changed_at = now()
         where shard = $1 and owner = 'guest' and cart_id = $2 and state = 'open'
             and exists (select from cart_lines l where l.shard = c.shard
                 and l.owner = c.owner and l.cart_id = c.cart_id)",
        guest.shard().column(),
        guest.id.uuid(),
        into.uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Remembers that the user's cart has taken in this guest's cart as it was closed. False: it had.
pub(crate) async fn record_merge(
    connection: &mut PgConnection,
    user: Key,
    guest: CartId,
    guest_version: i64,
) -> Result<bool> {
    let recorded = sqlx::query!(
        "insert into merges (shard, cart_id, guest_cart_id, guest_version)
         values ($1, $2, $3, $4) on conflict do nothing",
        user.shard().column(),
        user.id.uuid(),
        guest.uuid(),
        guest_version,
    )
    .execute(connection)
    .await?;
    Ok(recorded.rows_affected() == 1)
}

/// Opens a guest's cart again, empty, once its lines are where they belong.
pub(crate) async fn reopen(
    connection: &mut PgConnection,
    guest: Key,
    closed_at: i64,
) -> Result<()> {
    sqlx::query!(
        "with opened as (
             update carts set state = 'open', merging_into = null, version = version + 1,
                 changed_at = now()
             where shard = $1 and owner = 'guest' and cart_id = $2 and state = 'merging'
                 and version = $3
             returning version
         )
         delete from cart_lines
         where shard = $1 and owner = 'guest' and cart_id = $2 and exists (select from opened)",
        guest.shard().column(),
        guest.id.uuid(),
        closed_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Guests' carts that were closed a while ago and not opened again: interrupted merges.
pub(crate) async fn unfinished_merges(
    connection: &mut PgConnection,
    limit: i64,
) -> Result<Vec<CartId>> {
    let carts = sqlx::query_scalar!(
        "select cart_id from carts
         where state = 'merging' and owner = 'guest' and changed_at < now() - interval '10 s'
         limit $1",
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(carts.into_iter().map(CartId::from).collect())
}

/// Locks the users' carts that exist, in the order of their ids, and loads them.
pub(crate) async fn lock_users(
    connection: &mut PgConnection,
    users: &[Key],
) -> Result<Vec<(Key, Cart)>> {
    let (shards, ids) = columns(users);
    let carts = sqlx::query!(
        "select cart_id, version, state, merging_into from carts
         where owner = 'user'
             and (shard, cart_id) in (select * from unnest($1::smallint[], $2::uuid[]))
         order by cart_id for update",
        &shards,
        &ids,
    )
    .fetch_all(&mut *connection)
    .await?;
    // In a statement of its own: the one above may have waited, and sees lines as of its start.
    let lines = sqlx::query!(
        "select l.cart_id, l.product_id, l.quantity, l.position
         from unnest($1::smallint[], $2::uuid[]) k(shard, cart_id)
         join cart_lines l on l.shard = k.shard and l.owner = 'user' and l.cart_id = k.cart_id
         order by l.cart_id, l.position",
        &shards,
        &ids,
    )
    .fetch_all(connection)
    .await?;
    let mut lines = lines.into_iter().peekable();
    let mut found = Vec::with_capacity(carts.len());
    for row in carts {
        let mut cart = Cart {
            state: state(&row.state, row.merging_into)?,
            version: row.version,
            ..Cart::default()
        };
        while let Some(line) = lines.next_if(|line| line.cart_id == row.cart_id) {
            let product = line.product_id.into();
            cart.lines.push(Line { product, quantity: line.quantity, position: line.position });
        }
        found.push((user_key(row.cart_id), cart));
    }
    Ok(found)
}

/// Writes changes of users' carts that are locked.
#[expect(clippy::too_many_lines, reason = "one statement, and its columns")]
pub(crate) async fn write(
    connection: &mut PgConnection,
    changes: &[(Key, i64, Change)],
) -> Result<()> {
    let keys: Vec<Key> = changes.iter().map(|(key, ..)| *key).collect();
    let versions: Vec<i64> = changes.iter().map(|(_, version, _)| *version).collect();
    let (shards, ids) = columns(&keys);
    let set: Vec<(Key, &Line)> =
        changes.iter().flat_map(|(key, _, change)| change.set().map(|line| (*key, line))).collect();
    let gone: Vec<_> = changes
        .iter()
        .flat_map(|(key, _, change)| change.removed().map(|product| (*key, product)))
        .collect();
    let (set_shards, set_ids) = columns(set.iter().map(|(key, _)| key));
    let set_products: Vec<Uuid> = set.iter().map(|(_, line)| line.product.uuid()).collect();
    let set_quantities: Vec<i64> = set.iter().map(|(_, line)| line.quantity).collect();
    let set_positions: Vec<i64> = set.iter().map(|(_, line)| line.position).collect();
    let (gone_shards, gone_ids) = columns(gone.iter().map(|(key, _)| key));
    let gone_products: Vec<Uuid> = gone.iter().map(|(_, product)| product.uuid()).collect();
    sqlx::query!(
        "with moved as (
             update carts c set version = m.version, changed_at = now()
             from unnest($1::smallint[], $2::uuid[], $3::bigint[]) m(shard, cart_id, version)
             where c.shard = m.shard and c.owner = 'user' and c.cart_id = m.cart_id
         ), set as (
             insert into cart_lines (shard, owner, cart_id, product_id, quantity, position)
             select s.shard, 'user', s.cart_id, s.product_id, s.quantity, s.position
             from unnest($4::smallint[], $5::uuid[], $6::uuid[], $7::bigint[], $8::bigint[])
                 s(shard, cart_id, product_id, quantity, position)
             on conflict (shard, owner, cart_id, product_id) do update
             set quantity = excluded.quantity
         )
         delete from cart_lines l
         using unnest($9::smallint[], $10::uuid[], $11::uuid[]) g(shard, cart_id, product_id)
         where l.shard = g.shard and l.owner = 'user' and l.cart_id = g.cart_id
             and l.product_id = g.product_id",
        &shards,
        &ids,
        &versions,
        &set_shards,
        &set_ids,
        &set_products,
        &set_quantities,
        &set_positions,
        &gone_shards,
        &gone_ids,
        &gone_products,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Empties users' carts for ever. The rows stay, so that nothing comes back to life. Two statements: whoever writes to a
/// cart locks its row, and what the last one wrote before we had the lock is seen by the second only.
pub(crate) async fn erase(connection: &mut PgConnection, users: &[Key]) -> Result<()> {
    let (shards, ids) = columns(users);
    sqlx::query!(
        "insert into carts as c (shard, owner, cart_id, version, state)
         select u.shard, 'user', u.cart_id, 1, 'erased'
         from unnest($1::smallint[], $2::uuid[]) u(shard, cart_id) order by u.cart_id
         on conflict (shard, owner, cart_id) do update
         set state = 'erased', version = c.version + 1, changed_at = now()
         where c.state <> 'erased'",
        &shards,
        &ids,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "with unbought as (
             delete from checkouts
             where (shard, cart_id) in (select * from unnest($1::smallint[], $2::uuid[]))
         ), forgotten as (
             delete from merges
             where (shard, cart_id) in (select * from unnest($1::smallint[], $2::uuid[]))
         )
         delete from cart_lines
         where owner = 'user'
             and (shard, cart_id) in (select * from unnest($1::smallint[], $2::uuid[]))",
        &shards,
        &ids,
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn user_key(cart_id: Uuid) -> Key {
    Key::user(UserId::from(cart_id))
}

fn columns<'a>(keys: impl IntoIterator<Item = &'a Key>) -> (Vec<i16>, Vec<Uuid>) {
    keys.into_iter().map(|key| (key.shard().column(), key.id.uuid())).unzip()
}

fn state(state: &str, merging_into: Option<Uuid>) -> Result<State> {
    match (state, merging_into) {
        ("open", None) => Ok(State::Open),
        ("merging", Some(user)) => Ok(State::Merging(user.into())),
        ("erased", None) => Ok(State::Erased),
        (state, _) => Err(sqlx::Error::Decode(format!("no state of a cart: {state}").into())),
    }
}
