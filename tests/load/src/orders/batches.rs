//! What the shop's processes count themselves: the sizes of their batches, and how long connections to databases are in use.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use operator::http::Client;
use operator::plan::PSP;
use operator::state::State;

const COUNTED: [&str; 2] = ["souk_batch_size", "souk_consumer_batch_size"];
/// By database, operation and use case; from having a connection to releasing it.
const IN_USE: &str = "db_client_operation_duration_seconds_sum";

/// Where the shop's processes tell their metrics.
pub(super) struct Processes(Vec<Client>);

/// Members and batches so far, by kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Sizes(BTreeMap<String, (f64, f64)>);

/// For how many seconds connections were in use so far, by database.
#[derive(Clone, Debug, Default)]
pub(super) struct InUse(BTreeMap<String, f64>);

impl Processes {
    pub(super) fn of(state: &State) -> Self {
        let shop = state.processes.iter().filter(|entry| entry.task.service != PSP);
        Self(shop.map(|entry| Client::new(&format!("http://{}", entry.task.admin))).collect())
    }

    /// What they tell now; those that do not answer are left out.
    pub(super) async fn counted(&self) -> (Sizes, InUse) {
        let (mut sizes, mut in_use) = (Sizes::default(), InUse::default());
        for text in join_all(self.0.iter().map(metrics)).await {
            for name in COUNTED {
                for (kind, members) in series(&text, &format!("{name}_sum")) {
                    sizes.0.entry(kind).or_default().0 += members;
                }
                for (kind, batches) in series(&text, &format!("{name}_count")) {
                    sizes.0.entry(kind).or_default().1 += batches;
                }
            }
            for (database, seconds) in series(&text, IN_USE) {
                *in_use.0.entry(database).or_default() += seconds;
            }
        }
        (sizes, in_use)
    }
}

impl InUse {
    /// Milliseconds since then for each of so many orders, by database.
    pub(super) fn each_since(&self, before: &Self, orders: u64) -> BTreeMap<String, f64> {
        let each = self.0.iter().map(|(database, seconds)| {
            let since = seconds - before.0.get(database).copied().unwrap_or_default();
            (database.clone(), 1e3 * since / orders.max(1) as f64)
        });
        each.collect()
    }
}

impl Sizes {
    /// The mean size of the batches since then, by kind.
    pub(super) fn since(&self, before: &Self) -> BTreeMap<String, f64> {
        let means = self.0.iter().filter_map(|(kind, (members, batches))| {
            let (members_before, batches_before) = before.0.get(kind).copied().unwrap_or_default();
            let batches = batches - batches_before;
            (batches > 0.0).then(|| (kind.clone(), (members - members_before) / batches))
        });
        means.collect()
    }
}

/// The metrics of a process; nothing when it does not answer.
pub(super) async fn metrics(process: &Client) -> String {
    let answer = process.get("/metrics").await;
    answer.map(|it| String::from_utf8_lossy(&it.body).into_owned()).unwrap_or_default()
}

/// The values of a metric, by its first label.
pub(super) fn series(metrics: &str, name: &str) -> Vec<(String, f64)> {
    let value = |line: &str| {
        let (labels, value) = line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} ")?;
        Some((labels.split('"').nth(1)?.to_owned(), value.parse().ok()?))
    };
    metrics.lines().filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_of_what_came_since() {
        let text = "# TYPE x histogram\nx_sum{batch=\"a.b\"} 12\nx_count{batch=\"a.b\"} 4\nx_sumo{batch=\"c\"} 1\n";
        assert_eq!(series(text, "x_sum"), [("a.b".to_owned(), 12.0)]);
        let sizes = |members, batches| Sizes([("a".to_owned(), (members, batches))].into());
        assert_eq!(sizes(12.0, 4.0).since(&sizes(2.0, 2.0)), [("a".to_owned(), 5.0)].into());
        assert!(sizes(2.0, 2.0).since(&sizes(2.0, 2.0)).is_empty());
        let in_use = |seconds| InUse([("souk_order_0".to_owned(), seconds)].into());
        let each = in_use(3.0).each_since(&in_use(1.0), 500);
        assert_eq!(each, [("souk_order_0".to_owned(), 4.0)].into());
    }
}
