//! The very bytes a machine would get, now or from another revision.

use super::Control;
use super::pin::distro_of;
use crate::inventory;
use crate::model::command::{DocumentView, RenderRequest, RenderView};
use crate::model::view::OriginView;
use crate::model::{Firmware, Refusal, Site};
use crate::render;

impl Control {
    /// Renders a system, with placeholders instead of tokens.
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
        let name = request.profile.as_ref().unwrap_or(&system.profile);
        let profile = site.profiles.get(name).ok_or_else(|| {
            let names: Vec<String> = site.profiles.keys().map(|n| n.to_string()).collect();
            Refusal::not_found("profile", name, &super::near(name, &names))
        })?;
        let distro = distro_of(site, profile)?;
        let epoch = snapshot
            .machines
            .get(&system.name)
            .map_or(0, |m| m.last_epoch())
            + 1;
        let mut place = self.place(site, &system, distro, &snapshot.artefacts, epoch);
        if let Some(code) = request.arch {
            place.firmware = Some(Firmware::from_code(code));
        }
        let rendered = render::render(&system, profile, distro, &place).map_err(Refusal::files)?;
        let mut documents = vec![DocumentView::new(
            "cmdline",
            "text/plain",
            rendered.cmdline.as_bytes(),
        )];
        documents.extend(
            rendered
                .documents
                .values()
                .map(|d| DocumentView::new(&d.name, &d.content_type, &d.bytes)),
        );
        Ok(RenderView {
            system: system.name.clone(),
            profile: profile.name.clone(),
            revision: site.revision.short(),
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

fn origin_view(origin: inventory::Origin) -> OriginView {
    let layer = match origin.file.split('/').next() {
        _ if origin.file == inventory::BUILT_IN => "built-in",
        Some("profiles") => "profile",
        Some("boot") => "distro",
        _ => "system",
    };
    let written = origin.line > 0;
    OriginView {
        key: origin.key,
        value: serde_json::Value::String(origin.value),
        layer: layer.to_string(),
        file: written.then_some(origin.file),
        line: written.then_some(origin.line),
    }
}
