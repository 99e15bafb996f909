//! Whether what is shown is true: while the shop runs, samples of what is in memory are compared with the database. Half of
//! them have changed a moment ago. (Consistency audit, after Meta's Polaris: "Cache made consistent", 2022.)

use std::time::Duration;

use futures_util::future::BoxFuture;
use kernel::ProductId;
use proto::product::v1::BatchGetProductsRequest;
use proto::product::v1::product_service_client::ProductServiceClient;
use rpc::Channel;
use telemetry::catalogue::CACHE_AUDITS;
use telemetry::context::unrecorded;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::pages::{Page, Pages};

/// So long what was replaced may be shown.
const STALE_MAX: Duration = Duration::from_secs(1);

/// Looks at one page in each interval until `stop`; an interval of 0: at none.
pub(crate) fn run(
    pages: Pages,
    product: ProductServiceClient<Channel>,
    every: Duration,
    stop: CancellationToken,
) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        if every.is_zero() {
            stop.cancelled().await;
            return Ok(());
        }
        let mut due = interval(every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut recently_changed = false;
        while stop.run_until_cancelled(due.tick()).await.is_some() {
            recently_changed = !recently_changed;
            let Some(id) = pages.sample(recently_changed) else { continue };
            let looked = stop
                .run_until_cancelled(outcome(&pages, &product, id))
                .instrument(unrecorded())
                .await;
            if let Some(outcome) = looked.flatten() {
                CACHE_AUDITS.with_label_values(&["gateway.products", outcome]).inc();
            }
        }
        Ok(())
    })
}

/// None: it is not in memory, or product does not say what is true.
async fn outcome(
    pages: &Pages,
    product: &ProductServiceClient<Channel>,
    id: ProductId,
) -> Option<&'static str> {
    let shown = pages.kept(id)?;
    if current(product, id).await?.tag == shown.tag {
        return Some("current");
    }
    sleep(STALE_MAX).await;
    let is_shown = pages.kept(id).is_some_and(|page| page.tag == shown.tag);
    // Stock comes back to what it was: then it may be shown again.
    if is_shown && current(product, id).await?.tag != shown.tag {
        tracing::warn!(product = %id, "what was replaced more than a second ago is shown");
        return Some("stale");
    }
    Some("replaced")
}

/// As it is in the primary.
async fn current(product: &ProductServiceClient<Channel>, id: ProductId) -> Option<Page> {
    let request =
        BatchGetProductsRequest { product_ids: vec![id.to_string()], may_be_cached: false };
    let mut product = product.clone();
    let asked = async move { product.batch_get_products(request).await };
    let reply = rpc::deadline::within(STALE_MAX, asked).await.ok()?.into_inner();
    Page::of_one(reply.products.first()?).ok()
}
