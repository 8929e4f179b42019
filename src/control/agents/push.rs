//! Ansible, run by this server against a machine after its first boot.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::Control;
use crate::enrol;
use crate::model::event::{AgentReport, printable};
use crate::model::{Build, BuildKey, Event, EventKind, NodeView, Push, Stage};

/// Characters kept of what a playbook prints.
const LOG: usize = 4000;

impl Control {
    /// Runs the playbook and tells how it went. Whether that needs no other try.
    pub(super) async fn push(&self, key: &BuildKey) -> bool {
        let snapshot = self.snapshot();
        let build = snapshot.machines.get(&key.system);
        let build = build.and_then(|m| m.with_epoch(key.epoch)).cloned();
        let push = snapshot.pinned.get(key).and_then(|p| p.push.clone());
        let (Some(build), Some(push)) = (build, push) else {
            return true;
        };
        let begun = std::time::Instant::now();
        let mut report = AgentReport {
            agent: "ansible".to_string(),
            code: -1,
            class: "failed".to_string(),
            seconds: 0,
            reason: None,
            log: String::new(),
            host_keys: build.host_keys.clone(),
        };
        match self.play(&build, &push).await {
            Ok(ended) => {
                report.code = ended.code.unwrap_or(-1);
                report.log = tail(&ended.said);
                let failure = first_failure(&ended.said);
                match ended.code {
                    // The machine does not answer: it may be restarting.
                    Some(4) => {
                        let detail = if is_stranger(&ended.said) {
                            "another host key than it reported answers at its address; nothing was run"
                                .to_string()
                        } else {
                            failure.unwrap_or_else(|| "it does not answer".to_string())
                        };
                        let waits = EventKind::Progress {
                            stage: Stage::clean("push"),
                            detail,
                        };
                        self.tell_of(key, waits).await;
                        return false;
                    }
                    Some(0) if changed(&ended.said) => report.class = "changed".to_string(),
                    Some(0) => report.class = "ok".to_string(),
                    _ => report.reason = failure,
                }
            }
            Err(why) => report.reason = Some(why),
        }
        report.seconds = begun.elapsed().as_secs();
        if let Err(error) = self.keep_log(key, "ansible", &report.log).await {
            tracing::error!(%error, "a playbook's log could not be kept");
        }
        self.tell_of(key, EventKind::AgentReported(report)).await
    }

    /// Whether it is recorded, or need not be.
    async fn tell_of(&self, key: &BuildKey, kind: EventKind) -> bool {
        let event = Event {
            system: key.system.clone(),
            epoch: Some(key.epoch),
            kind,
        };
        match self.tell(event).await {
            Ok(_) | Err(super::TellError::Refused(_)) => true,
            Err(error) => {
                tracing::error!(%error, machine.name = %key.system, "what came of a playbook could not be recorded");
                false
            }
        }
    }

    /// # Errors
    /// A sentence: what keeps it from being run.
    async fn play(&self, build: &Build, push: &Push) -> Result<enrol::Ended, String> {
        let node = self
            .node_of(build.key.system.as_str())
            .map_err(|refusal| refusal.message)?;
        let ip = node.ip.ok_or("its address is not known")?.to_string();
        if build.host_keys.is_empty() {
            return Err(
                "it reported no ssh host key, so nobody could tell that it is this machine".into(),
            );
        }
        // Goes last, and also if the run is called off.
        let scratch = Scratch(self.scratch(&build.key)?);
        let folder = &scratch.0;
        let result = async {
            let known = folder.join("known_hosts");
            let lines: Vec<String> = build
                .host_keys
                .iter()
                .map(|key| format!("{ip} {key}"))
                .collect();
            write(&known, &(lines.join("\n") + "\n"))?;
            let inventory = folder.join("inventory.json");
            write(&inventory, &inventory_of(&node, &ip, push, &known))?;
            let words: Vec<String> = [
                "ansible-playbook",
                "--inventory",
                &inventory.display().to_string(),
                "--limit",
                node.name.as_str(),
                "--private-key",
                &push.key,
                "--user",
                &push.user,
                "--",
                &push.playbook,
            ]
            .map(str::to_string)
            .to_vec();
            let home = folder.as_os_str();
            let environment = [
                ("HOME", home),
                ("ANSIBLE_HOST_KEY_CHECKING", OsStr::new("True")),
                // Ansible refuses any locale but one of UTF-8
                ("LC_ALL", OsStr::new("C.UTF-8")),
                ("ANSIBLE_NOCOLOR", OsStr::new("1")),
                ("ANSIBLE_RETRY_FILES_ENABLED", OsStr::new("0")),
                ("ANSIBLE_LOCAL_TEMP", home),
            ];
            enrol::run(&words, &environment, Duration::from_secs(push.timeout)).await
        };
        result.await
    }

    /// A folder that only this user reads.
    fn scratch(&self, key: &BuildKey) -> Result<PathBuf, String> {
        use std::os::unix::fs::DirBuilderExt;
        let folder = self
            .state
            .join(format!("push-{}-{}", key.system, key.epoch));
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|e| format!("`{}`: {e}", folder.display()))?;
        }
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(|e| format!("`{}` cannot be made: {e}", folder.display()))?;
        Ok(folder)
    }
}

/// What a playbook needs, while it runs.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::debug!(%error, "what a playbook needed was not removed");
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("`{}` cannot be written: {e}", path.display()))
}

/// One host, its address, and the host keys it reported: nothing that answers at that address with
/// another key is spoken to.
fn inventory_of(node: &NodeView, ip: &str, push: &Push, known: &Path) -> String {
    let mut vars = node.vars.clone();
    let ssh = format!(
        "-o UserKnownHostsFile={} -o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes",
        known.display()
    );
    for (name, value) in [
        ("ansible_host", ip),
        ("ansible_user", push.user.as_str()),
        ("ansible_ssh_common_args", ssh.as_str()),
    ] {
        vars.insert(name.to_string(), value.into());
    }
    let name = node.name.as_str();
    let inventory = serde_json::json!({ "all": { "hosts": { name: vars } } });
    inventory.to_string()
}

/// Whether ssh would not speak to what answers there.
fn is_stranger(said: &str) -> bool {
    said.contains("REMOTE HOST IDENTIFICATION HAS CHANGED")
        || said.contains("Host key verification failed")
}

/// Whether the recap counts a change: `web01 : ok=3 changed=1 unreachable=0 failed=0`.
fn changed(said: &str) -> bool {
    let recap = said
        .rsplit_once("PLAY RECAP")
        .map_or("", |(_, recap)| recap);
    let counts = recap
        .split_whitespace()
        .filter_map(|w| w.strip_prefix("changed="));
    counts.into_iter().any(|n| n != "0")
}

/// The first task that failed, with what Ansible said of it.
fn first_failure(said: &str) -> Option<String> {
    let mut task = "";
    for line in said.lines() {
        if let Some(rest) = line.strip_prefix("TASK [") {
            task = rest.split(']').next().unwrap_or("");
        }
        let fatal = ["fatal: ", "failed: ", "ERROR! ", "ERROR: "];
        if fatal.iter().any(|word| line.starts_with(word)) {
            let of = match task {
                "" => String::new(),
                task => format!("{task}: "),
            };
            return Some(printable(&format!("{of}{line}"), 500));
        }
    }
    None
}

fn tail(text: &str) -> String {
    let skip = text.chars().count().saturating_sub(LOG);
    let kept = text.chars().skip(skip);
    kept.map(|c| if c.is_control() && c != '\n' { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ansible_says_is_read() {
        let said = "PLAY [all] ***\n\nTASK [Gathering Facts] ***\nok: [web01]\n\nTASK [break] ***\nfatal: [web01]: FAILED! => {\"msg\": \"no\"}\n\nPLAY RECAP ***\nweb01 : ok=1 changed=0 unreachable=0 failed=1\n";
        assert_eq!(
            first_failure(said).as_deref(),
            Some("break: fatal: [web01]: FAILED! => {\"msg\": \"no\"}")
        );
        assert!(!changed(said));
        assert!(changed(&said.replace("changed=0", "changed=2")));
        assert!(!changed("changed=2"), "only the recap counts");
        assert_eq!(
            first_failure("ERROR! no such playbook\n").as_deref(),
            Some("ERROR! no such playbook")
        );
    }
}
