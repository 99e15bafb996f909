//! Who leads what in a cluster of NATS servers, and the death of such a one.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::Method;
use operator::Signal;
use operator::http::{Client, empty};
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::Nemesis;

const ANSWER_MAX: Duration = Duration::from_secs(1);
/// There is nobody to strike while an election goes on; it is waited for.
const ELECTION_MAX: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(200);
/// What a server knows of the streams and consumers that it holds.
const QUESTION: &str = "/jsz?streams=1&consumers=1";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Report {
    meta_cluster: Group,
    account_details: Vec<Account>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Account {
    stream_detail: Vec<Stream>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Stream {
    name: String,
    cluster: Group,
    consumer_detail: Vec<Consumer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Group {
    leader: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Consumer {
    num_pending: u64,
    num_ack_pending: u64,
}

impl Nemesis {
    /// The server that leads the stream with the most work left dies at once.
    pub(super) async fn kill_nats_leader(&self) -> Result<()> {
        let found = async {
            loop {
                // The others go on to name one that is dead until they have another.
                if let Some((what, leader)) = leader(&self.reports().await?)
                    && let Ok(victim) = self.shop.victim(&leader).await
                {
                    return anyhow::Ok((what, leader, victim));
                }
                sleep(LOOK).await;
            }
        };
        let found = timeout(ELECTION_MAX, found).await.context("NATS has no leader")?;
        let (what, leader, victim) = found?;
        victim.signal(Signal::KILL)?;
        self.shop.journal().note(&format!("killed {leader}, which led {what}"));
        Ok(())
    }

    /// One that is down or stands still says nothing.
    async fn reports(&self) -> Result<Vec<Report>> {
        let mut reports = Vec::new();
        for url in &self.shop.endpoints().nats_monitor_urls {
            let server = Client::new(url);
            let question = server.request(Method::GET, QUESTION).body(empty())?;
            let report = server.send(question, ANSWER_MAX).await.and_then(|answer| answer.json());
            reports.extend(report);
        }
        Ok(reports)
    }
}

/// Of what, and who. Without a stream, or without a leader of any, it is who leads the cluster.
fn leader(reports: &[Report]) -> Option<(String, String)> {
    let mut streams = BTreeMap::<(&str, &str), u64>::new();
    let all = reports.iter().flat_map(|report| &report.account_details);
    for stream in all.flat_map(|account| &account.stream_detail) {
        let left = stream.consumer_detail.iter();
        let left: u64 = left.map(|consumer| consumer.num_pending + consumer.num_ack_pending).sum();
        // A server that is behind knows of less.
        let most = streams.entry((&stream.name, &stream.cluster.leader)).or_default();
        *most = left.max(*most);
    }
    let led = streams.into_iter().filter(|((_, leader), _)| !leader.is_empty());
    if let Some(((stream, leader), left)) = led.max_by_key(|(_, left)| *left) {
        return Some((format!("{stream} with {left} messages to go"), leader.to_owned()));
    }
    let mut leaders = reports.iter().map(|report| &report.meta_cluster.leader);
    let leader = leaders.find(|leader| !leader.is_empty())?;
    Some(("the cluster".to_owned(), leader.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(streams: &[(&str, &str, u64)]) -> Report {
        let detail = |(name, leader, pending): &(&str, &str, u64)| {
            json!({ "name": name, "cluster": { "name": "souk", "leader": leader, "replicas": [] },
                "consumer_detail": [{ "num_pending": pending, "num_ack_pending": 1 }] })
        };
        let details: Vec<_> = streams.iter().map(detail).collect();
        serde_json::from_value(json!({ "server_id": "N", "streams": details.len(),
            "meta_cluster": { "leader": "nats-3", "cluster_size": 3 },
            "account_details": [{ "name": "$G", "stream_detail": details }] }))
        .unwrap()
    }

    #[test]
    fn the_leader_of_the_stream_with_the_most_work_is_found() {
        let reports = [
            report(&[("SOUK_CART", "nats", 2), ("SOUK_ORDER", "nats-2", 1)]),
            report(&[("SOUK_CART", "nats", 2), ("SOUK_ORDER", "nats-2", 9)]),
        ];
        let (what, who) = leader(&reports).unwrap();
        assert_eq!((what.as_str(), who.as_str()), ("SOUK_ORDER with 10 messages to go", "nats-2"));
    }

    #[test]
    fn without_a_led_stream_it_is_who_leads_the_cluster() {
        for reports in [[report(&[])], [report(&[("SOUK_ORDER", "", 7)])]] {
            assert_eq!(leader(&reports).unwrap(), ("the cluster".into(), "nats-3".into()));
        }
        let silent: Report = serde_json::from_value(json!({ "meta_cluster": {} })).unwrap();
        assert_eq!(leader(&[silent]), None);
    }
}
