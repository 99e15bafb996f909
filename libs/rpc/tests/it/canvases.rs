//! The canvases say who calls what, and say the same as the table.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rpc::callers::TABLE;

#[test]
fn canvases_agree_with_the_table_of_callers() {
    let contexts: BTreeSet<_> = TABLE.iter().filter_map(|(path, _)| context(path)).collect();
    for context in contexts {
        let path = format!("services/{context}/README.md");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let canvas = fs::read_to_string(root.join(&path)).unwrap();
        let expected = called_by(context);
        assert_eq!(
            cell(&canvas),
            expected,
            "{path}: the row \"called by\" should say\n{expected}\n"
        );
    }
}

/// `order`, of `/souk.order.v1.OrderService/GetOrder`.
fn context(path: &'static str) -> Option<&'static str> {
    path.strip_prefix("/souk.")?.split('.').next()
}

/// What stands beside "called by".
fn cell(canvas: &str) -> &str {
    let row = canvas.lines().find_map(|line| {
        let (name, cell) = line.strip_prefix('|')?.split_once('|')?;
        let name = name.trim().trim_matches('*');
        name.eq_ignore_ascii_case("called by").then_some(cell)
    });
    row.unwrap_or_default().trim_end_matches('|').trim()
}

/// Each caller, with its methods when these are not all.
fn called_by(context: &str) -> String {
    let rows: Vec<_> =
        TABLE.iter().filter(|(path, _)| self::context(path) == Some(context)).collect();
    let names: BTreeSet<_> = rows.iter().flat_map(|(_, callers)| callers.iter()).collect();
    let callers = names.into_iter().map(|caller| {
        let its: Vec<_> = rows.iter().filter(|(_, callers)| callers.contains(caller)).collect();
        let methods = its.iter().filter_map(|(path, _)| path.rsplit('/').next());
        let methods = methods.map(|method| format!("`{method}`")).collect::<Vec<_>>().join(" ");
        if its.len() == rows.len() { (*caller).to_owned() } else { format!("{caller}: {methods}") }
    });
    callers.collect::<Vec<_>>().join(" · ")
}
