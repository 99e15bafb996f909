//! The import of a catalogue file: sent in a form, done in the background, followed on a page of its own. The same file is the same import
//! while that runs, and books its stock in once.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::stream;
use http::StatusCode;
use kernel::ImportId;
use net::Permit;
use proto::product::v1 as product;
use proto::product::v1::import::State as ImportState;
use proto::product::v1::start_import_request::Part;

use super::faults::Faults;
use super::file::Catalogue;
use super::{Staff, layout};
use crate::app::App;
use crate::path::Id;
use crate::problem::Problem;
use crate::render::required;
use crate::routes::imports::{follow, how_far};
use crate::sse::LastEventId;
use crate::storefront::account::Nothing;
use crate::storefront::form::Form;
use crate::storefront::html::{Layout, own, see_other};
use crate::storefront::{Failed, upload};

/// Of a file: it is in memory while it is read. A larger one goes to `/v1/staff/imports`, line by line.
const FILE_BYTES_MAX: usize = 4 << 20;

#[derive(Template)]
#[template(path = "staff-imports.html")]
struct ImportsPage {
    layout: Layout,
    trouble: String,
    /// Of the file, line by line.
    faults: Vec<String>,
}

pub(super) async fn form(State(app): State<App>, _staff: Staff) -> Result<Response, Failed> {
    Ok(again(&app, StatusCode::OK, String::new(), Vec::new()))
}

fn again(app: &App, status: StatusCode, trouble: String, faults: Vec<String>) -> Response {
    own(status, &ImportsPage { layout: layout(app, "Imports"), trouble, faults })
}

pub(super) async fn start(
    State(app): State<App>,
    staff: Staff,
    request: Request,
) -> Result<Response, Failed> {
    let file = match upload::file(request, "file", FILE_BYTES_MAX).await {
        Ok(file) => file,
        Err(refused) => {
            let (status, faults) = Faults::of_refusal(refused)?;
            return Ok(again(&app, status, faults.summary(), Vec::new()));
        }
    };
    let read = Catalogue::read(&file);
    drop(file);
    let Catalogue { items, lines } = match read {
        Ok(read) => read,
        Err(faults) => {
            let trouble = "Nothing of this file is imported.".to_owned();
            return Ok(again(&app, StatusCode::UNPROCESSABLE_ENTITY, trouble, faults));
        }
    };
    match import(&app, &staff, items).await {
        Ok(import) => Ok(see_other(&format!("/staff/imports/{}", import.import_id))),
        Err(refused) => {
            let (status, faults) = Faults::of_refusal(refused)?;
            let named =
                |(field, fault): &(String, String)| format!("{}: {fault}", lines.named(field));
            let of_lines = faults.fields().iter().map(named).collect();
            Ok(again(&app, status, faults.whole, of_lines))
        }
    }
}

async fn import(
    app: &App,
    staff: &Staff,
    items: Vec<product::ImportProductsRequest>,
) -> Result<product::Import, Problem> {
    let end = Part::ItemsSent(i64::try_from(items.len()).unwrap_or_default());
    let parts = items.into_iter().map(Part::Item).chain([end]);
    let parts = parts.map(|part| product::StartImportRequest { part: Some(part) });
    let request = staff.token.request(stream::iter(parts));
    required(app.product().start_import(request).await?.into_inner().import)
}

#[derive(Template)]
#[template(path = "staff-import.html")]
struct ImportPage {
    layout: Layout,
    import: product::Import,
}

impl ImportPage {
    fn is_running(&self) -> bool {
        self.import.state() == ImportState::Running
    }

    fn heading(&self) -> &'static str {
        match self.import.state() {
            ImportState::Running => "The import is under way",
            ImportState::Done => "The import is done",
            ImportState::Cancelled => "The import was cancelled",
            ImportState::Failed => "The import has failed",
            ImportState::Unspecified => "An import",
        }
    }
}

type Wanted = Result<Id<ImportId>, Problem>;

pub(super) async fn one(
    State(app): State<App>,
    staff: Staff,
    id: Wanted,
) -> Result<Response, Failed> {
    let Id(id) = id?;
    let import = how_far(&app, &staff.token, id).await?;
    Ok(own(StatusCode::OK, &ImportPage { layout: layout(&app, "An import"), import }))
}

/// The same stream as `/v1/staff/imports/{id}/events`, by cookie.
pub(super) async fn watch(
    State(app): State<App>,
    staff: Staff,
    id: Wanted,
    seen: Result<LastEventId, Problem>,
    permit: Option<Extension<Arc<Permit>>>,
) -> Result<Response, Failed> {
    let (Id(id), LastEventId(seen)) = (id?, seen?);
    let permit = permit.map(|Extension(permit)| permit);
    Ok(follow(app, staff.token, id, seen, permit).await?)
}

/// Its page says how it has ended, whether by this or before.
pub(super) async fn cancel(
    State(app): State<App>,
    staff: Staff,
    id: Wanted,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response, Failed> {
    let Id(id) = id?;
    let request = product::CancelImportRequest { import_id: id.to_string() };
    let cancelled = app.product().cancel_import(staff.token.request(request)).await;
    match cancelled.map_err(Problem::from) {
        Err(refused) if refused.code() != "import_ended" => Err(refused.into()),
        _ => Ok(see_other(&format!("/staff/imports/{id}"))),
    }
}
