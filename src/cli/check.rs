//! `farrier check`: are the site's files sound, and does every system render?

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clap::Args;
use rayon::prelude::*;
use serde::Serialize;

use super::offline::{self, Loaded};
use super::place::Place;
use super::{Exit, Session};
use crate::boot::pair;
use crate::inventory;
use crate::model::{Diagnostic, Name, Refusal, SecretName, Severity, System};
use crate::render::CompiledProfile;

/// Check the site's files: every problem at once, with file, line and fix.
///
/// Renders every system. Changes nothing and asks no server.
#[derive(Debug, Args)]
pub(super) struct Check {}

/// The places of so many systems' keys are looked up; a profile's may be in every system.
const PLACED: usize = 20;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct CheckReport {
    /// First twelve digits of the revision that the files make; none if they make none.
    pub(super) revision: Option<String>,
    /// Systems declared.
    pub(super) systems: usize,
    /// Profiles.
    pub(super) profiles: usize,
    /// Distros.
    pub(super) distros: usize,
    /// Every problem.
    pub(super) problems: Vec<Diagnostic>,
}

impl Check {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let report = match offline::load(&session.place) {
            Ok(loaded) => {
                let mut report = whole(&loaded);
                let known = offline::secrets(&session.place).await?;
                report.problems.extend(secrets(&loaded, known.as_ref()));
                report.problems.extend(unsigned(&loaded, &session.place));
                report
            }
            Err(refusal) if refusal.problems.is_empty() => return Err(refusal),
            Err(refusal) => CheckReport {
                revision: None,
                systems: 0,
                profiles: 0,
                distros: 0,
                problems: refusal.problems,
            },
        };
        let failed = offline::any_error(&report.problems);
        let colour = session.printer.colours_data();
        session.printer.object(
            &report,
            report.revision.as_deref().unwrap_or_default(),
            || inventory::report(&report.problems, colour),
        );
        if failed {
            return Ok(Exit::Failed);
        }
        session.printer.talk(&format!(
            "{} systems, {} profiles and {} distros are sound (revision {})",
            report.systems,
            report.profiles,
            report.distros,
            report.revision.as_deref().unwrap_or_default()
        ));
        Ok(Exit::Done)
    }
}

/// Renders everything a sound site declares.
pub(super) fn whole(loaded: &Loaded) -> CheckReport {
    let site = &loaded.site;
    let mut problems = loaded.warnings.clone();
    let mut by_profile: BTreeMap<&Name, Vec<&Arc<System>>> = BTreeMap::new();
    for system in site.systems.values() {
        by_profile.entry(&system.profile).or_default().push(system);
    }
    let own = offline::own_addresses();
    for (name, mut systems) in by_profile {
        systems.sort_by(|a, b| a.name.cmp(&b.name));
        let (profile, distro) = match offline::recipe(site, name) {
            Ok(recipe) => recipe,
            Err(refusal) => {
                let who = systems.first().map_or("", |s| s.name.as_str());
                let mut problem = Diagnostic::error(format!("`{who}`: {}", refusal.message));
                problem.help = refusal.help;
                problems.push(problem);
                continue;
            }
        };
        let compiled = match CompiledProfile::new(profile) {
            Ok(compiled) => compiled,
            Err(found) => {
                problems.extend(found);
                continue;
            }
        };
        let found: Vec<(&Name, Vec<Diagnostic>)> = systems
            .par_iter()
            .map(|system| {
                let ground = offline::ground(site, system, &own, None);
                let found = match compiled.render(system, distro, &ground) {
                    Ok(rendered) => rendered.warnings,
                    Err(found) => found,
                };
                (&system.name, found)
            })
            .collect();
        problems.extend(once(with_places(found, loaded)));
    }
    CheckReport {
        revision: Some(site.revision.short()),
        systems: site.systems.len(),
        profiles: site.profiles.len(),
        distros: site.distros.len(),
        problems,
    }
}

/// The problems with the places of the keys that they are about, of so many systems.
fn with_places<'a>(
    found: Vec<(&'a Name, Vec<Diagnostic>)>,
    loaded: &'a Loaded,
) -> Vec<(&'a Name, Vec<Diagnostic>)> {
    let mut left = PLACED;
    let place = |(name, problems): (&'a Name, Vec<Diagnostic>)| {
        let about = problems.iter().any(|p| p.about.is_some());
        let system = loaded.site.system(name).filter(|_| about && left > 0);
        let problems = match system {
            Some(system) => {
                left -= 1;
                inventory::placed(problems, &loaded.files, &loaded.site, system)
            }
            None => problems,
        };
        (name, problems)
    };
    found.into_iter().map(place).collect()
}

/// References to secrets that are not set. Without a database nobody knows which are: that is said
/// and is no error, so that a site can be checked anywhere.
fn secrets(loaded: &Loaded, known: Option<&BTreeSet<SecretName>>) -> Vec<Diagnostic> {
    let site = &loaded.site;
    let is_set = |name: &SecretName| known.is_some_and(|known| known.contains(name));
    let mut systems: Vec<&Arc<System>> = site.systems.values().collect();
    systems.sort_by(|a, b| a.name.cmp(&b.name));
    let mut found = Vec::new();
    for system in systems {
        let Some(profile) = site.profile_of(system) else {
            continue;
        };
        for unset in inventory::unset(system, profile, &is_set) {
            let place = (found.len() < PLACED).then(|| unset.place(&loaded.files, site, system));
            found.push((&system.name, vec![unset.diagnostic(place.flatten())]));
        }
    }
    if known.is_none() && !found.is_empty() {
        let text = "secrets are referred to, and there is no database here to know which are set";
        let mut problem = Diagnostic::error(text)
            .help("run this where the server runs, or name its state with `--state DIR`");
        problem.severity = Severity::Warning;
        return vec![problem];
    }
    once(found)
}

/// Systems with `secure_boot` whose kernel, as it is here, the shim that they would be given does not
/// let start. Where nothing is on the shelf, nobody knows.
fn unsigned(loaded: &Loaded, place: &Place) -> Vec<Diagnostic> {
    let site = &loaded.site;
    let secure = site.systems.values().filter(|s| s.secure_boot);
    let mut secure: Vec<&Arc<System>> = secure.collect();
    if secure.is_empty() {
        return Vec::new();
    }
    secure.sort_by(|a, b| a.name.cmp(&b.name));
    let here = offline::artefacts(place);
    let doubt = |system: &&'_ Arc<System>| {
        let (_, distro) = offline::recipe(site, &system.profile).ok()?;
        pair::doubt(distro, &here)
    };
    let found = secure
        .iter()
        .filter_map(|s| Some((&s.name, vec![doubt(s)?])));
    once(found.collect())
}

/// Whether two systems have the same problem at the same place; what they render to may differ.
fn same(one: &Diagnostic, other: &Diagnostic) -> bool {
    let place = |d: &Diagnostic| d.spans.first().map(|s| (s.file.clone(), s.line, s.column));
    one.message == other.message && place(one) == place(other)
}

/// The same problem of four hundred systems is one problem.
fn once(found: Vec<(&Name, Vec<Diagnostic>)>) -> Vec<Diagnostic> {
    let mut seen: Vec<(Diagnostic, &Name, usize)> = Vec::new();
    for (name, problems) in found {
        for problem in problems {
            match seen.iter_mut().find(|(known, _, _)| same(known, &problem)) {
                Some((_, _, count)) => *count += 1,
                None => seen.push((problem, name, 1)),
            }
        }
    }
    seen.into_iter()
        .map(|(mut problem, name, count)| {
            let who = match count {
                1 => format!("`{name}`"),
                n => format!("`{name}` and {} more", n - 1),
            };
            problem.message = format!("{} (for {who})", problem.message);
            problem
        })
        .collect()
}
