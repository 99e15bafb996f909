//! Who may do what in Redis. Each context has a user of its own there, with the commands that its code sends, on the keys that
//! are its own. Redis checks it, within scripts too.
//!
//! Every context reads the list of ended sign-ins; the user context alone writes it, and product alone has the keys of views.
//! Patterns end where a key's format number begins: a new format of the same owner needs no new right.
//!
//! The default user keeps every right: for readiness, health checks, operators and tests. Its password is the store's.
//!
//! Two commands are left out on purpose. `EVAL`: scripts are loaded once and called by their digest. `CLIENT`: what a client says of
//! itself at its start (`CLIENT SETINFO`) is not sent (`libs/cache`), because Redis 7.0 has no such subcommand to grant, and all of
//! `CLIENT` would let each context close the connections of the others.

/// A context, the patterns of the keys that it changes, and the commands that its scripts call for that.
struct User {
    context: &'static str,
    keys: &'static [&'static str],
    commands: &'static [&'static str],
}

/// The list of ended sign-ins (`libs/identity`).
const REVOCATIONS: &str = "souk:revoked-families:*";

/// What everybody sends: one page of the list. `SELECT`, because a Redis that is shared with others has a database for the shop; the
/// patterns are the same in each.
const READS: [&str; 2] = ["select", "zrangebyscore"];

/// What calls scripts.
const SCRIPTS: [&str; 2] = ["evalsha", "script|load"];

const USERS: [User; 5] = [
    // services/product/src/app/popular.rs
    User {
        context: "product",
        keys: &["souk:views:*", "souk:popular:*"],
        commands: &["type", "del", "zincrby", "expire", "zunionstore", "zrevrange"],
    },
    // libs/identity/src/revocations.rs
    User {
        context: "user",
        keys: &[REVOCATIONS],
        commands: &[
            "type",
            "del",
            "time",
            "zrem",
            "zremrangebyscore",
            "zrevrangebyscore",
            "zadd",
            "zscore",
        ],
    },
    User { context: "cart", keys: &[], commands: &[] },
    User { context: "order", keys: &[], commands: &[] },
    User { context: "payment", keys: &[], commands: &[] },
];

/// The contexts, each of which has a user.
pub fn redis_users() -> impl Iterator<Item = &'static str> {
    USERS.iter().map(|user| user.context)
}

/// The commands that every context may use.
pub fn redis_reads() -> &'static [&'static str] {
    &READS
}

/// The contexts, each with the commands that it may use beside those that read the list of ended sign-ins.
pub fn redis_commands() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    USERS.iter().map(|user| (user.context, user.commands))
}

/// The `user` lines of redis.conf: each context with its own password.
///
/// # Errors
/// When a password cannot be had.
pub fn redis_acl<E>(mut password: impl FnMut(&str) -> Result<String, E>) -> Result<String, E> {
    USERS.iter().map(|user| Ok(user.line(&password(user.context)?))).collect()
}

impl User {
    /// A user that is new has no keys.
    fn line(&self, password: &str) -> String {
        let Self { context, keys, commands } = self;
        let keys: String = keys.iter().map(|pattern| format!(" ~{pattern}")).collect();
        let scripts: &[&str] = if commands.is_empty() { &[] } else { &SCRIPTS };
        let commands = READS.iter().chain(scripts).chain(*commands);
        let commands: String = commands.map(|command| format!(" +{command}")).collect();
        format!(
            "user {context} on >{password} resetchannels -@all %R~{REVOCATIONS}{keys}{commands}\n"
        )
    }
}
