//! What is on its way back: staff receive it, or refuse it. Both may be sent twice.

use std::collections::HashMap;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use kernel::{OrderId, ProductId, ReturnId};
use proto::order::v1 as order;
use proto::product::v1 as product;
use rpc::deadline;

use super::faults::Faults;
use super::{DECISIONS, Done, Staff, layout};
use crate::app::App;
use crate::path::InPath;
use crate::problem::Problem;
use crate::query::{Page, Query};
use crate::storefront::Failed;
use crate::storefront::form::Form;
use crate::storefront::html::{BESIDE_WITHIN, Layout, own, see_other};
use crate::storefront::orders::time;

#[derive(Template)]
#[template(path = "staff-returns.html")]
struct ReturnsPage {
    layout: Layout,
    returns: Vec<Back>,
    /// Product is away: what is sent back is shown by its id.
    without_names: bool,
    page_token: String,
    next_page_token: String,
    done: &'static str,
    /// What is wrong with a return that is not on this page.
    trouble: String,
}

/// A return on its way.
struct Back {
    order_id: String,
    return_id: String,
    requested: String,
    items: Vec<Item>,
    /// Of the form that receives it.
    received: Reason,
    /// Of the form that refuses it.
    refused: Reason,
    trouble: String,
}

/// As it was entered.
#[derive(Default)]
struct Reason {
    text: String,
    fault: String,
}

struct Item {
    product_id: String,
    name: String,
    quantity: i64,
    /// As it was entered.
    arrived: String,
    fault: String,
}

pub(super) async fn list(
    State(app): State<App>,
    staff: Staff,
    listed: Result<Query<Page>, Problem>,
    done: Result<Query<Done>, Problem>,
) -> Result<Response, Failed> {
    let (Query(Page { page_token, .. }), Query(done)) = (listed?, done?);
    let mut page = read(&app, &staff, page_token).await?;
    page.done = done.sentence();
    Ok(own(StatusCode::OK, &page))
}

async fn read(app: &App, staff: &Staff, page_token: String) -> Result<ReturnsPage, Problem> {
    let request =
        order::ListReturnsRequest { page_size: DECISIONS, page_token: page_token.clone() };
    let found = app.order().list_returns(staff.token.request(request)).await?.into_inner();
    let names = names(app, &found.returns).await;
    Ok(ReturnsPage {
        layout: layout(app, "Returns"),
        without_names: names.is_none(),
        returns: found.returns.iter().map(|it| Back::new(it, names.as_ref())).collect(),
        page_token,
        next_page_token: found.next_page_token,
        done: "",
        trouble: String::new(),
    })
}

type Names = HashMap<String, String>;

/// Of all that is sent back. `None`: product is away.
async fn names(app: &App, returns: &[order::Return]) -> Option<Names> {
    let ids = returns.iter().flat_map(|it| &it.items).map(|item| item.product_id.clone());
    let mut product_ids: Vec<String> = ids.collect();
    product_ids.sort();
    product_ids.dedup();
    if product_ids.is_empty() {
        return Some(Names::new());
    }
    let request = product::BatchGetProductsRequest { product_ids, may_be_cached: true };
    let mut product = app.product();
    let found = deadline::within(BESIDE_WITHIN, product.batch_get_products(request)).await.ok()?;
    let products = found.into_inner().products.into_iter();
    Some(products.map(|it| (it.product_id, it.name)).collect())
}

impl Back {
    fn new(back: &order::Return, names: Option<&Names>) -> Self {
        let item = |item: &order::r#return::Item| Item {
            product_id: item.product_id.clone(),
            name: names
                .and_then(|names| names.get(&item.product_id))
                .unwrap_or(&item.product_id)
                .clone(),
            quantity: item.quantity,
            arrived: item.quantity.to_string(),
            fault: String::new(),
        };
        Self {
            order_id: back.order_id.clone(),
            return_id: back.return_id.clone(),
            requested: time(&back.requested_at_unix_ms),
            items: back.items.iter().map(item).collect(),
            received: Reason::default(),
            refused: Reason::default(),
            trouble: String::new(),
        }
    }

    /// What was entered, and what is wrong with it.
    fn with(&mut self, decision: Decision, faults: &Faults) {
        for item in &mut self.items {
            let entered = decision.arrived.iter().find(|(id, _)| *id == item.product_id);
            if let Some((_, arrived)) = entered {
                item.arrived.clone_from(arrived);
            }
            faults.of(&item.product_id).clone_into(&mut item.fault);
        }
        let reason =
            if decision.refused == Some(true) { &mut self.refused } else { &mut self.received };
        *reason = Reason { text: decision.reason, fault: faults.of("reason").to_owned() };
        self.trouble.clone_from(&faults.whole);
    }
}

/// As it was entered.
#[derive(Default)]
struct Decision {
    order_id: String,
    return_id: String,
    page_token: String,
    /// None of a form that says neither.
    refused: Option<bool>,
    reason: String,
    /// Of each product, how many have arrived.
    arrived: Vec<(String, String)>,
}

impl From<Vec<(String, String)>> for Decision {
    fn from(fields: Vec<(String, String)>) -> Self {
        let mut decision = Self::default();
        for (name, value) in fields {
            match name.as_str() {
                "order_id" => decision.order_id = value,
                "return_id" => decision.return_id = value,
                "page_token" => decision.page_token = value,
                "decision" => decision.refused = decided(&value),
                "reason" => decision.reason = value,
                _ if name.parse::<ProductId>().is_ok() => decision.arrived.push((name, value)),
                _ => {}
            }
        }
        decision
    }
}

fn decided(text: &str) -> Option<bool> {
    match text {
        "refuse" => Some(true),
        "receive" => Some(false),
        _ => None,
    }
}

impl Decision {
    /// What has arrived; what has not is not named.
    fn items(&self, faults: &mut Faults) -> Vec<order::receive_return_request::Item> {
        let number = |(id, text): &(String, String)| (id.clone(), faults.number(id, text));
        let arrived = self.arrived.iter().map(number).filter(|(_, quantity)| *quantity != 0);
        let item =
            |(product_id, quantity)| order::receive_return_request::Item { product_id, quantity };
        arrived.map(item).collect()
    }
}

pub(super) async fn decide(
    State(app): State<App>,
    staff: Staff,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, Failed> {
    let decision = Decision::from(fields);
    // Text that is no id names nothing that exists.
    let missing = |(code, detail)| Problem::new(StatusCode::NOT_FOUND, code, detail);
    decision.order_id.parse::<OrderId>().map_err(|_| missing(OrderId::MISSING))?;
    decision.return_id.parse::<ReturnId>().map_err(|_| missing(ReturnId::MISSING))?;
    let refuses =
        decision.refused.ok_or_else(|| Problem::invalid("decision", "receive or refuse"))?;
    let mut faults = Faults::default();
    let done = if refuses {
        refuse(&app, &staff, &decision).await
    } else {
        let items = decision.items(&mut faults);
        if !faults.is_empty() {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return Ok(again(&app, &staff, status, decision, &faults).await?);
        }
        receive(&app, &staff, &decision, items).await
    };
    let Err(refused) = done else {
        let done = if refuses { "refused" } else { "received" };
        return Ok(see_other(&format!("/staff/returns?done={done}")));
    };
    let (status, mut faults) = Faults::of_refusal(refused.clone())?;
    faults.keep(|field| field == "reason" || decision.arrived.iter().any(|it| it.0 == field));
    let shown = again(&app, &staff, status, decision, &faults).await;
    Ok(shown.map_err(|_away_as_well| refused)?)
}

async fn receive(
    app: &App,
    staff: &Staff,
    decision: &Decision,
    items: Vec<order::receive_return_request::Item>,
) -> Result<(), Problem> {
    let request = staff.token.request(order::ReceiveReturnRequest {
        order_id: decision.order_id.clone(),
        return_id: decision.return_id.clone(),
        items,
        reason: decision.reason.clone(),
    });
    app.order().receive_return(request).await?;
    Ok(())
}

async fn refuse(app: &App, staff: &Staff, decision: &Decision) -> Result<(), Problem> {
    let request = staff.token.request(order::RefuseReturnRequest {
        order_id: decision.order_id.clone(),
        return_id: decision.return_id.clone(),
        reason: decision.reason.clone(),
    });
    app.order().refuse_return(request).await?;
    Ok(())
}

/// The page that the form was on, with what was entered.
async fn again(
    app: &App,
    staff: &Staff,
    status: StatusCode,
    decision: Decision,
    faults: &Faults,
) -> Result<Response, Problem> {
    let mut page = read(app, staff, decision.page_token.clone()).await?;
    match page.returns.iter_mut().find(|it| it.return_id == decision.return_id) {
        Some(back) => back.with(decision, faults),
        // Somebody else has decided meanwhile.
        None => page.trouble = faults.summary(),
    }
    Ok(own(status, &page))
}
