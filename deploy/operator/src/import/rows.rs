//! One row of the file: is it well formed, and is it a sale?

use std::fmt;

use csv::ByteRecord;
use time::{Date, Month, PrimitiveDateTime, Time};

use super::decimal::{NotPence, pence};

/// The columns that are read, by their names in the first line.
const COLUMNS: [&str; 7] =
    ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID"];

const TEXT_MAX: usize = 200;
const CODE_MAX: usize = 64;
const QUANTITY_MAX: i64 = 1_000_000_000;
const PENCE_MAX: i64 = 1_000_000_000;

/// A row that says that something was sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sale {
    /// Five digits and perhaps letters, in capitals: `85123a` and `85123A` are one product.
    pub code: String,
    /// May be empty.
    pub description: String,
    /// At least 1.
    pub quantity: i64,
    /// When.
    pub at: PrimitiveDateTime,
    /// At least 1.
    pub pence: i64,
    /// Whether it is known who bought it.
    pub customer: bool,
}

/// Why a row does not count, in the order in which that is asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skip {
    /// Its code is no product's: postage, fees, vouchers, manual entries. With the code.
    NotAProduct(String),
    /// A cancellation: its invoice begins with C.
    Cancelled,
    /// Nothing or less was sold: a correction of the stock.
    NoQuantity,
    /// Nothing or less was asked for it: breakage, samples, corrections.
    NoPrice,
    /// A price that money cannot pay.
    FinerThanPence,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAProduct(_) => "not a product",
            Self::Cancelled => "cancellations",
            Self::NoQuantity => "without a positive quantity",
            Self::NoPrice => "without a positive price",
            Self::FinerThanPence => "priced in fractions of a penny",
        })
    }
}

/// Where the columns are.
#[derive(Clone, Debug)]
pub struct Columns([usize; 7]);

impl Columns {
    /// Finds them in the first line.
    ///
    /// # Errors
    /// When one is not there; names it.
    pub fn find(header: &ByteRecord) -> Result<Self, String> {
        let names: Vec<String> = header.iter().map(|name| text(name).to_lowercase()).collect();
        let mut places = [0; 7];
        for (place, column) in places.iter_mut().zip(COLUMNS) {
            let found = names.iter().position(|name| *name == column.to_lowercase());
            *place = found.ok_or_else(|| format!("there is no column {column}"))?;
        }
        Ok(Self(places))
    }

    /// Reads one row.
    ///
    /// # Errors
    /// What is malformed in it.
    pub fn read(&self, record: &ByteRecord) -> Result<Result<Sale, Skip>, String> {
        let [invoice, code, description, quantity, date, price, customer] =
            self.0.map(|place| text(record.get(place).unwrap_or_default()));
        let invoice = nonempty("InvoiceNo", invoice)?;
        let code = nonempty("StockCode", code)?;
        check_length("StockCode", &code, CODE_MAX)?;
        check_length("Description", &description, TEXT_MAX)?;
        let quantity = whole(&quantity)?;
        let at = moment(&date).ok_or_else(|| format!("InvoiceDate {date:?} is not a time"))?;
        let pence = match pence(&price) {
            Ok(pence) if pence.abs() <= PENCE_MAX => Ok(pence),
            Ok(_) | Err(NotPence::Malformed) => {
                return Err(format!("UnitPrice {price:?} is not an amount"));
            }
            Err(NotPence::Finer) => Err(Skip::FinerThanPence),
        };
        let sale = || {
            if !is_product(&code) {
                return Err(Skip::NotAProduct(code.to_uppercase()));
            }
            if invoice.starts_with(['C', 'c']) {
                return Err(Skip::Cancelled);
            }
            if quantity <= 0 {
                return Err(Skip::NoQuantity);
            }
            let pence = pence?;
            if pence <= 0 {
                return Err(Skip::NoPrice);
            }
            let (code, customer) = (code.to_uppercase(), !customer.is_empty());
            Ok(Sale { code, description, quantity, at, pence, customer })
        };
        Ok(sale())
    }
}

/// Five digits, and letters for a colour or a size.
fn is_product(code: &str) -> bool {
    let Some((digits, letters)) = code.split_at_checked(5) else { return false };
    digits.bytes().all(|byte| byte.is_ascii_digit())
        && letters.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn nonempty(column: &str, value: String) -> Result<String, String> {
    if value.is_empty() { Err(format!("{column} is empty")) } else { Ok(value) }
}

fn check_length(column: &str, value: &str, max: usize) -> Result<(), String> {
    let length = value.chars().count();
    if length <= max { Ok(()) } else { Err(format!("{column} has {length} characters, not {max}")) }
}

fn whole(text: &str) -> Result<i64, String> {
    let number: Option<i64> = text.parse().ok();
    let number = number.filter(|number| number.abs() <= QUANTITY_MAX);
    number.ok_or_else(|| format!("Quantity {text:?} is not a whole number"))
}

/// UTF-8, or else Latin-1, in which the data set was published first; white space made single.
fn text(bytes: &[u8]) -> String {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    let words =
        text.trim_start_matches('\u{feff}').split(|c: char| c.is_whitespace() || c.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// `2010-12-01 08:26:00`, or `12/1/2010 8:26` as the data set was published first.
fn moment(text: &str) -> Option<PrimitiveDateTime> {
    let (date, clock) = text.split_once(' ')?;
    let [year, month, day] = match date.split_once('-') {
        Some(_) => numbers(date, '-')?,
        None => {
            let [month, day, year] = numbers(date, '/')?;
            [year, month, day]
        }
    };
    let clock =
        if clock.matches(':').count() == 1 { format!("{clock}:0") } else { clock.to_owned() };
    let [hour, minute, second] = numbers(&clock, ':')?;
    let small = |number: u16| u8::try_from(number).ok();
    let month = Month::try_from(small(month)?).ok()?;
    let date = Date::from_calendar_date(i32::from(year), month, small(day)?).ok()?;
    let time = Time::from_hms(small(hour)?, small(minute)?, small(second)?).ok()?;
    Some(PrimitiveDateTime::new(date, time))
}

fn numbers(text: &str, separator: char) -> Option<[u16; 3]> {
    let parts: Vec<u16> =
        text.split(separator).map(|part| part.parse().ok()).collect::<Option<_>>()?;
    parts.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Columns {
        let header =
            "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country";
        Columns::find(&ByteRecord::from(header.split(',').collect::<Vec<_>>())).expect("all there")
    }

    /// Fields separated by bars.
    fn read(row: &str) -> Result<Result<Sale, Skip>, String> {
        columns().read(&ByteRecord::from(row.split('|').collect::<Vec<_>>()))
    }

    #[test]
    fn dirty_rows() {
        let skip = |reason| Ok(Err(reason));
        let no_product = |code: &str| Ok(Err(Skip::NotAProduct(code.into())));
        for (row, expected) in [
            ("C536379|22423|CAKESTAND|-1|2010-12-01 09:41:00|27.5|1|UK", skip(Skip::Cancelled)),
            ("C536379|D|Discount|-1|2010-12-01 09:41:00|27.5|1|UK", no_product("D")),
            ("1|POST|POSTAGE|3|2010-12-01 09:41:00|18.0|1|France", no_product("POST")),
            ("1|m|Manual|1|2010-12-01 09:41:00|1.25||UK", no_product("M")),
            (
                "1|BANK CHARGES|Bank Charges|1|2010-12-01 09:41:00|15||UK",
                no_product("BANK CHARGES"),
            ),
            ("1|AMAZONFEE|FEE|1|2010-12-01 09:41:00|13541.33||UK", no_product("AMAZONFEE")),
            ("1|gift_0001_40|VOUCHER|1|2010-12-01 09:41:00|34||UK", no_product("GIFT_0001_40")),
            ("1|DCGS0076|HAYNES|1|2010-12-01 09:41:00|3||UK", no_product("DCGS0076")),
            ("1|C2|CARRIAGE|1|2010-12-01 09:41:00|50||UK", no_product("C2")),
            ("1|2242|short|1|2010-12-01 09:41:00|1||UK", no_product("2242")),
            ("1|224230|long|1|2010-12-01 09:41:00|1||UK", no_product("224230")),
            ("1|22423|broken|-9|2010-12-01 09:41:00|0.0||UK", skip(Skip::NoQuantity)),
            ("1|22423|none|0|2010-12-01 09:41:00|1.0||UK", skip(Skip::NoQuantity)),
            ("1|22423|free|5|2010-12-01 09:41:00|0.0||UK", skip(Skip::NoPrice)),
            ("1|22423|debt|5|2010-12-01 09:41:00|-11.06||UK", skip(Skip::NoPrice)),
            ("1|22423|tiny|5|2010-12-01 09:41:00|0.001||UK", skip(Skip::FinerThanPence)),
        ] {
            assert_eq!(read(row), expected, "{row}");
        }
    }

    #[test]
    fn a_sale_is_one_with_or_without_a_customer_or_a_description() {
        let sale = |row: &str| read(row).expect("well formed").expect("a sale");
        let known = sale("536365|85123a|WHITE  HEART |6|2010-12-01 08:26:00|2.55|17850.0|UK");
        assert_eq!((known.code.as_str(), known.description.as_str()), ("85123A", "WHITE HEART"));
        assert_eq!((known.quantity, known.pence, known.customer), (6, 255, true));
        let unknown = sale("536365|15056BL||1|12/1/2010 8:26|5.95||UK");
        assert_eq!((unknown.customer, unknown.description.as_str()), (false, ""));
        assert_eq!(known.at, unknown.at, "both ways to write a time");
    }

    #[test]
    fn what_is_malformed_is_named() {
        for (row, expected) in [
            ("|22423|x|1|2010-12-01 09:41:00|1||UK", "InvoiceNo is empty"),
            ("1||x|1|2010-12-01 09:41:00|1||UK", "StockCode is empty"),
            ("1|22423|x|1.5|2010-12-01 09:41:00|1||UK", "Quantity \"1.5\" is not a whole number"),
            ("1|22423|x||2010-12-01 09:41:00|1||UK", "Quantity \"\" is not a whole number"),
            ("1|22423|x|9999999999|2010-12-01 09:41:00|1||UK", "Quantity \"9999999999\""),
            ("1|22423|x|1|2010-13-01 09:41:00|1||UK", "InvoiceDate \"2010-13-01 09:41:00\""),
            ("1|22423|x|1|yesterday|1||UK", "InvoiceDate \"yesterday\" is not a time"),
            ("1|22423|x|1|2010-12-01 09:41:00|1,5||UK", "UnitPrice \"1,5\" is not an amount"),
            ("1|22423|x|1|2010-12-01 09:41:00|99999999||UK", "UnitPrice \"99999999\""),
            ("1|POST|x|1|2010-12-01 09:41:00|x||UK", "UnitPrice \"x\" is not an amount"),
        ] {
            let complaint = read(row).expect_err(row);
            assert!(complaint.starts_with(expected), "{row}: {complaint}");
        }
        let long = format!("1|22423|{}|1|2010-12-01 09:41:00|1||UK", "x".repeat(201));
        assert_eq!(read(&long).expect_err("long"), "Description has 201 characters, not 200");
    }

    #[test]
    fn columns_are_found_by_name_and_a_missing_one_is_named() {
        let moved = ["\u{feff}country", "UNITPRICE", "CustomerID", "Quantity", "InvoiceDate"];
        let header = ByteRecord::from([&moved[..], &["Description", "StockCode"]].concat());
        assert_eq!(
            Columns::find(&header).expect_err("one is missing"),
            "there is no column InvoiceNo"
        );
    }

    #[test]
    fn text_that_is_not_utf8_is_latin1() {
        assert_eq!(text(b"\xa35 NOTE"), "£5 NOTE");
        assert_eq!(text("CAFÉ".as_bytes()), "CAFÉ");
    }
}
