//! What a build pins when it is flagged: rendered documents and digests, so that an edit in
//! mid-install mixes nothing and nothing can fail at three in the morning.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::{Control, Snapshot};
use crate::model::{
    ArtefactIndex, ArtefactRef, Distro, Name, Pinned, PlannedFile, Profile, ProfileKind, Refusal,
    Site, Subnet, System,
};

use crate::render::{self, Place};

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
        let rendered = render::render(system, profile, distro, &place).map_err(Refusal::files)?;
        if let Some(name) = rendered.secrets.iter().find(|name| !self.is_set(name)) {
            return Err(Refusal::refused(format!("the secret `{name}` is not set"))
                .help(format!("farrier secret set {name}")));
        }
        let planned = |name: &str| planned(snapshot, &distro.name, name);
        Ok(Pinned {
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
            may_destroy: profile.may_destroy.clone(),
            wipe: system.wipe,
            handoff: profile.kind.installs(),
            identity: rendered.identity,
            push: rendered.push,
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
        let ip = self.ip_of(system);
        let server = self
            .places()
            .toward_system(site, system)
            .unwrap_or_else(|| std::net::SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 80));
        let subnet = subnet(site, ip, Some(*server.ip())).cloned();
        let firmware = self.firmware_of(system);
        let artefacts = distro
            .artefacts
            .keys()
            .filter_map(|name| Some((name.clone(), index.get(&distro.name, name)?.digest)))
            .collect();
        Place {
            secure: self.places().secure(site, *server.ip()),
            authority: Some(self.authority.certificate().clone()),
            server,
            subnet,
            ip,
            firmware,
            epoch,
            artefacts,
        }
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
