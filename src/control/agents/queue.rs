//! Which errands there are, which are under way, and when the others may be tried.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{BuildKey, Identity, Machine, Name, Phase};

/// Revocations at once: tools of Puppet's take a second of a core each.
const REVOCATIONS: usize = 4;
/// Playbooks at once; they wait for their machines most of the time.
const PUSHES: usize = 16;
/// The longest pause between two tries.
const PAUSE: Duration = Duration::from_secs(60);

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Errand {
    Revoke(BuildKey, Identity),
    Push(BuildKey),
}

impl Errand {
    fn is_like(&self, other: &Errand) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    fn at_once(&self) -> usize {
        match self {
            Errand::Revoke(..) => REVOCATIONS,
            Errand::Push(..) => PUSHES,
        }
    }

    pub(super) fn system(&self) -> &Name {
        match self {
            Errand::Revoke(build, _) | Errand::Push(build) => &build.system,
        }
    }
}

/// What a machine's build waits for. A playbook is for a build that configures: whatever else ended
/// it, nobody is to be at work on that machine any more.
pub(super) fn errands_of(machine: &Machine) -> Vec<Errand> {
    let Some(build) = &machine.build else {
        return Vec::new();
    };
    let key = || build.key.clone();
    match build.phase {
        Phase::Armed => {
            let revoke = build.revoke.iter();
            revoke
                .map(|r| Errand::Revoke(key(), r.identity.clone()))
                .collect()
        }
        Phase::Configuring if build.pushing => vec![Errand::Push(key())],
        _ => Vec::new(),
    }
}

/// What came of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is done, or nobody will have its result: it is not tried again.
    Done,
    /// It is tried again, later and later.
    Again,
    /// It was called off.
    CalledOff,
}

/// Tries that failed, and when the next one is; never, if nobody would have its result.
#[derive(Debug, Default)]
struct Tries {
    count: u32,
    next: Option<Instant>,
}

/// The errands of all builds.
#[derive(Debug, Default)]
pub(super) struct Queue {
    wanted: BTreeMap<Name, Vec<Errand>>,
    busy: HashSet<Errand>,
    tried: HashMap<Errand, Tries>,
}

impl Queue {
    /// What all builds wait for now.
    pub(super) fn all(&mut self, wanted: BTreeMap<Name, Vec<Errand>>) {
        self.wanted = wanted;
        self.wanted.retain(|_, errands| !errands.is_empty());
        self.forget();
    }

    /// What one machine's build waits for now.
    pub(super) fn of(&mut self, system: Name, errands: Vec<Errand>) {
        if errands.is_empty() {
            self.wanted.remove(&system);
        } else {
            self.wanted.insert(system, errands);
        }
        self.forget();
    }

    fn forget(&mut self) {
        let wanted = &self.wanted;
        self.tried.retain(|errand, _| is_wanted(wanted, errand));
    }

    /// The errands to begin now. They are under way from here on.
    pub(super) fn begin(&mut self, now: Instant) -> Vec<Errand> {
        let mut begun = Vec::new();
        for errand in self.wanted.values().flatten() {
            let waits = self.tried.get(errand);
            let may = waits.is_none_or(|tries| tries.next.is_some_and(|at| at <= now));
            if may && has_room(&self.busy, errand) && self.busy.insert(errand.clone()) {
                begun.push(errand.clone());
            }
        }
        begun
    }

    /// When the next try is, of those that have a place: whoever waits for a place begins when one is
    /// free, and asks for no look before.
    pub(super) fn due(&self) -> Option<Instant> {
        let idle = |errand: &Errand| !self.busy.contains(errand) && has_room(&self.busy, errand);
        let waiting = self.tried.iter().filter(|(errand, _)| idle(errand));
        waiting.filter_map(|(_, tries)| tries.next).min()
    }

    /// Playbooks that are run for nobody any more: their builds were called off, or are over. A
    /// revocation is short, and an authority is not to be left half written.
    pub(super) fn to_stop(&self) -> Vec<Errand> {
        let stops = |e: &&Errand| matches!(e, Errand::Push(_)) && !is_wanted(&self.wanted, e);
        self.busy.iter().filter(stops).cloned().collect()
    }

    /// A try is over; what its build waits for is known as it is after it.
    pub(super) fn ended(&mut self, errand: Errand, outcome: Outcome, now: Instant) {
        self.busy.remove(&errand);
        let wanted = is_wanted(&self.wanted, &errand);
        if outcome == Outcome::CalledOff || !wanted {
            self.tried.remove(&errand);
            return;
        }
        let tries = self.tried.entry(errand).or_default();
        // What is done and still waited for would be done again without end.
        tries.next = (outcome == Outcome::Again).then(|| {
            let pause = Duration::from_secs(1 << tries.count.min(6)).min(PAUSE);
            now + pause
        });
        tries.count += 1;
    }
}

fn is_wanted(wanted: &BTreeMap<Name, Vec<Errand>>, errand: &Errand) -> bool {
    let of = wanted.get(errand.system());
    of.is_some_and(|errands| errands.contains(errand))
}

fn has_room(busy: &HashSet<Errand>, errand: &Errand) -> bool {
    busy.iter().filter(|other| errand.is_like(other)).count() < errand.at_once()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::step;
    use crate::lifecycle::step::tests::{at, build_in};
    use crate::model::event::AgentReport;
    use crate::model::{Agent, Build, Deadlines, EventKind, Revocation};

    fn name(n: usize) -> Name {
        format!("web{n:02}").parse().expect("a name")
    }

    fn push(n: usize) -> Errand {
        let system = name(n);
        Errand::Push(BuildKey { system, epoch: 1 })
    }

    fn queue(count: usize) -> Queue {
        let mut queue = Queue::default();
        queue.all((0..count).map(|n| (name(n), vec![push(n)])).collect());
        queue
    }

    fn waits_for(build: &Build) -> Vec<Errand> {
        let mut machine = Machine::new(build.key.system.clone());
        machine.build = Some(build.clone());
        errands_of(&machine)
    }

    fn pushing() -> Build {
        Build {
            pushing: true,
            handoff_key: Some("k".to_string()),
            ..build_in(Phase::Configuring)
        }
    }

    #[test]
    fn a_playbook_is_run_only_for_a_build_that_configures() {
        for phase in Phase::ALL {
            let build = Build {
                pushing: true,
                ..build_in(phase)
            };
            let pushes = waits_for(&build)
                .iter()
                .any(|e| matches!(e, Errand::Push(_)));
            assert_eq!(pushes, phase == Phase::Configuring, "{phase}");
        }
        let mut armed = build_in(Phase::Armed);
        armed.revoke.push(Revocation {
            identity: Identity {
                agent: Agent::Puppet,
                name: "web01".to_string(),
            },
            failed: None,
        });
        assert!(matches!(waits_for(&armed)[..], [Errand::Revoke(..)]));
    }

    #[test]
    fn a_build_that_is_called_off_or_stalls_waits_for_no_playbook_ever_after() {
        let was = pushing();
        assert_eq!(waits_for(&was).len(), 1);
        let told = |was: &Build, event: &EventKind, seconds| {
            let system = was.key.system.clone();
            step(
                &system,
                Some(was),
                1,
                event,
                &Deadlines::default(),
                at(seconds),
            )
        };
        let cancelled = EventKind::Cancelled {
            actor: "root".to_string(),
        };
        let far = 10 * 86_400;
        for event in [cancelled, EventKind::DeadlinePassed] {
            let was = Build {
                deadline: Some(at(1)),
                ..was.clone()
            };
            let over = told(&was, &event, far).expect("told").expect("changed");
            assert!(!over.pushing, "{event:?}");
            assert!(waits_for(&over).is_empty(), "{event:?}");
        }
        // a restart, and a first boot that reports again, begin anew
        let report = AgentReport::well("ansible");
        let stalled = Build {
            pushing: false,
            ..build_in(Phase::Stalled)
        };
        let again = told(&stalled, &EventKind::PushDue(report), 5);
        let again = again.expect("told").expect("changed");
        assert_eq!(waits_for(&again).len(), 1);
    }

    #[test]
    fn what_is_done_and_still_waited_for_is_not_done_again() {
        let now = Instant::now();
        let mut queue = queue(1);
        assert_eq!(queue.begin(now), [push(0)]);
        assert!(queue.begin(now).is_empty(), "it is under way");
        queue.ended(push(0), Outcome::Done, now);
        assert!(queue.begin(now + PAUSE * 10).is_empty());
        assert_eq!(queue.due(), None);
        // until its build waits for it anew
        queue.of(name(0), Vec::new());
        queue.of(name(0), vec![push(0)]);
        assert_eq!(queue.begin(now), [push(0)]);
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_stopped_and_not_begun() {
        let now = Instant::now();
        let mut queue = queue(2);
        assert_eq!(queue.begin(now).len(), 2);
        assert!(queue.to_stop().is_empty());
        queue.of(name(1), Vec::new());
        assert_eq!(queue.to_stop(), [push(1)]);
        queue.ended(push(1), Outcome::CalledOff, now);
        assert!(queue.to_stop().is_empty() && queue.begin(now).is_empty());
    }

    #[test]
    fn whoever_waits_for_a_place_asks_for_no_look() {
        let now = Instant::now();
        let mut queue = queue(PUSHES + 1);
        let first = queue.begin(now);
        assert_eq!(first.len(), PUSHES);
        // one failed, and the one that waited has its place
        queue.ended(first[0].clone(), Outcome::Again, now);
        assert_eq!(queue.begin(now).len(), 1);
        let overdue = now + PAUSE;
        assert_eq!(queue.due(), None, "there is no place to try it in");
        assert!(queue.begin(overdue).is_empty());
        queue.ended(first[1].clone(), Outcome::CalledOff, now);
        assert_eq!(queue.due(), Some(now + Duration::from_secs(1)));
        assert!(queue.begin(overdue).contains(&first[0]));
    }

    #[test]
    fn tries_come_later_and_later() {
        let mut now = Instant::now();
        let mut queue = queue(1);
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(queue.begin(now).len(), 1);
            queue.ended(push(0), Outcome::Again, now);
            let due = queue.due().expect("another try");
            assert_eq!((due - now).as_secs(), pause);
            now = due;
        }
    }
}
