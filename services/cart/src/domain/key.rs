//! Whose cart: the rule that keeps a guest away from the carts of users.

use kernel::{CartId, Shard, UserId};

use super::Rejection;

/// Who may use a cart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// Whoever holds its id.
    Guest,
    /// The user whose id it has.
    User,
}

impl Owner {
    /// As stored.
    pub fn code(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::User => "user",
        }
    }
}

/// What names a cart. A guest's cart and a user's cart with the same id are two carts: an id that
/// is guessed, leaked or taken in advance without a token never leads to the cart of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Whose.
    pub owner: Owner,
    /// Which.
    pub id: CartId,
}

impl Key {
    /// The cart of a guest.
    pub fn guest(id: CartId) -> Self {
        Self { owner: Owner::Guest, id }
    }

    /// The cart of a user.
    pub fn user(user: UserId) -> Self {
        Self { owner: Owner::User, id: user.into() }
    }

    /// The cart that a request means: its subject's when there is a token, which may name it too,
    /// else the guest's cart that it names.
    pub fn meant(subject: Option<UserId>, named: Option<CartId>) -> Result<Self, Rejection> {
        match (subject, named) {
            (Some(user), None) => Ok(Self::user(user)),
            (Some(user), Some(id)) if id == user.into() => Ok(Self::user(user)),
            (Some(_), Some(_)) => Err(Rejection::NotYours),
            (None, Some(id)) => Ok(Self::guest(id)),
            (None, None) => Err(Rejection::CartUnnamed),
        }
    }

    /// Where the cart lives.
    pub fn shard(self) -> Shard {
        self.id.shard()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_to_the_cart_of_its_subject_and_to_no_other() {
        let user = UserId::mint();
        assert_eq!(Key::meant(Some(user), None), Ok(Key::user(user)));
        assert_eq!(Key::meant(Some(user), Some(user.into())), Ok(Key::user(user)));
        assert_eq!(Key::meant(Some(user), Some(CartId::mint())), Err(Rejection::NotYours));
    }

    #[test]
    fn without_a_token_the_id_of_a_user_names_another_cart() {
        let user = UserId::mint();
        let reached = Key::meant(None, Some(user.into())).unwrap();
        assert_ne!(reached, Key::user(user));
        assert_eq!(reached.owner, Owner::Guest);
        assert_eq!(Key::meant(None, None), Err(Rejection::CartUnnamed));
    }
}
