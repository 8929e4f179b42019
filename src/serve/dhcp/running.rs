//! Starting and stopping the door.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::check::{self, Parked};
use super::commit::{self, UnderWay};
use super::door::Door;
use super::gate::Gate;
use crate::control::Control;
use crate::model::DhcpMode;
use crate::net::{DhcpSocket, Prober};

/// How long a door that is being shut waits for pings and for the store.
const PATIENCE: Duration = Duration::from_millis(250);

/// What all threads of the door share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) control: Arc<Control>,
    pub(super) counters: Counted,
    pub(super) gate: Gate,
    pub(super) stop: AtomicBool,
    pub(super) under_way: UnderWay,
    /// Whether the store is waited for no longer.
    pub(super) given_up: watch::Sender<bool>,
    prober: Mutex<Option<Arc<Prober<Parked>>>>,
}

impl Shared {
    /// The prober, until the door is shut.
    pub(super) fn prober(&self) -> Option<Arc<Prober<Parked>>> {
        self.prober
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The door's counters.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) received: Arc<AtomicU64>,
    pub(super) malformed: Arc<AtomicU64>,
    pub(super) silent: Arc<AtomicU64>,
    pub(super) replied: Arc<AtomicU64>,
    pub(super) unsent: Arc<AtomicU64>,
    pub(super) checks: Arc<AtomicU64>,
    pub(super) unchecked: Arc<AtomicU64>,
    pub(super) conflicts: Arc<AtomicU64>,
    pub(super) uncommitted: Arc<AtomicU64>,
    pub(super) panics: Arc<AtomicU64>,
}

impl Counted {
    fn of(control: &Control) -> Counted {
        let get = |name: &str| control.tally().get(name);
        Counted {
            received: get("dhcp.received"),
            malformed: get("dhcp.malformed"),
            silent: get("dhcp.silent"),
            replied: get("dhcp.replied"),
            unsent: get("dhcp.unsent"),
            checks: get("dhcp.checks"),
            unchecked: get("dhcp.unchecked"),
            conflicts: get("dhcp.conflicts"),
            uncommitted: get("dhcp.uncommitted"),
            panics: get("dhcp.panics"),
        }
    }
}

/// An open door. Shut by [`Running::stop`], or when dropped.
#[derive(Debug)]
pub struct Running {
    doors: Vec<String>,
    shared: Arc<Shared>,
    readers: Vec<JoinHandle<()>>,
    others: Vec<JoinHandle<()>>,
}

/// Serves these sockets, each in a thread of its own, until stopped.
///
/// # Errors
/// If there are no threads to be had.
pub fn start(control: &Arc<Control>, sockets: Vec<DhcpSocket>) -> io::Result<Running> {
    let shared = Arc::new(Shared {
        control: control.clone(),
        counters: Counted::of(control),
        gate: Gate::new(),
        stop: AtomicBool::new(false),
        under_way: UnderWay::default(),
        given_up: watch::Sender::new(false),
        prober: Mutex::new(None),
    });
    let mut running = Running {
        doors: Vec::new(),
        shared: shared.clone(),
        readers: Vec::new(),
        others: Vec::new(),
    };
    let (prober, thread) = Prober::start(check::MOST, check::PATIENCE, check::answered)?;
    running.others.push(thread);
    *shared.prober.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(prober));
    let (groups, received) = sync_channel(commit::MOST);
    let committer = shared.clone();
    let committing = thread::Builder::new()
        .name("dhcp-commit".to_string())
        .spawn(move || commit::run(&committer, &received))?;
    running.others.push(committing);
    let mode = control.site().dhcp;
    for socket in sockets {
        let word = word(&socket, mode);
        let name = format!("dhcp-{}", socket.interface().name);
        let door = Door::new(shared.clone(), socket, groups.clone());
        let reader = thread::Builder::new()
            .name(name)
            .spawn(move || door.run())?;
        running.readers.push(reader);
        control.tally().door_opened(word.clone());
        running.doors.push(word);
    }
    Ok(running)
}

impl Running {
    /// The open doors in the words of `status`: `dhcp eth1 10.77.0.1:67 (full)`.
    pub fn doors(&self) -> &[String] {
        &self.doors
    }

    /// Shuts the door: answers under way are sent, nothing new is read. Blocks for up to half a
    /// second: a store that hangs is not waited for, and what it was to keep is not given.
    pub fn stop(mut self) {
        self.shut();
    }

    fn shut(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let end = |thread: JoinHandle<()>| {
            if thread.join().is_err() {
                tracing::error!("a thread of the DHCP door had panicked");
            }
        };
        self.readers.drain(..).for_each(end);
        for door in self.doors.drain(..) {
            self.shared.control.tally().door_shut(&door);
        }
        // With the readers gone the prober's and the committer's channels close behind them.
        let prober = self
            .shared
            .prober
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(prober);
        let until = Instant::now() + PATIENCE;
        while self.others.iter().any(|t| !t.is_finished()) && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        self.shared.given_up.send_replace(true);
        self.others.drain(..).for_each(end);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shut();
    }
}

fn word(socket: &DhcpSocket, mode: DhcpMode) -> String {
    let interface = socket.interface();
    let ip = interface.ip().map(|ip| ip.to_string()).unwrap_or_default();
    let mode = match mode {
        DhcpMode::Full => "full",
        DhcpMode::Proxy => "proxy",
        DhcpMode::Off => "off",
    };
    format!("dhcp {} {ip}:{} ({mode})", interface.name, socket.port())
}
