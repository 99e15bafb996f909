//! Catalogue files: imported while the client waits, or in the background.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::sse::Event;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use futures_util::stream::{self, Stream, StreamExt as _};
use http::{HeaderValue, StatusCode, header};
use kernel::ImportId;
use net::Permit;
use proto::product::v1 as product;
use proto::product::v1::start_import_request::Part;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tonic::{Response as Reply, Status};

use super::Table;
use crate::app::App;
use crate::body;
use crate::json as json_body;
use crate::lines::Lines;
use crate::path::Id;
use crate::problem::Problem;
use crate::render::{Import, Money, json, required};
use crate::sse::{self, LastEventId};
use crate::token::Token;

/// Lines read ahead of what product has taken.
const AHEAD: usize = 64;
/// How often a watcher's gateway asks how far an import is.
const WATCH_EVERY: Duration = Duration::from_millis(250);

pub(super) fn routes() -> Table {
    Table::new()
        .route("/v1/staff/import", post(import))
        .route("/v1/staff/imports", post(start))
        .route("/v1/staff/imports/{id}", get(one))
        .route("/v1/staff/imports/{id}/events", get(watch))
        .route("/v1/staff/imports/{id}/cancel", post(cancel))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImportedProduct {
    source: String,
    sku: String,
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    category: String,
    price: Money,
    #[serde(default)]
    opening_stock: i64,
}

impl From<ImportedProduct> for product::ImportProductsRequest {
    fn from(line: ImportedProduct) -> Self {
        Self {
            source: line.source,
            sku: line.sku,
            name: line.name,
            description: line.description,
            category: line.category,
            price: Some(line.price.into()),
            opening_stock: line.opening_stock,
        }
    }
}

#[derive(Serialize)]
struct Imported {
    added: i64,
    revised: i64,
    unchanged: i64,
    stock_received: i64,
}

/// Passes the lines on as they come, as fast as product takes them. A bad line breaks the call
/// off: what product had already written stays, and the whole file is simply sent again.
async fn import(
    State(app): State<App>,
    token: Token,
    request: Request,
) -> Result<Response, Problem> {
    let (lines, (sender, items)) = (lines(request)?, items());
    let mut product = app.product();
    let call = product.import_products(token.request(items));
    let reply = app.pages().changing_all().by(passed_on(lines, sender, call)).await?;
    let product::ImportProductsResponse { added, revised, unchanged, stock_received } = reply;
    Ok(json(StatusCode::OK, &Imported { added, revised, unchanged, stock_received }))
}

/// The same, to product's staging. Nothing of a file with a bad line is imported.
async fn start(
    State(app): State<App>,
    token: Token,
    request: Request,
) -> Result<Response, Problem> {
    let (lines, (sender, items)) = (lines(request)?, items());
    let mut product = app.product();
    let call = product.start_import(token.request(with_their_end(items)));
    let import = required(passed_on(lines, sender, call).await?.import)?;
    let mut response = json(StatusCode::ACCEPTED, &Import::from(&import));
    if let Ok(location) = HeaderValue::try_from(format!("/v1/staff/imports/{}", import.import_id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

fn lines(request: Request) -> Result<Lines, Problem> {
    body::check_type(request.headers(), "application/x-ndjson")?;
    Ok(Lines::new(request.into_body()))
}

/// The lines go to `sender` while `call` takes them.
async fn passed_on<T>(
    mut lines: Lines,
    sender: mpsc::Sender<Line>,
    call: impl Future<Output = Result<Reply<T>, Status>> + Send,
) -> Result<T, Problem> {
    let mut call = Box::pin(call);
    let reply = tokio::select! {
        read = read(&mut lines, sender) => match read {
            Ok(()) => call.as_mut().await.map_err(Problem::from),
            Err(bad) => Err(bad),
        },
        reply = &mut call => reply.map_err(Problem::from),
    };
    drop(call); // at once, and not after lingering
    if reply.is_err() {
        body::linger(lines.into_body()).await;
    }
    Ok(reply?.into_inner())
}

/// Lines, and the good end.
type Line = Option<product::ImportProductsRequest>;

/// What is sent, up to the good end. Without one (a bad line, a client that disconnected) the stream
/// stays open until the call is dropped: a part of a file must never look like the whole.
fn items()
-> (mpsc::Sender<Line>, impl Stream<Item = product::ImportProductsRequest> + Send + 'static) {
    let (sender, receiver) = mpsc::channel::<Line>(AHEAD);
    let items = stream::unfold(receiver, |mut receiver| async {
        match receiver.recv().await {
            Some(line) => Some((line?, receiver)),
            None => std::future::pending().await,
        }
    });
    (sender, items)
}

/// The items, and then how many they were: product cannot tell a call that was given up from one that has ended.
fn with_their_end(
    items: impl Stream<Item = product::ImportProductsRequest> + Send + 'static,
) -> impl Stream<Item = product::StartImportRequest> + Send + 'static {
    stream::unfold((Box::pin(items), Some(0)), |(mut items, sent)| async move {
        let sent = sent?;
        let (part, sent) = match items.next().await {
            Some(item) => (Part::Item(item), Some(sent + 1)),
            None => (Part::ItemsSent(sent), None),
        };
        Some((product::StartImportRequest { part: Some(part) }, (items, sent)))
    })
}

async fn read(lines: &mut Lines, sender: mpsc::Sender<Line>) -> Result<(), Problem> {
    while let Some((number, line)) = lines.next().await? {
        let parsed: Result<ImportedProduct, _> = json_body::parse(&line);
        let line = parsed.map_err(|problem| problem.in_line(number))?;
        if sender.send(Some(line.into())).await.is_err() {
            return Ok(()); // the call is over, and says why
        }
    }
    let _ = sender.send(None).await; // as above
    Ok(())
}

async fn one(
    State(app): State<App>,
    token: Token,
    Id(id): Id<ImportId>,
) -> Result<Response, Problem> {
    Ok(json(StatusCode::OK, &Import::from(&how_far(&app, &token, id).await?)))
}

/// An import as it is now.
///
/// # Errors
/// Product's refusal.
pub(crate) async fn how_far(
    app: &App,
    token: &Token,
    id: ImportId,
) -> Result<product::Import, Problem> {
    let request = token.request(product::GetImportRequest { import_id: id.to_string() });
    required(app.product().get_import(request).await?.into_inner().import)
}

async fn cancel(
    State(app): State<App>,
    token: Token,
    Id(id): Id<ImportId>,
) -> Result<Response, Problem> {
    let request = token.request(product::CancelImportRequest { import_id: id.to_string() });
    let import = required(app.product().cancel_import(request).await?.into_inner().import)?;
    Ok(json(StatusCode::OK, &Import::from(&import)))
}

async fn watch(
    State(app): State<App>,
    token: Token,
    Id(id): Id<ImportId>,
    LastEventId(seen): LastEventId,
    permit: Option<Extension<Arc<Permit>>>,
) -> Result<Response, Problem> {
    follow(app, token, id, seen, permit.map(|Extension(permit)| permit)).await
}

/// How far an import is, each time that it is further than `seen`; ends with the import.
///
/// # Errors
/// Product's refusal.
pub(crate) async fn follow(
    app: App,
    token: Token,
    id: ImportId,
    seen: i64,
    permit: Option<Arc<Permit>>,
) -> Result<Response, Problem> {
    let import = how_far(&app, &token, id).await?;
    if import.version <= seen && has_ended(&import) {
        return Ok(StatusCode::NO_CONTENT.into_response()); // as for orders
    }
    let progress = Progress { app: app.clone(), token, id, seen, next: Some(import) };
    Ok(sse::respond(progress.events(), &app, permit))
}

struct Progress {
    app: App,
    token: Token,
    id: ImportId,
    seen: i64,
    /// None: the end was shown.
    next: Option<product::Import>,
}

impl Progress {
    fn events(self) -> impl Stream<Item = Result<Event, axum::Error>> + Send {
        stream::unfold(self, |mut progress| async {
            let import = progress.newer().await?;
            progress.seen = import.version;
            let event = Event::default().id(import.version.to_string()).event("import");
            let event = event.json_data(Import::from(&import));
            progress.next = (!has_ended(&import)).then_some(import);
            Some((event, progress))
        })
    }

    /// Its next version. None: it was the last, or cannot be had; a client that wants more comes back.
    async fn newer(&mut self) -> Option<product::Import> {
        let mut import = self.next.take()?;
        while import.version <= self.seen {
            if has_ended(&import) {
                return None;
            }
            sleep(WATCH_EVERY).await;
            import = how_far(&self.app, &self.token, self.id).await.ok()?;
        }
        Some(import)
    }
}

fn has_ended(import: &product::Import) -> bool {
    import.state() != product::import::State::Running
}
