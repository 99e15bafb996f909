//! How durable consumers are configured.

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, Info, PullConsumer, pull};
use async_nats::jetstream::stream::Stream;

use crate::pulls::ACK_WAIT;

/// A consumer's place in a stream that lost its end means nothing. Created anew it starts at the beginning; the inbox
/// knows what was seen.
pub(super) async fn recreate(stream: &Stream, name: &str, source: &str) -> anyhow::Result<()> {
    if stream.get_consumer::<pull::Config>(name).await.is_ok() {
        stream.delete_consumer(name).await?;
    }
    let _created: PullConsumer = stream.create_consumer(config(name, source)).await?;
    Ok(())
}

pub(super) fn config(name: &str, source: &str) -> pull::Config {
    pull::Config {
        durable_name: Some(name.to_owned()),
        // One wildcard: nats-server 2.9 ignores all but one of several filters.
        filter_subject: format!("souk.{source}.v1.>"),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_deliver: -1, // tries are counted in the database
        max_ack_pending: 8192,
        ..pull::Config::default()
    }
}

pub(super) fn is_configured(found: &Info, source: &str) -> bool {
    let (found, wanted) = (&found.config, config(&found.name, source));
    found.deliver_subject.is_none()
        && found.filter_subject == wanted.filter_subject
        && found.deliver_policy == wanted.deliver_policy
        && found.ack_policy == wanted.ack_policy
        && found.ack_wait == wanted.ack_wait
        && found.max_deliver == wanted.max_deliver
        && found.max_ack_pending == wanted.max_ack_pending
}
