//! Boot scripts, whichever door they leave by: ask, write, and say so before the machine gets it.

use crate::boot::paths::Urls;
use crate::control::TellError;
use crate::lifecycle::StepError;
use crate::loader::{Reason, Script, grub, ipxe, pxelinux};
use crate::model::{Action, Arch, ClientStage, Decision, Event, EventKind, Facts, Firmware, Why};

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
    facts: Facts,
    urls: Urls,
    /// What would be sent.
    pub script: Script,
}

/// Asks, and writes the script. Changes nothing.
pub fn write(waist: &dyn Waist, facts: &Facts, urls: &Urls, language: Language) -> Written {
    let (decision, facts) = ask(waist, facts, language);
    let script = language.write(&decision, urls, &facts);
    if let (Action::Boot(plan), false) = (&decision.action, script.boots) {
        tracing::error!(machine.name = %plan.build.system, "the plan cannot be written as a boot script, so the machine boots its own disk");
    }
    Written {
        language,
        decision,
        facts,
        urls: *urls,
        script,
    }
}

/// What the machine is told. Which processor a GRUB runs on its requests do not say: if it would not be
/// told to boot on x86, it may be on 64-bit ARM.
fn ask(waist: &dyn Waist, facts: &Facts, language: Language) -> (Decision, Facts) {
    let decision = waist.ask(facts);
    let boots = |decision: &Decision| matches!(decision.action, Action::Boot(_));
    if let (Language::Grub(_), Some(firmware), false) = (language, facts.firmware, boots(&decision))
    {
        let on_arm = Facts {
            firmware: Some(Firmware {
                arch: Arch::Arm64Uefi,
                ..firmware
            }),
            ..facts.clone()
        };
        let other = waist.ask(&on_arm);
        if boots(&other) {
            return (other, on_arm);
        }
    }
    (decision, facts.clone())
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
        // no script is as long
        self.served_within(waist, usize::MAX)
            .await
            .unwrap_or_default()
    }

    /// The same, unless the script has become longer than was announced: then nothing is told and
    /// nothing is sent.
    pub async fn served_within(self, waist: &dyn Waist, most: usize) -> Option<String> {
        let Some(event) = self.due() else {
            // What another machine does under the system's name says nothing of its build.
            let own = !matches!(self.decision.why, Why::OtherHardware { .. });
            if let (Some(system), true, false) = (&self.decision.system, own, self.script.boots) {
                waist.note(Event {
                    system: system.clone(),
                    epoch: None,
                    kind: EventKind::LocalServed,
                });
            }
            return Some(self.script.text);
        };
        let written = match self.settled(waist).await {
            Ok(Some(anew)) => anew,
            Ok(None) => self,
            Err(why) => return Some(self.language.own_disk(&self.refused(why))),
        };
        if !written.script.boots || written.script.text.len() > most {
            return (written.script.text.len() <= most).then_some(written.script.text);
        }
        Some(match written.tell(waist, event).await {
            Ok(()) => written.script.text,
            Err(error) => {
                let why = match &error {
                    TellError::Refused(StepError::OwnDisk { why, .. }) => why.to_string(),
                    error => error.to_string(),
                };
                written.language.own_disk(&written.refused(why))
            }
        })
    }

    /// Makes what the build pinned fit the machine's place; the script anew, if that changed it.
    async fn settled(&self, waist: &dyn Waist) -> Result<Option<Written>, String> {
        let (Action::Boot(plan), Some(at)) = (&self.decision.action, self.facts.ip) else {
            return Ok(None);
        };
        // Who reads pxelinux.cfg does not say what its firmware is. Where nobody has seen it, it is taken
        // for PXELINUX, which is for a BIOS.
        let unseen = || {
            let pxelinux = self.language == Language::Pxelinux;
            (pxelinux && waist.waits_for_firmware(&plan.build)).then_some(Firmware::BIOS)
        };
        let firmware = self.facts.firmware.or_else(unseen);
        let changed = waist.settle(at, firmware, &plan.build).await?;
        Ok(changed.then(|| write(waist, &self.facts, &self.urls, self.language)))
    }

    /// Bound before it is served: the script holds the build's tokens.
    async fn tell(&self, waist: &dyn Waist, served: Event) -> Result<(), TellError> {
        let epoch = served.epoch.unwrap_or_default();
        if let Some(ip) = self.facts.ip
            && let Some(binding) = waist.binding(ip, &served.system, epoch)
        {
            waist.tell(binding).await?;
        }
        waist.tell(served).await.map(|_| ())
    }

    fn refused(&self, why: String) -> Reason {
        tracing::warn!(machine.name = ?self.decision.system, why, "a boot script was withheld");
        let mut reason = Reason::of(&self.decision, &self.facts.mac.to_string());
        reason.why = why;
        let name = self.decision.system.as_ref();
        reason.hint = name.map(|name| format!("farrier why {name}"));
        reason
    }
}
