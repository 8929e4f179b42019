//! How the waist comes up: the store is opened, what is known is read, the writer starts.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{broadcast, mpsc, watch};

use super::discovered::Discovered;
use super::heard::Heard;
use super::leases::Desk;
use super::recent::Recent;
use super::snapshot::Snapshot;
use super::writer::{Command, Writer};
use super::{Control, Observed, Places, site};
use crate::artefacts::Shelf;
use crate::boot::TokenKey;
use crate::model::{Build, Event, EventKind, Phase, SecretName, Site, Timestamp};
use crate::store::{self, Bundles, SecretRow, StoreError, Witness};
use crate::vault::{self, Authority, Sealer, VaultError};

/// Tells the time. Only the edge of the program reads the machine's clock; tests pass their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What the waist needs to come up.
pub struct Options {
    /// The directory of the site's files.
    pub site: PathBuf,
    /// The directory of the database, the keys, artefacts and the socket.
    pub state: PathBuf,
    /// Tells the time.
    pub clock: Clock,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("site", &self.site)
            .field("state", &self.state)
            .finish()
    }
}

/// Why the waist did not come up.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The state directory cannot be used.
    #[error(
        "the state directory `{path}` cannot be used; make it writable or choose another with `--state`"
    )]
    State {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A key cannot be used.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Control {
    /// Opens the state directory and starts the writer. The site is still empty: `reload` loads it.
    ///
    /// # Errors
    /// If the state directory, the key or the database cannot be used.
    pub async fn open(options: Options) -> Result<Arc<Control>, OpenError> {
        let state = |source| OpenError::State {
            path: options.state.clone(),
            source,
        };
        store::home(&options.state).map_err(state)?;
        let key = TokenKey::new(vault::token_key(&options.state)?);
        let sealer = Sealer::open(&options.state)?;
        let authority = Authority::open(&options.state)?;
        let (store, writer) = store::open(&options.state.join("farrier.db")).await?;
        let mut known = store.known().await?;
        let (witness, last) = Witness::open(&options.state);
        let is_old = last.is_some_and(|last| last > known.last_event);
        let mut early = Vec::new();
        known
            .secrets
            .retain(|name, row| readable(&sealer, name, row));
        let now = (options.clock)();

        let artefacts = Shelf::open(&options.state).index();
        let mut snapshot = Snapshot::new(Arc::new(Site::default()), Arc::new(artefacts));
        let mut due = HashMap::new();
        for machine in known.machines {
            for build in [&machine.build, &machine.once].into_iter().flatten() {
                if let (true, Some(at)) = (build.phase.is_active(), build.deadline) {
                    due.insert(build.key.clone(), at);
                }
                if is_old
                    && matches!(
                        build.phase,
                        Phase::Armed | Phase::Booting | Phase::Installing
                    )
                {
                    early.push(called_off(build));
                }
            }
            snapshot.put(machine, &key);
        }
        for (build, pinned) in known.pins {
            snapshot.pin(build, pinned);
        }
        snapshot.secrets = Arc::new(known.secrets);

        let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
        let (commands, received) = mpsc::channel(4096);
        let (records, _) = broadcast::channel(4096);
        let heard = Arc::new(Heard::default());
        let discovered = Arc::new(Discovered::new(store.discovered().await?));
        let bundles = Bundles::open(&options.state);
        let writer = Writer {
            bundles: bundles.clone(),
            heard: heard.clone(),
            discovered: discovered.clone(),
            recent: Recent::default(),
            tidied: None,
            tidying: None,
            commands: received,
            store: writer,
            published: snapshot.clone(),
            records: records.clone(),
            key: key.clone(),
            clock: options.clock.clone(),
            last_event: known.last_event,
            witness,
            due,
        };
        tokio::spawn(writer.run());
        if is_old {
            tracing::warn!(
                builds = early.len(),
                "the database is older than what this server wrote last, as after a restore: every build that was flagged or installing in it is called off, for its machine may be in use by now"
            );
        }
        // Before there is a site, so that no machine is answered earlier.
        for event in early {
            let _never_gone = commands.send(Command::Note { event }).await;
        }
        Ok(Arc::new(Control {
            snapshot,
            commands,
            records,
            revised: watch::Sender::new(Site::default().revision),
            observed: Observed::default(),
            leases: Desk::new(known.leases),
            places: ArcSwap::from_pointee(Places::default()),
            store,
            bundles,
            key,
            sealer,
            authority,
            clock: options.clock,
            shelf: Shelf::open(&options.state),
            files: site::Files::new(options.site),
            state: options.state,
            counters: super::Counters::default(),
            heard,
            enrolling: tokio::sync::Mutex::default(),
            discovered,
            unreadable: known.unreadable,
            started: now,
        }))
    }
}

/// Whether a secret can be opened with the key that is here. One that cannot is not set: else machines
/// would be installed, and their hand-offs fail.
fn readable(sealer: &Sealer, name: &SecretName, row: &SecretRow) -> bool {
    match sealer.open_sealed(name, &row.sealed) {
        Ok(_) => true,
        Err(error) => {
            tracing::error!(%error, "a secret is not set, for it was sealed with another `secrets.key`");
            false
        }
    }
}

/// A database that is an old copy does not know what its builds have become. What was flagged in it may
/// be in production.
fn called_off(build: &Build) -> Event {
    Event {
        system: build.key.system.clone(),
        epoch: Some(build.key.epoch),
        kind: EventKind::Cancelled {
            actor: "the server: its database is an old copy".to_string(),
        },
    }
}
