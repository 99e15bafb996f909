//! A catalogue file of the staff's: CSV (RFC 4180) whose first line names the columns.

use std::fmt::Write as _;

use csv::{ErrorKind, Position, ReaderBuilder, StringRecord, Trim};
use proto::product::v1::ImportProductsRequest;
use ring::digest::{SHA256, digest};

use super::faults::{Faults, unix_lines};

const NEEDED: [&str; 4] = ["sku", "name", "category", "price"];
const OPTIONAL: [&str; 2] = ["description", "opening_stock"];
/// So many faults are shown at most: a file with more of them has one reason, mostly.
const FAULTS_MAX: usize = 20;

/// Each takes some 350 bytes until it is sent.
const ITEMS_MAX: usize = 20_000;

/// What is in a file.
#[derive(Debug)]
pub(super) struct Catalogue {
    pub(super) items: Vec<ImportProductsRequest>,
    pub(super) lines: Lines,
}

/// In which line each of its products is.
#[derive(Debug)]
pub(super) struct Lines(Vec<u64>);

impl Catalogue {
    /// Reads a whole file. The same file has the same source, so its stock is booked in once.
    ///
    /// # Errors
    /// What is wrong with it, line by line.
    pub(super) fn read(file: &[u8]) -> Result<Self, Vec<String>> {
        let text =
            std::str::from_utf8(file).map_err(|_| vec!["the file is not UTF-8".to_owned()])?;
        let text = unix_lines(text.trim_start_matches('\u{feff}'));
        if text.bytes().filter(|byte| *byte == b'"').count() % 2 == 1 {
            return Err(vec!["a quotation mark is not closed".to_owned()]); // it would swallow the lines below
        }
        let mut csv = ReaderBuilder::new().trim(Trim::Headers).from_reader(text.as_bytes());
        let columns = csv.headers().map_err(|error| vec![error.to_string()])?.clone();
        check(&columns)?;
        let source = source(file);
        let (mut items, mut lines, mut faults) = (Vec::new(), Vec::new(), Vec::new());
        for record in csv.records() {
            if faults.len() >= FAULTS_MAX {
                break;
            }
            if items.len() == ITEMS_MAX {
                faults.push(format!(
                    "more than {ITEMS_MAX} products: send such a file to /v1/staff/imports"
                ));
                break;
            }
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    faults.push(uneven(&text, &error));
                    continue;
                }
            };
            let line = record.position().map_or(0, |at| line_of(&text, at));
            let mut wrong = Faults::default();
            items.push(item(&source, &columns, &record, &mut wrong));
            lines.push(line);
            let wrong = wrong.fields().iter();
            faults.extend(wrong.map(|(field, fault)| format!("line {line}: {field}: {fault}")));
        }
        if items.is_empty() && faults.is_empty() {
            faults.push("the file has no products".to_owned());
        }
        if faults.is_empty() { Ok(Self { items, lines: Lines(lines) }) } else { Err(faults) }
    }
}

impl Lines {
    /// `items[0].price` is `line 2: price`.
    pub(super) fn named(&self, field: &str) -> String {
        let parts = field.strip_prefix("items[").and_then(|rest| rest.split_once("]."));
        let line = parts.and_then(|(at, name)| {
            let line = self.0.get(at.parse::<usize>().ok()?)?;
            Some(format!("line {line}: {name}"))
        });
        line.unwrap_or_else(|| field.to_owned())
    }
}

fn check(columns: &StringRecord) -> Result<(), Vec<String>> {
    let known = |name: &&str| NEEDED.contains(name) || OPTIONAL.contains(name);
    let missing = NEEDED.iter().filter(|name| !columns.iter().any(|it| it == **name));
    let missing = missing.map(|name| format!("line 1: there is no column {name}"));
    let unknown = columns.iter().filter(|name| !known(name));
    let unknown = unknown.map(|name| format!("line 1: there can be no column {name:?}"));
    let twice = columns
        .iter()
        .enumerate()
        .filter(|(at, name)| columns.iter().take(*at).any(|it| it == *name));
    let twice = twice.map(|(_, name)| format!("line 1: the column {name:?} is there twice"));
    let faults: Vec<String> = missing.chain(unknown).chain(twice).take(FAULTS_MAX).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// The line of a record, counted from 1. The reader's position is before the blank lines that it skips.
fn line_of(text: &str, at: &Position) -> u64 {
    let rest = usize::try_from(at.byte()).ok().and_then(|at| text.as_bytes().get(at..));
    let blank = rest.unwrap_or_default().iter().take_while(|byte| **byte == b'\n').count();
    at.line() + blank as u64
}

/// A line with more or fewer fields than the first.
fn uneven(text: &str, error: &csv::Error) -> String {
    match error.kind() {
        ErrorKind::UnequalLengths { pos: Some(at), expected_len, len } => {
            format!("line {}: there are {len} fields, not {expected_len}", line_of(text, at))
        }
        _ => error.to_string(),
    }
}

fn item(
    source: &str,
    columns: &StringRecord,
    record: &StringRecord,
    faults: &mut Faults,
) -> ImportProductsRequest {
    let of = |name: &str| {
        let at = columns.iter().position(|column| column == name);
        at.and_then(|at| record.get(at)).unwrap_or_default()
    };
    ImportProductsRequest {
        source: source.to_owned(),
        sku: of("sku").to_owned(),
        name: of("name").to_owned(),
        description: of("description").to_owned(),
        category: of("category").to_owned(),
        price: faults.pounds("price", of("price")),
        opening_stock: faults.optional_number("opening_stock", of("opening_stock")),
    }
}

/// SHA-256 in hex.
fn source(file: &[u8]) -> String {
    let mut hex = String::with_capacity(64);
    for byte in digest(&SHA256, file).as_ref() {
        let _written = write!(hex, "{byte:02x}"); // a String takes everything
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whatever_the_order_of_its_columns() {
        let file = "\u{feff}price, sku,category,name,opening_stock,description\r\n\
                    2.55,CUP-1,Kitchen,\"Cup, blue\",5,\"two\r\nlines\"\r\n£3,CUP-2,Kitchen,Cup,,\r\n";
        let read = Catalogue::read(file.as_bytes()).unwrap();
        let [cup, other] = &read.items[..] else { panic!("{read:?}") };
        assert_eq!(
            (&*cup.sku, &*cup.name, &*cup.description),
            ("CUP-1", "Cup, blue", "two\nlines")
        );
        assert_eq!((cup.opening_stock, other.opening_stock), (5, 0));
        let price = |item: &ImportProductsRequest| item.price.as_ref().unwrap().minor_units;
        assert_eq!((price(cup), price(other)), (255, 300));
        assert_eq!((cup.source.len(), &cup.source), (64, &other.source));
        assert_eq!(read.lines.named("items[1].sku"), "line 4: sku");
        assert_eq!(read.lines.named("items[7].sku"), "items[7].sku");
    }

    #[test]
    fn every_fault_is_named_with_its_line() {
        let wrong = |file: &str| Catalogue::read(file.as_bytes()).unwrap_err();
        assert_eq!(Catalogue::read(b"sku\xff").unwrap_err(), ["the file is not UTF-8"]);
        assert_eq!(wrong("sku,name,category,price\n"), ["the file has no products"]);
        assert_eq!(
            wrong("sku,name,price,colour\n"),
            ["line 1: there is no column category", "line 1: there can be no column \"colour\""]
        );
        assert_eq!(
            wrong("sku,name,category,price,price\n"),
            ["line 1: the column \"price\" is there twice"]
        );
        let open = "sku,name,category,price,description\nA,A,C,1,\"open\nB,B,C,1,\n";
        assert_eq!(wrong(open), ["a quotation mark is not closed"]);
        let large = format!("sku,name,category,price\n{}", "A,A,C,1\n".repeat(ITEMS_MAX + 1));
        assert!(wrong(&large)[0].starts_with("more than 20000 products"));
        let file =
            "sku,name,category,price,opening_stock\nA,A,C,x,\nB,B,C,1,2\nC,C,C,1,many\n\nD\n";
        let faults = wrong(file);
        assert_eq!(faults[0], "line 2: price: pounds and pence, such as 2.55");
        assert_eq!(faults[1], "line 4: opening_stock: a whole number, such as 12");
        assert_eq!(faults[2], "line 6: there are 1 fields, not 5");
        let many = format!("sku,name,category,price\n{}", "A,A,C,x\n".repeat(1000));
        assert_eq!(wrong(&many).len(), FAULTS_MAX);
    }
}
