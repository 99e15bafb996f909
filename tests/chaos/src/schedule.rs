//! What strikes when: a pure function of the seed, the time, and the kinds of faults.
//!
//! Kinds are dealt like cards, a deck after the other, so that each of them comes in every minute;
//! what dies or stands still most often in real life is in the deck more than once. Gaps, targets
//! and durations are drawn. Nothing is drawn while the run goes on.

use std::fmt;
use std::time::Duration;

use operator::plan::{self, PROVISIONER, PSP};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};
use souk::cli::{Fault, SERVICES};
use stores::{Member, Server};

use crate::proxy;

/// Who stands before the gateways.
pub const CUSTOMERS: &str = "customers";

/// Copies of each service.
pub const COPIES: usize = 2;

/// Customers buy undisturbed at first.
const CALM: Duration = Duration::from_secs(3);
const GAP_MS: std::ops::Range<u64> = 500..3_000;

/// Of the schedules in which cart hears nothing, and the provisioner is killed. They are apart from the dealt
/// faults, so that a seed strikes otherwise what it always struck.
const DEAF_SEED: u64 = 0x6465_6166;
const PROVISIONER_SEED: u64 = 0x7072_6f76;
const APART_GAP_MS: std::ops::Range<u64> = 5_000..25_000;
const DEAF_MS: std::ops::Range<u64> = 3_000..8_000;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strike {
    /// When, counted from the beginning.
    pub at: Duration,
    /// What.
    pub fault: Fault,
    /// A process or a store.
    pub target: String,
    /// For how long, where it is something that lasts.
    pub lasts: Duration,
    /// Where there is more to say.
    pub how: How,
}

/// What else decides about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Nothing.
    Whole,
    /// So much later comes what passes.
    Later(Duration),
    /// So many bytes pass before a connection is cut.
    After(u64),
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, fault, target, lasts, how } = self;
        write!(f, "{:>8.3} s  {:<18} {target}", at.as_secs_f64(), fault.name())?;
        match how {
            How::Whole => {}
            How::Later(time) => write!(f, ", {} ms later,", time.as_millis())?,
            How::After(bytes) => write!(f, ", after {bytes} bytes,")?,
        }
        match lasts.is_zero() {
            true => Ok(()),
            false => write!(f, " for {:.1} s", lasts.as_secs_f64()),
        }
    }
}

/// All strikes of a run, in their order, on a shop with so many nats-servers.
pub fn strikes(seed: u64, lasting: Duration, kinds: &[Fault], nats: u8) -> Vec<Strike> {
    let dealt: Vec<Fault> = kinds.iter().copied().filter(|kind| *kind != Fault::CartDeaf).collect();
    let mut strikes = dealt_strikes(seed, lasting, &dealt, nats);
    if kinds.contains(&Fault::CartDeaf) {
        strikes.extend(strikes_apart(
            seed ^ DEAF_SEED,
            lasting,
            (Fault::CartDeaf, "cart"),
            DEAF_MS,
        ));
    }
    if kinds.contains(&Fault::Kill) {
        let killed = (Fault::Kill, PROVISIONER);
        strikes.extend(strikes_apart(seed ^ PROVISIONER_SEED, lasting, killed, 0..1));
    }
    strikes.sort_by_key(|strike| strike.at);
    strikes
}

fn strikes_apart(
    seed: u64,
    lasting: Duration,
    (fault, target): (Fault, &str),
    lasts_ms: std::ops::Range<u64>,
) -> Vec<Strike> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut at = CALM;
    let strikes = std::iter::from_fn(|| {
        at += Duration::from_millis(random.random_range(APART_GAP_MS));
        let lasts = Duration::from_millis(random.random_range(lasts_ms.clone()));
        Some(Strike { at, fault, target: target.to_owned(), lasts, how: How::Whole })
    });
    strikes.take_while(|strike| strike.at < lasting).collect()
}

fn dealt_strikes(seed: u64, lasting: Duration, kinds: &[Fault], nats: u8) -> Vec<Strike> {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut deck, mut strikes) = (Vec::new(), Vec::new());
    let mut at = CALM;
    while at < lasting && !kinds.is_empty() {
        if deck.is_empty() {
            deck = full_deck(kinds);
            deck.shuffle(&mut random);
        }
        let Some(fault) = deck.pop() else { break };
        strikes.push(strike(&mut random, at, fault, nats));
        at += Duration::from_millis(random.random_range(GAP_MS));
    }
    strikes
}

fn full_deck(kinds: &[Fault]) -> Vec<Fault> {
    let times = |fault| match fault {
        Fault::Kill => 4,
        Fault::Pause => 3,
        Fault::NatsLeader | Fault::HopReset | Fault::HopBlackHole | Fault::HopCut => 2,
        Fault::PostgresImmediate
        | Fault::NatsWipe
        | Fault::NatsRollback
        | Fault::RedisFlush
        | Fault::DiskFull
        | Fault::HopDelay => 1,
        Fault::CartDeaf => 0, // has a schedule of its own
    };
    kinds.iter().flat_map(|kind| std::iter::repeat_n(*kind, times(*kind))).collect()
}

fn strike(random: &mut StdRng, at: Duration, fault: Fault, nats: u8) -> Strike {
    let mut one = |of: Vec<String>| of.choose(random).cloned().unwrap_or_default();
    let store = |server: Server| server.key().to_owned();
    let target = match fault {
        Fault::Kill | Fault::Pause => one(mortals(nats)),
        Fault::PostgresImmediate | Fault::DiskFull => store(Server::Postgres),
        Fault::NatsWipe | Fault::NatsRollback | Fault::NatsLeader => store(Server::Nats),
        Fault::RedisFlush => store(Server::Redis),
        Fault::HopDelay | Fault::HopReset | Fault::HopBlackHole | Fault::HopCut => {
            one(dealt_hops())
        }
        Fault::CartDeaf => "cart".to_owned(),
    };
    let lasts_ms = match fault {
        // Longer than every deadline of a call, and than a relay's lease.
        Fault::Pause | Fault::HopBlackHole | Fault::DiskFull => random.random_range(1_000..9_000),
        Fault::HopDelay | Fault::HopReset | Fault::HopCut => random.random_range(500..4_000),
        // So old is the copy that comes back.
        Fault::NatsRollback => random.random_range(2_000..6_000),
        Fault::Kill
        | Fault::PostgresImmediate
        | Fault::NatsWipe
        | Fault::NatsLeader
        | Fault::RedisFlush
        | Fault::CartDeaf => 0,
    };
    let how = match fault {
        Fault::HopDelay => How::Later(Duration::from_millis(random.random_range(20..800))),
        // As often within the first hundred bytes as between a thousand and ten thousand.
        Fault::HopCut => How::After(10_f64.powf(random.random_range(0.0..4.0)) as u64),
        _ => How::Whole,
    };
    Strike { at, fault, target, lasts: Duration::from_millis(lasts_ms), how }
}

/// What can be killed and held still: the shop's processes, the provider, and stores. PostgreSQL is
/// many processes, and has a fault of its own. What a cluster adds comes last, and so changes nothing
/// for a seed that strikes a single server.
pub fn mortals(nats: u8) -> Vec<String> {
    let copies = |service| (0..COPIES).map(move |number| plan::name(service, number));
    let redis = Server::Redis.key().to_owned();
    let nats = members(nats).map(Member::name);
    SERVICES.into_iter().flat_map(copies).chain([PSP.to_owned(), redis]).chain(nats).collect()
}

/// The servers of NATS.
pub fn members(nats: u8) -> impl Iterator<Item = Member> {
    (0..nats).map(|number| Member { server: Server::Nats, number })
}

/// Who calls whom, and what: each is a hop with a proxy in it.
pub fn hops() -> Vec<String> {
    let provisioner = proxy::name(PROVISIONER, Server::Nats.key());
    let sessions = (0..COPIES)
        .map(|number| proxy::name(&plan::name(plan::GATEWAY, number), Server::Redis.key()));
    dealt_hops().into_iter().chain([provisioner]).chain(sessions).collect()
}

/// Those that faults are dealt to: none that came later, so that a seed strikes what it always struck.
fn dealt_hops() -> Vec<String> {
    let stores = ["postgres", "redis", "nats"];
    let callees = |service: &str| -> Vec<&str> {
        match service {
            "gateway" => vec!["product", "user", "cart", "order", "payment"],
            "order" => stores.into_iter().chain(["product", "user", "cart"]).collect(),
            "payment" => stores.into_iter().chain([PSP]).collect(),
            _ => stores.to_vec(),
        }
    };
    let of = |service: &'static str| {
        (0..COPIES).flat_map(move |number| {
            let caller = plan::name(service, number);
            callees(service).into_iter().map(move |callee| proxy::name(&caller, callee))
        })
    };
    let outside = [(PSP, "gateway"), (CUSTOMERS, "gateway")];
    let outside = outside.map(|(caller, callee)| proxy::name(caller, callee));
    SERVICES.into_iter().flat_map(of).chain(outside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const CLUSTER: u8 = 3;

    fn all(nats: u8, seed: u64, lasting: Duration) -> Vec<Strike> {
        strikes(seed, lasting, &Fault::of(nats), nats)
    }

    #[test]
    fn the_same_seed_strikes_the_same_at_the_same_times() {
        for (seed, nats) in (0..20).flat_map(|seed| [(seed, 1), (seed, CLUSTER)]) {
            let first = all(nats, seed, 3 * MINUTE);
            assert_eq!(first, all(nats, seed, 3 * MINUTE));
            assert_ne!(first, all(nats, seed + 1, 3 * MINUTE));
        }
    }

    /// A seed that once broke something is worth nothing if it strikes something else tomorrow.
    #[test]
    fn a_known_seed_strikes_what_it_always_struck() {
        let known = include_str!("../fixtures/seed-1.txt");
        let apart = |it: &Strike| it.fault == Fault::CartDeaf || it.target == PROVISIONER;
        let dealt = all(1, 1, MINUTE).into_iter().filter(|it| !apart(it));
        let now: String = dealt.map(|strike| format!("{strike}\n")).collect();
        assert_eq!(now, known);
    }

    #[test]
    fn a_longer_run_begins_as_a_shorter_one() {
        let (short, long) = (all(1, 7, MINUTE), all(1, 7, 2 * MINUTE));
        assert_eq!(short[..], long[..short.len()]);
    }

    #[test]
    fn every_kind_that_is_wanted_strikes_in_a_minute_and_no_other() {
        for (seed, nats) in (0..200).flat_map(|seed| [(seed, 1), (seed, CLUSTER)]) {
            let struck = all(nats, seed, MINUTE);
            for kind in Fault::of(nats) {
                let struck = struck.iter().any(|strike| strike.fault == kind);
                assert!(struck, "{kind:?}, {seed}");
            }
            assert!(struck.is_sorted_by_key(|strike| strike.at) && struck[0].at == CALM);
            assert!(struck.iter().all(|strike| strike.at < MINUTE));
            let kills = strikes(seed, MINUTE, &[Fault::Kill], nats);
            assert!(kills.iter().all(|strike| strike.fault == Fault::Kill) && kills.len() > 15);
        }
    }

    #[test]
    fn in_an_hour_everything_that_can_die_does() {
        for nats in [1, CLUSTER] {
            let struck = strikes(1, 60 * MINUTE, &[Fault::Kill], nats);
            for name in mortals(nats) {
                assert!(struck.iter().any(|strike| strike.target == name), "{name}");
            }
        }
    }

    #[test]
    fn what_only_a_cluster_has_is_struck_in_a_cluster_alone() {
        let alone = |strike: &Strike| {
            strike.fault != Fault::NatsLeader && !strike.target.starts_with("nats-")
        };
        assert!((0..50).all(|seed| all(1, seed, MINUTE).iter().all(alone)));
        assert!((0..50).all(|seed| !all(CLUSTER, seed, 3 * MINUTE).iter().all(alone)));
    }
}
