//! `farrier watch`: builds as they happen.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;

use super::client::pairs;
use super::follow::Follower;
use super::selection::SelectArguments;
use super::wait::{Goal, settled, until};
use super::{Exit, Session, events, time};
use crate::model::view::{EventView, SystemView};
use crate::model::{Phase, Refusal, Selection, Timestamp};

/// Follow builds as they happen, until interrupted or until a phase is reached.
#[derive(Debug, Args)]
pub(super) struct Watch {
    #[command(flatten)]
    select: SelectArguments,
    /// Stop when all are in this phase (or can no longer reach it)
    #[arg(long, value_name = "PHASE")]
    until: Vec<Phase>,
    /// Give up after this
    #[arg(long, value_name = "SPAN", value_parser = time::parse_duration, requires = "until")]
    timeout: Option<Duration>,
}

impl Watch {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let selection = self.select.selection()?;
        let (selection, systems) = match self.until.is_empty() {
            true => {
                let asked = pairs(&selection);
                let now: Vec<SystemView> = session.client.get("/v1/systems", &asked).await?;
                (selection, now)
            }
            false => settled(session, selection).await?,
        };
        let mut timeline = Timeline::new(&systems);
        for system in systems.iter().filter(|s| s.phase.is_active()) {
            session.printer.talk(&standing(system));
        }
        if self.until.is_empty() {
            return follow(session, &selection, &mut timeline).await;
        }
        let mut goal = Goal::new(self.until);
        until(session, &selection, &mut goal, self.timeout, |_, event| {
            if let Some(event) = event {
                timeline.print(session, event);
            }
        })
        .await?;
        if session.printer.is_unread() {
            return Ok(Exit::Done);
        }
        goal.verdict()
    }
}

async fn follow(
    session: &Session,
    selection: &Selection,
    timeline: &mut Timeline,
) -> Result<Exit, Refusal> {
    let mut follower = Follower::from_now(session, selection).await?;
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Done),
            events = follower.next(None) => {
                for event in events? {
                    timeline.print(session, &event);
                }
                if session.printer.is_unread() {
                    return Ok(Exit::Done);
                }
            }
        }
    }
}

/// When each system entered the phase it is in, so that leaving it can say how long it took.
struct Timeline {
    since: BTreeMap<String, (Phase, Timestamp)>,
}

impl Timeline {
    fn new(systems: &[SystemView]) -> Timeline {
        let since = systems
            .iter()
            .filter_map(|s| {
                let since = s.build.as_ref()?.since;
                Some((s.name.clone(), (s.phase, since)))
            })
            .collect();
        Timeline { since }
    }

    fn print(&mut self, session: &Session, event: &EventView) {
        let before = self
            .since
            .get(&event.system)
            .copied()
            .filter(|(phase, _)| *phase != event.phase);
        events::print(session, event);
        if let Some((phase, since)) = before
            && phase.is_active()
        {
            session.printer.talk(&format!(
                "          {} was {phase} for {}",
                event.system,
                time::human(time::between(since, event.time))
            ));
        }
        let entry = self
            .since
            .entry(event.system.clone())
            .or_insert((event.phase, event.time));
        if entry.0 != event.phase {
            *entry = (event.phase, event.time);
        }
    }
}

fn standing(system: &SystemView) -> String {
    let Some(build) = &system.build else {
        return format!("{} is {}", system.name, system.phase);
    };
    let now = Timestamp::now();
    let stage = build.step().map(|s| format!(" ({s})")).unwrap_or_default();
    let expected = build
        .expected_by
        .map(|at| format!(", must end {}", time::relative(at, now)))
        .unwrap_or_default();
    format!(
        "{} has been {}{stage} for {}, build {}{expected}",
        system.name,
        system.phase,
        time::human(time::between(build.since, now)),
        build.number
    )
}
