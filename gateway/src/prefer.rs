//! `Prefer` (RFC 7240): what a client would like, if that can be had.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// How much of what it changed a client wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Return {
    /// It did not say.
    Unsaid,
    /// Nothing of it.
    Minimal,
    /// All of it.
    Representation,
}

impl Return {
    /// Tells the client that its wish was met.
    pub(crate) fn applied(self, headers: &mut HeaderMap) {
        let applied = match self {
            Self::Unsaid => return,
            Self::Minimal => HeaderValue::from_static("return=minimal"),
            Self::Representation => HeaderValue::from_static("return=representation"),
        };
        headers.insert(PREFERENCE_APPLIED, applied);
    }

    /// Of several the first counts; what is not understood is as if it had not been said.
    fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(PREFER).iter().filter_map(|line| line.to_str().ok());
        let mut preferences = lines.flat_map(|line| split(line, ','));
        let wish = preferences.find_map(|preference| {
            let (name, value) = split(preference, ';').next()?.split_once('=')?;
            name.trim().eq_ignore_ascii_case("return").then(|| value.trim().trim_matches('"'))
        });
        match wish {
            Some(value) if value.eq_ignore_ascii_case("minimal") => Self::Minimal,
            Some(value) if value.eq_ignore_ascii_case("representation") => Self::Representation,
            _ => Self::Unsaid,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Return {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

/// The parts of a list. What stands in quotes is not split.
fn split(text: &str, by: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |letter| {
        let literal = std::mem::take(&mut escaped);
        match letter {
            '"' if !literal => quoted = !quoted,
            '\\' if quoted => escaped = !literal,
            _ => {}
        }
        letter == by && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Return {
        let headers =
            lines.iter().map(|line| (PREFER, HeaderValue::from_str(line).expect("visible")));
        Return::of(&headers.collect())
    }

    #[test]
    fn return_is_found_in_every_form_of_the_list() {
        for lines in [
            &["return=minimal"][..],
            &["respond-async, return=minimal; foo=bar"],
            &["respond-async", "wait=10", "return=minimal"],
            &["RETURN = Minimal"],
            &["return=\"minimal\""],
            &["handling=\"a, return=representation\", return=minimal"],
            &["handling=\"a\\\", return=representation\", return=minimal"],
            &["return=minimal, return=representation"],
            &[", ,return=minimal,"],
        ] {
            assert_eq!(of(lines), Return::Minimal, "{lines:?}");
        }
        assert_eq!(of(&["return=representation"]), Return::Representation);
    }

    #[test]
    fn what_is_not_understood_was_not_said() {
        for lines in [
            &[][..],
            &[""],
            &["return"],
            &["return="],
            &["return=nothing"],
            &["return=nothing, return=minimal"],
            &["returns=minimal"],
            &["foo=bar; return=minimal"],
            &["\"return=minimal"],
        ] {
            assert_eq!(of(lines), Return::Unsaid, "{lines:?}");
        }
    }
}
