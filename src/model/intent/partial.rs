//! What one layer of a site says of the intent, and how layers make a whole.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::{Encrypt, Intent, Raid};

/// What one layer says: the tables as written, checked and brought into one form (sizes are MiB, a
/// single word where a list belongs is a list), by the keys that people write.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Partial(Map<String, Json>);

/// What is wrong with a whole, which none of its layers could tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key it is about: `network.vlan.vlan20.link`.
    pub key: String,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// The fix.
    pub help: String,
}

/// Tables that are one value: two rules that must both match help nobody.
const ONE_VALUE: [&str; 1] = ["storage.second"];

impl Partial {
    /// From checked tables.
    pub fn new(tables: Map<String, Json>) -> Self {
        Partial(tables)
    }

    /// It says nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Both, what `self` says having precedence: tables merge key by key, everything else replaces.
    #[must_use]
    pub fn over(&self, weaker: &Partial) -> Partial {
        let mut merged = weaker.0.clone();
        merge(&mut merged, &self.0, "");
        Partial(merged)
    }

    /// The dotted keys of everything said. In lists of tables `*` stands for the number:
    /// `storage.volumes.*.mount`.
    pub fn leaves(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        walk(&self.0, "", &mut |key, _| {
            found.insert(key.to_string());
        });
        found
    }

    /// The keys among [`Partial::leaves`] that ask for nothing: `none`, `off`, an empty list.
    pub fn nothings(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        walk(&self.0, "", &mut |key, value| {
            if is_nothing(value) {
                found.insert(key.to_string());
            }
        });
        found
    }

    /// Whether this key is said.
    fn says(&self, table: &str, key: &str) -> bool {
        self.0.get(table).is_some_and(|t| t.get(key).is_some())
    }

    /// The whole, if this is all that is said.
    ///
    /// # Errors
    /// Everything that does not go together.
    pub fn resolve(&self) -> Result<Intent, Vec<Fault>> {
        let whole = serde_json::from_value::<Intent>(Json::Object(self.0.clone()));
        let intent = whole.map_err(|error| {
            let (key, help) = (String::new(), String::new());
            let message = format!("what is said of the machine cannot be read: {error}");
            vec![Fault { key, message, help }]
        })?;
        let faults = self.faults(&intent);
        match faults.is_empty() {
            true => Ok(intent),
            false => Err(faults),
        }
    }

    fn faults(&self, intent: &Intent) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |key: String, message: String, help: &str| {
            let help = help.to_string();
            faults.push(Fault { key, message, help });
        };
        let storage = &intent.storage;
        let (second, raid) = (self.says("storage", "second"), self.says("storage", "raid"));
        if storage.raid == Raid::None && second && !raid {
            fault(
                "storage.second".to_string(),
                "a second disk is named, and no mirror is asked for".to_string(),
                "add `raid = \"raid1\"`, or remove `second`",
            );
        }
        if storage.encrypt == Encrypt::Tang && storage.tang.is_empty() {
            fault(
                "storage.encrypt".to_string(),
                "disks are to be unlocked by Tang, and no server is named".to_string(),
                "add `tang = [{ url = \"http://tang.example\", thumbprint = \"...\" }]`",
            );
        }
        let encrypt = self.says("storage", "encrypt");
        if storage.encrypt != Encrypt::Tang && !storage.tang.is_empty() && !encrypt {
            fault(
                "storage.tang".to_string(),
                "Tang servers are named, and no encryption is asked for".to_string(),
                "add `encrypt = \"tang\"`, or remove `tang`",
            );
        }
        let network = &intent.network;
        for (name, bond) in &network.bond {
            if bond.interfaces.is_empty() {
                fault(
                    format!("network.bond.{name}"),
                    format!("the bond `{name}` has no interfaces"),
                    "add `interfaces = [\"52:54:00:12:34:56\", \"52:54:00:12:34:57\"]`",
                );
            }
        }
        for (name, vlan) in &network.vlan {
            if vlan.id == 0 {
                fault(
                    format!("network.vlan.{name}"),
                    format!("the VLAN `{name}` has no number"),
                    "add `id = 20`",
                );
            }
            if !vlan.link.is_empty() && !network.bond.contains_key(&vlan.link) {
                fault(
                    format!("network.vlan.{name}.link"),
                    format!(
                        "the VLAN `{name}` lies on `{}`, which is no bond of this system",
                        vlan.link
                    ),
                    "name a table of [network.bond], or leave `link` out for the booting interface",
                );
            }
            if network.bond.contains_key(name) {
                fault(
                    format!("network.vlan.{name}"),
                    format!("a bond and a VLAN are both called `{name}`"),
                    "give one of them another name",
                );
            }
        }
        for (name, repository) in &intent.repositories {
            if repository.url.is_empty() {
                fault(
                    format!("repository.{name}"),
                    format!("the repository `{name}` has no URL"),
                    "add `url = \"http://repo.example/\"`",
                );
            }
        }
        faults
    }
}

fn merge(into: &mut Map<String, Json>, from: &Map<String, Json>, path: &str) {
    for (key, value) in from {
        let path = joined(path, key);
        match (into.get_mut(key), value) {
            (Some(Json::Object(below)), Json::Object(above))
                if !ONE_VALUE.contains(&path.as_str()) =>
            {
                merge(below, above, &path);
            }
            (Some(slot), _) => *slot = value.clone(),
            (None, _) => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

fn walk(table: &Map<String, Json>, path: &str, seen: &mut dyn FnMut(&str, &Json)) {
    for (key, value) in table {
        let path = joined(path, key);
        match value {
            Json::Object(inner) if !inner.is_empty() && !ONE_VALUE.contains(&path.as_str()) => {
                walk(inner, &path, seen);
            }
            Json::Array(items) if items.iter().any(Json::is_object) => {
                let path = format!("{path}.*");
                for item in items.iter().filter_map(Json::as_object) {
                    walk(item, &path, seen);
                }
            }
            value => seen(&path, value),
        }
    }
}

fn joined(path: &str, key: &str) -> String {
    match path {
        "" => key.to_string(),
        path => format!("{path}.{key}"),
    }
}

fn is_nothing(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Bool(said) => !said,
        Json::String(word) => ["", "none", "off"].contains(&word.as_str()),
        Json::Array(items) => items.is_empty(),
        // `users.alice = {}` is an account, and a rule is one.
        Json::Number(_) | Json::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn partial(value: Json) -> Partial {
        Partial::new(value.as_object().cloned().unwrap_or_default())
    }

    #[test]
    fn layers_merge_and_a_disk_rule_is_one_value() {
        let weak = partial(json!({
            "packages": ["a", "b"],
            "storage": {"layout": "lvm", "second": {"serial": "X"}},
            "users": {"alice": {"sudo": true, "groups": ["a"]}}
        }));
        let strong = partial(json!({
            "packages": ["c"],
            "storage": {"raid": "raid1", "second": {"path": "/dev/vdb"}},
            "users": {"alice": {"groups": ["b"]}, "bob": {}}
        }));
        let both = strong.over(&weak).resolve().expect("sound");
        assert_eq!(both.packages, ["c"]);
        let second = both.storage.second.expect("a rule");
        assert_eq!(
            (second.serial, second.path.as_deref()),
            (None, Some("/dev/vdb"))
        );
        let alice = &both.users["alice"];
        assert_eq!(
            (alice.sudo, alice.groups.as_slice()),
            (true, &["b".to_string()][..])
        );
        assert_eq!(both.users["bob"].shell, "/bin/bash");
    }

    #[test]
    fn leaves_are_what_is_said_and_nothings_ask_for_nothing() {
        let said = partial(json!({
            "packages": [],
            "storage": {"raid": "none", "swap": 0, "second": {"serial": "X"},
                        "volumes": [{"mount": "/", "size": null}, {"mount": "/var", "size": 5, "filesystem": "xfs"}]},
            "users": {"bob": {}}
        }));
        let leaves: Vec<String> = said.leaves().into_iter().collect();
        assert_eq!(
            leaves,
            [
                "packages",
                "storage.raid",
                "storage.second",
                "storage.swap",
                "storage.volumes.*.filesystem",
                "storage.volumes.*.mount",
                "storage.volumes.*.size",
                "users.bob"
            ]
        );
        let nothings: Vec<String> = said.nothings().into_iter().collect();
        assert_eq!(
            nothings,
            ["packages", "storage.raid", "storage.volumes.*.size"]
        );
    }

    #[test]
    fn what_does_not_go_together_is_named_by_its_key() {
        for (said, key) in [
            (
                json!({"storage": {"second": {"serial": "X"}}}),
                "storage.second",
            ),
            (json!({"storage": {"encrypt": "tang"}}), "storage.encrypt"),
            (
                json!({"storage": {"tang": [{"url": "http://t", "thumbprint": "x"}]}}),
                "storage.tang",
            ),
            (json!({"network": {"bond": {"b0": {}}}}), "network.bond.b0"),
            (
                json!({"network": {"vlan": {"v": {"id": 3, "link": "b0"}}}}),
                "network.vlan.v.link",
            ),
            (json!({"network": {"vlan": {"v": {}}}}), "network.vlan.v"),
            (json!({"repository": {"r": {}}}), "repository.r"),
        ] {
            let faults = partial(said.clone()).resolve().expect_err("faults");
            assert_eq!(faults[0].key, key, "{said}");
        }
        // An expressly unmirrored system may have a profile that names two disks.
        let off = json!({"storage": {"raid": "none", "second": {"serial": "X"}}});
        assert!(partial(off).resolve().is_ok());
    }
}
