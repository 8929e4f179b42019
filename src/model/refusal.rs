//! A refusal: how every operator request says no.

use serde::{Deserialize, Serialize};

use super::{Diagnostic, Span};

/// An error with its causes, as one sentence.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        // Some errors say their cause themselves.
        if !text.ends_with(&said) {
            text.push_str(&format!(": {said}"));
        }
        source = cause.source();
    }
    text
}

/// Why an operator's request was not carried out. The CLI prints it on stderr, the API answers it as
/// JSON; `problems` is there only if a file holds more than one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What sort of no.
    pub code: Code,
    /// What happened, in one sentence without a full stop.
    pub message: String,
    /// What to type next.
    #[serde(default)]
    pub help: Option<String>,
    /// Where in the files, the main place first.
    #[serde(default)]
    pub spans: Vec<Span>,
    /// What holds for all of it, in one sentence.
    #[serde(default)]
    pub note: Option<Box<str>>,
    /// Every problem of the files, if files are what was wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Diagnostic>,
}

/// What sort of no, in the words of the JSON contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// It was tried and did not work.
    Failed,
    /// Something a person wrote is wrong.
    Invalid,
    /// Nothing has that name.
    NotFound,
    /// A guard refused: protected, a count that does not match, a build under way, an old plan.
    Refused,
    /// This user may read and not change.
    Forbidden,
    /// Some machines were done and some were not.
    PartlyFailed,
    /// The time given was not enough.
    TimedOut,
    /// No server answers.
    Unreachable,
    /// The request or the command line makes no sense.
    Usage,
}

impl Code {
    /// The exit code of the command line.
    pub fn exit(self) -> u8 {
        match self {
            Code::Failed | Code::Invalid => 1,
            Code::NotFound => 3,
            Code::Refused | Code::Forbidden => 4,
            Code::PartlyFailed => 5,
            Code::TimedOut => 6,
            Code::Unreachable => 7,
            Code::Usage => 64,
        }
    }

    /// The HTTP status of the admin plane.
    pub fn status(self) -> u16 {
        match self {
            Code::Failed | Code::PartlyFailed => 500,
            Code::Invalid => 422,
            Code::NotFound => 404,
            Code::Refused => 409,
            Code::Forbidden => 403,
            Code::TimedOut => 504,
            Code::Unreachable => 503,
            Code::Usage => 400,
        }
    }
}

impl Refusal {
    /// A refusal with a message and nothing else yet.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Refusal {
            code,
            message: message.into(),
            help: None,
            spans: Vec::new(),
            note: None,
            problems: Vec::new(),
        }
    }

    /// It was tried and did not work.
    pub fn failed(message: impl Into<String>) -> Self {
        Refusal::new(Code::Failed, message)
    }

    /// A guard says no.
    pub fn refused(message: impl Into<String>) -> Self {
        Refusal::new(Code::Refused, message)
    }

    /// Nothing has that name; `near` are names that do exist, the likeliest first.
    pub fn not_found(what: &str, name: &str, near: &[String]) -> Self {
        let refusal = Refusal::new(Code::NotFound, format!("no {what} is called `{name}`"));
        match near.first() {
            Some(likely) => refusal.help(format!("did you mean `{likely}`?")),
            None => refusal,
        }
    }

    /// Adds what to type next if nothing better is known.
    #[must_use]
    pub fn help_if_none(mut self, help: impl Into<String>) -> Self {
        self.help.get_or_insert_with(|| help.into());
        self
    }

    /// The files are wrong: the first error is the message, all of them are kept.
    pub fn files(problems: Vec<Diagnostic>) -> Self {
        let mut refusal = match problems.first() {
            Some(first) => Refusal {
                code: Code::Invalid,
                message: first.message.clone(),
                help: first.help.clone(),
                spans: first.spans.clone(),
                note: None,
                problems: Vec::new(),
            },
            None => Refusal::new(Code::Invalid, "the files cannot be used"),
        };
        refusal.problems = problems;
        refusal
    }

    /// An edit would make the files wrong: places are in the text that would have been written.
    pub fn would_be(problems: Vec<Diagnostic>) -> Self {
        let note = "the lines are those of the files as they would be; nothing was written";
        Refusal {
            note: Some(note.into()),
            ..Refusal::files(problems)
        }
    }

    /// Adds what to type next.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
