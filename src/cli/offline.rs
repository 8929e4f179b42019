//! What works on the files with no server running: loading, selecting, editing, rendering.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use super::place::Place;
use crate::artefacts::{ArtefactError, Progress, Renew, Report, Shelf};
use crate::boot::paths::Urls;
use crate::control;
use crate::control::{Bootable, Next, not_here};
use crate::inventory::{self, EditLock, FileSet, Parsed, ReadError, SelectError};
use crate::model::artefact::LOADERS;
use crate::model::command::{DocumentView, EditOutcome, EditReport, FetchProgress, RenderView};
use crate::model::view::DistroView;
use crate::model::{
    ArtefactIndex, BuildKey, Code, Diagnostic, Digest, Distro, EditRequest, Firmware, MacAddr,
    Name, Profile, ProfileKind, Refusal, SecretName, Selection, Severity, Site, System,
};
use crate::render::{self, Place as Ground, Rendered};
use crate::store::{self, Known, StoreError};
use crate::vault::Authority;

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
        Refusal::new(code, crate::model::with_causes(&error))
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

/// The systems that a selection means. Phases cannot be known without a server.
pub(super) fn resolve(site: &Site, selection: &Selection) -> Result<Vec<Arc<System>>, Refusal> {
    if !selection.phases.is_empty() {
        return Err(Refusal::new(
            Code::Unreachable,
            "no server runs here, so no phase is known",
        )
        .help("farrier serve"));
    }
    let names = inventory::select(site, &selection.selectors, &selection.tags);
    let names = names.map_err(|error| {
        let code = match error {
            SelectError::Empty => Code::Refused,
            SelectError::Malformed { .. } | SelectError::Blank => Code::Usage,
            SelectError::NotFound { .. } | SelectError::NoneLeft { .. } => Code::NotFound,
        };
        Refusal::new(code, error.to_string()).help("look at systems.toml")
    })?;
    Ok(names
        .iter()
        .filter_map(|n| site.system(n).cloned())
        .collect())
}

/// One system by name, MAC or its disk's serial number.
pub(super) fn find<'a>(site: &'a Site, subject: &str) -> Result<&'a Arc<System>, Refusal> {
    if let Some(system) = site.system(&subject.to_ascii_lowercase()) {
        return Ok(system);
    }
    if let Ok(mac) = subject.parse::<MacAddr>()
        && let Some(system) = site.by_mac.get(&mac)
    {
        return Ok(system);
    }
    if let [one] = inventory::by_serial(site, subject).as_slice()
        && let Some(system) = site.system(one)
    {
        return Ok(system);
    }
    let near = inventory::suggest(subject, site.systems.keys().map(Name::as_str));
    let near: Vec<String> = near.map(str::to_string).into_iter().collect();
    Err(Refusal::not_found("system", subject, &near).help_if_none("look at systems.toml"))
}

/// Makes an edit on the files: worked out, checked as a whole, then written.
pub(super) async fn edit(place: &Place, request: &EditRequest) -> Result<EditReport, Refusal> {
    let lock = EditLock::take(&place.site).map_err(|e| e.refusal())?;
    let before = load(place)?;
    let (systems, dry_run) = match request {
        EditRequest::Add { .. } => (Vec::new(), false),
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
            let systems = resolve(&before.site, selection)?;
            if let Some(expect) = expect
                && *expect != systems.len()
            {
                return Err(super::agree::mismatch("the edit", *expect, systems.len()));
            }
            (systems, *dry_run)
        }
    };
    let selected: Vec<&System> = systems.iter().map(AsRef::as_ref).collect();
    let removes = matches!(request, EditRequest::Remove { .. });
    if let Some(kept) = selected.iter().find(|s| removes && s.protected) {
        return Err(
            Refusal::refused(format!("`{}` is protected", kept.name)).help(format!(
                "farrier set {} protected=false, if it really is to be removed",
                kept.name
            )),
        );
    }
    if removes {
        refuse_busy(place, &selected).await?;
    }
    let edits = inventory::edits(request, &selected, &before.site);
    let applied = inventory::apply(&edits, &before.files)?;
    let after = sound(applied.files).map_err(|refusal| Refusal::would_be(refusal.problems))?;
    if !dry_run {
        for change in &applied.changes {
            lock.write(change).map_err(|e| e.refusal())?;
        }
    }
    let word = match request {
        EditRequest::Add { .. } => "added",
        EditRequest::Set { .. } => "changed",
        EditRequest::Remove { .. } => "removed",
    };
    let outcome = |edit: &inventory::Edit| {
        let name = edit.name();
        let placed = applied.systems.get(name)?;
        let system = after.site.system(name).or(before.site.system(name))?;
        let outcome = if placed.changed { word } else { "unchanged" };
        Some(EditOutcome {
            name: name.clone(),
            outcome: outcome.to_string(),
            file: placed.file.clone(),
            macs: system.interfaces.iter().map(|i| i.mac).collect(),
            profile: system.profile.clone(),
            phase: None,
            broken: system.broken.clone().filter(|_| !removes),
        })
    };
    Ok(EditReport {
        dry_run,
        systems: edits.iter().filter_map(outcome).collect(),
        revision: after.site.revision.short(),
        warnings: after.warnings.clone(),
    })
}

/// A system whose build is under way is not removed: the server that starts later goes on with it.
async fn refuse_busy(place: &Place, systems: &[&System]) -> Result<(), Refusal> {
    let machines = known(place).await?.machines;
    for system in systems {
        let machine = machines.iter().find(|m| m.name == system.name);
        if let Some(build) = machine.and_then(|m| m.current())
            && build.phase.is_active()
        {
            let name = &system.name;
            return Err(Refusal::refused(format!(
                "build {} of `{name}` is {}",
                build.key.epoch, build.phase
            ))
            .help(format!("farrier serve, then farrier cancel {name}")));
        }
    }
    Ok(())
}

/// Renders one system as its files say. Boot scripts are there if the state directory holds what
/// they name.
pub(super) fn render(
    place: &Place,
    site: &Site,
    system: &System,
    profile: Option<&Name>,
    firmware: Option<Firmware>,
) -> Result<RenderView, Refusal> {
    let (profile, distro) = recipe(site, profile.unwrap_or(&system.profile))?;
    let mut ground = ground(site, system, &own_addresses(), firmware);
    ground.authority = Authority::certificate_in(&place.state);
    let rendered = render::render(system, profile, distro, &ground).map_err(Refusal::files)?;
    let next = Next {
        build: BuildKey {
            system: system.name.clone(),
            epoch: ground.epoch,
        },
        profile,
        cmdline: &rendered.cmdline,
        secure_boot: system.secure_boot,
    };
    let index = Shelf::open(&place.state).index();
    let bootable = Bootable::of_distro(&index, distro, next);
    let urls = Urls {
        server: ground.server,
    };
    let scripts = match (&bootable, system.first()) {
        (Some(bootable), Some(first)) => bootable.scripts(&urls, first.mac, firmware),
        _ => Vec::new(),
    };
    Ok(RenderView {
        system: system.name.clone(),
        profile: profile.name.clone(),
        revision: site.revision.short(),
        build: None,
        note: bootable.is_none().then(|| not_here(&distro.name)),
        documents: scripts.into_iter().chain(documents(&rendered)).collect(),
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
        Refusal::not_found("profile", name, &near).help_if_none("farrier profile ls")
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
    let subnet = ip
        .and_then(|ip| site.subnet_of(ip))
        .or(site.subnets.first());
    let address = subnet.and_then(|s| {
        let here = own.iter().copied().find(|ip| s.network.contains(ip));
        s.server.or(here).or_else(|| s.network.hosts().next())
    });
    let address = address.unwrap_or(Ipv4Addr::LOCALHOST);
    Ground {
        server: SocketAddrV4::new(address, site.server.http_port),
        secure: SocketAddrV4::new(address, site.server.https_port),
        authority: None,
        subnet: subnet.cloned(),
        ip,
        firmware,
        epoch: 1,
        artefacts: std::collections::BTreeMap::new(),
        networks: Ground::networks(site, system),
    }
}

/// Whether any of these refuses the files.
pub(super) fn any_error(problems: &[Diagnostic]) -> bool {
    problems.iter().any(|p| p.severity == Severity::Error)
}

/// The names of the secrets that are set, from the database of a server that runs or not; none if
/// there is no database here, so that nobody knows.
pub(super) async fn secrets(place: &Place) -> Result<Option<BTreeSet<SecretName>>, Refusal> {
    store::secret_names(&place.state.join("farrier.db"))
        .await
        .map_err(|e| Refusal::failed(crate::model::with_causes(&e)))
}

/// What is on the shelf of the state directory.
pub(super) fn artefacts(place: &Place) -> ArtefactIndex {
    Shelf::open(&place.state).index()
}

/// The distros of a site, and what of them is in the state directory; the network boot loaders are
/// not among them.
pub(super) fn distros(site: &Site, place: &Place) -> Vec<DistroView> {
    let shelf = Shelf::open(&place.state);
    let index = shelf.index();
    let view = |distro: &Arc<Distro>| {
        let missing = shelf.missing(distro);
        let users = site
            .profiles
            .values()
            .filter(|p| p.distro.as_ref() == Some(&distro.name));
        DistroView {
            name: distro.name.to_string(),
            present: distro.artefacts.len() - missing.len(),
            declared: distro.artefacts.len(),
            size: distro
                .artefacts
                .keys()
                .filter_map(|name| Some(index.get(&distro.name, name)?.size))
                .sum(),
            profiles: users.map(|p| p.name.to_string()).collect(),
            unpinned: shelf.unpinned(distro),
            loaders: Vec::new(),
            missing,
        }
    };
    site.distros.values().map(view).collect()
}

/// Fetches what a distro lacks (with `renew`, newer versions too), and the network boot loaders that
/// this host lacks.
pub(super) async fn fetch(
    place: &Place,
    name: &str,
    renew: bool,
    show: impl Fn(FetchProgress) + Send + Sync + 'static,
) -> Result<DistroView, Refusal> {
    let renew = if renew { Renew::All } else { Renew::Missing };
    let failed = |e: ArtefactError| Refusal::failed(crate::model::with_causes(&e));
    // The one TLS provider; a second call changes nothing.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let shelf = Shelf::open(&place.state).keeping(in_use(place).await?);
    let report: Report = Arc::new(move |p: Progress| {
        show(FetchProgress {
            artefact: p.artefact,
            done: p.done,
            total: p.total,
            detail: format!("{:?}", p.step).to_lowercase(),
        });
    });
    if name == LOADERS {
        shelf.fetch_loaders(renew, &report).await.map_err(failed)?;
        return Ok(shelf.loaders_view());
    }
    let site = load(place)?.site;
    let distro = site.distros.get(name).ok_or_else(|| {
        let near = inventory::suggest(name, site.distros.keys().map(Name::as_str));
        let near: Vec<String> = near.map(str::to_string).into_iter().collect();
        Refusal::not_found("distro", name, &near).help_if_none("farrier distro ls")
    })?;
    shelf
        .fetch_loaders(Renew::Missing, &report)
        .await
        .map_err(failed)?;
    shelf
        .fetch(distro, &place.site, renew, &report)
        .await
        .map_err(failed)?;
    let all = distros(&site, place);
    all.into_iter()
        .find(|d| d.name == name)
        .ok_or_else(|| Refusal::failed(format!("`{name}` was fetched and is not there")))
}

/// What the database says, for when no server runs; nothing if there is none.
async fn known(place: &Place) -> Result<Known, Refusal> {
    let database = place.state.join("farrier.db");
    if !database.exists() {
        return Ok(Known::default());
    }
    let failed = |e: StoreError| Refusal::failed(crate::model::with_causes(&e));
    let (store, _writer) = store::open(&database).await.map_err(failed)?;
    store.known().await.map_err(failed)
}

/// Which versions of artefacts the builds under way pinned: a server that starts later serves them.
async fn in_use(place: &Place) -> Result<BTreeSet<Digest>, Refusal> {
    let known = known(place).await?;
    Ok(control::in_use(&known.machines, |key| {
        let pin = known.pins.iter().find(|(k, _)| k == key)?;
        Some(pin.1.as_ref())
    }))
}
