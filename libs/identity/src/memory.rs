//! Tokens that were verified: to check a signature costs more than the rest of a small request.
//!
//! What a token says is kept under its digest (SHA-256), so an entry is a third of its token. Two generations: when the young
//! one is full it becomes the old one, and what is left of that is forgotten: what is used again comes back into the young one.

use std::collections::HashMap;
use std::sync::Arc;

use kernel::{FamilyId, UserId};
use ring::digest::{SHA256, SHA256_OUTPUT_LEN};

use crate::{Caller, Role};

/// Of one generation.
const SUBJECTS_MAX: usize = 20_000;

pub(crate) type Digest = [u8; SHA256_OUTPUT_LEN];

/// What tells a token from all others.
pub(crate) fn digest(token: &str) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(ring::digest::digest(&SHA256, token.as_bytes()).as_ref());
    digest
}

/// What a token says.
#[derive(Clone, Copy)]
pub(crate) struct Subject {
    user: UserId,
    role: Role,
    family: FamilyId,
    expires: i64,
}

impl Subject {
    pub(crate) fn of(caller: &Caller) -> Self {
        let Caller { user, role, family, expires, .. } = *caller;
        Self { user, role, family, expires }
    }

    /// Whoever presents the token.
    pub(crate) fn caller(self, token: &str) -> Caller {
        let Self { user, role, family, expires } = self;
        Caller { user, role, family, token: Arc::from(token), expires }
    }
}

#[derive(Default)]
pub(crate) struct Memory {
    young: HashMap<Digest, Subject>,
    old: HashMap<Digest, Subject>,
}

impl Memory {
    pub(crate) fn get(&mut self, digest: &Digest) -> Option<Subject> {
        if let Some(subject) = self.young.get(digest) {
            return Some(*subject);
        }
        let subject = self.old.remove(digest)?;
        self.insert(*digest, subject);
        Some(subject)
    }

    pub(crate) fn insert(&mut self, digest: Digest, subject: Subject) {
        if self.young.len() >= SUBJECTS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest, subject);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_and_no_more_than_two_generations() {
        let mut memory = Memory::default();
        let subject = Subject {
            user: UserId::mint(),
            role: Role::Customer,
            family: FamilyId::mint(),
            expires: 0,
        };
        let name = |number: usize| digest(&number.to_string());
        let count = 3 * SUBJECTS_MAX;
        (0..count).for_each(|number| memory.insert(name(number), subject));
        assert!(memory.young.len() + memory.old.len() <= 2 * SUBJECTS_MAX);
        let latest = count - SUBJECTS_MAX..count;
        assert!(latest.clone().all(|number| memory.get(&name(number)).is_some()));
        assert!(memory.get(&name(0)).is_none(), "the first is forgotten");
        for number in count..2 * count {
            memory.insert(name(number), subject);
            assert!(memory.get(&name(count - 1)).is_some(), "what is used is not forgotten");
        }
    }
}
