//! Products, lists and searches as they are answered, written once and kept for a moment.
//!
//! After a change that this copy passed on for staff, the product and every list are loaded again at once. Product itself
//! shows what is half a second old at most, so an answer is a second old at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cache::{Cache, Limits, Value};
use futures_util::FutureExt as _;
use headers::ETag;
use http::StatusCode;
use kernel::ProductId;
use proto::product::v1::product_service_client::ProductServiceClient;
use proto::product::v1::{
    self as product, GetProductRequest, ListProductsRequest, SearchProductsRequest,
};
use rpc::Channel;
use serde::Serialize;

use crate::conditional::{tag_of, weak};
use crate::problem::Problem;
use crate::render::{self, json_body, required, written};

const LIFE: Duration = Duration::from_millis(500);
/// A longer question is nobody else's, and its bytes are not counted.
const QUESTION_BYTES: usize = 128;

/// The pages. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pages {
    product: ProductServiceClient<Channel>,
    /// None: each is asked for.
    kept: Option<Cache<Key, Page, Problem>>,
    /// How many changes were passed on for staff.
    changes: Arc<AtomicU64>,
}

/// What is shown on a page.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wanted {
    Product(ProductId),
    List(ListProductsRequest),
    Search(SearchProductsRequest),
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    /// Any change may be one of any list: those of a generation before are asked for no more. A product has none, it is
    /// forgotten by itself.
    generation: u64,
    wanted: Wanted,
}

/// One of them.
#[derive(Clone)]
pub(crate) struct Page {
    pub(crate) tag: ETag,
    body: Bytes,
}

#[derive(Serialize)]
struct Products<'a> {
    products: Vec<render::Product<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    next_page_token: &'a str,
}

impl Value for Page {
    fn bytes(&self) -> usize {
        self.body.len()
    }
}

impl Page {
    /// The answer for whoever does not have it yet.
    pub(crate) fn answer(self) -> axum::response::Response {
        json_body(StatusCode::OK, self.body)
    }

    fn new(tag: ETag, shown: &impl Serialize) -> Result<Self, Problem> {
        Ok(Self { tag, body: written(shown)?.into_boxed_slice().into() })
    }

    fn of_one(product: &product::Product) -> Result<Self, Problem> {
        let tag = weak(format_args!("{}-{}", product.version, product.available));
        Self::new(tag, &render::Product::from(product))
    }

    fn of_many(products: &[product::Product], next_page_token: &str) -> Result<Self, Problem> {
        let shown = products.iter().map(|p| (p.product_id.as_str(), p.version, p.available));
        let tag = tag_of(shown, next_page_token);
        let products = products.iter().map(render::Product::from).collect();
        Self::new(tag, &Products { products, next_page_token })
    }
}

impl Wanted {
    fn is_short(&self) -> bool {
        let bytes = match self {
            Self::Product(_) => 0,
            Self::List(it) => it.page_token.len() + it.category.len() + it.sku.len(),
            Self::Search(it) => it.query.len(),
        };
        bytes <= QUESTION_BYTES
    }
}

impl Pages {
    /// Keeps so many bytes; 0: none.
    pub(crate) fn new(product: &ProductServiceClient<Channel>, bytes: u64) -> Self {
        let keep = || {
            let product = product.clone();
            Cache::new("gateway.products", Limits { bytes, life: LIFE }, move |key: Key| {
                read(product.clone(), key.wanted).boxed()
            })
        };
        let kept = (bytes > 0).then(keep);
        Self { product: product.clone(), kept, changes: Arc::default() }
    }

    /// The page of what is wanted.
    pub(crate) async fn of(&self, wanted: Wanted) -> Result<Page, Problem> {
        match &self.kept {
            Some(kept) if wanted.is_short() => kept.get(self.key(wanted)).await,
            _ => read(self.product.clone(), wanted).await,
        }
    }

    fn key(&self, wanted: Wanted) -> Key {
        let generation = match wanted {
            Wanted::Product(_) => 0,
            _ => self.changes.load(Ordering::Acquire),
        };
        Key { generation, wanted }
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
        self.pages.changes.fetch_add(1, Ordering::AcqRel);
        match self.which {
            Which::New => {}
            Which::One(id) => kept.forget(&[self.pages.key(Wanted::Product(id))]),
            Which::All => kept.clear(),
        }
    }
}

async fn read(mut product: ProductServiceClient<Channel>, wanted: Wanted) -> Result<Page, Problem> {
    match wanted {
        Wanted::Product(id) => {
            let request = GetProductRequest { product_id: id.to_string() };
            Page::of_one(&required(product.get_product(request).await?.into_inner().product)?)
        }
        Wanted::List(request) => {
            let reply = product.list_products(request).await?.into_inner();
            Page::of_many(&reply.products, &reply.next_page_token)
        }
        Wanted::Search(request) => {
            let reply = product.search_products(request).await?.into_inner();
            Page::of_many(&reply.products, "")
        }
    }
}
