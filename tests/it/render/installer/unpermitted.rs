//! Without the server's permit partman finds no disk to write, whatever became of the script that asks.

use super::super::debian::{lay_out, text};
use super::{Installer, serving};

/// What debconf knows before and after a command of the preseed, as preseed_command runs it.
fn asked(installer: &Installer, command: &str) -> Vec<String> {
    let out = installer.run(&format!(
        "mkdir -p /var/lib/preseed; debconf-loadtemplate d-i /var/lib/dpkg/info/*.templates \
         && debconf-set-selections /tmp/farrier/preseed.cfg && debconf-get partman-auto/disk; \
         sh -c '{command}' >/tmp/said 2>&1; debconf-get partman-auto/disk"
    ));
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    said.lines().map(str::to_string).collect()
}

#[test]
fn a_script_that_dies_leaves_partman_no_disk_and_is_reported() {
    for (dies, left) in [(false, "/dev/vda"), (true, "/dev/farrier-no-permit")] {
        let Some(installer) = Installer::unpack() else {
            return;
        };
        let (server, rendered) = serving(|path, _, _| match path {
            p if p.ends_with("/disks") => (200, "disk=/dev/vda\n".to_string()),
            _ => (204, String::new()),
        });
        lay_out(&rendered, &installer.path("tmp/farrier"));
        installer.script("bin/udevadm", "exit 1");
        installer.script("bin/vgchange", "exit 0");
        installer.disk("vda", 202, &[("size", "2097152")]);
        if dies {
            // before it has asked anything
            let script = installer.path("tmp/farrier/disk.sh");
            std::fs::write(script, "exit 7\n").expect("a file");
        }
        let preseed = text(&rendered, "preseed.cfg").replace("\\\n", " ");
        let command = preseed
            .lines()
            .find_map(|l| l.strip_prefix("d-i partman/early_command string "))
            .expect("an early command");
        assert!(!command.contains('\''), "{command}");
        let disks = asked(&installer, command);
        assert_eq!(disks, ["/dev/farrier-no-permit", left]);
        assert_eq!(installer.left(), dies);
        let told = server.told("fail/partition").concat();
        assert_eq!(
            told.contains("disk.sh ended with code 7 and has no permit"),
            dies,
            "{told}"
        );
    }
}
