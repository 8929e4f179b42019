//! `farrier show`: one system, declared and known.

use clap::Args;

use super::client::{Pairs, pairs, segment};
use super::printer::Column;
use super::selection::SelectArguments;
use super::{Exit, Session, events, flag, time};
use crate::model::view::{EventView, OriginView, ShowView, SystemView};
use crate::model::{Code, Refusal, Selection, Timestamp};

/// Show systems: declared, known, next.
#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    select: SelectArguments,
    /// Of one system, print each value with the file and line it comes from
    #[arg(long)]
    origin: bool,
}

const ORIGINS: &[Column<OriginView>] = &[
    Column::new("KEY", |o| o.key.clone()),
    Column::new("VALUE", |o| short(&plain(&o.value))),
    Column::new("LAYER", |o| o.layer.clone()),
    Column::new("FROM", |o| match (&o.file, o.line) {
        (Some(file), Some(line)) => format!("{file}:{line}"),
        (Some(file), None) => file.clone(),
        _ => String::new(),
    }),
];

impl Show {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let selection = self.select.some("show")?;
        let single = selection.names_one();
        let names = names(session, selection).await?;
        if self.origin {
            return origins(session, &names).await;
        }
        let mut views: Vec<ShowView> = Vec::with_capacity(names.len());
        for name in &names {
            let path = format!("/v1/systems/{}", segment(name));
            views.push(session.client.get(&path, &Pairs::new()).await?);
        }
        let human = |view: &ShowView| {
            let phase = session.printer.phase(view.system.phase);
            text(view, &phase, Timestamp::now())
        };
        match views.as_slice() {
            [one] if single => {
                session.printer.object(one, &one.system.name, || human(one));
            }
            many => session.printer.list_with(
                many,
                |v| v.system.name.clone(),
                |_| many.iter().map(human).collect::<Vec<_>>().join("\n"),
            ),
        }
        Ok(Exit::Done)
    }
}

/// The names of the systems that are selected. One plain name or MAC stays as it is: it may be of a
/// machine that nobody declared.
pub(super) async fn names(session: &Session, selection: Selection) -> Result<Vec<String>, Refusal> {
    if selection.names_one() {
        return Ok(selection.selectors);
    }
    let systems: Vec<SystemView> = session
        .client
        .get("/v1/systems", &pairs(&selection))
        .await?;
    Ok(systems.into_iter().map(|s| s.name).collect())
}

async fn origins(session: &Session, names: &[String]) -> Result<Exit, Refusal> {
    let [name] = names else {
        return Err(Refusal::new(
            Code::Usage,
            format!(
                "`--origin` is about one system, and {} are selected",
                names.len()
            ),
        )
        .help("farrier show NAME --origin"));
    };
    let path = format!("/v1/systems/{}/origins", segment(name));
    let origins: Vec<OriginView> = session.client.get(&path, &Pairs::new()).await?;
    session
        .printer
        .list(&origins, ORIGINS, |o| o.key.clone(), "it has no values");
    Ok(Exit::Done)
}

/// A JSON value as short as it can be read.
pub(super) fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The most characters of a value in a table; JSON has all of it.
const SHORT: usize = 60;

/// A value on one line of a table.
fn short(text: &str) -> String {
    let mut line = text.replace('\n', "\\n");
    if line.chars().count() > SHORT {
        line = line.chars().take(SHORT - 3).collect::<String>() + "...";
    }
    line
}

fn text(view: &ShowView, phase: &str, now: Timestamp) -> String {
    let system = &view.system;
    let mut out = format!("{}  {phase}", system.name);
    if let Some(build) = &system.build {
        if let Some(stage) = build.step() {
            out.push_str(&format!(" ({stage})"));
        }
        out.push_str(&format!(
            " for {}, build {} of `{}`",
            time::human(time::between(build.since, now)),
            build.number,
            build.profile
        ));
    }
    out.push('\n');
    if let Some(problem) = &system.broken {
        out.push_str(&format!("  {:<10} {problem}\n", "problem"));
    }
    if let Some(once) = system.pending_once() {
        out.push_str(&format!(
            "  {:<10} `{}` at its next network boot ({}, number {})\n",
            "once", once.profile, once.phase, once.number
        ));
    }
    let mut line = |key: &str, value: String| {
        if !value.is_empty() {
            out.push_str(&format!("  {key:<10} {value}\n"));
        }
    };
    line("profile", system.profile.clone());
    for interface in &view.interfaces {
        let address = match (interface.ip, interface.static_ip) {
            (Some(ip), true) => format!("{} {ip} (static)", interface.mac),
            (Some(ip), false) => format!("{} {ip}", interface.mac),
            (None, _) => interface.mac.to_string(),
        };
        line("interface", address);
    }
    if let Some(ip) = system.ip {
        line("ip", ip.to_string());
    }
    line("tags", system.tags.join(", "));
    line("disk", flag::disks(&view.disk, view.second.as_ref()));
    if system.protected {
        line("protected", "yes".to_string());
    }
    if view.secure_boot {
        line("boots", "with Secure Boot".to_string());
    }
    for (key, value) in &view.vars {
        line("var", format!("{key} = {value}"));
    }
    if let Some(build) = &system.build {
        line(
            "boots",
            format!("{} of {}", build.attempts[0], build.attempts[1]),
        );
        line("revision", build.revision.clone());
        line("wrote", build.disk.clone().unwrap_or_default());
        line("reason", build.reason.clone().unwrap_or_default());
        line("ALARM", build.alarm.clone().unwrap_or_default());
    }
    for key in &view.host_keys {
        line("host key", key.clone());
    }
    line("why", view.why.clone());
    line("expected", view.expected.clone().unwrap_or_default());
    if !view.events.is_empty() {
        out.push_str("events\n");
        for event in &view.events {
            out.push_str(&event_line(event));
        }
    }
    if let Some(hint) = &view.hint {
        out.push_str(&format!("next\n  {hint}\n"));
    }
    out
}

/// One event below a heading.
pub(super) fn event_line(event: &EventView) -> String {
    format!(
        "  {}  {:<11} {:<17} {}\n",
        time::stamp(event.time),
        event.phase.word(),
        event.kind,
        events::sentence(event)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_on_its_line() {
        assert_eq!(short("a\nb"), "a\\nb");
        assert_eq!(short(&"x".repeat(60)).len(), 60);
        assert_eq!(short(&"x".repeat(61)), format!("{}...", "x".repeat(57)));
    }
}
