//! minijinja, held tight: strict, bounded in steps and size, and with no way out of the profile's
//! own files. One engine serves one output format, so that a value is escaped the same way however
//! deep in includes and macros it is printed.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value,
};

use super::Format;
use super::filters;
use super::formats::Refused;
use super::intent;
use super::secret;

/// Steps a template may take: about 50 ms.
const FUEL: u64 = 1_000_000;

/// Bytes a rendered document may have.
pub(super) const LARGEST: usize = 4 << 20;

/// Includes, macros and blocks inside one another; an include counts ten.
const DEEPEST: usize = 200;

/// A profile's files, by path relative to its folder.
pub(super) type Files = Arc<BTreeMap<String, Arc<[u8]>>>;

/// Filters of minijinja's that stay. What is missing either steps around escaping (`safe`,
/// `escape`, `tojson`), prints values for debugging, or makes long text out of nothing.
const REMOVED_FILTERS: [&str; 7] = ["safe", "escape", "e", "tojson", "pprint", "format", "attr"];

/// Templates of one profile for one output format.
#[derive(Debug)]
pub(super) struct Engine {
    environment: Environment<'static>,
}

impl Engine {
    pub(super) fn new(format: Format, files: Files) -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(DEEPEST);
        // a file ends with a line break, also once it is rendered
        if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
            environment.set_syntax(syntax);
        }
        environment.set_auto_reload(false);
        environment.set_debug(false);
        environment.set_auto_escape_callback(move |_| AutoEscape::Custom(format.word().into()));
        environment.set_formatter(move |out, state, value| write(format, out, state, value));
        for name in REMOVED_FILTERS {
            environment.remove_filter(name);
        }
        environment.remove_global("debug");
        filters::add(&mut environment, format);
        intent::register(&mut environment);
        environment.set_loader(move |name| match files.get(name) {
            None => Ok(None),
            Some(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text.to_string())),
                Err(_) => Err(Error::new(
                    ErrorKind::InvalidOperation,
                    format!("`{name}` is not text in UTF-8"),
                )),
            },
        });
        Engine { environment }
    }

    /// Adds a template that is not one of the files.
    pub(super) fn add(&mut self, name: &'static str, source: &str) -> Result<(), Error> {
        self.environment
            .add_template_owned(name, source.to_string())
    }

    /// Parses a template, so that its mistakes show before any system uses it.
    pub(super) fn compile(&self, name: &str) -> Result<(), Error> {
        self.environment.get_template(name).map(|_| ())
    }

    /// Renders a template.
    pub(super) fn render(&self, name: &str, context: &Value) -> Result<String, Error> {
        let template = self.environment.get_template(name)?;
        let mut out = Bounded(Vec::with_capacity(template.source().len() + 512));
        // the templates are the site owner's; a defect in the engine must not end the server
        let done = catch_unwind(AssertUnwindSafe(|| {
            template
                .render_captured_to(context.clone(), &mut out)
                .map(|_| ())
        }));
        match done {
            Ok(Ok(())) => {}
            Ok(Err(error)) if error.kind() == ErrorKind::WriteFailure => {
                return Err(Error::new(
                    ErrorKind::WriteFailure,
                    format!("the document is longer than {} MiB", LARGEST >> 20),
                ));
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    format!("the template engine failed on `{name}`"),
                ));
            }
        }
        String::from_utf8(out.0)
            .map_err(|_| Error::new(ErrorKind::InvalidOperation, "the document is not UTF-8"))
    }
}

/// A buffer that refuses to grow beyond [`LARGEST`].
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LARGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Prints one value: the only way from a value into a document.
fn write(
    format: Format,
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    if !matches!(state.auto_escape(), AutoEscape::Custom(_)) {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "`autoescape` cannot be switched; use the filter of the format",
        ));
    }
    let done = |r: fmt::Result| r.map_err(|_| Error::from(ErrorKind::WriteFailure));
    if let Some(mark) = secret::printed(value, format, None) {
        return done(out.write_str(&mark?));
    }
    match value.kind() {
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            if value.is_safe() {
                return done(out.write_str(text));
            }
            format.escape(text, out).map_err(refused)
        }
        // minijinja would print Python's True
        ValueKind::Bool => done(out.write_str(if value.is_true() { "true" } else { "false" })),
        ValueKind::Number => done(out.write_fmt(format_args!("{value}"))),
        // `{{ a if b }}` without its else
        ValueKind::Undefined => Ok(()),
        ValueKind::None => Err(refused(Refused {
            reason: "there is no value here".to_string(),
            help: Some(
                "say what stands for it: `{{ VALUE or \"..\" }}`, or ask with `{% if VALUE %}`"
                    .to_string(),
            ),
        })),
        _ => Err(refused(Refused {
            reason: "a list or a table cannot be printed".to_string(),
            help: Some(
                "loop over it, or use `join(\",\")`, `sh`, `json`, `yaml` or `toml`".to_string(),
            ),
        })),
    }
}

/// A refusal as an error of the engine's, which adds file and line.
pub(super) fn refused(refused: Refused) -> Error {
    Error::new(ErrorKind::InvalidOperation, refused.reason.clone()).with_source(refused)
}
