//! What a build pins when it is flagged: rendered documents and digests, so that an edit in
//! mid-install mixes nothing and nothing can fail at three in the morning.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use super::way::way;
use super::{Control, Snapshot};
use crate::model::{
    ArtefactIndex, ArtefactRef, Diagnostic, Digest, Distro, Firmware, Name, Pinned, PlannedFile,
    Profile, ProfileKind, Refusal, Site, Subnet, System,
};

use crate::render::{self, Place, Rendered};

impl Control {
    /// Renders and collects everything that a build of this system with this profile needs.
    ///
    /// # Errors
    /// A refusal with place and fix if something does not render or is not on this server.
    pub(super) fn pin(
        &self,
        snapshot: &Snapshot,
        system: &System,
        profile: &Profile,
        epoch: u32,
    ) -> Result<Pinned, Refusal> {
        let site = &snapshot.site;
        let distro = distro_of(site, profile)?;
        let artefacts = distro
            .artefacts
            .keys()
            .map(|name| planned(snapshot, &distro.name, name))
            .collect::<Result<_, _>>()?;
        let place = self.place(site, system, distro, &snapshot.artefacts, epoch);
        let (rendered, uefi) = made(system, profile, distro, &place).map_err(Refusal::files)?;
        if let Some(name) = rendered.secrets.iter().find(|name| !self.is_set(name)) {
            return Err(Refusal::refused(format!("the secret `{name}` is not set"))
                .help(format!("farrier secret set {name}")));
        }
        let planned = |name: &str| planned(snapshot, &distro.name, name);
        let way = way(distro, profile, &snapshot.artefacts, planned)?;
        Ok(Pinned {
            way,
            kind: profile.kind,
            secure_boot: system.secure_boot,
            kernel: planned(&distro.kernel)?,
            kernel_uefi: distro.kernel_uefi.as_deref().map(planned).transpose()?,
            initrds: distro
                .initrds
                .iter()
                .map(|n| planned(n))
                .collect::<Result<_, _>>()?,
            artefacts,
            cmdline: rendered.cmdline,
            documents: rendered
                .documents
                .into_iter()
                .map(|(n, d)| (n, Arc::new(d)))
                .collect(),
            deadlines: profile.deadlines,
            disk: system.disk.clone().unwrap_or_else(|| profile.disk.clone()),
            second: render::second_disk(system, profile),
            may_destroy: profile.may_destroy.clone(),
            wipe: system.wipe,
            handoff: profile.kind.installs(),
            server: Some(place.server),
            uefi,
            macs: system.interfaces.iter().map(|i| i.mac).collect(),
            identity: rendered.identity,
            push: rendered.push,
            agent: rendered.agent.map(str::to_string),
        })
    }

    /// The address a system has: reserved, else leased.
    pub(super) fn ip_of(&self, system: &System) -> Option<Ipv4Addr> {
        let leased = |mac| self.leases.address_of(mac, self.clock());
        let mut interfaces = system.interfaces.iter();
        system
            .ip()
            .or_else(|| interfaces.find_map(|i| leased(i.mac)))
    }

    /// Where this system reaches the server, for rendering.
    pub(super) fn place(
        &self,
        site: &Site,
        system: &System,
        distro: &Distro,
        index: &ArtefactIndex,
        epoch: u32,
    ) -> Place {
        let artefacts = distro
            .artefacts
            .keys()
            .filter_map(|name| Some((name.clone(), index.get(&distro.name, name)?.digest)))
            .collect();
        self.place_at(site, system, self.near(system), artefacts, epoch)
    }

    /// The same for a machine that is at this address, as far as that is known.
    pub(super) fn place_at(
        &self,
        site: &Site,
        system: &System,
        at: Option<Ipv4Addr>,
        artefacts: BTreeMap<String, Digest>,
        epoch: u32,
    ) -> Place {
        let server = self
            .toward(site, at)
            .unwrap_or_else(|| SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 80));
        let ip = system.ip().or(at);
        let subnet = ip
            .and_then(|ip| site.subnet_of(ip))
            .or_else(|| site.subnet_of(*server.ip()))
            .or_else(|| site.subnets.first())
            .cloned();
        Place {
            secure: self.places().secure(site, *server.ip()),
            authority: Some(self.authority.certificate().clone()),
            server,
            subnet,
            ip,
            firmware: self.firmware_of(system),
            epoch,
            artefacts,
            networks: Place::networks(site, system),
        }
    }

    /// Where a machine at this address reaches the server; one that is nowhere yet is taken to be in
    /// the first subnet.
    pub(super) fn toward(&self, site: &Site, at: Option<Ipv4Addr>) -> Option<SocketAddrV4> {
        let first = || site.subnets.first().map(|s| s.network.addr());
        self.places().toward(site, at.or_else(first))
    }

    /// Where a system is: the address it declares, else the one it has by lease, else the one that
    /// its build is bound to, else the one it had last.
    pub(super) fn near(&self, system: &System) -> Option<Ipv4Addr> {
        let now = self.clock();
        let interfaces = || system.interfaces.iter();
        system
            .ip()
            .or_else(|| interfaces().find_map(|i| self.leases.address_of(i.mac, now)))
            .or_else(|| self.bound(&system.name))
            .or_else(|| interfaces().find_map(|i| self.leases.last_of(i.mac)))
    }
}

/// What is rendered, and whether it is for UEFI or for BIOS; none if it is the same for both. For a machine
/// whose firmware was never seen it is made for each, and what differs is made to fit when it boots.
fn made(
    system: &System,
    profile: &Profile,
    distro: &Distro,
    place: &Place,
) -> Result<(Rendered, Option<bool>), Vec<Diagnostic>> {
    let with = |firmware| {
        let place = Place {
            firmware,
            ..place.clone()
        };
        render::render(system, profile, distro, &place)
    };
    if let Some(firmware) = place.firmware {
        return Ok((with(Some(firmware))?, Some(firmware.is_uefi())));
    }
    match (with(Some(Firmware::UEFI)), with(Some(Firmware::BIOS))) {
        (Ok(uefi), Ok(bios)) if uefi == bios => Ok((uefi, None)),
        (Ok(uefi), _) => Ok((uefi, Some(true))),
        (Err(_), Ok(bios)) => Ok((bios, Some(false))),
        (Err(told), Err(_)) => Err(told),
    }
}

/// The subnet that a system boots in: that of its address, else that of this server toward it, else
/// the first.
pub(super) fn subnet(
    site: &Site,
    ip: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
) -> Option<&Subnet> {
    ip.and_then(|ip| site.subnet_of(ip))
        .or_else(|| site.subnet_of(server?))
        .or_else(|| site.subnets.first())
}

/// The distro of a profile; a checked site has it for every profile that can be built.
pub(super) fn distro_of<'a>(site: &'a Site, profile: &Profile) -> Result<&'a Arc<Distro>, Refusal> {
    if profile.kind == ProfileKind::Base {
        return Err(Refusal::refused(format!(
            "`{}` is a base that other profiles inherit from",
            profile.name
        ))
        .help("choose a profile that inherits from it"));
    }
    profile
        .distro
        .as_ref()
        .and_then(|name| site.distros.get(name))
        .ok_or_else(|| {
            Refusal::refused(format!("profile `{}` names no distro", profile.name)).help(format!(
                "add `distro = \"...\"` to profiles/{}/profile.toml",
                profile.name
            ))
        })
}

fn planned(snapshot: &Snapshot, distro: &Name, name: &str) -> Result<PlannedFile, Refusal> {
    let artefact = snapshot.artefacts.get(distro, name).ok_or_else(|| {
        Refusal::refused(format!(
            "`{name}` of distro `{distro}` is not on this server"
        ))
        .help(format!("farrier distro fetch {distro}"))
    })?;
    Ok(PlannedFile {
        id: ArtefactRef {
            distro: distro.to_string(),
            name: name.to_string(),
        },
        digest: artefact.digest,
        size: artefact.size,
    })
}
