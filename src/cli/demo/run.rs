//! The demo itself: a blank machine, from power-on to ready, on a rack that nothing else can see.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use super::rack::{self, Firmware, Machine, Power, Rack, RackError, Server, ServerSettings, tools};
use super::{site, timeline, workshop};
use crate::cli::{Exit, Session};
use crate::model::view::EventView;
use crate::model::{Phase, Refusal};

/// The demo's machine.
const NAME: &str = "demo01";
/// How often the timeline looks for news.
const LOOK: Duration = Duration::from_millis(400);
/// A machine that is not ready by then has a problem that its deadlines should have told of.
const LONGEST: Duration = Duration::from_secs(90 * 60);

/// Build a virtual machine on a private rack, and watch it become ready.
///
/// Needs root and Debian. Installs the packages it lacks (it asks), touches no network of this
/// host, and removes everything when it ends, also on Ctrl-C. Boot files that took minutes to make
/// are kept for the next time.
#[derive(Debug, Args)]
pub struct Demo {
    /// Install missing packages without asking
    #[arg(long, short)]
    yes: bool,
    /// The machine's firmware
    #[arg(long, value_enum, default_value_t = DemoFirmware::Bios)]
    firmware: DemoFirmware,
    /// Leave disk, logs and database behind
    #[arg(long)]
    keep: bool,
}

/// Firmware that the demo can rack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DemoFirmware {
    Bios,
    Uefi,
}

impl Demo {
    /// Runs it.
    pub(in crate::cli) fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let say = |text: &str| session.printer.talk(text);
        self.prepare(session)?;
        rack::on_interrupt(|| {
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                b"\nstopping; the rack and everything in it goes\n",
            );
        });
        let rack = Rack::new().map_err(failed)?;
        if self.keep {
            rack.keep_files();
        }
        let outcome = self.play(session, &rack);
        if let Err(refusal) = &outcome {
            rack.keep_files();
            say(&format!("logs are in {}", rack.dir().display()));
            return Err(refusal.clone());
        }
        if self.keep {
            say(&format!("everything is in {}", rack.dir().display()));
        }
        outcome
    }

    /// Everything the demo runs is there, or is installed now.
    fn prepare(&self, session: &Session) -> Result<(), Refusal> {
        if !tools::is_root() {
            return Err(
                Refusal::failed("the demo makes a network of its own and needs root")
                    .help("run it with sudo"),
            );
        }
        let missing =
            tools::missing(&[tools::NETWORK, tools::MACHINES, tools::LOADERS, tools::FAI]);
        if missing.is_empty() {
            return Ok(());
        }
        let packages = tools::packages(&missing);
        session
            .printer
            .talk(&format!("missing Debian packages: {}", packages.join(" ")));
        if !self.yes && !agreed(session)? {
            return Err(
                Refusal::refused("the demo needs these packages").help(format!(
                    "apt-get install --no-install-recommends {}",
                    packages.join(" ")
                )),
            );
        }
        apt(&["update"])?;
        let mut install = vec!["install", "--yes", "--no-install-recommends"];
        install.extend(packages);
        apt(&install)
    }

    fn play(&self, session: &Session, rack: &Rack) -> Result<Exit, Refusal> {
        let say = |text: &str| session.printer.talk(text);
        let program = std::env::current_exe()
            .map_err(|e| Refusal::failed(format!("this program cannot find itself: {e}")))?;
        let place = rack.dir().join("site");
        let state = rack.dir().join("state");
        site::write(&place)?;
        std::fs::create_dir_all(&state)
            .map_err(|e| Refusal::failed(format!("`{}`: {e}", state.display())))?;
        say("fetching kernel, initrd and root file system (the first time this takes minutes)");
        workshop::fetch(&program, &place, &state, &["fai-6"], |server, distros| {
            for distro in distros {
                typed(
                    session,
                    &program,
                    server.site(),
                    server.state(),
                    &["distro", "fetch", distro],
                )?;
            }
            Ok(())
        })
        .map_err(failed)?;
        let settings = ServerSettings {
            program: program.clone(),
            site: place.clone(),
            state: state.clone(),
            environment: Vec::new(),
        };
        let server = Server::start(rack, settings).map_err(failed)?;
        say(server.ready());
        let machine = rack
            .machine(NAME)
            .firmware(match self.firmware {
                DemoFirmware::Bios => Firmware::Bios,
                DemoFirmware::Uefi => Firmware::UefiPxe,
            })
            .memory(2048)
            .disk(6, "DEMO0001");
        let mac = machine.mac().to_string();
        for arguments in [
            &["add", NAME, &mac, "fai"][..],
            &["rebuild", NAME, "--yes"][..],
        ] {
            typed(session, &program, &place, &state, arguments).map_err(failed)?;
        }
        say("\nthe power button is pressed\n");
        let ended = watch(session, &server, &machine)?;
        session.printer.line(&timeline::summary(&ended));
        let phase = ended.last().map_or(Phase::Idle, |e| e.phase);
        if phase != Phase::Ready {
            let why = server.must(&["why", NAME]).unwrap_or_default();
            say(&why);
            return Err(
                Refusal::failed(format!("`{NAME}` is {phase} and not ready"))
                    .help("look at the last events above"),
            );
        }
        say(&format!(
            "`{NAME}` is ready. On your own network:\n\
             \n  farrier doctor                    what is missing on this host\
             \n  farrier add NAME MAC fai          register a machine\
             \n  farrier rebuild NAME              flag it; then switch it on\
             \n  farrier watch NAME                see what you just saw"
        ));
        Ok(Exit::Done)
    }
}

/// Follows the build until it ends, restarting the machine when it restarts itself.
fn watch(session: &Session, server: &Server, machine: &Machine) -> Result<Vec<EventView>, Refusal> {
    let begun = Instant::now();
    let mut seen: HashSet<i64> = HashSet::new();
    let mut all: Vec<EventView> = Vec::new();
    let mut power: Power = machine.power_on().map_err(failed)?;
    while begun.elapsed() < LONGEST {
        for event in server.events(NAME).map_err(failed)? {
            if seen.insert(event.number) {
                session.printer.line(&timeline::line(&event, all.first()));
                all.push(event);
            }
        }
        let over = all.last().is_some_and(|e| !e.phase.is_active());
        if over {
            return Ok(all);
        }
        if !power.is_on().map_err(failed)? {
            session.printer.talk("(the machine restarts)");
            power = machine.power_on().map_err(failed)?;
        }
        // Looking is the wait: a timeline is redrawn, nothing is assumed to have happened.
        std::thread::sleep(LOOK);
    }
    Err(Refusal::failed(format!(
        "`{NAME}` was neither ready nor failed in {} minutes",
        LONGEST.as_secs() / 60
    )))
}

/// Runs a command of this program as an operator would, shown as typed.
fn typed(
    session: &Session,
    program: &Path,
    site: &Path,
    state: &Path,
    arguments: &[&str],
) -> Result<(), RackError> {
    session
        .printer
        .talk(&format!("$ farrier {}", arguments.join(" ")));
    let shown = format!("farrier {}", arguments.join(" "));
    let status = Command::new(program)
        .arg("--site")
        .arg(site)
        .arg("--state")
        .arg(state)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .status()
        .map_err(RackError::file(program))?;
    if status.success() {
        return Ok(());
    }
    Err(RackError::Command {
        command: shown,
        detail: format!("it ended with {status}"),
    })
}

fn agreed(session: &Session) -> Result<bool, Refusal> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    session.printer.talk("install them? [y/N]");
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|e| Refusal::failed(format!("the answer cannot be read: {e}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn apt(arguments: &[&str]) -> Result<(), Refusal> {
    let status = Command::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(arguments)
        .status()
        .map_err(|e| Refusal::failed(format!("apt-get cannot be started: {e}")))?;
    if status.success() {
        Ok(())
    } else {
        Err(Refusal::failed(format!(
            "apt-get {} ended with {status}",
            arguments.join(" ")
        )))
    }
}

fn failed(error: RackError) -> Refusal {
    Refusal::failed(error.to_string())
}
