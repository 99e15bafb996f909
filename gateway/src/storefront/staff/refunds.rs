//! Refunds that the provider refused: staff let it be asked again, or say that the customer has the money. Both may be sent twice.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use proto::payment::v1 as payment;
use serde::Deserialize;

use super::faults::Faults;
use super::{DECISIONS, Done, Staff, layout};
use crate::app::App;
use crate::problem::Problem;
use crate::query::{Page, Query};
use crate::storefront::Failed;
use crate::storefront::form::Form;
use crate::storefront::html::{Layout, own, see_other};
use crate::storefront::orders::time;
use crate::storefront::view::amount;

#[derive(Template)]
#[template(path = "staff-refunds.html")]
struct RefundsPage {
    layout: Layout,
    refunds: Vec<payment::Refund>,
    page_token: String,
    next_page_token: String,
    done: &'static str,
    decision: Decision,
    faults: Faults,
}

impl RefundsPage {
    /// Of this refund's form.
    fn note(&self, refund: &payment::Refund) -> &str {
        if self.is_about(refund) { &self.decision.note } else { "" }
    }

    fn fault(&self, refund: &payment::Refund) -> &str {
        if self.is_about(refund) { self.faults.of("note") } else { "" }
    }

    fn is_about(&self, refund: &payment::Refund) -> bool {
        refund.refund_id == self.decision.refund_id
    }
}

/// As it was entered.
#[derive(Default, Deserialize)]
pub(super) struct Decision {
    refund_id: String,
    #[serde(default)]
    page_token: String,
    note: String,
    #[serde(default)]
    decision: String,
}

pub(super) async fn list(
    State(app): State<App>,
    staff: Staff,
    listed: Result<Query<Page>, Problem>,
    done: Result<Query<Done>, Problem>,
) -> Result<Response, Failed> {
    let (Query(Page { page_token, .. }), Query(done)) = (listed?, done?);
    let before = Decision { page_token, ..Decision::default() };
    let mut page = read(&app, &staff, before, Faults::default()).await?;
    page.done = done.sentence();
    Ok(own(StatusCode::OK, &page))
}

async fn read(
    app: &App,
    staff: &Staff,
    decision: Decision,
    faults: Faults,
) -> Result<RefundsPage, Problem> {
    let (order_id, page_token) = (String::new(), decision.page_token.clone());
    let request = payment::ListRefundsRequest { order_id, page_size: DECISIONS, page_token };
    let found = app.payment().list_refunds(staff.token.request(request)).await?.into_inner();
    Ok(RefundsPage {
        layout: layout(app, "Refunds"),
        refunds: found.refunds,
        page_token: decision.page_token.clone(),
        next_page_token: found.next_page_token,
        done: "",
        decision,
        faults,
    })
}

pub(super) async fn decide(
    State(app): State<App>,
    staff: Staff,
    Form(decision): Form<Decision>,
) -> Result<Response, Failed> {
    let (refund_id, note) = (decision.refund_id.clone(), decision.note.trim().to_owned());
    let mut payment = app.payment();
    let (done, refused) = match decision.decision.as_str() {
        "retry" => {
            let request = staff.token.request(payment::RetryRefundRequest { refund_id, note });
            ("retry", payment.retry_refund(request).await.err())
        }
        "settle" => {
            let request = staff.token.request(payment::SettleRefundRequest { refund_id, note });
            ("settled", payment.settle_refund(request).await.err())
        }
        _ => return Err(Problem::invalid("decision", "retry or settle").into()),
    };
    let Some(refused) = refused.map(Problem::from) else {
        return Ok(see_other(&format!("/staff/refunds?done={done}")));
    };
    let (status, faults) = Faults::of_refusal(refused.clone())?;
    let page = read(&app, &staff, decision, faults).await.map_err(|_away_as_well| refused)?;
    Ok(own(status, &page))
}

/// For people.
fn decided(decision: &payment::refund::Decision) -> &'static str {
    match decision.decision() {
        payment::RefundDecision::Retry => "the provider was to be asked again",
        payment::RefundDecision::SettledByHand => "settled by hand",
        payment::RefundDecision::Unspecified => "decided",
    }
}
