//! Browsers' sessions, in Redis alone: a copy of the gateway has none, so that any copy may answer any request. The cookie
//! holds 256 random bits; Redis has their SHA-256, of which nobody can make a cookie (OWASP ASVS 5, 7.2). Sliding expiration: each
//! use puts the idle limit off.
//!
//! A session is a hash: the tokens that the user service has given out, when the access token expires, and when the session
//! ends whatever happens. Redis ends it by itself when nobody used it for the idle time. All times are Redis's own.
//!
//! A refresh token works once, and its family ends when it comes twice (`services/user/src/domain/refresh.rs`). So one copy at a
//! time refreshes a session: the one that has its lock. Redis flushed, or new tokens that are lost (the answer of the user service, or
//! all tries to store them, or the copy in between): that customer signs in again, and loses nothing else.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use cache::redis::{Redis, Unavailable};
use http::StatusCode;
use proto::user::v1::user_service_client::UserServiceClient;
use proto::user::v1::{RefreshSessionRequest, Session};
use redis::{FromRedisValue, Script, ScriptInvocation};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use rpc::Channel;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, sleep};
use tonic::Code;
use tracing::Instrument as _;

use crate::problem::Problem;
use crate::render::required;

/// The number is the format's. The braces keep both keys of a session on one server of a Redis cluster.
const KEY: &str = "souk:sessions:1:";
/// Command timeout: a page waits for it.
const WITHIN: Duration = Duration::from_millis(500);
/// An access token is refreshed when it has less than this left.
const REFRESH_BEFORE: Duration = Duration::from_secs(60);
/// It is used while it has this left: the request that it is for takes its time.
const USABLE: Duration = Duration::from_secs(6);
/// Of the call that refreshes, and of the lock, which outlives it.
const REFRESH_WITHIN: Duration = Duration::from_secs(5);
const LOCK: Duration = Duration::from_secs(8);
/// Whoever finds the lock taken polls the session.
const POLL: Duration = Duration::from_millis(50);
/// For so long.
const ELSEWHERE_WITHIN: Duration = Duration::from_secs(3);

const ID_BYTES: usize = 32;

/// `access, refresh, valid_ms, idle_ms, life_ms`: a new session.
static STORE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local time = redis.call('TIME')
         local now = time[1] * 1000 + math.floor(time[2] / 1000)
         redis.call('DEL', KEYS[1])
         redis.call('HSET', KEYS[1], 'access', ARGV[1], 'refresh', ARGV[2], 'expires', now + ARGV[3], 'until', now + ARGV[5])
         redis.call('PEXPIRE', KEYS[1], math.min(ARGV[4], ARGV[5]))",
    )
});

/// `idle_ms`: the tokens and how long the access token is valid, in milliseconds; nothing when there is no such session. What else is
/// under the key is no session.
static READ: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return {} end
         local it = redis.call('HMGET', KEYS[1], 'access', 'refresh', 'expires', 'until')
         local expires, ends = tonumber(it[3] or ''), tonumber(it[4] or '')
         if not (it[1] and it[2] and expires and ends) then return {} end
         local time = redis.call('TIME')
         local now = time[1] * 1000 + math.floor(time[2] / 1000)
         if ends <= now then redis.call('DEL', KEYS[1]) return {} end
         redis.call('PEXPIRE', KEYS[1], math.min(ARGV[1], ends - now))
         return {it[1], it[2], tostring(math.max(expires - now, 0))}",
    )
});

/// `refresh, nonce, lock_ms`: whether the lock was free and the session still has this refresh token.
static BEGIN_REFRESH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('HGET', KEYS[1], 'refresh') ~= ARGV[1] then return 0 end
         return redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) and 1 or 0",
    )
});

/// `used, nonce, access, refresh, valid_ms`: the session has these tokens instead of the used one, and the lock is free. Without
/// tokens only the latter.
static END_REFRESH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if ARGV[3] and redis.call('HGET', KEYS[1], 'refresh') == ARGV[1] then
             local time = redis.call('TIME')
             local now = time[1] * 1000 + math.floor(time[2] / 1000)
             redis.call('HSET', KEYS[1], 'access', ARGV[3], 'refresh', ARGV[4], 'expires', now + ARGV[5])
         end
         if redis.call('GET', KEYS[2]) == ARGV[2] then redis.call('DEL', KEYS[2]) end",
    )
});

static END: LazyLock<Script> = LazyLock::new(|| Script::new("redis.call('DEL', KEYS[1])"));

/// What a browser's cookie holds: 32 random bytes, base64url.
#[derive(Clone)]
pub(crate) struct SessionId(SecretString);

impl SessionId {
    fn mint() -> Result<Self, Problem> {
        random().map(|text| Self(text.into()))
    }

    /// The one of a cookie; `None`: it was never one.
    pub(crate) fn presented(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text).ok()?;
        (bytes.len() == ID_BYTES).then(|| Self(text.into()))
    }

    /// For the cookie.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    fn key(&self) -> String {
        let hash = digest(&SHA256, self.0.expose_secret().as_bytes());
        format!("{KEY}{{{}}}", BASE64.encode(hash.as_ref()))
    }
}

/// 256 random bits as text.
pub(crate) fn random() -> Result<String, Problem> {
    let mut bytes = [0; ID_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| {
        tracing::error!("the system has no randomness");
        Problem::internal()
    })?;
    Ok(BASE64.encode(bytes))
}

/// How long sessions last.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// A browser's session ends when it was not used for so long
    #[arg(long, env = "SOUK_SESSION_IDLE", value_name = "DURATION", default_value = "24h", value_parser = humantime::parse_duration)]
    pub session_idle: Duration,

    /// A browser's session ends so long after the sign-in; refresh tokens are valid for 30 days
    #[arg(long, env = "SOUK_SESSION_LIFE", value_name = "DURATION", default_value = "14days", value_parser = humantime::parse_duration)]
    pub session_life: Duration,
}

/// The sessions. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sessions(Option<Arc<Inner>>);

struct Inner {
    redis: Redis,
    options: Options,
    user: UserServiceClient<Channel>,
}

/// What a session holds.
struct Tokens {
    access: String,
    refresh: String,
    valid: Duration,
}

impl Sessions {
    /// Without a Redis nobody can sign in.
    pub(crate) fn new(
        redis: Option<Redis>,
        options: Options,
        user: UserServiceClient<Channel>,
    ) -> Self {
        Self(redis.map(|redis| Arc::new(Inner { redis, options, user })))
    }

    fn inner(&self) -> Result<&Arc<Inner>, Problem> {
        self.0.as_ref().ok_or_else(|| away(Unavailable))
    }

    /// Whether sessions can be stored: before anything is done that would be in vain without.
    ///
    /// # Errors
    /// 503 when Redis is away.
    pub(crate) async fn check(&self) -> Result<(), Problem> {
        self.inner()?.read(&SessionId::mint()?).await.map(drop)
    }

    /// A new session for whoever has just signed in.
    ///
    /// # Errors
    /// 503 when Redis is away.
    pub(crate) async fn begin(&self, session: &Session) -> Result<SessionId, Problem> {
        let (inner, id) = (self.inner()?, SessionId::mint()?);
        let Options { session_idle, session_life } = inner.options;
        let mut call = STORE.key(id.key());
        call.arg(&session.access_token).arg(&session.refresh_token);
        call.arg(ms(valid(session))).arg(ms(session_idle)).arg(ms(session_life));
        inner.run::<()>(&call).await?;
        Ok(id)
    }

    /// An access token of the session that is valid for a while; it is refreshed when need be. `None`: there is no such session, or it
    /// has ended.
    ///
    /// # Errors
    /// 503 when Redis is away, or the user service's refusal.
    pub(crate) async fn access_token(&self, id: &SessionId) -> Result<Option<String>, Problem> {
        let inner = self.inner()?;
        let began = Instant::now();
        loop {
            let Some(tokens) = inner.read(id).await? else { return Ok(None) };
            if tokens.valid > REFRESH_BEFORE {
                return Ok(Some(tokens.access));
            }
            let usable = (tokens.valid > USABLE).then(|| tokens.access.clone());
            match (inner.refresh(id, tokens.refresh).await, usable) {
                (Ok(Refreshed::Now(access)), _) => return Ok(Some(access)),
                (Ok(Refreshed::Refused), _) => return Ok(None),
                (Ok(Refreshed::Elsewhere), Some(access)) => return Ok(Some(access)),
                (Err(refused), Some(access)) if refused.is_outage() => return Ok(Some(access)),
                (Err(refused), _) => return Err(refused),
                (Ok(Refreshed::Elsewhere), None) if began.elapsed() < ELSEWHERE_WITHIN => {
                    sleep(POLL).await;
                }
                (Ok(Refreshed::Elsewhere), None) => return Err(away(Unavailable)),
            }
        }
    }

    /// Ends a session: it is unknown from now on.
    ///
    /// # Errors
    /// 503 when Redis is away.
    pub(crate) async fn end(&self, id: &SessionId) -> Result<(), Problem> {
        self.inner()?.run(&END.key(id.key())).await
    }
}

/// What became of an attempt to refresh.
enum Refreshed {
    /// The session has new tokens; this is the access token.
    Now(String),
    /// The user service says that the sign-in has ended, and so has the session.
    Refused,
    /// Another request has the lock, or has just refreshed.
    Elsewhere,
}

impl Inner {
    async fn run<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, Problem> {
        let run = |mut to| async move { call.invoke_async(&mut to).await };
        self.redis.run(WITHIN, run).await.map_err(away)
    }

    /// A refresh token that was used and is still in Redis would end its family at the next refresh. So this is tried as long as the
    /// lock keeps others from that; it may run more than once.
    async fn run_until_stored(&self, call: &ScriptInvocation<'_>) -> Result<(), Problem> {
        let began = Instant::now();
        loop {
            match self.run::<()>(call).await {
                Err(_) if began.elapsed() < LOCK.saturating_sub(WITHIN * 2) => sleep(POLL).await,
                done => return done,
            }
        }
    }

    async fn read(&self, id: &SessionId) -> Result<Option<Tokens>, Problem> {
        let mut call = READ.key(id.key());
        call.arg(ms(self.options.session_idle));
        let parts: Vec<String> = self.run(&call).await?;
        let Ok([access, refresh, valid_ms]) = <[String; 3]>::try_from(parts) else {
            return Ok(None);
        };
        let valid = Duration::from_millis(valid_ms.parse().unwrap_or_default());
        Ok(Some(Tokens { access, refresh, valid }))
    }

    /// In a task of its own: a browser that goes away meanwhile does not lose the new tokens.
    async fn refresh(self: &Arc<Self>, id: &SessionId, used: String) -> Result<Refreshed, Problem> {
        let (inner, id) = (Arc::clone(self), id.clone());
        let refreshing = async move { inner.refresh_to_the_end(&id, &used).await };
        let refreshing = rpc::deadline::within(REFRESH_WITHIN, refreshing).in_current_span();
        tokio::spawn(refreshing).await.unwrap_or_else(|_panic| Err(Problem::internal()))
    }

    async fn refresh_to_the_end(&self, id: &SessionId, used: &str) -> Result<Refreshed, Problem> {
        let (key, lock, nonce) = (id.key(), format!("{}:refresh", id.key()), random()?);
        let mut begin = BEGIN_REFRESH.key(&key);
        begin.key(&lock).arg(used).arg(&nonce).arg(ms(LOCK));
        if self.run::<u8>(&begin).await? == 0 {
            return Ok(Refreshed::Elsewhere);
        }
        let request = RefreshSessionRequest { refresh_token: used.to_owned() };
        let answer = self.user.clone().refresh_session(request).await;
        let mut end = END_REFRESH.key(&key);
        end.key(&lock).arg(used).arg(&nonce);
        match answer.map(|reply| reply.into_inner().session) {
            Ok(session) => {
                let session = required(session)?;
                end.arg(&session.access_token).arg(&session.refresh_token);
                end.arg(ms(valid(&session)));
                self.run_until_stored(&end).await?;
                Ok(Refreshed::Now(session.access_token))
            }
            Err(refused) if refused.code() == Code::Unauthenticated => {
                self.run::<()>(&END.key(&key)).await?;
                Ok(Refreshed::Refused)
            }
            Err(refused) => {
                self.run::<()>(&end).await?;
                Err(refused.into())
            }
        }
    }
}

fn away(_: Unavailable) -> Problem {
    let detail = "accounts cannot be reached at the moment; browsing and guests' carts go on";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "sessions_unavailable", detail)
}

fn valid(session: &Session) -> Duration {
    Duration::from_secs(session.expires_in_seconds.into())
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_an_id_is_none() {
        let id = SessionId::mint().unwrap();
        assert!(SessionId::presented(id.expose()).is_some());
        let (short, long) = (&id.expose()[1..], format!("{}A", id.expose()));
        for never in ["", "x", short, &long, &"A".repeat(8000), "../../../etc/passwd", "é"] {
            assert!(SessionId::presented(never).is_none(), "{never:?}");
        }
    }

    #[test]
    fn the_key_does_not_hold_the_id() {
        let id = SessionId::mint().unwrap();
        assert!(!id.key().contains(id.expose()));
        assert_eq!(id.key().len(), KEY.len() + 2 + 43);
    }
}
