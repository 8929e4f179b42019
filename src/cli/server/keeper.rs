//! Keeps the doors as the site in force and this host's interfaces want them, and says how they are.

use std::sync::Arc;

use super::doors::Doors;
use super::{Chosen, choose};
use crate::cli::Place;
use crate::cli::printer::Printer;
use crate::control::Control;
use crate::model::{DhcpMode, Refusal, Site};

/// The doors and what was last said of them.
pub(super) struct Keeper {
    control: Arc<Control>,
    doors: Doors,
    said: Vec<String>,
    ready: bool,
}

impl Keeper {
    /// Opens every door that the site in force wants. What cannot be opened now is a mistake that
    /// someone is here to see: the server does not start.
    ///
    /// # Errors
    /// The first door that cannot be opened and is needed.
    pub(super) async fn open(control: &Arc<Control>, place: &Place) -> Result<Keeper, Refusal> {
        let mut keeper = Keeper {
            control: control.clone(),
            doors: Doors::new(control, place)?,
            said: Vec::new(),
            ready: false,
        };
        let chosen = choose(&control.site())?;
        if let Some(trouble) = chosen.troubles.first() {
            keeper.doors.close().await;
            return Err(trouble.clone());
        }
        let mut refused = keeper.doors.follow(&chosen).await;
        if let Some(at) = refused.iter().position(|r| r.door.needed()) {
            keeper.doors.close().await;
            return Err(refused.swap_remove(at).why);
        }
        let refused: Vec<Refusal> = refused.into_iter().map(|r| r.why).collect();
        keeper.say(&chosen, &refused);
        Ok(keeper)
    }

    /// Opens and shuts what has to be, after the site or the interfaces changed. What cannot be
    /// opened is said in `status` and tried again the next time.
    pub(super) async fn follow(&mut self) {
        let (chosen, mut refused) = match choose(&self.control.site()) {
            Ok(chosen) => {
                let refused = self.doors.follow(&chosen).await;
                (chosen, refused.into_iter().map(|r| r.why).collect())
            }
            Err(refusal) => (Chosen::default(), vec![refusal]),
        };
        refused.extend(chosen.troubles.iter().cloned());
        self.say(&chosen, &refused);
    }

    fn say(&mut self, chosen: &Chosen, refused: &[Refusal]) {
        let mut lines: Vec<String> = refused
            .iter()
            .map(|r| match &r.help {
                Some(help) => format!("{}; {help}", r.message),
                None => r.message.clone(),
            })
            .collect();
        lines.extend(unheard(&self.control.site(), chosen));
        for line in lines.iter().filter(|l| !self.said.contains(l)) {
            tracing::error!("{line}");
        }
        if lines.is_empty() && !self.said.is_empty() {
            let doors = self.control.tally().doors().join(", ");
            tracing::info!("every door is open by now: {doors}");
        }
        self.control.tally().doors_refused(lines.clone());
        self.said = lines;
    }

    /// Prints the one line that says that machines are answered, once that is so; before, the one
    /// that says why not.
    pub(super) fn announce(&mut self, printer: &Printer, first: bool) {
        let doors = self.control.tally().doors().join(", ");
        let empty = self.control.site().revision == Site::default().revision;
        if !self.ready && !empty {
            self.ready = true;
            printer.line(&format!("farrier is ready: {doors}"));
        } else if first {
            printer.line(&format!(
                "farrier is not ready: the site's files are refused and there is no earlier revision, so no machine is answered until they are mended (`farrier check`): {doors}"
            ));
        }
    }

    /// Closes all doors.
    pub(super) async fn close(self) {
        self.doors.close().await;
    }
}

/// No interface to answer on, where machines are expected.
fn unheard(site: &Site, chosen: &Chosen) -> Option<String> {
    let expected = !site.subnets.is_empty() && site.dhcp != DhcpMode::Off;
    let idle = chosen.interfaces.is_empty() && chosen.troubles.is_empty();
    (expected && idle).then(|| {
        "no interface has an address in a subnet of the site, so no machine is answered; give one an address, or list it under `[server] interfaces` in farrier.toml".to_string()
    })
}
