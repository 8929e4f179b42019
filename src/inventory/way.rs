//! How an installer is started: what a distro's and a profile's file say beside kernel and initrds.

use std::collections::BTreeMap;

use super::distro::{is_plain, relative};
use super::field::{Field, Section};
use super::settings::one_of;
use crate::model::{Delivery, DistroWay, Family, Module, Own, Start};

/// Keys of a distro's file that this module reads.
pub(super) const KEYS: [&str; 6] = [
    "start",
    "kernel_path",
    "firmware",
    "module",
    "own",
    "memory",
];

const FAMILIES: [(&str, Family); 2] = [("bios", Family::Bios), ("uefi", Family::Uefi)];

/// Reads them. `named` finds an artefact of the file, and says where one is missing.
pub(super) fn distro(
    root: &Section<'_>,
    named: &dyn Fn(&Field<'_>) -> Option<String>,
) -> DistroWay {
    let own = root
        .section("own", "[own]")
        .and_then(|section| own(&section, named));
    let way = DistroWay {
        start: root
            .get("start")
            .and_then(|f| one_of(&f, &Start::WORDS))
            .unwrap_or_default(),
        kernel_path: root
            .get("kernel_path")
            .and_then(|f| f.by("a path", url_path)),
        firmware: root
            .get("firmware")
            .map(|f| f.elements())
            .unwrap_or_default()
            .iter()
            .filter_map(|f| one_of(f, &FAMILIES))
            .collect(),
        modules: modules(root, "artefact", named),
        own,
        inside: BTreeMap::new(),
        memory: root.get("memory").and_then(|f| f.size()),
    };
    if way.start == Start::Own
        && way.own.is_none()
        && let Some(field) = root.get("start")
    {
        field.error(
            "`start = \"own\"` needs to know the boot program".to_string(),
            "which program is it?",
            Some("add a table `[own]` with `bios` or `uefi`, and `config`".to_string()),
        );
    }
    way
}

/// What a profile adds.
pub(super) fn delivery(root: &Section<'_>) -> Delivery {
    let mut overlay = BTreeMap::new();
    if let Some(section) = root.section("overlay", "[overlay]") {
        for field in section.fields() {
            match relative(field.key) {
                Ok(path) if path.len() <= 255 => {
                    if let Some(answer) = answer(&field) {
                        overlay.insert(path, answer);
                    }
                }
                _ => field.error(
                    format!("`{}` is no path in a RAM disk", field.key),
                    "under this path",
                    Some("write it as `\"etc/ks.cfg\" = \"ks.cfg\"`".to_string()),
                ),
            }
        }
    }
    Delivery {
        overlay,
        modules: modules(root, "answer", &answer),
    }
}

fn answer(field: &Field<'_>) -> Option<String> {
    let name = field.text()?;
    if !is_plain(name) {
        field.error(
            format!("`{name}` cannot be the name of an answer"),
            "one of those under [answers]",
            None,
        );
        return None;
    }
    Some(name.to_string())
}

/// `[[module]]` tables; `what` is the key of their content.
fn modules(
    root: &Section<'_>,
    what: &str,
    named: &dyn Fn(&Field<'_>) -> Option<String>,
) -> Vec<Module<String>> {
    let Some(field) = root.get("module") else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for element in field.elements() {
        let Some(section) = element.section("[[module]]") else {
            continue;
        };
        section.only(&[what, "name", "arguments", "path"]);
        let Some(content) = section.get(what) else {
            let help = format!("add `{what} = \"NAME\"`");
            section.error(
                "a module that is nothing",
                &format!("`{what}` is missing"),
                &help,
            );
            continue;
        };
        let Some(content) = named(&content) else {
            continue;
        };
        let name = section.get("name").and_then(|f| f.by("a name", plain));
        found.push(Module {
            name: name.unwrap_or_else(|| content.clone()),
            arguments: section
                .get("arguments")
                .and_then(|f| f.by("arguments", arguments))
                .unwrap_or_default(),
            path: section.get("path").and_then(|f| f.by("a path", url_path)),
            content,
        });
    }
    found
}

fn own(section: &Section<'_>, named: &dyn Fn(&Field<'_>) -> Option<String>) -> Option<Own<String>> {
    section.only(&["bios", "uefi", "config", "config_names", "files", "signed"]);
    let program = |key: &str| section.get(key).and_then(|f| named(&f));
    let Some(config) = section.get("config") else {
        section.error(
            "the boot program has no configuration",
            "`config` is missing",
            "add `config = \"boot.conf\"`, an answer of the profile",
        );
        return None;
    };
    let mut files = BTreeMap::new();
    if let Some(list) = section.section("files", "[own.files]") {
        for field in list.fields() {
            match url_path(field.key) {
                Ok(path) => {
                    if let Some(artefact) = named(&field) {
                        files.insert(path, artefact);
                    }
                }
                Err(why) => field.error(why, "under this name", None),
            }
        }
    }
    let own = Own {
        bios: program("bios"),
        uefi: program("uefi"),
        config: answer(&config)?,
        config_names: section
            .get("config_names")
            .map(|f| f.elements())
            .unwrap_or_default()
            .iter()
            .filter_map(|f| f.by("a name", url_path))
            .collect(),
        files,
        signed: section.boolean("signed").unwrap_or(false),
    };
    if own.bios.is_none() && own.uefi.is_none() {
        section.error(
            "the boot program has no file",
            "neither `bios` nor `uefi` is here",
            "add `bios = \"pxeboot\"` or `uefi = \"BOOTX64.EFI\"`, an artefact of this file",
        );
    }
    Some(own)
}

/// `[files.NAME]`: many artefacts out of one folder or from below one URL. Yields name and source of
/// each, as if each had a table of its own.
pub(super) fn files(root: &Section<'_>) -> Vec<(String, crate::model::ArtefactSource)> {
    use crate::model::ArtefactSource;
    let mut found = Vec::new();
    let Some(section) = root.section("files", "[files]") else {
        return found;
    };
    section.only(&["folder", "url", "names"]);
    let folder = section.get("folder").and_then(|f| f.word());
    let url = section
        .get("url")
        .and_then(|f| f.by("a URL", super::settings::url));
    let names = section
        .get("names")
        .map(|f| f.elements())
        .unwrap_or_default();
    if folder.is_some() == url.is_some() {
        section.error(
            "[files] says not once where its files come from",
            "one of `folder`, `url`",
            "keep exactly one",
        );
        return found;
    }
    for name in names.iter().filter_map(|f| f.by("a file's name", plain)) {
        let source = match (folder, &url) {
            (Some(folder), _) => ArtefactSource::File {
                path: format!("{}/{name}", folder.trim_end_matches('/')),
                sha256: None,
            },
            (None, url) => ArtefactSource::Url {
                url: format!(
                    "{}/{name}",
                    url.as_deref().unwrap_or_default().trim_end_matches('/')
                ),
                sha256: None,
            },
        };
        found.push((name, source));
    }
    found
}

fn plain(text: &str) -> Result<String, String> {
    if is_plain(text) {
        return Ok(text.to_string());
    }
    Err(format!(
        "`{text}` cannot stand in a URL; use letters, digits and `-_.:+~`, and no dot in front"
    ))
}

/// Parts that a URL can have, each as plain as a name.
fn url_path(text: &str) -> Result<String, String> {
    let path = relative(text)?;
    for part in path.split('/') {
        plain(part)?;
    }
    Ok(path)
}

/// One line that no loader reads as more.
fn arguments(text: &str) -> Result<String, String> {
    match text.chars().find(|c| !(c.is_ascii_graphic() || *c == ' ')) {
        None => Ok(text.to_string()),
        Some(c) => Err(format!("{c:?} cannot be handed to a kernel")),
    }
}
