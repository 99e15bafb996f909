//! What others may know: the one map from what happened to what is published. Ids only. This
//! context listens to nobody.

use messaging::Outgoing;
use proto::user::v1::{UserErased, UserRegistered};

use crate::domain::Event;

/// The event as it is published.
pub(crate) fn outgoing(event: Event) -> Outgoing {
    match event {
        Event::Registered(user) => {
            Outgoing::new(user, &UserRegistered { user_id: user.to_string() })
        }
        Event::Erased(user) => Outgoing::new(user, &UserErased { user_id: user.to_string() }),
    }
}
