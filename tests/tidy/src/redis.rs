//! What a context may do in Redis is what its scripts do.

use std::collections::BTreeSet;

use crate::{Complaints, Tree};

/// The user context's scripts are where everybody reads what they write.
const OF_USER: &str = "libs/identity/src/revocations.rs";

/// What every context may call.
const OF_ALL: &str = "zrangebyscore";

/// A right too many is one for whoever gets hold of the context's password.
pub fn rights_are_what_scripts_call(tree: &Tree) -> Complaints {
    let mut complaints = Vec::new();
    for (context, rights) in stores::redis_commands() {
        let own = tree.below(&format!("services/{context}/src")).into_iter().map(|(_, file)| file);
        let of_user = tree.file(OF_USER).filter(|_| context == "user");
        let calls = own.chain(of_user).flat_map(|file| commands(&file.text));
        let calls: BTreeSet<String> = calls.filter(|command| command != OF_ALL).collect();
        let may: BTreeSet<String> = rights.iter().map(|&command| command.to_owned()).collect();
        if calls != may {
            complaints.push(format!(
                "{context}: its scripts call {calls:?} in Redis, and it may {may:?}: \
                 libs/stores/src/redis_users.rs"
            ));
        }
    }
    complaints
}

/// `redis.call('ZADD', …)`
fn commands(text: &str) -> impl Iterator<Item = String> {
    let calls = text.split("redis.call('").skip(1);
    calls.filter_map(|call| Some(call.split_once('\'')?.0.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_too_many_and_one_too_few_are_seen() {
        let of = |scripts: &str| {
            let files = [("services/cart/src/app.rs", scripts)];
            let complaints = rights_are_what_scripts_call(&Tree::of(files));
            complaints.into_iter().map(|line| line[..4].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(of(""), ["prod", "user"], "without their scripts");
        assert_eq!(of("redis.call('ZRANGEBYSCORE', KEYS[1])").len(), 2);
        assert_eq!(of("redis.call('DEL', KEYS[1])"), ["prod", "user", "cart"]);
    }
}
