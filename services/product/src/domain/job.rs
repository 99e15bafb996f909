//! The import of a catalogue file in the background:
//!
//! | state       | a chunk was imported           | a chunk was refused | staff cancels it |
//! |-------------|--------------------------------|---------------------|------------------|
//! | `Running`   | `Running`, the last: `Done`    | `Failed`            | `Cancelled`      |
//! | `Done`      | never                          | never               | refused          |
//! | `Cancelled` | never                          | never               | as it is         |
//! | `Failed`    | never                          | never               | refused          |

use kernel::ImportId;

use super::Rejection;

/// What an import has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// New products.
    pub added: i64,
    /// Products that say something else now.
    pub revised: i64,
    /// Products that were as they should be.
    pub unchanged: i64,
    /// Pieces.
    pub stock_received: i64,
}

impl std::ops::AddAssign for Imported {
    fn add_assign(&mut self, more: Self) {
        self.added += more.added;
        self.revised += more.revised;
        self.unchanged += more.unchanged;
        self.stock_received += more.stock_received;
    }
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It waits, or is under way.
    Running,
    /// All of it is imported.
    Done,
    /// Staff has ended it.
    Cancelled,
    /// The database has refused a part of it.
    Failed,
}

impl JobState {
    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// What [`JobState::name`] says.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Running, Self::Done, Self::Cancelled, Self::Failed];
        all.into_iter().find(|state| state.name() == name)
    }
}

/// An import in the background.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: ImportId,
    /// Names the file.
    pub source: String,
    /// How far it is.
    pub state: JobState,
    /// Grows with every change.
    pub version: i64,
    /// How many the file has.
    pub items: i64,
    /// The first so many of them are imported.
    pub items_imported: i64,
    /// What that did.
    pub done: Imported,
    /// Why it has failed.
    pub failure: Option<String>,
    /// Of the request that began it.
    pub traceparent: Option<String>,
}

impl Job {
    /// The next so many items are imported, which did this.
    pub fn imported(&mut self, items: i64, done: Imported) {
        self.items_imported += items;
        self.done += done;
        let is_last = self.items_imported == self.items;
        self.enter(if is_last { JobState::Done } else { JobState::Running });
    }

    /// The next items cannot be imported: why.
    pub fn refused(&mut self, why: String) {
        self.failure = Some(why);
        self.enter(JobState::Failed);
    }

    /// No more of it is wanted.
    ///
    /// # Errors
    /// It has come to another end.
    pub fn cancel(&mut self) -> Result<(), Rejection> {
        match self.state {
            JobState::Running => self.enter(JobState::Cancelled),
            JobState::Cancelled => {}
            JobState::Done | JobState::Failed => return Err(Rejection::ImportEnded),
        }
        Ok(())
    }

    fn enter(&mut self, state: JobState) {
        self.state = state;
        self.version += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(state: JobState, items_imported: i64) -> Job {
        let (id, done) = (ImportId::mint(), Imported::default());
        let source = "file".to_owned();
        let (failure, traceparent) = (None, None);
        Job {
            id,
            source,
            state,
            version: 7,
            items: 700,
            items_imported,
            done,
            failure,
            traceparent,
        }
    }

    #[test]
    fn an_import_goes_on_as_the_table_says() {
        for (imported, items, state) in
            [(0, 500, JobState::Running), (500, 200, JobState::Done), (0, 700, JobState::Done)]
        {
            let mut job = job(JobState::Running, imported);
            job.imported(items, Imported { added: items, ..Imported::default() });
            assert_eq!((job.state, job.version, job.done.added), (state, 8, items));
            assert_eq!(job.items_imported, imported + items);
        }
        let mut failing = job(JobState::Running, 500);
        failing.refused("a constraint".to_owned());
        assert_eq!((failing.state, failing.version), (JobState::Failed, 8));
        assert_eq!(failing.failure.as_deref(), Some("a constraint"));
        for (state, cancelled, version) in [
            (JobState::Running, Ok(()), 8),
            (JobState::Cancelled, Ok(()), 7),
            (JobState::Done, Err(Rejection::ImportEnded), 7),
            (JobState::Failed, Err(Rejection::ImportEnded), 7),
        ] {
            let mut job = job(state, 500);
            assert_eq!((job.cancel(), job.version), (cancelled.clone(), version), "{state:?}");
            assert_eq!(job.state == JobState::Cancelled, cancelled.is_ok());
            assert_eq!(JobState::parse(state.name()), Some(state));
        }
    }
}
