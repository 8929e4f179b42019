//! `farrier show`: one system, declared and known.

use clap::Args;

use super::client::{Pairs, segment};
use super::printer::Column;
use super::{Exit, Session, flag, time};
use crate::model::view::{EventView, OriginView, ShowView};
use crate::model::{Refusal, Timestamp};

/// Show one system: declared, known, next.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Its name, or a MAC
    #[arg(value_name = "NAME")]
    name: String,
    /// Print each value with the file and line it comes from
    #[arg(long)]
    origin: bool,
}

const ORIGINS: &[Column<OriginView>] = &[
    Column::new("KEY", |o| o.key.clone()),
    Column::new("VALUE", |o| plain(&o.value)),
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
        let path = format!("/v1/systems/{}", segment(&self.name));
        if self.origin {
            let origins: Vec<OriginView> = session
                .client
                .get(&format!("{path}/origins"), &Pairs::new())
                .await?;
            session
                .printer
                .list(&origins, ORIGINS, |o| o.key.clone(), "it has no values");
            return Ok(Exit::Done);
        }
        let view: ShowView = session.client.get(&path, &Pairs::new()).await?;
        let phase = session.printer.phase(view.system.phase);
        session.printer.object(&view, &view.system.name, || {
            text(&view, &phase, Timestamp::now())
        });
        Ok(Exit::Done)
    }
}

/// A JSON value as short as it can be read.
pub(super) fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
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
    line("disk", flag::rule(&view.disk));
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
    line("problem", system.broken.clone().unwrap_or_default());
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
        event.detail
    )
}
