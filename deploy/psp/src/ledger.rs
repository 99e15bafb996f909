//! The durable ledger. A request is decided under one short lock, in memory, and answered once the record is on disk. A
//! request that reads a record which is not on disk yet waits for the same fsync. So no answer says anything that a crash
//! could lose.

mod record;
mod tally;
mod book;
mod file;
mod commit;

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use tokio::sync::{Notify, oneshot, watch};

use self::{
    book::{Book, Violation},
    commit::Batch,
};
pub use self::{
    commit::Writer,
    record::{Charge, Fact, Record, Refund},
    tally::Tally,
};
use crate::amount::Amount;

/// The ledger of this process.
#[derive(Debug)]
pub struct Ledger {
    id: u32,
    state: Mutex<State>,
    /// Wakes the writer.
    work: Notify,
    durable: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    book: Book,
    batch: Batch,
    durable_seq: u64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Closed,
    Failed,
}

/// A record, and whether this very request made it.
#[derive(Debug)]
pub struct Recorded {
    /// What happened under the key.
    pub record: Arc<Record>,
    /// False: it had happened before, this request only learned of it.
    pub fresh: bool,
}

/// Why the ledger rejects a request.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The key came with another body before.
    #[error("this idempotency key was used with another request")]
    KeyReused,
    /// There is no such capture.
    #[error("there is no such capture")]
    UnknownCapture,
    /// The capture is in another currency.
    #[error("the capture is in another currency")]
    CurrencyMismatch,
    /// All refunds together would exceed the capture.
    #[error("refunds would exceed the capture")]
    RefundExceedsCapture,
    /// The ledger cannot be written: stopping, or a disk error.
    #[error("the ledger cannot be written")]
    Unavailable,
}

/// Waits until a record is on disk; None: it is already.
type Durable = Option<oneshot::Receiver<()>>;

impl Ledger {
    /// Opens the ledger in `dir` or starts one. The returned writer must run, or nothing is ever answered.
    pub fn open(dir: &Path) -> anyhow::Result<(Arc<Self>, Writer)> {
        let file::Opened { file, ledger: id, book } = file::open(dir)?;
        let durable_seq = book.next_seq() - 1;
        let state = State { book, batch: Batch::default(), durable_seq, phase: Phase::Open };
        let (durable, _) = watch::channel(durable_seq);
        let ledger = Arc::new(Self { id, state: Mutex::new(state), work: Notify::new(), durable });
        Ok((Arc::clone(&ledger), Writer { ledger, file }))
    }

    /// The number that all ids of this ledger carry.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Follows the seq of the newest record on disk.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.durable.subscribe()
    }

    /// Whether something was recorded under a capture key, on disk or on its way there.
    pub fn knows_capture(&self, key: &str) -> bool {
        self.state().book.capture_by_key(key).is_some()
    }

    /// Whether something was recorded under a refund key, on disk or on its way there.
    pub fn knows_refund(&self, key: &str) -> bool {
        self.state().book.refund_by_key(key).is_some()
    }

    /// The card of the capture at this seq.
    pub fn card_of(&self, capture: u64) -> Option<Box<str>> {
        match &self.state().book.get(capture)?.fact {
            Fact::Capture(charge) => Some(charge.card_token.clone()),
            Fact::Decline(_) | Fact::Void | Fact::Refund(_) => None,
        }
    }

    /// Takes money, or declines to, unless something is recorded under `key` already: then that is the result.
    pub async fn capture(
        &self,
        key: &str,
        charge: Charge,
        decline: bool,
    ) -> Result<Recorded, Refusal> {
        let (recorded, durable) = {
            let mut state = self.state();
            match state.book.capture_by_key(key).cloned() {
                Some(record) if differs(&record.fact, &charge) => return Err(Refusal::KeyReused),
                Some(record) => state.learn(record)?,
                None => {
                    let fact = if decline { Fact::Decline(charge) } else { Fact::Capture(charge) };
                    self.append(&mut state, key, fact)?
                }
            }
        };
        settled(durable).await?;
        Ok(recorded)
    }

    /// Makes sure that `key` never captures, unless something is recorded under it already: then that is the result.
    pub async fn void(&self, key: &str) -> Result<Recorded, Refusal> {
        let (recorded, durable) = {
            let mut state = self.state();
            match state.book.capture_by_key(key).cloned() {
                Some(record) => state.learn(record)?,
                None => self.append(&mut state, key, Fact::Void)?,
            }
        };
        settled(durable).await?;
        Ok(recorded)
    }

    /// Gives back `amount` of the capture at seq `capture`, once per key.
    pub async fn refund(
        &self,
        key: &str,
        capture: u64,
        amount: Amount,
    ) -> Result<Recorded, Refusal> {
        let (recorded, durable) = {
            let mut state = self.state();
            match state.book.refund_by_key(key).cloned() {
                Some(record) => match &record.fact {
                    Fact::Refund(made) if made.capture == capture && made.amount == amount => {
                        state.learn(record)?
                    }
                    _ => return Err(Refusal::KeyReused),
                },
                None => {
                    let reference =
                        state.book.get(capture).and_then(|record| record.fact.reference());
                    let reference = Arc::clone(reference.ok_or(Refusal::UnknownCapture)?);
                    self.append(
                        &mut state,
                        key,
                        Fact::Refund(Refund { capture, amount, reference }),
                    )?
                }
            }
        };
        settled(durable).await?;
        Ok(recorded)
    }

    /// What is recorded under a capture key.
    pub async fn find(&self, key: &str) -> Result<Option<Arc<Record>>, Refusal> {
        let (record, durable) = {
            let mut state = self.state();
            let Some(record) = state.book.capture_by_key(key).cloned() else { return Ok(None) };
            let durable = state.wait_for(record.seq)?;
            (record, durable)
        };
        settled(durable).await?;
        Ok(Some(record))
    }

    /// Counts and sums of one reference, or of everything.
    pub async fn tally(&self, reference: Option<&str>) -> Result<Tally, Refusal> {
        let (tally, durable) = {
            let mut state = self.state();
            let newest = state.book.next_seq() - 1;
            (state.book.tally(reference), state.wait_for(newest)?)
        };
        settled(durable).await?;
        Ok(tally)
    }

    /// Records on disk after `seq` that `wanted` picks, at most `limit` of them, in order.
    pub fn after(&self, seq: u64, limit: usize, wanted: fn(&Fact) -> bool) -> Vec<Arc<Record>> {
        let state = self.state();
        let on_disk = state.book.after(seq).take_while(|record| record.seq <= state.durable_seq);
        on_disk.filter(|record| wanted(&record.fact)).take(limit).cloned().collect()
    }

    /// Takes nothing in from now on; the writer ends when all is on disk.
    pub fn close(&self) {
        let mut state = self.state();
        if state.phase == Phase::Open {
            state.phase = Phase::Closed;
        }
        self.work.notify_one();
    }

    fn append(
        &self,
        state: &mut State,
        key: &str,
        fact: Fact,
    ) -> Result<(Recorded, Durable), Refusal> {
        if state.phase != Phase::Open {
            return Err(Refusal::Unavailable);
        }
        let record = Record { seq: state.book.next_seq(), at: unix_ms(), key: key.into(), fact };
        let record = state.book.admit(record)?;
        if let Err(error) = record::encode(&*record, &mut state.batch.lines) {
            tracing::error!(%error, "a record cannot be written down");
            state.phase = Phase::Failed; // memory is ahead of the file now
            return Err(Refusal::Unavailable);
        }
        let durable = state.wait_for(record.seq)?;
        self.work.notify_one();
        Ok((Recorded { record, fresh: true }, durable))
    }

    /// For the writer: what gathered since the last call, in exchange for an empty batch.
    fn take_batch(&self, empty: Batch) -> (Batch, u64, bool) {
        let mut state = self.state();
        let last_seq = state.book.next_seq() - 1;
        (std::mem::replace(&mut state.batch, empty), last_seq, state.phase != Phase::Open)
    }

    fn mark_durable(&self, seq: u64) {
        self.state().durable_seq = seq;
        self.durable.send_replace(seq);
    }

    /// For the writer: nothing of what is not on disk by now will ever be answered.
    fn fail(&self) {
        let mut state = self.state();
        state.phase = Phase::Failed;
        state.batch = Batch::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner) // no step in it leaves it half changed
    }
}

impl State {
    fn learn(&mut self, record: Arc<Record>) -> Result<(Recorded, Durable), Refusal> {
        let durable = self.wait_for(record.seq)?;
        Ok((Recorded { record, fresh: false }, durable))
    }

    fn wait_for(&mut self, seq: u64) -> Result<Durable, Refusal> {
        if seq <= self.durable_seq {
            return Ok(None);
        }
        if self.phase == Phase::Failed {
            return Err(Refusal::Unavailable);
        }
        let (sender, receiver) = oneshot::channel();
        self.batch.waiters.push(sender);
        Ok(Some(receiver))
    }
}

impl From<Violation> for Refusal {
    fn from(violation: Violation) -> Self {
        match violation {
            Violation::UnknownCapture => Refusal::UnknownCapture,
            Violation::CurrencyMismatch => Refusal::CurrencyMismatch,
            Violation::RefundExceedsCapture => Refusal::RefundExceedsCapture,
            Violation::KeyUsed | Violation::OutOfSequence => Refusal::KeyReused,
        }
    }
}

async fn settled(durable: Durable) -> Result<(), Refusal> {
    match durable {
        None => Ok(()),
        Some(receiver) => receiver.await.map_err(|_| Refusal::Unavailable),
    }
}

/// Whether a key that has this result is now asked for something else. A void has no content to differ from.
fn differs(fact: &Fact, charge: &Charge) -> bool {
    match fact {
        Fact::Capture(recorded) | Fact::Decline(recorded) => recorded != charge,
        Fact::Void | Fact::Refund(_) => false,
    }
}

#[expect(clippy::disallowed_methods, reason = "the shop's clock is not this company's clock")]
pub(crate) fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
