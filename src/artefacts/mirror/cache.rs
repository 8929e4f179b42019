//! The cache: from a path to a file, whole or still growing.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::{Duration, SystemTime};

use reqwest::{Method, StatusCode};
use tokio::sync::watch;

use super::budget::Budget;
use super::entry::{self, Entry};
use super::fetch;
use super::flight::{Growing, State, Transfer};
use super::path::{Class, MirrorPath};
use super::sources::AptHost;
use super::turns::Admission;
use super::upstream::Upstream;
use crate::artefacts::{ArtefactError, disk};
use crate::model::Mirror;

/// The mirrors that need no declaration: this host's own apt sources say where they are.
const USUAL: [&str; 2] = ["debian", "debian-security"];

/// What bounds the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes on disk before the least recently asked for go.
    pub budget: u64,
    /// Bytes of disk that are left free.
    pub reserve: u64,
    /// Bytes of one file.
    pub largest: u64,
    /// How long a repository's head (`InRelease`, `repomd.xml`) is believed without asking.
    pub head: Duration,
    /// How long another file that may change is believed, while its repository's head does not.
    pub index: Duration,
    /// How many ask an upstream at once, and how many wait for it.
    pub admission: Admission,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            budget: 100 << 30,
            reserve: 1 << 30,
            largest: 32 << 30,
            head: Duration::from_secs(5),
            index: Duration::from_secs(300),
            admission: Admission::default(),
        }
    }
}

/// A file of a mirror.
#[derive(Debug)]
pub enum Found {
    /// All of it is here.
    File {
        /// Its content begins at byte 0 and ends at `size`; what lies behind is the cache's own.
        file: File,
        /// Bytes of content.
        size: u64,
        /// Strong entity tag, quotes included.
        etag: Option<String>,
        /// As the upstream said it.
        last_modified: Option<String>,
        /// As the upstream said it.
        content_type: Option<String>,
    },
    /// It is coming in.
    Growing {
        /// Its bytes from the first on; none if only the head was asked for.
        bytes: Growing,
        /// How many, if the upstream said so.
        size: Option<u64>,
        /// As the upstream said it.
        last_modified: Option<String>,
        /// As the upstream said it.
        content_type: Option<String>,
    },
}

/// Why there is no file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// No such mirror, no such path, or the upstream has no such file.
    #[error("there is no such file")]
    NotFound,
    /// Too many wait already for their turn to ask the upstream; ask again in a few seconds.
    #[error("too many requests wait for the upstream")]
    Busy,
    /// The upstream could not be asked, and there is no copy here.
    #[error("the upstream could not be asked: {0}")]
    Upstream(String),
}

/// What the cache did since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files served from disk without asking upstream.
    pub kept: u64,
    /// Files asked for upstream, new or to see whether they changed.
    pub asked: u64,
    /// Bytes taken in from upstream.
    pub taken: u64,
    /// Requests that were refused because too many waited.
    pub refused: u64,
}

/// Pull-through caches of all mirrors of a site. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) dir: PathBuf,
    pub(super) limits: Limits,
    pub(super) budget: Arc<Budget>,
    mirrors: RwLock<HashMap<String, Result<Arc<Upstream>, String>>>,
    flights: Mutex<HashMap<PathBuf, watch::Receiver<State>>>,
    /// When the head of a repository was last seen to change.
    changed: Mutex<HashMap<String, SystemTime>>,
    opened: SystemTime,
    counts: Mutex<Counts>,
}

impl Cache {
    /// Opens the cache below a server's state directory. Mirrors `debian` and `debian-security`
    /// are there without being declared. Runs `apt-config` once.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn open(
        state: &Path,
        mirrors: &BTreeMap<String, Mirror>,
        limits: Limits,
    ) -> Result<Cache, ArtefactError> {
        let dir = state.join("mirror");
        let temp = dir.join("tmp");
        // what a killed server left half done
        if temp.exists() {
            std::fs::remove_dir_all(&temp).map_err(ArtefactError::file("empty", &temp))?;
        }
        disk::directory(&temp)?;
        let inner = Inner {
            budget: Arc::new(Budget::new(limits.budget, limits.reserve)),
            limits,
            dir,
            mirrors: RwLock::default(),
            flights: Mutex::default(),
            changed: Mutex::default(),
            opened: SystemTime::now(),
            counts: Mutex::default(),
        };
        let cache = Cache {
            inner: Arc::new(inner),
        };
        cache.declare(mirrors);
        Ok(cache)
    }

    /// Takes over what a new revision of the site declares. A mirror that did not change keeps its
    /// connections; one that cannot be used says so in the log and to those who ask for it.
    pub fn declare(&self, mirrors: &BTreeMap<String, Mirror>) {
        let host = AptHost::read();
        let mut all = mirrors.clone();
        for name in USUAL {
            let own = || Mirror {
                upstream: None,
                socket: None,
            };
            all.entry(name.to_string()).or_insert_with(own);
        }
        let Ok(mut current) = self.inner.mirrors.write() else {
            return;
        };
        let mut next = HashMap::new();
        for (name, declared) in all {
            let same = |u: &Arc<Upstream>| u.declared == declared;
            let upstream = match current.remove(&name) {
                Some(Ok(upstream)) if same(&upstream) => Ok(upstream),
                _ => Upstream::new(&name, &declared, &host, self.inner.limits.admission)
                    .map(Arc::new),
            };
            match &upstream {
                Ok(upstream) => tracing::debug!(mirror = name, upstream.base, "mirror"),
                Err(why) => tracing::error!(mirror = name, why, "mirror cannot be used"),
            }
            next.insert(name, upstream);
        }
        *current = next;
    }

    /// Where a mirror is fetched from.
    pub fn upstream(&self, mirror: &str) -> Option<String> {
        let mirrors = self.inner.mirrors.read().ok()?;
        Some(mirrors.get(mirror)?.as_ref().ok()?.base.clone())
    }

    /// Finds a file of a mirror, fetching it if need be. `path` is what stands in the URL after the
    /// mirror's name, still percent-encoded. With `head`, nothing is fetched for its content. The
    /// client waits for its turn among all that ask the upstream.
    ///
    /// # Errors
    /// There is no such file, or it cannot be had now.
    pub async fn get(
        &self,
        client: IpAddr,
        mirror: &str,
        path: &str,
        head: bool,
    ) -> Result<Found, Missing> {
        let upstream = {
            let mirrors = self.inner.mirrors.read();
            let known = mirrors.ok().and_then(|m| m.get(mirror).cloned());
            known.ok_or(Missing::NotFound)?.map_err(Missing::Upstream)?
        };
        let path = MirrorPath::parse(path).ok_or(Missing::NotFound)?;
        let at = entry::place(&self.inner.dir, &upstream.base, &path);
        let entry = open(&at).await;
        if let Some(entry) = &entry
            && self.inner.fresh(&upstream, &path, entry)
        {
            self.inner.count(|c| c.kept += 1);
            return whole(entry);
        }
        let mut flight = match (self.inner.flying(&at), head) {
            (Some(flight), _) => flight,
            (None, true) => return self.look(client, &upstream, &path, entry.as_ref()).await,
            (None, false) => self.board(client, upstream, path, at),
        };
        let asked = flight.wait_for(|s| !matches!(s, State::Asking)).await;
        let state = asked.map(|s| s.clone());
        let lost = |_| Missing::Upstream("the transfer was given up".to_string());
        match state.map_err(lost)? {
            State::Here(entry) => whole(&entry),
            State::Growing(transfer) => Ok(growing(&transfer, flight)),
            State::Busy => Err(self.refuse()),
            State::Failed(why) => Err(Missing::Upstream(why)),
            State::Absent | State::Asking => Err(Missing::NotFound),
        }
    }

    fn refuse(&self) -> Missing {
        self.inner.count(|c| c.refused += 1);
        Missing::Busy
    }

    /// Asks upstream for the head of a file of which there is no fresh copy here. Where the file itself
    /// would be served of an old copy, so is its head.
    async fn look(
        &self,
        client: IpAddr,
        upstream: &Upstream,
        path: &MirrorPath,
        old: Option<&Entry>,
    ) -> Result<Found, Missing> {
        if let Some(old) = old.filter(|_| upstream.is_down()) {
            return whole(old);
        }
        let Ok(_turn) = upstream.turns.take(client).await else {
            return old.map_or_else(|| Err(self.refuse()), whole);
        };
        let or_old = |why| old.map_or(Err(Missing::Upstream(why)), whole);
        let response = match upstream.ask(Method::HEAD, path, None).await {
            Ok(response) => response,
            Err(why) => return or_old(why),
        };
        match response.status() {
            StatusCode::OK => {
                let head = fetch::head(upstream.url(path), response.headers());
                Ok(Found::Growing {
                    bytes: Growing::nothing(),
                    size: head.length,
                    last_modified: head.last_modified,
                    content_type: head.content_type,
                })
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(Missing::NotFound),
            // as for the file itself, it leads to a listing
            status if status.is_redirection() => Err(Missing::NotFound),
            status => or_old(format!("it answers {status}")),
        }
    }

    /// What it did so far.
    pub fn counts(&self) -> Counts {
        let mut now = Counts::default();
        self.inner.count(|c| now = *c);
        now
    }

    /// How many requests wait for their turn to ask an upstream.
    pub fn waiting(&self) -> usize {
        let Ok(mirrors) = self.inner.mirrors.read() else {
            return 0;
        };
        let usable = mirrors.values().flatten();
        usable.map(|upstream| upstream.turns.waiting()).sum()
    }

    /// Waits until no transfer is under way: what readers have seen the end of is kept then.
    pub async fn rest(&self) {
        loop {
            let flying = self.inner.flights().values().next().cloned();
            let Some(mut flight) = flying else { return };
            // an error means that the flight is over
            while flight.changed().await.is_ok() {}
            tokio::task::yield_now().await;
        }
    }

    /// Joins the flight for this file, or starts it. It goes on when its readers leave: the next
    /// one will want the file too.
    fn board(
        &self,
        client: IpAddr,
        upstream: Arc<Upstream>,
        path: MirrorPath,
        at: PathBuf,
    ) -> watch::Receiver<State> {
        let mut flights = self.inner.flights();
        if let Some(flight) = flights.get(&at) {
            return flight.clone();
        }
        let (state, flight) = watch::channel(State::Asking);
        flights.insert(at.clone(), flight.clone());
        drop(flights);
        let landing = Landing {
            inner: self.inner.clone(),
            at,
        };
        tokio::spawn(async move {
            fetch::fly(
                &landing.inner,
                client,
                &upstream,
                &path,
                &landing.at,
                &state,
            )
            .await;
        });
        flight
    }
}

/// Takes a flight off the list when it ended, however it did.
struct Landing {
    inner: Arc<Inner>,
    at: PathBuf,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.inner.flights().remove(&self.at);
    }
}

impl Inner {
    fn flights(&self) -> MutexGuard<'_, HashMap<PathBuf, watch::Receiver<State>>> {
        // the list is right whatever panicked around it
        self.flights.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(super) fn count(&self, note: impl FnOnce(&mut Counts)) {
        if let Ok(mut counts) = self.counts.lock() {
            note(&mut counts);
        }
    }

    fn flying(&self, at: &Path) -> Option<watch::Receiver<State>> {
        self.flights().get(at).cloned()
    }

    /// Whether an entry may be served without asking upstream.
    pub(super) fn fresh(&self, upstream: &Upstream, path: &MirrorPath, entry: &Entry) -> bool {
        let within = |limit: Duration| {
            let age = SystemTime::now().duration_since(entry.validated);
            age.is_ok_and(|age| age < limit)
        };
        match path.class() {
            Class::Immutable => true,
            Class::Head => within(self.limits.head),
            Class::Index => {
                let key = repository(upstream, path);
                let changed = self.changed.lock().ok();
                let changed = changed.and_then(|c| c.get(&key).copied());
                // what changed while no one looked is not known
                within(self.limits.index) && entry.validated >= changed.unwrap_or(self.opened)
            }
        }
    }

    /// Notes that the head of a repository changed: its indices must be asked for again.
    pub(super) fn changed(&self, upstream: &Upstream, path: &MirrorPath) {
        if let Ok(mut changed) = self.changed.lock() {
            changed.insert(repository(upstream, path), SystemTime::now());
        }
    }
}

fn repository(upstream: &Upstream, path: &MirrorPath) -> String {
    format!(
        "{}\n{}",
        upstream.base,
        path.repository().unwrap_or_default()
    )
}

/// Opens an entry on a thread that may block.
pub(super) async fn open(at: &Path) -> Option<Entry> {
    let at = at.to_path_buf();
    let opened = tokio::task::spawn_blocking(move || Entry::open(&at));
    opened.await.ok().flatten()
}

fn whole(entry: &Entry) -> Result<Found, Missing> {
    let file = entry.file.try_clone();
    Ok(Found::File {
        file: file.map_err(|e| Missing::Upstream(format!("the copy here cannot be read: {e}")))?,
        size: entry.length,
        etag: entry.head.digest.map(|d| format!("\"{d}\"")),
        last_modified: entry.head.last_modified.clone(),
        content_type: entry.head.content_type.clone(),
    })
}

fn growing(transfer: &Transfer, flight: watch::Receiver<State>) -> Found {
    Found::Growing {
        size: transfer.head.length,
        last_modified: transfer.head.last_modified.clone(),
        content_type: transfer.head.content_type.clone(),
        bytes: Growing::follow(flight),
    }
}
