//! What was read, and what came of it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::rows::{Sale, Skip};
use crate::api::Imported;

/// Maximum number of skipped stock codes in the report.
const CODES_SHOWN: usize = 12;

/// Counts of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// All rows but the first line.
    pub rows: u64,
    /// Distinct products.
    pub products: usize,
    /// Sales to nobody in particular, which count.
    pub without_customer: u64,
    /// Sales without a description, which count for everything but the name.
    pub without_description: u64,
    /// Rows that do not count.
    pub skipped: BTreeMap<Skip, u64>,
}

impl Report {
    /// Counts a row.
    pub fn count(&mut self, row: &Result<Sale, Skip>) {
        self.rows += 1;
        match row {
            Ok(sale) => {
                self.without_customer += u64::from(!sale.customer);
                self.without_description += u64::from(sale.description.is_empty());
            }
            Err(reason) => *self.skipped.entry(reason.clone()).or_default() += 1,
        }
    }

    /// Rows that count.
    pub fn used(&self) -> u64 {
        self.rows - self.skipped.values().sum::<u64>()
    }

    /// For people.
    pub fn lines(&self) -> Vec<String> {
        let used = format!(
            "{} ({} of them without a customer, {} without a description)",
            grouped(self.used()),
            grouped(self.without_customer),
            grouped(self.without_description)
        );
        let mut lines = vec![
            row("rows", &grouped(self.rows)),
            row("sales", &used),
            row("products", &grouped(self.products as u64)),
        ];
        lines.extend(
            self.reasons()
                .into_iter()
                .map(|(reason, count)| row("skipped", &format!("{:>6} {reason}", grouped(count)))),
        );
        lines
    }

    /// Codes that are no products are one reason.
    fn reasons(&self) -> Vec<(String, u64)> {
        let is_code = |reason: &Skip| matches!(reason, Skip::NotAProduct(_));
        let mut codes: Vec<(&str, u64)> = Vec::new();
        for (reason, count) in &self.skipped {
            if let Skip::NotAProduct(code) = reason {
                codes.push((code, *count));
            }
        }
        codes.sort_by_key(|(code, count)| (std::cmp::Reverse(*count), *code));
        let all: u64 = codes.iter().map(|(_, count)| count).sum();
        let shown = codes.iter().take(CODES_SHOWN).map(|(code, count)| format!("{code} {count}"));
        let mut shown: Vec<String> = shown.collect();
        if codes.len() > CODES_SHOWN {
            shown.push("…".to_owned());
        }
        let others = self.skipped.iter().filter(|(reason, _)| !is_code(reason));
        let mut reasons: Vec<(String, u64)> =
            others.map(|(reason, count)| (reason.to_string(), *count)).collect();
        if all > 0 {
            reasons.push((format!("not a product: {}", shown.join(", ")), all));
        }
        reasons
    }
}

/// What the shop says, for people.
pub fn imported(imported: &Imported, reading: Duration, sending: Duration) -> Vec<String> {
    let Imported { added, revised, unchanged, stock_received } = imported;
    let pieces = grouped(u64::try_from(*stock_received).unwrap_or_default());
    vec![
        row("catalogue", &format!("{added} added, {revised} revised, {unchanged} unchanged")),
        row("stock", &format!("{pieces} pieces received")),
        row(
            "took",
            &format!(
                "{:.1} s to read and check, {:.1} s to import",
                reading.as_secs_f64(),
                sending.as_secs_f64()
            ),
        ),
    ]
}

fn row(name: &str, text: &str) -> String {
    format!("{name:<10} {text}")
}

/// `42481` is `42,481`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let comma = |(at, digit): (usize, char)| {
        let here = at > 0 && (digits.len() - at).is_multiple_of(3);
        here.then_some(',').into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(comma).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn every_row_is_accounted_for() {
        let mut report = Report::default();
        for code in ["POST", "POST", "M"] {
            report.count(&Err(Skip::NotAProduct(code.into())));
        }
        report.count(&Err(Skip::Cancelled));
        assert_eq!((report.rows, report.used()), (4, 0));
        let lines = report.lines().join("\n");
        assert!(lines.contains("3 not a product: POST 2, M 1"), "{lines}");
        assert!(lines.contains("1 cancellations"), "{lines}");
    }
}
