//! How often each product is viewed: counted here, reported to product each second (write-behind). What was not reported yet, or
//! not taken, is lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use kernel::ProductId;
use proto::product::v1::CountViewsRequest;
use proto::product::v1::count_views_request::Views as Counted;
use proto::product::v1::product_service_client::ProductServiceClient;
use rpc::Channel;
use telemetry::context::unrecorded;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

const EVERY: Duration = Duration::from_secs(1);
/// Products of one report, as product takes them.
const REPORTED_MAX: usize = 1_000;
/// Products that are counted between two reports; views of others are not.
const COUNTED_MAX: usize = 10_000;

/// Views that were not reported yet. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Views {
    product: ProductServiceClient<Channel>,
    counts: Arc<Mutex<HashMap<ProductId, u32>>>,
}

impl Views {
    pub(crate) fn new(product: &ProductServiceClient<Channel>) -> Self {
        Self { product: product.clone(), counts: Arc::default() }
    }

    /// Somebody has viewed this product.
    pub(crate) fn note(&self, product: ProductId) {
        let mut counts = self.counts();
        if counts.len() < COUNTED_MAX || counts.contains_key(&product) {
            *counts.entry(product).or_default() += 1;
        }
    }

    /// Reports until `stop`.
    pub(crate) fn report(self, stop: CancellationToken) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let mut due = interval(EVERY);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while stop.run_until_cancelled(due.tick()).await.is_some() {
                self.report_now().await;
            }
            Ok(())
        })
    }

    /// Reports what was not reported yet.
    pub(crate) async fn report_now(&self) {
        let counts: Vec<_> = std::mem::take(&mut *self.counts()).into_iter().collect();
        for part in counts.chunks(REPORTED_MAX) {
            let one = |(id, count): &(ProductId, u32)| Counted {
                product_id: id.to_string(),
                count: *count,
            };
            let request = CountViewsRequest { views: part.iter().map(one).collect() };
            let mut product = self.product.clone();
            let report = async move { product.count_views(request).await };
            let reported = rpc::deadline::within(EVERY, report).instrument(unrecorded()).await;
            if let Err(error) = reported {
                tracing::debug!(%error, "views are not counted");
            }
        }
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<ProductId, u32>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
