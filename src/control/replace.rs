//! A build whose machine boots in another place than its documents were made for.
//!
//! A machine without a declared address may turn up in any subnet, and where it reaches this server
//! is known only then. Its documents are made again for that place, of what the build pinned and of
//! nothing else: the same revision of the files, the same artefacts.

use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::pin::distro_of;
use super::writer::Command;
use super::{Control, TellError};
use crate::inventory;
use crate::model::{Build, BuildKey, Door, Pinned, Refusal, Site};
use crate::render;

impl Control {
    /// Makes what a build pinned fit the place of its machine, which is at this address and about to
    /// be served its boot script. Says whether it was made again; then it is durable.
    ///
    /// # Errors
    /// Why it does not fit and cannot be made to, in a sentence: the machine must not boot it.
    pub async fn settle(&self, at: Ipv4Addr, key: &BuildKey) -> Result<bool, String> {
        let snapshot = self.snapshot();
        let Some(pinned) = snapshot.pinned.get(key) else {
            return Ok(false);
        };
        let here = self.toward(&snapshot.site, Some(at));
        let (Some(made_for), Some(here)) = (pinned.server, here) else {
            return Ok(false);
        };
        let build = snapshot.machines.get(&key.system);
        let build = build.and_then(|m| m.with_epoch(key.epoch));
        let Some(build) = build.filter(|_| made_for != here) else {
            return Ok(false);
        };
        let anew = self.made_for(at, build, pinned).await.map_err(|refusal| {
            format!(
                "its documents are for a machine that reaches this server at {made_for}, and cannot \
                 be made again for {here}: {}",
                refusal.message
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
            "it is at {at}: the documents of build {} are made again, with {here} in the place of \
             {made_for}",
            key.epoch
        );
        tracing::info!(machine.name = %key.system, build.epoch = key.epoch, "{text}");
        let system = snapshot.site.systems.get(&key.system);
        if let Some(interface) = system.and_then(|s| s.first()) {
            self.observe(interface.mac, Door::Http, text);
        }
        Ok(true)
    }

    /// What a build pinned, with the documents of another place.
    async fn made_for(
        &self,
        at: Ipv4Addr,
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
        let place = self.place_at(
            &live,
            system,
            Some(at),
            artefacts.collect(),
            build.key.epoch,
        );
        let rendered = render::render(system, profile, distro, &place).map_err(Refusal::files)?;
        Ok(Pinned {
            cmdline: rendered.cmdline,
            documents: rendered
                .documents
                .into_iter()
                .map(|(n, d)| (n, Arc::new(d)))
                .collect(),
            server: Some(place.server),
            ..pinned.clone()
        })
    }
}
