//! Who is at the other end of a connection.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// The process that made a call, by the name in its certificate. It is in the extensions of
/// every request that [`crate::serve`] hands to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer(Arc<str>);

impl Peer {
    /// The peer of a request that came through [`crate::serve`].
    pub fn of<T>(request: &tonic::Request<T>) -> Option<&Peer> {
        request.extensions().get()
    }

    /// The name: `gateway`, `order`, `operator`, …
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Reads the name from a certificate: our own, or one that the handshake has verified already.
    pub(crate) fn of_certificate(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = EndEntityCert::try_from(certificate).ok()?;
        let name = certificate.valid_dns_names().next()?;
        Some(Self(name.into()))
    }
}
