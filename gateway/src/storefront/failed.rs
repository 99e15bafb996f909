//! A page that could not be made: the same problem as in `/v1`, for people.

use askama::Template;
use axum::Extension;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, header};

use super::html::{self, Layout, own, see_other};
use super::origin::{self, Origin};
use crate::problem::Problem;

/// Why there is no page.
pub(crate) enum Failed {
    /// Something is wrong, here or with the request.
    Problem(Problem),
    /// This is for somebody who is signed in.
    SignIn,
}

/// Beside an answer that [`around`] replaces.
#[derive(Clone)]
struct SignInFirst;

impl From<Problem> for Failed {
    /// A token that a service refuses is of a sign-in that was ended elsewhere.
    fn from(problem: Problem) -> Self {
        if problem.status() == StatusCode::UNAUTHORIZED {
            Self::SignIn
        } else {
            Self::Problem(problem)
        }
    }
}

impl From<tonic::Status> for Failed {
    fn from(refused: tonic::Status) -> Self {
        Problem::from(refused).into()
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    layout: Layout,
    heading: &'static str,
    detail: &'a str,
    code: &'a str,
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => page(&problem),
            Self::SignIn => Extension(SignInFirst).into_response(),
        }
    }
}

/// Around every page: a form has to come from a page of ours (CSRF), and whoever has to sign in first is led back afterwards.
pub(super) async fn around(
    State(ours): State<Option<Origin>>,
    request: Request,
    next: Next,
) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD)
        && let Err(refused) = origin::check(&request, ours.as_ref())
    {
        return Failed::Problem(refused).into_response();
    }
    let place = html::place(&request);
    let response = next.run(request).await;
    if response.extensions().get::<SignInFirst>().is_none() {
        return response;
    }
    let place: String = form_urlencoded::byte_serialize(place.as_bytes()).collect();
    see_other(&format!("/sign-in?next={place}"))
}

/// A refusal of something that is neither page nor `/v1`, or before that is known: a page when a browser is looking.
pub(crate) fn refusal(problem: Problem, for_people: bool) -> Response {
    if for_people { page(&problem) } else { problem.into_response() }
}

/// Status and headers are those of the same problem in `/v1`.
fn page(problem: &Problem) -> Response {
    let heading = heading(problem);
    let (detail, code) = (problem.detail(), problem.code());
    let page = ProblemPage { layout: Layout::new("", heading), heading, detail, code };
    let (written, page) = own(problem.status(), &page).into_parts();
    let (mut head, _) = problem.clone().into_response().into_parts();
    head.headers.remove(header::CONTENT_TYPE);
    head.headers.extend(written.headers);
    Response::from_parts(head, page)
}

fn heading(problem: &Problem) -> &'static str {
    match problem.status() {
        StatusCode::NOT_FOUND => "There is nothing here",
        StatusCode::FORBIDDEN => "This is not for you",
        StatusCode::TOO_MANY_REQUESTS => "Too many attempts",
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            "A part of the shop is away"
        }
        status if status.is_server_error() => "Something went wrong on our side",
        _ => "That did not work",
    }
}
