//! Where SQL stands, and where transactions begin.

use crate::{Complaints, Source, Tree, rust};

/// The files of a service in which a transaction may begin: a use case, a handler, a worker.
const BEGIN: [&str; 3] = ["app.rs", "events.rs", "worker.rs"];

/// Words that SQL has and prose hardly: in capitals they are the wrong case.
const WORDS: [&str; 8] =
    ["SELECT", "INSERT INTO", "UPDATE", "DELETE FROM", "WHERE", "RETURNING", "VALUES", "CREATE"];

fn file_in_src<'a>(source: &Source<'a>) -> Option<&'a str> {
    source.path.strip_prefix("services/")?.split_once("/src/").map(|(_, file)| file)
}

fn is_store(file: &str) -> bool {
    file == "store.rs" || file.starts_with("store/")
}

/// Every statement of a context is in its store; the gateway has none.
pub fn is_in_the_store(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for source in tree.sources() {
        let outside = match file_in_src(&source) {
            Some(file) => !is_store(file),
            None => source.path.starts_with("gateway/"),
        };
        let lines = source.shipped.lines().enumerate();
        for (at, _) in lines.filter(|(_, line)| outside && line.contains("sqlx::query")) {
            complaints.push(format!(
                "{}:{}: move the statement into store.rs, behind a function with a name",
                source.path,
                at + 1
            ));
        }
    }
    complaints
}

/// SQL is written in lower case, in stores and in migrations.
pub fn is_in_lower_case(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for file in tree.files() {
        let sql = if file.path.ends_with(".sql") {
            let line = |line: &str| line.split("--").next().unwrap_or_default().to_owned() + "\n";
            file.text.lines().map(line).collect()
        } else if file.path.ends_with("/store.rs") || file.path.contains("/store/") {
            rust::strings(&file.text)
        } else {
            continue;
        };
        for word in WORDS {
            let lines = rust::lines_with(&sql, word).into_iter();
            complaints.extend(
                lines.map(|line| format!("{}:{line}: write {word} in lower case", file.path)),
            );
        }
    }
    complaints
}

/// A transaction begins in a unit of work and nowhere else: a future that a request drops would
/// leave its connection inside the transaction.
pub fn transactions_begin_in_units_of_work(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for source in tree.sources() {
        let Some(file) = file_in_src(&source) else { continue };
        let begins = |call: &str| {
            let lines = source.shipped.lines().enumerate();
            lines.filter(|(_, line)| line.contains(call)).map(|(at, _)| at + 1).collect::<Vec<_>>()
        };
        let in_requests = begins(".begin(");
        if !in_requests.is_empty() && !source.shipped.contains("unit_of_work") {
            complaints.push(format!(
                "{}:{}: begin inside `database.unit_of_work(async move {{ … }})`, which a dropped \
                 request cannot drop",
                source.path, in_requests[0]
            ));
        }
        let all = in_requests.into_iter().chain(begins(".begin_at("));
        let may_begin = BEGIN.contains(&file) || file.starts_with("app/");
        complaints.extend(all.filter(|_| !may_begin).map(|line| {
            format!("{}:{line}: transactions begin in {}", source.path, BEGIN.join(", "))
        }));
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_outside_the_store_is_found() {
        let code = "fn f() { sqlx::query_scalar!(\"select 1\") }";
        let at = |path| is_in_the_store(&Tree::of([(path, code)])).len();
        assert_eq!(at("services/cart/src/app.rs"), 1);
        assert_eq!(at("gateway/src/app.rs"), 1);
        assert_eq!(at("services/cart/src/store.rs"), 0);
        assert_eq!(at("services/cart/src/store/stock.rs"), 0);
        assert_eq!(at("services/cart/tests/it/main.rs"), 0);
    }

    #[test]
    fn capitals_are_found() {
        let at = |path, text| is_in_lower_case(&Tree::of([(path, text)])).len();
        assert_eq!(at("services/cart/src/store.rs", "f(\"SELECT 1\nWHERE true\"); // SELECT"), 2);
        assert_eq!(at("services/cart/migrations/0001_a.sql", "-- CREATE\ncreate table a ();"), 0);
        assert_eq!(at("services/cart/migrations/0001_a.sql", "CREATE TABLE a ();"), 1);
    }

    #[test]
    fn a_transaction_that_a_request_can_drop_is_found() {
        let at = |path, code| transactions_begin_in_units_of_work(&Tree::of([(path, code)])).len();
        let good = "database.unit_of_work(async move { database.begin(shard) })";
        assert_eq!(at("services/cart/src/app.rs", good), 0);
        assert_eq!(at("services/cart/src/app.rs", "database.begin(shard)"), 1);
        assert_eq!(at("services/order/src/app/place.rs", good), 0);
        assert_eq!(at("services/cart/src/grpc.rs", good), 1);
        assert_eq!(at("services/cart/src/store.rs", "database.begin_at(0)"), 1);
        assert_eq!(at("services/cart/src/app.rs", "database.begin_at(0)"), 0);
    }
}
