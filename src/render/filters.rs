//! Filters: how a template says what a value is to become.
//!
//! A filter's result is printed as it is only in the format the filter belongs to; anywhere else it
//! is a text like any other and is escaped, so that `{{ x | json }}` in a shell script cannot slip
//! past the shell's rules (`{{ x | json | sh }}` is what works).

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value};

use super::Format;
use super::engine::refused;
use super::formats::{
    Refused, json_quoted, nix_quoted, no_escape, shell_quoted, toml_quoted, xml_escaped,
};
use super::secret::{none_within, printed};

pub(super) fn add(environment: &mut Environment<'static>, format: Format) {
    let at_home = move |home: bool, text: String| {
        if home {
            Value::from_safe_string(text)
        } else {
            Value::from(text)
        }
    };
    // a secret's own form is at home where it is not refused
    let secret = move |value: &Value, filter: &str| {
        printed(value, format, Some(filter)).map(|mark| mark.map(Value::from_safe_string))
    };
    environment.add_filter("sh", move |value: Value| -> Result<Value, Error> {
        if let Some(mark) = secret(&value, "sh") {
            return mark;
        }
        let line_breaks = format == Format::Shell || !format.speaks_shell();
        let words = each(&value, "sh")?;
        let quoted: Result<Vec<String>, Refused> = words
            .iter()
            .map(|word| {
                if format == Format::Preseed {
                    no_escape(word)?;
                }
                shell_quoted(word, line_breaks)
            })
            .collect();
        let text = quoted.map_err(refused)?.join(" ");
        Ok(at_home(format.speaks_shell(), text))
    });
    environment.add_filter("json", move |value: Value| -> Result<Value, Error> {
        if let Some(mark) = secret(&value, "json") {
            return mark;
        }
        none_within(&value, "json")?;
        Ok(at_home(
            format == Format::Json || format == Format::Yaml,
            json(&value)?,
        ))
    });
    environment.add_filter("yaml", move |value: Value| -> Result<Value, Error> {
        if let Some(mark) = secret(&value, "yaml") {
            return mark;
        }
        none_within(&value, "yaml")?;
        Ok(at_home(format == Format::Yaml, json(&value)?))
    });
    environment.add_filter("toml", move |value: Value| -> Result<Value, Error> {
        if let Some(mark) = secret(&value, "toml") {
            return mark;
        }
        none_within(&value, "toml")?;
        Ok(at_home(format == Format::Toml, toml(&value)?))
    });
    environment.add_filter("nix", move |value: Value| -> Result<Value, Error> {
        if let Some(mark) = secret(&value, "nix") {
            return mark;
        }
        none_within(&value, "nix")?;
        Ok(at_home(format == Format::Nix, nix(&value)?))
    });
    environment.add_filter("xml", move |value: Value| -> Result<Value, Error> {
        if let Some(mark) = secret(&value, "xml") {
            return mark;
        }
        let text = xml_escaped(&scalar(&value, "xml")?).map_err(refused)?;
        Ok(at_home(format == Format::Xml, text))
    });
    environment.add_filter("text", move |value: Value| -> Result<Value, Error> {
        if let Some(mark) = secret(&value, "text") {
            return mark;
        }
        let text = scalar(&value, "text")?;
        if text
            .chars()
            .any(|c| c.is_control() && c != '\n' && c != '\t')
        {
            return Err(refused(Refused {
                reason: "a control character cannot stand in text".to_string(),
                help: None,
            }));
        }
        Ok(at_home(
            matches!(format, Format::Plain | Format::Esxi | Format::InstallConf),
            text,
        ))
    });
    // An ordinary text of any format: what Ignition's files are written in.
    environment.add_filter("data_url", |value: Value| -> Result<Value, Error> {
        Ok(Value::from(data_url(&scalar(&value, "data_url")?)))
    });
    environment.add_filter(
        "join",
        |value: Value, between: Option<String>| -> Result<Value, Error> {
            let words = each(&value, "join")?;
            Ok(Value::from(words.join(between.as_deref().unwrap_or(""))))
        },
    );
}

/// The text of a single value.
fn scalar(value: &Value, filter: &str) -> Result<String, Error> {
    none_within(value, filter)?;
    match value.kind() {
        ValueKind::String => Ok(value.as_str().unwrap_or_default().to_string()),
        ValueKind::Bool => Ok(if value.is_true() { "true" } else { "false" }.to_string()),
        ValueKind::Number => Ok(value.to_string()),
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::None => Err(refused(Refused {
            reason: format!("there is no value here for the filter `{filter}`"),
            help: Some(format!(
                "say what stands for it: `{{{{ (VALUE or \"..\") | {filter} }}}}`"
            )),
        })),
        _ => Err(refused(Refused {
            reason: format!(
                "the filter `{filter}` takes single values, not a list or a table in one"
            ),
            help: None,
        })),
    }
}

/// The texts of a list, or of one value.
fn each(value: &Value, filter: &str) -> Result<Vec<String>, Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => value
            .try_iter()?
            .map(|item| scalar(&item, filter))
            .collect(),
        _ => Ok(vec![scalar(value, filter)?]),
    }
}

/// A text as a URL that holds it (RFC 2397), every byte that is not unreserved encoded.
fn data_url(text: &str) -> String {
    text.bytes().fold("data:,".to_string(), |url, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url + char::from(byte).encode_utf8(&mut [0; 4])
        } else {
            url + &format!("%{byte:02X}")
        }
    })
}

/// Any value as JSON, which is YAML too.
fn json(value: &Value) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    if let Some(text) = value.as_str() {
        return Ok(json_quoted(text));
    }
    let text = serde_json::to_string(value)
        .map_err(|e| Error::new(ErrorKind::BadSerialization, e.to_string()))?;
    // outside ASCII only strings can hold what YAML would not read
    Ok(text
        .chars()
        .map(|c| match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                format!("\\u{:04x}", u32::from(c))
            }
            c => c.to_string(),
        })
        .collect())
}

fn toml(value: &Value) -> Result<String, Error> {
    let json = serde_json::to_value(value)
        .map_err(|e| Error::new(ErrorKind::BadSerialization, e.to_string()))?;
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    toml_of(&json)
}

fn toml_of(value: &serde_json::Value) -> Result<String, Error> {
    use serde_json::Value as Json;
    Ok(match value {
        Json::Null => {
            return Err(refused(Refused {
                reason: "TOML has no way to write an absent value".to_string(),
                help: Some("leave the key out with `{% if VALUE %}`".to_string()),
            }));
        }
        Json::Bool(b) => b.to_string(),
        Json::Number(n) => n.to_string(),
        Json::String(s) => toml_quoted(s),
        Json::Array(items) => {
            let items: Result<Vec<String>, Error> = items.iter().map(toml_of).collect();
            format!("[{}]", items?.join(", "))
        }
        Json::Object(table) => {
            let pairs: Result<Vec<String>, Error> = table
                .iter()
                .map(|(key, value)| Ok(format!("{} = {}", toml_quoted(key), toml_of(value)?)))
                .collect();
            format!("{{ {} }}", pairs?.join(", "))
        }
    })
}

fn nix(value: &Value) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let json = serde_json::to_value(value)
        .map_err(|e| Error::new(ErrorKind::BadSerialization, e.to_string()))?;
    nix_of(&json)
}

/// Any value in Nix: lists are in brackets, tables are attribute sets.
fn nix_of(value: &serde_json::Value) -> Result<String, Error> {
    use serde_json::Value as Json;
    Ok(match value {
        Json::Null => "null".to_string(),
        Json::Bool(b) => b.to_string(),
        // a negative one in a list would be a subtraction
        Json::Number(n) => format!("({n})"),
        Json::String(s) => nix_quoted(s).map_err(refused)?,
        Json::Array(items) if items.is_empty() => "[ ]".to_string(),
        Json::Array(items) => {
            let items: Result<Vec<String>, Error> = items.iter().map(nix_of).collect();
            format!("[ {} ]", items?.join(" "))
        }
        Json::Object(table) => {
            let pairs: Result<Vec<String>, Error> = table
                .iter()
                .map(|(key, value)| {
                    let key = nix_quoted(key).map_err(refused)?;
                    Ok(format!("{key} = {};", nix_of(value)?))
                })
                .collect();
            format!("{{ {} }}", pairs?.join(" "))
        }
    })
}
