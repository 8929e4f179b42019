//! Which systems a verb is about.

use std::io::Read;

use clap::Args;

use crate::model::{Code, Phase, Refusal, Selection};

/// The arguments that select systems.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct SelectArguments {
    /// Names, MACs, disk serials, node sets (web[01-20]), globs, or - (stdin)
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Only systems with this tag; give it again for "and"
    #[arg(short = 'l', long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// Only systems whose build is in this phase; give it again for "or". What is booted once is not looked at
    #[arg(long = "phase", value_name = "PHASE")]
    pub phases: Vec<Phase>,
}

impl SelectArguments {
    /// The selection; `-` is replaced by what stdin holds.
    pub(super) fn selection(self) -> Result<Selection, Refusal> {
        Ok(Selection {
            selectors: expand(self.names)?,
            tags: self.tags,
            phases: self.phases,
        })
    }

    /// The selection, which must not be empty: no verb that changes machines means "all" by silence.
    pub(super) fn some(self, verb: &str) -> Result<Selection, Refusal> {
        let selection = self.selection()?;
        if selection.is_empty() {
            return Err(nothing(verb));
        }
        Ok(selection)
    }
}

/// The refusal of an empty selection.
pub(super) fn nothing(verb: &str) -> Refusal {
    Refusal::refused(format!("no system is selected, so `{verb}` does nothing"))
        .help(format!("farrier {verb} NAME.., or -l TAG"))
}

/// Replaces `-` by the names on stdin. None there is refused: what the rest of the line selects was
/// not meant, and least of all everything.
pub(super) fn expand(names: Vec<String>) -> Result<Vec<String>, Refusal> {
    if !names.iter().any(|name| name == "-") {
        return Ok(names);
    }
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .read_to_string(&mut text)
        .map_err(|e| Refusal::new(Code::Usage, format!("stdin cannot be read as names: {e}")))?;
    let named = names_in(&text);
    if named.is_empty() {
        return Err(
            Refusal::refused("`-` stands for the names on stdin, and stdin holds none")
                .help("see what the command before the pipe prints"),
        );
    }
    let typed = names.into_iter().filter(|name| name != "-");
    Ok(typed.chain(named).collect())
}

/// Names separated by white space; `#` begins a comment.
fn names_in(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .flat_map(str::split_whitespace)
        .map(str::to_string)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stdin_holds_names_and_comments() {
        assert_eq!(
            names_in("web01 web02\n# rack 12\n\tdb01 # the old one\n"),
            ["web01", "web02", "db01"]
        );
    }
}
