//! What was lately recorded of each build, so that a machine that repeats itself, or somebody who
//! sends in its name, does not fill the store: observations that change nothing are recorded once in a
//! while, and never faster than a budget allows.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::model::{BuildKey, EventKind, Timestamp};

/// The same again within this many seconds is not recorded again.
const SAME: i64 = 30;
/// Records a build may have at once beyond what changed it.
const BURST: i64 = 60;
/// Seconds until it may have one more.
const EACH: i64 = 2;
/// Signatures remembered of a build.
const SIGNATURES: usize = 64;

/// The builds that were lately spoken of.
#[derive(Debug, Default)]
pub(super) struct Recent {
    builds: HashMap<BuildKey, Spoken>,
}

/// What a group admits besides. It counts once the group is stored: of what was lost nothing is
/// remembered, so that whoever says it again is heard.
#[derive(Debug, Default)]
pub(super) struct Admitted {
    builds: HashMap<BuildKey, Spoken>,
}

#[derive(Debug, Clone, Default)]
struct Spoken {
    last: VecDeque<(u64, Timestamp)>,
    spent: i64,
    at: Option<Timestamp>,
}

impl Recent {
    /// Whether this is worth a record in a group that has admitted these already.
    pub(super) fn admit(
        &self,
        group: &mut Admitted,
        build: &BuildKey,
        kind: &EventKind,
        now: Timestamp,
    ) -> bool {
        let before = || self.builds.get(build).cloned().unwrap_or_default();
        let said = group.builds.entry(build.clone()).or_insert_with(before);
        let signature = signature(kind);
        let age = |then: Timestamp| now.as_second().saturating_sub(then.as_second());
        if said
            .last
            .iter()
            // A clock that was set back makes it come from the future.
            .any(|(s, then)| *s == signature && age(*then).abs() < SAME)
        {
            return false;
        }
        if let Some(at) = said.at {
            let back = age(at).abs() / EACH;
            said.spent = said.spent.saturating_sub(back).max(0);
            if back > 0 {
                said.at = Some(now);
            }
        } else {
            said.at = Some(now);
        }
        if said.spent >= BURST {
            return false;
        }
        said.spent += 1;
        said.last.retain(|(s, _)| *s != signature);
        if said.last.len() == SIGNATURES {
            said.last.pop_front();
        }
        said.last.push_back((signature, now));
        true
    }

    /// What a group admitted is stored.
    pub(super) fn stored(&mut self, group: Admitted) {
        self.builds.extend(group.builds);
    }

    /// Forgets a build that is over.
    pub(super) fn forget(&mut self, build: &BuildKey) {
        self.builds.remove(build);
    }
}

/// What makes two observations the same.
fn signature(kind: &EventKind) -> u64 {
    let mut hasher = DefaultHasher::new();
    kind.word().hash(&mut hasher);
    match kind {
        // Whatever identifier it claims: that is how a flood would differ.
        EventKind::BootBegan { mac, .. } => mac.hash(&mut hasher),
        EventKind::Seen { stage, by, .. } => (stage, by).hash(&mut hasher),
        other => other.detail().hash(&mut hasher),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Stage;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    fn build() -> BuildKey {
        BuildKey {
            system: "web01".parse().expect("a name"),
            epoch: 1,
        }
    }

    fn progress(step: usize) -> EventKind {
        EventKind::Progress {
            stage: Stage::clean(&format!("step{step}")),
            detail: String::new(),
        }
    }

    impl Recent {
        /// In a group of its own, which is stored.
        fn alone(&mut self, build: &BuildKey, kind: &EventKind, now: Timestamp) -> bool {
            let mut group = Admitted::default();
            let admitted = self.admit(&mut group, build, kind, now);
            self.stored(group);
            admitted
        }
    }

    #[test]
    fn of_what_was_not_stored_nothing_is_remembered() {
        let mut recent = Recent::default();
        let mut lost = Admitted::default();
        let kind = EventKind::LocalServed;
        assert!(recent.admit(&mut lost, &build(), &kind, at(0)));
        let twice = recent.admit(&mut lost, &build(), &kind, at(0));
        assert!(!twice, "one group records it once");
        drop(lost);
        assert!(recent.alone(&build(), &kind, at(1)));
        assert!(!recent.alone(&build(), &kind, at(2)));
    }

    #[test]
    fn the_same_is_said_once_in_a_while() {
        let mut recent = Recent::default();
        let admitted: Vec<i64> = (0..100)
            .filter(|s| recent.alone(&build(), &EventKind::LocalServed, at(*s)))
            .collect();
        assert_eq!(admitted, [0, 30, 60, 90]);
        let other = BuildKey {
            epoch: 2,
            ..build()
        };
        assert!(recent.alone(&other, &EventKind::LocalServed, at(99)));
    }

    #[test]
    fn a_flood_is_cut_to_its_budget() {
        let mut recent = Recent::default();
        let flood = |recent: &mut Recent, seconds: std::ops::Range<i64>| {
            let all = seconds.flat_map(|s| (0..100).map(move |i| (s, i)));
            all.filter(|(s, i)| recent.alone(&build(), &progress(1000 * *s as usize + i), at(*s)))
                .count() as i64
        };
        assert_eq!(flood(&mut recent, 0..1), BURST);
        let more = flood(&mut recent, 1..101);
        assert!((49..=51).contains(&more), "one in {EACH} seconds: {more}");
        recent.forget(&build());
        assert!(recent.alone(&build(), &progress(1), at(101)));
    }
}
