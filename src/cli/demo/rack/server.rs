//! The real `farrier serve` in the rack, and the real command line beside it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};

use super::process::{Output, run};
use super::wait::{Patience, until};
use super::{Namespace, Power, Process, Rack, RackError};
use crate::model::Phase;
use crate::model::view::{EventView, SystemView};

/// What to start, and on what.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// The `farrier` program.
    pub program: PathBuf,
    /// The site's directory.
    pub site: PathBuf,
    /// The state's directory.
    pub state: PathBuf,
    /// Environment variables for the server, such as a log filter.
    pub environment: Vec<(String, String)>,
}

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    settings: ServerSettings,
    namespace: Option<String>,
    dir: PathBuf,
    process: Option<Process>,
    ready: String,
    runs: u32,
}

impl Server {
    /// Starts it in the rack and waits for its one line on stdout.
    ///
    /// # Errors
    /// It ends instead, or says nothing within a minute.
    pub fn start(rack: &Rack, settings: ServerSettings) -> Result<Server, RackError> {
        Server::start_in(rack.namespace(), rack.dir(), settings)
    }

    /// Starts it in any namespace; its logs go to `dir`.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_in(
        namespace: &Namespace,
        dir: &Path,
        settings: ServerSettings,
    ) -> Result<Server, RackError> {
        Server::started(Some(namespace.name().to_string()), dir, settings)
    }

    /// Starts it on this host itself, outside of any rack: for a site without doors.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_outside(dir: &Path, settings: ServerSettings) -> Result<Server, RackError> {
        Server::started(None, dir, settings)
    }

    fn started(
        namespace: Option<String>,
        dir: &Path,
        settings: ServerSettings,
    ) -> Result<Server, RackError> {
        let mut server = Server {
            settings,
            namespace,
            dir: dir.to_path_buf(),
            process: None,
            ready: String::new(),
            runs: 0,
        };
        server.up()?;
        Ok(server)
    }

    /// Starts it again after [`Server::kill`] or [`Server::stop`].
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn up(&mut self) -> Result<(), RackError> {
        self.runs += 1;
        let log = self.dir.join(format!("server-{}.log", self.runs));
        let mut command = self.command(&["serve"]);
        command.envs(self.settings.environment.iter().map(|(k, v)| (k, v)));
        let mut process = Process::start("the server", &mut command, &log, true)?;
        let said = lines(&mut process);
        let ready = until(
            "the server's readiness line",
            Patience::seconds(60),
            String::new,
            || match said.try_recv() {
                Ok(line) => Ok(Some(line)),
                Err(mpsc::TryRecvError::Empty) => Ok(None),
                Err(mpsc::TryRecvError::Disconnected) => {
                    let code = process.wait(Patience::seconds(10))?;
                    Err(RackError::Ended {
                        what: "the server".to_string(),
                        status: format!("exit {code}"),
                        evidence: process.tail(),
                    })
                }
            },
        );
        self.ready = match ready {
            Err(RackError::TimedOut { what, seconds, .. }) => {
                return Err(RackError::TimedOut {
                    what,
                    seconds,
                    evidence: process.tail(),
                });
            }
            other => other?,
        };
        self.process = Some(process);
        Ok(())
    }

    /// The line it printed when every door was open.
    pub fn ready(&self) -> &str {
        &self.ready
    }

    /// Its process number, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Ends it as a power cut would: SIGKILL, nothing flushed.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Asks it to end and returns its exit code.
    ///
    /// # Errors
    /// It goes on for more than 30 s.
    pub fn stop(&mut self) -> Result<i32, RackError> {
        let Some(mut process) = self.process.take() else {
            return Ok(0);
        };
        process.terminate();
        process.wait(Patience::seconds(30))
    }

    /// Everything this server wrote to its log since it was last started.
    pub fn log(&self) -> String {
        let path = self.dir.join(format!("server-{}.log", self.runs));
        fs::read_to_string(path).unwrap_or_default()
    }

    /// Its site.
    pub fn site(&self) -> &Path {
        &self.settings.site
    }

    /// Its state.
    pub fn state(&self) -> &Path {
        &self.settings.state
    }

    /// Runs `farrier` with these arguments against this server, whatever it says.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn farrier(&self, arguments: &[&str]) -> Result<Output, RackError> {
        run(&mut self.command(arguments))
    }

    /// Runs `farrier` with these arguments, which must succeed, and returns its stdout.
    ///
    /// # Errors
    /// It exits with anything but 0.
    pub fn must(&self, arguments: &[&str]) -> Result<String, RackError> {
        let out = self.farrier(arguments)?;
        if out.ok() {
            return Ok(out.stdout);
        }
        Err(RackError::Command {
            command: format!("farrier {}", arguments.join(" ")),
            detail: format!("exit {}: {}{}", out.code, out.stderr, self.tail()),
        })
    }

    /// Everything recorded of one system, oldest first.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub fn events(&self, system: &str) -> Result<Vec<EventView>, RackError> {
        let text = self.must(&["events", system, "--limit", "100000", "-o", "jsonl"])?;
        let parse = |line: &str| {
            serde_json::from_str(line).map_err(|e| RackError::Command {
                command: "farrier events".to_string(),
                detail: format!("`{line}` is no event: {e}"),
            })
        };
        text.lines().map(parse).collect()
    }

    /// A system as `show` prints it.
    ///
    /// # Errors
    /// The server cannot be asked, or there is no such system.
    pub fn show(&self, system: &str) -> Result<SystemView, RackError> {
        let text = self.must(&["ls", system, "-o", "jsonl"])?;
        serde_json::from_str(text.trim()).map_err(|e| RackError::Command {
            command: format!("farrier ls {system}"),
            detail: format!("{e}: {text}"),
        })
    }

    /// Where a system stands.
    ///
    /// # Errors
    /// As [`Server::show`].
    pub fn phase(&self, system: &str) -> Result<Phase, RackError> {
        Ok(self.show(system)?.phase)
    }

    /// Waits until a system is in one of these phases. If `power` is the machine's, its going off
    /// does not end the wait, but its serial port is shown if the phase does not come.
    ///
    /// # Errors
    /// Not in time.
    pub fn wait_phase(
        &self,
        system: &str,
        phases: &[Phase],
        patience: Patience,
        power: Option<&Power>,
    ) -> Result<Phase, RackError> {
        let words: Vec<&str> = phases.iter().map(|p| p.word()).collect();
        until(
            &format!("phase {} of `{system}`", words.join(" or ")),
            patience,
            || self.evidence(system, power),
            || {
                let phase = self.phase(system)?;
                Ok(phases.contains(&phase).then_some(phase))
            },
        )
    }

    /// Waits until an event is recorded for which `wanted` is true.
    ///
    /// # Errors
    /// Not in time.
    pub fn wait_event(
        &self,
        system: &str,
        what: &str,
        patience: Patience,
        power: Option<&Power>,
        wanted: impl Fn(&EventView) -> bool,
    ) -> Result<EventView, RackError> {
        until(
            &format!("{what} of `{system}`"),
            patience,
            || self.evidence(system, power),
            || Ok(self.events(system)?.into_iter().find(|e| wanted(e))),
        )
    }

    /// The end of its log, for an error to show.
    pub fn tail(&self) -> String {
        super::error::tail("the server's log", &self.log(), 25)
    }

    /// What was recorded, what the machine wrote last, what the server wrote last.
    pub fn evidence(&self, system: &str, power: Option<&Power>) -> String {
        let events = match self.events(system) {
            Ok(events) => events
                .iter()
                .map(|e| format!("{:8.1} {} {}: {}", e.time, e.phase, e.kind, e.detail))
                .collect::<Vec<_>>()
                .join("\n"),
            Err(error) => error.to_string(),
        };
        let events = super::error::tail("events", &events, 40);
        let machine = power.map(Power::evidence).unwrap_or_default();
        format!("{events}{machine}{}", self.tail())
    }

    /// `farrier` with these arguments, for this server, in its namespace.
    pub fn command(&self, arguments: &[&str]) -> std::process::Command {
        let program = &self.settings.program;
        let mut command = match &self.namespace {
            None => std::process::Command::new(program),
            Some(namespace) => {
                let mut command = std::process::Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(program);
                command
            }
        };
        command
            .arg("--site")
            .arg(&self.settings.site)
            .arg("--state")
            .arg(&self.settings.state)
            .args(arguments);
        command
    }
}

/// The lines of a process's stdout as they come; the channel closes with it.
fn lines(process: &mut Process) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    if let Some(stdout) = process.stdout() {
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
    }
    receive
}
