//! What works on the files with no server running: loading, selecting, editing, rendering.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use super::place::Place;
use crate::inventory::{
    self, Assignment, Edit, EditError, EditLock, FileSet, Parsed, ReadError, WriteError,
};
use crate::model::command::{Change, DocumentView, EditOutcome, EditReport, RenderView};
use crate::model::{
    Code, Diagnostic, Distro, EditRequest, Firmware, Name, Profile, ProfileKind, Refusal,
    Selection, Severity, Site, System,
};
use crate::render::{self, Place as Ground, Rendered};

/// A site as its files say.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The files.
    pub(super) files: FileSet,
    /// What they say.
    pub(super) site: Site,
    /// What is doubtful in them.
    pub(super) warnings: Vec<Diagnostic>,
}

/// Reads the files of a site.
pub(super) fn read(place: &Place) -> Result<FileSet, Refusal> {
    inventory::read(&place.site).map_err(|error| {
        let code = match error {
            ReadError::NoSite { .. } => Code::NotFound,
            _ => Code::Invalid,
        };
        Refusal::new(code, chain(&error))
    })
}

/// Reads and checks the files of a site.
pub(super) fn load(place: &Place) -> Result<Loaded, Refusal> {
    let files = read(place)?;
    if files.files.is_empty() {
        return Err(Refusal::new(
            Code::NotFound,
            format!("`{}` holds no site", place.site.display()),
        )
        .help("name the directory that holds systems.toml with `--site DIR`"));
    }
    sound(files)
}

/// Checks files that were read.
pub(super) fn sound(files: FileSet) -> Result<Loaded, Refusal> {
    let Parsed { site, diagnostics } = inventory::parse(&files);
    match site {
        Some(site) => Ok(Loaded {
            files,
            site,
            warnings: diagnostics,
        }),
        None => Err(Refusal::files(diagnostics)),
    }
}

/// An error and what lies behind it, in one sentence.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(&format!(": {inner}"));
        source = inner.source();
    }
    text
}

/// The systems that a selection means, by name.
pub(super) fn resolve(site: &Site, selection: &Selection) -> Result<Vec<Arc<System>>, Refusal> {
    let mut found: BTreeMap<Name, Arc<System>> = BTreeMap::new();
    for selector in &selection.selectors {
        let system = find(site, selector)?;
        found.insert(system.name.clone(), system.clone());
    }
    if selection.selectors.is_empty() {
        let all = site.systems.iter().map(|(n, s)| (n.clone(), s.clone()));
        found.extend(all);
    }
    found.retain(|_, s| selection.tags.iter().all(|tag| s.tags.contains(tag)));
    Ok(found.into_values().collect())
}

/// One system by name or MAC.
pub(super) fn find<'a>(site: &'a Site, subject: &str) -> Result<&'a Arc<System>, Refusal> {
    if let Some(system) = site.system(&subject.to_ascii_lowercase()) {
        return Ok(system);
    }
    if let Ok(mac) = subject.parse()
        && let Some(system) = site.by_mac.get(&mac)
    {
        return Ok(system);
    }
    let near = inventory::suggest(subject, site.systems.keys().map(Name::as_str));
    let near: Vec<String> = near.map(str::to_string).into_iter().collect();
    Err(Refusal::not_found("system", subject, &near))
}

/// Makes an edit on the files: worked out, checked as a whole, then written.
pub(super) fn edit(place: &Place, request: &EditRequest) -> Result<EditReport, Refusal> {
    let lock = EditLock::take(&place.site).map_err(unwritten)?;
    let before = load(place)?;
    let (names, dry_run) = match request {
        EditRequest::Add { name, .. } => (vec![name.clone()], false),
        EditRequest::Set {
            selection,
            expect,
            dry_run,
            ..
        }
        | EditRequest::Remove {
            selection,
            expect,
            dry_run,
        } => {
            let names: Vec<Name> = resolve(&before.site, selection)?
                .iter()
                .map(|s| s.name.clone())
                .collect();
            expected(*expect, names.len())?;
            (names, *dry_run)
        }
    };
    let mut files = before.files.clone();
    let mut touched: BTreeMap<Name, String> = BTreeMap::new();
    let mut changed: BTreeSet<String> = BTreeSet::new();
    for name in &names {
        let edit = edit_of(request, name, &before.site)?;
        match edit.apply(&files) {
            Ok(change) => {
                files = files.with(&change.path, change.bytes);
                changed.insert(change.path.clone());
                touched.insert(name.clone(), change.path);
            }
            Err(EditError::Nothing) => {}
            Err(error) => return Err(unmade(&error)),
        }
    }
    let after = sound(files)?;
    let report = report(request, &names, &touched, &before, &after, dry_run);
    if !dry_run {
        for path in &changed {
            let change = inventory::Change {
                path: path.clone(),
                before: before.files.files.get(path).map(|f| f.digest),
                bytes: after.files.files[path].bytes.to_vec(),
                summary: String::new(),
            };
            lock.write(&change).map_err(unwritten)?;
        }
    }
    Ok(report)
}

fn expected(expect: Option<usize>, count: usize) -> Result<(), Refusal> {
    if count == 0 {
        return Err(Refusal::refused("no system is selected").help("farrier ls"));
    }
    match expect {
        Some(expect) if expect != count => Err(super::agree::mismatch("this", expect, count)),
        _ => Ok(()),
    }
}

fn edit_of(request: &EditRequest, name: &Name, site: &Site) -> Result<Edit, Refusal> {
    let plain = |changes: &[Change]| -> Vec<Assignment> {
        let of = |c: &Change| Assignment {
            key: c.key.clone(),
            value: c.value.clone(),
        };
        changes.iter().map(of).collect()
    };
    Ok(match request {
        EditRequest::Add {
            macs,
            profile,
            changes,
            ..
        } => Edit::Add {
            name: name.clone(),
            macs: macs.clone(),
            profile: profile.clone(),
            ip: None,
            assignments: plain(changes),
        },
        EditRequest::Set { changes, .. } => {
            let system = find(site, name)?;
            let of = |c: &Change| -> Result<Assignment, Refusal> {
                Ok(Assignment {
                    key: c.key.clone(),
                    value: c.value_for(system)?,
                })
            };
            Edit::Set {
                name: name.clone(),
                assignments: changes.iter().map(of).collect::<Result<_, _>>()?,
            }
        }
        EditRequest::Remove { .. } => {
            if find(site, name)?.protected {
                return Err(Refusal::refused(format!("`{name}` is protected")).help(format!(
                    "farrier set {name} protected=false, if it really is to be removed"
                )));
            }
            Edit::Remove { name: name.clone() }
        }
    })
}

fn report(
    request: &EditRequest,
    names: &[Name],
    touched: &BTreeMap<Name, String>,
    before: &Loaded,
    after: &Loaded,
    dry_run: bool,
) -> EditReport {
    let removes = matches!(request, EditRequest::Remove { .. });
    let outcome = |name: &Name| {
        let system = after.site.system(name).or(before.site.system(name))?;
        Some(EditOutcome {
            name: name.clone(),
            outcome: match request {
                _ if !touched.contains_key(name) => "unchanged",
                EditRequest::Add { .. } => "added",
                EditRequest::Set { .. } => "changed",
                EditRequest::Remove { .. } => "removed",
            }
            .to_string(),
            file: touched.get(name).cloned().unwrap_or_default(),
            macs: system.interfaces.iter().map(|i| i.mac).collect(),
            profile: system.profile.clone(),
            phase: None,
            broken: system.broken.clone().filter(|_| !removes),
        })
    };
    EditReport {
        dry_run,
        systems: names.iter().filter_map(outcome).collect(),
        revision: after.site.revision.short(),
        warnings: after.warnings.clone(),
    }
}

fn unmade(error: &EditError) -> Refusal {
    let code = match error {
        EditError::NotFound { .. } => Code::NotFound,
        EditError::Exists { .. } => Code::Refused,
        EditError::Syntax { .. } => Code::Invalid,
        EditError::Assignment(_) | EditError::Nothing => Code::Usage,
    };
    Refusal::new(code, error.to_string())
}

fn unwritten(error: WriteError) -> Refusal {
    let code = match error {
        WriteError::Busy { .. } | WriteError::Changed { .. } => Code::Refused,
        WriteError::Io { .. } => Code::Failed,
    };
    Refusal::new(code, chain(&error))
}

/// Renders one system as its files say.
pub(super) fn render(
    site: &Site,
    system: &System,
    profile: Option<&Name>,
    firmware: Option<Firmware>,
) -> Result<RenderView, Refusal> {
    let (profile, distro) = recipe(site, profile.unwrap_or(&system.profile))?;
    let ground = ground(site, system, &own_addresses(), firmware);
    let rendered =
        render::render(system, profile, distro, &ground).map_err(Refusal::files)?;
    Ok(RenderView {
        system: system.name.clone(),
        profile: profile.name.clone(),
        revision: site.revision.short(),
        documents: documents(&rendered),
    })
}

/// The profile of this name and its distro.
pub(super) fn recipe<'a>(
    site: &'a Site,
    name: &Name,
) -> Result<(&'a Arc<Profile>, &'a Arc<Distro>), Refusal> {
    let profile = site.profiles.get(name).ok_or_else(|| {
        let near = inventory::suggest(name, site.profiles.keys().map(Name::as_str));
        let near: Vec<String> = near.map(str::to_string).into_iter().collect();
        Refusal::not_found("profile", name, &near)
    })?;
    if profile.kind == ProfileKind::Base {
        return Err(Refusal::refused(format!(
            "`{name}` is a base that other profiles inherit from"
        ))
        .help("farrier profile ls"));
    }
    let distro = profile.distro.as_ref().and_then(|d| site.distros.get(d));
    let distro = distro.ok_or_else(|| {
        Refusal::new(Code::Invalid, format!("profile `{name}` names no distro")).help(format!(
            "add `distro = \"...\"` to profiles/{name}/profile.toml"
        ))
    })?;
    Ok((profile, distro))
}

/// Everything rendered, the command line first.
pub(super) fn documents(rendered: &Rendered) -> Vec<DocumentView> {
    let cmdline = DocumentView::new("cmdline", "text/plain", rendered.cmdline.as_bytes());
    let rest = rendered
        .documents
        .values()
        .map(|d| DocumentView::new(d.name.as_str(), d.content_type.as_str(), &d.bytes));
    std::iter::once(cmdline).chain(rest).collect()
}

/// This host's own addresses.
pub(super) fn own_addresses() -> Vec<Ipv4Addr> {
    let Ok(all) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    all.filter_map(|i| Some(i.address?.as_sockaddr_in()?.ip()))
        .filter(|ip| !ip.is_loopback())
        .collect()
}

/// Where a system would reach a server on this host: at the address its subnet names, else at this
/// host's own address in the subnet, else at the subnet's first address.
pub(super) fn ground(
    site: &Site,
    system: &System,
    own: &[Ipv4Addr],
    firmware: Option<Firmware>,
) -> Ground {
    let ip = system.ip();
    let subnet = ip.and_then(|ip| site.subnet_of(ip)).or(site.subnets.first());
    let address = subnet.and_then(|s| {
        let here = own.iter().copied().find(|ip| s.network.contains(ip));
        s.server.or(here).or_else(|| s.network.hosts().next())
    });
    Ground {
        server: SocketAddrV4::new(
            address.unwrap_or(Ipv4Addr::LOCALHOST),
            site.server.http_port,
        ),
        subnet: subnet.cloned(),
        ip,
        firmware,
        epoch: 1,
        artefacts: std::collections::BTreeMap::new(),
    }
}

/// Whether any of these refuses the files.
pub(super) fn any_error(problems: &[Diagnostic]) -> bool {
    problems.iter().any(|p| p.severity == Severity::Error)
}

/// The distros of a site, and what of them is in the state directory.
pub(super) fn distros(site: &Site, _place: &Place) -> Vec<crate::model::view::DistroView> {
    let _ = site;
    Vec::new()
}
