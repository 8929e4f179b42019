//! From what an operator asks to edits of the text.

use serde_json::Value;

use super::assign::Assignment;
use super::edit::{Change as FileChange, Edit};
use super::files::FileSet;
use crate::model::command::{Change, ChangeVerb, EditRequest};
use crate::model::{Name, Refusal, System};

/// The edits that a request means for the systems it selects.
///
/// # Errors
/// A `+=` or `-=` on something that is no list.
pub fn edits(request: &EditRequest, selected: &[&System]) -> Result<Vec<Edit>, Refusal> {
    match request {
        EditRequest::Add {
            name,
            macs,
            profile,
            changes,
        } => Ok(vec![Edit::Add {
            name: name.clone(),
            macs: macs.clone(),
            profile: profile.clone(),
            ip: None,
            assignments: changes
                .iter()
                .map(|c| assignment(c, None))
                .collect::<Result<_, _>>()?,
        }]),
        EditRequest::Set { changes, .. } => selected
            .iter()
            .map(|system| {
                let assignments = changes
                    .iter()
                    .map(|c| assignment(c, Some(system)))
                    .collect::<Result<_, _>>()?;
                Ok(Edit::Set {
                    name: system.name.clone(),
                    assignments,
                })
            })
            .collect(),
        EditRequest::Remove { .. } => Ok(selected
            .iter()
            .map(|s| Edit::Remove {
                name: s.name.clone(),
            })
            .collect()),
    }
}

/// Applies edits one after another. An edit that would change nothing is left out of the changes;
/// its name is among those returned second.
///
/// # Errors
/// The first edit that cannot be made; then nothing is to be written.
pub fn apply(
    edits: &[Edit],
    files: &FileSet,
) -> Result<(FileSet, Vec<FileChange>, Vec<Name>), Refusal> {
    let mut after = files.clone();
    let mut changes: Vec<FileChange> = Vec::new();
    let mut unchanged = Vec::new();
    for edit in edits {
        let change = match edit.apply(&after) {
            Ok(change) => change,
            Err(super::EditError::Nothing) => {
                unchanged.push(edit.name().clone());
                continue;
            }
            Err(error) => return Err(refusal(&error)),
        };
        after = after.with(&change.path, change.bytes.clone());
        match changes.iter_mut().find(|c| c.path == change.path) {
            Some(earlier) => {
                earlier.bytes = change.bytes;
                earlier.summary = format!("{}; {}", earlier.summary, change.summary);
            }
            None => changes.push(change),
        }
    }
    Ok((after, changes, unchanged))
}

fn refusal(error: &super::EditError) -> Refusal {
    use super::EditError;
    match error {
        EditError::NotFound { name, .. } => {
            Refusal::new(crate::model::Code::NotFound, error.to_string())
                .help(format!("farrier add {name} MAC PROFILE"))
        }
        EditError::Exists { name, .. } => {
            Refusal::refused(error.to_string()).help(format!("farrier set {name} KEY=VALUE"))
        }
        EditError::Assignment(_) => Refusal::new(crate::model::Code::Usage, error.to_string()),
        EditError::Syntax { .. } => {
            Refusal::new(crate::model::Code::Invalid, error.to_string()).help("farrier check")
        }
        EditError::Nothing => Refusal::refused(error.to_string()),
    }
}

fn assignment(change: &Change, system: Option<&System>) -> Result<Assignment, Refusal> {
    let value = match (change.verb, &change.value) {
        (ChangeVerb::Set, None) => None,
        (ChangeVerb::Set, Some(value)) => Some(value.clone()),
        (verb, value) => {
            let mut list = list_of(&change.key, system)?;
            let named = value.as_deref().unwrap_or("").split(',').map(str::trim);
            for value in named
                .filter(|v| !v.is_empty())
                .map(|v| Value::String(v.to_string()))
            {
                list.retain(|v| *v != value);
                if verb == ChangeVerb::Push {
                    list.push(value);
                }
            }
            Some(toml(&Value::Array(list)))
        }
    };
    Ok(Assignment {
        key: change.key.clone(),
        value,
    })
}

fn list_of(key: &[String], system: Option<&System>) -> Result<Vec<Value>, Refusal> {
    let texts = |list: &[String]| list.iter().cloned().map(Value::String).collect();
    let Some(system) = system else {
        return Ok(Vec::new());
    };
    match key {
        [key] if key == "tags" => Ok(texts(&system.tags)),
        [key] if key == "ssh_keys" => Ok(texts(&system.ssh_keys)),
        [vars, rest @ ..] if vars == "vars" && !rest.is_empty() => {
            let mut at = system.vars.get(&rest[0]);
            for key in &rest[1..] {
                at = at.and_then(|v| v.get(key));
            }
            match at {
                None => Ok(Vec::new()),
                Some(Value::Array(list)) => Ok(list.clone()),
                Some(_) => Err(no_list(key)),
            }
        }
        _ => Err(no_list(key)),
    }
}

fn no_list(key: &[String]) -> Refusal {
    let key = key.join(".");
    Refusal::new(crate::model::Code::Usage, format!("`{key}` is not a list"))
        .help(format!("set it as a whole: {key}=VALUE"))
}

/// A value in TOML's own words.
fn toml(value: &Value) -> String {
    match value {
        Value::Array(list) => {
            format!("[{}]", list.iter().map(toml).collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let pairs: Vec<String> = map
                .iter()
                .map(|(k, v)| format!("{} = {}", toml_edit::Value::from(k.as_str()), toml(v)))
                .collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        Value::String(text) => toml_edit::Value::from(text.as_str()).to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_are_written_as_toml() {
        for (value, text) in [
            (json!(["a", "b\"c"]), "[\"a\", 'b\"c']"),
            (json!({ "a": [1, true] }), "{ \"a\" = [1, true] }"),
        ] {
            assert_eq!(toml(&value), text);
        }
    }
}
