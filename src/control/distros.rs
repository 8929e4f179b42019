//! Boot artefacts: what is here, and fetching what is not.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::Control;
use super::writer::Command;
use crate::artefacts::{Progress, Renew, Report, Step};
use crate::model::artefact::LOADERS;
use crate::model::command::FetchProgress;
use crate::model::view::DistroView;
use crate::model::{BuildKey, Digest, Distro, Machine, Name, Pinned, Refusal};

impl Control {
    /// Every declared distro and what of it is on this server; the network boot loaders last.
    pub async fn distros(&self) -> Vec<DistroView> {
        let site = self.site();
        let mut views: Vec<DistroView> =
            site.distros.values().map(|d| self.distro_view(d)).collect();
        let shelf = self.shelf.clone();
        let loaders = tokio::task::spawn_blocking(move || shelf.loaders_view()).await;
        views.extend(loaders);
        views
    }

    fn distro_view(&self, distro: &Distro) -> DistroView {
        let snapshot = self.snapshot();
        let missing = self.shelf.missing(distro);
        let size = distro
            .artefacts
            .keys()
            .filter_map(|name| snapshot.artefacts.get(&distro.name, name))
            .map(|a| a.size)
            .sum();
        let profiles = snapshot
            .site
            .profiles
            .values()
            .filter(|p| p.distro.as_ref() == Some(&distro.name))
            .map(|p| p.name.to_string())
            .collect();
        DistroView {
            name: distro.name.to_string(),
            present: distro.artefacts.len() - missing.len(),
            declared: distro.artefacts.len(),
            size,
            profiles,
            missing,
            unpinned: self.shelf.unpinned(distro),
            loaders: Vec::new(),
        }
    }

    /// Fetches what a distro lacks, and the network boot loaders that this host lacks; both are
    /// served as soon as this returns. With [`Renew::All`], newer versions of what it has too;
    /// `loaders` stands for the network boot loaders alone. What builds under way pinned stays.
    ///
    /// # Errors
    /// If there is no such distro, or a fetch failed; what was there stays.
    pub async fn fetch(
        &self,
        name: &Name,
        renew: Renew,
        progress: Arc<dyn Fn(FetchProgress) + Send + Sync>,
    ) -> Result<DistroView, Refusal> {
        let report: Report = Arc::new(move |p: Progress| progress(spoken(&p)));
        let failed =
            |e: crate::artefacts::ArtefactError| Refusal::failed(crate::model::with_causes(&e));
        let shelf = self.shelf.keeping(self.in_use());
        if name.as_str() == LOADERS {
            shelf.fetch_loaders(renew, &report).await.map_err(failed)?;
            self.index().await;
            return Ok(shelf.loaders_view());
        }
        let site = self.site();
        let distro = site.distros.get(name).cloned().ok_or_else(|| {
            let names: Vec<String> = site.distros.keys().map(|n| n.to_string()).collect();
            Refusal::not_found("distro", name, &super::near(name, &names))
                .help_if_none("farrier distro ls")
        })?;
        shelf
            .fetch_loaders(Renew::Missing, &report)
            .await
            .map_err(failed)?;
        shelf
            .fetch(&distro, &self.files.site, renew, &report)
            .await
            .map_err(failed)?;
        self.index().await;
        Ok(self.distro_view(&distro))
    }

    /// Which versions of artefacts the builds under way pinned.
    fn in_use(&self) -> BTreeSet<Digest> {
        let snapshot = self.snapshot();
        let machines = snapshot.machines.values().map(Arc::as_ref);
        in_use(machines, |key| snapshot.pinned.get(key).map(Arc::as_ref))
    }

    /// Reads again what is on the shelf and publishes it.
    pub async fn index(&self) {
        let shelf = self.shelf.clone();
        let Ok(index) = tokio::task::spawn_blocking(move || shelf.index()).await else {
            return;
        };
        let (done, wait) = oneshot::channel();
        let publish = Command::Artefacts {
            index: Arc::new(index),
            done,
        };
        if self.commands.send(publish).await.is_ok() {
            let _published_or_stopping = wait.await;
        }
    }
}

/// Which versions of artefacts the builds under way pinned, and what runs from here at every boot,
/// from what is known of the machines.
pub fn in_use<'a>(
    machines: impl IntoIterator<Item = &'a Machine>,
    pinned: impl Fn(&BuildKey) -> Option<&'a Pinned>,
) -> BTreeSet<Digest> {
    machines
        .into_iter()
        .flat_map(|m| [&m.build, &m.once])
        .flatten()
        .filter_map(|b| Some((b, pinned(&b.key)?)))
        .filter(|(b, p)| b.phase.is_active() || p.kind.resident())
        .flat_map(|(_, p)| p.files())
        .map(|f| f.digest)
        .collect()
}

fn spoken(progress: &Progress) -> FetchProgress {
    let detail = match progress.step {
        Step::Waiting => "waiting for another fetch",
        Step::Downloading => "downloading",
        Step::Copying => "copying",
        Step::Unpacking => "unpacking",
        Step::Checking => "checking",
        Step::Building => "building",
    };
    FetchProgress {
        artefact: progress.artefact.clone(),
        done: progress.done,
        total: progress.total,
        detail: detail.to_string(),
    }
}
