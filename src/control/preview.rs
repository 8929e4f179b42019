//! The very bytes a machine would get, now or from another revision.

use super::Control;
use super::bootable::{Bootable, Next, not_here};
use super::pin::distro_of;
use crate::boot::paths::Urls;
use crate::inventory;
use crate::model::command::{DocumentView, RenderRequest, RenderView};
use crate::model::view::OriginView;
use crate::model::{Build, BuildKey, Document, Firmware, MacAddr, Pinned, Refusal, Site};
use crate::render;

impl Control {
    /// What a system would be sent, with placeholders instead of tokens: what its build under way
    /// pinned, else what the files say.
    ///
    /// # Errors
    /// If system, profile or revision do not exist, or it does not render.
    pub async fn render(&self, request: &RenderRequest) -> Result<RenderView, Refusal> {
        let snapshot = self.snapshot();
        let recalled: Option<Site> = match &request.revision {
            Some(which) => {
                let row = self.find_revision(which).await?;
                let files = self.files_of(&row).await?;
                let parsed = inventory::parse(&files);
                Some(
                    parsed
                        .site
                        .ok_or_else(|| Refusal::files(parsed.diagnostics))?,
                )
            }
            None => None,
        };
        let site = recalled.as_ref().unwrap_or(&snapshot.site);
        let present = self.one(&snapshot, &request.system).map(|s| s.name.clone());
        let wanted = match &present {
            Ok(name) => name.to_string(),
            Err(_) => request.system.to_ascii_lowercase(),
        };
        let system = match (site.system(&wanted), present) {
            (Some(system), _) => system.clone(),
            (None, Err(refusal)) => return Err(refusal),
            (None, Ok(name)) => {
                return Err(Refusal::new(
                    crate::model::Code::NotFound,
                    format!("`{name}` is not in that revision"),
                ));
            }
        };
        let under_way = snapshot.machines.get(&system.name).and_then(|m| {
            let active = [&m.once, &m.build].into_iter().flatten();
            active.into_iter().find(|b| b.phase.is_active())
        });
        let mac = request.system.parse().ok();
        let mac = mac.or_else(|| system.first().map(|i| i.mac));
        let mac = mac.ok_or_else(|| Refusal::failed("the system has no interface"))?;
        let firmware = request
            .arch
            .map(Firmware::from_code)
            .or_else(|| self.firmware_of(&system));
        let as_it_is = !request.next && request.revision.is_none() && request.profile.is_none();
        if let (true, Some(build)) = (as_it_is, under_way)
            && let Some(pinned) = snapshot.pinned.get(&build.key)
        {
            let server = pinned
                .server
                .or_else(|| self.toward(site, self.near(&system)));
            let urls = server.map(|server| Urls { server });
            return Ok(of_build(build, pinned, urls.as_ref(), mac, firmware));
        }
        let name = request.profile.as_ref().unwrap_or(&system.profile);
        let profile = site.profiles.get(name).ok_or_else(|| {
            let names: Vec<String> = site.profiles.keys().map(|n| n.to_string()).collect();
            Refusal::not_found("profile", name, &super::near(name, &names))
                .help_if_none("farrier profile ls")
        })?;
        let distro = distro_of(site, profile)?;
        let last = snapshot.machines.get(&system.name);
        // A revision is compared with the build that pins it, so both are of one epoch.
        let epoch = match under_way {
            Some(build) if !request.next => build.key.epoch,
            _ => last.map_or(0, |m| m.last_epoch()) + 1,
        };
        let mut place = self.place(site, &system, distro, &snapshot.artefacts, epoch);
        place.firmware = firmware;
        let rendered = render::render(&system, profile, distro, &place).map_err(Refusal::files)?;
        let next = Next {
            build: BuildKey {
                system: system.name.clone(),
                epoch,
            },
            profile,
            cmdline: &rendered.cmdline,
            secure_boot: system.secure_boot,
        };
        let bootable = Bootable::of_distro(&snapshot.artefacts, distro, next);
        let urls = Urls {
            server: place.server,
        };
        let mut documents = bootable
            .as_ref()
            .map(|b| b.scripts(&urls, mac, firmware))
            .unwrap_or_default();
        documents.push(DocumentView::new(
            "cmdline",
            "text/plain",
            rendered.cmdline.as_bytes(),
        ));
        documents.extend(rendered.documents.values().map(document));
        Ok(RenderView {
            system: system.name.clone(),
            profile: profile.name.clone(),
            revision: site.revision.short(),
            build: None,
            note: bootable.is_none().then(|| not_here(&distro.name)),
            documents,
        })
    }

    /// Where each value of a system comes from.
    ///
    /// # Errors
    /// If there is no such system.
    pub async fn origins(&self, subject: &str) -> Result<Vec<OriginView>, Refusal> {
        let snapshot = self.snapshot();
        let system = self.one(&snapshot, subject)?;
        let loaded = self.files.loaded.lock().await;
        let origins = inventory::origins(&loaded.files, &snapshot.site, &system.name);
        Ok(origins.into_iter().map(origin_view).collect())
    }
}

/// What a build pinned when it was flagged: the files may say something else by now.
fn of_build(
    build: &Build,
    pinned: &Pinned,
    urls: Option<&Urls>,
    mac: MacAddr,
    firmware: Option<Firmware>,
) -> RenderView {
    let bootable = Bootable::pinned(build, pinned);
    let mut documents = urls
        .map(|urls| bootable.scripts(urls, mac, firmware))
        .unwrap_or_default();
    documents.push(DocumentView::new(
        "cmdline",
        "text/plain",
        pinned.cmdline.as_bytes(),
    ));
    documents.extend(pinned.documents.values().map(|d| document(d)));
    RenderView {
        system: build.key.system.clone(),
        profile: build.profile.clone(),
        revision: build.revision.short(),
        build: Some(build.key.epoch),
        note: None,
        documents,
    }
}

fn document(document: &Document) -> DocumentView {
    DocumentView::new(&document.name, &document.content_type, &document.bytes)
}

fn origin_view(origin: inventory::Origin) -> OriginView {
    let layer = match origin.file.split('/').next() {
        _ if origin.file == inventory::BUILT_IN => "built-in",
        _ if origin.defaults => "defaults",
        Some("profiles") => "profile",
        Some("boot") => "distro",
        _ => "system",
    };
    let written = origin.line > 0;
    OriginView {
        key: origin.key,
        value: origin.value,
        layer: layer.to_string(),
        file: written.then_some(origin.file),
        line: written.then_some(origin.line),
    }
}
