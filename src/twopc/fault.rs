//! Places where a test can stop a commit, to kill or freeze what it likes there.
//!
//! A test names a folder. When a commit passes a point and the folder has a file of that name, the commit that takes
//! the file (by renaming it to `NAME.hit`) waits until `NAME.go` is there, and takes `NAME.hit` away. Without a folder a
//! point costs one branch.

use std::path::PathBuf;
use std::time::Duration;

/// A step of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultPoint {
    /// A branch is about to be prepared; others may be prepared already.
    BeforePrepare,
    /// A branch is prepared; others may not be.
    AfterPrepare,
    /// All branches are prepared and the decision is written, not committed.
    BeforeDecision,
    /// The decision is committed, no branch is.
    AfterDecision,
    /// A branch is about to be committed.
    BeforeBranchCommit,
    /// A branch is committed; others may not be.
    AfterBranchCommit,
    /// All branches are committed; the decision is still in the log.
    BeforeForget,
    /// Mode MULTI: the first shard is committed, no other is.
    BetweenCommits,
    /// Entries of consistent lookups are committed, the rows that need them are not.
    AfterEntries,
    /// Rows are committed, entries that they have left behind are still there.
    BeforeRemoval,
}

impl FaultPoint {
    /// Those of a commit in two phases, in order.
    pub const TWO_PHASES: [Self; 7] = [
        Self::BeforePrepare,
        Self::AfterPrepare,
        Self::BeforeDecision,
        Self::AfterDecision,
        Self::BeforeBranchCommit,
        Self::AfterBranchCommit,
        Self::BeforeForget,
    ];

    /// Its name, which is a file's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforePrepare => "before_prepare",
            Self::AfterPrepare => "after_prepare",
            Self::BeforeDecision => "before_decision",
            Self::AfterDecision => "after_decision",
            Self::BeforeBranchCommit => "before_branch_commit",
            Self::AfterBranchCommit => "after_branch_commit",
            Self::BeforeForget => "before_forget",
            Self::BetweenCommits => "between_commits",
            Self::AfterEntries => "after_entries",
            Self::BeforeRemoval => "before_removal",
        }
    }
}

/// Where a test's files are, if there is a test.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    dir: Option<PathBuf>,
}

impl Faults {
    /// Points are looked up in this folder; `None`: there are none.
    pub fn new(dir: Option<PathBuf>) -> Self {
        Self { dir }
    }

    /// Passes a point.
    pub async fn pass(&self, point: FaultPoint) {
        if let Some(dir) = &self.dir {
            let name = point.name();
            if std::fs::rename(dir.join(name), dir.join(format!("{name}.hit"))).is_ok() {
                let go = dir.join(format!("{name}.go"));
                while !go.exists() {
                    tokio::time::sleep(LOOK_INTERVAL).await;
                }
                let _ = std::fs::remove_file(dir.join(format!("{name}.hit")));
            }
        }
    }
}

/// Time between looks for the file that lets a commit go on.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_commit_waits_where_a_file_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let faults = Faults::new(Some(dir.path().to_owned()));
        faults.pass(FaultPoint::AfterPrepare).await;
        std::fs::write(dir.path().join("after_prepare"), "").unwrap();
        faults.pass(FaultPoint::BeforePrepare).await;
        let waiting = tokio::spawn({
            let faults = faults.clone();
            async move { faults.pass(FaultPoint::AfterPrepare).await }
        });
        while !dir.path().join("after_prepare.hit").exists() {
            tokio::task::yield_now().await;
        }
        faults.pass(FaultPoint::AfterPrepare).await;
        std::fs::write(dir.path().join("after_prepare.go"), "").unwrap();
        waiting.await.unwrap();
    }

    #[test]
    fn names_are_unique() {
        let mut names = FaultPoint::TWO_PHASES.map(FaultPoint::name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
