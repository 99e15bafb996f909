//! Checking a token: algorithm and key id are pinned; issuer, audience and expiry required
//! (RFC 8725). The signing key is read once, at the start; key rotation (JWKS) is not built.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use cache::redis::Redis;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use thiserror::Error;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::memory::{self, Memory, Subject};
use crate::revocations::{self, Position, Revocations};
use crate::signer::key_id;
use crate::{AUDIENCE, Caller, Claims, ISSUER, Role, crypto};

/// Leeway: a token is accepted for this time after its `exp`, because of clock skew.
const LEEWAY_SECONDS: u64 = 5;

/// Where the key is that tokens are checked with.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Ed25519 public key (PEM) of the user service, to check access tokens with
    #[arg(long = "token-key", env = "SOUK_TOKEN_PUBLIC_KEY_FILE")]
    pub token_key: PathBuf,
    /// Where the list of revoked sign-ins is.
    #[command(flatten)]
    pub redis: cache::redis::Options,
}

/// The token is missing, malformed, expired, revoked, or not ours. Which of them is not said.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("sign in first: the access token is missing, expired or invalid")]
pub struct Refused;

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        rpc::status::refusal(Code::Unauthenticated, "unauthenticated", refused.to_string())
    }
}

/// Checks access tokens. Cheap to clone.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    key: DecodingKey,
    key_id: String,
    validation: Validation,
    remembered: Mutex<Memory>,
    revoked: Revocations,
}

impl Verifier {
    /// Reads the public key and, once, the list of revoked sign-ins: it is waited for a second, so that a process that has just
    /// started refuses what the others refuse. The future goes on reading it until asked to stop; it has to be run.
    ///
    /// # Errors
    /// With the file that holds no key, and when the URL of Redis is none.
    pub async fn start(
        options: &Options,
        stop: CancellationToken,
    ) -> anyhow::Result<(Self, BoxFuture<'static, anyhow::Result<()>>)> {
        let path = &options.token_key;
        let pem = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let verifier = Self::from_pem(&pem);
        let verifier = verifier.with_context(|| format!("{} is no Ed25519 key", path.display()))?;
        let Some(redis) = Redis::new(&options.redis, "read revocations")? else {
            return Ok((verifier, Box::pin(stop.cancelled_owned().map(Ok))));
        };
        let revoked = verifier.0.revoked.clone();
        let mut position = revoked.read_on(&redis, Position::beginning()).await;
        let reading = async move {
            let mut rounds = interval(revocations::EVERY);
            rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while stop.run_until_cancelled(rounds.tick()).await.is_some() {
                position = revoked.read_on(&redis, position).await;
            }
            Ok(())
        };
        Ok((verifier, Box::pin(reading)))
    }

    /// A verifier for the tokens that the owner of this key signs.
    pub fn from_pem(public_pem: &[u8]) -> anyhow::Result<Self> {
        crypto::install();
        let key = DecodingKey::from_ed_pem(public_pem)?;
        let key_id = key_id(key.try_get_as_bytes()?);
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        validation.leeway = LEEWAY_SECONDS;
        let (remembered, revoked) = (Mutex::default(), Revocations::default());
        Ok(Self(Arc::new(Inner { key, key_id, validation, remembered, revoked })))
    }

    /// Who the token speaks for.
    pub fn verify(&self, token: &str) -> Result<Caller, Refused> {
        let caller = self.verify_even_if_revoked(token)?;
        if self.is_revoked(&caller) { Err(Refused) } else { Ok(caller) }
    }

    /// Whether the sign-in of a caller was ended since.
    pub fn is_revoked(&self, caller: &Caller) -> bool {
        self.0.revoked.contain(caller.family)
    }

    fn verify_even_if_revoked(&self, token: &str) -> Result<Caller, Refused> {
        let digest = memory::digest(token);
        let known = self.remembered().get(&digest).map(|subject| subject.caller(token));
        if let Some(caller) = known.filter(|caller| !caller.expires_in().is_zero()) {
            return Ok(caller);
        }
        let caller = self.check(token)?;
        self.remembered().insert(digest, Subject::of(&caller));
        Ok(caller)
    }

    /// The caller of an RPC. UNAUTHENTICATED without a valid token.
    pub fn caller(&self, metadata: &MetadataMap) -> Result<Caller, Status> {
        Ok(self.verify(bearer(metadata).ok_or(Refused)?)?)
    }

    /// As [`Verifier::caller`], also when the sign-in was ended: for what ends one, and may be repeated.
    pub fn caller_even_if_revoked(&self, metadata: &MetadataMap) -> Result<Caller, Status> {
        Ok(self.verify_even_if_revoked(bearer(metadata).ok_or(Refused)?)?)
    }

    /// As [`Verifier::caller`], but nobody is a caller too. A broken token is still refused.
    pub fn optional(&self, metadata: &MetadataMap) -> Result<Option<Caller>, Status> {
        if metadata.contains_key("authorization") {
            self.caller(metadata).map(Some)
        } else {
            Ok(None)
        }
    }

    /// As [`Verifier::caller`]; PERMISSION_DENIED, reason `staff_only`, for customers.
    pub fn staff(&self, metadata: &MetadataMap) -> Result<Caller, Status> {
        let caller = self.caller(metadata)?;
        match caller.role {
            Role::Staff => Ok(caller),
            Role::Customer => {
                let message = "only staff may do this";
                Err(rpc::status::refusal(Code::PermissionDenied, "staff_only", message))
            }
        }
    }

    fn remembered(&self) -> MutexGuard<'_, Memory> {
        self.0.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, token: &str) -> Result<Caller, Refused> {
        let header = decode_header(token).map_err(|_| Refused)?;
        if header.kid.as_deref() != Some(&self.0.key_id) {
            return Err(Refused);
        }
        let claims =
            decode::<Claims>(token, &self.0.key, &self.0.validation).map_err(|_| Refused)?.claims;
        Ok(Caller {
            user: claims.sub.parse().map_err(|_| Refused)?,
            role: claims.role,
            family: claims.sid.parse().map_err(|_| Refused)?,
            token: token.into(),
            expires: claims.exp.saturating_add(LEEWAY_SECONDS as i64),
        })
    }
}

fn bearer(metadata: &MetadataMap) -> Option<&str> {
    metadata.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
    use kernel::{FamilyId, UserId};

    use super::*;
    use crate::Signer;
    use crate::signer::pair;

    fn token(signer: &Signer, valid: Duration) -> (UserId, String) {
        let user = UserId::mint();
        let now = kernel::clock::now();
        (user, signer.issue(user, Role::Customer, FamilyId::mint(), now, valid).unwrap())
    }

    #[test]
    fn a_signed_token_names_its_user_at_first_and_from_memory() {
        let (signer, verifier) = pair();
        let (user, token) = token(&signer, Duration::from_secs(60));
        for _ in 0..2 {
            let caller = verifier.verify(&token).unwrap();
            assert_eq!((caller.user, caller.role), (user, Role::Customer));
        }
    }

    #[test]
    fn another_signer_is_refused() {
        let ((signer, _), (_, verifier)) = (pair(), pair());
        let (_, token) = token(&signer, Duration::from_secs(60));
        assert_eq!(verifier.verify(&token).unwrap_err(), Refused);
    }

    #[test]
    fn every_changed_byte_is_refused() {
        let (signer, verifier) = pair();
        let (_, token) = token(&signer, Duration::from_secs(60));
        for at in 0..token.len() {
            let mut broken = token.clone().into_bytes();
            broken[at] = if broken[at] == b'A' { b'Q' } else { b'A' };
            let broken = String::from_utf8(broken).unwrap();
            assert_eq!(verifier.verify(&broken).unwrap_err(), Refused, "byte {at}");
        }
    }

    #[test]
    fn no_signature_and_another_algorithm_are_refused() {
        let (signer, verifier) = pair();
        let (_, token) = token(&signer, Duration::from_secs(60));
        let parts: Vec<&str> = token.split('.').collect();
        for algorithm in ["none", "HS256", "ES256"] {
            let header = serde_json::json!({"alg": algorithm, "kid": verifier.0.key_id});
            let header = BASE64.encode(header.to_string());
            for signature in ["", parts[2]] {
                let forged = format!("{header}.{}.{signature}", parts[1]);
                assert_eq!(verifier.verify(&forged).unwrap_err(), Refused, "{algorithm}");
            }
        }
    }

    #[test]
    fn an_expired_token_is_refused_even_when_it_is_remembered() {
        let (signer, verifier) = pair();
        let past = kernel::clock::now() - Duration::from_secs(120);
        let issue = |valid| {
            let (user, family) = (UserId::mint(), FamilyId::mint());
            signer.issue(user, Role::Customer, family, past, Duration::from_secs(valid)).unwrap()
        };
        assert_eq!(verifier.verify(&issue(60)).unwrap_err(), Refused);
        let leeway = issue(118); // expired two seconds ago: within the leeway of a first check
        assert!(verifier.verify(&leeway).is_ok());
        assert!(verifier.remembered().get(&memory::digest(&leeway)).is_some());
    }
}
