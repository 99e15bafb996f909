//! What the descriptors say about a method: whether it streams. A unary call has a deadline
//! and is short; a stream may live as long as both sides like.

use std::collections::HashMap;

use prost::Message as _;
use prost_types::FileDescriptorSet;

/// The descriptors of the health service, which every server has.
pub(crate) const HEALTH: &[u8] = tonic_health::pb::FILE_DESCRIPTOR_SET;
/// The descriptors of the reflection service, which every server has: for today's clients,
pub(crate) const REFLECTION: &[u8] = tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET;
/// and for those that know only the one before, such as Python's.
pub(crate) const REFLECTION_ALPHA: &[u8] = tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET;

/// The descriptors of what every server has beside its own services.
pub(crate) const STANDARD: [&[u8]; 3] = [HEALTH, REFLECTION, REFLECTION_ALPHA];

/// How a method's messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One message there, one back.
    Unary,
    /// Messages stream to the server, one comes back.
    Upload,
    /// The answer is a stream.
    Stream,
}

/// The kinds of all methods in the encoded descriptor sets, by path.
pub(crate) fn kinds<'a>(
    sets: impl IntoIterator<Item = &'a [u8]>,
) -> Result<HashMap<String, Kind>, prost::DecodeError> {
    let mut kinds = HashMap::new();
    for set in sets {
        for file in FileDescriptorSet::decode(set)?.file {
            for service in &file.service {
                for method in &service.method {
                    let (package, service) = (file.package(), service.name());
                    let kind = match (method.client_streaming(), method.server_streaming()) {
                        (_, true) => Kind::Stream,
                        (true, false) => Kind::Upload,
                        (false, false) => Kind::Unary,
                    };
                    kinds.insert(format!("/{package}.{service}/{}", method.name()), kind);
                }
            }
        }
    }
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shop_has_all_three() {
        let kinds = kinds([proto::rpc::DESCRIPTORS]).unwrap();
        let kind = |path: &str| kinds.get(path).copied();
        assert_eq!(kind("/souk.product.v1.ProductService/GetProduct"), Some(Kind::Unary));
        assert_eq!(kind("/souk.product.v1.ProductService/ImportProducts"), Some(Kind::Upload));
        assert_eq!(kind("/souk.order.v1.OrderService/WatchOrder"), Some(Kind::Stream));
        assert_eq!(kind("/souk.order.v1.OrderService/Nope"), None);
    }
}
