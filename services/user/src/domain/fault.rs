//! Input that breaks a rule: all of it is told at once, so that a form is corrected once.

use super::Rejection;

/// A field at fault. The text never repeats what was put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which field.
    pub field: &'static str,
    /// What it must be.
    pub detail: String,
}

/// Collects the faults of one input.
#[derive(Default)]
pub(super) struct Check(Vec<Fault>);

impl Check {
    /// The checked value, or none when it is at fault.
    pub(super) fn field<T>(
        &mut self,
        field: &'static str,
        checked: Result<T, String>,
    ) -> Option<T> {
        checked.map_err(|detail| self.0.push(Fault { field, detail })).ok()
    }

    /// One line of text, trimmed, of a length in characters. Empty when it is at fault, which
    /// [`Check::finish`] will tell.
    pub(super) fn text(
        &mut self,
        field: &'static str,
        text: &str,
        min: usize,
        max: usize,
    ) -> String {
        let checked = text_of(text, min, max);
        self.field(field, checked).unwrap_or_default()
    }

    /// The refusal, unless nothing was at fault.
    pub(super) fn finish(self) -> Result<(), Rejection> {
        if self.0.is_empty() { Ok(()) } else { Err(self.refusal()) }
    }

    /// The refusal, for a value without which there is nothing to go on with.
    pub(super) fn refusal(self) -> Rejection {
        Rejection::Invalid(self.0)
    }
}

fn text_of(text: &str, min: usize, max: usize) -> Result<String, String> {
    let text = text.trim();
    if !(min..=max).contains(&text.chars().count()) {
        return Err(format!("must have {min} to {max} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("must be one line of text".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_trimmed_counted_in_characters_and_one_line() {
        assert_eq!(text_of(" Ångström ", 1, 8), Ok("Ångström".to_owned()));
        assert!(text_of("   ", 1, 8).is_err());
        assert!(text_of("123456789", 1, 8).is_err());
        assert!(text_of("a\nb", 1, 8).is_err());
        assert!(text_of("", 0, 8).is_ok());
    }
}
