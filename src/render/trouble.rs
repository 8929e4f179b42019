//! From an error of the engine's to a problem that a person can fix: file, line, caret, and which
//! names there are when one is not.

use minijinja::{Error, ErrorKind, Value};

use crate::model::{Diagnostic, Span};

use super::formats::Refused;
use super::intent::Unsupported;

/// Where templates are looked up for their text, and how their files are called in messages.
pub(super) struct Sources<'a> {
    pub(super) text_of: &'a dyn Fn(&str) -> Option<String>,
    /// The file as a person finds it, and how many lines come before the template in it.
    pub(super) file_of: &'a dyn Fn(&str) -> (String, usize),
}

/// Turns an error into a diagnostic. `template` is what was asked for; the error may lie in one it
/// includes.
pub(super) fn diagnose(
    error: &Error,
    template: &str,
    sources: &Sources<'_>,
    context: Option<&Value>,
) -> Diagnostic {
    let error = innermost(error);
    let name = error.name().unwrap_or(template);
    let text = (sources.text_of)(name).unwrap_or_default();
    let (file, before) = (sources.file_of)(name);
    let line = error.line().unwrap_or(1).max(1);
    let shown = text.lines().nth(line - 1).unwrap_or("");
    let range = error.range().filter(|r| text.get(r.clone()).is_some());
    let expression = range.clone().and_then(|r| text.get(r)).unwrap_or("").trim();
    let (column, length) = match range.filter(|_| !expression.contains('\n')) {
        Some(range) => {
            let begin = text[..range.start].rfind('\n').map_or(0, |at| at + 1);
            (
                text[begin..range.start].chars().count() + 1,
                text[range].chars().count().max(1),
            )
        }
        None => (1, shown.chars().count().max(1)),
    };
    let paths = paths_at(
        &text,
        error.range().filter(|r| text.get(r.clone()).is_some()),
        shown,
    );
    let (message, help) = explain(error, expression, &paths, context);
    let diagnostic = Diagnostic::error(message).at(Span {
        file,
        line: line + before,
        column,
        length,
        text: shown.to_string(),
        label: String::new(),
    });
    let diagnostic = match help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    };
    match unsupported(error).and_then(|u| u.key.as_ref()) {
        Some(key) => diagnostic.about(key),
        None => diagnostic,
    }
}

fn unsupported(error: &Error) -> Option<&Unsupported> {
    std::error::Error::source(error)?.downcast_ref()
}

/// An include wraps what went wrong inside it.
fn innermost(error: &Error) -> &Error {
    let mut inner = error;
    while let Some(next) =
        std::error::Error::source(inner).and_then(|source| source.downcast_ref::<Error>())
    {
        if next.line().is_none() {
            break;
        }
        inner = next;
    }
    inner
}

fn explain(
    error: &Error,
    expression: &str,
    paths: &[String],
    context: Option<&Value>,
) -> (String, Option<String>) {
    let detail = error.detail().unwrap_or_default();
    if let Some(unsupported) = unsupported(error) {
        return (unsupported.sentence.clone(), None);
    }
    match error.kind() {
        ErrorKind::UndefinedError => undefined(paths, context),
        ErrorKind::OutOfFuel => (
            "the template takes too many steps".to_string(),
            Some("it loops without end, or over far too much".to_string()),
        ),
        ErrorKind::TemplateNotFound => (
            format!("a file it includes is not there: {}", lower(detail)),
            Some(
                "names are relative to the profile's folder; what it inherits counts too"
                    .to_string(),
            ),
        ),
        ErrorKind::UnknownFilter => (
            format!("no such filter: {detail}"),
            Some("see the list of filters in docs/profiles.md".to_string()),
        ),
        ErrorKind::WriteFailure => (detail.to_string(), None),
        kind => {
            let refused =
                std::error::Error::source(error).and_then(|s| s.downcast_ref::<Refused>());
            match refused {
                Some(refused) => {
                    let name = if expression.is_empty() || expression.len() > 60 {
                        "VALUE"
                    } else {
                        expression
                    };
                    let help = refused.help.as_ref().map(|h| h.replace("VALUE", name));
                    (refused.reason.clone(), help)
                }
                None if detail.is_empty() => (kind.to_string(), None),
                None => (format!("{kind}: {detail}"), None),
            }
        }
    }
}

/// Says which name is missing and which there are at that place. `paths` are the names that stand
/// where the error is, the most likely first.
fn undefined(paths: &[String], context: Option<&Value>) -> (String, Option<String>) {
    let missing = context.and_then(|context| {
        paths
            .iter()
            .enumerate()
            .find_map(|(rank, path)| missing(path, context, rank == 0))
    });
    let Some(Missing { place, part, names }) = missing else {
        return ("a name is not defined here".to_string(), None);
    };
    let full = |name: &str| {
        if place.is_empty() {
            name.to_string()
        } else {
            format!("{place}.{name}")
        }
    };
    let near = names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(name, &part), name))
        .filter(|(distance, _)| *distance <= 2)
        .min();
    let there = if names.is_empty() {
        "nothing is".to_string()
    } else {
        names.join(", ")
    };
    let there = if place.is_empty() {
        format!("available: {there}")
    } else {
        format!("available in `{place}`: {there}")
    };
    let help = match near {
        Some((_, near)) => format!("did you mean `{}`? {there}", full(near)),
        None => there,
    };
    (format!("`{}` is not defined", full(&part)), Some(help))
}

struct Missing {
    /// The path that is there.
    place: String,
    /// The part that is not in it.
    part: String,
    /// What is in it.
    names: Vec<String>,
}

/// The part of a path that is not there. A first part that is not there may be a name of the
/// template's own (of a loop, say), and is believed only if `certain`.
fn missing(path: &str, context: &Value, certain: bool) -> Option<Missing> {
    let mut parent = context.clone();
    let mut known: Vec<&str> = Vec::new();
    for part in path.split('.') {
        match parent.get_attr(part) {
            Ok(value) if !value.is_undefined() => {
                known.push(part);
                parent = value;
            }
            _ if known.is_empty() && !certain => return None,
            _ => {
                return Some(Missing {
                    place: known.join("."),
                    part: part.to_string(),
                    names: keys(&parent),
                });
            }
        }
    }
    None
}

/// The dotted names at an error: the one it points at, then those of the tag around it.
fn paths_at(text: &str, range: Option<std::ops::Range<usize>>, line: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let tag = match range {
        Some(range) => {
            let own = text.get(range.clone()).unwrap_or("");
            paths.extend(
                paths_in(own)
                    .into_iter()
                    .filter(|p| own.trim().starts_with(p)),
            );
            let begin = text[..range.start].rfind('{').unwrap_or(range.start);
            let end = text[range.end..]
                .find('}')
                .map_or(text.len(), |n| range.end + n);
            &text[begin..end]
        }
        None => line,
    };
    if paths.is_empty() {
        // nothing certain comes first
        paths.push("system".to_string());
    }
    paths.extend(paths_in(tag));
    paths
}

fn paths_in(expression: &str) -> Vec<String> {
    expression
        .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
        .filter(|word| word.starts_with(|c: char| c.is_alphabetic() || c == '_'))
        .map(|word| word.trim_end_matches('.').to_string())
        .collect()
}

fn keys(value: &Value) -> Vec<String> {
    if value.kind() != minijinja::value::ValueKind::Map {
        return Vec::new();
    }
    let mut names: Vec<String> = value
        .try_iter()
        .map(|all| all.map(|key| key.to_string()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

fn lower(text: &str) -> String {
    text.trim_start_matches("tried to include non-existing template ")
        .to_string()
}
