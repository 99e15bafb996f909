//! Signing in and out, and what a customer has with us: addresses and cards.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use proto::payment::v1 as payment;
use proto::user::v1 as user;
use serde::Deserialize;

use super::customer::Customer;
use super::form::Form;
use super::html::{Layout, local, own, see_other};
use super::{Failed, cookies};
use crate::app::App;
use crate::problem::Problem;
use crate::query::Query;
use crate::render::required;
use crate::routes::sessions::merge;
use crate::token::Token;

/// A form that signs in or registers, with what was wrong with it.
#[derive(Template)]
#[template(path = "sign-in.html")]
struct SignInPage {
    layout: Layout,
    next: String,
    email: String,
    trouble: String,
}

#[derive(Template)]
#[template(path = "register.html")]
struct RegisterPage {
    layout: Layout,
    next: String,
    email: String,
    name: String,
    trouble: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Next {
    next: String,
}

fn safe(next: &str) -> &str {
    local(next).unwrap_or("/account")
}

pub(super) async fn sign_in_page(
    State(app): State<App>,
    next: Result<Query<Next>, Problem>,
) -> Result<Response, Failed> {
    let Query(Next { next }) = next?;
    let (email, trouble) = (String::new(), String::new());
    Ok(sign_in_form(&app, StatusCode::OK, safe(&next), email, trouble))
}

fn sign_in_form(
    app: &App,
    status: StatusCode,
    next: &str,
    email: String,
    trouble: String,
) -> Response {
    let layout = Layout::new(app.copy(), "Sign in");
    own(status, &SignInPage { layout, next: next.to_owned(), email, trouble })
}

#[derive(Deserialize)]
pub(super) struct Credentials {
    email: String,
    password: String,
    #[serde(default)]
    next: String,
}

pub(super) async fn sign_in(
    State(app): State<App>,
    headers: HeaderMap,
    Form(form): Form<Credentials>,
) -> Result<Response, Failed> {
    let Credentials { email, password, next } = form;
    app.sessions().check().await?;
    match signed_in(&app, &headers, email.clone(), password, safe(&next)).await {
        Err(refused) if is_their_mistake(&refused) => {
            let detail = refused.detail().to_owned();
            Ok(sign_in_form(&app, of_form(&refused), safe(&next), email, detail))
        }
        done => Ok(done?),
    }
}

fn is_their_mistake(refused: &Problem) -> bool {
    refused.status().is_client_error()
}

/// A form with wrong credentials is content that cannot be processed: 401 is for requests that name a scheme.
fn of_form(refused: &Problem) -> StatusCode {
    match refused.status() {
        StatusCode::UNAUTHORIZED => StatusCode::UNPROCESSABLE_ENTITY,
        status => status,
    }
}

/// A new session, whatever the browser had before (no session fixation). What is in the guest's cart is the customer's now.
async fn signed_in(
    app: &App,
    headers: &HeaderMap,
    email: String,
    password: String,
    next: &str,
) -> Result<Response, Problem> {
    let request = user::SignInRequest { email, password };
    let session = required(app.user().sign_in(request).await?.into_inner().session)?;
    let id = app.sessions().begin(&session).await?;
    let mut response = see_other(next);
    cookies::set_session(app, &mut response, &id);
    if let Some(old) = cookies::session(app, headers) {
        // Its browser has forgotten it already.
        let _: Result<(), Problem> = app.sessions().end(&old).await;
    }
    if let Some(guest) = cookies::cart(app, headers)
        && merge(app, &session.access_token, guest).await
    {
        cookies::remove_cart(app, &mut response);
    }
    Ok(response)
}

pub(super) async fn register_page(
    State(app): State<App>,
    next: Result<Query<Next>, Problem>,
) -> Result<Response, Failed> {
    let Query(Next { next }) = next?;
    Ok(own(
        StatusCode::OK,
        &RegisterPage {
            layout: Layout::new(app.copy(), "Register"),
            next: safe(&next).to_owned(),
            email: String::new(),
            name: String::new(),
            trouble: String::new(),
        },
    ))
}

#[derive(Deserialize)]
pub(super) struct Registration {
    email: String,
    password: String,
    name: String,
    #[serde(default)]
    next: String,
}

/// An account, signed in at once.
pub(super) async fn register(
    State(app): State<App>,
    headers: HeaderMap,
    Form(form): Form<Registration>,
) -> Result<Response, Failed> {
    let Registration { email, password, name, next } = form;
    app.sessions().check().await?; // rather than an account that cannot be signed in
    let request = user::RegisterRequest {
        email: email.clone(),
        password: password.clone(),
        name: name.clone(),
    };
    let registered = app.user().register(request).await.map_err(Problem::from);
    if let Err(refused) = registered {
        if !is_their_mistake(&refused) {
            return Err(refused.into());
        }
        let (layout, next) = (Layout::new(app.copy(), "Register"), safe(&next).to_owned());
        let trouble = refused.detail().to_owned();
        return Ok(own(of_form(&refused), &RegisterPage { layout, next, email, name, trouble }));
    }
    Ok(signed_in(&app, &headers, email, password, safe(&next)).await?)
}

/// The session ends first, so that its cookie is nobody's. The sign-in behind it ends as well, if the user service can be
/// reached; if not, nobody has its tokens any more.
pub(super) async fn sign_out(
    State(app): State<App>,
    headers: HeaderMap,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response, Failed> {
    let mut response = see_other("/");
    if let Some(session) = cookies::session(&app, &headers) {
        let token = app.sessions().access_token(&session).await;
        app.sessions().end(&session).await?;
        if let Some(token) = token.ok().flatten().and_then(|token| Token::new(&token)) {
            let ended = app.user().sign_out(token.request(user::SignOutRequest {})).await;
            if let Err(refused) = ended {
                tracing::warn!(code = ?refused.code(), "a sign-in outlives its session");
            }
        }
    }
    cookies::remove_session(&app, &mut response);
    Ok(response)
}

/// A form without fields.
#[derive(Deserialize)]
pub(super) struct Nothing {}

/// What the test cards do.
pub(super) const CARDS: [(&str, &str); 5] = [
    ("tok_visa", "pays"),
    ("tok_decline", "is declined: the order is undone"),
    ("tok_lost", "pays, but the provider's answer is lost"),
    ("tok_error", "pays, but the provider answers with an error"),
    ("tok_no_refund", "pays, and takes nothing back"),
];

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    layout: Layout,
    user: user::User,
    /// None: payment is away.
    cards: Option<Vec<payment::PaymentMethod>>,
    next: String,
}

pub(super) async fn show(State(app): State<App>, customer: Customer) -> Result<Response, Failed> {
    let (user, cards) = tokio::join!(user_of(&app, &customer), cards_of(&app, &customer));
    let user = user?;
    Ok(own(
        StatusCode::OK,
        &AccountPage {
            layout: Layout::new(app.copy(), "Your account").with_staff_link(user.role()),
            user,
            cards: cards.ok(),
            next: "/account".to_owned(),
        },
    ))
}

pub(super) async fn user_of(app: &App, customer: &Customer) -> Result<user::User, Problem> {
    let request = customer.token.request(user::GetUserRequest {});
    required(app.user().get_user(request).await?.into_inner().user)
}

pub(super) async fn cards_of(
    app: &App,
    customer: &Customer,
) -> Result<Vec<payment::PaymentMethod>, Problem> {
    let request = customer.token.request(payment::ListPaymentMethodsRequest {});
    Ok(app.payment().list_payment_methods(request).await?.into_inner().payment_methods)
}

#[derive(Deserialize)]
pub(super) struct NewAddress {
    recipient: String,
    line1: String,
    #[serde(default)]
    line2: String,
    city: String,
    postcode: String,
    country: String,
    #[serde(default)]
    next: String,
}

/// The same form sent twice is one address.
pub(super) async fn add_address(
    State(app): State<App>,
    customer: Customer,
    Form(new): Form<NewAddress>,
) -> Result<Response, Failed> {
    let address = user::Address {
        address_id: String::new(),
        recipient: new.recipient,
        line1: new.line1,
        line2: new.line2,
        city: new.city,
        postcode: new.postcode,
        country: new.country,
    };
    let known = user_of(&app, &customer).await?.addresses;
    let same = |it: &user::Address| user::Address { address_id: String::new(), ..it.clone() };
    if !known.iter().any(|it| same(it) == address) {
        let request = user::AddAddressRequest { address: Some(address) };
        app.user().add_address(customer.token.request(request)).await?;
    }
    Ok(see_other(safe(&new.next)))
}

#[derive(Deserialize)]
pub(super) struct NewCard {
    card: String,
    #[serde(default)]
    next: String,
}

/// The same form sent twice is one card.
pub(super) async fn add_card(
    State(app): State<App>,
    customer: Customer,
    Form(NewCard { card, next }): Form<NewCard>,
) -> Result<Response, Failed> {
    let known = CARDS.into_iter().find(|(token, _)| *token == card);
    let (token, does) =
        known.ok_or_else(|| Problem::invalid("card", "not one of the test cards"))?;
    let label = format!("Test card: {does}");
    if !cards_of(&app, &customer).await?.iter().any(|card| card.label == label) {
        let request = payment::AddPaymentMethodRequest { card_token: token.to_owned(), label };
        app.payment().add_payment_method(customer.token.request(request)).await?;
    }
    Ok(see_other(safe(&next)))
}
