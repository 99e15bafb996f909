//! `cargo souk trace`.

use clap::Args;

/// Options of `trace`.
#[derive(Debug, Args)]
pub struct TraceOf {
    /// The id of an order that was bought minutes ago at most, on a page or with `cargo souk order`
    #[arg(value_name = "ORDER", value_parser = order_id)]
    pub order: String,
    /// For programs: its spans as JSON
    #[arg(long)]
    pub json: bool,
}

/// In lower case, as the shop writes it.
fn order_id(text: &str) -> Result<String, String> {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    match digits && groups == [8, 4, 4, 4, 12] {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("not the id of an order (a UUID)".to_owned()),
    }
}
