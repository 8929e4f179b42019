//! `farrier wait`: until systems reach a phase.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;

use super::client::pairs;
use super::follow::Follower;
use super::selection::SelectArguments;
use super::{Exit, Session, progress, time};
use crate::model::view::{EventView, SystemView};
use crate::model::{Code, Phase, Refusal, Selection};

/// Wait until systems reach a phase.
///
/// A one-shot boot that is pending is what is waited for, before the system's build.
/// Exit 0 when all reached it, 1 when none did and their builds ended otherwise, 5 when some did,
/// 6 when the time is over.
#[derive(Debug, Args)]
pub(super) struct Wait {
    #[command(flatten)]
    select: SelectArguments,
    /// The phase to wait for; give it again for "or"
    #[arg(long = "for", value_name = "PHASE", default_value = "ready")]
    wanted: Vec<Phase>,
    /// Give up after this
    #[arg(long, value_name = "SPAN", value_parser = time::parse_duration)]
    timeout: Option<Duration>,
}

impl Wait {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let (selection, _) = settled(session, self.select.some("wait")?).await?;
        let mut goal = Goal::new(self.wanted);
        let spinner = progress::spinner(&session.printer, "waiting".to_string());
        let ended = until(session, &selection, &mut goal, self.timeout, |goal, _| {
            spinner.set_message(goal.summary());
        })
        .await;
        spinner.finish_and_clear();
        let systems = ended?;
        session.printer.list(
            &systems,
            COLUMNS,
            |s| s.name.clone(),
            "no system is selected",
        );
        goal.verdict()
    }
}

const COLUMNS: &[super::printer::Column<SystemView>] = &[
    super::printer::Column::new("NAME", |s| s.name.clone()),
    super::printer::Column::new("PHASE", |s| s.phase.to_string()),
    super::printer::Column::new("REASON", |s| {
        s.build
            .as_ref()
            .and_then(|b| b.reason.clone())
            .unwrap_or_default()
    }),
];

/// Which systems are to reach which phases, and how far they are.
#[derive(Debug)]
pub(super) struct Goal {
    wanted: Vec<Phase>,
    systems: BTreeMap<String, Standing>,
}

/// Where one system stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Standing {
    /// Of the one-shot boot if one is waited for, else of the system.
    phase: Phase,
    /// The one-shot boot that was pending, by its number: it is what is waited for.
    once: Option<u32>,
    /// It is, or was while waiting, where it should be.
    reached: bool,
}

impl Goal {
    /// To reach one of these.
    pub(super) fn new(wanted: Vec<Phase>) -> Goal {
        Goal {
            wanted,
            systems: BTreeMap::new(),
        }
    }

    /// Takes note of where systems are now.
    fn stand(&mut self, now: &[SystemView]) {
        for system in now {
            let pending = system.pending_once().map(|b| b.number);
            let standing = self.systems.entry(system.name.clone()).or_insert(Standing {
                phase: system.phase,
                once: pending,
                reached: false,
            });
            let once = system
                .once
                .as_ref()
                .filter(|b| Some(b.number) == standing.once);
            standing.phase = once.map_or(system.phase, |b| b.phase);
            standing.reached |= self.wanted.contains(&standing.phase);
        }
    }

    /// Takes note of a phase that may already have been left again.
    fn pass(&mut self, event: &EventView) {
        if let Some(standing) = self.systems.get_mut(&event.system)
            && (standing.once.is_none() || standing.once == event.build)
        {
            standing.reached |= self.wanted.contains(&event.phase);
        }
    }

    /// Nothing can change any more without a person.
    fn is_over(&self) -> bool {
        self.systems
            .values()
            .all(|s| s.reached || !s.phase.is_active())
    }

    fn reached(&self) -> usize {
        self.systems.values().filter(|s| s.reached).count()
    }

    /// `3 of 20 ready, 1 failed, 16 installing`.
    fn summary(&self) -> String {
        let mut others: BTreeMap<&str, usize> = BTreeMap::new();
        for standing in self.systems.values().filter(|s| !s.reached) {
            *others.entry(standing.phase.word()).or_default() += 1;
        }
        let mut text = format!(
            "{} of {} {}",
            self.reached(),
            self.systems.len(),
            self.words()
        );
        for (word, count) in others {
            text.push_str(&format!(", {count} {word}"));
        }
        text
    }

    fn words(&self) -> String {
        let words: Vec<&str> = self.wanted.iter().map(|p| p.word()).collect();
        words.join(" or ")
    }

    /// How it ended.
    pub(super) fn verdict(&self) -> Result<Exit, Refusal> {
        let reached = self.reached();
        if reached == self.systems.len() {
            return Ok(Exit::Done);
        }
        let (name, standing) = match self.systems.iter().find(|(_, s)| !s.reached) {
            Some(found) => found,
            None => return Ok(Exit::Done),
        };
        let code = if reached > 0 {
            Code::PartlyFailed
        } else {
            Code::Failed
        };
        let message = if self.systems.len() == 1 {
            format!("`{name}` is {} and not {}", standing.phase, self.words())
        } else {
            self.summary()
        };
        Err(Refusal::new(code, message).help(format!("farrier why {name}")))
    }
}

/// Which systems are waited for, and where they stand: those that are in the phases selected now, by
/// their names, for they leave these phases while they are waited for.
pub(super) async fn settled(
    session: &Session,
    selection: Selection,
) -> Result<(Selection, Vec<SystemView>), Refusal> {
    let asked = pairs(&selection);
    let now: Vec<SystemView> = session.client.get("/v1/systems", &asked).await?;
    if now.is_empty() {
        return Err(Refusal::new(Code::NotFound, "no system is selected").help("farrier ls"));
    }
    if selection.phases.is_empty() {
        return Ok((selection, now));
    }
    let names: Vec<String> = now.iter().map(|s| s.name.clone()).collect();
    Ok((Selection::named(&names), now))
}

/// Follows events until the goal is reached or out of reach, or nobody reads what is printed of them.
/// `each` is called for every event, and once more when a round of them is over.
pub(super) async fn until(
    session: &Session,
    selection: &Selection,
    goal: &mut Goal,
    timeout: Option<Duration>,
    mut each: impl FnMut(&Goal, Option<&EventView>),
) -> Result<Vec<SystemView>, Refusal> {
    let begun = Instant::now();
    // First where "now" is, then how things stand: nothing falls between.
    let mut follower = Follower::from_now(session, selection).await?;
    loop {
        let systems: Vec<SystemView> =
            match session.client.get("/v1/systems", &pairs(selection)).await {
                Err(refusal) if refusal.code == Code::Unreachable => Vec::new(),
                answer => answer?,
            };
        goal.stand(&systems);
        each(goal, None);
        if !systems.is_empty() && goal.is_over() {
            return Ok(systems);
        }
        let left = match timeout {
            Some(timeout) => match timeout.checked_sub(begun.elapsed()) {
                Some(left) if !left.is_zero() => Some(left),
                _ => {
                    return Err(Refusal::new(
                        Code::TimedOut,
                        format!("after {}: {}", time::human(timeout), goal.summary()),
                    )
                    .help("farrier ls, or farrier why NAME"));
                }
            },
            None => None,
        };
        let events = tokio::select! {
            _ = tokio::signal::ctrl_c() => {
                return Err(Refusal::failed("interrupted"));
            }
            events = follower.next(left) => events?,
        };
        for event in &events {
            goal.pass(event);
            each(goal, Some(event));
        }
        if session.printer.is_unread() {
            return Ok(systems);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(name: &str, phase: Phase) -> SystemView {
        SystemView {
            name: name.to_string(),
            macs: Vec::new(),
            ip: None,
            profile: "p".to_string(),
            tags: Vec::new(),
            phase,
            protected: false,
            broken: None,
            build: None,
            once: None,
        }
    }

    #[test]
    fn a_goal_ends_when_nothing_can_change() {
        use Phase::{Failed, Idle, Installing, Ready};
        let check = |phases: &[Phase], over: bool, code: Option<Code>| {
            let mut goal = Goal::new(vec![Ready]);
            let systems: Vec<SystemView> = phases
                .iter()
                .enumerate()
                .map(|(i, p)| at(&format!("s{i}"), *p))
                .collect();
            goal.stand(&systems);
            assert_eq!(goal.is_over(), over, "{phases:?}");
            if over {
                assert_eq!(goal.verdict().err().map(|r| r.code), code, "{phases:?}");
            }
        };
        check(&[Ready], true, None);
        check(&[Ready, Ready], true, None);
        check(&[Installing], false, None);
        check(&[Failed, Installing], false, None);
        check(&[Failed], true, Some(Code::Failed));
        check(&[Idle], true, Some(Code::Failed));
        check(&[Ready, Failed], true, Some(Code::PartlyFailed));
    }

    #[test]
    fn a_pending_one_shot_is_waited_for() {
        let build = |phase| crate::model::view::BuildView {
            number: 4,
            epoch: 4,
            purpose: crate::model::Purpose::Once,
            profile: "rescue".to_string(),
            flagged: crate::model::Timestamp::UNIX_EPOCH,
            started: None,
            since: crate::model::Timestamp::UNIX_EPOCH,
            phase,
            observed: None,
            stage: None,
            reason: None,
            expected_by: None,
            ended: None,
            attempts: [0, 1],
            disk: None,
            alarm: None,
            revision: String::new(),
        };
        let with = |once| SystemView {
            once: Some(build(once)),
            ..at("web01", Phase::Ready)
        };
        let mut goal = Goal::new(vec![Phase::Ready]);
        goal.stand(&[with(Phase::Armed)]);
        assert!(!goal.is_over(), "the system is ready, its one-shot is not");
        goal.stand(&[with(Phase::Ready)]);
        assert!(goal.is_over());
        assert_eq!(goal.verdict(), Ok(Exit::Done));
        let mut goal = Goal::new(vec![Phase::Ready]);
        goal.stand(&[with(Phase::Failed)]);
        assert_eq!(goal.verdict(), Ok(Exit::Done), "an old one is not");
    }

    #[test]
    fn a_phase_that_was_passed_counts() {
        let mut goal = Goal::new(vec![Phase::Installing]);
        goal.stand(&[at("web01", Phase::Booting)]);
        goal.pass(&EventView {
            ended: None,
            number: 1,
            time: crate::model::Timestamp::UNIX_EPOCH,
            system: "web01".to_string(),
            build: Some(1),
            kind: "answer-fetched".to_string(),
            detail: String::new(),
            phase: Phase::Installing,
        });
        goal.stand(&[at("web01", Phase::Installed)]);
        assert!(goal.is_over());
        assert_eq!(goal.verdict(), Ok(Exit::Done));
    }
}
