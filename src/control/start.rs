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
use super::writer::Writer;
use super::{Control, Observed, Places, site};
use crate::artefacts::Shelf;
use crate::boot::TokenKey;
use crate::model::{Site, Timestamp};
use crate::store::{self, Bundles, StoreError};
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
        let known = store.known().await?;
        let now = (options.clock)();

        let artefacts = Shelf::open(&options.state).index();
        let mut snapshot = Snapshot::new(Arc::new(Site::default()), Arc::new(artefacts));
        let mut due = HashMap::new();
        for machine in known.machines {
            for build in [&machine.build, &machine.once].into_iter().flatten() {
                if let (true, Some(at)) = (build.phase.is_active(), build.deadline) {
                    due.insert(build.key.clone(), at);
                }
            }
            snapshot.put(machine, &key);
        }
        snapshot.pinned.extend(known.pins);
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
            commands: received,
            store: writer,
            published: snapshot.clone(),
            records: records.clone(),
            key: key.clone(),
            clock: options.clock.clone(),
            last_event: known.last_event,
            due,
        };
        tokio::spawn(writer.run());
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
