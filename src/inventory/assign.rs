//! `KEY=VALUE` as it is typed: `profile=debian-12`, `vars.role=web`, `tags=a,b`, `ip=`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml_edit::{Array, TableLike, Value};

use super::edit::{inner, place, tidy};
use super::suggest::instead;
use super::system::KEYS;

/// Sets or removes one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The key and, of a table, the keys within.
    pub key: Vec<String>,
    /// The value as typed; none removes the key.
    pub value: Option<String>,
}

/// Why an assignment cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssignmentError {
    /// No `=`.
    #[error("`{0}` is not an assignment; write `key=value`, or `key=` to remove the key")]
    Malformed(String),
    /// No such key.
    #[error("a system has no key `{key}`{}", .help.as_ref().map(|h| format!("; {h}")).unwrap_or_default())]
    Unknown {
        /// What was typed.
        key: String,
        /// What may be meant.
        help: Option<String>,
    },
    /// A key within something that is no table.
    #[error("`{0}` is not a table, so nothing can be set within it")]
    NotATable(String),
    /// Characters that no value may have.
    #[error("the value of `{0}` holds a control character")]
    Control(String),
}

/// Keys that are always text, though a value like `525400123456` would read as a number.
const TEXT: [&str; 32] = [
    "mac",
    "ip",
    "profile",
    "serial",
    "wwn",
    "path",
    "model",
    "user",
    "redfish",
    "ipmi",
    "wol",
    "hook",
    "language",
    "keyboard",
    "timezone",
    "layout",
    "raid",
    "second",
    "filesystem",
    "swap",
    "encrypt",
    "ipv6",
    "mode",
    "link",
    "router",
    "password",
    "shell",
    "url",
    "key",
    "suite",
    "name",
    "ip6",
];
/// Keys that are lists of text; commas separate what is typed.
const LISTS: [&str; 4] = ["tags", "macs", "ssh_keys", "packages"];
/// Likewise, within tables.
const INNER_LISTS: [&str; 4] = ["ssh_keys", "groups", "interfaces", "components"];

impl FromStr for Assignment {
    type Err = AssignmentError;

    fn from_str(text: &str) -> Result<Self, AssignmentError> {
        let malformed = || AssignmentError::Malformed(text.to_string());
        let (key, value) = text.split_once('=').ok_or_else(malformed)?;
        let key: Vec<String> = key
            .trim()
            .split('.')
            .map(|k| k.trim().to_string())
            .collect();
        if key.iter().any(String::is_empty) {
            return Err(malformed());
        }
        if !KEYS.contains(&key[0].as_str()) {
            return Err(AssignmentError::Unknown {
                help: instead(&key[0], KEYS),
                key: key.join("."),
            });
        }
        let control = |c: char| c.is_control() && c != '\n' && c != '\t';
        if value.contains(control) {
            return Err(AssignmentError::Control(key.join(".")));
        }
        let value = (!value.trim().is_empty()).then(|| value.trim().to_string());
        Ok(Assignment { key, value })
    }
}

impl fmt::Display for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.as_deref().unwrap_or("");
        // Summaries go into the history; what looks like a secret does not.
        let secret = self.key.iter().any(|k| k.contains("password"));
        let shown = if secret && !value.is_empty() {
            "..."
        } else {
            value
        };
        write!(f, "{}={shown}", self.key.join("."))
    }
}

impl Serialize for Assignment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = self.value.as_deref().unwrap_or("");
        serializer.serialize_str(&format!("{}={value}", self.key.join(".")))
    }
}

impl<'de> Deserialize<'de> for Assignment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Assignment {
    /// Changes a system's table.
    pub(super) fn apply(&self, table: &mut dyn TableLike) -> Result<(), AssignmentError> {
        let (last, path) = match self.key.split_last() {
            Some(split) => split,
            None => return Err(AssignmentError::Malformed(String::new())),
        };
        self.change(table, last, path)?;
        if let Some(first) = path.first() {
            tidy(table, first);
        }
        Ok(())
    }

    fn change(
        &self,
        table: &mut dyn TableLike,
        last: &str,
        path: &[String],
    ) -> Result<(), AssignmentError> {
        let mut at = table;
        for (depth, key) in path.iter().enumerate() {
            if self.value.is_none() && !at.contains_key(key) {
                return Ok(());
            }
            let within = || AssignmentError::NotATable(self.key[..=depth].join("."));
            at = inner(at, key).ok_or_else(within)?;
        }
        match &self.value {
            None => _ = at.remove(last),
            Some(text) => {
                // The three ways to name interfaces exclude each other.
                let ways = ["mac", "macs", "interface"];
                if path.is_empty() && ways.contains(&last) {
                    for other in ways.iter().filter(|w| **w != last) {
                        at.remove(other);
                    }
                }
                place(
                    at,
                    last,
                    value(last, path.first().map(String::as_str), text),
                );
            }
        }
        Ok(())
    }
}

/// What was typed as TOML if it is TOML, else as text.
fn value(key: &str, within: Option<&str>, text: &str) -> Value {
    let parsed: Option<Value> = text.parse().ok();
    let parsed = parsed.map(Value::decorated_plain);
    if within == Some("vars") {
        return parsed.unwrap_or_else(|| text.into());
    }
    let lists: &[&str] = match within {
        None => &LISTS,
        Some(_) => &INNER_LISTS,
    };
    if lists.contains(&key) {
        return match parsed {
            Some(list @ Value::Array(_)) => list,
            Some(Value::String(one)) => Value::Array(Array::from_iter([one.into_value()])),
            // A key's comment may have commas.
            _ if key == "ssh_keys" => Value::Array(Array::from_iter([text])),
            _ => Value::Array(text.split(',').map(str::trim).collect()),
        };
    }
    match parsed {
        Some(kept @ (Value::String(_) | Value::InlineTable(_) | Value::Array(_))) => kept,
        Some(_) if TEXT.contains(&key) => text.into(),
        Some(other) => other,
        None => text.into(),
    }
}

trait Plain {
    /// Without the spaces and comments it was typed with.
    fn decorated_plain(self) -> Self;
}

impl Plain for Value {
    fn decorated_plain(mut self) -> Self {
        self.decor_mut().clear();
        self
    }
}
