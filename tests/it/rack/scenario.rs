//! What every scenario says about what was recorded.

use farrier::cli::demo::rack::{RackError, Server};
use farrier::model::view::EventView;

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
