//! How long the steps of a build take. An installer says where it stands; a step lasts until the next
//! one is named, or the phase is over.

use std::collections::BTreeMap;
use std::time::Duration;

use super::usual::median;
use crate::model::event::StageEnd;
use crate::model::{Build, Timestamp};

/// The step that is over now that the build `was` became `next`.
pub fn over(was: Option<&Build>, next: &Build, now: Timestamp) -> Option<StageEnd> {
    let was = was?;
    let (stage, since) = (was.stage.clone()?, was.stage_since?);
    (next.key == was.key && next.stage_since != was.stage_since).then(|| StageEnd {
        stage,
        milliseconds: u64::try_from(now.duration_since(since).as_millis()).unwrap_or(0),
    })
}

/// The median duration of each step over the steps of earlier builds.
pub fn usually(ends: &[StageEnd]) -> BTreeMap<String, Duration> {
    let mut lasted: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    for end in ends {
        lasted
            .entry(end.stage.to_string())
            .or_default()
            .push(Duration::from_millis(end.milliseconds));
    }
    lasted
        .into_iter()
        .filter_map(|(stage, all)| Some((stage, median(all)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::step;
    use crate::lifecycle::step::tests::{at, build_in};
    use crate::model::{Deadlines, EventKind, Phase, Stage};

    /// A build that is told these events at these seconds, and the steps that were over with them.
    fn told(mut build: Build, events: Vec<(i64, EventKind)>) -> (Build, Vec<(String, u64)>) {
        let mut ends = Vec::new();
        for (second, event) in events {
            let system = build.key.system.clone();
            let limits = Deadlines::default();
            let next = step(&system, Some(&build), 1, &event, &limits, at(second)).expect("a step");
            let Some(next) = next else { continue };
            let end = over(Some(&build), &next, at(second));
            ends.extend(end.map(|e| (e.stage.to_string(), e.milliseconds)));
            build = next;
        }
        (build, ends)
    }

    fn progress(stage: &str) -> EventKind {
        EventKind::Progress {
            stage: Stage::clean(stage),
            detail: String::new(),
        }
    }

    fn ends(list: &[(&str, u64)]) -> Vec<(String, u64)> {
        let owned = list.iter().map(|(s, ms)| (s.to_string(), *ms));
        owned.collect()
    }

    #[test]
    fn a_step_lasts_until_the_next_or_the_end_of_the_phase() {
        let started = EventKind::InstallerStarted {
            detail: String::new(),
        };
        let (build, got) = told(
            build_in(Phase::Booting),
            vec![
                (10, started),
                (12, progress("partition")),
                (13, progress("partition")),
                (20, progress("extract")),
                (80, EventKind::InstallerEnded),
            ],
        );
        let want = [("start", 2_000), ("partition", 8_000), ("extract", 60_000)];
        assert_eq!(got, ends(&want));
        assert_eq!((build.phase, build.stage_since), (Phase::Installed, None));
    }

    #[test]
    fn a_failure_ends_its_step_too_and_names_it() {
        let failed = EventKind::InstallerFailed {
            stage: Stage::clean("extract"),
            detail: "no space".into(),
        };
        let (build, got) = told(
            build_in(Phase::Installing),
            vec![(10, progress("extract")), (15, failed)],
        );
        assert_eq!(got, ends(&[("extract", 5_000)]));
        assert_eq!(build.stage_since, None);
        assert_eq!(build.stage, Some(Stage::clean("extract")));
    }

    #[test]
    fn there_is_an_end_to_the_steps_that_are_kept_apart() {
        let flood = (0..5000).map(|i| (10 + i, progress(&format!("s{}", i % 7))));
        let (build, got) = told(build_in(Phase::Installing), flood.collect());
        assert!(got.len() <= 500, "{}", got.len());
        assert!(build.stages <= 500);
        let (build, _) = told(build, vec![(9000, EventKind::InstallerEnded)]);
        assert_eq!(build.phase, Phase::Installed, "and it ends all the same");
    }

    #[test]
    fn the_median_is_of_each_step() {
        let end = |stage: &str, seconds: u64| StageEnd {
            stage: Stage::clean(stage),
            milliseconds: seconds * 1000,
        };
        let all = [end("a", 1), end("b", 7), end("a", 3), end("a", 900)];
        let usual = usually(&all);
        assert_eq!(usual.get("a"), Some(&Duration::from_secs(3)));
        assert_eq!(usual.get("b"), Some(&Duration::from_secs(7)));
    }
}
