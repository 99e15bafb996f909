//! Products, lists and searches as they are answered, written once and kept as long as product says that they have not changed.
//!
//! Product is polled for changes four times a second. What it does not name is shown for half a second more; what product itself shows
//! was replaced half a second ago at most. So what is answered was replaced a second ago at most. After a change that this copy passed
//! on for staff, the product and every list are loaded again at once.

mod page;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cache::{Cache, Level, Limits};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use kernel::ProductId;
use proto::product::v1::product_service_client::ProductServiceClient;
use proto::product::v1::{ListProductChangesRequest, ListProductChangesResponse};
use rpc::Channel;
use telemetry::catalogue::CACHE_FOLLOWING;
use telemetry::context::unrecorded;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::Instrument as _;

use crate::problem::Problem;

pub(crate) use page::{Page, Wanted};

use page::read;

const LIFE: Duration = Duration::from_millis(500);
/// Less often than product polls its database: whichever copy is asked has done so since this gateway's poll before.
const EVERY: Duration = Duration::from_millis(250);
/// Products that have changed, for the audit to look at.
const SAMPLES: usize = 16;
/// After a longer silence everything is read again: it may be another database by then.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// The pages. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pages {
    product: ProductServiceClient<Channel>,
    /// None: each is asked for.
    kept: Option<Cache<Wanted, Page, Problem>>,
    samples: Arc<Mutex<Samples>>,
}

/// For the audit.
#[derive(Default)]
struct Samples {
    looked_at: Option<ProductId>,
    changed: Vec<ProductId>,
}

impl Pages {
    /// Keeps so many bytes, each page so long at most; 0 bytes: none.
    pub(crate) fn new(
        product: &ProductServiceClient<Channel>,
        bytes: u64,
        confirmed_life: Duration,
    ) -> Self {
        let keep = || {
            let product = product.clone();
            let limits = Limits { bytes, life: LIFE, confirmed_life };
            Cache::new("gateway.products", limits, move |wanted: Wanted| {
                read(product.clone(), wanted).boxed()
            })
        };
        let kept = (bytes > 0).then(keep);
        Self { product: product.clone(), kept, samples: Arc::default() }
    }

    /// The page of what is wanted; while product is away, as it was when it was last heard of, a minute ago at most.
    pub(crate) async fn of(&self, wanted: Wanted) -> Result<Page, Problem> {
        match &self.kept {
            Some(kept) if wanted.is_short() => {
                if let Wanted::Product(id) = wanted
                    && let Ok(mut samples) = self.samples.try_lock()
                {
                    samples.looked_at = Some(id);
                }
                kept.get_or_stale(wanted, LIFE, Problem::is_outage).await
            }
            _ => Ok(read(self.product.clone(), wanted).await?.value),
        }
    }

    /// Asks product what has changed, until `stop`. While it does not answer, pages are kept for [`LIFE`].
    pub(crate) fn follow(self, stop: CancellationToken) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let Some(kept) = &self.kept else {
                stop.cancelled().await;
                return Ok(());
            };
            let mut due = interval(EVERY);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let following = CACHE_FOLLOWING.with_label_values(&["gateway.products"]);
            let mut confirmed_at = None;
            while stop.run_until_cancelled(due.tick()).await.is_some() {
                let goes_on = confirmed_at.is_some_and(|at: Instant| at.elapsed() < SILENCE_MAX);
                let since = if goes_on { kept.level() } else { Level::default() };
                let asked_at = Instant::now();
                let answer = self.changes(since).instrument(unrecorded()).await;
                let confirmed = answer.is_ok_and(|changes| {
                    self.note_samples(&changes);
                    take_in(kept, asked_at, changes)
                });
                if confirmed {
                    confirmed_at = Some(asked_at);
                }
                following.set(i64::from(confirmed));
            }
            Ok(())
        })
    }

    fn note_samples(&self, changes: &ListProductChangesResponse) {
        if !changes.product_ids.is_empty() {
            let ids = changes.product_ids.iter().take(SAMPLES).filter_map(|id| id.parse().ok());
            self.samples.lock().unwrap_or_else(PoisonError::into_inner).changed = ids.collect();
        }
    }

    async fn changes(&self, since: Level) -> Result<ListProductChangesResponse, Status> {
        let request = ListProductChangesRequest { since_level: since.0.cast_signed() };
        let mut product = self.product.clone();
        let asked = async move { product.list_product_changes(request).await };
        Ok(rpc::deadline::within(LIFE, asked).await?.into_inner())
    }

    /// The product that was looked at last, or one that has changed a moment ago.
    pub(crate) fn sample(&self, recently_changed: bool) -> Option<ProductId> {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        match recently_changed {
            true => samples.changed.pop(),
            false => samples.looked_at,
        }
    }

    /// The page of a product, if it is in memory.
    pub(crate) fn kept(&self, id: ProductId) -> Option<Page> {
        self.kept.as_ref()?.peek(&Wanted::Product(id))
    }

    /// A change of this product, to be passed on.
    pub(crate) fn changing(&self, id: ProductId) -> Changing<'_> {
        Changing { pages: self, which: Which::One(id) }
    }

    /// A new product.
    pub(crate) fn adding(&self) -> Changing<'_> {
        Changing { pages: self, which: Which::New }
    }

    /// A change of any of them.
    pub(crate) fn changing_all(&self) -> Changing<'_> {
        Changing { pages: self, which: Which::All }
    }
}

/// When it ends, however it does, what it is about and all lists are loaded again by whoever asks next. (If its client goes away
/// before product has committed, a page from before may be shown for [`LIFE`], as at any other copy.)
#[must_use]
pub(crate) struct Changing<'a> {
    pages: &'a Pages,
    which: Which,
}

enum Which {
    New,
    One(ProductId),
    All,
}

impl Changing<'_> {
    /// Passes it on. A caller who may not change anything makes nobody load again: there is no need, and anybody can try.
    pub(crate) async fn by<T, E: Into<Problem>>(
        self,
        change: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Problem> {
        let done = change.await.map_err(Into::into);
        if done.as_ref().is_err_and(Problem::denies_access) {
            std::mem::forget(self);
        }
        done
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        let Some(kept) = &self.pages.kept else { return };
        kept.forget_if(|wanted, _| match (wanted, &self.which) {
            (Wanted::Product(id), Which::One(changed)) => id == changed,
            (Wanted::Product(_), Which::New) => false,
            _ => true,
        });
    }
}

/// False: whoever answered knows less than we do.
fn take_in(
    kept: &Cache<Wanted, Page, Problem>,
    asked_at: Instant,
    changes: ListProductChangesResponse,
) -> bool {
    let ListProductChangesResponse { level, everything, product_ids, catalogue } = changes;
    let level = Level(level.cast_unsigned());
    let changed: Result<HashSet<ProductId>, _> = product_ids.iter().map(|id| id.parse()).collect();
    let (Ok(changed), false) = (changed, everything) else {
        kept.restart(asked_at, level);
        return true;
    };
    kept.confirm(asked_at, level, |wanted, page| match (wanted, page) {
        (Wanted::Product(id), _) => changed.contains(id),
        (_, Some(page)) => catalogue || page.shows().iter().any(|id| changed.contains(id)),
        (_, None) => catalogue || !changed.is_empty(), // what it will show is not known yet
    })
}
