//! The HTTP API: each handler parses, makes one call and renders. Faults are injected visibly, in `capture` and `refund`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{
        DefaultBodyLimit, Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{
    answer::{self, Entry, Outcome, Page},
    behaviour::{Behaviour, Dials, Ending},
    id::Id,
    ledger::{Fact, Ledger, Refusal, Tally},
    problem::Problem,
    request::{BODY_MAX_BYTES, CaptureBody, IdempotencyKey, JsonBytes, RefundBody},
};

const PAGE_DEFAULT: usize = 500;
const PAGE_MAX: usize = 1000;

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct App {
    /// The record.
    pub ledger: Arc<Ledger>,
    /// What goes wrong.
    pub dials: Arc<Dials>,
    /// Set once the process is to stop: hanging requests end, and it is not ready any more.
    pub stopping: CancellationToken,
}

/// In the extensions of a response: close the connection instead of sending it.
#[derive(Clone, Copy, Debug)]
pub struct HangUp;

type Answer = Result<Response, Problem>;

/// All routes.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/v1/captures", post(capture))
        .route("/v1/captures/by-key/{key}", get(capture_by_key))
        .route("/v1/captures/by-key/{key}/void", post(void))
        .route("/v1/refunds", post(refund))
        .route("/v1/ledger", get(ledger))
        .route("/v1/ledger/summary", get(summary))
        .route("/v1/behaviour", get(behaviour).put(set_behaviour))
        .route("/livez", get(|| async { "live\n" }))
        .route("/readyz", get(readyz))
        .fallback(|| async { Problem::not_found("no_such_route", "there is nothing at this path") })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "not with this method",
            )
        })
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .with_state(Arc::new(app))
}

async fn capture(State(app): State<Arc<App>>, key: IdempotencyKey, body: JsonBytes) -> Answer {
    let charge = body.read::<CaptureBody<'_>>()?.check()?;
    let behaviour = app.dials.now();
    app.take_time(&behaviour).await;
    let faults = behaviour.on_capture(&charge.card_token);
    if faults.hang && !app.ledger.knows_capture(key.as_str()) {
        return Ok(app.hang().await);
    }
    let done = app.ledger.capture(key.as_str(), charge, faults.decline).await?;
    let money_moved = done.fresh && matches!(done.record.fact, Fact::Capture(_));
    let ending = if money_moved { faults.ending } else { Ending::Answer };
    Ok(end(ending, || answer::to_capture(&done.record, app.ledger.id())))
}

async fn refund(State(app): State<Arc<App>>, key: IdempotencyKey, body: JsonBytes) -> Answer {
    let body = body.read::<RefundBody<'_>>()?;
    let capture = Id::parse_capture(&body.capture_id, app.ledger.id());
    let amount = body.amount()?;
    let behaviour = app.dials.now();
    app.take_time(&behaviour).await;
    let faults = behaviour.on_refund();
    if faults.hang && !app.ledger.knows_refund(key.as_str()) {
        return Ok(app.hang().await);
    }
    let capture = capture.ok_or(Refusal::UnknownCapture)?;
    let card = app.ledger.card_of(capture).unwrap_or_default();
    if behaviour.refuses_refund(&card) && !app.ledger.knows_refund(key.as_str()) {
        let detail = "the bank of this card takes nothing back";
        return Err(Problem::unprocessable("refund_refused", detail));
    }
    let done = app.ledger.refund(key.as_str(), capture, amount).await?;
    let ending = if done.fresh { faults.ending } else { Ending::Answer };
    Ok(end(ending, || answer::to_refund(&done.record, app.ledger.id())))
}

async fn capture_by_key(
    State(app): State<Arc<App>>,
    key: Result<Path<String>, PathRejection>,
) -> Answer {
    let key = path_key(key)?;
    match app.ledger.find(key.as_str()).await? {
        Some(record) => Ok(Json(Outcome::of(&record, app.ledger.id())).into_response()),
        None => Err(Problem::not_found("unknown_key", "nothing is recorded under this key")),
    }
}

async fn void(State(app): State<Arc<App>>, key: Result<Path<String>, PathRejection>) -> Answer {
    let key = path_key(key)?;
    let done = app.ledger.void(key.as_str()).await?;
    Ok(Json(Outcome::of(&done.record, app.ledger.id())).into_response())
}

#[derive(Deserialize)]
struct PageQuery {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

async fn ledger(
    State(app): State<Arc<App>>,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Answer {
    let Query(PageQuery { after, limit }) = query.map_err(bad_query)?;
    let limit = limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let moves_money = |fact: &Fact| matches!(fact, Fact::Capture(_) | Fact::Refund(_));
    let records = app.ledger.after(after, limit + 1, moves_money);
    let shown = &records[..records.len().min(limit)];
    let entries = shown.iter().filter_map(|record| Entry::of(record, app.ledger.id())).collect();
    let next = if records.len() > limit { shown.last().map(|record| record.seq) } else { None };
    Ok(Json(Page { entries, next }).into_response())
}

#[derive(Deserialize)]
struct SummaryQuery {
    reference: Option<String>,
}

#[derive(Serialize)]
struct Summary {
    reference: Option<String>,
    #[serde(flatten)]
    tally: Tally,
}

async fn summary(
    State(app): State<Arc<App>>,
    query: Result<Query<SummaryQuery>, QueryRejection>,
) -> Answer {
    let Query(SummaryQuery { reference }) = query.map_err(bad_query)?;
    let tally = app.ledger.tally(reference.as_deref()).await?;
    Ok(Json(Summary { reference, tally }).into_response())
}

async fn behaviour(State(app): State<Arc<App>>) -> Json<Behaviour> {
    Json(app.dials.now())
}

async fn set_behaviour(
    State(app): State<Arc<App>>,
    body: JsonBytes,
) -> Result<Json<Behaviour>, Problem> {
    let behaviour: Behaviour = body.read()?;
    behaviour.check().map_err(|detail| Problem::unprocessable("invalid_behaviour", detail))?;
    app.dials.set(behaviour);
    tracing::info!(?behaviour, "behaviour set");
    Ok(Json(behaviour))
}

async fn readyz(State(app): State<Arc<App>>) -> Response {
    if app.stopping.is_cancelled() {
        return Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping",
            "the process is stopping",
        )
        .into_response();
    }
    "ready\n".into_response()
}

impl App {
    async fn take_time(&self, behaviour: &Behaviour) {
        if let Some(delay) = behaviour.delay() {
            tokio::time::sleep(delay).await;
        }
    }

    /// Never answers. Ends when the client goes away, which drops it, or when the process stops.
    async fn hang(&self) -> Response {
        self.stopping.cancelled().await;
        hang_up()
    }
}

/// What the caller sees of money that moved.
fn end(ending: Ending, answer: impl FnOnce() -> Response) -> Response {
    match ending {
        Ending::Answer => answer(),
        Ending::Error => Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "something went wrong",
        )
        .into_response(),
        Ending::Drop => hang_up(),
    }
}

fn hang_up() -> Response {
    let mut response = Response::default();
    response.extensions_mut().insert(HangUp);
    response
}

fn path_key(key: Result<Path<String>, PathRejection>) -> Result<IdempotencyKey, Problem> {
    IdempotencyKey::parse(key.as_ref().map(|key| key.as_bytes()).unwrap_or_default())
}

fn bad_query(rejection: QueryRejection) -> Problem {
    Problem::bad_request("invalid_query", rejection.body_text())
}
