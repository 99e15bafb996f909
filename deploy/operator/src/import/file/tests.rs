//! Whole files, clean and dirty.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const HEADER: &str =
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";
const SALE: &str = "536365,85123A,WHITE HEART,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom\n";

fn read_bytes(bytes: &[u8]) -> Result<Contents> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).expect("written");
    read(&path, |_, _| ())
}

fn complaint(text: &str) -> String {
    read_bytes(text.as_bytes()).expect_err("malformed").to_string()
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

#[test]
fn plain_and_zipped_files_say_the_same_but_are_two_sources() {
    let text = format!("{HEADER}{SALE}{SALE}");
    let plain = read_bytes(text.as_bytes()).expect("well formed");
    let zipped = read_bytes(&zipped(text.as_bytes())).expect("well formed");
    assert_eq!(plain.report, zipped.report);
    assert_eq!(plain.lines[0].opening_stock, 12);
    assert_eq!(zipped.lines[0].name, plain.lines[0].name);
    assert_ne!(zipped.lines[0].source, plain.lines[0].source);
}

#[test]
fn the_source_is_the_hash_of_the_file() {
    let text = format!("{HEADER}{SALE}");
    let expected = hex(ring::digest::digest(&SHA256, text.as_bytes()).as_ref());
    assert_eq!(read_bytes(text.as_bytes()).expect("well formed").lines[0].source, expected);
}

#[test]
fn a_malformed_file_is_refused_with_the_line() {
    let bad_price = SALE.replace("2.55", "cheap");
    for (text, expected) in [
        (format!("{HEADER}{SALE}{bad_price}"), "line 3: UnitPrice \"cheap\" is not an amount"),
        (format!("{HEADER}{SALE}a,b,c\n"), "line 3: 3 fields instead of 8"),
        (format!("{SALE}{SALE}"), "line 1: there is no column InvoiceNo"),
        (String::new(), "line 1: there is no column InvoiceNo"),
        (
            format!("{HEADER}1,22423,\"two\nlines\",1,2010-12-01 08:26:00,1,,UK\n{bad_price}"),
            "line 4: UnitPrice",
        ),
    ] {
        let complaint = complaint(&text);
        assert!(complaint.starts_with(expected), "{complaint}");
    }
}

#[test]
fn a_zipped_file_that_was_cut_off_is_refused() {
    let rows: String = (0..5_000).map(|n| SALE.replace("536365", &n.to_string())).collect();
    let whole = zipped(format!("{HEADER}{rows}").as_bytes());
    let error = read_bytes(&whole[..whole.len() / 2]).expect_err("half a file").to_string();
    assert!(error.contains("the file ends in the middle"), "{error}");
    let mut damaged = whole.clone();
    let last = damaged.len() - 6; // in the checksum
    damaged[last] ^= 0xff;
    assert!(read_bytes(&damaged).is_err(), "the checksum is looked at");
}

#[test]
fn a_quote_that_is_never_closed_does_not_fill_the_memory() {
    let text = format!("{HEADER}{SALE}1,22423,\"open,{}", SALE.repeat(30_000));
    let complaint = complaint(&text);
    assert!(complaint.starts_with("line 3: "), "{complaint}");
    assert!(complaint.contains("more than a megabyte"), "{complaint}");
}

#[test]
fn an_empty_month_is_no_error_here() {
    let contents = read_bytes(HEADER.as_bytes()).expect("well formed");
    assert!(contents.lines.is_empty());
    assert_eq!(contents.report, Report::default());
}
