//! `cargo souk fault`.

use clap::{Args, ValueEnum};

/// No fault lasts longer, in seconds.
pub const FAULT_SECONDS_MAX: u64 = 60;

/// Options of `fault`.
#[derive(Debug, Clone, Args)]
pub struct InjectFault {
    /// What happens
    #[arg(value_enum)]
    pub kind: LiveFault,
    /// To which process or store: order, order-2, psp, postgres, redis, nats
    pub target: Option<String>,
    /// How long it lasts, in seconds; then it is undone
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=FAULT_SECONDS_MAX))]
    pub seconds: u64,
}

/// A fault of a shop that is in use: nothing of it has to be undone by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LiveFault {
    /// A process or a store dies at once (SIGKILL); it is started again
    Kill,
    /// A process or a store stands still (SIGSTOP) and goes on (SIGCONT)
    Pause,
    /// A process or a store ends in order, stays away, and is started again
    Stop,
    /// A process or a store ends in order and is started again at once
    Restart,
    /// Redis forgets everything
    RedisFlush,
    /// NATS comes back with nothing of what it had
    NatsWipe,
    /// NATS comes back with what it had so many seconds before
    NatsRollback,
    /// The payment provider answers one time in nine badly: declines, hangs, charges and loses the answer
    ProviderErrors,
}

impl LiveFault {
    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            LiveFault::Kill => "kill",
            LiveFault::Pause => "pause",
            LiveFault::Stop => "stop",
            LiveFault::Restart => "restart",
            LiveFault::RedisFlush => "redis-flush",
            LiveFault::NatsWipe => "nats-wipe",
            LiveFault::NatsRollback => "nats-rollback",
            LiveFault::ProviderErrors => "provider-errors",
        }
    }

    /// By its name.
    pub fn of_name(name: &str) -> Option<LiveFault> {
        LiveFault::value_variants().iter().copied().find(|fault| fault.name() == name)
    }

    /// Whether it happens to something that has to be named.
    pub fn has_target(self) -> bool {
        use LiveFault::{Kill, Pause, Restart, Stop};
        matches!(self, Kill | Pause | Stop | Restart)
    }
}

impl InjectFault {
    /// What clap cannot see.
    ///
    /// # Errors
    /// One line that says what does not go together.
    pub fn check(&self) -> Result<(), String> {
        let name = self.kind.name();
        match (self.kind.has_target(), &self.target) {
            (true, None) => Err(format!("error: {name} needs the name of a process or a store")),
            (false, Some(target)) => {
                Err(format!("error: {name} happens to nothing like {target:?}"))
            }
            _ => Ok(()),
        }
    }
}
