//! Which of several replicas answers a read.
//!
//! First the lag filter that Vitess uses (`filterStatsByLag`): nobody more than two hours behind; then all who
//! are at most 30 s behind, and the two freshest in any case. Among these, own cell first; then the least
//! busy one; equals take turns. Pure: candidates in, index out.

use std::time::Duration;

use smallvec::SmallVec;

/// Replicas further behind never serve.
const LAG_MAX: Duration = Duration::from_secs(2 * 3_600);

/// Replicas up to this far behind count as fresh.
const LAG_FRESH: Duration = Duration::from_secs(30);

/// So many serve even if they are not fresh.
const SERVING_COUNT_MIN: usize = 2;

/// What the choice looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Position in the caller's list.
    pub(super) index: usize,
    /// Estimated lag; unknown counts as none.
    pub(super) lag: Option<Duration>,
    /// Connections in use.
    pub(super) in_use: usize,
    /// Whether it stands in the router's own cell.
    pub(super) is_local: bool,
}

/// The index of the chosen candidate; `turn` grows with each choice. `None` if none is acceptable.
pub(super) fn choose(candidates: &[Candidate], turn: usize) -> Option<usize> {
    let mut fresh: SmallVec<[Candidate; 8]> =
        candidates.iter().copied().filter(|candidate| lag(candidate) <= LAG_MAX).collect();
    fresh.sort_by_key(lag);
    let fresh_count = fresh.partition_point(|candidate| lag(candidate) <= LAG_FRESH);
    fresh.truncate(fresh_count.max(SERVING_COUNT_MIN));
    if fresh.iter().any(|candidate| candidate.is_local) {
        fresh.retain(|candidate| candidate.is_local);
    }
    let least = fresh.iter().map(|candidate| candidate.in_use).min()?;
    fresh.retain(|candidate| candidate.in_use == least);
    fresh.get(turn % fresh.len()).map(|candidate| candidate.index)
}

fn lag(candidate: &Candidate) -> Duration {
    candidate.lag.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(index: usize, lag_secs: u64, in_use: usize) -> Candidate {
        Candidate { index, lag: Some(Duration::from_secs(lag_secs)), in_use, is_local: true }
    }

    /// Who serves in eight turns.
    fn served(candidates: &[Candidate]) -> Vec<usize> {
        let mut served: Vec<_> = (0..8).filter_map(|turn| choose(candidates, turn)).collect();
        served.sort_unstable();
        served.dedup();
        served
    }

    #[test]
    fn fresh_replicas_share_the_work() {
        assert_eq!(served(&[candidate(0, 0, 0), candidate(1, 30, 0), candidate(2, 31, 0)]), [0, 1]);
        assert_eq!(served(&[candidate(0, 1, 0), candidate(1, 2, 0), candidate(2, 3, 0)]), [0, 1, 2]);
    }

    #[test]
    fn two_serve_even_if_they_are_behind() {
        let behind = [candidate(0, 500, 0), candidate(1, 90, 0), candidate(2, 100, 0)];
        assert_eq!(served(&behind), [1, 2]);
    }

    #[test]
    fn nobody_serves_who_is_hours_behind() {
        assert!(served(&[candidate(0, 7_201, 0)]).is_empty());
        assert_eq!(served(&[candidate(0, 7_200, 0)]), [0]);
        assert_eq!(choose(&[], 0), None);
    }

    #[test]
    fn the_least_busy_one_is_chosen() {
        assert_eq!(served(&[candidate(0, 0, 3), candidate(1, 0, 1), candidate(2, 0, 2)]), [1]);
    }

    #[test]
    fn the_own_cell_comes_first_if_it_is_fresh() {
        let remote = |index, lag| Candidate { is_local: false, ..candidate(index, lag, 0) };
        assert_eq!(served(&[remote(0, 0), candidate(1, 0, 9)]), [1]);
        assert_eq!(served(&[remote(0, 0), remote(1, 0), candidate(2, 100, 0)]), [0, 1]);
    }
}
