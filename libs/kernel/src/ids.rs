//! Ids. Each is a UUIDv7 whose last byte is its logical shard, so an id leads to its database
//! without a look-up. Version 7 makes neighbours in time neighbours in an index; it is an id,
//! never an order.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// One of 256 logical shards. Databases own ranges of them (see `database`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(pub u8);

impl Shard {
    /// How many there are, for ever: the number is in every id.
    pub const COUNT: usize = 256;

    /// The shard that an id carries in its last byte.
    pub fn of(id: Uuid) -> Self {
        Self(id.as_bytes()[15])
    }

    /// As stored in the `shard` column: 0 to 255.
    pub fn column(self) -> i16 {
        i16::from(self.0)
    }
}

/// The text is not a UUID in its hyphenated form.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not an id")]
pub struct InvalidId;

/// A new id on a random shard.
#[expect(clippy::disallowed_methods, reason = "this is the mint that the lint points to")]
fn mint() -> Uuid {
    Uuid::now_v7()
}

fn mint_on(shard: Shard) -> Uuid {
    let mut bytes = mint().into_bytes();
    bytes[15] = shard.0;
    Uuid::from_bytes(bytes)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id on a random shard.
            pub fn mint() -> Self {
                Self(mint())
            }

            /// A new id on the given shard, to live beside what it belongs to.
            pub fn mint_on(shard: Shard) -> Self {
                Self(mint_on(shard))
            }

            /// The id as a database column.
            pub fn uuid(self) -> Uuid {
                self.0
            }

            /// The logical shard that owns this id.
            pub fn shard(self) -> Shard {
                Shard::of(self.0)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if text.len() != 36 {
                    return Err(InvalidId);
                }
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidId)
            }
        }
    };
}

id!(
    /// A product of the catalogue.
    ProductId
);
id!(
    /// The import of a catalogue file.
    ImportId
);
id!(
    /// An account.
    UserId
);
id!(
    /// A postal address of an account.
    AddressId
);
id!(
    /// A family of refresh tokens: one sign-in on one device.
    FamilyId
);
id!(
    /// A cart: a user's cart has the user's id, a guest's cart one of its own.
    CartId
);
id!(
    /// An order; on the shard of the user who placed it.
    OrderId
);
id!(
    /// A return of some lines of an order.
    ReturnId
);
id!(
    /// A card token that is kept for a user.
    PaymentMethodId
);
id!(
    /// A published event; also its `Nats-Msg-Id`.
    EventId
);

impl From<UserId> for CartId {
    fn from(user: UserId) -> Self {
        Self(user.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_the_shard_it_was_minted_on() {
        for shard in 0..=255 {
            assert_eq!(OrderId::mint_on(Shard(shard)).shard(), Shard(shard));
        }
    }

    #[test]
    fn ids_of_one_instant_differ_even_on_one_shard() {
        let ids: std::collections::HashSet<_> =
            (0..10_000).map(|_| OrderId::mint_on(Shard(7))).collect();
        assert_eq!(ids.len(), 10_000);
    }

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        let id = UserId::mint();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.uuid().simple().to_string().parse::<UserId>(), Err(InvalidId));
        assert_eq!("".parse::<UserId>(), Err(InvalidId));
    }
}
