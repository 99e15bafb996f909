//! What a context and the gateway may do in Redis is what its code sends, by itself and in scripts.

use std::collections::BTreeSet;

use crate::{Complaints, Source, Tree, rust};

/// The user context's scripts are where everybody reads what they write.
const OF_USER: &str = "libs/identity/src/revocations.rs";

/// Ways to send commands whose names do not stand there as text.
const UNNAMED: [&str; 6] =
    ["Cmd::", "pipe()", "Commands", "AsyncCommands", "TypedCommands", "AsyncTypedCommands"];

/// A right too many is one for whoever gets hold of the user's password. `SELECT`, which is everybody's, is the redis crate's: it sends
/// it when the URL names a database.
pub fn rights_are_what_scripts_call(tree: &Tree) -> Complaints {
    let sources = tree.sources();
    let of = |folder: &str| {
        let folder = format!("{folder}/");
        sources.iter().filter(move |source| source.path.starts_with(&folder))
    };
    let (of_user, others): (Vec<_>, Vec<_>) = of("libs").partition(|it| it.path == OF_USER);
    let scripts = others.iter().flat_map(|source| called(source));
    let direct = others.iter().chain(&of_user).flat_map(|source| sent(source));
    let by_all: BTreeSet<String> = direct.chain(scripts).collect();
    let reads = stores::redis_reads();
    let mut complaints = Vec::from_iter(compared("every context", &by_all, reads));
    let contexts = BTreeSet::from_iter(stores::redis_readers());
    for (user, rights) in stores::redis_commands() {
        let is_context = contexts.contains(user);
        let folder = if is_context { format!("services/{user}") } else { user.to_owned() };
        let own = of(&folder).flat_map(|source| sent(source).chain(called(source)));
        let in_libs = of_user.iter().filter(|_| user == "user").flat_map(|it| called(it));
        let mut calls: BTreeSet<String> = own.chain(in_libs).collect();
        calls.retain(|command| !is_context || !reads.contains(&&**command));
        complaints.extend(compared(user, &calls, rights));
    }
    complaints
}

fn compared(who: &str, calls: &BTreeSet<String>, rights: &[&str]) -> Option<String> {
    let may: BTreeSet<String> = rights.iter().map(|&command| command.to_owned()).collect();
    (*calls != may).then(|| {
        format!(
            "{who}: its code sends {calls:?} to Redis, and it may {may:?}: \
             libs/stores/src/redis_users.rs. Commands are sent as `cmd(\"NAME\")` or \
             `redis.call('NAME'`"
        )
    })
}

/// `cmd("ZADD")`, also of `redis` and of a pipeline; and the ways that name no command, as they are called.
fn sent(source: &Source<'_>) -> impl Iterator<Item = String> {
    let calls = after(&source.shipped, "cmd").map(|at| &source.text[at..]);
    let named = calls.filter(|rest| rest.starts_with('(')).map(name);
    let uses_redis = !rust::lines_with(&source.shipped, "redis").is_empty();
    let unnamed = UNNAMED
        .into_iter()
        .filter(move |way| uses_redis && !rust::lines_with(&source.shipped, way).is_empty());
    named.chain(unnamed.map(str::to_owned))
}

/// `redis.call('ZADD', …)` and `redis.pcall("ZADD", …)` in string literals.
fn called(source: &Source<'_>) -> impl Iterator<Item = String> {
    let ways = ["redis.call", "redis.pcall"].into_iter();
    let calls = ways.flat_map(|way| after(&source.strings, way));
    calls.map(|at| name(&source.strings[at..]))
}

/// Where a word ends that stands by itself.
fn after<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> {
    let own = |c: char| c.is_alphanumeric() || c == '_';
    let begins = text.match_indices(word).filter(move |(at, _)| !text[..*at].ends_with(own));
    begins.map(|(at, _)| at + word.len()).filter(move |end| !text[*end..].starts_with(own))
}

/// The first argument. One that is no literal is shown as it is written, with a question mark, and is nobody's right.
fn name(rest: &str) -> String {
    let argument = rest.trim_start_matches('(').trim_start().trim_start_matches('\\');
    let literal = argument.strip_prefix(['\'', '"']);
    match literal.and_then(|literal| literal.split_once(['\'', '"', '\\'])) {
        Some((name, _)) => name.to_lowercase(),
        None => {
            format!("?{}", rest.lines().next().unwrap_or_default().trim_end_matches([' ', '"']))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the rule says of a tree in which the list is read, but nobody has scripts.
    fn complaints(path: &str, code: &str) -> Complaints {
        let reads = ("libs/identity/src/reading.rs", r#"fn f() { cmd("ZRANGEBYSCORE") }"#);
        rights_are_what_scripts_call(&Tree::of([reads, (path, code)]))
    }

    fn about(path: &str, code: &str) -> Vec<String> {
        let who = |line: String| line.split(':').next().unwrap_or_default().to_owned();
        complaints(path, code).into_iter().map(who).collect()
    }

    const WITHOUT_SCRIPTS: [&str; 3] = ["product", "user", "gateway"];
    const CART: &str = "services/cart/src/app.rs";
    const GATEWAY: &str = "gateway/src/sessions.rs";

    /// A command of cart that is none of its rights.
    fn is_seen(code: &str, shown: &str) {
        let complaints = complaints(CART, code);
        let expected = format!("cart: its code sends {{{shown:?}}}");
        let seen = complaints.iter().any(|line| line.starts_with(&expected));
        assert!(seen, "{code}: {complaints:?}");
    }

    #[test]
    fn a_right_too_many_and_one_too_few_are_seen() {
        assert_eq!(about(CART, ""), WITHOUT_SCRIPTS);
        assert_eq!(about(CART, r#"fn f() { cmd("ZRANGEBYSCORE") }"#), WITHOUT_SCRIPTS);
        assert_eq!(about(CART, r#"fn f() { cmd("DEL") }"#), ["product", "user", "cart", "gateway"]);
    }

    #[test]
    fn the_gateway_has_no_right_to_read_the_list() {
        let calls = stores::redis_commands().find(|(user, _)| *user == "gateway").unwrap().1;
        let call = |command: &&str| format!("redis.call('{command}')");
        let own = format!("\"{}\"", calls.iter().map(call).collect::<String>());
        let with = |code: &str| about(GATEWAY, &format!("fn f() {{ {own}; {code} }}"));
        assert_eq!(with(""), ["product", "user"]);
        assert_eq!(with(r#"cmd("ZRANGEBYSCORE")"#), WITHOUT_SCRIPTS);
    }

    #[test]
    fn scripts_are_read_however_they_call() {
        is_seen(r#"const A: &str = "redis.call('DEL', KEYS[1])";"#, "del");
        is_seen(r#"const A: &str = "redis.pcall('DEL', KEYS[1])";"#, "del");
        is_seen(r#"const A: &str = "redis.call( 'DEL', KEYS[1])";"#, "del");
        is_seen(r#"const A: &str = "redis.call(\"DEL\", KEYS[1])";"#, "del");
        is_seen(r##"const A: &str = r#"redis.call("DEL", KEYS[1])"#;"##, "del");
        is_seen(r#"const A: &str = "redis.call(ARGV[1])";"#, "?(ARGV[1])");
        is_seen(r#"const A: &str = "local call = redis.call";"#, "?");
    }

    #[test]
    fn commands_are_read_however_they_are_sent() {
        is_seen(r#"fn f() { cmd("DEL") }"#, "del");
        is_seen(r#"fn f() { redis::cmd("DEL") }"#, "del");
        is_seen(r#"fn f() { x.cmd("DEL") }"#, "del");
        is_seen("fn f() { cmd(\n    \"DEL\") }", "del");
        is_seen("fn f() { cmd(NAME) }", "?(NAME) }");
        for way in UNNAMED {
            is_seen(&format!("fn f() {{ redis::{way} }}"), way);
        }
    }

    #[test]
    fn what_no_service_sends_is_not_read() {
        let calls = r#"fn f() { cmd("DEL"); "redis.call('DEL')" }"#;
        assert_eq!(about("services/cart/tests/it/main.rs", calls), WITHOUT_SCRIPTS);
        assert_eq!(about(CART, &format!("#[cfg(test)]\nmod tests {{ {calls} }}")), WITHOUT_SCRIPTS);
        assert_eq!(about(CART, &format!("// é {calls}")), WITHOUT_SCRIPTS);
        assert_eq!(
            about(CART, r#"fn f() { my_cmd("DEL"); cmd_of("DEL"); Commands }"#),
            WITHOUT_SCRIPTS
        );
    }

    #[test]
    fn what_libraries_send_is_what_every_context_may() {
        let everyone = ["every context", "product", "user", "gateway"];
        for path in ["libs/cache/src/redis.rs", OF_USER] {
            assert_eq!(about(path, r#"fn f() { cmd("DEL") }"#), everyone, "{path}");
        }
        let script = r#"const A: &str = "redis.call('DEL', KEYS[1])";"#;
        assert_eq!(about("libs/cache/src/redis.rs", script), everyone);
        assert_eq!(about(OF_USER, script), WITHOUT_SCRIPTS, "user's alone, and too few");
        let nobody = rights_are_what_scripts_call(&Tree::default());
        assert!(nobody.iter().any(|line| line.starts_with("every context")), "{nobody:?}");
    }
}
