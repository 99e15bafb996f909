//! Where the records are.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use operator::layout::Layout;
use operator::plan::{CONTEXTS, PSP};
use operator::secrets::Secrets;
use operator::state::State;
use operator::{Shop, databases};

/// The databases of a shop, and its payment provider.
#[derive(Clone, Debug)]
pub struct Places {
    /// Of each context, one URL for each shard.
    pub databases: BTreeMap<String, Vec<String>>,
    /// The provider's HTTP API.
    pub psp_url: String,
}

impl Places {
    /// Of a shop that this process runs.
    pub fn of(shop: &Shop) -> Self {
        let urls =
            |(context, _): (&str, bool)| (context.to_owned(), shop.database_urls(context).to_vec());
        Self { databases: CONTEXTS.into_iter().map(urls).collect(), psp_url: shop.psp_url() }
    }

    /// Of the shop that `cargo souk up` runs.
    ///
    /// # Errors
    /// When its state names no provider or no PostgreSQL, or a password cannot be read.
    pub fn of_running(layout: &Layout, state: &State) -> Result<Self> {
        let provider = state.of(PSP).next().context("the shop has no payment provider")?;
        Ok(Self {
            databases: databases::urls(state, &Secrets::at(layout))?,
            psp_url: format!("http://{}", provider.task.listen),
        })
    }

    /// The URLs of the databases of one context.
    ///
    /// # Errors
    /// When it has none.
    pub fn of_context(&self, context: &str) -> Result<&[String]> {
        let urls = self.databases.get(context).map(Vec::as_slice);
        urls.with_context(|| format!("no database of {context}"))
    }
}
