//! A build whose machine boots in another place, or by another firmware, than its documents were made
//! for.
//!
//! A machine without a declared address may turn up in any subnet, and where it reaches this server
//! is known only then; so is the firmware of one that was flagged before it was ever switched on. Its
//! documents are made again for that, of what the build pinned and of nothing else: the same revision
//! of the files, the same artefacts.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::pin::distro_of;
use super::writer::Command;
use super::{Control, TellError};
use crate::inventory;
use crate::model::{Build, BuildKey, Door, Firmware, Pinned, Refusal, Site};
use crate::render;

/// In what a machine differs from the one that its documents were made for.
struct Unfit {
    made_for: String,
    here: String,
}

impl Unfit {
    /// None if they fit, as far as that can be said.
    fn find(
        pinned: &Pinned,
        here: Option<SocketAddrV4>,
        firmware: Option<Firmware>,
    ) -> Option<Self> {
        let place = pinned.server.zip(here).filter(|(was, is)| was != is);
        let kind = pinned.uefi.zip(firmware.map(|f| f.is_uefi()));
        let kind = kind.filter(|(was, is)| was != is);
        let told = |server: Option<SocketAddrV4>, uefi: Option<bool>| {
            let server = server.map(|at| format!("reaches this server at {at}"));
            let uefi = uefi.map(|uefi| format!("boots by {}", if uefi { "UEFI" } else { "BIOS" }));
            let told: Vec<String> = server.into_iter().chain(uefi).collect();
            told.join(" and ")
        };
        (place.is_some() || kind.is_some()).then(|| Unfit {
            made_for: told(place.map(|p| p.0), kind.map(|k| k.0)),
            here: told(place.map(|p| p.1), kind.map(|k| k.1)),
        })
    }
}

impl Control {
    /// Makes what a build pinned fit its machine, which is at this address, has this firmware as far as
    /// it said so, and is about to be served its boot script. Says whether it was made again; then it
    /// is durable.
    ///
    /// # Errors
    /// Why it does not fit and cannot be made to, in a sentence: the machine must not boot it.
    pub async fn settle(
        &self,
        at: Ipv4Addr,
        firmware: Option<Firmware>,
        key: &BuildKey,
    ) -> Result<bool, String> {
        let snapshot = self.snapshot();
        let Some(pinned) = snapshot.pinned.get(key) else {
            return Ok(false);
        };
        let build = snapshot.machines.get(&key.system);
        let Some(build) = build.and_then(|m| m.with_epoch(key.epoch)) else {
            return Ok(false);
        };
        let system = snapshot.site.systems.get(&key.system);
        let firmware = firmware.or_else(|| self.firmware_of(system?));
        let Some(unfit) = Unfit::find(pinned, self.toward(&snapshot.site, Some(at)), firmware)
        else {
            return Ok(false);
        };
        let anew = self.made_for(at, firmware, build, pinned).await;
        let anew = anew.map_err(|refusal| {
            format!(
                "its documents are for a machine that {}, and cannot be made again for one that {}: {}",
                unfit.made_for, unfit.here, refusal.message
            )
        })?;
        let (done, wait) = oneshot::channel();
        let repin = Command::Repin {
            key: key.clone(),
            pinned: Arc::new(anew),
            done,
        };
        let stopped = |_| TellError::Stopped.to_string();
        self.commands
            .send(repin)
            .await
            .map_err(|_| TellError::Stopped.to_string())?;
        wait.await.map_err(stopped)?.map_err(|e| e.to_string())?;
        let text = format!(
            "it is at {at}: the documents of build {} were for a machine that {}, and are made again \
             for one that {}",
            key.epoch, unfit.made_for, unfit.here
        );
        tracing::info!(machine.name = %key.system, build.epoch = key.epoch, "{text}");
        if let Some(interface) = system.and_then(|s| s.first()) {
            self.observe(interface.mac, Door::Http, text);
        }
        Ok(true)
    }

    /// Whether the documents of a build are for one kind of firmware, and nobody has said yet which its
    /// machine has.
    pub fn waits_for_firmware(&self, key: &BuildKey) -> bool {
        let snapshot = self.snapshot();
        let system = snapshot.site.systems.get(&key.system);
        let one = snapshot.pinned.get(key).is_some_and(|p| p.uefi.is_some());
        one && system.is_some_and(|system| self.firmware_of(system).is_none())
    }

    /// What a build pinned, with the documents of another place or firmware.
    async fn made_for(
        &self,
        at: Ipv4Addr,
        firmware: Option<Firmware>,
        build: &Build,
        pinned: &Pinned,
    ) -> Result<Pinned, Refusal> {
        let live = self.site();
        let recalled: Site;
        let site: &Site = if live.revision == build.revision {
            &live
        } else {
            let row = self.find_revision(&build.revision.to_string()).await?;
            let parsed = inventory::parse(&self.files_of(&row).await?);
            recalled = parsed
                .site
                .ok_or_else(|| Refusal::files(parsed.diagnostics))?;
            &recalled
        };
        let name = &build.key.system;
        let gone = |what: &str| Refusal::failed(format!("{what} is not in the revision it pins"));
        let system = site.system(name).ok_or_else(|| gone(name))?;
        let profile = site.profiles.get(&build.profile);
        let profile = profile.ok_or_else(|| gone(&build.profile))?;
        let distro = distro_of(site, profile)?;
        let artefacts = pinned.files().map(|f| (f.id.name.clone(), f.digest));
        // Where the machine is, the site in force says: the network may have been declared since.
        let mut place = self.place_at(
            &live,
            system,
            Some(at),
            artefacts.collect(),
            build.key.epoch,
        );
        place.firmware = firmware.or(place.firmware);
        let rendered = render::render(system, profile, distro, &place).map_err(Refusal::files)?;
        if let Some(name) = rendered.secrets.iter().find(|name| !self.is_set(name)) {
            return Err(Refusal::refused(format!("the secret `{name}` is not set")));
        }
        Ok(Pinned {
            cmdline: rendered.cmdline,
            documents: rendered
                .documents
                .into_iter()
                .map(|(n, d)| (n, Arc::new(d)))
                .collect(),
            server: Some(place.server),
            uefi: pinned.uefi.and(place.firmware).map(|f| f.is_uefi()),
            ..pinned.clone()
        })
    }
}
