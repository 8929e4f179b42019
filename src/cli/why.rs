//! `farrier why`: what a machine would be told, and the reason.

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::client::{Pairs, segment};
use super::selection::SelectArguments;
use super::{Exit, Session, show, time};
use crate::model::view::WhyView;
use crate::model::{Action, Code, Refusal};

/// Say what a machine would be told now, and why.
///
/// Prints the chain: what was seen of it, the record that matched, the decision and its reason, what
/// is expected next. With --arch and --stage for a machine that has not asked yet.
#[derive(Debug, Args)]
pub(super) struct Why {
    #[command(flatten)]
    select: SelectArguments,
    /// A MAC, declared or not; the same as a MAC for a NAME
    #[arg(long, value_name = "MAC", conflicts_with = "names")]
    mac: Option<String>,
    /// Suppose this DHCP architecture code (0 BIOS, 7 UEFI x86-64, 11 arm64)
    #[arg(long, value_name = "CODE", value_parser = code)]
    arch: Option<u16>,
    /// Suppose that this program asks
    #[arg(long, value_name = "PROGRAM")]
    stage: Option<Program>,
}

/// The program that asks.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Program {
    /// The firmware's own boot client
    Rom,
    /// iPXE
    Ipxe,
    /// GRUB
    Grub,
    /// PXELINUX
    Pxelinux,
    /// An operating system or installer
    Os,
}

impl Program {
    fn word(self) -> &'static str {
        match self {
            Program::Rom => "rom",
            Program::Ipxe => "ipxe",
            Program::Grub => "grub",
            Program::Pxelinux => "pxelinux",
            Program::Os => "os",
        }
    }
}

/// Reads `7`, `0x07` or `07`.
pub(super) fn code(text: &str) -> Result<u16, String> {
    let read = match text.strip_prefix("0x") {
        Some(hexadecimal) => u16::from_str_radix(hexadecimal, 16),
        None => text.parse(),
    };
    read.map_err(|_| format!("`{text}` is not a DHCP architecture code such as 0, 7 or 0x10"))
}

impl Why {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let mut select = self.select;
        select.names.extend(self.mac);
        let selection = select.selection()?;
        if selection.is_empty() {
            return Err(
                Refusal::new(Code::Usage, "no machine is named").help("farrier why NAME, or a MAC")
            );
        }
        let single = selection.names_one();
        let mut pairs: Pairs = Vec::new();
        if let Some(arch) = self.arch {
            pairs.push(("arch", arch.to_string()));
        }
        if let Some(stage) = self.stage {
            pairs.push(("stage", stage.word().to_string()));
        }
        let mut views: Vec<Named> = Vec::new();
        for subject in show::names(session, selection).await? {
            let path = format!("/v1/why/{}", segment(&subject));
            let view: WhyView = session.client.get(&path, &pairs).await?;
            let name = view.system.as_ref().map_or(subject, |s| s.name.clone());
            views.push(Named { name, view });
        }
        match views.as_slice() {
            [one] if single => session
                .printer
                .object(&one.view, &one.name, || text(&one.view, &one.name)),
            many => session.printer.list_with(
                many,
                |v| v.name.clone(),
                |_| {
                    let texts = many.iter().map(|v| text(&v.view, &v.name));
                    texts.collect::<Vec<_>>().join("\n")
                },
            ),
        }
        Ok(Exit::Done)
    }
}

/// An answer, and what its machine is called here.
#[derive(Debug, Serialize)]
struct Named {
    #[serde(skip)]
    name: String,
    #[serde(flatten)]
    view: WhyView,
}

fn text(view: &WhyView, name: &str) -> String {
    let told = match &view.decision.action {
        Action::Ignore => "gets no answer".to_string(),
        Action::LocalDisk => "boots its own disk".to_string(),
        Action::Boot(plan) => format!("boots `{}` (build {})", plan.profile, plan.build.epoch),
    };
    let mut out = format!("{name} {told}: {}\n", view.why);
    let mut line = |key: &str, value: String| {
        out.push_str(&format!("  {key:<10} {value}\n"));
    };
    let firmware = view.firmware.as_deref().unwrap_or("firmware not seen yet");
    match view.mac {
        Some(mac) => line("machine", format!("{mac}, {firmware}")),
        None => line("machine", firmware.to_string()),
    }
    match &view.system {
        Some(system) => {
            line(
                "record",
                format!("`{}`, profile `{}`", system.name, system.profile),
            );
            let phase = system.phase;
            if let Some(problem) = &system.broken {
                line("problem", problem.clone());
            }
            match system.build.as_ref() {
                Some(b) => {
                    let step = b.step().map(|s| format!(" ({s})")).unwrap_or_default();
                    line("phase", format!("{phase}{step}, build {}", b.number));
                }
                None => line("phase", phase.to_string()),
            }
            if let Some(alarm) = system.build.as_ref().and_then(|b| b.alarm.clone()) {
                line("ALARM", alarm);
            }
        }
        None => line(
            "record",
            "none: no declared system has this interface".to_string(),
        ),
    }
    if let Action::Boot(plan) = &view.decision.action {
        line(
            "kernel",
            format!("{}/{}", plan.kernel.id.distro, plan.kernel.id.name),
        );
        for initrd in &plan.initrds {
            line("initrd", format!("{}/{}", initrd.id.distro, initrd.id.name));
        }
        line("cmdline", plan.cmdline.clone());
    }
    if !view.conversation.is_empty() {
        out.push_str("conversation\n");
        for step in &view.conversation {
            let door = format!("{:?}", step.door).to_lowercase();
            out.push_str(&format!(
                "  {}  {door:<5} {}\n",
                time::stamp(step.time),
                step.text
            ));
        }
    }
    if !view.seen.is_empty() {
        out.push_str("events\n");
        for event in &view.seen {
            out.push_str(&show::event_line(event));
        }
    }
    if !view.stages.is_empty() {
        out.push_str("steps\n");
        for stage in &view.stages {
            let took = stage
                .milliseconds
                .map_or_else(|| "under way".to_string(), time::fine);
            let usual = stage
                .usual_milliseconds
                .map(|ms| format!("  usually {}", time::fine(ms)))
                .unwrap_or_default();
            out.push_str(&format!(
                "  {}  {:<16} {took:<9}{usual}\n",
                time::stamp(stage.began),
                stage.stage
            ));
        }
    }
    if let Some(bundle) = &view.bundle {
        out.push_str(&format!(
            "logs\n  its installer sent {} ({}): farrier logs {name} --bundle\n",
            bundle.file_name(),
            time::bytes(bundle.size)
        ));
    }
    if let Some(expected) = &view.expected {
        out.push_str(&format!("expected\n  {expected}\n"));
    }
    if let Some(hint) = &view.hint {
        // Whoever reads this has asked why already.
        let asked = format!("farrier why {name}; then ");
        let hint = hint.strip_prefix(&asked).unwrap_or(hint);
        out.push_str(&format!("next\n  {hint}\n"));
    }
    out
}
