//! Hashing passwords: argon2id, slow and large on purpose, so never more than two at once.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::domain::Password;

/// What OWASP recommends: 19 MiB, two passes, one lane. About 20 ms of a core.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

const AT_ONCE: usize = 2;
const WAIT_MAX: Duration = Duration::from_millis(500);

/// Hashes and checks passwords. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Passwords {
    slots: Arc<Semaphore>,
    nobodys: SecretString,
}

/// Why a password was neither hashed nor checked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("too many sign-ins at once")]
    Overloaded,
    #[error("argon2: {0}")]
    Hash(#[from] argon2::password_hash::Error),
}

impl Passwords {
    /// Ready to use: it has hashed once, which every check for nobody is compared with.
    pub(crate) async fn new() -> Result<Self, Error> {
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        let mut passwords = Self { slots, nobodys: SecretString::default() };
        passwords.nobodys = passwords.turn().await?.run(|| hash(b"nobody's")).await?;
        Ok(passwords)
    }

    /// Waits, not for long, for a turn. To be asked for before anything else is done, so that who
    /// gets none has cost nothing.
    pub(crate) async fn turn(&self) -> Result<Turn, Error> {
        match timeout(WAIT_MAX, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(slot)) => Ok(Turn { slot, nobodys: self.nobodys.clone() }),
            Ok(Err(_)) | Err(_) => Err(Error::Overloaded),
        }
    }
}

/// The right to hash or check one password.
pub(crate) struct Turn {
    slot: OwnedSemaphorePermit,
    nobodys: SecretString,
}

impl Turn {
    /// The hash of a password, with a salt and its parameters, as a PHC string.
    pub(crate) async fn hash(self, password: Password) -> Result<SecretString, Error> {
        self.run(move || hash(password.expose().as_bytes())).await
    }

    /// Whether this is the password that was hashed. Without a password or a hash it is not, and
    /// takes as long to say so: the time of an answer does not tell who has an account.
    pub(crate) async fn verify(
        self,
        password: Option<Password>,
        hash: Option<SecretString>,
    ) -> Result<bool, Error> {
        let possible = password.is_some() && hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobodys.clone());
        self.run(move || {
            let password = password.as_ref().map_or("", Password::expose);
            verify(password.as_bytes(), hash.expose_secret()).map(|same| same && possible)
        })
        .await
    }

    /// Runs on a thread of its own, which keeps its slot even if nobody waits any more.
    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let work = move || {
            let _slot = self.slot;
            work()
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            Err(lost) if lost.is_panic() => resume_unwind(lost.into_panic()),
            Err(_) => Err(Error::Overloaded), // the process is ending
        }
    }
}

fn argon2() -> Result<Argon2<'static>, Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None);
    let params = params.map_err(argon2::password_hash::Error::from)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &[u8]) -> Result<SecretString, Error> {
    let hash: PasswordHash = argon2()?.hash_password(password)?;
    Ok(hash.to_string().into())
}

/// With the parameters of the hash, not those of today.
fn verify(password: &[u8], hash: &str) -> Result<bool, Error> {
    match argon2()?.verify_password(password, &PasswordHash::new(hash).map_err(|_| malformed())?) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn malformed() -> Error {
    argon2::password_hash::Error::EncodingInvalid.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Option<Password> {
        Some(Password::parse(text.to_owned()).unwrap())
    }

    #[tokio::test]
    async fn the_password_that_was_hashed_is_the_one_that_verifies() {
        let passwords = Passwords::new().await.unwrap();
        let turn = async || passwords.turn().await.unwrap();
        let hash = turn().await.hash(password("correct horse").unwrap()).await.unwrap();
        assert!(hash.expose_secret().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let verify = async |text, hash| turn().await.verify(text, hash).await.unwrap();
        assert!(verify(password("correct horse"), Some(hash.clone())).await);
        assert!(!verify(password("battery staple"), Some(hash.clone())).await);
        assert!(!verify(password("nobody's"), None).await, "nobody's own password");
        assert!(!verify(None, Some(hash)).await);
    }

    #[tokio::test]
    async fn the_third_at_once_waits_and_then_is_turned_away() {
        let passwords = Passwords::new().await.unwrap();
        let first = passwords.turn().await.unwrap();
        let _second = passwords.turn().await.unwrap();
        assert!(matches!(passwords.turn().await, Err(Error::Overloaded)));
        let (third, _) = tokio::join!(passwords.turn(), first.verify(None, None));
        assert!(third.is_ok(), "the first is done");
    }
}
