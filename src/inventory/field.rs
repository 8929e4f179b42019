//! Typed reading of parsed TOML that notes every problem with its place and goes on.
//!
//! Serde is not used: its flattening and untagged enums lose spans, and it stops at the first error.

use std::borrow::Cow;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;

use toml_edit::{Array, ArrayOfTables, Item, Table, TableLike, Value};

use super::suggest::instead;
use super::text::Page;
use super::value::{self, NoJson, Unusable};
use crate::model::Diagnostic;

/// What to do about a private key.
const NO_SECRET: &str = "no secret belongs into these files; of an SSH key write the public half, \
                         from the file that ends in `.pub`";

/// A table and what to call it.
#[derive(Clone)]
pub(super) struct Section<'a> {
    pub(super) page: &'a Page<'a>,
    /// As a person would find it: `[system.web01]`.
    pub(super) title: Cow<'a, str>,
    pub(super) table: &'a dyn TableLike,
    /// Where it begins.
    pub(super) place: Range<usize>,
}

/// One value and what to call it.
#[derive(Clone)]
pub(super) struct Field<'a> {
    pub(super) page: &'a Page<'a>,
    /// The key it stands under.
    pub(super) key: &'a str,
    node: Node<'a>,
    /// Where its value stands.
    pub(super) place: Range<usize>,
}

#[derive(Clone, Copy)]
enum Node<'a> {
    Value(&'a Value),
    Table(&'a Table),
    Tables(&'a ArrayOfTables),
    Nothing,
}

impl<'a> Section<'a> {
    pub(super) fn new(
        page: &'a Page<'a>,
        title: impl Into<Cow<'a, str>>,
        table: &'a dyn TableLike,
        place: Range<usize>,
    ) -> Self {
        Section {
            page,
            title: title.into(),
            table,
            place,
        }
    }

    /// Notes every key that is not one of these.
    pub(super) fn only(&self, keys: &[&str]) {
        for (key, _) in self.table.iter() {
            if !keys.contains(&key) {
                let place = self.key_place(key);
                let problem = Diagnostic::error(format!("unknown key `{key}` in {}", self.title))
                    .at(self.page.span(place, "not a key of this table"));
                self.page
                    .report(with_help(problem, instead(key, keys.iter().copied())));
            }
        }
    }

    /// Where a key stands.
    pub(super) fn key_place(&self, key: &str) -> Range<usize> {
        let span = self.table.key(key).and_then(toml_edit::Key::span);
        span.unwrap_or_else(|| self.place.clone())
    }

    /// The value under a key.
    pub(super) fn get(&self, key: &str) -> Option<Field<'a>> {
        let (found, item) = self.table.get_key_value(key)?;
        let node = match item {
            Item::None => Node::Nothing,
            Item::Value(value) => Node::Value(value),
            Item::Table(table) => Node::Table(table),
            Item::ArrayOfTables(tables) => Node::Tables(tables),
        };
        let place = match item {
            // A table's own span is its header, or none at all if it was written with dots.
            Item::Value(_) => item.span().or_else(|| found.span()),
            _ => found.span().or_else(|| item.span()),
        };
        Some(Field {
            page: self.page,
            key: found.get(),
            node,
            place: place.unwrap_or_else(|| self.place.clone()),
        })
    }

    /// Every key with its value, in the order written.
    pub(super) fn fields(&self) -> impl Iterator<Item = Field<'a>> + '_ {
        self.table.iter().filter_map(|(key, _)| self.get(key))
    }

    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        self.get(key)?.boolean()
    }

    pub(super) fn duration(&self, key: &str) -> Option<Duration> {
        self.get(key)?.duration()
    }

    pub(super) fn parsed<T: FromStr>(&self, key: &str, what: &str) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        self.get(key)?.parsed(what)
    }

    /// The table under a key.
    pub(super) fn section(&self, key: &str, title: impl Into<Cow<'a, str>>) -> Option<Section<'a>> {
        self.get(key)?.section(title)
    }

    /// Notes an error at this table's beginning.
    pub(super) fn error(&self, message: impl Into<String>, label: &str, help: &str) {
        let span = self.page.span(self.place.clone(), label);
        self.page
            .report(Diagnostic::error(message).at(span).help(help));
    }
}

impl<'a> Field<'a> {
    /// Notes an error at this value.
    pub(super) fn error(
        &self,
        message: impl Into<String>,
        label: impl Into<String>,
        help: Option<String>,
    ) {
        let span = self.page.span(self.place.clone(), label);
        let problem = Diagnostic::error(message).at(span);
        self.page.report(with_help(problem, help));
    }

    fn wrong_type<T>(&self, wanted: &str, help: Option<String>) -> Option<T> {
        let found = self.kind();
        self.error(
            format!("`{}` must be {wanted}, not {found}", self.key),
            format!("expected {wanted}"),
            help,
        );
        None
    }

    /// What it is, in words.
    fn kind(&self) -> &'static str {
        match self.node {
            Node::Value(Value::String(_)) => "a string",
            Node::Value(Value::Integer(_)) => "an integer",
            Node::Value(Value::Float(_)) => "a float",
            Node::Value(Value::Boolean(_)) => "a boolean",
            Node::Value(Value::Datetime(_)) => "a date",
            Node::Value(Value::Array(_)) => "a list",
            Node::Value(Value::InlineTable(_)) | Node::Table(_) => "a table",
            Node::Tables(_) => "a list of tables",
            Node::Nothing => "nothing",
        }
    }

    pub(super) fn is_table(&self) -> bool {
        self.kind() == "a table"
    }

    pub(super) fn is_tables(&self) -> bool {
        matches!(self.node, Node::Tables(_))
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self.node, Node::Value(Value::String(_)))
    }

    /// A string on one line.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.printable(|c| !c.is_control(), "a value is one line of text")
    }

    /// A string that may have several lines.
    pub(super) fn lines(&self) -> Option<&'a str> {
        let ok = |c: char| !c.is_control() || matches!(c, '\n' | '\t' | '\r');
        self.printable(ok, "a value is text")
    }

    fn printable(&self, allowed: fn(char) -> bool, rule: &str) -> Option<&'a str> {
        let Node::Value(Value::String(text)) = self.node else {
            let help = match self.node {
                Node::Value(value @ (Value::Integer(_) | Value::Float(_) | Value::Boolean(_))) => {
                    let bare = value.to_string();
                    Some(format!("put it in quotes: `\"{}\"`", bare.trim()))
                }
                _ => None,
            };
            return self.wrong_type("a string", help);
        };
        let text = text.value();
        if let Some(control) = text.chars().find(|c| !allowed(*c)) {
            self.error(
                format!("`{}` holds the control character {control:?}", self.key),
                "only printable characters here",
                Some(format!("remove it; {rule}")),
            );
            return None;
        }
        if value::is_private_key(text) {
            self.error(
                format!("`{}` holds a private key", self.key),
                "a secret",
                Some(NO_SECRET.to_string()),
            );
            return None;
        }
        Some(text)
    }

    /// A string that is not empty.
    pub(super) fn word(&self) -> Option<&'a str> {
        let text = self.text()?;
        if text.trim().is_empty() {
            self.error(
                format!("`{}` is empty", self.key),
                "nothing in it",
                Some("write a value or remove the key".to_string()),
            );
            return None;
        }
        Some(text)
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self.node {
            Node::Value(Value::Boolean(value)) => Some(*value.value()),
            Node::Value(Value::String(text))
                if ["true", "false"].contains(&text.value().as_str()) =>
            {
                let help = format!("write {} without quotes", text.value());
                self.wrong_type("a boolean", Some(help))
            }
            _ => self.wrong_type("a boolean", Some("write true or false".to_string())),
        }
    }

    pub(super) fn integer(&self, range: RangeInclusive<i64>) -> Option<i64> {
        let Node::Value(Value::Integer(value)) = self.node else {
            return self.wrong_type(
                "an integer",
                Some("write a number without quotes".to_string()),
            );
        };
        let value = *value.value();
        if !range.contains(&value) {
            let (low, high) = range.into_inner();
            self.error(
                format!("`{}` is {value}, outside {low} to {high}", self.key),
                format!("expected {low} to {high}"),
                None,
            );
            return None;
        }
        Some(value)
    }

    /// A string read by its type's own rule.
    pub(super) fn parsed<T: FromStr>(&self, what: &str) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        let text = self.text()?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let said = error.to_string();
                // Our own errors name the text and the fix; those of std do not.
                let message = if said.contains('`') {
                    said
                } else {
                    format!("`{text}` is not {what}")
                };
                self.error(message, format!("not {what}"), None);
                None
            }
        }
    }

    /// A string read by one of our rules.
    pub(super) fn by<T>(&self, what: &str, rule: fn(&str) -> Result<T, String>) -> Option<T> {
        match rule(self.text()?) {
            Ok(value) => Some(value),
            Err(message) => {
                self.error(message, format!("not {what}"), None);
                None
            }
        }
    }

    pub(super) fn duration(&self) -> Option<Duration> {
        if let Node::Value(Value::Integer(n)) = self.node {
            let help = format!("give a unit: `\"{}s\"` or `\"{}m\"`", n.value(), n.value());
            return self.wrong_type("a duration", Some(help));
        }
        self.by("a duration", value::duration)
    }

    /// A number of bytes, as an integer or as `"8G"`.
    pub(super) fn size(&self) -> Option<u64> {
        if let Node::Value(Value::Integer(_)) = self.node {
            return self.integer(1..=i64::MAX).map(|n| n as u64);
        }
        self.by("a size", value::size)
    }

    /// The elements of a list; a value that is no list stands for itself.
    pub(super) fn elements(&self) -> Vec<Field<'a>> {
        match self.node {
            Node::Value(Value::Array(array)) => self.of_array(array),
            Node::Tables(tables) => tables.iter().map(|t| self.with_table(t)).collect(),
            _ => vec![self.clone()],
        }
    }

    fn of_array(&self, array: &'a Array) -> Vec<Field<'a>> {
        let element = |value: &'a Value| Field {
            node: Node::Value(value),
            place: value.span().unwrap_or_else(|| self.place.clone()),
            ..self.clone()
        };
        array.iter().map(element).collect()
    }

    fn with_table(&self, table: &'a Table) -> Field<'a> {
        Field {
            node: Node::Table(table),
            place: table.span().unwrap_or_else(|| self.place.clone()),
            ..self.clone()
        }
    }

    /// A list of strings, or one string.
    pub(super) fn texts(&self) -> Vec<String> {
        let elements = self.elements();
        let texts = elements.iter().filter_map(Field::text);
        texts.map(str::to_string).collect()
    }

    /// A table.
    pub(super) fn section(&self, title: impl Into<Cow<'a, str>>) -> Option<Section<'a>> {
        let table: &'a dyn TableLike = match self.node {
            Node::Table(table) => table,
            Node::Value(Value::InlineTable(table)) => table,
            _ => return self.wrong_type("a table", None),
        };
        Some(Section::new(self.page, title, table, self.place.clone()))
    }

    /// Any value as JSON, for templates.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        let converted = match self.node {
            Node::Value(value) => value::json(value),
            Node::Table(table) => value::json_table(table),
            Node::Tables(tables) => tables.iter().map(|t| value::json_table(t)).collect(),
            Node::Nothing => Ok(serde_json::Value::Null),
        };
        match converted {
            Ok(value) => Some(value),
            Err(NoJson { why, place }) => {
                let (label, help) = match why {
                    Unusable::Secret => ("a secret", Some(NO_SECRET.to_string())),
                    _ => ("not usable in a template", None),
                };
                let problem = Diagnostic::error(format!("in `{}`: {why}", self.key));
                let place = place.unwrap_or_else(|| self.place.clone());
                let problem = problem.at(self.page.span(place, label));
                self.page.report(with_help(problem, help));
                None
            }
        }
    }
}

/// Adds a fix if there is one.
pub(super) fn with_help(problem: Diagnostic, help: Option<String>) -> Diagnostic {
    match help {
        Some(help) => problem.help(help),
        None => problem,
    }
}
