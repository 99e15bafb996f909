//! Products, lists and searches as they are answered, written once and kept as long as product says that they have not changed.
//!
//! Product is polled for changes four times a second. What it does not name is shown for half a second more; what product itself shows
//! was replaced half a second ago at most. So what is answered was replaced a second ago at most. After a change that this copy passed
//! on for staff, the product and every list are loaded again at once.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cache::{Cache, Level, Limits, Loaded, Value};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use headers::ETag;
use http::StatusCode;
use kernel::ProductId;
use proto::product::v1::product_service_client::ProductServiceClient;
use proto::product::v1::{
    self as product, GetProductRequest, ListPopularProductsRequest, ListPopularProductsResponse,
    ListProductChangesRequest, ListProductChangesResponse, ListProductsRequest,
    SearchProductsRequest,
};
use rpc::Channel;
use serde::Serialize;
use telemetry::catalogue::CACHE_FOLLOWING;
use telemetry::context::unrecorded;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::Instrument as _;

use crate::conditional::{tag_of, weak};
use crate::problem::Problem;
use crate::render::{self, json_body, required, written};

const LIFE: Duration = Duration::from_millis(500);
/// Less often than product polls its database: whichever copy is asked has done so since this gateway's poll before.
const EVERY: Duration = Duration::from_millis(250);
/// Products that have changed, for the audit to look at.
const SAMPLES: usize = 16;
/// After a longer silence everything is read again: it may be another database by then.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// A longer question is nobody else's, and its bytes are not counted.
const QUESTION_BYTES: usize = 128;

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

/// What is shown on a page.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wanted {
    Product(ProductId),
    List(ListProductsRequest),
    Search(SearchProductsRequest),
    Popular(ListPopularProductsRequest),
}

/// One of them.
#[derive(Clone)]
pub(crate) struct Page {
    pub(crate) tag: ETag,
    body: Bytes,
    /// What it shows.
    products: Arc<[ProductId]>,
}

#[derive(Serialize)]
struct Products<'a> {
    products: Vec<render::Product<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    next_page_token: &'a str,
}

#[derive(Serialize)]
struct Popular<'a> {
    products: Vec<Viewed<'a>>,
}

#[derive(Serialize)]
struct Viewed<'a> {
    #[serde(flatten)]
    product: render::Product<'a>,
    /// About how often it was looked at within an hour.
    views: i64,
}

impl Value for Page {
    fn bytes(&self) -> usize {
        self.body.len() + size_of_val(&*self.products)
    }
}

impl Page {
    /// The answer for whoever does not have it yet.
    pub(crate) fn answer(self) -> axum::response::Response {
        json_body(StatusCode::OK, self.body)
    }

    fn new(
        tag: ETag,
        products: &[product::Product],
        shown: &impl Serialize,
    ) -> Result<Self, Problem> {
        let products = products.iter().map(|it| it.product_id.parse()).collect::<Result<_, _>>();
        let products = products.map_err(|_| Status::internal("product names no product"))?;
        Ok(Self { tag, body: written(shown)?.into_boxed_slice().into(), products })
    }

    pub(crate) fn of_one(product: &product::Product) -> Result<Self, Problem> {
        let tag = weak(format_args!("{}-{}", product.version, product.available));
        Self::new(tag, std::slice::from_ref(product), &render::Product::from(product))
    }

    fn of_many(products: &[product::Product], next_page_token: &str) -> Result<Self, Problem> {
        let shown = products.iter().map(|p| (p.product_id.as_str(), p.version, p.available));
        let tag = tag_of(shown, next_page_token);
        let shown = products.iter().map(render::Product::from).collect();
        Self::new(tag, products, &Products { products: shown, next_page_token })
    }

    fn of_popular(ranked: &ListPopularProductsResponse) -> Result<Self, Problem> {
        let (products, views): (Vec<_>, Vec<_>) =
            ranked.products.iter().filter_map(|it| Some((it.product.clone()?, it.views))).unzip();
        let parts = products.iter().map(|p| (p.product_id.as_str(), p.version, p.available));
        let tag = tag_of(parts, &format!("{views:?}"));
        let one = |(product, views)| Viewed { product: render::Product::from(product), views };
        let shown = Popular { products: products.iter().zip(views).map(one).collect() };
        Self::new(tag, &products, &shown)
    }
}

impl Wanted {
    fn is_short(&self) -> bool {
        let bytes = match self {
            Self::Product(_) | Self::Popular(_) => 0,
            Self::List(it) => it.page_token.len() + it.category.len() + it.sku.len(),
            Self::Search(it) => it.query.len(),
        };
        bytes <= QUESTION_BYTES
    }
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
        (_, Some(page)) => catalogue || page.products.iter().any(|id| changed.contains(id)),
        (_, None) => catalogue || !changed.is_empty(), // what it will show is not known yet
    })
}

async fn read(
    mut product: ProductServiceClient<Channel>,
    wanted: Wanted,
) -> Result<Loaded<Page>, Problem> {
    let (page, level) = match wanted {
        Wanted::Product(id) => {
            let request = GetProductRequest { product_id: id.to_string() };
            let reply = product.get_product(request).await?.into_inner();
            (Page::of_one(&required(reply.product)?), reply.level)
        }
        Wanted::List(request) => {
            let reply = product.list_products(request).await?.into_inner();
            (Page::of_many(&reply.products, &reply.next_page_token), reply.level)
        }
        // Views change the ranking, and no change feed names them: level 0, so that it is never confirmed.
        Wanted::Popular(request) => {
            let reply = product.list_popular_products(request).await?.into_inner();
            (Page::of_popular(&reply), 0)
        }
        Wanted::Search(request) => {
            let reply = product.search_products(request).await?.into_inner();
            (Page::of_many(&reply.products, ""), reply.level)
        }
    };
    Ok(Loaded { value: page?, level: Level(level.cast_unsigned()) })
}
