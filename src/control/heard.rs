//! Lines that machines log, waiting to be stored: bounded, and written together twice a second, so
//! that a machine that logs much slows nobody down.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::lifecycle::log::clean;
use crate::model::{BuildKey, LogEntry, Timestamp};

/// Lines that wait at most, of all machines.
const WAITING: usize = 50_000;
/// Lines of one build a second at most; what is beyond is counted.
const A_SECOND: u32 = 400;
/// Lines that the reports of one build may bring along at once beyond that: the ends of the few logs
/// that a failure has.
const BURST: u32 = 4000;

/// The lines that wait.
#[derive(Debug, Default)]
pub(super) struct Heard {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<LogEntry>,
    rates: HashMap<BuildKey, Rate>,
    reports: HashMap<BuildKey, Spent>,
}

/// Lines that the reports of a build have had of what they may have at once.
#[derive(Debug, Default)]
struct Spent {
    lines: u32,
    second: i64,
}

impl Spent {
    /// What is left of it at this second.
    fn at(&self, second: i64) -> u32 {
        let passed = u32::try_from(second.saturating_sub(self.second)).unwrap_or(0);
        self.lines.saturating_sub(passed.saturating_mul(A_SECOND))
    }
}

#[derive(Debug, Default)]
struct Rate {
    second: i64,
    lines: u32,
    dropped: u32,
}

impl Heard {
    /// Takes one line, if there is room.
    pub(super) fn add(&self, build: &BuildKey, source: &str, text: &str, now: Timestamp) {
        let mut waiting = self.lock();
        let full = waiting.lines.len() >= WAITING;
        let rate = waiting.rates.entry(build.clone()).or_default();
        if rate.second != now.as_second() {
            rate.second = now.as_second();
            rate.lines = 0;
        }
        rate.lines += 1;
        if full || rate.lines > A_SECOND {
            rate.dropped += 1;
            return;
        }
        let entry = |text| LogEntry {
            build: build.clone(),
            time: now,
            source: source.to_string(),
            text,
        };
        let dropped = std::mem::take(&mut rate.dropped);
        if dropped > 0 {
            let text = format!("({dropped} lines came too fast and were dropped)");
            waiting.lines.push(entry(text));
        }
        let text = clean(text);
        if !text.is_empty() {
            waiting.lines.push(entry(text));
        }
    }

    /// How many of these lines, that a report brings along, are kept.
    pub(super) fn admit(&self, build: &BuildKey, lines: usize, now: Timestamp) -> usize {
        let mut waiting = self.lock();
        let second = now.as_second();
        waiting.reports.retain(|_, spent| spent.at(second) > 0);
        let spent = waiting.reports.entry(build.clone()).or_default();
        let before = spent.at(second);
        let wanted = u32::try_from(lines).unwrap_or(u32::MAX);
        let kept = wanted.min(BURST.saturating_sub(before));
        *spent = Spent {
            lines: before + kept,
            second,
        };
        kept as usize
    }

    /// Everything that waits.
    pub(super) fn take(&self) -> Vec<LogEntry> {
        let mut waiting = self.lock();
        waiting.rates.retain(|_, rate| rate.dropped > 0);
        std::mem::take(&mut waiting.lines)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_may_have_much_at_once_and_no_more_than_syslog_for_long() {
        let heard = Heard::default();
        let build = |epoch| BuildKey {
            system: "web01".parse().expect("a name"),
            epoch,
        };
        let at = |s| Timestamp::from_second(s).expect("a time");
        let kept: usize = (0..100).map(|_| heard.admit(&build(1), 500, at(7))).sum();
        assert_eq!(kept, BURST as usize);
        assert_eq!(heard.admit(&build(2), 500, at(7)), 500, "another's");
        let kept: usize = (8..108)
            .flat_map(|s| [s; 20])
            .map(|s| heard.admit(&build(1), 500, at(s)))
            .sum();
        assert_eq!(kept, 100 * A_SECOND as usize);
        assert_eq!(heard.admit(&build(1), 500, at(1000)), 500);
    }

    #[test]
    fn a_flood_is_cut_and_said_to_be() {
        let heard = Heard::default();
        let build = |epoch| BuildKey {
            system: "web01".parse().expect("a name"),
            epoch,
        };
        let at = |s| Timestamp::from_second(s).expect("a time");
        for i in 0..1000 {
            heard.add(&build(1), "syslog", &format!("line {i}"), at(1));
        }
        heard.add(&build(2), "syslog", "another machine's", at(1));
        heard.add(&build(1), "syslog", "later", at(2));
        let lines = heard.take();
        assert_eq!(lines.len(), A_SECOND as usize + 3);
        assert_eq!(lines[400].text, "another machine's");
        assert_eq!(
            lines[401].text,
            "(600 lines came too fast and were dropped)"
        );
        assert_eq!(lines[402].text, "later");
        assert!(heard.take().is_empty());
        for i in 0..200_000i64 {
            heard.add(&build(1), "syslog", "x", at(i / 400 + 10));
        }
        assert!(heard.take().len() <= WAITING);
    }
}
