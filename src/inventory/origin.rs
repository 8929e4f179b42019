//! Where each of a system's values comes from: `farrier show NAME --origin`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use super::chunk::{self, cut, join};
use super::disk;
use super::field::{Field, Section};
use super::files::FileSet;
use super::inherit::Library;
use super::intent;
use super::load::{read_folders, with_root};
use super::text::{Page, Source};
use crate::model::{Intent, Name, Partial, Profile, Site, System};

/// One resolved value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Origin {
    /// The key with dots: `vars.role`; what the profile decides begins with `profile.`.
    pub key: String,
    /// The value; a date is text.
    pub value: Json,
    /// The file, relative to the site; [`BUILT_IN`] if no file says it.
    pub file: String,
    /// The line, from 1; 0 if no file says it.
    pub line: usize,
    /// It stands under `[defaults]`.
    pub defaults: bool,
}

/// What stands for the file of a value that no file sets.
pub const BUILT_IN: &str = "built in";

/// Every value of a system with the place it comes from, by key. Empty if there is no such system.
/// `site` must be what these files were loaded as.
pub fn origins(files: &FileSet, site: &Site, name: &str) -> Vec<Origin> {
    let Some(system) = site.system(name) else {
        return Vec::new();
    };
    let mut layers = Layers::default();
    let profile = site.profile_of(system);
    if let Some(profile) = profile {
        layers.built_in(system, profile);
    }
    // Weakest first, as DESIGN orders them: defaults, distro, parents, profile, system.
    systems_toml(files, &mut layers);
    if let Some(distro) = profile.and_then(|p| p.distro.as_ref()) {
        let path = format!("boot/{distro}.toml");
        layers.file(files, &path, |root, layer| {
            if let Some(vars) = root.section("vars", "") {
                flatten(&vars, "vars", layer);
            }
        });
    }
    for ancestor in chain(files, &system.profile) {
        let path = format!("profiles/{ancestor}/profile.toml");
        layers.file(files, &path, |root, layer| {
            for field in root.fields().filter(|f| f.key != "inherit") {
                match field.key {
                    "vars" => flatten_field(&field, "vars", layer),
                    key if intent::KEYS.contains(&key) => flatten_field(&field, key, layer),
                    key => flatten_field(&field, &format!("profile.{key}"), layer),
                }
            }
        });
    }
    own(files, system, &mut layers);
    layers.resolved()
}

/// The profile's ancestors, the oldest first, and itself.
fn chain(files: &FileSet, profile: &Name) -> Vec<Name> {
    let folders = read_folders(files, &mut Vec::new());
    let library = Library {
        folders: &folders,
        distros: &BTreeMap::new(),
        distro_names: &BTreeSet::new(),
        vars: &Map::new(),
        intent: &Partial::default(),
    };
    let chain = library.chain(profile, &mut Vec::new()).unwrap_or_default();
    chain.into_iter().map(|(name, _)| name.clone()).collect()
}

fn systems_toml(files: &FileSet, layers: &mut Layers) {
    let path = "systems.toml";
    let Some(text) = text(files, path) else {
        return;
    };
    // Large sites keep [defaults] in front: what follows the first system is looked at only if
    // they do not.
    let head = text.find("\n[system.").map_or(text, |end| &text[..end + 1]);
    let has = |text: &str| text.contains("[defaults") || text.starts_with("defaults");
    let source = Source::new(path, text);
    let ranges = match has(head) {
        true => std::iter::once(0..head.len()).collect(),
        false => cut(text).rest,
    };
    layers.part(&source, &ranges, |root, layer| {
        if let Some(defaults) = root.section("defaults", "") {
            flatten(&defaults, "", layer);
            layer.iter_mut().for_each(|o| o.defaults = true);
        }
    });
}

/// The system's own entry.
fn own(files: &FileSet, system: &System, layers: &mut Layers) {
    for (path, file) in files.systems_files() {
        let Ok(text) = std::str::from_utf8(&file.bytes) else {
            continue;
        };
        let ranges = match chunk::find(text, &system.name) {
            Some(range) => Vec::from([range]),
            None => {
                let cut = cut(text);
                let part = cut
                    .parts
                    .iter()
                    .find(|p| p.key.eq_ignore_ascii_case(&system.name));
                part.map_or(cut.rest, |p| p.ranges.clone())
            }
        };
        let source = Source::new(path, text);
        layers.part(&source, &ranges, |root, layer| {
            let Some(systems) = root.section("system", "") else {
                return;
            };
            let own = |f: &Field<'_>| f.key.eq_ignore_ascii_case(&system.name);
            if let Some(section) = systems.fields().find(own).and_then(|f| f.section("")) {
                flatten(&section, "", layer);
            }
        });
    }
}

fn text<'a>(files: &'a FileSet, path: &str) -> Option<&'a str> {
    let file = files.files.get(path)?;
    std::str::from_utf8(&file.bytes).ok()
}

fn flatten(section: &Section<'_>, prefix: &str, layer: &mut Vec<Origin>) {
    for field in section.fields() {
        let key = match prefix {
            "" => field.key.to_string(),
            prefix => format!("{prefix}.{}", field.key),
        };
        flatten_field(&field, &key, layer);
    }
}

fn flatten_field(field: &Field<'_>, key: &str, layer: &mut Vec<Origin>) {
    if field.is_tables() {
        for (number, element) in field.elements().iter().enumerate() {
            if let Some(section) = element.section("") {
                flatten(&section, &format!("{key}.{}", number + 1), layer);
            }
        }
    } else if let Some(section) = field.is_table().then(|| field.section("")).flatten() {
        flatten(&section, key, layer);
    } else {
        layer.push(Origin {
            key: key.to_string(),
            value: field.json().unwrap_or_default(),
            file: field.page.source.path.to_string(),
            line: field.page.line(field.place.start),
            defaults: false,
        });
    }
}

/// Values as they pile up, the weakest first.
#[derive(Default)]
struct Layers {
    values: BTreeMap<String, Origin>,
}

impl Layers {
    fn file(
        &mut self,
        files: &FileSet,
        path: &str,
        read: impl FnOnce(&Section<'_>, &mut Vec<Origin>),
    ) {
        if let Some(text) = text(files, path) {
            let source = Source::new(path, text);
            self.part(&source, std::slice::from_ref(&(0..text.len())), read);
        }
    }

    fn part(
        &mut self,
        source: &Source<'_>,
        ranges: &[std::ops::Range<usize>],
        read: impl FnOnce(&Section<'_>, &mut Vec<Origin>),
    ) {
        let page = Page::new(source, ranges);
        let mut layer = Vec::new();
        with_root(&page, &join(source.text, ranges), |root| {
            read(root, &mut layer);
        });
        self.add(layer);
    }

    /// Lays a stronger layer over what is there: tables merge, everything else replaces, and a disk
    /// rule is one value.
    fn add(&mut self, layer: Vec<Origin>) {
        for rule in ["disk", "profile.disk"] {
            let is_rule = |key: &str| {
                let rest = key.strip_prefix(rule).and_then(|k| k.strip_prefix('.'));
                key == rule || rest.is_some_and(|k| disk::KEYS.contains(&k))
            };
            if layer.iter().any(|o| is_rule(&o.key)) {
                self.values.retain(|key, _| !is_rule(key));
            }
        }
        // So are lists of tables, however they are written.
        for whole in ["storage.second", "storage.tang", "storage.volumes"] {
            let is_part = |key: &str| {
                let rest = key.strip_prefix(whole);
                rest.is_some_and(|r| r.is_empty() || r.starts_with('.'))
            };
            if layer.iter().any(|o| is_part(&o.key)) {
                self.values.retain(|key, _| !is_part(key));
            }
        }
        for origin in layer {
            // Among vars a value may replace a table, or a table a value.
            if origin.key.starts_with("vars.") {
                let below = format!("{}.", origin.key);
                self.values.retain(|key, _| {
                    let above = origin.key.strip_prefix(key.as_str());
                    !key.starts_with(&below) && !above.is_some_and(|k| k.starts_with('.'))
                });
            }
            self.values.insert(origin.key.clone(), origin);
        }
    }

    /// What holds if no file says otherwise.
    fn built_in(&mut self, system: &System, profile: &Profile) {
        let mut say = |key: &str, value: Json| {
            let origin = Origin {
                key: key.to_string(),
                value,
                file: BUILT_IN.to_string(),
                line: 0,
                defaults: false,
            };
            self.values.insert(origin.key.clone(), origin);
        };
        let seconds = |d: std::time::Duration| Json::from(format!("{}s", d.as_secs()));
        say("protected", system.protected.into());
        say("secure_boot", system.secure_boot.into());
        say("wipe", system.wipe.into());
        say("profile.attempts", profile.attempts.into());
        say(
            "profile.retry_after_write",
            profile.retry_after_write.into(),
        );
        say(
            "profile.disk.may_destroy",
            profile.may_destroy.clone().into(),
        );
        if profile.kind.installs() {
            let Intent {
                locale,
                storage,
                network,
                ..
            } = Intent::default();
            say("locale.language", locale.language.into());
            say("locale.keyboard", locale.keyboard.into());
            say("locale.timezone", locale.timezone.into());
            say("storage.layout", storage.layout.word().into());
            say("storage.raid", storage.raid.word().into());
            say("storage.filesystem", storage.filesystem.word().into());
            say("storage.swap", format!("{}MiB", storage.swap_mib).into());
            say("storage.encrypt", storage.encrypt.word().into());
            say("network.ipv6", network.ipv6.word().into());
        }
        let deadlines = &profile.deadlines;
        say("profile.deadline.boot", seconds(deadlines.boot));
        say("profile.deadline.install", seconds(deadlines.install));
        say("profile.deadline.first_boot", seconds(deadlines.first_boot));
        say("profile.deadline.configure", seconds(deadlines.configure));
    }

    fn resolved(mut self) -> Vec<Origin> {
        // A system's rule replaces the profile's.
        if self
            .values
            .keys()
            .any(|k| k == "disk" || k.starts_with("disk."))
        {
            let rule = |k: &str| {
                k.strip_prefix("profile.disk.")
                    .is_some_and(|k| disk::KEYS.contains(&k))
            };
            self.values.retain(|key, _| !rule(key));
        }
        self.values.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::parse;

    #[test]
    fn each_value_names_its_file_and_line() {
        let files = FileSet::default()
            .with("systems.toml", &b"[defaults]\nprofile = \"p\"\nprotected = true\nvars = { role = \"any\", ntp = \"a\" }\ndisk = { min_size = \"8G\" }\nstorage.filesystem = \"xfs\"\n\n[system.web01]\nmac = \"52:54:00:00:00:01\"\nvars.role = \"web\"\ndisk.serial = \"S3\"\nstorage.raid = \"none\"\nstorage.volumes = [{ mount = \"/\", size = \"rest\" }]\nstorage.second = { path = \"/dev/vdb\" }\n"[..])
            .with("boot/d.toml", &b"kernel = \"k\"\n[artefact.k]\nfile = \"/k\"\n[vars]\nntp = \"b\"\nsuite = \"bookworm\""[..])
            .with("profiles/base/profile.toml", &b"kind = \"base\"\n[vars]\nntp = \"c\"\nzone = \"UTC\"\n[deadline]\nboot = \"5m\"\n[locale]\ntimezone = \"Europe/Berlin\""[..])
            .with("profiles/p/profile.toml", &b"kind = \"fai\"\ndistro = \"d\"\ninherit = \"base\"\n[vars]\nzone = { name = \"CET\" }\n[disk]\npath = \"/dev/sda\"\nmay_destroy = [\"any\"]\n[storage]\nlayout = \"lvm\"\nsecond = { serial = \"X\" }\n[[storage.volumes]]\nmount = \"/srv\"\nsize = \"1G\""[..]);
        let parsed = parse(&files);
        let site = parsed.site.expect("sound");
        let shown: Vec<String> = origins(&files, &site, "web01")
            .iter()
            .map(|o| format!("{} = {} ({}:{})", o.key, o.value, o.file, o.line))
            .collect();
        let want = [
            "disk.serial = \"S3\" (systems.toml:11)",
            "locale.keyboard = \"us\" (built in:0)",
            "locale.language = \"en_US.UTF-8\" (built in:0)",
            "locale.timezone = \"Europe/Berlin\" (profiles/base/profile.toml:8)",
            "mac = \"52:54:00:00:00:01\" (systems.toml:9)",
            "network.ipv6 = \"off\" (built in:0)",
            "profile = \"p\" (systems.toml:2)",
            "profile.attempts = 2 (built in:0)",
            "profile.deadline.boot = \"5m\" (profiles/base/profile.toml:6)",
            "profile.deadline.configure = \"1800s\" (built in:0)",
            "profile.deadline.first_boot = \"1200s\" (built in:0)",
            "profile.deadline.install = \"3600s\" (built in:0)",
            "profile.disk.may_destroy = [\"any\"] (profiles/p/profile.toml:8)",
            "profile.distro = \"d\" (profiles/p/profile.toml:2)",
            "profile.kind = \"fai\" (profiles/p/profile.toml:1)",
            "profile.retry_after_write = false (built in:0)",
            "protected = true (systems.toml:3)",
            "secure_boot = false (built in:0)",
            "storage.encrypt = \"none\" (built in:0)",
            "storage.filesystem = \"xfs\" (systems.toml:6)",
            "storage.layout = \"lvm\" (profiles/p/profile.toml:10)",
            "storage.raid = \"none\" (systems.toml:12)",
            "storage.second.path = \"/dev/vdb\" (systems.toml:14)",
            "storage.swap = \"1024MiB\" (built in:0)",
            "storage.volumes = [{\"mount\":\"/\",\"size\":\"rest\"}] (systems.toml:13)",
            "vars.ntp = \"c\" (profiles/base/profile.toml:3)",
            "vars.role = \"web\" (systems.toml:10)",
            "vars.suite = \"bookworm\" (boot/d.toml:6)",
            "vars.zone.name = \"CET\" (profiles/p/profile.toml:5)",
            "wipe = false (built in:0)",
        ];
        assert_eq!(shown, want);
        // The same order of precedence as the loader's.
        let profile = &site.profiles["p"];
        assert_eq!(
            serde_json::to_value(&profile.vars).expect("json"),
            serde_json::json!({"role": "any", "ntp": "c", "suite": "bookworm", "zone": {"name": "CET"}})
        );
        assert_eq!(site.systems["web01"].vars["role"], "web");
        assert!(origins(&files, &site, "nobody").is_empty());
    }
}
