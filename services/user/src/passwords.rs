//! Passwords: argon2 is slow and large on purpose, so never more than two hashes run at once. An unknown e-mail costs a
//! hash as well, so that the time of an answer does not tell which accounts exist (account enumeration).

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::domain::Password;
use crate::hashing::Memory;

const AT_ONCE: usize = 2;
const WAIT_MAX: Duration = Duration::from_millis(500);

/// Hashes and checks passwords. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Passwords {
    permits: Arc<Permits>,
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

struct Permits {
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Memory for the next hash. It is kept while a call waits, because allocating it costs half as much as a hash, and
    /// freed when none waits, because it is most of the process's memory.
    spare: Mutex<Vec<Memory>>,
}

impl Passwords {
    /// Ready to use: it has hashed once, which every check for nobody is compared with.
    pub(crate) async fn new() -> Result<Self, Error> {
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        let permits = Permits { slots, waiting: AtomicUsize::new(0), spare: Mutex::default() };
        let mut passwords = Self { permits: Arc::new(permits), nobodys: SecretString::default() };
        let permit = passwords.permit().await?;
        passwords.nobodys = permit.run(|memory| memory.hash(b"nobody's")).await?;
        Ok(passwords)
    }

    /// Waits a moment for a permit. Call it before anything else, so that a sign-in that gets none has cost nothing.
    pub(crate) async fn permit(&self) -> Result<Permit, Error> {
        let permits = Arc::clone(&self.permits);
        let _waiting = Waiting::new(&permits.waiting);
        match timeout(WAIT_MAX, Arc::clone(&permits.slots).acquire_owned()).await {
            Ok(Ok(slot)) => {
                let (permits, nobodys) = (Arc::clone(&permits), self.nobodys.clone());
                Ok(Permit { slot, permits, nobodys })
            }
            Ok(Err(_)) | Err(_) => Err(Error::Overloaded),
        }
    }
}

/// The right to hash or check one password.
pub(crate) struct Permit {
    slot: OwnedSemaphorePermit,
    permits: Arc<Permits>,
    nobodys: SecretString,
}

impl Permit {
    /// The hash of a password, with a salt and its parameters.
    pub(crate) async fn hash(self, password: Password) -> Result<SecretString, Error> {
        self.run(move |memory| memory.hash(password.expose().as_bytes())).await
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
        self.run(move |memory| {
            let password = password.as_ref().map_or("", Password::expose);
            let same = memory.verify(password.as_bytes(), hash.expose_secret())?;
            Ok(same && possible)
        })
        .await
    }

    /// Runs on a thread of its own, which keeps its slot even if the caller is cancelled.
    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&mut Memory) -> Result<T, argon2::password_hash::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let work = move || {
            let mut memory = self.permits.take();
            let done = work(&mut memory);
            self.permits.give_back(memory);
            drop(self.slot);
            done
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => Ok(done?),
            Err(lost) if lost.is_panic() => resume_unwind(lost.into_panic()),
            Err(_) => Err(Error::Overloaded), // the process is ending
        }
    }
}

impl Permits {
    fn take(&self) -> Memory {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(Memory::new)
    }

    fn give_back(&self, memory: Memory) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            spare.push(memory);
        } else {
            spare.clear();
        }
    }
}

/// Counts somebody who waits, until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
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
        let permit = async || passwords.permit().await.unwrap();
        let hash = permit().await.hash(password("correct horse").unwrap()).await.unwrap();
        let verify = async |text, hash| permit().await.verify(text, hash).await.unwrap();
        assert!(verify(password("correct horse"), Some(hash.clone())).await);
        assert!(!verify(password("battery staple"), Some(hash.clone())).await);
        assert!(!verify(password("nobody's"), None).await, "nobody's own password");
        assert!(!verify(None, Some(hash)).await);
    }

    #[tokio::test]
    async fn the_third_at_once_waits_and_then_is_turned_away() {
        let passwords = Passwords::new().await.unwrap();
        let first = passwords.permit().await.unwrap();
        let _second = passwords.permit().await.unwrap();
        assert!(matches!(passwords.permit().await, Err(Error::Overloaded)));
        let (third, ()) = tokio::join!(passwords.permit(), async { drop(first) });
        assert!(third.is_ok(), "the first is done");
    }

    #[tokio::test]
    async fn memory_is_kept_for_who_waits_and_for_nobody_else() {
        let passwords = Passwords::new().await.unwrap();
        let spare = || passwords.permits.spare.lock().unwrap().len();
        let permits = [passwords.permit().await.unwrap(), passwords.permit().await.unwrap()];
        let waits = passwords.permit();
        let [first, _second] = permits;
        let (third, _) = tokio::join!(waits, first.verify(None, None));
        assert_eq!(spare(), 1, "for the third");
        third.unwrap().verify(None, None).await.unwrap();
        assert_eq!(spare(), 0, "nobody waits");
    }
}
