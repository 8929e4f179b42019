//! Nothing stays behind: not after a drop, a panic, a signal, or a process that was killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use super::process::run;

/// What namespaces and directories of racks are called: this, the process number, a counter.
const PREFIX: &str = "farrier-rack";

/// What exists now and must not stay.
static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());
static WATCH: OnceLock<()> = OnceLock::new();
static SAY: Mutex<Option<fn()>> = Mutex::new(None);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kept {
    Namespace(String),
    Directory(PathBuf),
}

/// What to say when a signal ends the process, before it cleans up.
pub fn on_interrupt(say: fn()) {
    if let Ok(mut slot) = SAY.lock() {
        *slot = Some(say);
    }
}

/// A name that no other rack on this host has.
pub(super) fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{PREFIX}-{}-{count}", std::process::id())
}

/// Where racks keep disks and logs: `$FARRIER_RACK_DIR`, else `/var/tmp`, which is on a disk.
pub(super) fn base() -> PathBuf {
    std::env::var_os("FARRIER_RACK_DIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from)
}

pub(super) fn keep_namespace(name: &str) {
    keep(Kept::Namespace(name.to_string()));
}

pub(super) fn keep_directory(path: &Path) {
    keep(Kept::Directory(path.to_path_buf()));
}

fn keep(item: Kept) {
    // The first thing that could be left behind is the time to look after what others left.
    WATCH.get_or_init(|| {
        sweep();
        watch();
    });
    if let Ok(mut kept) = KEPT.lock() {
        kept.push(item);
    }
}

/// Removes a namespace and everything that runs in it.
pub(super) fn drop_namespace(name: &str) {
    forget(&Kept::Namespace(name.to_string()));
    remove_namespace(name);
}

/// Removes a directory.
pub(super) fn drop_directory(path: &Path) {
    forget(&Kept::Directory(path.to_path_buf()));
    let _ = fs::remove_dir_all(path);
}

/// Leaves a directory where it is, for a person to look into.
pub(super) fn leave_directory(path: &Path) {
    forget(&Kept::Directory(path.to_path_buf()));
}

fn forget(item: &Kept) {
    if let Ok(mut kept) = KEPT.lock() {
        kept.retain(|k| k != item);
    }
}

fn remove_namespace(name: &str) {
    if let Ok(out) = run(Command::new("ip").args(["netns", "pids", name])) {
        for pid in out.stdout.split_whitespace().filter_map(|p| p.parse().ok()) {
            let pid = nix::unistd::Pid::from_raw(pid);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    }
    let _ = run(Command::new("ip").args(["netns", "del", name]));
}

/// The process that a leftover belonged to, if that is what the name says.
fn owner(name: &str) -> Option<i32> {
    let rest = name.strip_prefix(PREFIX)?.strip_prefix('-')?;
    rest.split('-').next()?.parse().ok()
}

/// Removes what processes left that are no more.
fn sweep() {
    let dead =
        |name: &str| owner(name).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists());
    if let Ok(out) = run(Command::new("ip").args(["netns", "list"])) {
        for line in out.stdout.lines() {
            let name = line.split_whitespace().next().unwrap_or("");
            if dead(name) {
                remove_namespace(name);
            }
        }
    }
    let Ok(entries) = fs::read_dir(base()) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(dead) && !entry.path().join("keep").exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Ends the process tidily on Ctrl-C, SIGTERM or a closed terminal.
fn watch() {
    std::thread::spawn(|| {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        else {
            return;
        };
        let code = runtime.block_on(signalled());
        if let Some(say) = SAY.lock().ok().and_then(|s| *s) {
            say();
        }
        // Held until the end: whoever wants to report that its server went away waits here.
        let Ok(kept) = KEPT.lock() else {
            std::process::exit(code);
        };
        for item in kept.iter().rev() {
            match item {
                Kept::Namespace(name) => remove_namespace(name),
                Kept::Directory(path) => {
                    let _ = fs::remove_dir_all(path);
                }
            }
        }
        std::process::exit(code);
    });
}

async fn signalled() -> i32 {
    use tokio::signal::unix::{SignalKind, signal};
    let kinds = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
        signal(SignalKind::hangup()),
    );
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = kinds else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
        _ = hangup.recv() => 129,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_have_an_owner() {
        assert_eq!(owner("farrier-rack-42-0"), Some(42));
        assert_eq!(owner("farrier-rack-42-0-relay"), Some(42));
        assert_eq!(owner("farrier-rack-x-0"), None);
        assert_eq!(owner("other-42-0"), None);
        assert_eq!(owner(&unique()), i32::try_from(std::process::id()).ok());
    }
}
