//! What the contexts tell each other: verbs with a comment, facts in the past tense, nothing
//! personal.

use crate::{Complaints, File, Tree};

/// Parts of field names that would put a person, a card or a key on the bus. `name` is among
/// them: an event has no use for any.
const PERSONAL: &str = "email mail name address addresses street line1 line2 city postcode zip \
    phone recipient birth birthday gender card pan iban cvc token password secret key ip ship";

fn personal() -> impl Iterator<Item = &'static str> {
    PERSONAL.split_whitespace()
}

/// Past tenses that do not end in -ed.
const IRREGULAR: [&str; 6] = ["Held", "Paid", "Sent", "Sold", "Left", "Lost"];

/// A field, and the messages around it, outermost first.
struct Field {
    messages: Vec<String>,
    name: String,
}

enum Block<'a> {
    Message(&'a str),
    OneOf,
    Other,
}

/// All fields of a .proto file, in their order.
fn fields(proto: &str) -> Vec<Field> {
    let lines = proto.lines().map(|line| line.split("//").next().unwrap_or_default());
    let spaced: String = lines
        .flat_map(|line| line.chars().chain([' ']))
        .flat_map(|c| match c {
            '{' | '}' | ';' | '=' => vec![' ', c, ' '],
            _ => vec![c],
        })
        .collect();
    let (mut blocks, mut statement, mut fields) = (Vec::new(), Vec::new(), Vec::new());
    for token in spaced.split_whitespace() {
        match token {
            "{" => {
                let name = statement.get(1).copied();
                blocks.push(match statement.first() {
                    Some(&"message") => Block::Message(name.unwrap_or_default()),
                    Some(&"oneof") => Block::OneOf,
                    _ => Block::Other,
                });
                statement.clear();
            }
            "}" => {
                blocks.pop();
                statement.clear();
            }
            ";" => {
                fields.extend(field(&blocks, &statement));
                statement.clear();
            }
            _ => statement.push(token),
        }
    }
    fields
}

fn field(blocks: &[Block<'_>], statement: &[&str]) -> Option<Field> {
    let equals = statement.iter().position(|token| *token == "=")?;
    if matches!(blocks.last()?, Block::Other) || statement[0] == "option" {
        return None;
    }
    let messages = blocks.iter().filter_map(|block| match block {
        Block::Message(name) => Some((*name).to_owned()),
        Block::OneOf | Block::Other => None,
    });
    let name = statement.get(equals.checked_sub(1)?)?;
    Some(Field { messages: messages.collect(), name: (*name).to_owned() })
}

fn event_files(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files()
        .filter(|file| file.path.starts_with("proto/") && file.path.ends_with("/events.proto"))
}

/// No e-mail, name, address, card or key in an event: it is kept for days, in places that nobody
/// erases.
pub fn events_are_impersonal(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for file in event_files(tree) {
        for Field { messages, name } in fields(&file.text) {
            if let Some(word) = name.split('_').find(|word| personal().any(|known| known == *word))
            {
                complaints.push(format!(
                    "{}: {}.{name}: `{word}` does not travel. Send an id, and let who needs more ask",
                    file.path,
                    messages.join(".")
                ));
            }
        }
    }
    complaints
}

/// An event is a fact in the past tense, and its first field is the id of what it happened to.
pub fn events_are_facts(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for file in event_files(tree) {
        let fields = fields(&file.text);
        let mut events: Vec<(&str, &str)> = Vec::new();
        for message in top_level(&file.text) {
            let mut own = fields.iter().filter(|field| field.messages == [message]);
            events.push((message, own.next().map_or("", |field| &field.name)));
        }
        for (event, first) in events {
            let past = event.ends_with("ed") || IRREGULAR.iter().any(|end| event.ends_with(end));
            if !past {
                complaints.push(format!(
                    "{}: {event}: say what happened, as OrderPlaced does",
                    file.path
                ));
            }
            if !first.ends_with("_id") {
                complaints.push(format!(
                    "{}: {event}: the first field is the id of its aggregate; it makes the subject",
                    file.path
                ));
            }
        }
    }
    complaints
}

fn top_level(proto: &str) -> Vec<&str> {
    let headers = proto.lines().filter_map(|line| line.strip_prefix("message "));
    headers.filter_map(|header| header.split([' ', '{']).next()).collect()
}

/// Every RPC has a comment, and a request and a response of its own.
pub fn rpcs_are_explained(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for file in tree.files().filter(|file| file.path.ends_with(".proto")) {
        let mut before = "";
        for (at, line) in file.text.lines().map(str::trim).enumerate() {
            if let Some(rpc) = line.strip_prefix("rpc ") {
                let place = format!("{}:{}", file.path, at + 1);
                let name = rpc.split('(').next().unwrap_or_default().trim();
                if !before.starts_with("//") {
                    complaints.push(format!(
                        "{place}: {name}: say who may call, which errors there are, what a second call does"
                    ));
                }
                if !rpc.contains(&format!("{name}Request)"))
                    || !rpc.contains(&format!("{name}Response)"))
                {
                    complaints.push(format!(
                        "{place}: {name}: give it {name}Request and {name}Response, shared with nobody"
                    ));
                }
            }
            before = line;
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Tree {
        Tree::of([("proto/souk/order/v1/events.proto", text)])
    }

    #[test]
    fn personal_fields_are_found_wherever_they_hide() {
        let good = "message OrderPlaced { message Line { string product_id = 1; } string order_id = 1; repeated Line lines = 2; }";
        assert!(events_are_impersonal(&events(good)).is_empty());
        for word in personal() {
            for bad in [
                format!("message A {{ string order_id = 1; string {word} = 2; }}"),
                format!(
                    "message A {{ string order_id = 1; message B {{ repeated string new_{word} = 1; }} }}"
                ),
                format!("message A {{\n  oneof how {{\n    string {word}_of_user = 2;\n  }}\n}}"),
                format!("message A {{ map<string, string> {word} = 2; }}"),
            ] {
                assert_eq!(events_are_impersonal(&events(&bad)).len(), 1, "{bad}");
            }
        }
        assert!(
            events_are_impersonal(&events("message A { string a_id = 1; } // email = 2;"))
                .is_empty()
        );
    }

    #[test]
    fn wishes_and_facts_about_nothing_are_found() {
        assert!(
            events_are_facts(&events("message OrderStockHeld {\n  string order_id = 1;\n}"))
                .is_empty()
        );
        assert_eq!(
            events_are_facts(&events("message PlaceOrder {\n  string order_id = 1;\n}")).len(),
            1
        );
        assert_eq!(
            events_are_facts(&events("message OrderPlaced {\n  int64 total = 1;\n}")).len(),
            1
        );
        assert_eq!(events_are_facts(&events("message OrderPlaced {}")).len(), 1);
    }

    #[test]
    fn silent_and_shared_rpcs_are_found() {
        let with = |rpc: &str| {
            let text = format!("service S {{\n  {rpc}\n}}");
            rpcs_are_explained(&Tree::of([("proto/souk/cart/v1/cart.proto", &*text)])).len()
        };
        assert_eq!(with("// Why.\n  rpc Get(GetRequest) returns (stream GetResponse) {"), 0);
        assert_eq!(with("rpc Get(GetRequest) returns (GetResponse);"), 1);
        assert_eq!(with("// Why.\n  rpc Get(Empty) returns (GetResponse);"), 1);
    }
}
