//! The databases of the contexts: one each, or one for each shard, and one role for each context.

use std::collections::BTreeMap;
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};
use stores::{Psql, Server};

use crate::plan::{CONTEXTS, databases};
use crate::secrets::Secrets;
use crate::state::State;

/// Makes what is missing; the URLs of each context, in the order of its shards.
///
/// # Errors
/// When PostgreSQL refuses, or when the carts and orders that are there lie in another number of
/// databases: they would not be found.
pub fn provide(
    psql: &Psql,
    admin_url: &str,
    secrets: &Secrets,
    shards: u16,
) -> Result<BTreeMap<String, Vec<String>>> {
    refuse_other_shards(psql, admin_url, shards)?;
    let context = |(context, sharded): (&'static str, bool)| -> Result<_> {
        let (role, password) = (format!("souk_{context}"), secrets.database_password(context)?);
        let names = databases(context, sharded, shards);
        // One after another: they share a role.
        let urls = names.iter().map(|name| psql.create_database(admin_url, name, &role, &password));
        Ok((context.to_owned(), urls.collect::<Result<Vec<_>, _>>()?))
    };
    thread::scope(|scope| {
        let making = CONTEXTS.map(|entry| scope.spawn(move || context(entry)));
        let made = making.map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?);
        made.into_iter().collect()
    })
}

/// The databases of a shop that runs, whoever runs it: the same URLs as [`provide`] gave.
///
/// # Errors
/// When the state names no PostgreSQL, or a password cannot be read.
pub fn urls(state: &State, secrets: &Secrets) -> Result<BTreeMap<String, Vec<String>>> {
    let server = state.stores.iter().find(|store| store.name == Server::Postgres.key());
    let server = &server.context("the shop's state names no PostgreSQL")?.url;
    let context = |(context, sharded): (&str, bool)| -> Result<_> {
        let (role, password) = (format!("souk_{context}"), secrets.database_password(context)?);
        let names = databases(context, sharded, state.shards);
        let urls = names.iter().map(|name| stores::url_as(server, &role, &password, name));
        Ok((context.to_owned(), urls.collect::<Result<_, _>>()?))
    };
    CONTEXTS.into_iter().map(context).collect()
}

/// Takes one database of a context away, or gives it back: `urls` are those of all its shards. It lets nobody in, and
/// whoever is in is put out.
///
/// # Errors
/// When there is no such database or no other one, and when PostgreSQL refuses.
pub fn accept_connections(psql: &Psql, urls: &[String], index: usize, there: bool) -> Result<()> {
    let name = urls.get(index).and_then(|url| url.split('?').next()?.rsplit_once('/'));
    let (_, name) = name.with_context(|| format!("no database {index}"))?;
    let other = urls.iter().enumerate().find(|(other, _)| *other != index);
    let (_, other) = other.context("nothing to say it from: there is one database")?;
    let change = format!(
        "alter database {name} with allow_connections {there};
         select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
    );
    psql.run(other, &change)?;
    Ok(())
}

fn refuse_other_shards(psql: &Psql, admin_url: &str, shards: u16) -> Result<()> {
    let there = count(psql, admin_url)?;
    if there == 0 || there == usize::from(shards) {
        return Ok(());
    }
    bail!(
        "the orders are in {there} database(s): use --shards {there}, or begin anew with \
         cargo souk down --wipe"
    )
}

fn count(psql: &Psql, admin_url: &str) -> Result<usize> {
    let query = "select count(*) from pg_database where datname ~ '^souk_order_[0-9]+$';";
    Ok(psql.run(admin_url, query)?.trim().parse()?)
}

/// Removes the databases and roles of the shop from a PostgreSQL that somebody else runs.
///
/// # Errors
/// When PostgreSQL refuses.
pub fn remove(psql: &Psql, admin_url: &str) -> Result<()> {
    let drops = "select format('drop database %I with (force)', datname) from pg_database \
                 where datname ~ '^souk_(product|user|payment|cart_[0-9]+|order_[0-9]+)$'\n\\gexec\n\
                 select format('drop role %I', rolname) from pg_roles \
                 where rolname ~ '^souk_(product|user|payment|cart|order)$'\n\\gexec\n";
    psql.run(admin_url, drops)?;
    Ok(())
}
