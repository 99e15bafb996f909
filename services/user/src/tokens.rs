//! What a signed-in device holds: an access token that every service checks by itself, and an
//! opaque refresh token of which only the hash is kept.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use identity::Signer;
use kernel::{FamilyId, UserId, clock};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::Role;

/// How long an access token is valid; without Redis also the longest that a revoked family can still be used.
const ACCESS_VALID: Duration = Duration::from_secs(600);

const REFRESH_BYTES: usize = 32;

/// What a sign-in or a refresh gives.
pub(crate) struct Session {
    pub access: SecretString,
    pub refresh: SecretString,
    pub expires_in: Duration,
    pub user: UserId,
}

/// A refresh token: 32 random bytes, base64url.
pub(crate) struct RefreshToken(SecretString);

impl RefreshToken {
    /// A new one. Error: the system has no randomness.
    pub(crate) fn mint() -> anyhow::Result<Self> {
        let mut bytes = [0; REFRESH_BYTES];
        let filled = SystemRandom::new().fill(&mut bytes);
        filled.map_err(|_| anyhow::anyhow!("the system has no randomness"))?;
        Ok(Self(BASE64.encode(bytes).into()))
    }

    /// The one that somebody presents.
    pub(crate) fn presented(text: String) -> Self {
        Self(text.into())
    }

    /// What is stored. Plain SHA-256 is enough: nobody guesses 32 random bytes.
    pub(crate) fn hash(&self) -> Vec<u8> {
        digest(&SHA256, self.0.expose_secret().as_bytes()).as_ref().to_vec()
    }
}

/// Issues access tokens. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tokens(Arc<Signer>);

impl Tokens {
    pub(crate) fn new(signer: Signer) -> Self {
        Self(Arc::new(signer))
    }

    /// A session that goes on with this refresh token.
    pub(crate) fn session(
        &self,
        user: UserId,
        role: Role,
        family: FamilyId,
        refresh: RefreshToken,
    ) -> anyhow::Result<Session> {
        let role = match role {
            Role::Customer => identity::Role::Customer,
            Role::Staff => identity::Role::Staff,
        };
        let access = self.0.issue(user, role, family, clock::now(), ACCESS_VALID)?.into();
        Ok(Session { access, refresh: refresh.0, expires_in: ACCESS_VALID, user })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_new_each_time_and_known_by_its_hash() {
        let (one, other) = (RefreshToken::mint().unwrap(), RefreshToken::mint().unwrap());
        let text = one.0.expose_secret().to_owned();
        assert_eq!(BASE64.decode(&text).unwrap().len(), REFRESH_BYTES);
        assert_eq!(RefreshToken::presented(text).hash(), one.hash());
        assert_ne!(other.hash(), one.hash());
    }
}
