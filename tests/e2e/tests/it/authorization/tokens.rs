//! Access tokens, good and broken.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use identity::{Role, Signer, signer};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use kernel::{FamilyId, UserId};
use operator::Shop;
use ring::hmac;
use serde_json::{Value, json};

use super::Who;

/// A token of everybody who has one.
pub struct Tokens(Vec<(Who, String)>);

impl Tokens {
    /// With those of the owner, somebody else, staff, and of two whose sign-ins were ended: erased, and signed out.
    pub fn new(shop: &Shop, given: [&String; 5]) -> Result<Self> {
        let (public, private) = shop.token_keys();
        let (public, private) = (fs::read(public)?, fs::read(private)?);
        let ours = Signer::from_pem(&private)?;
        let unknown = Signer::from_pem(signer::generate()?.private_pem.as_bytes())?;
        let [owner, _, staff, ..] = given;
        let [.., payload, _] = parts(owner)?;
        let claims: Value = serde_json::from_slice(&BASE64.decode(payload)?)?;
        let mut tokens: Vec<_> = [Who::Owner, Who::Other, Who::Staff, Who::Erased, Who::SignedOut]
            .into_iter()
            .zip(given.into_iter().cloned())
            .collect();
        tokens.push((Who::Expired, issue(&ours, kernel::clock::now() - Duration::from_secs(900))?));
        tokens.push((Who::UnknownKey, issue(&unknown, kernel::clock::now())?));
        tokens.push((Who::WrongAlgorithm, symmetric(staff, &public)?));
        let exp = claims["exp"].to_string();
        tokens.push((Who::WronglyTyped, with_claim(&private, owner, claims, "exp", json!(exp))?));
        Ok(Self(tokens))
    }

    pub fn of(&self, who: Who) -> Option<&str> {
        self.0.iter().find(|(whose, _)| *whose == who).map(|(_, token)| token.as_str())
    }
}

/// Staff's, so that more would be allowed if it were taken.
fn issue(signer: &Signer, now: time::OffsetDateTime) -> Result<String> {
    signer.issue(UserId::mint(), Role::Staff, FamilyId::mint(), now, Duration::from_secs(600))
}

/// Header, payload and signature.
fn parts(token: &str) -> Result<[&str; 3]> {
    let parts: Vec<&str> = token.split('.').collect();
    parts.try_into().ok().context("a token has three parts")
}

fn key_id(token: &str) -> Result<String> {
    let header: Value = serde_json::from_slice(&BASE64.decode(parts(token)?[0])?)?;
    Ok(header["kid"].as_str().context("no kid")?.to_owned())
}

fn symmetric(token: &str, public_pem: &[u8]) -> Result<String> {
    let header = json!({ "typ": "JWT", "alg": "HS256", "kid": key_id(token)? }).to_string();
    let signed = format!("{}.{}", BASE64.encode(header), parts(token)?[1]);
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, public_pem), signed.as_bytes());
    Ok(format!("{signed}.{}", BASE64.encode(signature)))
}

fn with_claim(
    private_pem: &[u8],
    token: &str,
    mut claims: Value,
    claim: &str,
    value: Value,
) -> Result<String> {
    claims[claim] = value;
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(key_id(token)?);
    Ok(encode(&header, &claims, &EncodingKey::from_ed_pem(private_pem)?)?)
}
