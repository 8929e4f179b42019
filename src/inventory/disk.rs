//! The disk rule: which disk an installer may write.

use super::field::{Field, Section};
use crate::model::DiskRule;

/// Its keys.
pub(super) const KEYS: [&str; 6] = ["serial", "wwn", "path", "model", "min_size", "max_size"];

/// Reads a rule that is a table, or a path alone.
pub(super) fn disk(field: &Field<'_>, title: &str) -> Option<DiskRule> {
    if field.is_text() {
        return Some(DiskRule {
            path: device(field),
            ..DiskRule::default()
        });
    }
    let section = field.section(title.to_string())?;
    section.only(&KEYS);
    Some(rule(&section))
}

/// Reads a rule's keys from a table that may hold others.
pub(super) fn rule(section: &Section<'_>) -> DiskRule {
    let word = |key: &str| section.get(key).and_then(|f| f.word()).map(str::to_string);
    let size = |key: &str| section.get(key).and_then(|f| f.size());
    let rule = DiskRule {
        serial: word("serial"),
        wwn: word("wwn"),
        path: section.get("path").and_then(|f| device(&f)),
        model: word("model"),
        min_size: size("min_size"),
        max_size: size("max_size"),
    };
    if let (Some(min), Some(max)) = (rule.min_size, rule.max_size)
        && min > max
        && let Some(field) = section.get("min_size")
    {
        field.error(
            format!("`min_size` is {min} bytes, more than `max_size` with {max}"),
            "no disk can match",
            None,
        );
    }
    rule
}

fn device(field: &Field<'_>) -> Option<String> {
    let path = field.word()?;
    let ok = path.strip_prefix("/dev/").is_some_and(|rest| {
        !rest.is_empty()
            && rest.split('/').all(|part| !part.is_empty() && part != "..")
            && !rest.contains(char::is_whitespace)
    });
    if !ok {
        let help = Some("write `/dev/vda` or `/dev/disk/by-path/...`".to_string());
        field.error(
            format!("`{path}` is not a device"),
            "must lie under `/dev/`",
            help,
        );
        return None;
    }
    Some(path.to_string())
}
