//! Rendering every system when a site is loaded: what would fail at three in the morning fails now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::ordmap::DiffItem;
use rayon::prelude::*;

use super::Control;
use super::pin::distro_of;
use crate::inventory::{self, FileSet};
use crate::model::{Name, Profile, SecretName, Site, System};
use crate::render::CompiledProfile;

/// Beyond so many systems of one profile, the others are rendered when they are flagged: a flag
/// that does not render is refused there with the same words.
const RENDERED_PER_PROFILE: usize = 2_000;

/// The places of so many references to secrets are looked up; a profile's may be in every system.
const PLACED: usize = 20;

/// Renders systems and marks those that do not: one bad entry affects that system alone.
/// What `before` holds unchanged was rendered then, so an edit costs what it touches.
/// `files` are what the site was read from, to say where a reference stands.
pub(super) fn mark_broken(control: &Control, site: &mut Site, before: &Site, files: &FileSet) {
    let is_set = |name: &SecretName| control.is_set(name);
    let mut broken: Vec<(Name, String)> = Vec::new();
    for (name, mut systems) in to_render(site, before) {
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
        systems.truncate(RENDERED_PER_PROFILE);
        broken.extend(of_profile(control, site, profile, &systems));
    }
    for (name, problem) in broken {
        tracing::warn!(machine.name = %name, "its entry cannot be used: {problem}");
        mark(site, &name, problem);
    }
}

/// The systems that may not render as they did before, by profile, each list in order.
fn to_render<'a>(site: &'a Site, before: &'a Site) -> BTreeMap<&'a Name, Vec<&'a Arc<System>>> {
    let same_ground = before.distros == site.distros && before.subnets == site.subnets;
    let known = |name: &Name| same_ground && before.profiles.get(name) == site.profiles.get(name);
    let known: BTreeSet<&Name> = site.profiles.keys().filter(|n| known(n)).collect();
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
