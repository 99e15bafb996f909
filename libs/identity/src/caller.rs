//! The subject of a verified token.

use std::sync::Arc;
use std::time::Duration;

use kernel::{FamilyId, UserId};
use serde::{Deserialize, Serialize};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Buys.
    Customer,
    /// Keeps the catalogue and the stock.
    Staff,
}

/// Who is calling, proved by an access token.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The account.
    pub user: UserId,
    /// What it may do.
    pub role: Role,
    /// The sign-in that the token belongs to.
    pub family: FamilyId,
    pub(crate) token: Arc<str>,
    /// When the token is no longer taken, in seconds since 1970.
    pub(crate) expires: i64,
}

impl Caller {
    /// How long the token is still taken; zero once it has expired.
    pub fn expires_in(&self) -> Duration {
        let left = self.expires - kernel::clock::now().unix_timestamp();
        Duration::from_secs(u64::try_from(left).unwrap_or_default())
    }

    /// A request in the caller's name to another service, which verifies the token again.
    /// Every peer sees the same subject: no service speaks for somebody else.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let value: Result<MetadataValue<Ascii>, _> = format!("Bearer {}", self.token).parse();
        if let Ok(value) = value {
            // A verified token is base64url and dots, so there always is a value.
            request.metadata_mut().insert("authorization", value);
        }
        request
    }
}
