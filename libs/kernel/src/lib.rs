//! The shared kernel: the few words that every context uses in the same sense. Ids that carry
//! their shard, money in integers, and the one door through which time comes in.

pub mod clock;
pub mod ids;
pub mod money;

pub use ids::{
    AddressId, CartId, EventId, FamilyId, ImportId, InvalidId, OrderId, PaymentMethodId, ProductId,
    ReturnId, Shard, UserId,
};
pub use money::{Currency, Money};
