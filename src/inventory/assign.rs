//! `KEY=VALUE` as it is typed: `profile=debian-12`, `vars.role=web`, `tags=a,b`, `tags+=c`, `ip=`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml_edit::{Array, Item, RawString, TableLike, Value};

use super::edit::{inner, place, tidy};
use super::suggest::instead;
use super::system::KEYS;
use crate::model::MacAddr;
use crate::model::command::ChangeVerb;

/// Sets, removes or changes one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The key and, of a table, the keys within.
    pub key: Vec<String>,
    /// What is done there.
    pub verb: ChangeVerb,
    /// The value as typed; none removes the key.
    pub value: Option<String>,
    /// What a list holds so far where the entry itself does not say it: what is added comes after it.
    pub inherited: Vec<String>,
    /// Others say what this key of a table holds, and one of the entry's own would replace it.
    pub said_elsewhere: bool,
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
    /// `+=` or `-=` on something that is no list.
    #[error("`{0}` is no list to add to or to take from; set it as a whole, `{0}=VALUE`")]
    NotAList(String),
    /// `+=` or `-=` on a list that others may have said, which is not known here.
    #[error(
        "the entry has no `{0}` of its own, and one would replace what its profile and [defaults] say; set it as a whole, `{0}=VALUE`"
    )]
    NotItsOwn(String),
    /// An interface's address or name would be lost without a word.
    #[error(
        "`{0}` would replace the `interface` tables with all that they say; edit them in the file, or remove them first with `interface=`"
    )]
    Displaces(String),
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
        let (key, verb) = if let Some(key) = key.strip_suffix('+') {
            (key, ChangeVerb::Push)
        } else if let Some(key) = key.strip_suffix('-') {
            (key, ChangeVerb::Pull)
        } else {
            (key, ChangeVerb::Set)
        };
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
        if value.is_none() && verb != ChangeVerb::Set {
            return Err(malformed());
        }
        Ok(Assignment {
            key,
            verb,
            value,
            inherited: Vec::new(),
            said_elsewhere: false,
        })
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
        write!(f, "{}{}{shown}", self.key.join("."), self.operator())
    }
}

impl Serialize for Assignment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = self.value.as_deref().unwrap_or("");
        let (key, operator) = (self.key.join("."), self.operator());
        serializer.serialize_str(&format!("{key}{operator}{value}"))
    }
}

impl<'de> Deserialize<'de> for Assignment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Assignment {
    fn operator(&self) -> &'static str {
        match self.verb {
            ChangeVerb::Set => "=",
            ChangeVerb::Push => "+=",
            ChangeVerb::Pull => "-=",
        }
    }

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
        let within = path.first().map(String::as_str);
        if self.verb != ChangeVerb::Set && !is_list(last, within) {
            return Err(AssignmentError::NotAList(self.key.join(".")));
        }
        let takes = self.value.is_none() || self.verb == ChangeVerb::Pull;
        let mut at = table;
        for (depth, key) in path.iter().enumerate() {
            if takes && !at.contains_key(key) {
                return match self.verb {
                    ChangeVerb::Pull if self.said_elsewhere => {
                        Err(AssignmentError::NotItsOwn(self.key.join(".")))
                    }
                    _ => Ok(()),
                };
            }
            let within = || AssignmentError::NotATable(self.key[..=depth].join("."));
            at = inner(at, key).ok_or_else(within)?;
        }
        // The three ways to name interfaces exclude each other.
        let ways = ["mac", "macs", "interface"];
        let names_interfaces = path.is_empty() && ways.contains(&last);
        let displaces = names_interfaces && last != "interface" && self.value.is_some();
        if displaces && at.contains_key("interface") {
            return Err(AssignmentError::Displaces(last.to_string()));
        }
        match (self.verb, &self.value) {
            (ChangeVerb::Set, None) => _ = at.remove(last),
            (ChangeVerb::Set, Some(text)) => {
                if names_interfaces {
                    for other in ways.iter().filter(|w| **w != last) {
                        at.remove(other);
                    }
                }
                place(at, last, value(last, within, text));
            }
            (ChangeVerb::Push | ChangeVerb::Pull, text) => {
                let text = text.as_deref().unwrap_or("");
                self.change_list(at, last, within, text)?;
            }
        }
        Ok(())
    }

    /// Adds to a list or takes from it, and leaves the rest of it as it is written.
    fn change_list(
        &self,
        at: &mut dyn TableLike,
        last: &str,
        within: Option<&str>,
        text: &str,
    ) -> Result<(), AssignmentError> {
        let macs = within.is_none() && last == "macs";
        let named = elements(last, within, text);
        let change = |list: &mut Array| match self.verb {
            ChangeVerb::Pull => take_all(list, &named, macs),
            _ => add_all(list, &named, macs),
        };
        if let Some(item) = at.get_mut(last) {
            let list = item.as_array_mut();
            let list = list.ok_or_else(|| AssignmentError::NotAList(self.key.join(".")))?;
            change(list);
            return Ok(());
        }
        let mut list: Array = match (within, last) {
            (Some("vars"), _) if !self.said_elsewhere => Array::new(),
            (None, "tags" | "ssh_keys") => self.inherited.iter().collect(),
            (None, "macs") => at.get("mac").and_then(Item::as_str).into_iter().collect(),
            _ => return Err(AssignmentError::NotItsOwn(self.key.join("."))),
        };
        if change(&mut list) {
            if macs {
                at.remove("mac");
            }
            place(at, last, Value::Array(list));
        }
        Ok(())
    }
}

/// Whether `+=` and `-=` mean something for a key.
fn is_list(key: &str, within: Option<&str>) -> bool {
    match within {
        None => LISTS.contains(&key),
        // What a var holds, only the entry knows.
        Some("vars") => true,
        Some(_) => INNER_LISTS.contains(&key),
    }
}

/// What was typed as TOML if it is TOML, else as text.
fn value(key: &str, within: Option<&str>, text: &str) -> Value {
    let parsed = parsed(text);
    if within == Some("vars") {
        return parsed.unwrap_or_else(|| text.into());
    }
    if is_list(key, within) {
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

fn parsed(text: &str) -> Option<Value> {
    let parsed: Option<Value> = text.parse().ok();
    parsed.map(Value::decorated_plain)
}

/// What was typed as elements of a list.
fn elements(key: &str, within: Option<&str>, text: &str) -> Vec<Value> {
    let list: Array = if within == Some("vars") {
        let one = |text: &str| parsed(text).unwrap_or_else(|| text.into());
        match parsed(text) {
            Some(Value::Array(list)) => list,
            Some(value) => Array::from_iter([value]),
            None => text.split(',').map(|t| one(t.trim())).collect(),
        }
    } else {
        match value(key, within, text) {
            Value::Array(list) => list,
            value => Array::from_iter([value]),
        }
    };
    let plain = list.into_iter().map(Value::decorated_plain);
    plain.filter(|v| v.as_str() != Some("")).collect()
}

/// Adds what is not there yet, and says whether anything was not.
fn add_all(list: &mut Array, values: &[Value], macs: bool) -> bool {
    let before = list.len();
    for value in values {
        if !list.iter().any(|v| same(v, value, macs)) {
            add(list, value.clone());
        }
    }
    list.len() > before
}

/// Takes away what is there, and says whether anything was.
fn take_all(list: &mut Array, values: &[Value], macs: bool) -> bool {
    let before = list.len();
    for value in values {
        // A number in quotes is meant too by who types it without.
        let text = written(value);
        let meant = |v: &Value| same(v, value, macs) || v.as_str() == Some(text.as_str());
        let at = |list: &Array| list.iter().position(meant);
        while let Some(index) = at(list) {
            take(list, index);
        }
    }
    list.len() < before
}

fn same(a: &Value, b: &Value, macs: bool) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => {
            let mac = |text: &str| text.parse::<MacAddr>().ok().filter(|_| macs);
            let (a, b) = (a.value().as_str(), b.value().as_str());
            a == b || mac(a).is_some_and(|a| mac(b) == Some(a))
        }
        (Value::Integer(a), Value::Integer(b)) => a.value() == b.value(),
        _ => written(a) == written(b),
    }
}

fn written(value: &Value) -> String {
    value.clone().decorated_plain().to_string()
}

/// Adds an element behind the last one, on a line of its own where the others have theirs. A comment
/// behind the last one stays there.
fn add(list: &mut Array, mut value: Value) {
    let behind = behind(list);
    let indent = (0..list.len()).rev().find_map(|i| {
        let gap = before(list, i);
        gap.rfind('\n').map(|end| gap[end + 1..].to_string())
    });
    let (gap, rest) = match (indent, behind.rfind('\n')) {
        (Some(indent), Some(end)) => {
            let comment = &behind[..end];
            (format!("{comment}\n{indent}"), behind[end..].to_string())
        }
        (Some(indent), None) => (format!("\n{indent}"), behind),
        (None, Some(end)) if list.is_empty() => {
            let comment = &behind[..end];
            (format!("{comment}\n    "), behind[end..].to_string())
        }
        (None, _) if list.is_empty() => (String::new(), behind),
        (None, _) => (" ".to_string(), behind),
    };
    // Without a comma at the end, what is behind the last element belongs to it.
    if !list.trailing_comma()
        && let Some(last) = list.len().checked_sub(1)
        && let Some(last) = list.get_mut(last)
    {
        last.decor_mut().set_suffix("");
    }
    list.set_trailing(rest);
    value.decor_mut().set_prefix(gap);
    value.decor_mut().set_suffix("");
    list.push_formatted(value);
}

/// Takes an element away with the comment behind it. The comment behind the one before stays, and so do
/// those on lines of their own.
fn take(list: &mut Array, index: usize) {
    let is_last = index + 1 == list.len();
    let before_it = before(list, index);
    let after_it = match is_last {
        true => behind(list),
        false => before(list, index + 1),
    };
    let gap = match (before_it.rfind('\n'), after_it.find('\n')) {
        (Some(line), Some(end)) => format!("{}{}", &before_it[..line], &after_it[end..]),
        (Some(line), None) if is_last && before_it.contains('#') => before_it[..=line].to_string(),
        (_, None) if !is_last => before_it,
        // Of several on one line, the comment is not this one's alone.
        _ => after_it,
    };
    list.remove(index);
    match list.get_mut(index) {
        Some(next) => next.decor_mut().set_prefix(gap),
        None => list.set_trailing(gap),
    }
}

/// What is written before an element, from the comma or the bracket on.
fn before(list: &Array, index: usize) -> String {
    let usual = if index == 0 { "" } else { " " };
    let prefix = list.get(index).and_then(|v| v.decor().prefix());
    let prefix = prefix.and_then(RawString::as_str);
    prefix.unwrap_or(usual).to_string()
}

/// What is written behind the last element, up to the bracket.
fn behind(list: &Array) -> String {
    let last = list.iter().last().filter(|_| !list.trailing_comma());
    let suffix = last.and_then(|v| v.decor().suffix());
    let suffix = suffix.and_then(RawString::as_str).unwrap_or("");
    format!("{suffix}{}", list.trailing().as_str().unwrap_or(""))
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

#[cfg(test)]
#[path = "assign_tests.rs"]
mod tests;
