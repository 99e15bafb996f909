//! Pages of products: from product's answer to the bytes of ours.

use std::sync::Arc;

use bytes::Bytes;
use cache::{Level, Loaded, Value};
use headers::ETag;
use http::StatusCode;
use kernel::ProductId;
use proto::product::v1::product_service_client::ProductServiceClient;
use proto::product::v1::{
    self as product, GetProductRequest, ListBestsellersRequest, ListBoughtTogetherRequest,
    ListCategoriesRequest, ListCategoriesResponse, ListPopularProductsRequest, ListProductsRequest,
    SearchProductsRequest,
};
use rpc::Channel;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::Status;

use crate::conditional::{tag_of, weak};
use crate::problem::Problem;
use crate::render::{self, json_body, required, written};

/// A longer question is nobody else's, and its bytes are not counted.
const QUESTION_BYTES: usize = 128;

/// What is shown on a page.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wanted {
    Product(ProductId),
    List(ListProductsRequest),
    Search(SearchProductsRequest),
    Popular(ListPopularProductsRequest),
    Bestsellers(ListBestsellersRequest),
    BoughtTogether(ListBoughtTogetherRequest),
    Categories(ListCategoriesRequest),
}

/// One of them.
#[derive(Clone)]
pub(crate) struct Page {
    pub(crate) tag: ETag,
    body: Bytes,
    products: Arc<[ProductId]>,
}

#[derive(Serialize)]
struct Products<'a> {
    products: Vec<render::Product<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    next_page_token: &'a str,
}

/// Products by how much there is of something.
#[derive(Serialize)]
struct Ranking<'a> {
    products: Vec<Ranked<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of_unix_ms: Option<i64>,
}

#[derive(Serialize)]
struct Ranked<'a> {
    #[serde(flatten)]
    product: render::Product<'a>,
    #[serde(flatten)]
    by: By,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum By {
    /// About how often it was looked at within an hour.
    Views(i64),
    /// How many were sold within a week.
    Pieces(i64),
    /// In about how many orders of some three months it is.
    Orders(i64),
}

#[derive(Serialize)]
struct Categories<'a> {
    categories: Vec<Category<'a>>,
    as_of_unix_ms: i64,
}

#[derive(Serialize)]
struct Category<'a> {
    name: &'a str,
    /// How many are on sale.
    products: i64,
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

    /// What it says, for who shows it in another form.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| {
            tracing::error!(%error, "a page is not what its reader expects");
            Problem::internal()
        })
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

    fn of_ranking(
        ranked: impl IntoIterator<Item = (Option<product::Product>, By)>,
        as_of_unix_ms: Option<i64>,
    ) -> Result<Self, Problem> {
        let ranked = ranked.into_iter().filter_map(|(product, by)| Some((product?, by)));
        let (products, by): (Vec<_>, Vec<_>) = ranked.unzip();
        let parts = products.iter().map(|p| (p.product_id.as_str(), p.version, p.available));
        let tag = tag_of(parts, &format!("{by:?}{as_of_unix_ms:?}"));
        let one = |(product, by)| Ranked { product: render::Product::from(product), by };
        let shown = Ranking { products: products.iter().zip(by).map(one).collect(), as_of_unix_ms };
        Self::new(tag, &products, &shown)
    }

    fn of_categories(counted: &ListCategoriesResponse) -> Result<Self, Problem> {
        let ListCategoriesResponse { categories, as_of_unix_ms } = counted;
        let tag = tag_of(categories.iter().map(|it| (&*it.name, it.products, *as_of_unix_ms)), "");
        let categories =
            categories.iter().map(|it| Category { name: &it.name, products: it.products });
        let shown = Categories { categories: categories.collect(), as_of_unix_ms: *as_of_unix_ms };
        Self::new(tag, &[], &shown)
    }

    /// What it shows.
    pub(super) fn shows(&self) -> &[ProductId] {
        &self.products
    }
}

impl Wanted {
    pub(super) fn is_short(&self) -> bool {
        let bytes = match self {
            Self::Product(_) | Self::Popular(_) | Self::Categories(_) => 0,
            Self::Bestsellers(it) => it.category.len(),
            Self::BoughtTogether(it) => it.product_id.len(),
            Self::List(it) => it.page_token.len() + it.category.len() + it.sku.len(),
            Self::Search(it) => it.query.len(),
        };
        bytes <= QUESTION_BYTES
    }
}

/// Asks product.
pub(super) async fn read(
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
        Wanted::Search(request) => {
            let reply = product.search_products(request).await?.into_inner();
            (Page::of_many(&reply.products, ""), reply.level)
        }
        // What follows changes without any product changing, and no change feed names it: level 0, so that it is never confirmed.
        Wanted::Popular(request) => {
            let reply = product.list_popular_products(request).await?.into_inner();
            let ranked = reply.products.into_iter().map(|it| (it.product, By::Views(it.views)));
            (Page::of_ranking(ranked, None), 0)
        }
        Wanted::Bestsellers(request) => {
            let reply = product.list_bestsellers(request).await?.into_inner();
            let ranked = reply.products.into_iter().map(|it| (it.product, By::Pieces(it.pieces)));
            (Page::of_ranking(ranked, Some(reply.as_of_unix_ms)), 0)
        }
        Wanted::BoughtTogether(request) => {
            let reply = product.list_bought_together(request).await?.into_inner();
            let ranked = reply.products.into_iter().map(|it| (it.product, By::Orders(it.orders)));
            (Page::of_ranking(ranked, None), 0)
        }
        Wanted::Categories(request) => {
            let reply = product.list_categories(request).await?.into_inner();
            (Page::of_categories(&reply), 0)
        }
    };
    Ok(Loaded { value: page?, level: Level(level.cast_unsigned()) })
}
