//! Commands that are run to their end, and processes that are kept.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use super::RackError;
use super::error::tail;
use super::wait::{Patience, until};

/// What a command that ended said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit code; a signal counts as 128 and its number, as in a shell.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Output {
    /// Whether it said yes.
    pub fn ok(&self) -> bool {
        self.code == 0
    }
}

/// The command as a person would type it.
pub(super) fn spelled(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words.map(|w| w.to_string_lossy().into_owned()).collect();
    words.join(" ")
}

/// Runs a command to its end, whatever that is.
///
/// # Errors
/// It cannot be started.
pub(super) fn run(command: &mut Command) -> Result<Output, RackError> {
    let out = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| RackError::Command {
            command: spelled(command),
            detail: e.to_string(),
        })?;
    Ok(Output {
        code: code(out.status),
        stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
    })
}

/// Runs a command that must succeed.
///
/// # Errors
/// It does not.
pub(super) fn must(command: &mut Command) -> Result<Output, RackError> {
    let out = run(command)?;
    if out.ok() {
        return Ok(out);
    }
    let said = if out.stderr.trim().is_empty() {
        &out.stdout
    } else {
        &out.stderr
    };
    Err(RackError::Command {
        command: spelled(command),
        detail: format!("{} (exit {})", said.trim(), out.code),
    })
}

fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// A process that is ours until it is dropped, with its stderr (and stdout, unless taken) in a file.
#[derive(Debug)]
pub struct Process {
    what: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts one. A terminal's Ctrl-C does not reach it: the rack ends it in its own order.
    ///
    /// # Errors
    /// It cannot be started, or the log cannot be made.
    pub fn start(
        what: &str,
        command: &mut Command,
        log: &Path,
        pipe_stdout: bool,
    ) -> Result<Process, RackError> {
        let file = File::create(log).map_err(RackError::file(log))?;
        let again = file.try_clone().map_err(RackError::file(log))?;
        let stdout = if pipe_stdout {
            Stdio::piped()
        } else {
            Stdio::from(again)
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(file)
            .process_group(0)
            .spawn()
            .map_err(|e| RackError::Command {
                command: spelled(command),
                detail: e.to_string(),
            })?;
        Ok(Process {
            what: what.to_string(),
            child,
            log: log.to_path_buf(),
        })
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its stdout, if it was piped and not taken yet.
    pub fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Where its stderr is kept.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Everything it wrote to its log so far.
    pub fn said(&self) -> String {
        fs::read(&self.log).map_or_else(
            |e| format!("(no log: {e})"),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// The end of its log, for an error to show.
    pub fn tail(&self) -> String {
        tail(&self.what, &self.said(), 25)
    }

    /// Its exit code if it has ended.
    ///
    /// # Errors
    /// The system cannot say.
    pub fn ended(&mut self) -> Result<Option<i32>, RackError> {
        self.child
            .try_wait()
            .map(|status| status.map(code))
            .map_err(|e| RackError::Command {
                command: self.what.clone(),
                detail: e.to_string(),
            })
    }

    /// Waits for its end and returns its exit code.
    ///
    /// # Errors
    /// It goes on for longer than that.
    pub fn wait(&mut self, patience: Patience) -> Result<i32, RackError> {
        let what = format!("the end of {}", self.what);
        let log = self.log.clone();
        let name = self.what.clone();
        until(
            &what,
            patience,
            move || tail(&name, &fs::read_to_string(log).unwrap_or_default(), 25),
            || self.ended(),
        )
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&self) {
        self.signal(nix::sys::signal::Signal::SIGTERM);
    }

    /// Ends it at once (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) {
        // It may be gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_says_what_it_said() {
        let error = must(Command::new("sh").args(["-c", "echo no such luck >&2; exit 3"]))
            .expect_err("it fails");
        let text = error.to_string();
        assert!(
            text.contains("no such luck") && text.contains("exit 3"),
            "{text}"
        );
        assert_eq!(
            run(Command::new("sh").args(["-c", "kill -9 $$"]))
                .expect("it runs")
                .code,
            137
        );
    }
}
