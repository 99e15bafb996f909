//! Sign-ins that were ended while access tokens of theirs are still valid (a token revocation list).
//!
//! The record is user's database. Redis has those of the last [`WINDOW`], for every copy of every service to read each second;
//! a request asks only what its own process has read. Redis flushed: user fills it again within a second or two. Redis
//! gone: what was read stays refused, what is ended meanwhile is refused when its tokens expire.
//!
//! One sorted set: families by the time at which Redis got them, so that who reads asks for what is new, and no clock but
//! Redis's own is looked at. [`WHOLE`] is in it as soon as it was filled from the record once: a list that was lost,
//! evicted or overwritten has none, and is filled again.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::Duration;

use cache::redis::{Redis, Unavailable};
use kernel::FamilyId;
use redis::{Script, cmd};
use telemetry::catalogue::REVOKED_FAMILIES;
use tokio::time::Instant;

/// How long a family is refused: longer than its access tokens are valid, leeway included.
pub const WINDOW: Duration = Duration::from_secs(660);

/// How often the list is written and read: a sign-in that was ended is refused everywhere after twice that at most.
pub const EVERY: Duration = Duration::from_secs(1);

const KEY: &str = "souk:revoked-families";
/// Not a family: above all of them.
const WHOLE: &str = "whole";
/// Arguments of one command.
const FAMILIES_MAX: usize = 5_000;
/// Redis is waited for so long. Nobody waits for this but the next round.
const WITHIN: Duration = Duration::from_secs(1);
/// What is read again, in milliseconds: a set whose clock went back a little loses nothing.
const OVERLAP_MS: f64 = 5_000.0;

/// `window_ms, whole?, family...`: whether the set is whole.
static ADD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('TYPE', KEYS[1]).ok ~= 'zset' then redis.call('DEL', KEYS[1]) end
         local time = redis.call('TIME')
         local now = time[1] * 1000 + math.floor(time[2] / 1000)
         redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1])
         for i = 3, #ARGV do redis.call('ZADD', KEYS[1], 'NX', now, ARGV[i]) end
         if ARGV[2] == '1' then redis.call('ZADD', KEYS[1], '+inf', 'whole') end
         return redis.call('ZSCORE', KEYS[1], 'whole') and 1 or 0",
    )
});

/// Adds families to the list; `all`: they are all of the last [`WINDOW`]. Whether the list is whole now; if not, all are to
/// be added.
///
/// # Errors
/// When Redis does not answer; some may have been added.
pub async fn add(redis: &Redis, families: &[FamilyId], all: bool) -> Result<bool, Unavailable> {
    let mut whole = false;
    let mut chunks: Vec<_> = families.chunks(FAMILIES_MAX).collect();
    let last = chunks.pop().unwrap_or_default();
    let last = chunks.into_iter().map(|chunk| (chunk, false)).chain([(last, all)]);
    for (chunk, finishes) in last {
        let mut call = ADD.key(KEY);
        call.arg(WINDOW.as_millis() as u64).arg(u8::from(finishes));
        for family in chunk {
            call.arg(family.to_string());
        }
        let add = |mut to| async move { call.invoke_async::<u8>(&mut to).await };
        whole = redis.run(WITHIN, add).await? == 1;
    }
    Ok(whole)
}

/// What this process has read of the list. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Revocations(Arc<RwLock<HashMap<FamilyId, Instant>>>);

impl Revocations {
    pub(crate) fn contain(&self, family: FamilyId) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains_key(&family)
    }

    /// Reads what was added since `position`, and moves that on.
    pub(crate) async fn read_on(
        &self,
        redis: &Redis,
        position: &mut f64,
    ) -> Result<(), Unavailable> {
        let mut range = cmd("ZRANGEBYSCORE");
        range.arg(KEY).arg(*position - OVERLAP_MS).arg("+inf").arg("WITHSCORES");
        let read = |mut from| async move { range.query_async(&mut from).await };
        let members: Vec<(Vec<u8>, f64)> = redis.run(WITHIN, read).await?;
        let (mut whole, mut latest) = (false, *position);
        let mut families = self.0.write().unwrap_or_else(PoisonError::into_inner);
        families.retain(|_, since| since.elapsed() < WINDOW);
        for (member, score) in members {
            match std::str::from_utf8(&member) {
                Ok(WHOLE) => whole = true,
                Ok(family) => {
                    latest = latest.max(score);
                    if let Ok(family) = family.parse() {
                        families.entry(family).or_insert_with(Instant::now);
                    }
                }
                Err(_) => {} // nobody's of ours
            }
        }
        REVOKED_FAMILIES.set(i64::try_from(families.len()).unwrap_or(i64::MAX));
        // One that was lost is read from its beginning.
        *position = if whole { latest } else { f64::NEG_INFINITY };
        Ok(())
    }
}
