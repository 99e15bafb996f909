//! Options of `chaos`: which faults, when, for how long.

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, ValueEnum};

/// Options of `chaos`.
#[derive(Debug, Clone, Args)]
pub struct Chaos {
    /// Decides which faults strike what, and when; without it a random one, which is printed
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// How long faults go on
    #[arg(long, value_name = "M", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub minutes: u32,
    /// How many buy meanwhile; the more, the larger the groups in which their orders are written
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub customers: u16,
    /// Only these kinds of faults, for example kill,nats-wipe
    #[arg(long, value_name = "LIST", value_enum, value_delimiter = ',')]
    pub faults: Vec<Fault>,
    /// nats-servers: one, or a cluster of three that holds every stream three times
    #[arg(long, value_name = "N", default_value = "1",
          value_parser = PossibleValuesParser::new(["1", "3"]).map(|n| if n == "3" { 3_u8 } else { 1 }))]
    pub nats: u8,
    /// Print what would strike when, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Test the harness: plant the mistakes of tests/chaos/planted (or these), one at a time, into a
    /// copy of the tree; each must be found
    #[arg(long, value_name = "NAME,…", num_args = 0.., value_delimiter = ',',
          conflicts_with_all = ["dry_run", "faults", "nats"])]
    pub planted: Option<Vec<String>>,
}

impl Chaos {
    /// What clap cannot see.
    ///
    /// # Errors
    /// One line that says what does not go together.
    pub fn check(&self) -> Result<(), String> {
        let possible = Fault::of(self.nats);
        match self.faults.iter().find(|fault| !possible.contains(fault)) {
            Some(fault) => Err(format!("error: --faults {} needs --nats 3", fault.name())),
            None => Ok(()),
        }
    }

    /// The kinds of faults that were asked for, or all, each once and in a fixed order.
    pub fn kinds(&self) -> Vec<Fault> {
        let wanted = |fault: &Fault| self.faults.is_empty() || self.faults.contains(fault);
        Fault::of(self.nats).into_iter().filter(wanted).collect()
    }
}

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Fault {
    /// A process dies at once (SIGKILL); it is started again
    Kill,
    /// A process stands still for seconds (SIGSTOP) and goes on (SIGCONT)
    Pause,
    /// PostgreSQL ends without a checkpoint (SIGQUIT, `immediate`) and recovers
    PostgresImmediate,
    /// NATS comes back with nothing of what it had
    NatsWipe,
    /// NATS comes back with what it had some seconds before
    NatsRollback,
    /// The nats-server dies that leads the stream with the most work left (with --nats 3)
    NatsLeader,
    /// Redis forgets everything
    RedisFlush,
    /// The disk of PostgreSQL is full for seconds (a small one, in memory: only as root)
    DiskFull,
    /// What passes between two processes comes late
    HopDelay,
    /// The connections between two processes are reset
    HopReset,
    /// Nothing passes between two processes, on connections that stay open
    HopBlackHole,
    /// The connections between two processes are reset after some more bytes
    HopCut,
    /// Every copy of cart hears nothing from NATS for seconds, while customers go on buying
    CartDeaf,
}

impl Fault {
    /// All that a shop with so many nats-servers can be struck with. A server alone leads everything,
    /// and to kill it is an ordinary death.
    pub fn of(nats: u8) -> Vec<Fault> {
        let possible = |fault: &Fault| nats > 1 || *fault != Fault::NatsLeader;
        Fault::value_variants().iter().copied().filter(possible).collect()
    }

    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Kill => "kill",
            Fault::Pause => "pause",
            Fault::PostgresImmediate => "postgres-immediate",
            Fault::NatsWipe => "nats-wipe",
            Fault::NatsRollback => "nats-rollback",
            Fault::NatsLeader => "nats-leader",
            Fault::RedisFlush => "redis-flush",
            Fault::DiskFull => "disk-full",
            Fault::HopDelay => "hop-delay",
            Fault::HopReset => "hop-reset",
            Fault::HopBlackHole => "hop-black-hole",
            Fault::HopCut => "hop-cut",
            Fault::CartDeaf => "cart-deaf",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_called_what_the_command_line_calls_it() {
        for fault in Fault::value_variants() {
            let value = fault.to_possible_value().expect("none is hidden");
            assert_eq!(value.get_name(), fault.name());
        }
    }
}
