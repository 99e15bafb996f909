//! What each context and the gateway may do in Redis, and what they may not. That their rights suffice is for their
//! own suites, which sign in as them.

use crate::folder::{Folder, programs};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use stores::{Endpoints, Options, Stores, redis_readers, redis_users};

const LIST: &str = "souk:revoked-families:1";
const VIEWS: &str = "souk:views:1:7";
const SESSION: &str = "souk:sessions:1:x";

/// A command after signing in with this URL: the first line of its answer.
fn redis(url: &str, command: &str) -> String {
    let (login, address) = url.trim_start_matches("redis://").rsplit_once('@').expect("a password");
    signed_in(address, &login.replacen(':', " ", 1), command)
}

fn signed_in(address: &str, login: &str, command: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("Redis listens");
    write!(stream, "AUTH {}\r\n{command}\r\nQUIT\r\n", login.trim()).expect("written");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let signed_in = lines.next().expect("an answer to AUTH");
    if signed_in == "+OK" { lines.next().expect("an answer") } else { signed_in }
}

fn start(folder: &Folder) -> (Stores, Endpoints) {
    let stores = Stores::start(folder.path(), &programs(), &Options::default());
    let stores = stores.expect("the stores start");
    let endpoints = stores.endpoints().expect("endpoints");
    (stores, endpoints)
}

/// What nobody has a use for.
const OF_NOBODY: [&str; 20] = [
    "FLUSHALL",
    "FLUSHDB",
    "KEYS *",
    "SCAN 0",
    "RANDOMKEY",
    "DBSIZE",
    "CONFIG GET requirepass",
    "CONFIG SET maxmemory 1",
    "ACL LIST",
    "ACL SETUSER order ~* +@all",
    "CLIENT LIST",
    "CLIENT KILL TYPE normal",
    "SCRIPT FLUSH",
    "EVAL \"return 1\" 0",
    "FUNCTION LIST",
    "PUBLISH souk x",
    "SUBSCRIBE souk",
    "MONITOR",
    "REPLICAOF 127.0.0.1 1",
    "SHUTDOWN NOSAVE",
];

#[test]
fn a_context_may_do_in_redis_what_it_has_to_and_nothing_else() {
    let folder = Folder::new("redis-users");
    let (stores, endpoints) = start(&folder);
    let operator = |command: &str| redis(&endpoints.redis_url, command);
    operator(&format!("ZADD {LIST} 1 family"));
    operator(&format!("ZADD {VIEWS} 1 product"));
    operator("SET foreign x");

    let context = |name: &str, command: &str| redis(&endpoints.redis_urls[name], command);
    let readers = BTreeSet::from_iter(redis_readers());
    for name in redis_users() {
        let read = format!("ZRANGEBYSCORE {LIST} -inf +inf");
        match readers.contains(name) {
            true => assert!(context(name, &read).starts_with('*'), "{name} reads the list"),
            false => refused(name, &read, &context(name, &read)),
        }
        assert_eq!(context(name, "SELECT 7"), "+OK", "{name}: a database of the shop's own");
        for command in OF_NOBODY {
            refused(name, command, &context(name, command));
        }
        for key in [LIST, VIEWS, "foreign"] {
            for command in ["GET", "DUMP", "UNLINK", "PERSIST"] {
                let command = format!("{command} {key}");
                refused(name, &command, &context(name, &command));
            }
        }
        refused(name, "a page of others", &context(name, "ZRANGEBYSCORE foreign -inf +inf"));
    }
    writes(&context);
    assert_eq!(operator("DBSIZE"), ":5", "the list, two of views, a session, and what is foreign");
    assert_eq!(operator(&format!("ZCARD {LIST}")), ":2");
    stores.stop().expect("they stop");
}

/// Who changes which keys, by itself and with a script.
fn writes(context: &dyn Fn(&str, &str) -> String) {
    for (key, owner, add) in [
        (LIST, "user", "ZADD"),
        (VIEWS, "product", "ZINCRBY"),
        ("souk:popular:1", "product", "ZINCRBY"),
        (SESSION, "gateway", "HSET"),
    ] {
        let put = format!("{add} {key} 2 other");
        assert!(context(owner, &put).starts_with([':', '$']), "{owner} changes {key}");
        for name in redis_users().filter(|name| *name != owner) {
            let direct = [
                format!("ZADD {key} 1 other"),
                format!("ZINCRBY {key} 1 other"),
                format!("ZREM {key} family"),
                format!("DEL {key}"),
                format!("EXPIRE {key} 1"),
                format!("ZUNIONSTORE {key} 1 {LIST}"),
                format!("ZREMRANGEBYSCORE {key} -inf +inf"),
                format!("HSET {key} 2 other"),
                format!("HGET {key} 2"),
                format!("GET {key}"),
            ];
            for command in direct {
                refused(name, &command, &context(name, &command));
            }
            scripts(context, name, key);
        }
    }
    for name in redis_users().filter(|name| *name != "product") {
        let read = format!("ZREVRANGE {VIEWS} 0 -1");
        refused(name, &read, &context(name, &read));
        let read = format!("ZRANGEBYSCORE {VIEWS} -inf +inf");
        refused(name, &read, &context(name, &read));
    }
}

/// A script does what its caller may, wherever it gets the key from.
fn scripts(context: &dyn Fn(&str, &str) -> String, name: &str, key: &str) {
    let text = "return redis.call('DEL', KEYS[1] or ARGV[1])";
    let load = format!("SCRIPT LOAD \"{text}\"");
    if !["product", "user", "gateway"].contains(&name) {
        return refused(name, &load, &context(name, &load));
    }
    // The length of the digest, which is on the next line; 40 characters of SHA-1.
    assert_eq!(context(name, &load), "$40", "{name} loads scripts");
    let digest = "49b29c967dc36e22564baea37067d1822fb72862";
    for arguments in [format!("1 {key}"), format!("0 {key}")] {
        let call = format!("EVALSHA {digest} {arguments}");
        refused(name, &call, &context(name, &call));
    }
}

/// Redis 7.0 says it otherwise of what a script does.
fn refused(name: &str, command: &str, answer: &str) {
    let within = "-ERR The user executing the script can't access at least one of the keys";
    let refused = answer.starts_with("-NOPERM") || answer.starts_with(within);
    assert!(refused, "{name}: {command}: {answer}");
}

#[test]
fn one_contexts_password_is_no_others() {
    let folder = Folder::new("redis-passwords");
    let (stores, endpoints) = start(&folder);
    let login = |url: &str| -> (String, String, String) {
        let (login, address) = url["redis://".len()..].split_once('@').expect("a password");
        let (user, password) = login.split_once(':').expect("a user");
        (user.to_owned(), password.to_owned(), address.to_owned())
    };
    let mut urls: Vec<&str> = endpoints.redis_urls.values().map(String::as_str).collect();
    urls.push(&endpoints.redis_url);
    let logins: Vec<_> = urls.into_iter().map(login).collect();
    let users: BTreeSet<&str> = logins.iter().map(|(user, ..)| user.as_str()).collect();
    assert_eq!(users, redis_users().chain([""]).collect());
    for (user, own, address) in &logins {
        for (_, password, _) in &logins {
            let answer = signed_in(address, &format!("{user} {password}"), "QUIT");
            let expected = if own == password { "+OK" } else { "-WRONGPASS" };
            assert!(answer.starts_with(expected), "{user}: {answer}");
        }
    }
    stores.stop().expect("they stop");
}

#[test]
fn a_redis_that_was_started_before_there_were_users_is_started_again() {
    let folder = Folder::new("redis-before-users");
    let share = || {
        let stores = Stores::start_shared(folder.path(), &programs(), &Options::default());
        stores.expect("shared").endpoints().expect("endpoints")
    };
    let before = share();
    for context in redis_users() {
        let secret = folder.path().join(format!("secrets/redis-{context}"));
        std::fs::remove_file(secret).expect("its password");
    }
    let after = share();
    assert_eq!(after.redis_url, before.redis_url);
    let changed: Vec<_> = after.pids.iter().filter(|pid| !before.pids.contains(pid)).collect();
    assert_eq!(changed.len(), 1, "Redis alone");
    for (context, url) in &after.redis_urls {
        assert_ne!(*url, before.redis_urls[context]);
        assert_eq!(redis(url, "SELECT 7"), "+OK");
    }
    assert_eq!(share().pids, after.pids, "and then it is joined");
}

#[test]
fn a_redis_of_somebody_else_is_used_by_all_as_its_url_says() {
    let folder = Folder::new("redis-external");
    let (stores, ours) = start(&folder);
    let other = Folder::new("redis-external-user");
    let url = ours.redis_url.clone();
    let options = Options { redis_url: Some(url.clone()), ..Options::default() };
    let using = Stores::start(other.path(), &programs(), &options).expect("the others start");
    let urls = using.endpoints().expect("endpoints").redis_urls;
    assert!(urls.keys().map(String::as_str).eq(BTreeSet::from_iter(redis_users())));
    assert!(urls.values().all(|it| *it == url));
    using.stop().expect("they stop");
    stores.stop().expect("they stop");
}
