//! `[storage]`.

use serde_json::{Map, Value as Json};

use super::{said, words};
use crate::inventory::disk::disk;
use crate::inventory::field::{Field, Section};
use crate::inventory::settings::url;
use crate::inventory::value;

const MIB: u64 = 1 << 20;

const FILESYSTEMS: [&str; 3] = ["ext4", "xfs", "btrfs"];

/// What the profile sees to where it is needed.
const PROFILES_OWN: [&str; 3] = ["/boot", "/boot/efi", "/efi"];

pub(super) fn storage(section: &Section<'_>) -> Map<String, Json> {
    section.only(&[
        "layout",
        "raid",
        "second",
        "filesystem",
        "swap",
        "encrypt",
        "tang",
        "volumes",
    ]);
    let choice = |key: &str, all: &[&str]| words::one_of(&section.get(key)?, all);
    said([
        ("layout", choice("layout", &["plain", "lvm"])),
        ("raid", choice("raid", &["none", "raid1"])),
        ("second", section.get("second").and_then(|f| second(&f))),
        ("filesystem", choice("filesystem", &FILESYSTEMS)),
        ("swap", section.get("swap").and_then(|f| swap(&f))),
        ("encrypt", choice("encrypt", &["none", "tang", "tpm2"])),
        ("tang", section.get("tang").map(|f| tang(&f))),
        ("volumes", section.get("volumes").map(|f| volumes(&f))),
    ])
}

fn second(field: &Field<'_>) -> Option<Json> {
    let rule = disk(field, "`second`")?;
    let rule = serde_json::to_value(rule).ok()?;
    let said = rule.as_object()?.iter().filter(|(_, v)| !v.is_null());
    Some(said.map(|(k, v)| (k.clone(), v.clone())).collect())
}

/// MiB, as the nearest whole number that is not less.
fn mib(bytes: u64) -> Json {
    Json::from(bytes.div_ceil(MIB))
}

fn swap(field: &Field<'_>) -> Option<Json> {
    if field.is_text() {
        let text = field.text()?.trim();
        if !text.is_empty() && text.bytes().all(|b| b == b'0') {
            return Some(mib(0));
        }
        return field.by("a size", value::size).map(mib);
    }
    field
        .integer(0..=i64::MAX)
        .map(|bytes| mib(bytes.unsigned_abs()))
}

fn tang(field: &Field<'_>) -> Json {
    let read = |field: &Field<'_>| -> Option<Json> {
        let section = field.section("a Tang server")?;
        section.only(&["url", "thumbprint"]);
        let (Some(address), Some(thumbprint)) = (section.get("url"), section.get("thumbprint"))
        else {
            section.error(
                "a Tang server needs its URL and the thumbprint of its key",
                "one is missing",
                "write `{ url = \"http://tang.example\", thumbprint = \"...\" }`; `tang-show-keys` prints it",
            );
            return None;
        };
        let help = "`tang-show-keys` on the server prints it";
        let thumbprint = words::word(&thumbprint, "a thumbprint", words::is_thumbprint, help)?;
        let address = address.by("a URL", url)?;
        Some(Json::Object(said([
            ("url", Some(Json::from(address))),
            ("thumbprint", Some(Json::from(thumbprint))),
        ])))
    };
    field.elements().iter().filter_map(read).collect()
}

fn volumes(field: &Field<'_>) -> Json {
    let mut mounts: Vec<String> = Vec::new();
    let mut rest: Vec<Field<'_>> = Vec::new();
    let mut all = Vec::new();
    for element in field.elements() {
        let Some((mount, volume)) = volume(&element, &mut rest) else {
            continue;
        };
        if mounts.contains(&mount) {
            let help = Some("remove one of them".to_string());
            element.error(format!("`{mount}` is mounted twice"), "listed before", help);
            continue;
        }
        mounts.push(mount);
        all.push(volume);
    }
    let root = mounts.iter().any(|m| m == "/");
    let help = |text: &str| Some(text.to_string());
    match rest.as_slice() {
        [_, second, ..] => second.error(
            "two volumes take the rest of the disk",
            "the second",
            help("give all but one of them a size"),
        ),
        [one] if !root => one.error(
            "this volume takes the rest of the disk, and so does `/`, which is not named",
            "the rest is taken",
            help("add `{ mount = \"/\", size = \"20GiB\" }`, or give this one a size"),
        ),
        [] if root => field.error(
            "no volume takes the rest of the disk",
            "every one has a size",
            help("write `size = \"rest\"` for one of them"),
        ),
        _ => {}
    }
    Json::from(all)
}

fn volume<'a>(field: &Field<'a>, rest: &mut Vec<Field<'a>>) -> Option<(String, Json)> {
    let section = field.section("a volume")?;
    section.only(&["mount", "size", "filesystem"]);
    let Some(mount) = section.get("mount") else {
        section.error(
            "a volume is mounted nowhere",
            "no `mount` here",
            "add `mount = \"/var\"`",
        );
        return None;
    };
    let help = "write an absolute path such as `/var/lib`";
    let path = words::word(&mount, "a mount point", words::is_mount, help)?;
    if PROFILES_OWN.contains(&path) {
        mount.error(
            format!("`{path}` is the profile's business"),
            "made where it is needed",
            Some("remove this volume".to_string()),
        );
        return None;
    }
    let Some(size) = section.get("size") else {
        section.error(
            format!("the volume `{path}` has no size"),
            "no `size` here",
            "add `size = \"20GiB\"`, or `size = \"rest\"` for one of the volumes",
        );
        return None;
    };
    let takes_rest = size.is_text() && size.text() == Some("rest");
    let mib = match takes_rest {
        true => {
            rest.push(size);
            Json::Null
        }
        false => mib(size.size()?),
    };
    let filesystem = section
        .get("filesystem")
        .and_then(|f| words::one_of(&f, &FILESYSTEMS));
    let volume = said([
        ("mount", Some(Json::from(path))),
        ("size", Some(mib)),
        ("filesystem", filesystem),
    ]);
    Some((path.to_string(), Json::Object(volume)))
}
