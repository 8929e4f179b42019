//! What a machine should be, as a system, a profile or `[defaults]` says it: the same keys in each.
//!
//! Here every value is checked where it stands. What several layers say together is checked when
//! they are laid over one another ([`Partial::resolve`]).

mod network;
mod people;
mod software;
mod storage;
mod words;

use serde_json::{Map, Value as Json};

use super::field::{Field, Section};
use crate::model::Partial;

pub(super) use network::{interface_name, prefix6};

/// The keys, which are the same for a system, a profile and `[defaults]`.
pub(super) const KEYS: [&str; 6] = [
    "packages",
    "locale",
    "storage",
    "network",
    "users",
    "repository",
];

/// What may be left unheeded besides keys of the intent: values of a system and its interfaces.
/// Which disk is written is never left unheeded.
const OTHERS: [&str; 5] = [
    "static_ip",
    "interface.static_ip",
    "interface.name",
    "interface.ip6",
    "ssh_keys",
];

/// Whether this is a key of the intent, or one within.
pub(super) fn is_key(key: &str) -> bool {
    let first = key.split('.').next().unwrap_or("");
    KEYS.contains(&first) || OTHERS.contains(&key)
}

/// Reads the intent of a table that may have other keys. `ssh_keys` reads a list of public keys.
pub(super) fn partial(root: &Section<'_>) -> Partial {
    let mut said = Map::new();
    let mut say = |key: &str, value: Option<Json>| {
        if let Some(value) = value {
            said.insert(key.to_string(), value);
        }
    };
    say(
        "packages",
        root.get("packages").map(|f| software::packages(&f)),
    );
    say("locale", within(root, "locale", locale));
    say("storage", within(root, "storage", storage::storage));
    say("network", within(root, "network", network::network));
    say("users", within(root, "users", people::users));
    say(
        "repository",
        within(root, "repository", software::repositories),
    );
    Partial::new(said)
}

/// Reads a table below another; nothing if it is not there.
fn within(
    root: &Section<'_>,
    key: &str,
    read: impl FnOnce(&Section<'_>) -> Map<String, Json>,
) -> Option<Json> {
    let field = root.get(key)?;
    let section = field.section(title(root, key))?;
    Some(Json::Object(read(&section)))
}

/// `[system.web01.storage]` below `[system.web01]`, `[storage]` below a file.
fn title(root: &Section<'_>, key: &str) -> String {
    match root.title.strip_suffix(']') {
        Some(outer) if outer.starts_with('[') => format!("{outer}.{key}]"),
        _ => format!("[{key}]"),
    }
}

/// Puts every value that could be read under its key.
fn said<const N: usize>(values: [(&str, Option<Json>); N]) -> Map<String, Json> {
    let there = values
        .into_iter()
        .filter_map(|(k, v)| Some((k.to_string(), v?)));
    there.collect()
}

fn locale(section: &Section<'_>) -> Map<String, Json> {
    section.only(&["language", "keyboard", "timezone"]);
    let text = |key: &str, what: &str, ok: fn(&str) -> bool, help: &str| {
        let field = section.get(key)?;
        words::word(&field, what, ok, help).map(Json::from)
    };
    said([
        (
            "language",
            text(
                "language",
                "a locale",
                words::is_locale,
                "write it as `en_US.UTF-8` or `C.UTF-8`",
            ),
        ),
        (
            "keyboard",
            text(
                "keyboard",
                "a keymap",
                words::is_keymap,
                "write the name of a console keymap, as `us` or `de-latin1`",
            ),
        ),
        (
            "timezone",
            text(
                "timezone",
                "a time zone",
                words::is_zone,
                "write it as the time zone database does: `Etc/UTC`, `Europe/Berlin`",
            ),
        ),
    ])
}

/// Every table of a table of named ones, read by `read`; a name that is none is refused.
fn named(
    section: &Section<'_>,
    what: &str,
    ok: fn(&str) -> bool,
    help: &str,
    read: impl Fn(&str, &Section<'_>) -> Map<String, Json>,
) -> Map<String, Json> {
    let mut all = Map::new();
    for field in section.fields() {
        let name = field.key;
        if !ok(name) {
            refused_name(&field, section, what, help);
            continue;
        }
        if let Some(inner) = field.section(title(section, name)) {
            all.insert(name.to_string(), Json::Object(read(name, &inner)));
        }
    }
    all
}

fn refused_name(field: &Field<'_>, section: &Section<'_>, what: &str, help: &str) {
    let place = section.key_place(field.key);
    let span = section.page.span(place, format!("not {what}"));
    let message = format!("`{}` cannot be {what}", field.key);
    section
        .page
        .report(crate::model::Diagnostic::error(message).at(span).help(help));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::inventory::{Edit, FileSet, parse};
    use crate::model::{Partial, Site};

    fn site(systems: &str) -> FileSet {
        FileSet::default()
            .with("systems.toml", systems.as_bytes())
            .with(
                "boot/d.toml",
                &b"kernel = \"k\"\n[artefact.k]\nfile = \"/k\""[..],
            )
            .with(
                "profiles/base/profile.toml",
                &b"kind = \"base\"\n[locale]\ntimezone = \"Etc/GMT\"\nkeyboard = \"de\""[..],
            )
            .with(
                "profiles/p/profile.toml",
                &b"kind = \"fai\"\ndistro = \"d\"\ninherit = \"base\"\nignores = [\"users\"]\n[locale]\nkeyboard = \"fr\"\n[storage]\nraid = \"raid1\""[..],
            )
            .with(
                "profiles/q/profile.toml",
                &b"inherit = \"p\"\nignores = [\"packages\"]\nstorage.layout = \"lvm\""[..],
            )
    }

    fn loaded(files: &FileSet) -> Site {
        let parsed = parse(files);
        let told = format!("{:?}", parsed.diagnostics);
        parsed.site.expect(&told)
    }

    #[test]
    fn keys_are_set_as_they_are_typed() {
        let files = site("[system.web01]\nmac = \"52:54:00:00:00:01\"\nprofile = \"p\"\n");
        let typed = [
            "storage.layout=lvm",
            "storage.swap=0",
            "storage.second=/dev/vdb",
            "storage.volumes=[{ mount = \"/\", size = \"rest\" }]",
            "packages=vim, tcpdump",
            "users.alice.sudo=true",
            "users.alice.groups=adm,ops",
            "network.vlan.v20.id=20",
            "network.bond.bond0.interfaces=52:54:00:00:00:01",
            "repository.internal.components=main",
        ];
        let edit = Edit::Set {
            name: "web01".parse().expect("a name"),
            assignments: typed.map(|t| t.parse().expect(t)).into(),
        };
        let change = edit.apply(&files).expect("an edit");
        let site = loaded(&files.with(&change.path, change.bytes));
        let want = json!({
            "packages": ["vim", "tcpdump"],
            "storage": {"layout": "lvm", "second": {"path": "/dev/vdb"}, "swap": 0, "volumes": [{"mount": "/", "size": null}]},
            "network": {"bond": {"bond0": {"interfaces": ["52:54:00:00:00:01"]}}, "vlan": {"v20": {"id": 20}}},
            "users": {"alice": {"groups": ["adm", "ops"], "sudo": true}},
            "repository": {"internal": {"components": ["main"]}},
        });
        let want = Partial::new(want.as_object().cloned().expect("tables"));
        assert_eq!(site.systems["web01"].intent.as_deref(), Some(&want));
        let refused: Result<crate::inventory::Assignment, _> = "stroage.layout=lvm".parse();
        assert!(
            refused
                .expect_err("no such key")
                .to_string()
                .contains("`storage`")
        );
    }

    #[test]
    fn layers_lie_over_one_another_and_a_base_asks_for_nothing() {
        let site = loaded(&site(
            "[defaults]\npackages = [\"vim\"]\nlocale = { timezone = \"Etc/UTC\", language = \"C.UTF-8\" }\n[system.web01]\nmac = \"52:54:00:00:00:01\"\nprofile = \"q\"\n",
        ));
        let profile = &site.profiles["q"];
        let whole = profile.intent.resolve().expect("sound");
        assert_eq!(whole.packages, ["vim"]);
        assert_eq!(
            (
                whole.locale.language.as_str(),
                whole.locale.timezone.as_str(),
                whole.locale.keyboard.as_str()
            ),
            ("C.UTF-8", "Etc/GMT", "fr")
        );
        assert_eq!(
            (whole.storage.layout.word(), whole.storage.raid.word()),
            ("lvm", "raid1")
        );
        let asked: Vec<&str> = profile.asked.iter().map(String::as_str).collect();
        let keys = [
            "locale.keyboard",
            "locale.language",
            "locale.timezone",
            "packages",
            "storage.layout",
            "storage.raid",
        ];
        assert_eq!(asked, keys);
        let ignores: Vec<&str> = profile.ignores.iter().map(String::as_str).collect();
        assert_eq!(ignores, ["packages", "users"]);
        assert_eq!(
            site.systems["web01"].intent, None,
            "nothing said costs nothing"
        );
    }
}
