//! One run of a program: no shell, a time limit, and the end of what it said.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

/// Bytes kept of what a program says.
const KEPT: usize = 16 * 1024;
/// Where the tools of agents' servers are besides `$PATH`.
const ALSO: &str =
    "/opt/puppetlabs/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its code; none if it was stopped by a signal.
    pub code: Option<i32>,
    /// The end of what it printed, on either stream.
    pub said: String,
}

/// Runs a program to its end. It and everything it started are stopped when the time is over, or when
/// nobody waits any more.
///
/// # Errors
/// A sentence: it is not there, cannot be started, or took too long.
pub async fn run(
    words: &[String],
    environment: &[(&str, &OsStr)],
    limit: Duration,
) -> Result<Ended, String> {
    let Some((program, arguments)) = words.split_first() else {
        return Err("no program is named".to_string());
    };
    let path = which(program).ok_or_else(|| format!("`{program}` is not on this host"))?;
    let mut command = Command::new(&path);
    command
        .args(arguments)
        .env("PATH", search_path())
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // a group of its own, so that what it starts ends with it
        .process_group(0)
        .kill_on_drop(true);
    for (name, value) in environment {
        command.env(name, value);
    }
    let mut child = command
        .spawn()
        .map_err(|e| format!("`{program}` cannot be started: {e}"))?;
    let group = Group(child.id());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let ended = tokio::time::timeout(limit, async {
        let (out, err, status) = tokio::join!(tail(out), tail(err), child.wait());
        status.map(|status| Ended {
            code: status.code(),
            said: [out, err].concat(),
        })
    });
    match ended.await {
        Ok(Ok(ended)) => {
            group.leave();
            Ok(ended)
        }
        Ok(Err(error)) => Err(format!("`{program}` was lost: {error}")),
        Err(_) => Err(format!(
            "`{program}` was stopped: it took more than {} s",
            limit.as_secs()
        )),
    }
}

/// A process group that is stopped when it is dropped.
struct Group(Option<u32>);

impl Group {
    fn leave(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0.and_then(|id| i32::try_from(id).ok()) {
            let _ended_meanwhile = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

/// The end of a stream.
async fn tail(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else {
        return String::new();
    };
    let mut kept = Vec::new();
    let mut chunk = vec![0; 8 * 1024];
    while let Ok(count) = stream.read(&mut chunk).await {
        if count == 0 {
            break;
        }
        kept.extend_from_slice(&chunk[..count]);
        if kept.len() > 2 * KEPT {
            kept.drain(..kept.len() - KEPT);
        }
    }
    let from = kept.len().saturating_sub(KEPT);
    String::from_utf8_lossy(&kept[from..]).into_owned()
}

/// Where a program is; an absolute path is itself.
pub fn which(program: &str) -> Option<PathBuf> {
    let executable = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        path.metadata()
            .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|p| executable(p));
    }
    std::env::split_paths(&search_path())
        .map(|dir| dir.join(program))
        .find(|path| executable(path))
}

fn search_path() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    if !path.is_empty() {
        path.push(":");
    }
    path.push(ALSO);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &[&str]) -> Vec<String> {
        text.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn a_value_is_a_word_and_no_shell_reads_it() {
        let hostile = words(&["printf", "%s", "$(id); `id` 'x"]);
        let ended = run(&hostile, &[], Duration::from_secs(10));
        let ended = ended.await.expect("it ran");
        assert_eq!(
            (ended.code, ended.said.as_str()),
            (Some(0), "$(id); `id` 'x")
        );
        let ended = run(&words(&["false"]), &[], Duration::from_secs(10)).await;
        assert_eq!(ended.expect("it ran").code, Some(1));
    }

    #[tokio::test]
    async fn what_takes_too_long_is_stopped_with_all_it_started() {
        let dir = tempfile::tempdir().expect("a folder");
        let pid = dir.path().join("pid");
        let script = format!("sleep 600 & echo $! >'{}'; wait", pid.display());
        let slow = words(&["sh", "-c", &script]);
        let ended = run(&slow, &[], Duration::from_millis(500));
        let why = ended.await.expect_err("it is stopped");
        assert!(why.contains("took more than"), "{why}");
        let child = std::fs::read_to_string(&pid).expect("it had begun");
        let child = Path::new("/proc").join(child.trim());
        let gone = || std::fs::read_to_string(child.join("cmdline")).map_or(true, |c| c.is_empty());
        for _ in 0..500 {
            if gone() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("what it started goes on");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let why = run(&words(&["no-such-tool"]), &[], Duration::from_secs(1)).await;
        assert_eq!(
            why.expect_err("refused"),
            "`no-such-tool` is not on this host"
        );
        assert!(which("/etc/passwd").is_none(), "no program");
    }

    #[tokio::test]
    async fn only_the_end_of_much_is_kept() {
        let all = words(&["sh", "-c", "yes | head -c 1000000; echo end"]);
        let ended = run(&all, &[], Duration::from_secs(20)).await.expect("ran");
        assert!(ended.said.len() <= KEPT && ended.said.ends_with("end\n"));
    }
}
