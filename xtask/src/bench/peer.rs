//! Other people's servers: started in the pair's server namespace, and known to be ready.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use farrier::cli::demo::rack::{Pair, Patience, Process, RackError, until};

/// A running peer. Dropping it ends it, with the processes it started.
#[derive(Debug)]
pub(crate) struct Peer(Process);

/// A port that is seen to be open before anything is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Port {
    Udp(u16),
    Tcp(u16),
}

impl Peer {
    /// Starts a command (see [`command`]) and waits until it has its port.
    pub(crate) fn start(
        pair: &Pair,
        name: &str,
        command: &mut Command,
        port: Port,
    ) -> Result<Peer> {
        let log = pair.dir().join(format!("{name}.log"));
        let mut process = Process::start(name, command, &log, false)?;
        until(
            &format!("the port of {name}"),
            Patience::seconds(30),
            || std::fs::read_to_string(&log).unwrap_or_default(),
            || match process.ended()? {
                Some(code) => Err(RackError::Ended {
                    what: name.to_string(),
                    status: format!("exit {code}"),
                    evidence: process.tail(),
                }),
                None => Ok(open(pair, port).then_some(())),
            },
        )?;
        Ok(Peer(process))
    }

    /// The most memory it held so far, in MB.
    pub(crate) fn peak(&self) -> f64 {
        peak(self.0.id())
    }

    /// Ends it with SIGTERM and waits, so that its port is free.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.0.terminate();
        // A server that does not go by itself is ended when this is dropped.
        let _ = self.0.wait(Patience::seconds(5));
        Ok(())
    }
}

fn open(pair: &Pair, port: Port) -> bool {
    let (kind, port) = match port {
        Port::Udp(port) => ("-Hlnu", port),
        Port::Tcp(port) => ("-Hlnt", port),
    };
    let mut ss = pair.server().command("ss");
    ss.args([kind, &format!("sport = :{port}")]);
    ss.output().is_ok_and(|out| !out.stdout.is_empty())
}

/// The most memory a process held so far (`VmHWM`), in MB.
pub(crate) fn peak(id: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:"));
    let kib = line.and_then(|l| l.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib * 1024.0 / 1e6)
}

/// What the server has used of the processor so far, with everything it started, in seconds. Other
/// programs on the machine slow a server down, and do not change this.
pub(crate) fn processor(pair: &Pair) -> f64 {
    let mut pids = std::process::Command::new("ip");
    let out = pids.args(["netns", "pids", pair.server().name()]).output();
    let list = out.map_or_else(
        |_| String::new(),
        |o| String::from_utf8_lossy(&o.stdout).into_owned(),
    );
    let used = |pid: &str| -> Option<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold spaces; user and system time are the 12th and 13th word behind it.
        let mut words = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        Some(words.next()?.parse::<u64>().ok()? + words.next()?.parse::<u64>().ok()?)
    };
    // Linux counts a hundred ticks a second, whatever its own timer does.
    list.lines().filter_map(used).sum::<u64>() as f64 / 100.0
}

/// A command in the server's namespace, from its words.
pub(crate) fn command(pair: &Pair, words: &[&str]) -> Command {
    let (program, arguments) = words.split_first().unwrap_or((&"true", &[]));
    let mut command = pair.server().command(program);
    command.args(arguments);
    command
}

/// Writes a file below the pair's directory and returns its path.
pub(crate) fn put(dir: &Path, name: &str, contents: impl AsRef<[u8]>) -> Result<PathBuf> {
    let path = dir.join(name);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    }
    std::fs::write(&path, contents).with_context(|| path.display().to_string())?;
    Ok(path)
}
