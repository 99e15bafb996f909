//! What somebody signs in with. Neither shows in a log: `Debug` says only what it is.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

const EMAIL_BYTES_MAX: usize = 254;
const LOCAL_PART_BYTES_MAX: usize = 64;
const PASSWORD_CHARS_MIN: usize = 8;
const PASSWORD_CHARS_MAX: usize = 128;

/// An e-mail address in lower case: two spellings of one address are one account.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Reads an address: ASCII, `local@domain`, the domain with at least one dot. The error says
    /// what it must be. Whether mail arrives there is not a matter of its form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if is_address(text) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err("must be an e-mail address".to_owned())
        }
    }

    /// The address, to be stored or shown to its owner.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What was stored before.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }
}

fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let labels: Vec<&str> = domain.split('.').collect();
    text.len() <= EMAIL_BYTES_MAX
        && (1..=LOCAL_PART_BYTES_MAX).contains(&local.len())
        && local.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@')
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && labels.len() >= 2
        && labels.into_iter().all(is_label)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email([redacted])")
    }
}

/// A password of 8 to 128 characters, any characters. Wiped from memory when dropped.
#[derive(Clone, Debug)]
pub struct Password(SecretString);

impl Password {
    /// Takes a password. The error says how long it must be.
    pub fn parse(text: String) -> Result<Self, String> {
        let secret = SecretString::from(text);
        let chars = secret.expose_secret().chars().take(PASSWORD_CHARS_MAX + 1).count();
        if (PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&chars) {
            Ok(Self(secret))
        } else {
            Err(format!("must have {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters"))
        }
    }

    /// The password, to be hashed.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_told_from_other_texts() {
        for good in ["a@b.co", "first.last+tag@shop.example", "o'neil@x-y.museum", " a@b.co "] {
            assert!(Email::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a",
            "@",
            "a@",
            "@b.co",
            "a@b",
            "a b@c.co",
            "a@b..co",
            "a@.co",
            "a@-b.co",
            "a@b-.co",
            ".a@b.co",
            "a.@b.co",
            "a..b@c.co",
            "a@@b.co",
            "a@b.co\n@",
            "ä@b.co",
            "a@b_c.co",
        ] {
            assert!(Email::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Email::parse(&format!("{}@b.co", "a".repeat(65))).is_err());
        assert!(Email::parse(&format!("a@{}co", "b.".repeat(130))).is_err());
    }

    #[test]
    fn spelling_makes_no_second_account() {
        assert_eq!(Email::parse("Ann@Shop.Example"), Email::parse("ann@shop.EXAMPLE"));
        assert_eq!(Email::parse("Ann@Shop.Example").unwrap().expose(), "ann@shop.example");
    }

    #[test]
    fn a_password_is_counted_in_characters() {
        for (length, good) in [(7, false), (8, true), (128, true), (129, false), (100_000, false)] {
            for letter in ["x", "é", "🧺"] {
                assert_eq!(
                    Password::parse(letter.repeat(length)).is_ok(),
                    good,
                    "{length} {letter}"
                );
            }
        }
    }

    #[test]
    fn neither_shows_in_a_log() {
        let (email, password) = ("hidden@shop.example", "hidden password");
        let shown = format!("{:?} {:?}", Email::parse(email), Password::parse(password.to_owned()));
        assert!(!shown.contains("hidden"), "{shown}");
    }

    proptest! {
        #[test]
        fn what_was_read_reads_again_as_itself(text in "\\PC{0,20}@[a-z.-]{0,20}") {
            if let Ok(email) = Email::parse(&text) {
                prop_assert_eq!(Email::parse(email.expose()), Ok(email.clone()));
                prop_assert_eq!(email.expose().to_lowercase(), email.expose());
            }
        }
    }
}
