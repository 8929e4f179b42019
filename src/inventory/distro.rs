//! `boot/NAME.toml`: where kernels and initial RAM disks come from.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::field::{Field, Section};
use super::settings::{one_of, url};
use super::suggest::instead;
use super::way;
use crate::model::{ArtefactSource, Diagnostic, Distro, Mirror, Name, Severity};

/// What can make artefacts on this host.
const BUILDERS: [(&str, &str); 1] = [("fai", "fai")];

/// The mirror that needs no `[mirror.NAME]`: this host's own apt sources say where it is.
pub(super) const OWN_MIRROR: &str = "debian";

/// A distro and the vars it brings along, which are weaker than any profile's.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) distro: Distro,
    pub(super) vars: Map<String, Json>,
}

/// Reads one file of `boot/`. Without the list of mirrors, any mirror is believed.
pub(super) fn distro(
    root: &Section<'_>,
    name: Name,
    mirrors: Option<&BTreeMap<String, Mirror>>,
) -> Option<Read> {
    let errors = root.page.errors();
    let mut keys = vec![
        "kernel",
        "kernel_uefi",
        "initrds",
        "mirror",
        "artefact",
        "files",
        "vars",
    ];
    keys.extend(way::KEYS);
    root.only(&keys);
    let mut artefacts = BTreeMap::new();
    if let Some(section) = root.section("artefact", "[artefact]") {
        for field in section.fields() {
            if let Some(source) = artefact(&field) {
                artefacts.insert(field.key.to_string(), source);
            }
        }
    }
    let mut declared: Vec<String> = match root.section("artefact", "[artefact]") {
        Some(section) => section.fields().map(|f| f.key.to_string()).collect(),
        None => Vec::new(),
    };
    for (name, source) in way::files(root) {
        declared.push(name.clone());
        artefacts.entry(name).or_insert(source);
    }
    for source in artefacts.values() {
        if let ArtefactSource::Iso { iso, .. } = source
            && !matches!(
                artefacts.get(iso),
                Some(ArtefactSource::File { .. } | ArtefactSource::Url { .. })
            )
        {
            root.error(
                format!("the distro `{name}` takes files of `{iso}`, which is no medium of its"),
                "in this file",
                "add a table for it, `[artefact.\"media.iso\"]`, with a `file` or a `url`",
            );
            break;
        }
    }
    let named = |field: &Field<'_>| -> Option<String> {
        let name = field.text()?;
        if !declared.iter().any(|d| d == name) {
            field.error(
                format!(
                    "`{}` names `{name}`, which is no artefact of this file",
                    field.key
                ),
                "no such artefact",
                instead(name, declared.iter().map(String::as_str))
                    .or(Some(format!("add a table `[artefact.{name}]`"))),
            );
            return None;
        }
        Some(name.to_string())
    };
    let kernel = match root.get("kernel") {
        Some(field) => named(&field),
        None => {
            root.error(
                format!("the distro `{name}` has no `kernel`"),
                "in this file",
                "add `kernel = \"linux\"`, the name of one of its artefacts",
            );
            None
        }
    };
    let initrds = root
        .get("initrds")
        .map(|f| f.elements())
        .unwrap_or_default();
    let vars = root
        .get("vars")
        .filter(|f| f.section("[vars]").is_some())
        .and_then(|f| f.json());
    let mut way = way::distro(root, &named);
    way.inside = inside(root);
    let distro = Distro {
        name,
        way,
        artefacts,
        kernel_uefi: root.get("kernel_uefi").and_then(|f| named(&f)),
        initrds: initrds.iter().filter_map(named).collect(),
        mirror: root.get("mirror").and_then(|f| mirror(&f, mirrors)),
        kernel: kernel.unwrap_or_default(),
    };
    let vars = match vars {
        Some(Json::Object(vars)) => vars,
        _ => Map::new(),
    };
    (root.page.errors() == errors).then_some(Read { distro, vars })
}

/// The artefacts that are put into an archive, each under its path there.
fn inside(root: &Section<'_>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let Some(section) = root.section("artefact", "[artefact]") else {
        return found;
    };
    for field in section.fields().filter(|f| f.is_table()) {
        let table = field.section(format!("[artefact.{}]", field.key));
        if let Some(path) = table.and_then(|t| t.get("inside")?.by("a path", relative)) {
            found.insert(field.key.to_string(), path);
        }
    }
    found
}

fn mirror(field: &Field<'_>, mirrors: Option<&BTreeMap<String, Mirror>>) -> Option<String> {
    let name = field.text()?;
    if let Some(mirrors) = mirrors
        && name != OWN_MIRROR
        && !mirrors.contains_key(name)
    {
        let known = mirrors.keys().map(String::as_str).chain([OWN_MIRROR]);
        field.error(
            format!("there is no mirror `{name}`"),
            "no such mirror",
            instead(name, known).or(Some(format!("add `[mirror.{name}]` to farrier.toml"))),
        );
        return None;
    }
    Some(name.to_string())
}

fn artefact(field: &Field<'_>) -> Option<ArtefactSource> {
    let name = field.key;
    let section = field.section(format!("[artefact.{name}]"))?;
    if !is_plain(name) {
        field.error(
            format!("`{name}` cannot be the name of an artefact"),
            "not usable in a URL",
            Some("use letters, digits and `-_.:+~`, and no dot in front".to_string()),
        );
        return None;
    }
    section.only(&[
        "deb", "iso", "path", "url", "file", "sha256", "builder", "inside",
    ]);
    let origins = ["deb", "iso", "url", "file", "builder"];
    let given: Vec<&str> = origins
        .into_iter()
        .filter(|key| section.table.contains_key(key))
        .collect();
    let [origin] = given.as_slice() else {
        let message = if given.is_empty() {
            format!("the artefact `{name}` does not say where it comes from")
        } else {
            format!("the artefact `{name}` has {} origins", given.len())
        };
        section.error(
            message,
            "one of `deb`, `iso`, `url`, `file`, `builder`",
            "keep exactly one",
        );
        return None;
    };
    let stray = |keys: &[&str]| {
        for key in keys {
            if let Some(field) = section.get(key) {
                field.error(
                    format!("`{key}` means nothing next to `{origin}`"),
                    "remove this",
                    None,
                );
            }
        }
    };
    let sha256 = || {
        section
            .get("sha256")
            .and_then(|f| f.by("a SHA-256", sha256))
    };
    match *origin {
        "deb" => {
            stray(&["sha256"]);
            let package: String = section.get("deb")?.by("a package", package)?;
            let Some(path) = section.get("path") else {
                section.error(
                    format!("the artefact `{name}` does not say which file of `{package}` it is"),
                    "`path` is missing",
                    "add `path = \"usr/lib/...\"`",
                );
                return None;
            };
            let path = path.by("a path", relative)?;
            Some(ArtefactSource::Deb { package, path })
        }
        "iso" => {
            stray(&["sha256"]);
            let iso = section.get("iso")?.word()?.to_string();
            let Some(path) = section.get("path") else {
                section.error(
                    format!("the artefact `{name}` does not say which file of `{iso}` it is"),
                    "`path` is missing",
                    "add `path = \"images/pxeboot/vmlinuz\"`",
                );
                return None;
            };
            let path = path.by("a path", relative)?;
            Some(ArtefactSource::Iso { iso, path })
        }
        "url" => {
            stray(&["path"]);
            let field = section.get("url")?;
            let url = field.by("a URL", url)?;
            let sha256 = sha256();
            // a placeholder is no place to download anything from
            let open = !crate::model::distro::is_placeholder(&url);
            if open && sha256.is_none() && !section.table.contains_key("sha256") {
                let mut warning = Diagnostic::error(format!(
                    "the artefact `{name}` has no `sha256`: whatever is downloaded first is believed"
                ));
                warning.severity = Severity::Warning;
                let span = section.page.span(field.place.clone(), "not pinned");
                section
                    .page
                    .report(warning.at(span).help("add `sha256 = \"...\"`"));
            }
            Some(ArtefactSource::Url { url, sha256 })
        }
        "file" => {
            stray(&["path"]);
            let path = section.get("file")?.word()?.to_string();
            Some(ArtefactSource::File {
                path,
                sha256: sha256(),
            })
        }
        _ => {
            stray(&["path", "sha256"]);
            let builder = one_of(&section.get("builder")?, &BUILDERS)?;
            Some(ArtefactSource::Built {
                builder: builder.to_string(),
            })
        }
    }
}

/// One path segment that no URL or file system treats specially: what `boot::paths` accepts.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:+~".contains(&b))
}

fn package(text: &str) -> Result<String, String> {
    let ok = text.len() >= 2
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.:".contains(&b));
    if !ok {
        return Err(format!("`{text}` is not the name of a Debian package"));
    }
    Ok(text.to_string())
}

/// A path inside a folder or package; a leading slash is dropped.
pub(super) fn relative(text: &str) -> Result<String, String> {
    let path = text.trim_start_matches('/').trim_end_matches('/');
    let ok = !path.is_empty()
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..");
    if !ok {
        return Err(format!(
            "`{text}` is not a path below its folder; leave out `.`, `..` and empty parts"
        ));
    }
    Ok(path.to_string())
}

fn sha256(text: &str) -> Result<String, String> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(format!(
            "`{text}` is not a SHA-256; it has 64 hexadecimal digits"
        ));
    }
    Ok(text.to_ascii_lowercase())
}
