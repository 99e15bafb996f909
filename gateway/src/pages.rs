//! Products as they are answered, written once and kept for a moment.
//!
//! What this copy passed on for staff is asked for anew at once. Product itself shows what is half a second old at most, so
//! an answer is a second old at most.

use std::time::Duration;

use bytes::Bytes;
use cache::{Cache, Limits, Value};
use futures_util::FutureExt as _;
use headers::ETag;
use http::StatusCode;
use kernel::ProductId;
use proto::product::v1::GetProductRequest;
use proto::product::v1::product_service_client::ProductServiceClient;
use rpc::Channel;

use crate::conditional::weak;
use crate::problem::Problem;
use crate::render::{self, json_body, required, written};

const LIFE: Duration = Duration::from_millis(500);

/// The pages of products. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Pages {
    product: ProductServiceClient<Channel>,
    /// None: each is asked for.
    kept: Option<Cache<ProductId, Page, Problem>>,
}

/// One of them.
#[derive(Clone)]
pub(crate) struct Page {
    pub(crate) tag: ETag,
    body: Bytes,
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
}

impl Pages {
    /// Keeps so many bytes; 0: none.
    pub(crate) fn new(product: &ProductServiceClient<Channel>, bytes: u64) -> Self {
        let keep = || {
            let product = product.clone();
            Cache::new("gateway.products", Limits { bytes, life: LIFE }, move |id| {
                read(product.clone(), id).boxed()
            })
        };
        Self { product: product.clone(), kept: (bytes > 0).then(keep) }
    }

    /// The page of a product.
    pub(crate) async fn of(&self, id: ProductId) -> Result<Page, Problem> {
        match &self.kept {
            Some(kept) => kept.get(id).await,
            None => read(self.product.clone(), id).await,
        }
    }

    /// To be held while staff change it: whatever is answered, it is asked for anew afterwards. (If their client goes away before
    /// product has committed, a page from before may be shown for [`LIFE`], as at any other copy.)
    pub(crate) fn changing(&self, id: ProductId) -> Changing<'_> {
        Changing { pages: self, only: Some(id) }
    }

    /// The same for all.
    pub(crate) fn changing_all(&self) -> Changing<'_> {
        Changing { pages: self, only: None }
    }
}

/// Forgets pages when it is dropped.
#[must_use]
pub(crate) struct Changing<'a> {
    pages: &'a Pages,
    only: Option<ProductId>,
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        match (&self.pages.kept, self.only) {
            (Some(kept), Some(id)) => kept.forget(&[id]),
            (Some(kept), None) => kept.clear(),
            (None, _) => {}
        }
    }
}

async fn read(mut product: ProductServiceClient<Channel>, id: ProductId) -> Result<Page, Problem> {
    let request = GetProductRequest { product_id: id.to_string() };
    let product = required(product.get_product(request).await?.into_inner().product)?;
    let tag = weak(format_args!("{}-{}", product.version, product.available));
    let body = written(&render::Product::from(&product))?;
    Ok(Page { tag, body: body.into_boxed_slice().into() })
}
