//! Rendering every system when a site is loaded: what would fail at three in the morning fails now.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rayon::prelude::*;

use super::Control;
use super::pin::distro_of;
use crate::inventory::{self, FileSet};
use crate::model::{Name, Profile, SecretName, Site, System};
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
    let mut by_profile: HashMap<&Name, Vec<&Arc<System>>> = HashMap::new();
    for system in site.systems.values() {
        by_profile.entry(&system.profile).or_default().push(system);
    }
    let mut broken: Vec<(Name, String)> = Vec::new();
    let mut left = HashSet::new();
    for (name, mut systems) in by_profile {
        let Some(profile) = site.profiles.get(name) else {
            continue;
        };
        let same_ground = before.profiles.get(name) == Some(profile)
            && before.distros == site.distros
            && before.subnets == site.subnets;
        if same_ground {
            systems.retain(|s| {
                let known = before.systems.get(&s.name);
                let unchanged = known.is_some_and(|known| Arc::ptr_eq(known, s));
                if unchanged && pending.contains(&s.name) {
                    left.insert(s.name.clone());
                }
                !unchanged
            });
        }
        if systems.is_empty() {
            continue;
        }
        systems.sort_by(|a, b| a.name.cmp(&b.name));
        for system in &systems {
            let is_set = |name: &SecretName| control.is_set(name);
            if let Some(unset) = inventory::unset(system, profile, &is_set).first() {
                let place = (broken.len() < PLACED).then(|| unset.place(files, site, system));
                let problem = unset.diagnostic(place.flatten()).to_string();
                broken.push((system.name.clone(), problem));
            }
        }
        let later = systems.split_off(systems.len().min(RENDERED_PER_PROFILE));
        left.extend(later.iter().map(|s| s.name.clone()));
        broken.extend(of_profile(control, site, profile, &systems));
    }
    for name in &control.unreadable {
        let problem = "its latest build in the database cannot be read, so that its number and its tokens \
                       are unknown; restore a backup, or declare the machine under another name";
        broken.push((name.clone(), problem.to_string()));
    }
    mark_all(site, broken);
    left
}

fn mark_all(site: &mut Site, broken: Vec<(Name, String)>) {
    for (name, problem) in broken {
        tracing::warn!(machine.name = %name, "its entry cannot be used: {problem}");
        mark(site, &name, problem);
    }
}

impl Control {
    /// How many systems of the revision in force were not rendered yet.
    pub fn unrendered(&self) -> usize {
        self.files.pending().len()
    }

    /// Renders, now and after each new revision, what was left when it came into force, and marks
    /// what cannot be used. Never returns; run it as a task of its own.
    pub async fn render_rest(self: Arc<Self>) {
        loop {
            while self.render_portion().await {
                tokio::task::yield_now().await;
            }
            self.files.more_pending().await;
        }
    }

    /// Renders some of what is left; whether there was any.
    pub(super) async fn render_portion(&self) -> bool {
        let site = self.site();
        let names: Vec<Name> = self.files.pending().iter().take(PORTION).cloned().collect();
        if names.is_empty() {
            return false;
        }
        let mut by_profile: HashMap<&Name, Vec<&Arc<System>>> = HashMap::new();
        for system in names.iter().filter_map(|n| site.systems.get(n)) {
            by_profile.entry(&system.profile).or_default().push(system);
        }
        let broken: Vec<(Name, String)> = tokio::task::block_in_place(|| {
            let profiles = by_profile.iter();
            let of = profiles.filter_map(|(name, systems)| {
                let profile = site.profiles.get(*name)?;
                Some(of_profile(self, &site, profile, systems))
            });
            of.flatten().collect()
        });
        // While this is held no other revision comes into force.
        let _turn = self.files.loaded.lock().await;
        if self.site().revision != site.revision {
            return true;
        }
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

fn of_profile(
    control: &Control,
    site: &Site,
    profile: &Profile,
    systems: &[&Arc<System>],
) -> Vec<(Name, String)> {
    let all = |problem: String| {
        systems
            .iter()
            .map(|s| (s.name.clone(), problem.clone()))
            .collect()
    };
    let distro = match distro_of(site, profile) {
        Ok(distro) => distro,
        Err(refusal) => return all(refusal.message),
    };
    let compiled = match CompiledProfile::new(profile) {
        Ok(compiled) => compiled,
        Err(problems) => {
            return all(problems.first().map_or_else(String::new, |p| p.to_string()));
        }
    };
    let index = control.artefacts();
    systems
        .par_iter()
        .filter_map(|system| {
            let place = control.place(site, system, distro, &index, 1);
            let problems = compiled.render(system, distro, &place).err()?;
            let first = problems
                .first()
                .map_or_else(|| "it does not render".into(), |p| p.to_string());
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
