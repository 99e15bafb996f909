//! Webhooks of the provider. The HMAC signature shows who sent one. Its content is only a hint to ask the provider, so a
//! late, repeated (replay attack) or reordered webhook can do no harm.

use std::path::Path;

use anyhow::{Context as _, ensure};
use hmac::{Hmac, Mac as _};
use kernel::OrderId;
use serde::Deserialize;
use sha2::Sha256;

use crate::domain::Rejection;

/// Checks the provider's signatures. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Signatures(Hmac<Sha256>);

/// A notice, as far as it is of use.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// The same at every delivery.
    pub id: String,
    /// Whose payment or refund it speaks of.
    pub order: OrderId,
}

#[derive(Deserialize)]
struct Body {
    id: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    reference: String,
}

const ID_MAX: usize = 128;

impl Signatures {
    /// Reads the secret. Errors name the file, never its content.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let secret = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let secret = secret.trim_ascii_end();
        ensure!(!secret.is_empty(), "the webhook secret in {} is empty", path.display());
        Ok(Self(Hmac::new_from_slice(secret)?))
    }

    /// Whether `signature` (hexadecimal) is the provider's over these bytes, in constant time.
    pub(crate) fn check(&self, body: &[u8], signature: &str) -> Result<(), Rejection> {
        let signature = hex(signature).ok_or(Rejection::BadSignature)?;
        let code = self.0.clone().chain_update(body);
        code.verify_slice(&signature).map_err(|_| Rejection::BadSignature)
    }
}

impl Notice {
    /// `None`: nothing that we know of.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let body: Body = serde_json::from_slice(body).ok()?;
        let order = body.data.reference.parse().ok()?;
        let legible = body.id.bytes().all(|byte| byte.is_ascii_graphic());
        (legible && (1..=ID_MAX).contains(&body.id.len())).then_some(Self { id: body.id, order })
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    const SIGNATURE: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    const BODY: &[u8] = b"what do ya want for nothing?";

    fn signatures() -> Signatures {
        Signatures(Hmac::new_from_slice(b"Jefe").unwrap())
    }

    #[test]
    fn the_right_signature_passes_in_either_case() {
        assert_eq!(signatures().check(BODY, SIGNATURE), Ok(()));
        assert_eq!(signatures().check(BODY, &SIGNATURE.to_uppercase()), Ok(()));
    }

    #[test]
    fn every_other_signature_is_refused() {
        for at in 0..SIGNATURE.len() {
            let mut wrong = SIGNATURE.to_owned().into_bytes();
            wrong[at] = if wrong[at] == b'0' { b'1' } else { b'0' };
            let wrong = String::from_utf8(wrong).unwrap();
            assert_eq!(signatures().check(BODY, &wrong), Err(Rejection::BadSignature));
        }
        for wrong in ["", "5b", &SIGNATURE[..63], &format!("{SIGNATURE}00"), "zz", "é"] {
            assert_eq!(signatures().check(BODY, wrong), Err(Rejection::BadSignature), "{wrong}");
        }
        assert!(signatures().check(b"what do ya want for nothing!", SIGNATURE).is_err());
    }

    #[test]
    fn a_notice_is_its_id_and_its_order() {
        let order = OrderId::mint();
        let body = format!(
            r#"{{"id":"evt_1","type":"capture.succeeded","created_unix_ms":1,
                "data":{{"key":"k","amount":{{}},"reference":"{order}"}}}}"#
        );
        let expected = Notice { id: "evt_1".into(), order };
        assert_eq!(Notice::read(body.as_bytes()), Some(expected));
        for unknown in ["", "{}", "[1]", r#"{"id":"evt_1","data":{"reference":"somebody"}}"#] {
            assert_eq!(Notice::read(unknown.as_bytes()), None, "{unknown}");
        }
    }
}
