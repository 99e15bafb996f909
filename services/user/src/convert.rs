//! Between the words of the protocol and those of the domain.

#![deny(clippy::wildcard_enum_match_arm)]

use kernel::AddressId;
use proto::user::v1 as pb;
use rpc::status::{internal, invalid, refusal, unavailable};
use secrecy::ExposeSecret as _;
use tonic::{Code, Status};

use crate::app::Error;
use crate::domain::{Address, Email, Password, Registration, Rejection, Role, User};
use crate::passwords;
use crate::tokens::Session;

/// What `Register` asks for.
pub(crate) fn registration(request: pb::RegisterRequest) -> Result<Registration, Status> {
    Ok(Registration::new(&request.email, request.password, &request.name)?)
}

/// What `SignIn` asks with. What nobody can have is none, and refused as a wrong one is.
pub(crate) fn credentials(request: pb::SignInRequest) -> (Option<Email>, Option<Password>) {
    (Email::parse(&request.email).ok(), Password::parse(request.password).ok())
}

/// A new address.
pub(crate) fn new_address(address: Option<pb::Address>) -> Result<Address, Status> {
    let address = address.unwrap_or_default();
    let address = Address {
        id: AddressId::mint(),
        recipient: address.recipient,
        line1: address.line1,
        line2: address.line2,
        city: address.city,
        postcode: address.postcode,
        country: address.country,
    };
    Ok(address.check()?)
}

/// An address that may be left unnamed.
pub(crate) fn address_id(text: &str) -> Result<Option<AddressId>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| invalid([("address_id", "is not an id")]))
}

/// An account as its owner sees it.
pub(crate) fn user(user: User) -> pb::User {
    pb::User {
        user_id: user.id.to_string(),
        email: user.email.expose().to_owned(),
        name: user.name,
        role: role(user.role).into(),
        addresses: user.addresses.into_iter().map(address).collect(),
    }
}

/// The answer to one entry of a batch.
pub(crate) fn address_result(
    address: Result<pb::Address, Status>,
) -> pb::batch_get_addresses_response::Result {
    use pb::batch_get_addresses_response::{Result as Answer, result::Result as Entry};
    let refused = |it: Status| Entry::Refusal(identity::batch::refusal(&it));
    Answer { result: Some(address.map_or_else(refused, Entry::Address)) }
}

fn role(role: Role) -> pb::Role {
    match role {
        Role::Customer => pb::Role::Customer,
        Role::Staff => pb::Role::Staff,
    }
}

/// An address as its owner sees it.
pub(crate) fn address(address: Address) -> pb::Address {
    pb::Address {
        address_id: address.id.to_string(),
        recipient: address.recipient,
        line1: address.line1,
        line2: address.line2,
        city: address.city,
        postcode: address.postcode,
        country: address.country,
    }
}

/// What the device keeps.
pub(crate) fn session(session: &Session) -> pb::Session {
    pb::Session {
        access_token: session.access.expose_secret().to_owned(),
        refresh_token: session.refresh.expose_secret().to_owned(),
        expires_in_seconds: u32::try_from(session.expires_in.as_secs()).unwrap_or(u32::MAX),
        user_id: session.user.to_string(),
    }
}

impl From<Rejection> for Status {
    fn from(rejection: Rejection) -> Self {
        let refuse = |code| refusal(code, rejection.code(), rejection.to_string());
        match &rejection {
            Rejection::Invalid(faults) => {
                invalid(faults.iter().map(|fault| (fault.field, fault.detail.as_str())))
            }
            Rejection::EmailTaken => refuse(Code::AlreadyExists),
            Rejection::BadCredentials | Rejection::SessionEnded => refuse(Code::Unauthenticated),
            Rejection::UserNotFound | Rejection::AddressNotFound | Rejection::AddressMissing => {
                refuse(Code::NotFound)
            }
            Rejection::TooManyAddresses => refuse(Code::FailedPrecondition),
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Rejected(rejection) => rejection.into(),
            Error::Passwords(error @ passwords::Error::Overloaded) => {
                refusal(Code::ResourceExhausted, "overloaded", error.to_string())
            }
            Error::Passwords(error @ passwords::Error::Hash(_)) => internal(error),
            Error::Database(error) if database::is_transient(&error) => unavailable(error),
            Error::Database(error) => internal(error),
            Error::Tokens(error) => internal(error),
        }
    }
}
