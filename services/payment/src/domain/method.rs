//! What pays: a card, known by the token that the provider's form gave to the browser.

use std::fmt;

/// How many payment methods a user may keep.
pub const METHODS_MAX: usize = 20;

const TOKEN_MAX: usize = 60;
const LABEL_MAX: usize = 100;

/// A card token of the provider. Whoever has it can charge the card, so it does not show in any
/// log: its `Debug` is a row of dots, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct CardToken(String);

impl CardToken {
    /// `tok_` and 1 to 60 of `[a-z0-9_]`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("tok_")?;
        let known = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        let fits = (1..=TOKEN_MAX).contains(&rest.len()) && rest.bytes().all(known);
        fits.then(|| Self(text.to_owned()))
    }

    /// For the database and for the provider only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CardToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tok_…")
    }
}

/// What the customer calls a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(String);

impl Label {
    /// Up to 100 characters without control characters; `Card` when it is empty.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = text.chars().count() <= LABEL_MAX && !text.chars().any(char::is_control);
        fits.then(|| Self(if text.is_empty() { "Card" } else { text }.to_owned()))
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tokens_of_the_providers_form_pass() {
        for good in ["tok_approve", "tok_a", "tok_4242_x", &format!("tok_{}", "a".repeat(60))] {
            assert_eq!(CardToken::parse(good).unwrap().expose(), good);
        }
        let long = format!("tok_{}", "a".repeat(61));
        for bad in
            ["", "tok_", "tok", "TOK_a", "tok_A", "tok_a ", "tok_ä", "4242424242424242", &long]
        {
            assert_eq!(CardToken::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_token_does_not_show() {
        let token = CardToken::parse("tok_approve").unwrap();
        assert_eq!(format!("{:?}", Some(&token)), "Some(tok_…)");
    }

    #[test]
    fn a_label_is_one_short_line() {
        assert_eq!(Label::parse("  Visa ").unwrap().text(), "Visa");
        assert_eq!(Label::parse("").unwrap().text(), "Card");
        assert_eq!(Label::parse(&"ä".repeat(100)).unwrap().text().chars().count(), 100);
        assert_eq!(Label::parse(&"ä".repeat(101)), None);
        assert_eq!(Label::parse("two\nlines"), None);
    }
}
