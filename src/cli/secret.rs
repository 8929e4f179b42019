//! `farrier secret`: values that no file holds and nobody is shown again.

use std::io::{IsTerminal, Read};

use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::client::{Pairs, segment};
use super::printer::Column;
use super::{Exit, Session, time};
use crate::model::view::SecretView;
use crate::model::{Code, Refusal, SecretName, Timestamp};

/// `farrier secret VERB`.
#[derive(Debug, Subcommand)]
pub(super) enum SecretCommand {
    Set(SecretSet),
    Ls(SecretLs),
    Rm(SecretRm),
}

/// Set a secret, or replace its value.
///
/// The value is read from standard input, or asked for; it is never an argument, which others could
/// read in the list of processes. A single line loses its line break; several lines are kept as they
/// are. Nothing prints it again.
#[derive(Debug, Args)]
pub(super) struct SecretSet {
    /// Its name, such as bmc/web01
    #[arg(value_name = "NAME")]
    name: SecretName,
}

/// List secrets: their names, when they were set, and which systems refer to them.
#[derive(Debug, Args)]
pub(super) struct SecretLs {}

/// Remove a secret that nothing refers to.
#[derive(Debug, Args)]
pub(super) struct SecretRm {
    /// Its name
    #[arg(value_name = "NAME")]
    name: SecretName,
}

const COLUMNS: &[Column<SecretView>] = &[
    Column::new("NAME", |s| s.name.to_string()),
    Column::new("SET", |s| time::relative(s.set, Timestamp::now())),
    Column::new("BY", |s| s.actor.clone()),
    Column::new("SYSTEMS", |s| match s.systems.as_slice() {
        [] => "none".to_string(),
        [one] => one.clone(),
        [one, rest @ ..] => format!("{one} and {} more", rest.len()),
    }),
];

/// The longest value in bytes; the server has the same limit.
const LONGEST: usize = crate::vault::LONGEST;

impl SecretCommand {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        match self {
            SecretCommand::Set(verb) => {
                let value = tokio::task::block_in_place(|| value(session, &verb.name))?;
                let path = format!("/v1/secrets/{}", segment(verb.name.as_str()));
                let body = serde_json::json!({ "value": value.as_str() });
                let set: SecretView = session.client.post(&path, &body).await?;
                session.printer.object(&set, set.name.as_str(), String::new);
                session.printer.talk(&format!("`{}` is set", set.name));
            }
            SecretCommand::Ls(_) => {
                let secrets: Vec<SecretView> =
                    session.client.get("/v1/secrets", &Pairs::new()).await?;
                session.printer.list(
                    &secrets,
                    COLUMNS,
                    |s| s.name.to_string(),
                    "no secret is set",
                );
            }
            SecretCommand::Rm(verb) => {
                let path = format!("/v1/secrets/{}", segment(verb.name.as_str()));
                let left: Vec<SecretView> = session.client.delete(&path).await?;
                session.printer.talk(&format!(
                    "`{}` is removed; {} are left",
                    verb.name,
                    left.len()
                ));
            }
        }
        Ok(Exit::Done)
    }
}

/// The value, from standard input or a person.
fn value(session: &Session, name: &SecretName) -> Result<Zeroizing<String>, Refusal> {
    if std::io::stdin().is_terminal() {
        if !session.interactive {
            return Err(
                Refusal::new(Code::Usage, "the value would have to be asked for")
                    .help(format!("farrier secret set {name} <FILE")),
            );
        }
        return asked(name);
    }
    // Room for all at once: a buffer that grew would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 2));
    let most = u64::try_from(LONGEST + 2).unwrap_or(u64::MAX);
    std::io::stdin()
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|e| Refusal::failed(format!("standard input cannot be read: {e}")))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        Refusal::new(Code::Invalid, "the value is no text in UTF-8")
            .help("encode other bytes, as with base64")
    })?;
    Ok(Zeroizing::new(one_line(text).to_string()))
}

/// A single line without its break, as `echo` makes one; anything longer as it is.
fn one_line(text: &str) -> &str {
    match text.strip_suffix('\n') {
        Some(line) if !line.contains('\n') => line.strip_suffix('\r').unwrap_or(line),
        _ => text,
    }
}

fn asked(name: &SecretName) -> Result<Zeroizing<String>, Refusal> {
    let ask = |question: String| {
        rpassword::prompt_password(question)
            .map(Zeroizing::new)
            .map_err(|e| Refusal::failed(format!("nothing could be asked: {e}")))
    };
    let value = ask(format!("Value of `{name}`: "))?;
    let again = ask("The same again: ".to_string())?;
    if value != again {
        return Err(Refusal::refused(
            "the two are not the same; nothing was set",
        ));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn only_a_single_line_loses_its_break() {
        for (text, want) in [
            ("x\n", "x"),
            ("x\r\n", "x"),
            ("x", "x"),
            ("", ""),
            ("\n", ""),
            ("a\nb\n", "a\nb\n"),
            (" x \n", " x "),
        ] {
            assert_eq!(one_line(text), want, "{text:?}");
        }
    }
}
