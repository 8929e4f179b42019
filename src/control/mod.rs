//! The waist: two verbs.
//!
//! [`Control::ask`] reads the snapshot in memory, never waits, and may be repeated: a boot asks the
//! same question five times. [`Control::tell`] is the only way anything changes: one writer, ordered,
//! durable before it returns; then a new snapshot is published. Doors and people speak nothing else.

mod agents;
mod bootable;
mod bundles;
mod check;
mod counters;
mod discovered;
mod distros;
mod documents;
mod edit;
mod flag;
mod heard;
pub mod leases;
mod logs;
mod observed;
mod pin;
mod places;
mod preview;
mod recent;
mod replace;
pub(crate) mod revisions;
mod secrets;
mod select;
mod site;
mod snapshot;
mod stages;
mod start;
mod views;
mod way;
mod writer;

#[cfg(test)]
mod site_tests;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

pub use crate::artefacts::Renew;
pub use agents::TellReport;
pub use bootable::{Bootable, Next, not_here};
pub use counters::Counters;
pub use distros::in_use;
pub use documents::served_document;
pub use observed::{Observation, Observed};
pub use places::{Places, ServerAddress};
pub use snapshot::{Authorised, Snapshot};
pub use start::{Clock, OpenError, Options};
pub use views::event_view;
pub use writer::TellError;

pub(crate) use select::near;

use crate::artefacts::Shelf;
use crate::boot::token::fill;
use crate::boot::{Scope, TokenKey, decide};
use crate::lifecycle::StepError;
use crate::model::{
    Action, ArtefactIndex, Build, BuildKey, Decision, DhcpMode, Digest, Document, Door, Event,
    EventKind, Facts, Firmware, MacAddr, Name, Phase, Record, Site, Timestamp,
};
use crate::net;
use crate::store::{Bundles, Store};
use crate::vault::{Authority, Sealer, VaultError};
use writer::Command;

/// What came of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The build it concerned, as it is now.
    pub build: Build,
}

/// The waist of the house. Shared by every door.
pub struct Control {
    snapshot: Arc<ArcSwap<Snapshot>>,
    commands: mpsc::Sender<Command>,
    records: broadcast::Sender<Record>,
    revised: watch::Sender<Digest>,
    observed: Observed,
    leases: leases::Desk,
    places: ArcSwap<Places>,
    store: Store,
    bundles: Bundles,
    key: TokenKey,
    sealer: Sealer,
    authority: Authority,
    clock: Clock,
    files: site::Files,
    /// The state directory.
    state: std::path::PathBuf,
    shelf: Shelf,
    counters: Counters,
    heard: Arc<heard::Heard>,
    /// Held while a key is enrolled.
    enrolling: tokio::sync::Mutex<()>,
    discovered: Arc<discovered::Discovered>,
    /// Systems whose latest build in the store cannot be read.
    unreadable: Vec<Name>,
    started: Timestamp,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

impl Control {
    /// What this machine is told now, and why. In memory, never waits, changes nothing.
    pub fn ask(&self, facts: &Facts) -> Decision {
        let snapshot = self.snapshot.load();
        let mut decision = decide(facts, &snapshot.situation(facts.mac, self.clock()));
        if let Action::Boot(plan) = &mut decision.action {
            let filled = fill(plan.cmdline.as_bytes(), &self.key, &plan.build, false);
            plan.cmdline = String::from_utf8_lossy(&filled).into_owned();
            plan.way
                .fill(self.key.token(&plan.build, Scope::Read).reveal());
        }
        decision
    }

    /// Says that something happened. When this returns, it is durable and the new snapshot is out.
    ///
    /// # Errors
    /// [`TellError::Refused`] if the state of the build does not allow it (nothing changed), or
    /// [`TellError::Store`] if it could not be made durable (nothing changed either; try again).
    pub async fn tell(&self, event: Event) -> Result<Told, TellError> {
        let (done, wait) = oneshot::channel();
        self.commands
            .send(Command::Tell { event, done })
            .await
            .map_err(|_| TellError::Stopped)?;
        wait.await.map_err(|_| TellError::Stopped)?
    }

    /// A `tell` that nobody waits for, for what doors merely saw. Dropped when the writer is behind,
    /// and unless the system has a build under way; a token that somebody else has is noted after it
    /// too, for what it opens may be open still.
    pub fn note(&self, event: Event) {
        let alarming = matches!(event.kind, EventKind::TokenMisused { .. });
        let active = alarming
            || self
                .snapshot
                .load()
                .machines
                .get(&event.system)
                .is_some_and(|m| {
                    [&m.build, &m.once]
                        .into_iter()
                        .flatten()
                        .any(|b| b.phase.is_active())
                });
        if active && self.commands.try_send(Command::Note { event }).is_err() {
            tracing::warn!("an observation was dropped: the writer is behind");
        }
    }

    /// Remembers one step of a conversation for `farrier why`, in memory only.
    pub fn observe(&self, mac: MacAddr, door: Door, text: impl Into<String>) {
        let text: String = text.into();
        self.observed.add(mac, door, self.clock(), &text);
    }

    /// Remembers what the firmware behind this hardware address is, for rendering and `why`.
    pub fn seen_firmware(&self, mac: MacAddr, firmware: Firmware) {
        self.observed.set_firmware(mac, firmware);
    }

    /// What was lately seen of this hardware address, oldest first.
    pub fn observations(&self, mac: MacAddr) -> Vec<Observation> {
        self.observed.of(mac)
    }

    /// Who may use this token for this, at the present phase of its build. `None` covers every
    /// reason alike.
    pub fn authorise(&self, token: &str, scope: Scope) -> Option<Authorised> {
        self.snapshot.load().authorise(token, scope, self.clock())
    }

    /// The build or one-shot under way of the system with this interface.
    pub fn open_build(&self, mac: MacAddr) -> Option<BuildKey> {
        let snapshot = self.snapshot.load();
        let system = snapshot.site.by_mac.get(&mac)?;
        let build = snapshot.machines.get(&system.name)?.current()?;
        build.phase.is_active().then(|| build.key.clone())
    }

    /// A document of a build, as it was pinned; none of the hand-off's.
    pub fn document(&self, build: &BuildKey, name: &str) -> Option<Arc<Document>> {
        let snapshot = self.snapshot.load();
        let document = snapshot.pinned.get(build)?.documents.get(name)?;
        (!document.secret).then(|| document.clone())
    }

    /// Which hardware address holds this IP address now: by a lease or a reservation that was
    /// acknowledged, else by reservation. A lease that has ended is good for a machine whose build is
    /// under way, until the address is offered to another.
    ///
    /// Where another server hands out the addresses: the neighbour that answers there, if it is on
    /// one of this host's own networks; else by declaration, else by the build that is bound to it.
    pub fn holder(&self, ip: Ipv4Addr) -> Option<MacAddr> {
        let snapshot = self.snapshot.load();
        let site = &snapshot.site;
        let foreign = site.dhcp != DhcpMode::Full;
        if foreign && let Some(mac) = net::neighbour(ip) {
            return Some(mac);
        }
        // What was given before the address was reserved goes before that, as in DHCP; for an
        // installer that does not renew its lease, as Debian's, past the end of it.
        let installing = |mac: &MacAddr| {
            let system = site.by_mac.get(mac);
            let machine = system.and_then(|s| snapshot.machines.get(&s.name));
            let build = machine.and_then(|m| m.current());
            build.is_some_and(|b| b.phase.is_active() && b.phase != Phase::Armed)
        };
        let given = || {
            let held = self.leases.holder(ip, self.clock());
            held.or_else(|| self.leases.last_holder(ip).filter(installing))
        };
        if !foreign && let Some(mac) = given() {
            return Some(mac);
        }
        if let Some(system) = site.by_ip.get(&ip) {
            return system
                .interfaces
                .iter()
                .find(|i| i.ip == Some(ip))
                .map(|i| i.mac);
        }
        if !foreign {
            return None;
        }
        let system = site.systems.get(snapshot.bound_to(ip)?)?;
        system.first().map(|i| i.mac)
    }

    /// The address that a system's build is bound to, where another server hands them out.
    pub fn bound(&self, system: &Name) -> Option<Ipv4Addr> {
        self.snapshot
            .load()
            .machines
            .get(system)?
            .current()?
            .address
    }

    /// The desk that leases addresses.
    pub fn leases(&self) -> &leases::Desk {
        &self.leases
    }

    /// The present snapshot, for readers that need several things of one moment.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The site in force.
    pub fn site(&self) -> Arc<Site> {
        self.snapshot.load().site.clone()
    }

    /// The boot artefacts present.
    pub fn artefacts(&self) -> Arc<ArtefactIndex> {
        self.snapshot.load().artefacts.clone()
    }

    /// The key that tokens are derived from.
    pub fn key(&self) -> &TokenKey {
        &self.key
    }

    /// The present time.
    pub fn clock(&self) -> Timestamp {
        (self.clock)()
    }

    /// Where machines reach this server.
    pub fn places(&self) -> Arc<Places> {
        self.places.load_full()
    }

    /// How the server speaks TLS now: with a certificate for every address that a machine may reach
    /// it at. Asked for each connection, so that a renewed one needs no restart.
    ///
    /// # Errors
    /// If no certificate can be made.
    pub fn tls(&self) -> Result<Arc<rustls::ServerConfig>, VaultError> {
        let addresses = self.places().all(&self.site());
        self.authority.server(&addresses, self.clock())
    }

    /// Sets where machines reach this server, once sockets are bound.
    pub fn set_places(&self, places: Places) {
        self.places.store(Arc::new(places));
    }

    /// Everything recorded from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Record> {
        self.records.subscribe()
    }

    /// Hears of each revision of the site that comes into force.
    pub fn revised(&self) -> watch::Receiver<Digest> {
        self.revised.subscribe()
    }

    /// Counters that doors add to.
    pub fn tally(&self) -> &Counters {
        &self.counters
    }

    /// Since when this server runs.
    pub fn started(&self) -> Timestamp {
        self.started
    }
}

impl From<StepError> for TellError {
    fn from(refusal: StepError) -> Self {
        TellError::Refused(refusal)
    }
}
