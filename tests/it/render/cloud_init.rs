//! The step for cloud-init that docs/agents.md has, as a hand-off brings it, run by Debian's cloud-init in
//! a mount namespace.

use std::fs;
use std::process::Command;
use std::time::Duration;

use farrier::model::{Handoff, ProfileKind};
use farrier::render::render;

use super::site::{distro, place, profile, run, system};

/// An image that brings cloud-init, which has run there once: its directories, empty of anything else,
/// and only modules that touch nothing more.
const IMAGE: &str = r#"
for d in /run /var/lib /var/log; do mount -t tmpfs none $d; done
cp -a /etc /run/etc
mount --bind /run/etc /etc
mkdir -p /etc/cloud /run/bin /var/lib/cloud/instance
echo "left by the image" >/var/lib/cloud/instance/user-data.txt
cat >/etc/cloud/cloud.cfg <<END
datasource_list: [NoCloud, None]
network: {config: disabled}
system_info: {distro: debian, paths: {cloud_dir: /var/lib/cloud/}}
cloud_init_modules: [bootcmd, write-files]
cloud_config_modules: [runcmd]
cloud_final_modules: [scripts-user]
END
printf '#!/bin/sh\nexec /usr/bin/python3 -m cloudinit.cmd.main "$@"\n' >/run/bin/cloud-init
chmod 0755 /run/bin/cloud-init
PATH=/run/bin:$PATH FARRIER_REASON_FILE=/run/reason
export PATH FARRIER_REASON_FILE
cd "$STEPS"
code=0
timeout 120 ./30-cloud-init.sh || code=$?
echo "instance $(cat /var/lib/cloud/data/instance-id)"
echo "made $(cat /run/made)"
echo "reason $(cat /run/reason 2>/dev/null)"
exit "$code"
"#;

/// The block of the page that follows this line's beginning.
fn documented(line: &str) -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/agents.md");
    let page = fs::read_to_string(page).expect("a page");
    let (_, rest) = page.split_once(line).expect("the line");
    let (_, rest) = rest.split_once("```sh\n").expect("a block");
    rest.split_once("```\n").expect("its end").0.to_string()
}

#[test]
fn cloud_init_makes_what_the_documented_step_gives_it() {
    let step = documented("cloud-init, `steps/30-cloud-init.sh.j2`");
    let package = crate::http::status::cloud_init();
    for ends in [0, 3] {
        let data = format!(
            "#cloud-config\nwrite_files: [{{path: /run/made, content: by it}}]\nruncmd: [[sh, -c, \"exit {ends}\"]]\n"
        );
        let files = [
            ("steps/30-cloud-init.sh.j2", step.as_str()),
            ("steps/user-data", data.as_str()),
        ];
        let mut profile = profile(ProfileKind::Preseed, &files);
        profile.handoff = Handoff::Steps {
            dir: "steps".to_string(),
            timeout: Duration::from_secs(60),
        };
        let made = render(&system("web01"), &profile, &distro(), &place()).expect("rendered");
        let bundle = String::from_utf8_lossy(&made.documents["bundle.sh"].bytes).into_owned();
        // not below what the namespace has of its own
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let steps = folder.path().join("steps");
        let unpacked = run("dash", &["-s", &steps.display().to_string()], &bundle);
        let Some((true, ..)) = unpacked else {
            panic!("{unpacked:?}");
        };
        let done = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-ec", IMAGE])
            .env("STEPS", &steps)
            .env("PYTHONPATH", package.join("usr/lib/python3/dist-packages"))
            .output()
            .expect("unshare");
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(said.contains("instance farrier-3\n"), "{done:?}");
        assert!(said.contains("made by it\n"), "{done:?}");
        assert_eq!(done.status.code(), Some(i32::from(ends != 0)), "{done:?}");
        let reason = said.lines().find_map(|l| l.strip_prefix("reason "));
        let reason = reason.unwrap_or_default();
        assert_eq!(reason.contains("status: error"), ends != 0, "{done:?}");
        assert_eq!(reason.contains("scripts-user"), ends != 0, "{reason}");
    }
}
