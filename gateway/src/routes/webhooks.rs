//! Notices of the payment provider. The signature covers the bytes as they came, so they are
//! passed on as they came; payment knows the secret.

use axum::body::Body;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use proto::payment::v1::ReceiveWebhookRequest;

use super::Table;
use crate::app::App;
use crate::body;
use crate::problem::Problem;

pub(super) fn routes() -> Table {
    Table::new().route("/v1/webhooks/psp", post(psp))
}

async fn psp(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let signature = headers.get("psp-signature").and_then(|signature| signature.to_str().ok());
    let signature = signature.ok_or_else(|| {
        let detail = "a notice is signed: PSP-Signature is missing";
        Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
    })?;
    let signature = signature.to_owned();
    let body = body::whole(body, app.body_limit()).await?;
    app.payment().receive_webhook(ReceiveWebhookRequest { body, signature }).await?;
    Ok(StatusCode::NO_CONTENT)
}
