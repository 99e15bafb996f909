//! An account, and what opens one.

use std::fmt;

use kernel::UserId;

use super::fault::Check;
use super::{Address, Email, Password, Rejection};

const NAME_CHARS_MAX: usize = 100;

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Buys.
    Customer,
    /// Keeps the catalogue and the stock.
    Staff,
}

impl Role {
    /// As stored.
    pub fn code(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Staff => "staff",
        }
    }

    /// Reads what [`Role::code`] wrote.
    pub fn parse(code: &str) -> Option<Self> {
        [Self::Customer, Self::Staff].into_iter().find(|role| role.code() == code)
    }
}

/// An account as its owner sees it.
#[derive(Clone)]
pub struct User {
    /// Its id; the id of its cart, too.
    pub id: UserId,
    /// To sign in with.
    pub email: Email,
    /// How to call its owner.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// In the order in which they were added: the first is the default.
    pub addresses: Vec<Address>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({}, {:?})", self.id, self.role)
    }
}

/// What a new account is made of.
#[derive(Clone)]
pub struct Registration {
    /// To sign in with; of nobody else.
    pub email: Email,
    /// To sign in with.
    pub password: Password,
    /// How to call its owner: 1 to 100 characters.
    pub name: String,
}

impl Registration {
    /// Checks all of it, and names every field at fault.
    pub fn new(email: &str, password: String, name: &str) -> Result<Self, Rejection> {
        let mut check = Check::default();
        let email = check.field("email", Email::parse(email));
        let password = check.field("password", Password::parse(password));
        let name = check.text("name", name, 1, NAME_CHARS_MAX);
        let (Some(email), Some(password)) = (email, password) else { return Err(check.refusal()) };
        check.finish()?;
        Ok(Self { email, password, name })
    }
}

/// Checks a name that replaces another.
pub fn name(text: &str) -> Result<String, Rejection> {
    let mut check = Check::default();
    let name = check.text("name", text, 1, NAME_CHARS_MAX);
    check.finish()?;
    Ok(name)
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registration([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_at_fault_is_named_at_once() {
        let fields = |refused: Rejection| match refused {
            Rejection::Invalid(faults) => faults.iter().map(|fault| fault.field).collect(),
            _ => vec![],
        };
        let refused = Registration::new("nobody", "short".into(), " ").unwrap_err();
        assert_eq!(fields(refused), ["email", "password", "name"]);
        let refused = Registration::new("a@b.co", "long enough".into(), "\u{7}bell").unwrap_err();
        assert_eq!(fields(refused), ["name"]);
        assert_eq!(fields(name(&"x".repeat(101)).unwrap_err()), ["name"]);
    }

    #[test]
    fn nothing_personal_shows_in_a_log() {
        let made = Registration::new("hidden@b.co", "hidden password".into(), "hidden").unwrap();
        let user = User {
            id: UserId::mint(),
            email: made.email.clone(),
            name: made.name.clone(),
            role: Role::Customer,
            addresses: vec![],
        };
        let shown = format!("{made:?} {user:?}");
        assert!(!shown.contains("hidden"), "{shown}");
    }

    #[test]
    fn every_role_reads_back_as_it_was_stored() {
        for role in [Role::Customer, Role::Staff] {
            assert_eq!(Role::parse(role.code()), Some(role));
        }
        assert_eq!(Role::parse("owner"), None);
    }
}
