//! What is wrong with a form, field by field, and amounts and numbers as people write them.

use http::StatusCode;
use proto::money::v1::Money;

use crate::problem::Problem;

/// After 503 or 504. Every form of the staff may be sent again: none does anything twice.
const UNKNOWN: &str = "The shop did not answer in time, so it is not known here whether this was done. \
     Send it again: it is done once, however often it is sent.";

const SKU_TAKEN: &str =
    "a product has this SKU; if this form was sent before, it may be the one that was added then";

/// What is wrong with a form.
#[derive(Default)]
pub(super) struct Faults {
    fields: Vec<(String, String)>,
    /// What is wrong with no field of its own.
    pub(super) whole: String,
}

impl Faults {
    /// The fault of this field; empty when there is none.
    pub(super) fn of(&self, field: &str) -> &str {
        self.fields.iter().find(|(name, _)| name == field).map_or("", |(_, fault)| fault)
    }

    /// Every field at fault.
    pub(super) fn fields(&self) -> &[(String, String)] {
        &self.fields
    }

    /// All that is wrong, in one line: for a page that has none of these fields.
    pub(super) fn summary(&self) -> String {
        let fields = self.fields.iter().map(|(field, fault)| format!("{field}: {fault}"));
        let whole = Some(self.whole.clone()).filter(|whole| !whole.is_empty());
        whole.into_iter().chain(fields).collect::<Vec<_>>().join("; ")
    }

    /// Says of the form as a whole what is wrong with fields that its page does not have.
    pub(super) fn keep(&mut self, has: impl Fn(&str) -> bool) {
        let (shown, others) =
            std::mem::take(&mut self.fields).into_iter().partition(|it| has(&it.0));
        let others = Self { fields: others, whole: std::mem::take(&mut self.whole) };
        *self = Self { fields: shown, whole: others.summary() };
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.whole.is_empty()
    }

    /// Only the first fault of a field is shown.
    pub(super) fn add(&mut self, field: impl Into<String>, fault: impl Into<String>) {
        self.fields.push((field.into(), fault.into()));
    }

    /// What a refusal says of a form, and the status of its page.
    ///
    /// # Errors
    /// The refusal, when no other input would be better: then there is no form to show.
    pub(super) fn of_refusal(refused: Problem) -> Result<(StatusCode, Self), Problem> {
        let status = refused.status();
        let mut faults = Self::default();
        if refused.is_outage() {
            UNKNOWN.clone_into(&mut faults.whole);
            return Ok((status, faults));
        }
        let is_about_input = status.is_client_error() && status != StatusCode::NOT_FOUND;
        if !is_about_input || refused.denies_access() {
            return Err(refused);
        }
        for fault in refused.fields() {
            faults.add(&fault.field, of_field(&fault.field, &fault.detail));
        }
        match refused.code() {
            "sku_taken" => faults.add("sku", SKU_TAKEN),
            "receipt_reused" => faults.add("receipt", "this note was booked for another delivery"),
            "reason_missing" => faults.add("reason", "say why: the customer reads it"),
            _ if faults.fields.is_empty() => refused.detail().clone_into(&mut faults.whole),
            _ => {}
        }
        Ok((status, faults))
    }

    /// The number of this field; 0 when it is none, which is noted.
    pub(super) fn number(&mut self, field: &str, text: &str) -> i64 {
        text.trim().parse().unwrap_or_else(|_| {
            self.add(field, "a whole number, such as 12");
            0
        })
    }

    /// The same, of a field that may be empty: that is 0.
    pub(super) fn optional_number(&mut self, field: &str, text: &str) -> i64 {
        if text.trim().is_empty() { 0 } else { self.number(field, text) }
    }

    /// The amount of this field; 0 when it is none, which is noted.
    pub(super) fn pounds(&mut self, field: &str, text: &str) -> Option<Money> {
        let minor_units = pounds(text).unwrap_or_else(|| {
            self.add(field, "pounds and pence, such as 2.55");
            0
        });
        Some(Money { currency: "GBP".to_owned(), minor_units })
    }
}

/// Product counts in pence, and says so here.
fn of_field(field: &str, detail: &str) -> String {
    if field.rsplit('.').next() == Some("price") {
        format!("in pence: {detail}")
    } else {
        detail.to_owned()
    }
}

/// `2.55`, `2.5`, `2` or `£2.55`, in pence.
fn pounds(text: &str) -> Option<i64> {
    let text = text.trim();
    let text = text.strip_prefix('£').unwrap_or(text);
    let (whole, pence) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    if !digits(whole) || !digits(pence) || pence.len() > 2 {
        return None;
    }
    let tens = if pence.len() == 1 { 10 } else { 1 };
    let pence = pence.parse::<i64>().ok()? * tens;
    whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(pence)
}

/// A form sends its lines with CRLF; the catalogue has LF.
pub(super) fn unix_lines(text: &str) -> String {
    text.replace("\r\n", "\n")
}

/// As it is entered: `2.55`.
pub(super) fn entered(price: &Option<Money>) -> String {
    let minor_units = price.as_ref().map_or(0, |price| price.minor_units.max(0));
    format!("{}.{:02}", minor_units / 100, minor_units % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        for (text, minor_units) in [
            ("2.55", Some(255)),
            ("£2.55", Some(255)),
            (" 2.5 ", Some(250)),
            ("2", Some(200)),
            ("0.05", Some(5)),
            ("0", Some(0)),
            ("", None),
            ("£", None),
            ("-1", None),
            ("+1", None),
            ("2,55", None),
            ("2.555", None),
            ("2.", None),
            (".5", None),
            ("1e3", None),
            ("92233720368547758.07", Some(i64::MAX)),
            ("92233720368547758.08", None),
        ] {
            assert_eq!(pounds(text), minor_units, "{text:?}");
        }
        let price = |minor_units| Some(Money { currency: "GBP".into(), minor_units });
        assert_eq!([255, 5, 200].map(|it| entered(&price(it))), ["2.55", "0.05", "2.00"]);
    }

    #[test]
    fn what_a_page_has_no_field_for_is_said_of_its_form() {
        let mut faults = Faults::default();
        faults.add("reason", "too long");
        faults.add("items[0].quantity", "more than 0");
        faults.keep(|field| field == "reason");
        assert_eq!(
            (faults.of("reason"), &*faults.whole),
            ("too long", "items[0].quantity: more than 0")
        );
        assert_eq!(faults.summary(), "items[0].quantity: more than 0; reason: too long");
    }

    #[test]
    fn a_refusal_that_no_input_mends_is_no_fault_of_the_form() {
        for (status, is_about_input) in
            [(401, false), (403, false), (404, false), (500, false), (409, true), (503, true)]
        {
            let status = StatusCode::from_u16(status).unwrap();
            let faults = Faults::of_refusal(Problem::new(status, "code", "detail"));
            assert_eq!(faults.is_ok(), is_about_input, "{status}");
        }
        let refused = Problem::new(StatusCode::CONFLICT, "sku_taken", "detail");
        let (_, faults) = Faults::of_refusal(refused).unwrap();
        assert_eq!((faults.of("sku"), &*faults.whole), (SKU_TAKEN, ""));
    }
}
