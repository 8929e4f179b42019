//! How a build will be started, with every file that it needs on this server.

use std::collections::BTreeMap;

use crate::boot::{Scope, pair};
use crate::model::way::OVERLAY;
use crate::model::{ArtefactIndex, Content, Distro, Module, Own, PlannedFile, Profile, Way};

/// The way of a distro with what the profile adds. `planned` finds an artefact of the distro, which is
/// `here` as far as that is so.
///
/// # Errors
/// Whatever `planned` says of an artefact that is not here.
pub(super) fn way<E>(
    distro: &Distro,
    profile: &Profile,
    here: &ArtefactIndex,
    planned: impl Fn(&str) -> Result<PlannedFile, E>,
) -> Result<Way, E> {
    let declared = &distro.way;
    let mut modules = Vec::new();
    for module in &declared.modules {
        modules.push(with(module, Content::File(planned(&module.content)?)));
    }
    let document = |name: &str| Content::Document {
        token: Scope::Read.placeholder().to_string(),
        name: name.to_string(),
    };
    for module in &profile.delivery.modules {
        modules.push(with(module, document(&module.content)));
    }
    if !profile.delivery.overlay.is_empty() {
        modules.push(Module {
            content: document(OVERLAY),
            name: OVERLAY.to_string(),
            arguments: String::new(),
            path: None,
        });
    }
    let own = match &declared.own {
        Some(own) => Some(of_own(own, &planned)?),
        None => None,
    };
    Ok(Way {
        start: declared.start,
        kernel_path: declared.kernel_path.clone(),
        firmware: declared.firmware.clone(),
        modules,
        own,
        pair: pair::of(distro, here),
        memory: declared.memory,
    })
}

fn with(module: &Module<String>, content: Content) -> Module<Content> {
    Module {
        content,
        name: module.name.clone(),
        arguments: module.arguments.clone(),
        path: module.path.clone(),
    }
}

fn of_own<E>(
    own: &Own<String>,
    planned: &impl Fn(&str) -> Result<PlannedFile, E>,
) -> Result<Own<PlannedFile>, E> {
    let program = |name: &Option<String>| name.as_deref().map(planned).transpose();
    let mut files = BTreeMap::new();
    for (name, artefact) in &own.files {
        files.insert(name.clone(), planned(artefact)?);
    }
    Ok(Own {
        bios: program(&own.bios)?,
        uefi: program(&own.uefi)?,
        config: own.config.clone(),
        config_names: own.config_names.clone(),
        files,
        signed: own.signed,
    })
}
