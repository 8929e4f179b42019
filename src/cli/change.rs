//! `key=value` as typed.

use serde_json::Value;

use crate::model::command::{Change, ChangeVerb};
use crate::model::{Code, Refusal};

/// Keys whose value is text even if it looks like a number: a serial `0012` is not 12.
const TEXT: [&str; 9] = [
    "mac", "macs", "ip", "profile", "tags", "serial", "wwn", "path", "model",
];

/// Reads `key=value`, `key+=value`, `key-=value` or `key=` (remove).
pub(super) fn parse(typed: &str) -> Result<Change, Refusal> {
    let wrong = |what: &str| {
        Refusal::new(Code::Usage, format!("`{typed}` {what}"))
            .help("write `key=value`, `key+=value`, `key-=value`, or `key=` to remove it")
    };
    let (left, right) = typed
        .split_once('=')
        .ok_or_else(|| wrong("is no assignment"))?;
    let (key, verb) = if let Some(key) = left.strip_suffix('+') {
        (key, ChangeVerb::Push)
    } else if let Some(key) = left.strip_suffix('-') {
        (key, ChangeVerb::Pull)
    } else {
        (left, ChangeVerb::Set)
    };
    let path: Vec<String> = key.trim().split('.').map(str::to_string).collect();
    if path.iter().any(|part| {
        part.is_empty() || !part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    }) {
        return Err(wrong("has no key of letters, digits, `_`, `-` and dots"));
    }
    let is_text = path[0] != "vars" && TEXT.contains(&path[path.len() - 1].as_str());
    let value = value(right, is_text).map_err(|e| wrong(&e))?;
    if value.is_none() && verb != ChangeVerb::Set {
        return Err(wrong("adds or takes nothing"));
    }
    Ok(Change {
        key: path,
        verb,
        value,
    })
}

/// Reads several.
pub(super) fn parse_all(typed: &[String]) -> Result<Vec<Change>, Refusal> {
    typed.iter().map(|text| parse(text)).collect()
}

/// A value: quoted, list and table forms are TOML; `true`, `false` and whole numbers are what they
/// look like; everything else is text.
fn value(text: &str, is_text: bool) -> Result<Option<Value>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.starts_with(['"', '\'', '[', '{']) {
        let document: toml_edit::DocumentMut = format!("value = {text}")
            .parse()
            .map_err(|_| "is not a TOML value".to_string())?;
        let item = document.get("value").and_then(toml_edit::Item::as_value);
        return item
            .map(json)
            .transpose()?
            .map_or(Err("is not a TOML value".to_string()), |v| Ok(Some(v)));
    }
    Ok(Some(match text {
        _ if is_text => Value::from(text),
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ if looks_whole(text) => text.parse::<i64>().map_or(Value::from(text), Value::from),
        _ => Value::from(text),
    }))
}

/// `-12` and `0` are whole numbers; `007` and `+1` are text.
fn looks_whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'))
}

fn json(value: &toml_edit::Value) -> Result<Value, String> {
    use toml_edit::Value as Toml;
    Ok(match value {
        Toml::String(text) => Value::from(text.value().as_str()),
        Toml::Integer(number) => Value::from(*number.value()),
        Toml::Float(number) => Value::from(*number.value()),
        Toml::Boolean(truth) => Value::from(*truth.value()),
        Toml::Datetime(_) => return Err("is a TOML date, which no key takes".to_string()),
        Toml::Array(list) => Value::Array(list.iter().map(json).collect::<Result<_, _>>()?),
        Toml::InlineTable(table) => Value::Object(
            table
                .iter()
                .map(|(k, v)| Ok((k.to_string(), json(v)?)))
                .collect::<Result<_, String>>()?,
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn assignments_are_read_as_meant() {
        let check = |typed: &str, key: &str, verb: ChangeVerb, value: Option<Value>| {
            let change = parse(typed).unwrap_or_else(|e| panic!("{typed}: {e}"));
            assert_eq!(change.key.join("."), key, "{typed}");
            assert_eq!(change.verb, verb, "{typed}");
            assert_eq!(change.value, value, "{typed}");
        };
        use ChangeVerb::{Pull, Push, Set};
        check("ip=10.77.0.12", "ip", Set, Some(json!("10.77.0.12")));
        check("ip=", "ip", Set, None);
        check("mac=525400123456", "mac", Set, Some(json!("525400123456")));
        check("protected=true", "protected", Set, Some(json!(true)));
        check("vars.workers=12", "vars.workers", Set, Some(json!(12)));
        check("vars.zip=01234", "vars.zip", Set, Some(json!("01234")));
        check("vars.motd=\"\"", "vars.motd", Set, Some(json!("")));
        check("vars.a=b=c", "vars.a", Set, Some(json!("b=c")));
        check("vars.l=[1, \"x\"]", "vars.l", Set, Some(json!([1, "x"])));
        check("vars.t={ a = true }", "vars.t", Set, Some(json!({"a": true})));
        check("disk.serial=0012", "disk.serial", Set, Some(json!("0012")));
        check("disk.min_size=100", "disk.min_size", Set, Some(json!(100)));
        check("tags+=web", "tags", Push, Some(json!("web")));
        check("tags-=web", "tags", Pull, Some(json!("web")));
    }

    #[test]
    fn what_is_no_assignment_is_usage() {
        for typed in ["web", "=x", "a..b=1", "tags+=", "vars.x=[1", "a b=1", "vars.x=\"a\" y"] {
            let refusal = parse(typed).expect_err(typed);
            assert_eq!(refusal.code, Code::Usage, "{typed}");
            assert!(refusal.help.is_some());
        }
    }
}
