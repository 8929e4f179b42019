//! Boot scripts, whichever door they leave by: ask, write, and say so before the machine gets it.

use std::net::Ipv4Addr;

use crate::boot::paths::Urls;
use crate::control::TellError;
use crate::lifecycle::StepError;
use crate::loader::{Reason, Script, grub, ipxe, pxelinux};
use crate::model::{Action, ClientStage, Decision, Event, EventKind, Facts, Firmware};

use super::Waist;

/// In which language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// iPXE.
    Ipxe,
    /// GRUB, and how it fetches the kernel.
    Grub(grub::Via),
    /// PXELINUX.
    Pxelinux,
}

impl Language {
    /// Which program reads it.
    pub fn stage(self) -> ClientStage {
        match self {
            Language::Ipxe => ClientStage::Ipxe,
            Language::Grub(_) => ClientStage::Grub,
            Language::Pxelinux => ClientStage::Pxelinux,
        }
    }

    fn write(self, decision: &Decision, urls: &Urls, facts: &Facts) -> Script {
        let firmware = facts.firmware.unwrap_or(Firmware::UEFI);
        match self {
            Language::Ipxe => ipxe::script(decision, urls, facts.mac),
            Language::Grub(via) => grub::config(decision, urls, facts.mac, firmware, via),
            Language::Pxelinux => pxelinux::config(decision, facts.mac),
        }
    }

    fn own_disk(self, reason: &Reason) -> String {
        match self {
            Language::Ipxe => ipxe::own_disk(reason),
            Language::Grub(_) => grub::own_disk(reason),
            Language::Pxelinux => pxelinux::own_disk(reason),
        }
    }
}

/// A script that is written but not yet sent.
#[derive(Debug, Clone)]
pub struct Written {
    language: Language,
    decision: Decision,
    who: String,
    /// To whom.
    to: Option<Ipv4Addr>,
    /// What would be sent.
    pub script: Script,
}

/// Asks, and writes the script. Changes nothing.
pub fn write(waist: &dyn Waist, facts: &Facts, urls: &Urls, language: Language) -> Written {
    let decision = waist.ask(facts);
    let script = language.write(&decision, urls, facts);
    if let (Action::Boot(plan), false) = (&decision.action, script.boots) {
        tracing::error!(machine.name = %plan.build.system, "the plan cannot be written as a boot script, so the machine boots its own disk");
    }
    Written {
        language,
        decision,
        who: facts.mac.to_string(),
        to: facts.ip,
        script,
    }
}

impl Written {
    /// One line for `farrier why`.
    pub fn outcome(&self) -> String {
        let what = if self.script.boots {
            "network boot"
        } else {
            "own disk"
        };
        format!("{what}: {}", self.decision.why)
    }

    /// The event that must be durable before this script leaves, if there is one.
    fn due(&self) -> Option<Event> {
        match &self.decision.action {
            Action::Boot(plan) if self.script.boots && !plan.resident => Some(Event {
                system: plan.build.system.clone(),
                epoch: Some(plan.build.epoch),
                kind: EventKind::ScriptServed,
            }),
            _ => None,
        }
    }

    /// Says that the script is about to be served, and returns the text to send: the script's own
    /// once that is durable, else the own disk's with the reason.
    pub async fn served(self, waist: &dyn Waist) -> String {
        match self.due() {
            Some(event) => match self.tell(waist, event).await {
                Ok(()) => self.script.text,
                Err(error) => self.language.own_disk(&self.refused(&error)),
            },
            None => {
                if let (Some(system), false) = (&self.decision.system, self.script.boots) {
                    waist.note(Event {
                        system: system.clone(),
                        epoch: None,
                        kind: EventKind::LocalServed,
                    });
                }
                self.script.text
            }
        }
    }

    /// Bound before it is served: the script holds the build's tokens.
    async fn tell(&self, waist: &dyn Waist, served: Event) -> Result<(), TellError> {
        let epoch = served.epoch.unwrap_or_default();
        if let Some(ip) = self.to
            && let Some(binding) = waist.binding(ip, &served.system, epoch)
        {
            waist.tell(binding).await?;
        }
        waist.tell(served).await.map(|_| ())
    }

    fn refused(&self, error: &TellError) -> Reason {
        tracing::warn!(machine.name = ?self.decision.system, %error, "a boot script was withheld");
        let mut reason = Reason::of(&self.decision, &self.who);
        reason.why = match error {
            TellError::Refused(StepError::OwnDisk { why, .. }) => why.to_string(),
            error => error.to_string(),
        };
        let name = self.decision.system.as_ref();
        reason.hint = name.map(|name| format!("farrier why {name}"));
        reason
    }
}
