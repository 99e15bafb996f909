//! What a service asks the provisioner for: a request over core NATS. The subject names the context that asks, and the
//! server lets each context ask in its own name alone.

/// Where all requests go.
pub(crate) const SUBJECTS: &str = "souk-provision.>";
/// What a context may ask for: all of it is its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Its stream, created when it is missing.
    CreateStream,
    /// Its stream created anew, empty, if it is still the one that was created at this time (Unix nanoseconds).
    RecreateStream { created: i128 },
    /// All consumers of its stream created anew, from the stream's beginning.
    RecreateConsumers,
    /// Its consumer of this context's stream, created when it is missing.
    CreateConsumer { source: String },
    /// The same, created anew from the stream's beginning.
    RecreateConsumer { source: String },
}

impl Request {
    /// The context whose stream it is about, when `context` asks.
    pub(crate) fn stream_of<'a>(&'a self, context: &'a str) -> &'a str {
        match self {
            Self::CreateConsumer { source } | Self::RecreateConsumer { source } => source,
            Self::CreateStream | Self::RecreateStream { .. } | Self::RecreateConsumers => context,
        }
    }

    /// Where `context` sends it.
    pub(crate) fn subject(&self, context: &str) -> String {
        let verb = match self {
            Self::CreateStream => "create-stream".to_owned(),
            Self::RecreateStream { created } => format!("recreate-stream.{created}"),
            Self::RecreateConsumers => "recreate-consumers".to_owned(),
            Self::CreateConsumer { source } => format!("create-consumer.{source}"),
            Self::RecreateConsumer { source } => format!("recreate-consumer.{source}"),
        };
        format!("souk-provision.{context}.{verb}")
    }

    /// The context that asks and what for; none when the subject is no such request.
    pub(crate) fn parse(subject: &str) -> Option<(&str, Self)> {
        let mut tokens = subject.strip_prefix("souk-provision.")?.split('.');
        let (context, verb, of) = (tokens.next()?, tokens.next()?, tokens.next());
        let request = match (verb, of) {
            ("create-stream", None) => Self::CreateStream,
            ("recreate-stream", Some(at)) => Self::RecreateStream { created: at.parse().ok()? },
            ("recreate-consumers", None) => Self::RecreateConsumers,
            ("create-consumer", Some(source)) => Self::CreateConsumer { source: source.into() },
            ("recreate-consumer", Some(source)) => Self::RecreateConsumer { source: source.into() },
            _ => return None,
        };
        tokens.next().is_none().then_some((context, request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_understood_and_nothing_else_is() {
        let source = "order".to_owned();
        for request in [
            Request::CreateStream,
            Request::RecreateStream { created: 1_700_000_000_123_456_789 },
            Request::RecreateConsumers,
            Request::CreateConsumer { source: source.clone() },
            Request::RecreateConsumer { source },
        ] {
            assert_eq!(Request::parse(&request.subject("cart")), Some(("cart", request)));
        }
        for subject in [
            "souk-provision.cart",
            "souk-provision.cart.delete-stream",
            "souk-provision.cart.create-stream.order",
            "souk-provision.cart.create-consumer",
            "souk-provision.cart.create-consumer.order.x",
            "souk-provision.cart.recreate-stream.now",
            "souk.order.v1.order.order_placed",
        ] {
            assert_eq!(Request::parse(subject), None, "{subject}");
        }
    }
}
