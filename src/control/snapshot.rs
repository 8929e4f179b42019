//! The immutable picture that decisions read; swapped whole.

use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::boot::{Scope, Situation, TokenHash, TokenKey};
use crate::lifecycle::scope_open;
use crate::model::{
    ArtefactIndex, Build, BuildKey, MacAddr, Machine, Name, Phase, Pinned, Site, System, Timestamp,
    UnknownAction,
};
use crate::store::Secrets;

/// Everything that answering needs, at one moment. Cheap to copy: the dynamic half is persistent
/// maps.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// What was declared.
    pub site: Arc<Site>,
    /// Which boot artefacts are here.
    pub artefacts: Arc<ArtefactIndex>,
    /// What is known of the systems that were ever flagged.
    pub machines: imbl::HashMap<Name, Arc<Machine>>,
    /// What their latest builds pinned; of those that are ready and on their own
    /// disk without what the installer asked for.
    pub pinned: imbl::HashMap<BuildKey, Arc<Pinned>>,
    /// Secrets, sealed.
    pub(super) secrets: Arc<Secrets>,
    tokens: imbl::HashMap<TokenHash, (BuildKey, Scope)>,
    bound: imbl::HashMap<Ipv4Addr, Name>,
}

/// The holder of a good token.
#[derive(Debug, Clone)]
pub struct Authorised {
    /// The build, as it is now.
    pub build: Build,
    /// What it pinned.
    pub pinned: Arc<Pinned>,
    /// The system as declared now; gone if it was removed meanwhile.
    pub system: Option<Arc<System>>,
}

impl Snapshot {
    pub(super) fn new(site: Arc<Site>, artefacts: Arc<ArtefactIndex>) -> Self {
        Snapshot {
            site,
            artefacts,
            machines: imbl::HashMap::new(),
            pinned: imbl::HashMap::new(),
            secrets: Arc::default(),
            tokens: imbl::HashMap::new(),
            bound: imbl::HashMap::new(),
        }
    }

    /// What is known when this interface asks.
    pub fn situation(&self, mac: MacAddr, now: Timestamp) -> Situation<'_> {
        let system = self.site.by_mac.get(&mac);
        let machine = system.and_then(|s| self.machines.get(&s.name));
        let pinned = |build: Option<&Build>| build.and_then(|b| self.pinned.get(&b.key));
        Situation {
            system: system.map(Arc::as_ref),
            machine: machine.map(Arc::as_ref),
            pinned: pinned(machine.and_then(|m| m.build.as_ref())).map(Arc::as_ref),
            once_pinned: pinned(machine.and_then(|m| m.once.as_ref())).map(Arc::as_ref),
            artefacts: &self.artefacts,
            frozen: self.site.frozen.as_deref(),
            ignore_unknown: self.site.unknown == UnknownAction::Ignore,
            now,
        }
    }

    /// Looks a token up by its digest and checks scope and phase.
    pub fn authorise(&self, token: &str, scope: Scope, now: Timestamp) -> Option<Authorised> {
        let (key, granted) = self.tokens.get(&TokenHash::of(token))?;
        let build = self.machines.get(&key.system)?.with_epoch(key.epoch)?;
        if *granted != scope || !scope_open(build, scope, now) {
            return None;
        }
        Some(Authorised {
            build: build.clone(),
            pinned: self.pinned.get(key)?.clone(),
            system: self.site.systems.get(&key.system).cloned(),
        })
    }

    /// Which system's build is bound to this address.
    pub(super) fn bound_to(&self, ip: Ipv4Addr) -> Option<&Name> {
        self.bound.get(&ip)
    }

    /// Puts a machine in, with the tokens of its builds; those of the machine it replaces go.
    pub(super) fn put(&mut self, machine: Machine, key: &TokenKey) {
        let keys = |m: &Machine| -> Vec<BuildKey> { builds(m).map(|b| b.key.clone()).collect() };
        let before = self
            .machines
            .get(&machine.name)
            .map(|m| keys(m))
            .unwrap_or_default();
        let after = keys(&machine);
        for gone in before.iter().filter(|k| !after.contains(k)) {
            self.pinned.remove(gone);
            for scope in Scope::ALL {
                self.tokens.remove(&key.token(gone, scope).hash());
            }
        }
        for new in after.iter().filter(|k| !before.contains(k)) {
            for scope in Scope::ALL {
                self.tokens
                    .insert(key.token(new, scope).hash(), (new.clone(), scope));
            }
        }
        let address = |m: &Machine| m.current().and_then(|b| b.address);
        let was = self.machines.get(&machine.name).and_then(|m| address(m));
        if let Some(was) = was.filter(|ip| self.bound.get(ip) == Some(&machine.name)) {
            self.bound.remove(&was);
        }
        if let Some(ip) = address(&machine) {
            self.bound.insert(ip, machine.name.clone());
        }
        for ready in builds(&machine).filter(|b| b.phase == Phase::Ready) {
            if let Some(pinned) = self.pinned.get_mut(&ready.key) {
                let_go(pinned);
            }
        }
        self.machines
            .insert(machine.name.clone(), Arc::new(machine));
    }

    /// Puts in what a build pinned, after its machine.
    pub(super) fn pin(&mut self, key: BuildKey, mut pinned: Arc<Pinned>) {
        let machine = self.machines.get(&key.system);
        let build = machine.and_then(|m| m.with_epoch(key.epoch));
        if build.is_some_and(|b| b.phase == Phase::Ready) {
            let_go(&mut pinned);
        }
        self.pinned.insert(key, pinned);
    }
}

fn builds(machine: &Machine) -> impl Iterator<Item = &Build> {
    [&machine.build, &machine.once].into_iter().flatten()
}

/// Lets the documents go that only an installation asks for: a site of thousands of machines that are
/// ready would hold them all in memory. The store keeps them. What runs from this server asks for its
/// documents at every boot.
fn let_go(pinned: &mut Arc<Pinned>) {
    if !pinned.kind.resident() && pinned.documents.values().any(|d| !d.secret) {
        Arc::make_mut(pinned).documents.retain(|_, d| d.secret);
    }
}
