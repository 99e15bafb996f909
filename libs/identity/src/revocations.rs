//! Sign-ins that were ended while access tokens of theirs are still valid (a token revocation list).
//!
//! The record is user's database. Redis has those of the last [`WINDOW`], for every copy of every service to read each second;
//! a request asks only what its own process has read. What Redis loses is resynchronised: at once when the list says that it
//! is not complete (it was flushed, evicted, overwritten), and every [`RESYNC`] whatever it says. Redis gone: what was read
//! stays refused, what is revoked meanwhile is refused when its tokens expire.
//!
//! One sorted set: families by the time at which Redis got them, so that who reads asks for what is new. The time is Redis's
//! own, and never goes back.

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

/// Poll interval of whoever writes the list and of whoever reads it.
pub const EVERY: Duration = Duration::from_secs(1);

/// How often the whole list is written, and read, whatever it says of itself.
pub const RESYNC: Duration = Duration::from_secs(60);

/// The number is the format's.
const KEY: &str = "souk:revoked-families:1";
/// In the set as soon as all of [`WINDOW`] was written: not a family, and above all of them.
const COMPLETE: &str = "complete";
/// Families of one command.
const FAMILIES_MAX: usize = 5_000;
/// Command timeout. Nobody waits for these but the next round.
const WITHIN: Duration = Duration::from_secs(1);
/// No score is a time above this, in milliseconds: the year 33658.
const LATEST_MS: f64 = 1e15;
/// What is read again, in milliseconds.
const OVERLAP_MS: f64 = 5_000.0;

/// `window_ms, complete?, family...`: whether the set is complete. What else is in it has no place there, and goes.
static ADD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('TYPE', KEYS[1]).ok ~= 'zset' then redis.call('DEL', KEYS[1]) end
         local time = redis.call('TIME')
         local clock = time[1] * 1000 + math.floor(time[2] / 1000)
         for _, other in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], clock + ARGV[1], '+inf')) do
             if other ~= 'complete' then redis.call('ZREM', KEYS[1], other) end
         end
         redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', clock - ARGV[1])
         local last = redis.call('ZREVRANGEBYSCORE', KEYS[1], '(+inf', '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
         local now = math.max(clock, tonumber(last[2] or 0))
         for i = 3, #ARGV do redis.call('ZADD', KEYS[1], 'NX', now, ARGV[i]) end
         if ARGV[2] == '1' then redis.call('ZADD', KEYS[1], '+inf', 'complete') end
         return redis.call('ZSCORE', KEYS[1], 'complete') and 1 or 0",
    )
});

/// Adds families to the list; `all`: they are all of the last [`WINDOW`]. Whether the list is complete now; if not, all are to
/// be added.
///
/// # Errors
/// When Redis is unavailable; some may have been added.
pub async fn add(redis: &Redis, families: &[FamilyId], all: bool) -> Result<bool, Unavailable> {
    let mut complete = false;
    let chunks = families.len().div_ceil(FAMILIES_MAX).max(1);
    for number in 0..chunks {
        let mut call = ADD.key(KEY);
        call.arg(WINDOW.as_millis() as u64).arg(u8::from(all && number + 1 == chunks));
        for family in families.iter().skip(number * FAMILIES_MAX).take(FAMILIES_MAX) {
            call.arg(family.to_string());
        }
        let add = |mut to| async move { call.invoke_async::<u8>(&mut to).await };
        complete = redis.run(WITHIN, add).await? == 1;
    }
    Ok(complete)
}

/// What this process has read of the list. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Revocations(Arc<RwLock<HashMap<FamilyId, Instant>>>);

/// Up to where the list was read.
pub(crate) struct Position {
    score: f64,
    /// When it was read from its beginning last.
    since: Instant,
}

impl Position {
    pub(crate) fn beginning() -> Self {
        Self { score: f64::NEG_INFINITY, since: Instant::now() }
    }
}

impl Revocations {
    pub(crate) fn contain(&self, family: FamilyId) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains_key(&family)
    }

    /// Reads what is new at this position. Answers the next one.
    pub(crate) async fn read_on(&self, redis: &Redis, position: Position) -> Position {
        let position =
            if position.since.elapsed() < RESYNC { position } else { Position::beginning() };
        let (mut read, mut complete) = (Vec::new(), false);
        loop {
            let members = match page(redis, position.score - OVERLAP_MS, read.len()).await {
                Ok(members) => members,
                Err(Unavailable) => return Position::beginning(), // it may be another one after that
            };
            let count = members.len();
            read.extend(members);
            if count < FAMILIES_MAX {
                break;
            }
        }
        let (now, mut score) = (Instant::now(), position.score);
        let mut families = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if position.score.is_infinite() {
            families.retain(|_, since| now.duration_since(*since) < WINDOW);
        }
        for (member, at) in read {
            match std::str::from_utf8(&member).map(str::parse) {
                Ok(Ok(family)) if at < LATEST_MS => {
                    families.entry(family).or_insert(now);
                    score = score.max(at);
                }
                _ => complete |= member == COMPLETE.as_bytes(),
            }
        }
        REVOKED_FAMILIES.set(i64::try_from(families.len()).unwrap_or(i64::MAX));
        if complete { Position { score, ..position } } else { Position::beginning() }
    }
}

/// A part of the list from this score on, with scores.
async fn page(redis: &Redis, from: f64, offset: usize) -> Result<Vec<(Vec<u8>, f64)>, Unavailable> {
    let mut range = cmd("ZRANGEBYSCORE");
    range.arg(KEY).arg(from).arg("+inf").arg("WITHSCORES");
    range.arg("LIMIT").arg(offset).arg(FAMILIES_MAX);
    redis.run(WITHIN, |mut to| async move { range.query_async(&mut to).await }).await
}
