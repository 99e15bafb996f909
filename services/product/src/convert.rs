//! The only file that knows both the protocol and the domain.

#![warn(clippy::wildcard_enum_match_arm)]

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use kernel::clock::unix_ms;
use kernel::{Currency, ImportId, Money, ProductId};
use proto::money::v1::Money as ProtoMoney;
use proto::product::v1 as wire;
use rpc::status::{internal, invalid, refusal, unavailable};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::app::{Error, Filter, Item, Part, Since};
use crate::domain::offer::CATEGORY_MAX;
use crate::domain::{Fault, Imported, Job, JobState, Listing, Offer, Rejection, Stock};
use crate::store::changes::Change;
use crate::store::sales::AsOf;
use crate::store::stock::Receipt;
use crate::store::{Cursor, Offered};

const PAGE_DEFAULT: u32 = 20;
const PAGE_MAX: u32 = 100;
const BATCH_MAX: usize = 2_000;
const VIEWS_MAX: usize = 1_000;
/// Of one report of one gateway, a second's.
const COUNT_MAX: u32 = 1_000_000;
const QUERY_MAX: usize = 200;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Rejected(rejection) => rejection.into(),
            Error::Item(at, rejection) => item_refused(at, &rejection),
            Error::Database(error) if database::is_transient(&error) => unavailable(error),
            Error::Database(error) => internal(error),
        }
    }
}

impl From<Rejection> for Status {
    fn from(rejection: Rejection) -> Self {
        let code = match &rejection {
            Rejection::Invalid(faults) => return invalid(faults.iter().map(fault)),
            Rejection::CurrencyNotSupported | Rejection::ImportEmpty | Rejection::ImportCutOff => {
                Code::InvalidArgument
            }
            Rejection::ProductNotFound | Rejection::ImportNotFound => Code::NotFound,
            Rejection::SkuTaken | Rejection::ImportRunning => Code::AlreadyExists,
            Rejection::ImportsWaiting => Code::ResourceExhausted,
            Rejection::VersionConflict { .. } => Code::Aborted,
            Rejection::ReceiptReused | Rejection::ImportEnded => Code::FailedPrecondition,
        };
        refusal(code, rejection.code(), rejection.to_string())
    }
}

fn fault(fault: &Fault) -> (&'static str, &'static str) {
    (fault.field, fault.must_be)
}

/// An item of a stream: its fields are named as those of a list.
fn item_refused(at: usize, rejection: &Rejection) -> Status {
    let field = |name: &str| format!("items[{at}].{name}");
    match rejection {
        Rejection::Invalid(faults) => {
            invalid(faults.iter().map(|fault| (field(fault.field), fault.must_be)))
        }
        Rejection::CurrencyNotSupported
        | Rejection::ProductNotFound
        | Rejection::SkuTaken
        | Rejection::VersionConflict { .. }
        | Rejection::ReceiptReused
        | Rejection::ImportEmpty
        | Rejection::ImportCutOff
        | Rejection::ImportRunning
        | Rejection::ImportsWaiting
        | Rejection::ImportNotFound
        | Rejection::ImportEnded => {
            let message = format!("items[{at}]: {rejection}");
            refusal(Code::InvalidArgument, rejection.code(), message)
        }
    }
}

/// What is no id is the id of nothing.
pub(crate) fn product_id(text: &str) -> Result<ProductId, Status> {
    text.parse().map_err(|_| Rejection::ProductNotFound.into())
}

/// What is no id is the id of nothing.
pub(crate) fn import_id(text: &str) -> Result<ImportId, Status> {
    text.parse().map_err(|_| Rejection::ImportNotFound.into())
}

pub(crate) fn product_ids(texts: &[String]) -> Result<Vec<ProductId>, Status> {
    if texts.len() > BATCH_MAX {
        return Err(invalid([("product_ids", "at most 2000")]));
    }
    Ok(texts.iter().filter_map(|text| text.parse().ok()).collect())
}

/// How often each was looked at; what is no id was no product.
pub(crate) fn views(request: &wire::CountViewsRequest) -> Result<Vec<(ProductId, u32)>, Status> {
    if request.views.len() > VIEWS_MAX {
        return Err(invalid([("views", "at most 1000")]));
    }
    if request.views.iter().any(|views| views.count > COUNT_MAX) {
        return Err(invalid([("count", "at most 1000000")]));
    }
    let each = request.views.iter();
    Ok(each.filter_map(|views| Some((views.product_id.parse().ok()?, views.count))).collect())
}

pub(crate) fn page_size(size: u32) -> Result<i64, Status> {
    match size {
        0 => Ok(PAGE_DEFAULT.into()),
        1..=PAGE_MAX => Ok(size.into()),
        _ => Err(invalid([("page_size", "at most 100")])),
    }
}

/// How many of a ranking.
pub(crate) fn ranked(size: u32) -> Result<usize, Status> {
    Ok(usize::try_from(page_size(size)?).unwrap_or_default())
}

/// Of which category, and how many.
pub(crate) fn bestsellers_wanted(
    request: wire::ListBestsellersRequest,
) -> Result<(String, usize), Status> {
    let wire::ListBestsellersRequest { page_size, category } = request;
    let limit = ranked(page_size)?;
    // PostgreSQL has no NUL in texts.
    if category.contains('\0') || category.chars().count() > CATEGORY_MAX {
        return Err(invalid([("category", "at most 64 characters, no NUL")]));
    }
    Ok((category, limit))
}

/// Which products, from where on, and how many.
pub(crate) fn page(request: wire::ListProductsRequest) -> Result<(Filter, Cursor, i64), Status> {
    let limit = page_size(request.page_size)?;
    let after = match &*request.page_token {
        "" => Cursor::default(),
        token => {
            cursor(token).ok_or_else(|| invalid([("page_token", "one that a page has given")]))?
        }
    };
    // PostgreSQL has no NUL in texts, and so no product has one.
    for (field, text) in [("sku", &request.sku), ("category", &request.category)] {
        if text.contains('\0') {
            return Err(invalid([(field, "no control characters")]));
        }
    }
    let filter = match (request.sku, request.category) {
        (sku, _) if !sku.is_empty() => Filter::Sku(sku),
        (_, category) if !category.is_empty() => Filter::Category(category),
        _ => Filter::All,
    };
    Ok((filter, after, limit))
}

/// The id's 16 bytes, then the name.
fn cursor(token: &str) -> Option<Cursor> {
    let bytes = BASE64.decode(token).ok()?;
    let (id, name) = bytes.split_at_checked(16)?;
    let name = std::str::from_utf8(name).ok()?;
    (!name.contains('\0')).then_some((name.to_owned(), Uuid::from_slice(id).ok()?))
}

/// The token of the page after this one; of a page that is not full there is none.
pub(crate) fn next_page_token(page: &[Offered], limit: i64) -> String {
    let Some(last) = page.last().filter(|_| page.len() as i64 == limit) else {
        return String::new();
    };
    let mut bytes = last.product.id.uuid().as_bytes().to_vec();
    bytes.extend(last.product.listing.name.as_bytes());
    BASE64.encode(bytes)
}

/// What to search for, and how many.
pub(crate) fn search(request: &wire::SearchProductsRequest) -> Result<(&str, i64), Status> {
    let limit = page_size(request.page_size)?;
    let query = request.query.trim();
    if query.is_empty() || query.chars().count() > QUERY_MAX || query.contains('\0') {
        return Err(invalid([("query", "1 to 200 characters, not all blank")]));
    }
    Ok((query, limit))
}

fn price(price: Option<ProtoMoney>) -> Result<Money, Rejection> {
    let missing = Fault { field: "price", must_be: "given" };
    let price = price.ok_or_else(|| Rejection::Invalid(vec![missing]))?;
    let currency = Currency::parse(&price.currency).map_err(|_| Rejection::CurrencyNotSupported)?;
    Ok(Money { currency, minor: price.minor_units })
}

pub(crate) fn offer(request: wire::AddProductRequest) -> Result<Offer, Status> {
    let wire::AddProductRequest { name, description, category, .. } = request;
    Ok(Offer {
        sku: request.sku,
        listing: Listing { name, description, category },
        price: price(request.price)?,
        opening_stock: request.opening_stock,
    })
}

pub(crate) fn revision(
    request: wire::ReviseProductRequest,
) -> Result<(ProductId, i64, Listing), Status> {
    let id = product_id(&request.product_id)?;
    let wire::ReviseProductRequest { version, name, description, category, .. } = request;
    Ok((id, version, Listing { name, description, category }))
}

pub(crate) fn new_price(request: wire::ChangePriceRequest) -> Result<(ProductId, Money), Status> {
    Ok((product_id(&request.product_id)?, price(request.price)?))
}

pub(crate) fn receipt(request: wire::ReceiveStockRequest) -> Result<Receipt, Status> {
    let product = product_id(&request.product_id)?;
    Ok(Receipt { name: request.receipt, product, quantity: request.quantity })
}

/// An item of a catalogue file; `at` is its place, counted from 0.
pub(crate) fn item(at: usize, request: wire::ImportProductsRequest) -> Result<Item, Status> {
    let wire::ImportProductsRequest { source, sku, name, description, category, .. } = request;
    let offer = Offer {
        sku,
        listing: Listing { name, description, category },
        price: price(request.price).map_err(|rejection| item_refused(at, &rejection))?,
        opening_stock: request.opening_stock,
    };
    Ok(Item { source, offer })
}

/// A part of a catalogue file; `at` is its place, counted from 0. One that says nothing is an item without anything.
pub(crate) fn part(at: usize, request: wire::StartImportRequest) -> Result<Part, Status> {
    match request.part {
        Some(wire::start_import_request::Part::ItemsSent(items)) => Ok(Part::End { items }),
        Some(wire::start_import_request::Part::Item(request)) => Ok(Part::Item(item(at, request)?)),
        None => Ok(Part::Item(item(at, wire::ImportProductsRequest::default())?)),
    }
}

pub(crate) fn money(money: Money) -> ProtoMoney {
    ProtoMoney { currency: money.currency.code().to_owned(), minor_units: money.minor }
}

pub(crate) fn product(offered: Offered) -> wire::Product {
    let Offered { product, available, previous_price } = offered;
    wire::Product {
        product_id: product.id.to_string(),
        sku: product.sku,
        name: product.listing.name,
        description: product.listing.description,
        category: product.listing.category,
        price: Some(money(product.price)),
        version: product.version,
        retired: product.retired,
        available,
        previous_price: previous_price.map(money),
    }
}

pub(crate) fn products(offered: Vec<Offered>) -> Vec<wire::Product> {
    offered.into_iter().map(product).collect()
}

pub(crate) fn popular(ranked: Vec<(Offered, i64)>) -> wire::ListPopularProductsResponse {
    let one = |(offered, views)| wire::list_popular_products_response::Popular {
        product: Some(product(offered)),
        views,
    };
    wire::ListPopularProductsResponse { products: ranked.into_iter().map(one).collect() }
}

pub(crate) fn bestsellers(sold: AsOf<Offered>) -> wire::ListBestsellersResponse {
    let one = |(offered, pieces)| wire::list_bestsellers_response::Bestseller {
        product: Some(product(offered)),
        pieces,
    };
    let as_of_unix_ms = unix_ms(sold.as_of);
    let products = sold.rows.into_iter().map(one).collect();
    wire::ListBestsellersResponse { products, as_of_unix_ms }
}

pub(crate) fn categories(counted: AsOf<String>) -> wire::ListCategoriesResponse {
    let one = |(name, products)| wire::list_categories_response::Category { name, products };
    let as_of_unix_ms = unix_ms(counted.as_of);
    let categories = counted.rows.into_iter().map(one).collect();
    wire::ListCategoriesResponse { categories, as_of_unix_ms }
}

pub(crate) fn bought_together(ranked: Vec<(Offered, i64)>) -> wire::ListBoughtTogetherResponse {
    let one = |(offered, orders)| wire::list_bought_together_response::Companion {
        product: Some(product(offered)),
        orders,
    };
    wire::ListBoughtTogetherResponse { products: ranked.into_iter().map(one).collect() }
}

pub(crate) fn changes(since: Since) -> wire::ListProductChangesResponse {
    let Since { level, change: Change { products, catalogue } } = since;
    let everything = products.is_none();
    let product_ids = products.into_iter().flatten().map(|id| id.to_string()).collect();
    wire::ListProductChangesResponse { level, everything, product_ids, catalogue }
}

pub(crate) fn stock(id: ProductId, stock: Stock) -> wire::Stock {
    let Stock { received, on_hand, reserved, shipped } = stock;
    wire::Stock { product_id: id.to_string(), received, on_hand, reserved, shipped }
}

pub(crate) fn imported(imported: Imported) -> wire::ImportProductsResponse {
    let Imported { added, revised, unchanged, stock_received } = imported;
    wire::ImportProductsResponse { added, revised, unchanged, stock_received }
}

pub(crate) fn job(job: Job) -> wire::Import {
    let state = match job.state {
        JobState::Running => wire::import::State::Running,
        JobState::Done => wire::import::State::Done,
        JobState::Cancelled => wire::import::State::Cancelled,
        JobState::Failed => wire::import::State::Failed,
    };
    let Imported { added, revised, unchanged, stock_received } = job.done;
    wire::Import {
        import_id: job.id.to_string(),
        source: job.source,
        state: state.into(),
        version: job.version,
        items: job.items,
        items_imported: job.items_imported,
        added,
        revised,
        unchanged,
        stock_received,
        failure: job.failure.unwrap_or_default(),
    }
}
