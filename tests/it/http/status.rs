//! The status messages of curtin, subiquity and cloud-init: sequences as they send them, and the real
//! cloud-init.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use farrier::model::Stage;
use serde_json::{Value, json};

use super::*;

/// A machine that boots its installer, and the path it reports to.
async fn installing(door: &Door) -> String {
    let key = door.flag(1);
    door.get(ip(1), &format!("/ipxe/{}", mac(1).dashed())).await;
    format!("/r/{}/status", door.waist.token(&key, Scope::Report))
}

fn message(event_type: &str, name: &str, description: &str, result: Option<&str>) -> Value {
    let mut message = json!({
        "name": name, "description": description, "event_type": event_type,
        "origin": "curtin", "timestamp": 1_659_185_027.2, "level": "INFO",
    });
    if let Some(result) = result {
        message["result"] = result.into();
    }
    message
}

async fn post(door: &Door, path: &str, message: &Value) -> u16 {
    door.post(ip(1), path, &message.to_string()).await.status
}

/// Sends `start NAME` and `finish NAME RESULT` lines in order, and says what stage each led to.
async fn replay(door: &Door, path: &str, lines: &[&str]) -> Vec<String> {
    let mut stages = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let message = message(words[0], words[1], "as it says", words.get(2).copied());
        assert_eq!(post(door, path, &message).await, 200, "{line}");
        let stage = door.waist.build(1).and_then(|b| b.stage);
        stages.push(stage.map_or("-".to_string(), |s| s.to_string()));
    }
    stages.dedup();
    stages
}

#[tokio::test]
async fn an_ubuntu_installation_goes_through_the_stages_that_all_have() {
    let door = open(Limits::default()).await;
    let path = installing(&door).await;
    let install = "subiquity/Install/install";
    let curtin = format!("{install}/curtin_install/run_curtin_step/cmd-install");
    let hooks = format!("{curtin}/stage-curthooks/builtin/cmd-curthooks");
    let lines = [
        "start subiquity/Meta/status_GET".to_string(),
        "finish subiquity/Meta/status_GET SUCCESS".to_string(),
        "start subiquity/Early/run".to_string(),
        "start subiquity/Early/run/command_0".to_string(),
        "finish subiquity/Early/run/command_0 SUCCESS".to_string(),
        "finish subiquity/Early/run SUCCESS".to_string(),
        "start subiquity/Network/apply_autoinstall_config".to_string(),
        "finish subiquity/Network/apply_autoinstall_config SUCCESS".to_string(),
        format!("start {install}"),
        "start subiquity/Refresh/check_for_update".to_string(),
        "finish subiquity/Refresh/check_for_update FAIL".to_string(),
        format!("start {curtin}"),
        format!("start {curtin}/stage-partitioning"),
        format!("start {curtin}/stage-partitioning/builtin"),
        format!("finish {curtin}/stage-partitioning/builtin SUCCESS"),
        format!("finish {curtin}/stage-partitioning SUCCESS"),
        format!("start {curtin}/stage-extract"),
        format!("finish {curtin}/stage-extract SUCCESS"),
        format!("start {curtin}/stage-curthooks"),
        format!("start {hooks}/installing-kernel"),
        format!("finish {hooks}/installing-kernel SUCCESS"),
        format!("start {hooks}/configuring-bootloader"),
        format!("finish {hooks}/configuring-bootloader WARN"),
        format!("finish {curtin} SUCCESS"),
        format!("start {install}/postinstall"),
        format!("start {install}/postinstall/install_openssh-server"),
        format!("finish {install}/postinstall/install_openssh-server SUCCESS"),
        format!("finish {install} SUCCESS"),
        "start subiquity/Late/run".to_string(),
        "finish subiquity/Late/run SUCCESS".to_string(),
        "start subiquity/Shutdown/shutdown".to_string(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let stages = replay(&door, &path, &lines).await;
    assert_eq!(
        stages,
        [
            "setup",
            "install",
            "partition",
            "extract",
            "configure",
            "packages",
            "bootloader",
            "configure",
            "packages",
            "finish"
        ]
    );
    let build = door.waist.build(1).expect("a build");
    assert_eq!(
        build.phase,
        Phase::Installing,
        "the end is reported by itself"
    );
    let told = door.waist.told();
    let count = |word| told.iter().filter(|t| **t == word).count();
    assert_eq!((count("progress"), count("warned")), (10, 2), "{told:?}");
    let kept = door.waist.seen();
    let lines_kept = kept.iter().filter(|(_, l)| l.starts_with("kept curtin"));
    assert_eq!(lines_kept.count(), lines.len(), "each is a line of the log");
}

#[tokio::test]
async fn a_failure_of_the_whole_fails_the_build_and_brings_the_log() {
    let door = open(Limits::default()).await;
    let path = installing(&door).await;
    let lines = [
        "start cmd-install",
        "start cmd-install/stage-partitioning",
        "start cmd-install/stage-extract",
        "finish cmd-install/stage-extract FAIL",
    ];
    assert_eq!(
        replay(&door, &path, &lines).await,
        ["install", "partition", "extract"]
    );
    assert_eq!(door.waist.phase(1), Phase::Installing, "a part only shows");
    let mut last = message(
        "finish",
        "cmd-install",
        "curtin command install",
        Some("FAIL"),
    );
    let log = "x".repeat(1_500_000) + "\ncp: error writing: No space left on device\n";
    last["files"] = json!([{
        "path": "/var/log/curtin/install.log", "content": STANDARD.encode(log), "encoding": "base64",
    }]);
    door.waist.fail(true);
    assert_eq!(
        post(&door, &path, &last).await,
        503,
        "not before it is durable"
    );
    door.waist.fail(false);
    assert_eq!(post(&door, &path, &last).await, 200);
    let build = door.waist.build(1).expect("a build");
    assert_eq!(build.phase, Phase::Failed);
    assert_eq!(build.stage, Some(Stage::clean("extract")));
    assert_eq!(
        build.reason.as_deref(),
        Some("cmd-install: curtin command install")
    );
    let kept = door.waist.seen();
    let log = kept.iter().find(|(_, l)| l.starts_with("kept install.log"));
    assert!(
        log.is_some_and(|(_, l)| l.ends_with("No space left on device\n") && l.len() < 300_000)
    );
    assert_eq!(post(&door, &path, &last).await, 404, "its token is over");
}

/// The webhook says first that it failed, and says little; the error command comes after it.
#[tokio::test]
async fn the_last_words_of_an_installer_that_failed_are_kept_and_move_nothing() {
    let door = open(Limits::default()).await;
    let path = installing(&door).await;
    let install = "subiquity/Install/install";
    replay(&door, &path, &["start subiquity/Install/install"]).await;
    let failed = message("finish", install, "installing system", Some("FAIL"));
    assert_eq!(post(&door, &path, &failed).await, 200);
    let before = door.waist.build(1).expect("a build");
    assert_eq!(before.phase, Phase::Failed);

    let of = |verb: &str| path.replace("/status", &format!("/{verb}"));
    let (bundle, log, fail) = (of("bundle"), of("log"), of("fail/partition"));
    let reason = "the disk is too small\n";
    for path in [&bundle, &log, &fail, &fail] {
        assert_eq!(
            door.post(ip(1), path, reason).await.text(),
            "ok\n",
            "{path}"
        );
    }
    assert_eq!(door.waist.build(1), Some(before), "nothing moves");
    let told = door.waist.told();
    let words = ["installer-failed", "bundle-kept", "installer-failed"];
    assert_eq!(told[told.len() - 4..][..3], words, "{told:?}");
    let kept = door.waist.seen();
    let has = |what: &str| kept.iter().any(|(_, line)| line.contains(what));
    assert!(has("bundle of 22 bytes") && has("kept report of build 1: the disk is too small"));

    // all else is over, and so are these for anybody else
    for verb in ["start", "progress/x", "disks", "end", "handoff", "status"] {
        assert_eq!(door.post(ip(1), &of(verb), "x").await.status, 404, "{verb}");
    }
    assert_eq!(door.post(ip(2), &log, "x").await.status, 404);
    door.waist.seconds.fetch_add(600, Ordering::SeqCst);
    for path in [&bundle, &log, &fail] {
        let got = door.post(ip(1), path, reason).await;
        assert_eq!(got.status, 404, "{path}: its time is over");
    }
}

#[tokio::test]
async fn a_new_flag_ends_the_last_words_of_the_build_before() {
    let door = open(Limits::default()).await;
    let path = installing(&door).await;
    let failed = message("finish", "cmd-install", "", Some("FAIL"));
    assert_eq!(post(&door, &path, &failed).await, 200);
    let log = path.replace("/status", "/log");
    assert_eq!(door.post(ip(1), &log, "x").await.status, 200);
    door.flag(1);
    assert_eq!(door.post(ip(1), &log, "x").await.status, 404);
}

#[tokio::test]
async fn what_is_no_message_is_refused_and_moves_nothing() {
    let door = open(Limits::default()).await;
    let path = installing(&door).await;
    for body in [
        "",
        "start",
        "{}",
        "[1]",
        "{\"name\": 5, \"event_type\": \"start\"}",
    ] {
        let got = door.post(ip(1), &path, body).await;
        assert_eq!(got.status, 400, "{body}: {}", got.text());
        assert!(got.text().starts_with("this is no status message"));
    }
    let fetches = format!("wget http://127.0.0.1{path}");
    let good = message("start", "cmd-install", &fetches, None);
    assert_eq!(door.get(ip(1), &path).await.status, 405);
    let stranger = door.post(ip(2), &path, &good.to_string()).await;
    assert_eq!(stranger.status, 404, "another machine's address");
    let wrong = format!("/r/{}/status", "0".repeat(40));
    assert_eq!(post(&door, &wrong, &good).await, 404);
    let head = |length: usize| {
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
    };
    assert_eq!(
        door.ask(ip(1), &head(4 * 1024 * 1024 + 1)).await.status,
        413
    );
    assert_eq!(door.waist.told(), ["script-served"], "nothing was told");
    assert_eq!(post(&door, &path, &good).await, 200);
    for (_, line) in door.waist.seen() {
        assert!(
            !line.contains(path.split('/').nth(2).expect("a token")),
            "{line}"
        );
    }
}

/// The files of Debian's cloud-init, unpacked: installed, it would take this host over at its next
/// boot.
pub(crate) fn cloud_init() -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cloud-init");
    if place.join("usr").is_dir() {
        return place;
    }
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let script = "apt-get -q download cloud-init && dpkg-deb -x cloud-init_*.deb unpacked";
    let got = Command::new("sh")
        .args(["-ec", script])
        .current_dir(scratch.path())
        .output()
        .expect("apt-get");
    let said = String::from_utf8_lossy(&got.stderr);
    assert!(got.status.success(), "cloud-init could not be had: {said}");
    // Another test may have been faster.
    let _there = std::fs::rename(scratch.path().join("unpacked"), &place).is_ok();
    place
}

/// Runs its four boot stages in a mount namespace of their own, with the directories it writes to
/// empty, and only modules that touch nothing else.
const BOOT: &str = r#"
for d in /run /var/lib /var/log; do mount -t tmpfs none $d; done
cp -a /etc /run/etc
mount --bind /run/etc /etc
mkdir -p /etc/cloud /var/lib/cloud/seed/nocloud
printf 'instance-id: b1\n' >/var/lib/cloud/seed/nocloud/meta-data
printf '#cloud-config\nruncmd: [[sh, -c, "exit %s"]]\n' "$CODE" >/var/lib/cloud/seed/nocloud/user-data
cat >/etc/cloud/cloud.cfg <<END
datasource_list: [NoCloud]
network: {config: disabled}
system_info: {distro: debian, paths: {cloud_dir: /var/lib/cloud/}}
reporting: {farrier: {type: webhook, endpoint: "$URL"}}
cloud_init_modules: [bootcmd]
cloud_config_modules: [runcmd]
cloud_final_modules: [scripts-user]
END
boot() { /usr/bin/python3 -m cloudinit.cmd.main "$@" || true; }
boot init --local; boot init; boot modules --mode=config; boot modules --mode=final
"#;

#[tokio::test]
async fn the_real_cloud_init_is_followed_and_its_failure_is_the_builds() {
    let package = tokio::task::spawn_blocking(cloud_init).await.expect("had");
    for (code, phase) in [("0", Phase::Installing), ("3", Phase::Failed)] {
        let door = open(Limits::default()).await;
        let path = installing(&door).await;
        door.waist.lend(Ipv4Addr::LOCALHOST, mac(1));
        let mut command = tokio::process::Command::new("unshare");
        command
            .args(["--mount", "sh", "-ec", BOOT])
            .env("URL", format!("http://{}{path}", door.address))
            .env("CODE", code)
            .env("PYTHONPATH", package.join("usr/lib/python3/dist-packages"));
        let ran = command.output().await.expect("unshare");
        let said = String::from_utf8_lossy(&ran.stderr);
        let build = door.waist.build(1).expect("a build");
        assert_eq!(build.phase, phase, "{said}");
        let told = door.waist.told();
        let count = |word| told.iter().filter(|t| **t == word).count();
        let failed = usize::from(code == "3");
        assert_eq!(count("progress"), 4, "its four boot stages: {told:?}");
        assert_eq!(count("warned"), failed, "its module: {told:?}");
        assert_eq!(build.stage, Some(Stage::clean("modules-final")));
        if failed == 1 {
            let reason = build.reason.expect("a reason");
            assert_eq!(reason, "modules-final: running modules for final");
        }
    }
}
