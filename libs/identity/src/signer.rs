//! Issuing tokens: the user context alone has the private key.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use kernel::{FamilyId, UserId};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::{AUDIENCE, Claims, ISSUER, Role, crypto};

/// Signs access tokens.
pub struct Signer {
    key: EncodingKey,
    header: Header,
}

impl Signer {
    /// Reads a PKCS#8 private key (PEM). Errors name the file, never its content.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let pem = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        Self::from_pem(&pem).with_context(|| format!("{} is no Ed25519 key", path.display()))
    }

    /// A signer with this private key.
    pub fn from_pem(private_pem: &[u8]) -> anyhow::Result<Self> {
        crypto::install();
        let key = EncodingKey::from_ed_pem(private_pem)?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.as_bytes())
            .map_err(|_| anyhow::anyhow!("not an Ed25519 key"))?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(key_id(pair.public_key().as_ref()));
        Ok(Self { key, header })
    }

    /// A token for a user, valid for so long from `now` on.
    pub fn issue(
        &self,
        user: UserId,
        role: Role,
        family: FamilyId,
        now: time::OffsetDateTime,
        valid: Duration,
    ) -> anyhow::Result<String> {
        let claims = Claims {
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: user.to_string(),
            iat: now.unix_timestamp(),
            exp: (now + valid).unix_timestamp(),
            role,
            sid: family.to_string(),
        };
        Ok(encode(&self.header, &claims, &self.key)?)
    }
}

/// A new pair of keys, as PEM.
pub struct Keys {
    /// PKCS#8; for the user service only.
    pub private_pem: String,
    /// SubjectPublicKeyInfo; for everybody.
    pub public_pem: String,
}

/// Makes a pair of keys. Error: the system has no randomness.
pub fn generate() -> anyhow::Result<Keys> {
    let broken = |_| anyhow::anyhow!("Ed25519 key generation failed");
    // Version 1 (RFC 5208): what OpenSSL writes too, and what jsonwebtoken's PEM reader takes.
    let seed: [u8; 32] = ring::rand::generate(&SystemRandom::new()).map_err(broken)?.expose();
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
        .map_err(|_| anyhow::anyhow!("Ed25519 key generation failed"))?;
    let private = [PKCS8_PREFIX, &seed].concat();
    let public = [SPKI_PREFIX, pair.public_key().as_ref()].concat();
    Ok(Keys {
        private_pem: pem::encode(&pem::Pem::new("PRIVATE KEY", private)),
        public_pem: pem::encode(&pem::Pem::new("PUBLIC KEY", public)),
    })
}

/// The DER that stands before the 32 bytes of an Ed25519 key (RFC 8410).
const PKCS8_PREFIX: &[u8] =
    &[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
const SPKI_PREFIX: &[u8] = &[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

/// `kid`: the first half of the public key's SHA-256, in hex.
pub(crate) fn key_id(public_key: &[u8]) -> String {
    digest(&SHA256, public_key).as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A signer, and who verifies its tokens.
#[cfg(test)]
pub(crate) fn pair() -> (Signer, crate::Verifier) {
    let keys = generate().unwrap();
    let signer = Signer::from_pem(keys.private_pem.as_bytes()).unwrap();
    (signer, crate::Verifier::from_pem(keys.public_pem.as_bytes()).unwrap())
}
