//! The checkout. Its form holds the idempotency key: however often it is sent, by a double click or after the network was gone, it is one
//! order. The customer agrees to a total; if prices have moved since, the form is shown again with the new one.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use proto::cart::v1::GetCartRequest;
use proto::money::v1::Money;
use proto::order::v1 as order;
use proto::payment::v1::PaymentMethod;
use proto::user::v1::Address;
use serde::Deserialize;

use super::Failed;
use super::account::{cards_of, user_of};
use super::cart::{self, Prices, Shown};
use super::customer::Customer;
use super::form::Form;
use super::html::{Layout, own, see_other};
use crate::app::App;
use crate::problem::Problem;
use crate::render::required;
use crate::sessions::random;

#[derive(Template)]
#[template(path = "checkout.html")]
struct CheckoutPage {
    layout: Layout,
    cart: Shown,
    addresses: Vec<Address>,
    cards: Vec<PaymentMethod>,
    key: String,
    trouble: &'static str,
    chosen_address: String,
    chosen_card: String,
    next: &'static str,
}

impl CheckoutPage {
    fn can_be_bought(&self) -> bool {
        self.cart.can_be_bought() && !self.addresses.is_empty() && !self.cards.is_empty()
    }

    fn currency(&self) -> &str {
        self.cart.total.as_ref().map_or("", |(currency, _)| currency)
    }

    fn minor_units(&self) -> i64 {
        self.cart.total.as_ref().map_or(0, |(_, minor_units)| *minor_units)
    }
}

pub(super) async fn show(State(app): State<App>, customer: Customer) -> Result<Response, Failed> {
    Ok(page(&app, &customer, StatusCode::OK, Before::default()).await?)
}

/// What the page says, and what was chosen before.
#[derive(Default)]
struct Before {
    trouble: &'static str,
    address: String,
    card: String,
}

async fn page(
    app: &App,
    customer: &Customer,
    status: StatusCode,
    before: Before,
) -> Result<Response, Problem> {
    let cart = customer.token.request(GetCartRequest::default());
    let (cart, user, cards) = tokio::join!(
        cart::of(app, cart, Prices::OfNow),
        user_of(app, customer),
        cards_of(app, customer),
    );
    let (cart, user) = (cart?, user?);
    let page = CheckoutPage {
        layout: Layout::new(app.copy(), "Checkout").with_staff_link(user.role()),
        cart,
        addresses: user.addresses,
        cards: cards?,
        key: random()?,
        trouble: before.trouble,
        chosen_address: before.address,
        chosen_card: before.card,
        next: "/checkout",
    };
    Ok(own(status, &page))
}

#[derive(Deserialize)]
pub(super) struct Checkout {
    key: String,
    payment_method_id: String,
    address_id: String,
    currency: String,
    minor_units: i64,
}

pub(super) async fn place(
    State(app): State<App>,
    customer: Customer,
    Form(form): Form<Checkout>,
) -> Result<Response, Failed> {
    let request = order::PlaceOrderRequest {
        idempotency_key: form.key.clone(),
        payment_method_id: form.payment_method_id.clone(),
        address_id: form.address_id.clone(),
        expected_total: Some(Money {
            currency: form.currency.clone(),
            minor_units: form.minor_units,
        }),
    };
    let placed = app.order().place_order(customer.token.request(request)).await;
    let refused = match placed.map(|placed| placed.into_inner().order) {
        Ok(order) => {
            let order = required(order)?;
            return Ok(see_other(&format!("/orders/{}", order.order_id)));
        }
        Err(refused) => Problem::from(refused),
    };
    if refused.is_outage() || refused.code() == "idempotency_key_in_flight" {
        let layout = Layout::new(app.copy(), "Checkout");
        return Ok(own(refused.status(), &SendAgainPage { layout, form }));
    }
    let Some(trouble) = trouble(refused.code()) else { return Err(refused.into()) };
    let before = Before { trouble, address: form.address_id, card: form.payment_method_id };
    Ok(page(&app, &customer, refused.status(), before).await?)
}

/// Nobody knows whether there is an order. The same form is shown, with the same key, and nobody else is called: what was in the cart may
/// be in the order.
#[derive(Template)]
#[template(path = "send-again.html")]
struct SendAgainPage {
    layout: Layout,
    form: Checkout,
}

/// What a customer can do about a refusal: the form is shown anew, with another key. `None`: nothing.
fn trouble(code: &str) -> Option<&'static str> {
    Some(match code {
        "total_changed" => "Prices have changed since. Please look at the new total.",
        "cart_changed" => "The cart has changed since. Please look at it again.",
        "cart_already_ordered" => "This cart was ordered already, in another window perhaps.",
        "cart_empty" => "The cart is empty.",
        "idempotency_key_reused" => {
            "This form was sent before with other choices. See your orders before you send it again."
        }
        _ => return None,
    })
}
