//! A machine that is switched on.

use super::wait::Patience;
use super::{Process, RackError, Serial};

/// One power-on. Dropping it is a power cut.
#[derive(Debug)]
pub struct Power {
    process: Process,
    serial: Serial,
    // Its TPM, if it has one; after QEMU in the order of ending.
    chip: Option<Process>,
}

impl Power {
    pub(super) fn new(process: Process, serial: Serial, chip: Option<Process>) -> Power {
        Power {
            process,
            serial,
            chip,
        }
    }

    /// Its serial port.
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// The system cannot say.
    pub fn is_on(&mut self) -> Result<bool, RackError> {
        Ok(self.process.ended()?.is_none())
    }

    /// Waits until the machine switched itself off or would start again (both end QEMU).
    ///
    /// # Errors
    /// It goes on for longer, or QEMU ended with a failure.
    pub fn wait_off(&mut self, patience: Patience) -> Result<(), RackError> {
        let code = match self.process.wait(patience) {
            Ok(code) => code,
            Err(RackError::TimedOut { what, seconds, .. }) => {
                return Err(RackError::TimedOut {
                    what,
                    seconds,
                    evidence: self.evidence(),
                });
            }
            Err(other) => return Err(other),
        };
        if code == 0 {
            return Ok(());
        }
        Err(RackError::Ended {
            what: "the machine".to_string(),
            status: format!("exit {code}"),
            evidence: self.evidence(),
        })
    }

    /// Pulls the plug.
    pub fn cut(&mut self) {
        self.process.kill();
        if let Some(chip) = &mut self.chip {
            chip.kill();
        }
    }

    /// The ends of what the machine and QEMU wrote, for an error to show.
    pub fn evidence(&self) -> String {
        let qemu = if self.process.said().trim().is_empty() {
            String::new()
        } else {
            self.process.tail()
        };
        format!("{}{qemu}", self.serial.tail())
    }
}
