//! The routes: parse, one call, render.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, RawQuery, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use operator::layout::Layout;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;

use crate::auditor::Told;
use crate::logs::{Filter, Logs};
use crate::orders::{Newest, Wanted};
use crate::problem::Problem;
use crate::snapshot::Snapshot;
use crate::token::Token;
use crate::{faults, overview, page, security, traces};

const BODY_BYTES_MAX: usize = 4 << 10;

/// What requests read: all of it is shared.
#[derive(Clone, Debug)]
pub struct App {
    /// The folder of the shop.
    pub layout: Layout,
    /// What the sampler saw last.
    pub live: watch::Receiver<Arc<Snapshot>>,
    /// What the auditor concluded last.
    pub told: watch::Receiver<Arc<Told>>,
    /// The newest orders.
    pub newest: Arc<Newest>,
    /// The log files.
    pub logs: Arc<Logs>,
}

/// Everything that is served at this `host:port`.
pub fn routes(app: App, token: Token, host: Arc<str>) -> Router {
    let api = Router::new()
        .route("/overview", get(overview))
        .route("/orders", get(orders))
        .route("/orders/{order_id}/trace", get(trace_of_order))
        .route("/logs", get(logs))
        .route("/traces", get(search_traces))
        .route("/traces/{trace_id}", get(trace))
        .route("/faults", post(inject).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)))
        .method_not_allowed_fallback(no_method)
        .fallback(nothing)
        .layer(from_fn_with_state(token, security::with_token));
    page::routes()
        .route("/livez", get("alive\n"))
        .route("/readyz", get("ready\n"))
        .nest("/api", api)
        .method_not_allowed_fallback(no_method)
        .fallback(nothing)
        .layer(from_fn_with_state(host, security::own_host))
        .with_state(app)
}

async fn nothing() -> Problem {
    Problem::not_found("there is nothing at this path")
}

async fn no_method() -> Problem {
    let detail = "this path has other methods";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

async fn overview(State(app): State<App>) -> Response {
    let (live, told) = (Arc::clone(&app.live.borrow()), Arc::clone(&app.told.borrow()));
    Json(overview::overview(&live, &told)).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrdersQuery {
    #[serde(default)]
    state: String,
}

async fn orders(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let OrdersQuery { state } = parameters(query)?;
    let unknown = || Problem::bad_request("invalid", format!("no order is ever {state:?}"));
    let wanted = Wanted::parse(&state).ok_or_else(unknown)?;
    let live = Arc::clone(&app.live.borrow());
    if live.order_databases.is_empty() {
        let why = live.unknown.as_ref().or(live.traffic_unknown.as_ref());
        let why = why.map_or("nobody has looked yet".to_owned(), |unknown| unknown.reason.clone());
        return Err(Problem::unavailable("orders_unavailable", why));
    }
    let orders = app.newest.read(&live.order_databases, &wanted).await;
    let away =
        |error: anyhow::Error| Problem::unavailable("orders_unavailable", format!("{error:#}"));
    Ok(Json(json!({ "orders": orders.map_err(away)? })).into_response())
}

async fn logs(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let filter: Filter = parameters(query)?;
    let lines = app.logs.lines(&filter).await;
    let away =
        |error: anyhow::Error| Problem::unavailable("logs_unavailable", format!("{error:#}"));
    Ok(Json(lines.map_err(away)?).into_response())
}

async fn search_traces(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    pass_on(&app, traces::search(&query.unwrap_or_default())?).await
}

async fn trace(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Problem> {
    pass_on(&app, traces::one("/traces/", &id, "")?).await
}

async fn trace_of_order(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    pass_on(&app, traces::one("/orders/", &id, "/trace")?).await
}

async fn pass_on(app: &App, path: String) -> Result<Response, Problem> {
    let url = app.live.borrow().traces_url.clone();
    traces::pass_on(url.as_deref(), &path).await
}

async fn inject(
    State(app): State<App>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    // A form of another site can send other types without asking first.
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    if kind != Some("application/json") {
        let detail = "send application/json";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Problem::new(status, "unsupported_media_type", detail));
    }
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = format!("a body has {BODY_BYTES_MAX} bytes at most");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
        }
        _ => Problem::bad_request("unreadable_body", rejection.body_text()),
    })?;
    let wanted = serde_json::from_slice(&body);
    let wanted = wanted.map_err(|error| Problem::bad_request("invalid_json", error.to_string()))?;
    faults::inject(&app.layout, &wanted).await
}

/// The query, with no parameter that there is not.
fn parameters<T: for<'de> Deserialize<'de>>(query: Option<String>) -> Result<T, Problem> {
    let uri = format!("/?{}", query.unwrap_or_default()).parse();
    let uri: http::Uri = uri.map_err(|_| Problem::bad_request("invalid", "not a query"))?;
    let query = Query::try_from_uri(&uri);
    query.map(|Query(it)| it).map_err(|it| Problem::bad_request("invalid", it.body_text()))
}
