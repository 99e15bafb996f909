//! Natural batching: what is asked while an exchange is under way travels together in the next one.
//!
//! Nobody waits for a timer. Whoever finds nothing under way goes at once and alone; whoever comes meanwhile gathers. So
//! a batch is as large as the load makes it, up to a bound, and an exchange (a statement, a call, a commit) costs each
//! member a share of it. Also known as smart batching, request coalescing, and for commits as group commit.
//!
//! Members share the exchange and nothing else: each has its own answer, leaves at its own deadline, and takes no other
//! along. A batch that has begun runs to its end, whoever still waits for it.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use context::Current;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use telemetry::catalogue::{BATCH_SIZE, BATCH_WAITING};
use telemetry::metrics::prometheus::{Histogram, IntGauge};
use thiserror::Error;
use tokio::sync::oneshot;
use tracing::{Instrument as _, Span};

/// Gathers what is asked at one moment. Cheap to clone; all clones share their batches.
pub struct Batcher<In, Out>(Arc<Shared<In, Out>>);

/// The batch has ended without an answer for this member: it panicked, or forgot a member. Either is a bug, and is logged.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the batch ended without an answer")]
pub struct Unanswered;

/// How large batches get, and how many.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Members of one batch.
    pub size: usize,
    /// Batches under way at once.
    pub under_way: usize,
}

type Run<In, Out> = dyn Fn(Vec<In>) -> BoxFuture<'static, Vec<Out>> + Send + Sync;

struct Shared<In, Out> {
    name: &'static str,
    limits: Limits,
    run: Box<Run<In, Out>>,
    queue: Mutex<Queue<In, Out>>,
    sizes: Histogram,
    waiting: IntGauge,
}

struct Queue<In, Out> {
    waiting: VecDeque<Member<In, Out>>,
    under_way: usize,
}

struct Member<In, Out> {
    input: In,
    answer: oneshot::Sender<Out>,
    call: Current,
    span: Span,
}

impl<In: Send + 'static, Out: Send + 'static> Batcher<In, Out> {
    /// `run` answers each member, in their order. `name` is a label of metrics and the name of the batches' spans.
    pub fn new<F>(name: &'static str, limits: Limits, run: F) -> Self
    where
        F: Fn(Vec<In>) -> BoxFuture<'static, Vec<Out>> + Send + Sync + 'static,
    {
        let queue = Mutex::new(Queue { waiting: VecDeque::new(), under_way: 0 });
        let sizes = BATCH_SIZE.with_label_values(&[name]);
        let waiting = BATCH_WAITING.with_label_values(&[name]);
        Self(Arc::new(Shared { name, limits, run: Box::new(run), queue, sizes, waiting }))
    }

    /// Has `input` answered with whatever is asked at the same moment. Dropped before its batch has begun, it is not
    /// asked any more.
    ///
    /// # Errors
    /// When the batch panicked, or has no answer for this member.
    pub async fn ask(&self, input: In) -> Result<Out, Unanswered> {
        let (answer, answered) = oneshot::channel();
        let member = Member { input, answer, call: Current::capture(), span: Span::current() };
        if self.0.join(member) {
            tokio::spawn(Arc::clone(&self.0).work());
        }
        answered.await.map_err(|_| Unanswered)
    }
}

impl<In, Out> Clone for Batcher<In, Out> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<In: Send + 'static, Out: Send + 'static> Shared<In, Out> {
    /// Whether another batch may be under way from now on.
    fn join(&self, member: Member<In, Out>) -> bool {
        let mut queue = self.queue();
        queue.waiting.push_back(member);
        self.waiting.inc();
        let begins = queue.under_way < self.limits.under_way;
        queue.under_way += usize::from(begins);
        begins
    }

    /// One batch after the other, until nobody waits.
    async fn work(self: Arc<Self>) {
        let _turn = Turn(&self);
        while let Some(members) = self.next() {
            self.sizes.observe(members.len() as f64);
            let (call, span) = (call_of(&members), self.span_of(&members));
            let mut inputs = Vec::with_capacity(members.len());
            let mut waiting = Vec::with_capacity(members.len());
            for Member { input, answer, call, .. } in members {
                inputs.push(input);
                waiting.push((answer, call)); // a call that was given up keeps its permit until its work is over
            }
            let batch = async { (self.run)(inputs).await };
            let batch = AssertUnwindSafe(call.scope(batch.instrument(span))).catch_unwind();
            match batch.await {
                // Else somebody might get the answer of somebody else.
                Ok(answers) if answers.len() != waiting.len() => {
                    tracing::error!(batch = self.name, "a batch has not answered each member");
                }
                Ok(answers) => {
                    for ((member, _), answer) in waiting.into_iter().zip(answers) {
                        let _ = member.send(answer); // whoever has left needs none
                    }
                }
                Err(_) => tracing::error!(batch = self.name, "a batch panicked"),
            }
        }
    }

    /// Those who still wait, up to the bound. None: this batch was the last.
    fn next(&self) -> Option<Vec<Member<In, Out>>> {
        let mut queue = self.queue();
        let mut members = Vec::new();
        while members.len() < self.limits.size
            && let Some(member) = queue.waiting.pop_front()
        {
            self.waiting.dec();
            if !member.answer.is_closed() {
                members.push(member);
            }
        }
        if members.is_empty() {
            queue.under_way -= 1;
            return None;
        }
        Some(members)
    }

    /// A member that is alone stays in its own trace. More are told in a span of their own: in the trace of the first
    /// that is recorded, and linked with the others.
    fn span_of(&self, members: &[Member<In, Out>]) -> Span {
        if let [alone] = members {
            return alone.span.clone();
        }
        let mut recorded =
            members.iter().map(|it| &it.span).filter(|it| telemetry::context::is_recorded(it));
        let Some(first) = recorded.next() else {
            return members.first().map_or_else(Span::none, |it| it.span.clone());
        };
        let span = tracing::info_span!(parent: first, "batch");
        recorded
            .filter_map(telemetry::context::of)
            .for_each(|it| telemetry::context::link(&span, &it));
        telemetry::span::when_recorded(&span, |it| {
            it.name(self.name);
            it.set("souk.batch.size", i64::try_from(members.len()).unwrap_or(i64::MAX));
        });
        span
    }

    fn queue(&self) -> MutexGuard<'_, Queue<In, Out>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to have a batch under way. A panic ends it; else it ends when nobody waits ([`Shared::next`]).
struct Turn<'a, In, Out>(&'a Shared<In, Out>);

impl<In, Out> Drop for Turn<'_, In, Out> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let queue = self.0.queue.lock();
            queue.unwrap_or_else(PoisonError::into_inner).under_way -= 1;
        }
    }
}

/// What a batch runs for: it goes on as long as the most patient of its members waits.
fn call_of<In, Out>(members: &[Member<In, Out>]) -> Current {
    let patience = |call: &Current| (call.deadline().is_none(), call.deadline());
    let calls = members.iter().map(|member| &member.call);
    calls.max_by_key(|call| patience(call)).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests;
