//! What scenarios have in common: a build is run to its end, and what was recorded of it is looked at.

use std::time::{Duration, Instant};

use farrier::cli::demo::rack::{Machine, Patience, Power, RackError, Server};
use farrier::model::view::EventView;

/// An installation by FAI takes four minutes on two idle cores, one by Debian's installer some forty. Longer
/// than any deadline that a scenario gives its profile: what ends a build is the product.
pub(crate) const BUILD: Patience = Patience::seconds(115 * 60);
/// From power-on, past the network, to the prompt of the disk's own system.
pub(crate) const DISK: Patience = Patience::seconds(900);

/// The kinds of events, in order, of one build.
pub(crate) fn kinds(events: &[EventView], build: u32) -> Vec<&str> {
    let of = events.iter().filter(|e| e.build == Some(build));
    of.map(|e| e.kind.as_str()).collect()
}

/// Asserts that the first of `wanted` happened before the second, and so on; others may lie between.
#[track_caller]
pub(crate) fn in_order(server: &Server, system: &str, build: u32, wanted: &[&str]) {
    let events = server.events(system).expect("events");
    let found = kinds(&events, build);
    let mut rest = found.iter();
    for kind in wanted {
        assert!(
            rest.any(|k| k == kind),
            "`{kind}` is missing after its predecessors {wanted:?} in {found:?}\n{}",
            server.evidence(system, None)
        );
    }
}

/// Asserts how often something happened in one build.
#[track_caller]
pub(crate) fn times(server: &Server, system: &str, build: u32, kind: &str, wanted: usize) {
    let events = server.events(system).expect("events");
    let found = kinds(&events, build).iter().filter(|k| **k == kind).count();
    assert_eq!(
        found,
        wanted,
        "how often `{kind}` was recorded\n{}",
        server.evidence(system, None)
    );
}

/// Declares a system and flags it.
pub(crate) fn add_and_flag(
    server: &Server,
    name: &str,
    mac: farrier::model::MacAddr,
    profile: &str,
) -> Result<(), RackError> {
    server.must(&["add", name, &mac.to_string(), profile])?;
    server.must(&["rebuild", name, "--yes"])?;
    Ok(())
}

/// Switches a flagged machine on until its build is over, whatever became of it: as many times as it
/// restarts by itself. `seen` gets what each start wrote to the serial port. Returns the last start and
/// how many there were.
pub(crate) fn to_its_end(
    server: &Server,
    machine: &Machine,
    mut seen: impl FnMut(&str),
) -> Result<(Power, u32), RackError> {
    let mut power = machine.power_on()?;
    let mut starts = 1;
    loop {
        let over = wait_end(server, machine.name(), &mut power)?;
        seen(&power.serial().text());
        if over {
            return Ok((power, starts));
        }
        assert!(
            starts < 3,
            "it restarts again and again\n{}",
            server.evidence(machine.name(), Some(&power))
        );
        power.cut();
        power = machine.power_on()?;
        starts += 1;
    }
}

/// Waits until the build is over (true) or the machine restarts itself (false).
fn wait_end(server: &Server, name: &str, power: &mut Power) -> Result<bool, RackError> {
    let deadline = Instant::now() + BUILD.0;
    loop {
        if !server.phase(name)?.is_active() {
            return Ok(true);
        }
        if !power.is_on()? {
            return Ok(false);
        }
        if Instant::now() > deadline {
            return Err(RackError::TimedOut {
                what: format!("the end of a build of `{name}`"),
                seconds: BUILD.0.as_secs(),
                evidence: server.evidence(name, Some(power)),
            });
        }
        // Looking is the wait.
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// The recorded timeline, for docs/evidence.md and for whoever reads the log of a failure.
pub(crate) fn tells(scenario: &str, what: &str, server: &Server, name: &str, began: Instant) {
    let events = server.events(name).unwrap_or_default();
    let Some(start) = events.iter().rev().find(|e| e.kind == "flagged") else {
        return;
    };
    let (start, end) = (start.time, events.last().map(|e| e.phase));
    eprintln!(
        "{scenario}: {what}: {} {} s after power-on",
        end.map_or("unknown", |phase| phase.word()),
        began.elapsed().as_secs()
    );
    for event in events.iter().filter(|e| e.time >= start) {
        eprintln!(
            "{scenario}: {:7.1} {} {} {}",
            event.time.duration_since(start).as_secs_f64(),
            event.phase,
            event.kind,
            event.detail
        );
    }
}
