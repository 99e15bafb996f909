//! Who is calling: access tokens (EdDSA JWTs of ten minutes) that the user context signs and
//! every service verifies by itself, with no call to anybody; and which sign-ins were ended before their tokens expired.

pub mod batch;
mod crypto;
mod caller;
mod memory;
pub mod revocations;
mod verifier;
pub mod signer;

pub use caller::{Caller, Role};
pub use signer::Signer;
pub use verifier::{Options, Refused, Verifier};

use serde::{Deserialize, Serialize};

/// `iss`: the only issuer.
const ISSUER: &str = "souk.user";
/// `aud`: the shop's own services.
const AUDIENCE: &str = "souk";

/// What a token says (RFC 7519).
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    /// Seconds since 1970.
    iat: i64,
    exp: i64,
    role: Role,
    /// The family of refresh tokens: one sign-in on one device.
    sid: String,
}
