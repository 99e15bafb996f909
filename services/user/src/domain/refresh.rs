//! Refresh token rotation with reuse detection: a token is swapped for the next one of its family. An unknown token is
//! refused; for the others this table is all of it:
//!
//! | token    | its family goes on   | its family was ended |
//! |----------|----------------------|----------------------|
//! | fresh    | → rotated            | refused              |
//! | expired  | refused              | refused              |
//! | used     | → family ended       | refused              |
//!
//! A token that comes twice was stolen, from its owner or by its owner's thief; who of them came
//! first cannot be told, so both have to sign in again (RFC 9700, 4.14.2).

use std::time::Duration;

use time::OffsetDateTime;

use super::Rejection;

/// How long a token may be used.
pub const VALID: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A refresh token as it is known when somebody presents it.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    /// It was swapped before.
    pub used: bool,
    /// Until when it may be used.
    pub expires_at: OffsetDateTime,
    /// Its family was ended: signed out, or a token of it came twice.
    pub family_ended: bool,
}

/// What becomes of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The token is used, and the family has another.
    Rotated,
    /// No token of the family is good any more.
    FamilyEnded,
}

/// The table.
pub fn decide(token: &Token, now: OffsetDateTime) -> Result<Event, Rejection> {
    if token.family_ended {
        Err(Rejection::SessionEnded)
    } else if token.used {
        Ok(Event::FamilyEnded)
    } else if token.expires_at <= now {
        Err(Rejection::SessionEnded)
    } else {
        Ok(Event::Rotated)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    #[test]
    fn the_table_in_the_comment_is_the_function() {
        let rows = [("fresh", false, false), ("expired", false, true), ("used", true, false)];
        for (name, used, expired) in rows {
            let past = if expired { Duration::from_secs(1) } else { Duration::ZERO };
            let expires_at = NOW + Duration::from_secs(1) - 2 * past;
            let cell = |family_ended| match decide(&Token { used, expires_at, family_ended }, NOW) {
                Ok(Event::Rotated) => "→ rotated",
                Ok(Event::FamilyEnded) => "→ family ended",
                Err(_) => "refused",
            };
            let line = format!("//! | {name:8} | {:20} | {:20} |", cell(false), cell(true));
            assert!(include_str!("refresh.rs").contains(&line), "{line}");
        }
    }

    #[test]
    fn an_old_token_that_comes_twice_still_ends_its_family() {
        let token = Token { used: true, expires_at: NOW - VALID, family_ended: false };
        assert_eq!(decide(&token, NOW), Ok(Event::FamilyEnded));
    }

    #[test]
    fn a_token_is_good_until_the_moment_it_expires() {
        let token = Token { used: false, expires_at: NOW, family_ended: false };
        assert_eq!(decide(&token, NOW), Err(Rejection::SessionEnded));
        assert_eq!(decide(&token, NOW - Duration::from_nanos(1)), Ok(Event::Rotated));
    }

    proptest! {
        #[test]
        fn however_tokens_come_a_family_has_one_good_token_or_none(
            presented in proptest::collection::vec(0..8usize, 0..30)
        ) {
            let (mut used, mut ended) = (vec![false], false);
            let good = |used: &[bool], ended: bool| used.iter().filter(|used| !**used && !ended).count();
            for index in presented {
                let Some(&is_used) = used.get(index) else { continue };
                let token = Token { used: is_used, expires_at: NOW + VALID, family_ended: ended };
                match decide(&token, NOW) {
                    Ok(Event::Rotated) => {
                        used[index] = true;
                        used.push(false);
                    }
                    Ok(Event::FamilyEnded) => ended = true,
                    Err(_) => prop_assert!(ended),
                }
                prop_assert_eq!(good(&used, ended), usize::from(!ended));
            }
        }
    }
}
