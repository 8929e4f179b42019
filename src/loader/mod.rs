//! Boot loader scripts from a decision: iPXE, GRUB, PXELINUX.
//!
//! Every script prints on the machine's own screen what happens and why, gives up after a bounded
//! number of tries, and ends by booting the machine's own disk. A value that a loader would read
//! as syntax is refused, and the machine is told so and boots its own disk.

pub mod grub;
pub mod ipxe;
pub mod pxelinux;
mod text;

#[cfg(test)]
mod tests;

use crate::model::{Action, BootPlan, Decision};

/// A script as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The bytes.
    pub text: String,
    /// Whether it starts the network boot of the plan; else it boots the machine's own disk. A door
    /// says `ScriptServed` only for the former.
    pub boots: bool,
}

/// Why a plan cannot be put into a loader's language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// A character or word that the loader would act upon.
    #[error("{place} holds `{found}`, which {loader} would act upon")]
    Syntax {
        /// `the command line`, `a file name`.
        place: &'static str,
        /// The offending part, made printable.
        found: String,
        /// Which loader.
        loader: &'static str,
    },
    /// The kernel is no Linux.
    #[error("{loader} starts Linux only, and this is {what}")]
    Start {
        /// Which loader.
        loader: &'static str,
        /// What it is.
        what: &'static str,
    },
}

/// What a script says on the screen before the machine boots its own disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Whom it concerns: the system's name, or the hardware address.
    pub who: String,
    /// Why, in a sentence.
    pub why: String,
    /// What an operator would type next.
    pub hint: Option<String>,
}

impl Reason {
    /// The reason of a decision; `who` is what an undeclared machine is called.
    pub fn of(decision: &Decision, who: &str) -> Reason {
        let name = decision.system.as_ref();
        Reason {
            who: name.map_or_else(|| who.to_string(), ToString::to_string),
            why: decision.why.to_string(),
            hint: match (&decision.why, name) {
                (crate::model::Why::Unknown, _) => Some(format!("farrier add NAME {who} PROFILE")),
                (why, name) => why.hint(name),
            },
        }
    }
}

/// The plan, if the decision has one.
fn plan(decision: &Decision) -> Option<&BootPlan> {
    match &decision.action {
        Action::Boot(plan) => Some(plan),
        Action::LocalDisk | Action::Ignore => None,
    }
}

/// The line that says what is about to happen.
fn headline(decision: &Decision, plan: &BootPlan) -> String {
    text::say(&format!(
        "Farrier: {} boots {}: {}",
        plan.build.system, plan.profile, decision.why
    ))
}

/// Writes the script of a plan, or that of the own disk with what is wrong with the plan.
fn script(
    decision: &Decision,
    who: &str,
    boot: impl Fn(&BootPlan) -> Result<String, Unwritable>,
    own_disk: impl Fn(&Reason) -> String,
) -> Script {
    let reason = match plan(decision).map(boot) {
        Some(Ok(text)) => return Script { text, boots: true },
        Some(Err(unwritable)) => Reason {
            why: unwritable.to_string(),
            hint: Some("farrier check".to_string()),
            ..Reason::of(decision, who)
        },
        None => Reason::of(decision, who),
    };
    Script {
        text: own_disk(&reason),
        boots: false,
    }
}
