//! Secrets in documents. A template prints a secret's name in the form that its value will have
//! there, and the value is put in as the document leaves this server: what is rendered, pinned,
//! stored and shown holds the name only.
//!
//! Only the documents of the hand-off may: an answer is readable by anyone on the network and stays
//! on the disk. Whatever would change the text of a secret (a filter, joining it to another text)
//! is refused, because the text is not there yet.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, Serde};
use minijinja::{Error, Value};
use serde_json::{Map, Value as Json};
use zeroize::Zeroizing;

use super::Format;
use super::engine::refused;
use super::formats::{Refused, json_quoted, toml_quoted, xml_escaped};
use super::handoff::END;
use crate::model::SecretName;
use crate::model::secret::reference;

/// Begins what stands for a secret.
const MARK: &str = "FARRIER-SECRET(";
/// What a secret is as an ordinary text. The linter refuses it.
pub(super) const MISUSED: &str = "FARRIER-SECRET-MISUSED";

/// A secret as a template sees it.
#[derive(Debug)]
struct Secret {
    name: String,
    /// Whether the document may hold it.
    released: bool,
}

impl Object for Secret {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MISUSED)
    }
}

/// How a value will be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Shell,
    Json,
    Toml,
    Xml,
    Text,
}

const FORMS: [(Form, &str); 5] = [
    (Form::Shell, "sh"),
    (Form::Json, "json"),
    (Form::Toml, "toml"),
    (Form::Xml, "xml"),
    (Form::Text, "text"),
];

impl Form {
    fn word(self) -> &'static str {
        let found = FORMS.iter().find(|(form, _)| *form == self);
        found.map_or("", |(_, word)| word)
    }

    /// The quotes that are part of it, so that the document is well formed before the value is in.
    fn quote(self) -> &'static str {
        match self {
            Form::Shell => "'",
            Form::Json | Form::Toml => "\"",
            Form::Xml | Form::Text => "",
        }
    }

    fn write(self, value: &str) -> Result<Zeroizing<String>, String> {
        Ok(Zeroizing::new(match self {
            Form::Shell => format!("'{}'", value.replace('\'', "'\\''")),
            Form::Json => json_quoted(value),
            Form::Toml => toml_quoted(value),
            Form::Xml => xml_escaped(value).map_err(|refused| refused.reason)?,
            Form::Text => value.to_string(),
        }))
    }
}

/// Vars for templates, with secrets in the place of their references.
pub(super) fn vars(vars: &Map<String, Json>, released: bool) -> Value {
    let pairs = vars.iter().map(|(k, v)| (k.clone(), value(v, released)));
    Value::from_pairs(pairs)
}

fn value(json: &Json, released: bool) -> Value {
    if let Some(name) = reference(json) {
        let name = name.to_string();
        return Value::from_object(Secret { name, released });
    }
    match json {
        Json::Object(table) => vars(table, released),
        Json::Array(items) => items.iter().map(|item| value(item, released)).collect(),
        other => Value::from(Serde(other)),
    }
}

/// What stands for a value that is a secret, printed into a document of this format through this
/// filter or none. None if it is no secret.
pub(super) fn printed(
    value: &Value,
    format: Format,
    filter: Option<&str>,
) -> Option<Result<String, Error>> {
    let secret = value.downcast_object_ref::<Secret>()?;
    Some(form(secret, format, filter).map_err(refused).map(|form| {
        let (quote, word, name) = (form.quote(), form.word(), &secret.name);
        format!("{quote}{MARK}{word},{name}){quote}")
    }))
}

/// What stands for a secret that is a text of its own, in a file of the hand-off that Farrier makes.
pub(super) fn text_mark(name: &str) -> String {
    format!("{MARK}{},{name})\n", Form::Text.word())
}

fn form(secret: &Secret, format: Format, filter: Option<&str>) -> Result<Form, Refused> {
    let no = |reason: String, help: &str| Refused {
        reason,
        help: Some(help.to_string()),
    };
    let name = &secret.name;
    if !secret.released {
        return Err(no(
            format!("the secret `{name}` may not stand in an answer or a command line"),
            "both can be read by others and stay on the disk; use it in a step of the hand-off",
        ));
    }
    if name.parse::<SecretName>().is_err() {
        return Err(no(
            format!("`{name}` cannot be a secret's name"),
            "use letters, digits and `-_.`, with slashes between words",
        ));
    }
    match (format, filter) {
        (Format::Shell, Some("sh")) => Ok(Form::Shell),
        (Format::Json | Format::Yaml, None | Some("json")) | (Format::Yaml, Some("yaml")) => {
            Ok(Form::Json)
        }
        (Format::Toml, None | Some("toml")) => Ok(Form::Toml),
        (Format::Xml, None | Some("xml")) => Ok(Form::Xml),
        (Format::Plain, Some("text")) => Ok(Form::Text),
        (Format::Shell, None) => Err(no(
            format!("nobody knows what characters the secret `{name}` has"),
            "write `{{ VALUE | sh }}` with no quotes around it",
        )),
        (Format::Plain, None) => Err(no(
            format!("nobody knows whether the secret `{name}` has line breaks"),
            "write `{{ VALUE | text }}`",
        )),
        (format, filter) => Err(no(
            match filter {
                Some(filter) => format!(
                    "the filter `{filter}` cannot take the secret `{name}` in a document of format {}",
                    format.word()
                ),
                None => format!(
                    "no secret can stand in a document of format {}",
                    format.word()
                ),
            },
            "print it by itself, in a shell, json, yaml, toml, xml or plain document, with that format's own filter",
        )),
    }
}

/// Refuses a list or table that has a secret in it.
pub(super) fn none_within(value: &Value, filter: &str) -> Result<(), Error> {
    if let Some(secret) = value.downcast_object_ref::<Secret>() {
        return Err(refused(Refused {
            reason: format!(
                "the secret `{}` stands within what the filter `{filter}` is given",
                secret.name
            ),
            help: Some("print it by itself".to_string()),
        }));
    }
    use minijinja::value::ValueKind::{Iterable, Map, Seq};
    match value.kind() {
        Map => value
            .try_iter()?
            .try_for_each(|key| none_within(&value.get_item(&key).unwrap_or_default(), filter)),
        Seq | Iterable => value
            .try_iter()?
            .try_for_each(|item| none_within(&item, filter)),
        _ => Ok(()),
    }
}

/// One mark in a text: where it begins and ends, quotes included, and what it stands for.
struct Marked<'a> {
    begin: usize,
    end: usize,
    form: Form,
    name: &'a str,
}

fn marks(text: &str) -> impl Iterator<Item = Marked<'_>> {
    text.match_indices(MARK).filter_map(move |(at, _)| {
        let inner = text[at + MARK.len()..].split_once(')')?.0;
        let (word, name) = inner.split_once(',')?;
        let (form, _) = FORMS.into_iter().find(|(_, w)| *w == word)?;
        name.parse::<SecretName>().ok()?;
        let (after, quote) = (at + MARK.len() + inner.len() + 1, form.quote());
        let quoted = text[..at].ends_with(quote) && text[after..].starts_with(quote);
        quoted.then(|| Marked {
            begin: at - quote.len(),
            end: after + quote.len(),
            form,
            name,
        })
    })
}

/// The secrets that a rendered text stands for.
pub fn secrets_in(bytes: &[u8]) -> BTreeSet<SecretName> {
    let text = std::str::from_utf8(bytes).unwrap_or("");
    marks(text).filter_map(|m| m.name.parse().ok()).collect()
}

/// Puts the values in.
///
/// # Errors
/// A sentence, if a value is not there or cannot be written in its place.
pub fn release(
    bytes: &[u8],
    value_of: &dyn Fn(&SecretName) -> Result<Zeroizing<String>, String>,
) -> Result<Zeroizing<Vec<u8>>, String> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Ok(Zeroizing::new(bytes.to_vec()));
    };
    let mut written = Vec::new();
    for mark in marks(text) {
        let name: SecretName = mark.name.parse().map_err(|e| format!("{e}"))?;
        let value = value_of(&name)?;
        if value.contains(END) {
            return Err(format!(
                "`{name}` holds the line that ends a file of a hand-off"
            ));
        }
        let value = mark.form.write(&value);
        written.push((
            mark.begin,
            mark.end,
            value.map_err(|why| format!("`{name}` cannot be written: {why}"))?,
        ));
    }
    // All at once: a buffer that grew would leave copies behind.
    let size = text.len() + written.iter().map(|(_, _, v)| v.len()).sum::<usize>();
    let mut out = Zeroizing::new(Vec::with_capacity(size));
    let mut from = 0;
    for (begin, end, value) in &written {
        out.extend_from_slice(&bytes[from..*begin]);
        out.extend_from_slice(value.as_bytes());
        from = *end;
    }
    out.extend_from_slice(&bytes[from..]);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> impl Fn(&SecretName) -> Result<Zeroizing<String>, String> {
        let text = text.to_string();
        move |_| Ok(Zeroizing::new(text.clone()))
    }

    #[test]
    fn a_value_is_written_as_its_place_needs_it() {
        let hostile = "it's \"$(id)\" <&>\n`x`";
        for (text, want) in [
            (
                "a='FARRIER-SECRET(sh,x/y)' b",
                "a='it'\\''s \"$(id)\" <&>\n`x`' b",
            ),
            (
                "{\"a\":\"FARRIER-SECRET(json,x/y)\"}",
                "{\"a\":\"it's \\\"$(id)\\\" <&>\\n`x`\"}",
            ),
            (
                "<a>FARRIER-SECRET(xml,x/y)</a>",
                "<a>it's \"$(id)\" &lt;&amp;&gt;&#10;`x`</a>",
            ),
            ("FARRIER-SECRET(text,x/y)", hostile),
            ("FARRIER-SECRET(sh,x/y)", "FARRIER-SECRET(sh,x/y)"),
            ("'FARRIER-SECRET(no,x/y)'", "'FARRIER-SECRET(no,x/y)'"),
        ] {
            let out = release(text.as_bytes(), &value(hostile)).expect("released");
            let out = String::from_utf8_lossy(&out)
                .replace("&quot;", "\"")
                .replace("&apos;", "'");
            assert_eq!(
                out.replace("&#39;", "'").replace("&#34;", "\""),
                want,
                "{text}"
            );
        }
    }

    #[test]
    fn a_value_cannot_end_a_file_of_the_bundle_or_name_another_secret() {
        let text = b"x='FARRIER-SECRET(sh,x)'";
        assert!(release(text, &value(&format!("a\n{END}\n"))).is_err());
        let out = release(text, &value("FARRIER-SECRET(text,y)")).expect("released");
        assert_eq!(out.as_slice(), b"x='FARRIER-SECRET(text,y)'");
        assert!(release(text, &|_| Err("it is not set".to_string())).is_err());
        let names: Vec<String> = secrets_in(text).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["x"]);
    }
}
