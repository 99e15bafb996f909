//! The same verbs in every service's binary and in `cargo souk`: what an operator does about
//! events that wait, or that were given up on.

use std::fmt::Write as _;
use std::io::Write as _;

use clap::{Args, Subcommand};
use database::Database;
use futures_util::future::LocalBoxFuture;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::dead_letters::LIST_MAX;
use crate::{DeadLetter, OutboxStatus, dead_letters, outboxes, redrive, replay};

/// What can be done about events.
#[derive(Clone, Debug, Subcommand)]
pub enum AdminCommand {
    /// Events on their way out
    #[command(subcommand)]
    Outbox(OutboxCommand),
    /// Events that a consumer has given up on
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
}

/// What can be done about events on their way out.
#[derive(Clone, Debug, Subcommand)]
pub enum OutboxCommand {
    /// How many events wait, for how long, and what the stream acknowledged last
    Status,
    /// Publish again what was written since a time; whoever has seen it does nothing
    Replay {
        /// RFC 3339, for example 2026-01-31T12:00:00Z
        #[arg(long, value_name = "TIME", value_parser = time)]
        since: OffsetDateTime,
    },
}

/// What can be done about events that a consumer has given up on.
#[derive(Clone, Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// The latest, a line each
    List,
    /// One event, with the reason and its bytes
    Show {
        /// The event's id
        #[arg(value_name = "ID")]
        event: Uuid,
    },
    /// Try again: one event, or all
    Redrive(Redrive),
}

/// Which dead letters.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Redrive {
    /// The event's id
    #[arg(value_name = "ID")]
    pub event: Option<Uuid>,
    /// All of them
    #[arg(long)]
    pub all: bool,
}

fn time(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "not a time as RFC 3339 has it, for example 2026-01-31T12:00:00Z".into())
}

/// The command as a process of the context does it: in its databases, answered on standard output. It fails as
/// [`AdminCommand::run`] does, and when a database cannot be reached.
pub fn operate(
    context: &'static str,
    options: database::Options,
    command: AdminCommand,
) -> LocalBoxFuture<'static, anyhow::Result<()>> {
    Box::pin(answer(context, options, command)) // boxed, it is compiled here once, not in each process
}

async fn answer(
    context: &str,
    options: database::Options,
    command: AdminCommand,
) -> anyhow::Result<()> {
    let name = format!("{context} operator");
    let database = Database::connect_for_operator(&options, &name).await?;
    let said = command.run(context, &database).await?;
    database.close().await;
    std::io::stdout().write_all(said.as_bytes())?;
    Ok(())
}

impl AdminCommand {
    /// Does it in the databases of one context; what there is to say, in whole lines.
    ///
    /// # Errors
    /// When a database does not answer, or the outbox does not go back as far as is asked.
    pub async fn run(&self, context: &str, database: &Database) -> anyhow::Result<String> {
        Ok(match self {
            Self::Outbox(OutboxCommand::Status) => {
                outboxes(database).await?.iter().map(|outbox| status(context, outbox)).collect()
            }
            Self::Outbox(OutboxCommand::Replay { since }) => {
                let again = replay(database, *since).await?;
                format!("{context:<8} {again} events will be sent again\n")
            }
            Self::DeadLetters(DeadLettersCommand::List) => {
                let all = dead_letters(database, None).await?;
                let mut lines: String = all.iter().map(line).collect();
                if all.len() == LIST_MAX as usize {
                    lines.push_str("and more: these are the latest\n");
                }
                lines
            }
            Self::DeadLetters(DeadLettersCommand::Show { event }) => {
                let all = dead_letters(database, Some(*event)).await?;
                if all.is_empty() {
                    return Ok(format!("{context:<8} no dead letter has this id\n"));
                }
                all.iter().map(whole).collect()
            }
            Self::DeadLetters(DeadLettersCommand::Redrive(which)) => {
                let redriven = redrive(database, which.event).await?;
                let none = which.event.filter(|_| redriven == 0);
                let why = none.map_or("", |_| ": no dead letter that can be handled has this id");
                format!("{context:<8} {redriven} will be tried again{why}\n")
            }
        })
    }
}

fn status(context: &str, outbox: &OutboxStatus) -> String {
    let OutboxStatus { database, waiting, oldest_seconds, acknowledged } = outbox;
    let acknowledged = match acknowledged {
        Some((sequence, event)) => format!("last acknowledged {sequence} ({event})"),
        None => "nothing acknowledged yet".to_owned(),
    };
    format!(
        "{context:<8} database {database}  {waiting} wait, the oldest for {oldest_seconds:.1} s  \
         {acknowledged}\n"
    )
}

fn line(dead_letter: &DeadLetter) -> String {
    let DeadLetter { consumer, event_id, tries, error, .. } = dead_letter;
    let kind = if dead_letter.kind.is_empty() { "no event of ours" } else { &dead_letter.kind };
    let state =
        if dead_letter.redriven_at.is_some() { "to be tried again" } else { "dead-lettered" };
    let error = error.lines().next().unwrap_or_default();
    format!("{event_id}  {consumer:<20} {kind}  {state} after {tries}: {error}\n")
}

fn whole(dead_letter: &DeadLetter) -> String {
    let time = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
    let bytes = dead_letter.payload.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a string takes everything
        text
    });
    let rows = [
        ("event", dead_letter.event_id.to_string()),
        ("type", dead_letter.kind.clone()),
        ("subject", dead_letter.subject.clone()),
        ("aggregate", dead_letter.aggregate_id.to_string()),
        ("occurred", time(dead_letter.occurred_at)),
        ("trace", dead_letter.traceparent.clone().unwrap_or_default()),
        ("consumer", dead_letter.consumer.clone()),
        ("given up", time(dead_letter.parked_at)),
        ("redriven", dead_letter.redriven_at.map(time).unwrap_or_default()),
        ("tries", dead_letter.tries.to_string()),
        ("error", dead_letter.error.clone()),
        ("payload", bytes),
    ];
    let lines = rows.iter().map(|(name, value)| format!("{name:<10} {value}\n"));
    lines.chain(["\n".to_owned()]).collect()
}
