//! One line of the doctor.

use serde::Serialize;

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// Well.
    Ok,
    /// Worth a look.
    Warn,
    /// A machine will not boot.
    Fail,
}

/// What was looked at, how it is, and the fix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// How it is.
    pub(super) level: Level,
    /// What was looked at, in a word.
    pub(super) what: &'static str,
    /// How it is, in a sentence.
    pub(super) message: String,
    /// What to do.
    pub(super) help: Option<String>,
}

impl Finding {
    /// All is well.
    pub(super) fn ok(what: &'static str, message: impl Into<String>) -> Finding {
        Finding {
            level: Level::Ok,
            what,
            message: message.into(),
            help: None,
        }
    }

    /// Worth a look.
    pub(super) fn warn(
        what: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Finding {
        Finding {
            level: Level::Warn,
            what,
            message: message.into(),
            help: Some(help.into()),
        }
    }

    /// A machine will not boot.
    pub(super) fn fail(
        what: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Finding {
        Finding {
            level: Level::Fail,
            what,
            message: message.into(),
            help: Some(help.into()),
        }
    }

    /// The line for people, and one below it with the fix.
    pub(super) fn line(&self, colour: bool) -> String {
        let (word, code) = match self.level {
            Level::Ok => ("ok  ", "32"),
            Level::Warn => ("warn", "33"),
            Level::Fail => ("FAIL", "31"),
        };
        let word = if colour {
            format!("\x1b[{code}m{word}\x1b[0m")
        } else {
            word.to_string()
        };
        let mut text = format!("{word}  {:<10} {}\n", self.what, self.message);
        if let Some(help) = &self.help {
            text.push_str(&format!("      {:<10} fix: {help}\n", ""));
        }
        text
    }
}
