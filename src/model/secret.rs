//! Secrets by name. Their values are never among these words.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value as Json};

/// The longest name in bytes.
const LONGEST: usize = 128;

/// A secret's name: `bmc/web01`. Words of letters, digits, `-`, `_` and inner dots, joined by
/// slashes, at most 128 bytes; case matters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretName(String);

/// Why a text is not a secret's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot be a secret's name; use letters, digits and `-_.`, with slashes between words, as in `bmc/web01`"
)]
pub struct SecretNameError(pub String);

impl SecretName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretName {
    type Err = SecretNameError;

    fn from_str(text: &str) -> Result<Self, SecretNameError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let word = |w: &str| !w.is_empty() && !w.starts_with('.') && w.bytes().all(plain);
        if text.len() <= LONGEST && text.split('/').all(word) {
            Ok(SecretName(text.to_string()))
        } else {
            let shown = super::event::printable(text, 60);
            Err(SecretNameError(shown))
        }
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for SecretName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The name that a value refers to: `{ secret = "NAME" }` and nothing beside it. The name may be one
/// that no secret can have.
pub fn reference(value: &Json) -> Option<&str> {
    of_table(value.as_object()?)
}

fn of_table(table: &Map<String, Json>) -> Option<&str> {
    match table.get("secret") {
        Some(Json::String(name)) if table.len() == 1 => Some(name),
        _ => None,
    }
}

/// Every reference in a table, with the dotted path of each: `vars.db.password` below `vars`.
pub fn references<'a>(below: &str, table: &'a Map<String, Json>) -> Vec<(String, &'a str)> {
    let mut found = Vec::new();
    for (key, value) in table {
        collect(&format!("{below}.{key}"), value, &mut found);
    }
    found
}

fn collect<'a>(path: &str, value: &'a Json, found: &mut Vec<(String, &'a str)>) {
    match value {
        Json::Object(table) => match of_table(table) {
            Some(name) => found.push((path.to_string(), name)),
            None => {
                for (key, value) in table {
                    collect(&format!("{path}.{key}"), value, found);
                }
            }
        },
        // An element has no path of its own: its list is where it was written.
        Json::Array(items) => items.iter().for_each(|item| collect(path, item, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_plain_words_with_slashes() {
        for good in ["bmc/web01", "a", "db/main.password", "A_b-c/d"] {
            assert!(good.parse::<SecretName>().is_ok(), "{good}");
        }
        for bad in [
            "", "/a", "a/", "a//b", "../a", "a/.b", "a b", "a\nb", "ä", "a,b", "a)",
        ] {
            assert!(bad.parse::<SecretName>().is_err(), "{bad}");
        }
        assert!("a".repeat(129).parse::<SecretName>().is_err());
    }

    #[test]
    fn a_reference_is_a_table_with_that_key_alone() {
        let table = json!({
            "db": { "password": { "secret": "db/main" }, "user": "x" },
            "list": [{ "secret": "one" }, { "secret": "two", "more": 1 }],
            "plain": { "secret": 3 },
        });
        let found = references("vars", table.as_object().expect("a table"));
        assert_eq!(
            found,
            [
                ("vars.db.password".to_string(), "db/main"),
                ("vars.list".to_string(), "one"),
            ]
        );
    }
}
