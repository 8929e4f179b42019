//! Names that a distro's own boot program asks for, whichever door they leave by.
//!
//! They are no paths of this server: each is looked up in what the build of the asking machine pinned.
//! One of them, the program's configuration, is what a boot script is elsewhere: that it is served is
//! durable before it leaves, and a build that may not start gets none.

use bytes::Bytes;

use crate::boot::paths::own_path;
use crate::control::{TellError, served_document};
use crate::model::{
    Action, BootPlan, BuildKey, Event, EventKind, Facts, Firmware, LoaderKind, MacAddr, PlannedFile,
};

use super::Waist;

/// What is behind a name.
pub(super) enum Found {
    /// A boot artefact.
    File(PlannedFile),
    /// The configuration.
    Config(Config),
    /// Nothing, for this reason.
    Nothing(String),
}

/// The configuration of one build's boot program, not yet sent.
pub(super) struct Config {
    build: BuildKey,
    /// The document it is.
    name: String,
    why: String,
    to: Option<std::net::Ipv4Addr>,
    /// What the request says of it: by TFTP, nothing.
    firmware: Option<Firmware>,
    bytes: Bytes,
}

/// Looks a name up for the machine that asks. Changes nothing.
pub(super) fn find(waist: &dyn Waist, facts: &Facts, path: &str) -> Found {
    // What the firmware is, a TFTP request does not say; a build has one program for each kind.
    let plan = [Firmware::BIOS, Firmware::UEFI]
        .into_iter()
        .find_map(|firmware| {
            let facts = Facts {
                firmware: Some(firmware),
                ..facts.clone()
            };
            let decision = waist.ask(&facts);
            match decision.action {
                Action::Boot(plan) if plan.loader == LoaderKind::Own => {
                    Some((plan, decision.why.to_string()))
                }
                _ => None,
            }
        });
    let Some((plan, why)) = plan else {
        return Found::Nothing("nothing of that name is for it now".to_string());
    };
    let Some(own) = &plan.way.own else {
        return Found::Nothing("its distro has no boot program".to_string());
    };
    let programs = [&own.bios, &own.uefi];
    let mut programs = programs.into_iter().flatten();
    if let Some(file) = own.files.get(path).or(programs.find(|f| f.id.name == path)) {
        return Found::File(file.clone());
    }
    let is_config = own
        .config_names
        .iter()
        .any(|n| of_machine(n, facts.mac) == path);
    match is_config.then(|| config(waist, facts, &plan, &own.config, why)) {
        Some(Some(config)) => Found::Config(config),
        Some(None) => Found::Nothing(format!("the build has no `{}`", own.config)),
        None => Found::Nothing(format!(
            "`{}` is no name of its boot program's",
            own_path(path)
        )),
    }
}

/// A name with the machine's own address in it, as `mboot.efi` makes it.
fn of_machine(name: &str, mac: MacAddr) -> String {
    name.replace("01-MAC", &format!("01-{}", mac.dashed()))
}

fn config(
    waist: &dyn Waist,
    facts: &Facts,
    plan: &BootPlan,
    name: &str,
    why: String,
) -> Option<Config> {
    let document = waist.document(&plan.build, name)?;
    let bytes = served_document(&document, waist.key(), &plan.build);
    Some(Config {
        build: plan.build.clone(),
        name: name.to_string(),
        why,
        to: facts.ip,
        firmware: facts.firmware,
        bytes: Bytes::from(bytes),
    })
}

impl Config {
    /// One line for `farrier why`.
    pub(super) fn outcome(&self) -> String {
        format!("network boot: {}", self.why)
    }

    /// What would be sent.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Says that it is about to be served; the bytes once that is durable, else nothing.
    pub(super) async fn served(self, waist: &dyn Waist) -> Option<Bytes> {
        self.served_in(waist, None).await
    }

    /// The same, unless it has another size by now than was announced: then nothing is told and nothing
    /// is sent.
    pub(super) async fn served_in(
        mut self,
        waist: &dyn Waist,
        announced: Option<usize>,
    ) -> Option<Bytes> {
        // Made to fit the machine's place first, as a boot script is.
        if let Some(at) = self.to {
            match waist.settle(at, self.firmware, &self.build).await {
                Ok(false) => {}
                Ok(true) => {
                    let document = waist.document(&self.build, &self.name)?;
                    let bytes = served_document(&document, waist.key(), &self.build);
                    self.bytes = Bytes::from(bytes);
                }
                Err(why) => {
                    tracing::warn!(machine.name = %self.build.system, %why, "the configuration of a boot program was withheld");
                    return None;
                }
            }
        }
        if announced.is_some_and(|size| size != self.bytes.len()) {
            tracing::info!(machine.name = %self.build.system, "the configuration of a boot program was made again and has another size: it is sent when it is asked for again");
            return None;
        }
        match self.tell(waist).await {
            Ok(()) => Some(self.bytes),
            Err(error) => {
                tracing::warn!(machine.name = %self.build.system, %error, "the configuration of a boot program was withheld");
                None
            }
        }
    }

    /// Bound before it is served: it may hold the build's tokens.
    async fn tell(&self, waist: &dyn Waist) -> Result<(), TellError> {
        let BuildKey { system, epoch } = &self.build;
        if let Some(ip) = self.to
            && let Some(binding) = waist.binding(ip, system, *epoch)
        {
            waist.tell(binding).await?;
        }
        let event = Event {
            system: system.clone(),
            epoch: Some(*epoch),
            kind: EventKind::ScriptServed,
        };
        waist.tell(event).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machines_own_name() {
        let mac = "52:54:00:00:00:01".parse().expect("a mac");
        assert_eq!(
            of_machine("01-MAC/boot.cfg", mac),
            "01-52-54-00-00-00-01/boot.cfg"
        );
        assert_eq!(of_machine("etc/boot.conf", mac), "etc/boot.conf");
    }
}
