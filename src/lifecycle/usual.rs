//! How long a phase usually lasts: the median of earlier builds of the same profile and firmware.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{BuildKey, Phase, Timestamp};

/// When a phase of a build began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning {
    /// Which build.
    pub build: BuildKey,
    /// Which phase.
    pub phase: Phase,
    /// When.
    pub at: Timestamp,
}

/// The median duration of each phase over the given builds.
pub fn usual(beginnings: &[Beginning]) -> BTreeMap<&'static str, Duration> {
    let mut builds: BTreeMap<(&str, u32), Vec<(Timestamp, Phase)>> = BTreeMap::new();
    for b in beginnings {
        builds
            .entry((&b.build.system, b.build.epoch))
            .or_default()
            .push((b.at, b.phase));
    }
    let mut lasted: BTreeMap<&'static str, Vec<Duration>> = BTreeMap::new();
    for phases in builds.values_mut() {
        phases.sort_by_key(|(at, _)| *at);
        for pair in phases.windows(2) {
            let [(from, phase), (to, _)] = pair else {
                continue;
            };
            let duration = Duration::try_from(to.duration_since(*from)).unwrap_or_default();
            lasted.entry(phase.word()).or_default().push(duration);
        }
    }
    lasted
        .into_iter()
        .filter_map(|(phase, all)| Some((phase, median(all)?)))
        .collect()
}

/// The middle one.
pub(super) fn median(mut all: Vec<Duration>) -> Option<Duration> {
    all.sort_unstable();
    all.get(all.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_one_slow_machine() {
        let mut beginnings = Vec::new();
        for (epoch, seconds) in [(1, 60), (2, 70), (3, 4000)] {
            let build = BuildKey {
                system: "a".parse().expect("a name"),
                epoch,
            };
            let at = |s| Timestamp::from_second(s).expect("a time");
            let begin = i64::from(epoch) * 100_000;
            for (phase, at) in [
                (Phase::Installing, at(begin)),
                (Phase::Installed, at(begin + seconds)),
            ] {
                beginnings.push(Beginning {
                    build: build.clone(),
                    phase,
                    at,
                });
            }
        }
        let usual = usual(&beginnings);
        assert_eq!(usual.get("installing"), Some(&Duration::from_secs(70)));
        assert_eq!(usual.get("installed"), None, "it has no end");
    }
}
