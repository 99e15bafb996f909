//! What processes say at `/metrics` (docs/metrics.md), put together: events that wait, and caches.

use std::collections::BTreeMap;

use serde::Serialize;

const OUTBOX: &str = "souk_outbox_depth";
const OLDEST: &str = "souk_outbox_oldest_seconds";
const LAG: &str = "souk_consumer_lag";
const DEAD: &str = "souk_dead_letters";
const READS: &str = "souk_cache_reads_total";
const SIZE: &str = "souk_cache_size_bytes";

/// Events under way, each by where it waits.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Events {
    /// Written and not published.
    pub outbox: Vec<Outbox>,
    /// Published and not taken in.
    pub consumers: Vec<Consumer>,
    /// Given up on.
    pub dead_letters: Vec<DeadLetters>,
}

/// The outbox of one database.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outbox {
    /// Whose.
    pub context: String,
    /// Which of its databases.
    pub database: String,
    /// How many events wait.
    pub depth: u64,
    /// How long the oldest of them has waited, in seconds.
    pub oldest_seconds: f64,
}

/// One consumer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Consumer {
    /// Its name.
    pub consumer: String,
    /// Events of the stream that are not acknowledged.
    pub lag: u64,
}

/// The dead letters of one database.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeadLetters {
    /// Whose.
    pub context: String,
    /// Which of its databases.
    pub database: String,
    /// How many.
    pub dead_letters: u64,
}

/// One cache of one service, all its copies together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cache {
    /// In which service.
    pub service: String,
    /// Which.
    pub cache: String,
    /// Answers from memory, those that joined a load and those that are old included.
    pub hits: u64,
    /// Answers that had to be loaded.
    pub misses: u64,
    /// Hits of all reads, from 0 to 1; none before the first.
    pub hit_ratio: Option<f64>,
    /// What it holds, in bytes.
    pub size_bytes: u64,
}

/// One line of `/metrics`.
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, &'a str)>,
    value: f64,
}

impl Sample<'_> {
    fn label(&self, name: &str) -> String {
        let value = self.labels.iter().find(|(label, _)| *label == name);
        value.map(|(_, value)| (*value).to_owned()).unwrap_or_default()
    }

    /// Counts are never negative.
    fn count(&self) -> u64 {
        self.value as u64
    }
}

/// Labels of ours are of closed sets: nothing in them is quoted.
fn sample(line: &str) -> Option<Sample<'_>> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let labels = labels.trim_end_matches('}').split("\",");
    let label =
        |text: &'_ str| -> Option<(usize, usize)> { text.find("=\"").map(|at| (at, at + 2)) };
    let labels = labels.filter_map(|text| {
        let (end, begin) = label(text)?;
        Some((&text[..end], text[begin..].trim_end_matches('"')))
    });
    Some(Sample { name, labels: labels.collect(), value: value.parse().ok()? })
}

type Place = (String, String);

/// Adds up what the processes say. Copies of a service say the same of a database or consumer, but for one that has not
/// looked for a moment; each has a cache of its own.
#[derive(Debug, Default)]
pub struct Sum {
    outbox: BTreeMap<Place, (u64, f64)>,
    lag: BTreeMap<String, u64>,
    dead: BTreeMap<Place, u64>,
    caches: BTreeMap<Place, Cache>,
}

impl Sum {
    /// Adds what one process of a service says.
    pub fn add(&mut self, service: &str, metrics: &str) {
        for line in metrics.lines().filter(|line| line.starts_with("souk_")) {
            if let Some(sample) = sample(line) {
                self.add_sample(service, &sample);
            }
        }
    }

    fn add_sample(&mut self, service: &str, sample: &Sample) {
        let place = || (sample.label("context"), sample.label("database"));
        match sample.name {
            OUTBOX => {
                let (depth, _) = self.outbox.entry(place()).or_default();
                *depth = sample.count().max(*depth);
            }
            OLDEST => {
                let (_, oldest) = self.outbox.entry(place()).or_default();
                *oldest = sample.value.max(*oldest);
            }
            LAG => {
                let lag = self.lag.entry(sample.label("consumer")).or_default();
                *lag = sample.count().max(*lag);
            }
            DEAD => {
                let dead = self.dead.entry(place()).or_default();
                *dead = sample.count().max(*dead);
            }
            READS | SIZE => self.add_cache(service, sample),
            _ => {}
        }
    }

    fn add_cache(&mut self, service: &str, sample: &Sample) {
        let name = sample.label("cache");
        let cache = self.caches.entry((service.to_owned(), name.clone())).or_default();
        (cache.service, cache.cache) = (service.to_owned(), name);
        match (sample.name, &*sample.label("outcome")) {
            (SIZE, _) => cache.size_bytes += sample.count(),
            (_, "loaded") => cache.misses += sample.count(),
            _ => cache.hits += sample.count(),
        }
    }

    /// Everything by its name.
    pub fn finish(self) -> (Events, Vec<Cache>) {
        let outbox = self.outbox.into_iter().map(|((context, database), (depth, oldest))| {
            let oldest_seconds = (oldest * 10.0).round() / 10.0;
            Outbox { context, database, depth, oldest_seconds }
        });
        let consumers = self.lag.into_iter().map(|(consumer, lag)| Consumer { consumer, lag });
        let dead_letters = self.dead.into_iter().map(|((context, database), dead_letters)| {
            DeadLetters { context, database, dead_letters }
        });
        let events = Events {
            outbox: outbox.collect(),
            consumers: consumers.collect(),
            dead_letters: dead_letters.collect(),
        };
        let ratio = |cache: Cache| {
            let reads = cache.hits + cache.misses;
            let hit_ratio = (reads > 0).then(|| cache.hits as f64 / reads as f64);
            Cache { hit_ratio, ..cache }
        };
        (events, self.caches.into_values().map(ratio).collect())
    }
}

impl Events {
    /// Whether every event that was written has been published and taken in.
    pub fn none_wait(&self) -> bool {
        self.outbox.iter().all(|outbox| outbox.depth == 0)
            && self.consumers.iter().all(|consumer| consumer.lag == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = "# HELP souk_outbox_depth x\n\
        souk_outbox_depth{context=\"order\",database=\"0\"} 3\n\
        souk_outbox_depth{context=\"order\",database=\"1\"} 0\n\
        souk_outbox_oldest_seconds{context=\"order\",database=\"0\"} 1.25\n\
        souk_consumer_lag{consumer=\"order_from_payment\"} 7\n\
        souk_dead_letters{context=\"order\",database=\"0\"} 1\n\
        process_open_fds 9\n";

    #[test]
    fn copies_that_say_the_same_count_once() {
        let mut sum = Sum::default();
        sum.add("order", ORDER);
        sum.add("order", &ORDER.replace("} 3", "} 2").replace("} 7", "} 8"));
        let (events, caches) = sum.finish();
        let depths: Vec<u64> = events.outbox.iter().map(|outbox| outbox.depth).collect();
        assert_eq!(depths, [3, 0]);
        assert_eq!(events.outbox[0].oldest_seconds, 1.3);
        let consumer = Consumer { consumer: "order_from_payment".into(), lag: 8 };
        assert_eq!(events.consumers, [consumer]);
        assert_eq!(events.dead_letters[0].dead_letters, 1);
        assert!(!events.none_wait());
        assert!(caches.is_empty());
        assert!(Events::default().none_wait());
    }

    #[test]
    fn every_copy_has_a_cache_of_its_own() {
        let text = "souk_cache_reads_total{cache=\"products\",outcome=\"hit\"} 6\n\
            souk_cache_reads_total{cache=\"products\",outcome=\"joined\"} 1\n\
            souk_cache_reads_total{cache=\"products\",outcome=\"loaded\"} 3\n\
            souk_cache_size_bytes{cache=\"products\"} 100\n";
        let mut sum = Sum::default();
        sum.add("gateway", text);
        sum.add("gateway", text);
        sum.add("product", "souk_cache_size_bytes{cache=\"products\"} 5\n");
        let (_, caches) = sum.finish();
        assert_eq!(caches.len(), 2);
        assert_eq!((caches[0].hits, caches[0].misses, caches[0].size_bytes), (14, 6, 200));
        assert_eq!(caches[0].hit_ratio, Some(0.7));
        assert_eq!(caches[1].hit_ratio, None);
    }

    #[test]
    fn what_is_no_metric_is_passed_over() {
        let mut sum = Sum::default();
        sum.add("order", "souk_outbox_depth{context=\"a\" NaN?\nsouk_outbox_depth\n{}\n");
        assert_eq!(sum.finish(), (Events::default(), Vec::new()));
    }
}
