//! The import of a catalogue file, as JSON.

use proto::product::v1 as product;
use proto::product::v1::import::State;
use serde::Serialize;

/// How far an import is.
#[derive(Serialize)]
pub(crate) struct Import<'a> {
    import_id: &'a str,
    source: &'a str,
    state: &'static str,
    version: i64,
    items: i64,
    items_imported: i64,
    added: i64,
    revised: i64,
    unchanged: i64,
    stock_received: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    failure: &'a str,
}

impl<'a> From<&'a product::Import> for Import<'a> {
    fn from(import: &'a product::Import) -> Self {
        Self {
            import_id: &import.import_id,
            source: &import.source,
            state: match import.state() {
                State::Unspecified => "unknown",
                State::Running => "running",
                State::Done => "done",
                State::Cancelled => "cancelled",
                State::Failed => "failed",
            },
            version: import.version,
            items: import.items,
            items_imported: import.items_imported,
            added: import.added,
            revised: import.revised,
            unchanged: import.unchanged,
            stock_received: import.stock_received,
            failure: &import.failure,
        }
    }
}
