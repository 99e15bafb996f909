//! The token that a browser shows: who has it may break the shop, so it is compared in constant time and never told.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use ring::hmac;

/// A shorter one could be guessed.
const CHARS_MIN: usize = 32;

/// What is known of the token: enough to recognise it.
#[derive(Clone)]
pub struct Token {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// Reads the token; white space around it does not count.
    ///
    /// # Errors
    /// When the file cannot be read, or holds fewer than 32 characters.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read the token {}", path.display()))?;
        let token = text.trim();
        ensure!(
            token.chars().count() >= CHARS_MIN,
            "the token in {} has fewer than {CHARS_MIN} characters",
            path.display()
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
        let tag = hmac::sign(&key, token.as_bytes());
        Ok(Self { key, tag })
    }

    /// Whether this is the token. How long it takes tells nothing about how much of it is right: two codes are compared,
    /// not two texts.
    pub fn is(&self, shown: &str) -> bool {
        hmac::verify(&self.key, shown.as_bytes(), self.tag.as_ref()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(content: &str) -> Result<Token> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        fs::write(&path, content).expect("written");
        Token::read(&path)
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        let text = "0123456789abcdef0123456789abcdef";
        let token = token(&format!("  {text}\n")).expect("long enough");
        assert!(token.is(text));
        for other in ["", &text[1..], &format!("{text}0"), &text.to_uppercase()] {
            assert!(!token.is(other), "{other}");
        }
        assert_eq!(format!("{token:?}"), "Token");
    }

    #[test]
    fn a_short_token_and_no_token_are_one_clear_error() {
        let short = token(" 0123456789abcdef0123456789abcde \n").expect_err("31").to_string();
        assert!(short.contains("fewer than 32 characters"), "{short}");
        let missing = Token::read(Path::new("/nowhere/token")).expect_err("missing").to_string();
        assert!(missing.contains("cannot read the token /nowhere/token"), "{missing}");
    }
}
