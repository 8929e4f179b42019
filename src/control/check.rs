//! Rendering every system when a site is loaded: what would fail at three in the morning fails now.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use imbl::ordmap::DiffItem;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::Control;
use super::pin::distro_of;
use crate::inventory::{self, FileSet};
use crate::model::{Diagnostic, Name, Profile, SecretName, Site, System};
use crate::net;
use crate::render::CompiledProfile;

/// Beyond so many systems of one profile, the others are rendered after the site is in force, so
/// that a large one answers within seconds. A flag that does not render is refused all the same.
const RENDERED_PER_PROFILE: usize = 2_000;
/// Systems that are rendered in the background before anything else gets its turn.
const PORTION: usize = 500;

/// The places of so many references to secrets are looked up; a profile's may be in every system.
const PLACED: usize = 20;

/// Renders systems and marks those that do not: one bad entry affects that system alone.
/// What `before` holds unchanged was rendered then, so an edit costs what it touches; what of it was
/// still `pending` is so again. `files` are what the site was read from, to say where a reference
/// stands. Returns what is left for [`Control::render_rest`].
pub(super) fn mark_broken(
    control: &Control,
    site: &mut Site,
    before: &Site,
    files: &FileSet,
    pending: &HashSet<Name>,
) -> HashSet<Name> {
    let is_set = |name: &SecretName| control.is_set(name);
    let known = known_profiles(site, before);
    let mut left = still_pending(site, before, &known, pending);
    let mut broken: Vec<(Name, String)> = Vec::new();
    let mut places = PLACED;
    for (name, mut systems) in to_render(site, before, &known) {
        let Some(profile) = site.profiles.get(name) else {
            continue;
        };
        let first = |system: &&Arc<System>| {
            let unset = inventory::unset(system, profile, &is_set);
            Some((system.name.clone(), unset.into_iter().next()?))
        };
        let unset: Vec<(Name, inventory::Unset)> = systems.par_iter().filter_map(first).collect();
        for (name, unset) in unset {
            let system = site.systems.get(&name).filter(|_| broken.len() < PLACED);
            let place = system.and_then(|system| unset.place(files, site, system));
            broken.push((name, unset.diagnostic(place).to_string()));
        }
        let later = systems.split_off(systems.len().min(RENDERED_PER_PROFILE));
        left.extend(later.iter().map(|s| s.name.clone()));
        let found = of_profile(control, site, profile, &systems);
        broken.extend(told(found, files, site, &mut places));
    }
    for name in &control.unreadable {
        let problem = "its latest build in the database cannot be read, so that its number and its tokens \
                       are unknown; restore a backup, or declare the machine under another name";
        broken.push((name.clone(), problem.to_string()));
    }
    mark_all(site, broken);
    left
}

/// Problems as sentences, each with the place of the key that it is about while places may be looked up.
fn told(
    found: Vec<(Name, Diagnostic)>,
    files: &FileSet,
    site: &Site,
    places: &mut usize,
) -> Vec<(Name, String)> {
    let say = |(name, problem): (Name, Diagnostic)| {
        let system = site.systems.get(&name).filter(|_| *places > 0);
        let problem = match (system, &problem.about) {
            (Some(system), Some(_)) => {
                *places -= 1;
                let placed = inventory::placed(vec![problem.clone()], files, site, system);
                placed.into_iter().next().unwrap_or(problem)
            }
            _ => problem,
        };
        (name, problem.to_string())
    };
    found.into_iter().map(say).collect()
}

fn mark_all(site: &mut Site, broken: Vec<(Name, String)>) {
    for (name, problem) in broken {
        tracing::warn!(machine.name = %name, "its entry cannot be used: {problem}");
        mark(site, &name, problem);
    }
}

/// The profiles on whose ground nothing changed.
fn known_profiles<'a>(site: &'a Site, before: &Site) -> BTreeSet<&'a Name> {
    let same_ground = before.distros == site.distros && before.subnets == site.subnets;
    let names = site.profiles.keys();
    names
        .filter(|n| same_ground && before.profiles.get(*n) == site.profiles.get(*n))
        .collect()
}

/// What of `pending` is as it was: removing what differs costs less than looking all up.
fn still_pending(
    site: &Site,
    before: &Site,
    known: &BTreeSet<&Name>,
    pending: &HashSet<Name>,
) -> HashSet<Name> {
    let mut left = pending.clone();
    if known.len() < site.profiles.len() {
        left.retain(|name| {
            let system = site.systems.get(name);
            system.is_some_and(|s| known.contains(&s.profile))
        });
    }
    for item in before.systems.diff(&site.systems) {
        let (DiffItem::Add(name, _)
        | DiffItem::Remove(name, _)
        | DiffItem::Update { old: (name, _), .. }) = item;
        left.remove(name);
    }
    left
}

/// The systems that may not render as they did before, by profile, each list in order.
fn to_render<'a>(
    site: &'a Site,
    before: &'a Site,
    known: &BTreeSet<&Name>,
) -> BTreeMap<&'a Name, Vec<&'a Arc<System>>> {
    let mut found: BTreeMap<&Name, Vec<&Arc<System>>> = BTreeMap::new();
    let mut note = |system: &'a Arc<System>| found.entry(&system.profile).or_default().push(system);
    if known.len() < site.profiles.len() {
        let fresh = site.systems.values();
        fresh
            .filter(|s| !known.contains(&s.profile))
            .for_each(&mut note);
    }
    for item in before.systems.diff(&site.systems) {
        let (DiffItem::Add(_, system)
        | DiffItem::Update {
            new: (_, system), ..
        }) = item
        else {
            continue;
        };
        if known.contains(&system.profile) {
            note(system);
        }
    }
    found
}

impl Control {
    /// How many systems of the revision in force were not rendered yet.
    pub fn unrendered(&self) -> usize {
        self.files.pending().len()
    }

    /// Renders, now and after each new revision, what was left when it came into force, and marks
    /// what cannot be used. Never returns; run it as a task of its own.
    pub async fn render_rest(self: Arc<Self>) {
        let pool = patient();
        loop {
            while self.render_portion(pool.as_ref()).await {
                tokio::task::yield_now().await;
            }
            self.files.more_pending().await;
        }
    }

    /// Renders some of what is left, on this pool's threads or on all cores; whether there was any.
    pub(super) async fn render_portion(&self, pool: Option<&ThreadPool>) -> bool {
        let site = self.site();
        let names: Vec<Name> = self.files.pending().iter().take(PORTION).cloned().collect();
        if names.is_empty() {
            return false;
        }
        let mut by_profile: HashMap<&Name, Vec<&Arc<System>>> = HashMap::new();
        for system in names.iter().filter_map(|n| site.systems.get(n)) {
            by_profile.entry(&system.profile).or_default().push(system);
        }
        let render = || -> Vec<(Name, Diagnostic)> {
            let profiles = by_profile.iter();
            let of = profiles.filter_map(|(name, systems)| {
                let profile = site.profiles.get(*name)?;
                Some(of_profile(self, &site, profile, systems))
            });
            of.flatten().collect()
        };
        let found = tokio::task::block_in_place(|| match pool {
            Some(pool) => pool.install(render),
            None => render(),
        });
        // While this is held no other revision comes into force.
        let turn = self.files.loaded.lock().await;
        if self.site().revision != site.revision {
            return true;
        }
        let broken = told(found, &turn.files, &site, &mut PLACED.clone());
        if !broken.is_empty() {
            let mut marked = (*site).clone();
            mark_all(&mut marked, broken);
            if self.publish(marked, None).await.is_err() {
                return false;
            }
        }
        self.files.rendered(&names);
        true
    }
}

/// One thread that gives way to the doors: machines that ask now go before systems that may be flagged
/// some day. None if the system has no thread to spare.
fn patient() -> Option<ThreadPool> {
    let pool = ThreadPoolBuilder::new().num_threads(1);
    pool.thread_name(|_| "render-rest".to_string())
        .start_handler(|_| net::give_way())
        .build()
        .inspect_err(|error| tracing::warn!(%error, "large sites are checked on all cores"))
        .ok()
}

fn of_profile(
    control: &Control,
    site: &Site,
    profile: &Profile,
    systems: &[&Arc<System>],
) -> Vec<(Name, Diagnostic)> {
    let nothing = || Diagnostic::error("it does not render");
    let all = |problem: Diagnostic| {
        systems
            .iter()
            .map(|s| (s.name.clone(), problem.clone()))
            .collect()
    };
    let distro = match distro_of(site, profile) {
        Ok(distro) => distro,
        Err(refusal) => return all(Diagnostic::error(refusal.message)),
    };
    let compiled = match CompiledProfile::new(profile) {
        Ok(compiled) => compiled,
        Err(problems) => {
            return all(problems.into_iter().next().unwrap_or_else(nothing));
        }
    };
    let index = control.artefacts();
    systems
        .par_iter()
        .filter_map(|system| {
            let place = control.place(site, system, distro, &index, 1);
            let problems = compiled.render(system, distro, &place).err()?;
            let first = problems.into_iter().next().unwrap_or_else(nothing);
            Some((system.name.clone(), first))
        })
        .collect()
}

/// Replaces a system by one that says what is wrong with it.
fn mark(site: &mut Site, name: &Name, problem: String) {
    let Some(system) = site.systems.get(name) else {
        return;
    };
    let mut marked = (**system).clone();
    marked.broken = Some(problem);
    replace(site, marked);
}

/// Puts a system in the place of the one of its name, everywhere it is indexed.
pub(super) fn replace(site: &mut Site, system: System) {
    let marked = Arc::new(system);
    for interface in &marked.interfaces {
        site.by_mac.insert(interface.mac, marked.clone());
        if let Some(ip) = interface.ip {
            site.by_ip.insert(ip, marked.clone());
        }
    }
    site.systems.insert(marked.name.clone(), marked);
}
