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

/// A transaction is a use case's, a handler's or a worker's: what it spans is decided there.
pub fn transactions_begin_in_use_cases(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for source in tree.sources() {
        let Some(file) = file_in_src(&source) else { continue };
        if BEGIN.contains(&file) || file.starts_with("app/") {
            continue;
        }
        let lines = source.shipped.lines().enumerate();
        let begins = lines.filter(|(_, line)| line.contains(".transaction("));
        complaints.extend(begins.map(|(at, _)| {
            format!("{}:{}: transactions begin in {}", source.path, at + 1, BEGIN.join(", "))
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
    fn a_transaction_outside_of_use_cases_is_found() {
        let code = "self.database.transaction(shard, |tx| work(tx).boxed())";
        let at = |path| transactions_begin_in_use_cases(&Tree::of([(path, code)])).len();
        assert_eq!(at("services/cart/src/app.rs"), 0);
        assert_eq!(at("services/order/src/app/place.rs"), 0);
        assert_eq!(at("services/cart/src/grpc.rs"), 1);
        assert_eq!(at("services/cart/src/store.rs"), 1);
    }
}
