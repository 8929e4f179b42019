//! Asking before something is destroyed.

use std::io::{BufRead, Write};

use super::session::Session;
use crate::model::Refusal;

/// What was typed to agree in advance.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct AgreeArguments {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Refuse unless exactly so many systems are selected
    #[arg(long, value_name = "N")]
    pub expect: Option<usize>,
}

impl AgreeArguments {
    /// Makes sure that a person, or `--yes` with a count, agrees to `verb` these systems. The plan was
    /// printed before.
    pub(super) fn ask(
        &self,
        session: &Session,
        verb: &str,
        names: &[String],
    ) -> Result<(), Refusal> {
        let count = names.len();
        if let Some(expect) = self.expect
            && expect != count
        {
            return Err(mismatch(verb, expect, count));
        }
        if self.yes {
            if count > 1 && self.expect.is_none() {
                return Err(Refusal::refused(format!(
                    "{count} systems are selected, and `--yes` alone agrees to one"
                ))
                .help(format!("add `--expect {count}` if that is what you mean")));
            }
            return Ok(());
        }
        if !session.interactive {
            let how = if count > 1 {
                format!("--yes --expect {count}")
            } else {
                "--yes".to_string()
            };
            return Err(Refusal::refused(format!(
                "`{verb}` wants a confirmation, and nobody can be asked here"
            ))
            .help(format!("add `{how}`")));
        }
        let (question, wanted) = match names {
            [one] => (format!("Type `{one}` to {verb} it: "), one.clone()),
            _ => (
                format!("Type {count} to {verb} these {count} systems: "),
                count.to_string(),
            ),
        };
        let answer = read(&question)
            .map_err(|e| Refusal::failed(format!("the answer cannot be read: {e}")))?;
        if answer.trim() == wanted {
            Ok(())
        } else {
            Err(Refusal::refused("not confirmed; nothing was changed"))
        }
    }
}

/// The refusal of a count that does not match.
pub(super) fn mismatch(verb: &str, expect: usize, count: usize) -> Refusal {
    let (are, were) = (
        if count == 1 {
            "system is"
        } else {
            "systems are"
        },
        if expect == 1 { "was" } else { "were" },
    );
    Refusal::refused(format!(
        "{count} {are} selected and {expect} {were} expected, so `{verb}` does nothing"
    ))
    .help("look at the list with `farrier ls` and the same selection")
}

fn read(question: &str) -> std::io::Result<String> {
    let mut talk = std::io::stderr().lock();
    talk.write_all(question.as_bytes())?;
    talk.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer)
}
