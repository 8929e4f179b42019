//! `key=value` as typed. Which keys there are, and of which type, the inventory knows.

use crate::model::command::{Change, ChangeVerb};
use crate::model::{Code, Refusal};

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
    let plain = |part: &String| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    if !path.iter().all(plain) {
        return Err(wrong(
            "has no key of letters, digits, `_`, `-` and dots before the `=`",
        ));
    }
    let value = (!right.is_empty()).then(|| right.to_string());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read_as_meant() {
        let check = |typed: &str, key: &str, verb: ChangeVerb, value: Option<&str>| {
            let change = parse(typed).unwrap_or_else(|e| panic!("{typed}: {e}"));
            assert_eq!(change.key.join("."), key, "{typed}");
            assert_eq!(change.verb, verb, "{typed}");
            assert_eq!(change.value.as_deref(), value, "{typed}");
        };
        use ChangeVerb::{Pull, Push, Set};
        check("ip=10.77.0.12", "ip", Set, Some("10.77.0.12"));
        check("ip=", "ip", Set, None);
        check("vars.a=b=c", "vars.a", Set, Some("b=c"));
        check("vars.motd=\"\"", "vars.motd", Set, Some("\"\""));
        check("tags+=web", "tags", Push, Some("web"));
        check("tags-=web", "tags", Pull, Some("web"));
    }

    #[test]
    fn what_is_no_assignment_is_usage() {
        for typed in ["web", "=x", "a..b=1", "tags+=", "tags-=", "a b=1", "a/b=1"] {
            let refusal = parse(typed).expect_err(typed);
            assert_eq!(refusal.code, Code::Usage, "{typed}");
            assert!(refusal.help.is_some());
        }
    }
}
