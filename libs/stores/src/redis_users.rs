//! Who may do what in Redis. Each context has a user of its own there, and so has the gateway, with the commands that its code
//! sends, on the keys that are its own. Redis checks it, within scripts too.
//!
//! Every context reads the list of ended sign-ins; the user context alone writes it, and product alone has the keys of views.
//! The gateway alone has browser sessions; it does not read the list, because the services verify tokens.
//! Patterns end where a key's format number begins: a new format of the same owner needs no new right.
//!
//! The default user keeps every right: for readiness, health checks, operators and tests. Its password is the store's.
//!
//! Two commands are left out on purpose. `EVAL`: scripts are loaded once and called by their digest. `CLIENT`: what a client says of
//! itself at its start (`CLIENT SETINFO`) is not sent (`libs/cache`), because Redis 7.0 has no such subcommand to grant, and all of
//! `CLIENT` would let each user close the connections of the others.

/// A context or the gateway, the patterns of the keys that it changes, and the commands that its scripts call for that.
struct User {
    name: &'static str,
    /// Whether it reads the list of ended sign-ins.
    reads_list: bool,
    keys: &'static [&'static str],
    commands: &'static [&'static str],
}

/// The list of ended sign-ins (`libs/identity`).
const REVOCATIONS: &str = "souk:revoked-families:*";

/// What reads one page of the list.
const READS: [&str; 1] = ["zrangebyscore"];

/// What everybody sends: a Redis that is shared with others has a database for the shop. The patterns are the same in each.
const OF_URL: [&str; 1] = ["select"];

/// What calls scripts.
const SCRIPTS: [&str; 2] = ["evalsha", "script|load"];

const USERS: [User; 6] = [
    // services/product/src/app/popular.rs
    User {
        name: "product",
        reads_list: true,
        keys: &["souk:views:*", "souk:popular:*"],
        commands: &["type", "del", "zincrby", "expire", "zunionstore", "zrevrange"],
    },
    // libs/identity/src/revocations.rs
    User {
        name: "user",
        reads_list: true,
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
    User { name: "cart", reads_list: true, keys: &[], commands: &[] },
    User { name: "order", reads_list: true, keys: &[], commands: &[] },
    User { name: "payment", reads_list: true, keys: &[], commands: &[] },
    // gateway/src/sessions.rs
    User {
        name: "gateway",
        reads_list: false,
        keys: &["souk:sessions:*"],
        commands: &["type", "hget", "hmget", "hset", "pexpire", "del", "time", "set", "get"],
    },
];

/// Everybody who has a user: the contexts, and the gateway.
pub fn redis_users() -> impl Iterator<Item = &'static str> {
    USERS.iter().map(|user| user.name)
}

/// Those who read the list of ended sign-ins: the contexts.
pub fn redis_readers() -> impl Iterator<Item = &'static str> {
    USERS.iter().filter(|user| user.reads_list).map(|user| user.name)
}

/// The commands that they read it with.
pub fn redis_reads() -> &'static [&'static str] {
    &READS
}

/// Everybody, with the commands that they may use beside `SELECT` and those that read the list.
pub fn redis_commands() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    USERS.iter().map(|user| (user.name, user.commands))
}

/// The `user` lines of redis.conf: each with a password of its own.
///
/// # Errors
/// When a password cannot be had.
pub fn redis_acl<E>(mut password: impl FnMut(&str) -> Result<String, E>) -> Result<String, E> {
    USERS.iter().map(|user| Ok(user.line(&password(user.name)?))).collect()
}

impl User {
    /// A user that is new has no keys.
    fn line(&self, password: &str) -> String {
        let Self { name, reads_list, keys, commands } = self;
        let list = if *reads_list { format!(" %R~{REVOCATIONS}") } else { String::new() };
        let keys: String = keys.iter().map(|pattern| format!(" ~{pattern}")).collect();
        let reads: &[&str] = if *reads_list { &READS } else { &[] };
        let scripts: &[&str] = if commands.is_empty() { &[] } else { &SCRIPTS };
        let commands = OF_URL.iter().chain(reads).chain(scripts).chain(*commands);
        let commands: String = commands.map(|command| format!(" +{command}")).collect();
        format!("user {name} on >{password} resetchannels -@all{list}{keys}{commands}\n")
    }
}
