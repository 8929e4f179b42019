//! The host: server, rights, limits, state directory, disk space, clock.

use std::path::Path;
use std::time::SystemTime;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access, geteuid};

use super::clock;
use super::finding::Finding;
use crate::cli::place::Place;
use crate::cli::time::bytes;
use crate::model::event::TOKEN_MISUSED;
use crate::model::view::StatusView;
use crate::net::clock_synchronised;

/// Files that 400 machines at once want: one per transfer and connection, twice over.
const FILES: u64 = 4096;
/// A Debian installer and its packages, and room to breathe.
const SPACE: u64 = 2 << 30;
/// Folders of a site that are watched, and editors and other programs of the same user besides.
const WATCHES: u64 = 256;
/// Linux capabilities (capability(7)): bind ports below 1024, raw frames, ARP entries.
const CAPABILITIES: [(u32, &str); 3] = [
    (10, "CAP_NET_BIND_SERVICE"),
    (12, "CAP_NET_ADMIN"),
    (13, "CAP_NET_RAW"),
];

/// Hand-offs that were asked for twice, and tokens that somebody else has.
pub(super) fn alarms(status: Option<&StatusView>) -> Vec<Finding> {
    let handoff = "replace the secrets it was given, find out who asked, and rebuild it";
    let token = "find out whose address that is; if it is not the machine's own, rebuild it";
    let alarms = status.iter().flat_map(|s| &s.alarms);
    alarms
        .map(|alarm| match alarm.contains(TOKEN_MISUSED) {
            true => Finding::fail("token", alarm.clone(), token),
            false => Finding::fail("hand-off", alarm.clone(), handoff),
        })
        .collect()
}

/// Whether the server runs.
pub(super) fn server(status: Option<&StatusView>) -> Finding {
    match status {
        Some(s) => match &s.stale {
            None => Finding::ok(
                "server",
                format!("process {} answers, revision {}", s.pid, s.revision),
            ),
            Some(stale) => Finding::warn(
                "server",
                format!(
                    "process {} refuses the files on disk since {}: revision {} stays in force",
                    s.pid, stale.since, s.revision
                ),
                "farrier check",
            ),
        },
        None => Finding::warn(
            "server",
            "none answers on the control socket",
            "farrier serve",
        ),
    }
}

/// Everything about the host.
pub(super) fn all(place: &Place, served: bool) -> Vec<Finding> {
    vec![
        rights(served),
        limits(),
        watches(),
        state(&place.state),
        space(&place.state),
        clock::judge(SystemTime::now(), &place.site, clock_synchronised()),
    ]
}

fn rights(served: bool) -> Finding {
    let what = "rights";
    if geteuid().is_root() {
        return Finding::ok(what, "root");
    }
    let missing: Vec<&str> = CAPABILITIES
        .iter()
        .filter(|(bit, _)| effective() >> bit & 1 == 0)
        .map(|(_, name)| *name)
        .collect();
    if missing.is_empty() {
        return Finding::ok(what, "not root, with the capabilities that are needed");
    }
    let message = format!("this user lacks {}", missing.join(", "));
    if served {
        return Finding::ok(what, format!("{message}; the server runs already"));
    }
    Finding::fail(
        what,
        message,
        "run `farrier serve` as root, or give its unit AmbientCapabilities for these",
    )
}

/// This process's effective capabilities.
fn effective() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hexadecimal| u64::from_str_radix(hexadecimal.trim(), 16).ok())
        .unwrap_or(0)
}

fn limits() -> Finding {
    let what = "limits";
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((_, hard)) if hard >= FILES => Finding::ok(what, format!("{hard} open files at most")),
        Ok((_, hard)) => Finding::warn(
            what,
            format!("only {hard} open files at most; 400 machines want {FILES}"),
            "set `LimitNOFILE=65536` in the unit, or `ulimit -Hn 65536`",
        ),
        Err(error) => Finding::warn(what, format!("cannot be read: {error}"), "ulimit -Hn"),
    }
}

/// A change is live when it is saved, if the kernel tells of it; else within seconds.
fn watches() -> Finding {
    let limit = |name: &str| -> Option<u64> {
        let path = format!("/proc/sys/fs/inotify/{name}");
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    judge_watches(limit("max_user_watches"), limit("max_user_instances"))
}

fn judge_watches(watches: Option<u64>, instances: Option<u64>) -> Finding {
    let what = "limits";
    let late = "then a change to the files is live after some seconds instead of at once";
    match (watches, instances) {
        (Some(watches), Some(instances)) if watches >= WATCHES && instances > 0 => Finding::ok(
            what,
            format!("{watches} inotify watches and {instances} instances for each user"),
        ),
        (Some(watches), Some(instances)) => Finding::warn(
            what,
            format!(
                "only {watches} inotify watches and {instances} instances for each user; {late}"
            ),
            format!("sysctl fs.inotify.max_user_watches={}", WATCHES * 32),
        ),
        _ => Finding::warn(
            what,
            format!("this kernel tells no inotify limits; without inotify, {late}"),
            "use a kernel with CONFIG_INOTIFY_USER",
        ),
    }
}

fn state(state: &Path) -> Finding {
    let what = "state";
    let shown = state.display();
    let near = existing(state);
    match access(near, AccessFlags::W_OK | AccessFlags::X_OK) {
        Ok(()) if near == state => Finding::ok(what, format!("`{shown}` is writable")),
        Ok(()) => Finding::ok(what, format!("`{shown}` can be made")),
        Err(error) => Finding::fail(
            what,
            format!("`{shown}` cannot be written: {error}"),
            format!(
                "run as its owner, or choose another with `--state DIR` (owner of `{}`)",
                near.display()
            ),
        ),
    }
}

/// The nearest directory that is there.
fn existing(path: &Path) -> &Path {
    path.ancestors()
        .find(|p| p.is_dir())
        .unwrap_or(Path::new("/"))
}

fn space(state: &Path) -> Finding {
    let what = "space";
    let near = existing(state);
    match statvfs(near) {
        Ok(found) => {
            let free = found.blocks_available() * found.fragment_size();
            let message = format!("{} free for `{}`", bytes(free), state.display());
            if free >= SPACE {
                Finding::ok(what, message)
            } else {
                Finding::warn(
                    what,
                    message,
                    format!(
                        "free {}; the mirror cache stops growing before the disk is full",
                        bytes(SPACE)
                    ),
                )
            }
        }
        Err(error) => Finding::warn(what, format!("cannot be read: {error}"), "df"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_state_that_is_not_there_yet_is_looked_for_above() {
        let dir = tempfile::tempdir().expect("a directory");
        let state_dir = dir.path().join("a/b");
        assert_eq!(existing(&state_dir), dir.path());
        assert_eq!(state(&state_dir).level, Level::Ok);
    }
    #[test]
    fn few_watches_are_worth_a_look() {
        assert_eq!(judge_watches(Some(8192), Some(128)).level, Level::Ok);
        assert_eq!(judge_watches(Some(8), Some(128)).level, Level::Warn);
        assert_eq!(judge_watches(Some(8192), Some(0)).level, Level::Warn);
        assert_eq!(judge_watches(None, None).level, Level::Warn);
    }
}
