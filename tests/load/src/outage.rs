//! One database of carts and of orders takes no connections for a while: what users of the others have of it.

use std::collections::BTreeMap;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kernel::PaymentMethodId;
use operator::databases::accept_connections;
use stores::{Home, Psql, Tools};

use crate::schedule::{OUTAGE, Phase};
use crate::seed::Member;
use crate::shop::Target;

const SHARDED: [&str; 2] = ["cart", "order"];
/// Logical shards: the values of an id's last byte.
const SHARDS: usize = 256;

/// The last database of each sharded context.
pub(crate) struct ShardOutage {
    psql: Psql,
    databases: BTreeMap<String, Vec<String>>,
    last: usize,
}

impl ShardOutage {
    /// Of a shop on this machine.
    ///
    /// # Errors
    /// When it is elsewhere, or has one database for each context.
    pub(crate) fn of(target: &Target) -> Result<Self> {
        let local = target.local.as_ref().context("a shard is taken away on this machine only")?;
        let shards = usize::from(local.state.shards);
        ensure!(
            shards > 1,
            "the shop has one database of orders; begin anew: cargo souk down --wipe, then \
             cargo souk up --release --shards 2"
        );
        let psql = Psql::of(&Tools::find(&Home::find()?)).context("psql is beside the server")?;
        Ok(Self { psql, databases: local.places.databases.clone(), last: shards - 1 })
    }

    /// Marks those whose carts and orders it has. A user's payment method is of the user's shard.
    ///
    /// # Errors
    /// When the shop gave an id that is none.
    pub(crate) fn mark(&self, members: &mut [Member]) -> Result<()> {
        members.iter_mut().try_for_each(|member| {
            let card: PaymentMethodId = member.payment_method.parse()?;
            let database = usize::from(card.shard().0) * (self.last + 1) / SHARDS;
            member.loses_its_shard = database == self.last;
            Ok(())
        })
    }

    /// Takes it away for the phase that is named so, on a thread of its own; given back in any case.
    pub(crate) fn begin(self, phases: &[Phase], begin: Instant) -> JoinHandle<Result<()>> {
        let before = phases.iter().take_while(|phase| phase.name != OUTAGE);
        let from = begin + before.map(|phase| phase.duration).sum::<Duration>();
        let lasts = phases.iter().find(|phase| phase.name == OUTAGE);
        let until = from + lasts.map_or(Duration::ZERO, |phase| phase.duration);
        thread::spawn(move || {
            thread::sleep(from.saturating_duration_since(Instant::now()));
            let taken = self.all(false);
            thread::sleep(until.saturating_duration_since(Instant::now()));
            taken.and(self.all(true))
        })
    }

    fn all(&self, there: bool) -> Result<()> {
        SHARDED.into_iter().try_for_each(|context| {
            let urls = self.databases.get(context).map_or(&[][..], Vec::as_slice);
            accept_connections(&self.psql, urls, self.last, there)
        })
    }
}
