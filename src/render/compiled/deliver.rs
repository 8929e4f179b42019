//! Documents that a profile does not write itself: the overlay for the installer's RAM disk, and the
//! files of a NoCloud seed that it leaves out.

use std::collections::BTreeMap;

use crate::model::way::OVERLAY;
use crate::model::{Answer, Diagnostic, Distro, Document, System};

use super::super::cpio::{self, Entry};
use super::CompiledProfile;

/// What cloud-init asks for beside `user-data` (NoCloud). Each must be there: one that is missing
/// costs time or stops it, depending on the version.
const SEED: [&str; 3] = ["meta-data", "vendor-data", "network-config"];

impl CompiledProfile {
    /// Checks what comes with the kernel, as far as that does not depend on a system.
    pub(super) fn prepare_delivery(&self, problems: &mut Vec<Diagnostic>) {
        let delivery = &self.profile.delivery;
        let named = delivery.overlay.values();
        for name in named.chain(delivery.modules.iter().map(|m| &m.content)) {
            match self.profile.answers.get(name) {
                Some(Answer::Template { .. }) => {}
                Some(Answer::Folder { .. }) => problems.push(self.about(
                    "profile.toml",
                    format!("the answer `{name}` is a folder, and only files come with the kernel"),
                )),
                None => problems.push(
                    self.about("profile.toml", format!("there is no answer `{name}`"))
                        .help("name it under [answers] too"),
                ),
            }
        }
        let permit = self.profile.kind.permitting_answer();
        if let Some(name) = delivery
            .overlay
            .values()
            .find(|n| permit == Some(n.as_str()))
        {
            problems.push(self.about(
                "profile.toml",
                format!(
                    "`{name}` is the permit to write a disk, so it cannot be part of the overlay"
                ),
            ));
        }
        if self.profile.answers.contains_key(OVERLAY) && !delivery.overlay.is_empty() {
            problems.push(self.about(
                "profile.toml",
                format!("`{OVERLAY}` is what [overlay] becomes, and an answer has that name"),
            ));
        }
    }

    /// Whether this system can boot the distro at all.
    pub(super) fn check_way(
        &self,
        system: &System,
        distro: &Distro,
        problems: &mut Vec<Diagnostic>,
    ) {
        if system.secure_boot
            && let Err(reason) = distro.way.with_secure_boot()
        {
            problems.push(
                self.about(
                    "profile.toml",
                    format!("with `secure_boot` it cannot be booted: {reason}"),
                )
                .help("remove `secure_boot` from the system, and switch it off in the firmware"),
            );
        }
    }

    /// Adds what the profile does not write itself.
    pub(super) fn deliver(
        &self,
        system: &System,
        epoch: u32,
        documents: &mut BTreeMap<String, Document>,
    ) {
        if documents.contains_key("user-data") {
            for name in SEED {
                documents
                    .entry(name.to_string())
                    .or_insert_with(|| seed(name, system, epoch));
            }
        }
        let overlay = &self.profile.delivery.overlay;
        let entries: Vec<Entry<'_>> = overlay
            .iter()
            .filter_map(|(path, name)| {
                Some(Entry {
                    path,
                    executable: self.is_executable(name),
                    bytes: &documents.get(name)?.bytes,
                })
            })
            .collect();
        // one that did not render was said already
        if overlay.is_empty() || entries.len() != overlay.len() {
            return;
        }
        let document = Document {
            name: OVERLAY.to_string(),
            content_type: "application/octet-stream".to_string(),
            bytes: cpio::pack(&entries),
            gzip: false,
            secret: false,
        };
        documents.insert(OVERLAY.to_string(), document);
    }

    fn is_executable(&self, answer: &str) -> bool {
        match self.profile.answers.get(answer) {
            Some(Answer::Template { file }) => self.profile.executable.contains(file),
            _ => false,
        }
    }
}

/// One file of a NoCloud seed: `meta-data` says which instance this is, so that cloud-init takes each
/// build for a new one; the others are empty.
fn seed(name: &str, system: &System, epoch: u32) -> Document {
    let text = match name {
        "meta-data" => format!(
            "instance-id: {}-{epoch}\nlocal-hostname: {}\n",
            system.name, system.name
        ),
        _ => String::new(),
    };
    Document {
        name: name.to_string(),
        content_type: "text/plain; charset=utf-8".to_string(),
        bytes: text.into_bytes(),
        gzip: false,
        secret: false,
    }
}
