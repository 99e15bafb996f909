//! Callers whose requests travel in one call: how each is named on the way, and looked at where it arrives.

use proto::batch::v1::{Member, Refusal};
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::{Caller, Verifier};

/// Maximum number of entries of a batch.
pub const MEMBERS_MAX: usize = 64;

/// A caller who waits for a batch: what he would send if he were alone.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Whose request it is.
    pub caller: Caller,
    deadline: Option<Instant>,
    traceparent: Option<String>,
}

impl Waiting {
    /// The caller of the call that is being served here.
    pub fn now(caller: &Caller) -> Self {
        let traceparent = telemetry::context::current();
        let traceparent = traceparent.filter(|it| telemetry::context::is_sampled(it));
        Self { caller: caller.clone(), deadline: rpc::deadline::current(), traceparent }
    }

    /// As it travels.
    pub fn member(&self) -> Member {
        let left = self.deadline.map(|at| at.saturating_duration_since(Instant::now()).as_millis());
        Member {
            access_token: self.caller.token.to_string(),
            timeout_ms: left.and_then(|ms| u32::try_from(ms).ok()).unwrap_or(u32::MAX),
            traceparent: self.traceparent.clone().unwrap_or_default(),
        }
    }
}

/// A batch whose entries were looked at: which of them are refused already.
#[derive(Debug)]
pub struct Batch(Vec<Result<(), Status>>);

impl Batch {
    /// The answers to all entries, in their order, from those to the entries that were not refused.
    pub fn answered<T>(
        self,
        answers: impl IntoIterator<Item = Result<T, Status>>,
    ) -> impl Iterator<Item = Result<T, Status>> {
        let mut answers = answers.into_iter();
        self.0.into_iter().map(move |admitted| {
            admitted.and_then(|()| answers.next().unwrap_or_else(|| Err(lost())))
        })
    }
}

impl Verifier {
    /// Reads the entries of a batch: those whose token is good, whose caller still waits, and that `read` takes. Each of the
    /// others gets a refusal of its own.
    ///
    /// # Errors
    /// INVALID_ARGUMENT with the bound, when there are more than [`MEMBERS_MAX`].
    pub fn batch<E, R>(
        &self,
        entries: Vec<(Option<Member>, E)>,
        read: impl Fn(Caller, E) -> Result<R, Status>,
    ) -> Result<(Batch, Vec<R>), Status> {
        if entries.len() > MEMBERS_MAX {
            let fault = format!("has {} entries, at most {MEMBERS_MAX}", entries.len());
            return Err(rpc::status::invalid([("entries", fault)]));
        }
        let mut good = Vec::with_capacity(entries.len());
        let admit = |(member, entry): (Option<Member>, E)| {
            let caller = self.member(&member.unwrap_or_default())?;
            read(caller, entry).map(|entry| good.push(entry))
        };
        let batch = Batch(entries.into_iter().map(admit).collect());
        Ok((batch, good))
    }

    fn member(&self, member: &Member) -> Result<Caller, Status> {
        telemetry::context::link(&tracing::Span::current(), &member.traceparent);
        let caller = self.verify(&member.access_token)?;
        if member.timeout_ms == 0 {
            let message = "the deadline has passed";
            return Err(rpc::status::refusal(Code::DeadlineExceeded, "deadline_exceeded", message));
        }
        Ok(caller)
    }
}

fn lost() -> Status {
    rpc::status::internal("a batch with an entry that has no answer")
}

/// A refusal as an entry of a batch is answered with it.
pub fn refusal(status: &Status) -> Refusal {
    let (message, details) = (status.message().to_owned(), status.details().to_vec().into());
    Refusal { code: status.code().into(), message, details }
}

/// What [`refusal`] wrote.
pub fn status(refusal: Refusal) -> Status {
    let code = match Code::from(refusal.code) {
        Code::Ok => Code::Unknown, // no peer of ours says so
        code => code,
    };
    Status::with_details(code, refusal.message, refusal.details)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kernel::{FamilyId, UserId};

    use super::*;
    use crate::signer::pair;
    use crate::{Role, Signer};

    fn member(signer: &Signer, user: UserId, valid: Duration) -> Member {
        let now = kernel::clock::now() - Duration::from_secs(60);
        let token = signer.issue(user, Role::Customer, FamilyId::mint(), now, valid).unwrap();
        Member { access_token: token, timeout_ms: 1_000, traceparent: String::new() }
    }

    #[test]
    fn each_entry_is_answered_for_its_own_caller_or_refused() {
        let ((signer, verifier), (stranger, _)) = (pair(), pair());
        let users: Vec<UserId> = (0..5).map(|_| UserId::mint()).collect();
        let hour = Duration::from_secs(3_600);
        let mut members: Vec<_> = users.iter().map(|it| member(&signer, *it, hour)).collect();
        members[1] = member(&stranger, users[1], hour);
        members[2] = member(&signer, users[2], Duration::from_secs(1));
        members[3].timeout_ms = 0;
        let entries = members.into_iter().map(Some).chain([None]).zip(0..).collect();
        let read = |caller: Caller, entry| match entry {
            4 => Err(Status::aborted("malformed")),
            entry => Ok((caller.user, entry)),
        };
        let (batch, good) = verifier.batch(entries, read).unwrap();
        let answers = good.into_iter().map(Ok);
        let answered: Vec<_> = batch.answered(answers).collect();
        let codes = answered.iter().map(|it| it.as_ref().map_or_else(Status::code, |_| Code::Ok));
        let expected = [
            Code::Ok,
            Code::Unauthenticated,
            Code::Unauthenticated,
            Code::DeadlineExceeded,
            Code::Aborted,
            Code::Unauthenticated,
        ];
        assert_eq!(codes.collect::<Vec<_>>(), expected);
        assert_eq!(answered[0].as_ref().unwrap(), &(users[0], 0));
    }

    #[test]
    fn a_batch_above_the_bound_is_refused_with_it() {
        let (_, verifier) = pair();
        let entries = vec![(None, ()); MEMBERS_MAX + 1];
        let refused = verifier.batch(entries, |_, ()| Ok(())).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains("at most 64"), "{refused:?}");
    }

    #[test]
    fn a_refusal_is_read_as_it_was_written() {
        let written = rpc::status::refusal(Code::Aborted, "cart_changed", "it changed");
        let read = status(refusal(&written));
        assert_eq!((read.code(), read.message()), (Code::Aborted, "it changed"));
        assert_eq!(rpc::status::reason(&read).as_deref(), Some("cart_changed"));
        assert_eq!(status(Refusal::default()).code(), Code::Unknown);
    }
}
